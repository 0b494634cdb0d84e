//! Agents: the tools over HTTP and on streams, by messages as they travel.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use unlockd::http::mcp;

use crate::api::{Api, ok, token, wanted};
use crate::place::{Answer, Place, read, site};

const TOOLS: [&str; 8] = [
    "plan_unlock",
    "request_unlock",
    "get_request",
    "list_requests",
    "explain_request",
    "list_changes",
    "get_balance",
    "get_spend",
];

fn post(place: &Place, holder: &str, message: &Value) -> RequestBuilder {
    place
        .request(Method::POST, "/mcp")
        .bearer_auth(token(holder))
        .header("accept", "application/json, text/event-stream")
        .json(message)
}

fn message(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

fn call(tool: &str, arguments: Value) -> Value {
    message(7, "tools/call", json!({"name": tool, "arguments": arguments}))
}

#[track_caller]
fn result(answer: &Answer) -> Value {
    let answer = ok(answer, 200);
    assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
    assert!(answer["error"].is_null(), "{answer}");
    answer["result"].clone()
}

/// What a tool answers.
async fn tool(api: &Api, holder: &str, name: &str, arguments: Value) -> Value {
    let answer = read(post(&api.place, holder, &call(name, arguments))).await;
    let result = result(&answer);
    assert_eq!(result["isError"], false, "{result}");
    let text = result["content"][0]["text"].as_str().expect("text");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), result["structuredContent"]);
    result["structuredContent"].clone()
}

/// The text with which a tool refuses.
async fn refusal(api: &Api, holder: &str, name: &str, arguments: Value) -> String {
    let answer = read(post(&api.place, holder, &call(name, arguments))).await;
    let result = result(&answer);
    assert_eq!(result["isError"], true, "{result}");
    assert!(result["structuredContent"].is_null(), "{result}");
    result["content"][0]["text"].as_str().expect("text").to_owned()
}

fn ask(ids: &[&str]) -> Value {
    json!({"personnel_ids": ids, "purpose": "canary-purpose", "idempotency_key": "agent-1"})
}

#[tokio::test]
async fn an_agent_proposes_and_a_person_approves_on_the_page() {
    let mut api = Api::signed_in().await;
    let plan = tool(&api, "all", "plan_unlock", json!({"personnel_ids": ["101", "102", "101", "x"]})).await;
    assert_eq!((&plan["new"], &plan["repeated"], &plan["invalid"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!((&plan["credits_at_most"], &plan["status"]), (&json!(30), &json!("awaiting_approval")));
    assert!(plan["reason"].as_str().expect("a reason").contains("a person decides"), "{plan}");
    // The token may enqueue and approve; an agent with it may not.
    let asked = tool(&api, "all", "request_unlock", ask(&["101", "102"])).await;
    let id = asked["request_id"].as_i64().expect("an id");
    assert_eq!((&asked["is_new"], &asked["credits_at_most"]), (&json!(true), &json!(30)));
    let page = asked["for_person"]["page"].as_str().expect("a page");
    assert_eq!(page, api.place.url(&format!("/requests/{id}")));
    let again = tool(&api, "all", "request_unlock", ask(&["101", "102"])).await;
    assert_eq!((&again["is_new"], &again["request_id"]), (&json!(false), &json!(id)));
    api.place.town.settle().await;
    let request = tool(&api, "all", "get_request", json!({"request_id": id})).await;
    assert_eq!((&request["status"], &request["caller"]), (&json!("awaiting_approval"), &json!("all")));
    let explained = tool(&api, "all", "explain_request", json!({"request_id": id})).await;
    assert_eq!(explained["waits"][0]["needs_person"], true);

    let cookie = api.place.cookie.take();
    let stranger = api.place.get("/").await;
    assert!(stranger.shows("An agent asks for this"), "{}", stranger.words());
    assert!(!stranger.shows("canary") && !stranger.shows("Callers of the HTTP API"));
    api.place.cookie = cookie;
    let seen = api.place.get("/").await;
    assert!(
        seen.shows("An agent (unnamed) asks for this, as caller all. What for: canary-purpose"),
        "{}",
        seen.words()
    );
    let of_it = api.place.get(&format!("/requests/{id}")).await;
    assert!(of_it.shows("canary-purpose") && of_it.shows("Asked for by an agent"), "{}", of_it.words());
    assert!(api.place.get("/requests").await.shows("agent all"));
    assert_eq!(api.place.press(&seen, &format!("approve-{id}"), Some("30")).await.status, 303);
    api.place.town.finish().await;
    let done = tool(&api, "all", "get_request", json!({"request_id": id})).await;
    assert_eq!((&done["status"], &done["delivered"]), (&json!("done"), &json!(2)));
    assert!(done["contact_list"][0]["email"].as_str().expect("with the scope values").contains('@'));
    let without = tool(&api, "read", "get_request", json!({"request_id": id})).await;
    assert!(!without.to_string().contains('@'), "{without}");
    let changes = tool(&api, "read", "list_changes", json!({})).await;
    assert_eq!(changes["changes"].as_array().expect("a list").len(), 2);
    let spend = tool(&api, "read", "get_spend", json!({"by": "account"})).await;
    assert_eq!(spend["spend"][0]["credits"], 30);
    assert_eq!(tool(&api, "read", "get_balance", json!({})).await["accounts"][0]["spent_today"], 30);
    assert_eq!(tool(&api, "read", "list_requests", json!({})).await["requests"][0]["id"], id);
    api.end().await;
}

#[tokio::test]
async fn whatever_an_agent_asks_for_awaits_approval_and_nothing_else_decides() {
    let mut api = Api::new().await;
    ok(&api.post("all", "/requests", &wanted(&["301"])).await, 201);
    api.place.town.finish().await;
    let list = result(&read(post(&api.place, "all", &message(1, "tools/list", json!({})))).await);
    let names: Vec<&str> =
        list["tools"].as_array().expect("tools").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, TOOLS);
    // It costs nothing, since its value is there; an adopted task and an approval are no arguments.
    let free = tool(&api, "enqueue", "request_unlock", ask(&["301"])).await;
    api.place.town.settle().await;
    let id = free["request_id"].as_i64().expect("an id");
    assert_eq!(ok(&api.get("read", &format!("/requests/{id}")).await, 200)["status"], "awaiting_approval");
    for (argument, value) in
        [("approved", json!(true)), ("task_id", json!("t-1")), ("needs_approval", json!(0))]
    {
        let mut wanted = ask(&["302"]);
        wanted[argument] = value;
        let text = refusal(&api, "all", "request_unlock", wanted).await;
        assert!(text.contains(argument) && text.contains("nothing is spent"), "{text}");
    }
    for (tool, arguments, part) in [
        ("request_unlock", json!({"personnel_ids": ["1"]}), "purpose"),
        ("request_unlock", json!({"purpose": "x"}), "personnel_ids"),
        ("request_unlock", json!({"purpose": "x".repeat(1_001), "personnel_ids": ["1"]}), "1000"),
        (
            "request_unlock",
            json!({"purpose": "x", "personnel_ids": [99_999_999_999_999_999_999_f64]}),
            "as texts",
        ),
        ("get_request", json!({"request_id": 99}), "there is no request 99"),
        ("get_request", json!({"request_id": "canary@example.com"}), "a whole number"),
        ("list_requests", json!({"limit": 0}), "limit"),
        ("get_spend", json!({"by": "person"}), "by must be"),
        ("get_balance", json!({"more": 1}), "more"),
    ] {
        let text = refusal(&api, "all", tool, arguments).await;
        assert!(text.contains(part) && !text.contains("canary"), "{tool}: {text}");
    }
    let unknown = ok(&read(post(&api.place, "all", &call("approve_request", json!({"id": id})))).await, 200);
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    api.end().await;
}

#[tokio::test]
async fn each_tool_needs_the_scope_of_its_call() {
    let api = Api::new().await;
    for (holder, tools) in
        [("read", 7), ("values", 0), ("propose", 2), ("enqueue", 2), ("approve", 0), ("proposer", 8)]
    {
        let list = result(&read(post(&api.place, holder, &message(1, "tools/list", json!({})))).await);
        let listed: Vec<&str> = list["tools"]
            .as_array()
            .expect("tools")
            .iter()
            .filter_map(|tool| tool["name"].as_str())
            .collect();
        assert_eq!(listed.len(), tools, "{holder}: {listed:?}");
        for tool in TOOLS.iter().filter(|tool| !listed.contains(*tool)) {
            let arguments = match *tool {
                "get_request" | "explain_request" => json!({"request_id": 1}),
                "plan_unlock" | "request_unlock" => ask(&["1"]),
                _ => json!({}),
            };
            let text = refusal(&api, holder, tool, arguments).await;
            assert!(text.contains("does not have the scope"), "{holder} {tool}: {text}");
        }
    }
    // Of another account it sees nothing.
    let text = refusal(&api, "elsewhere", "request_unlock", ask(&["1"])).await;
    assert!(text.contains("may not use this account"), "{text}");
    api.end().await;
}

#[tokio::test]
async fn the_transport_refuses_what_the_specification_refuses() {
    let api = Api::new().await;
    let place = &api.place;
    let ping = message(1, "tools/list", json!({}));
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let request = place.request(method.clone(), "/mcp").bearer_auth(token("all"));
        let answer = read(request.header("accept", "text/event-stream")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{method}");
    }
    let no_token = read(place.request(Method::POST, "/mcp").json(&ping)).await;
    assert_eq!(no_token.status, 401);
    assert!(no_token.header("www-authenticate").starts_with("Bearer"));
    for (origin, status) in [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
        ("chrome-extension://abc", 403),
        ("http://localhost:3000", 200),
    ] {
        assert_eq!(read(post(place, "all", &ping).header("origin", origin)).await.status, status, "{origin}");
    }
    assert_eq!(read(post(place, "all", &ping).header("host", "evil.example")).await.status, 403);
    assert_eq!(
        read(post(place, "all", &ping).header("mcp-session-id", "of-a-server-before")).await.status,
        200
    );
    assert_eq!(
        read(post(place, "all", &ping).header("mcp-protocol-version", "1999-01-01")).await.status,
        400
    );
    let plain = place.request(Method::POST, "/mcp").bearer_auth(token("all")).json(&ping);
    assert_eq!(read(plain.header("accept", "text/html")).await.status, 406);
    let no_json = place.request(Method::POST, "/mcp").bearer_auth(token("all")).body("{}");
    assert_eq!(read(no_json.header("accept", "application/json, text/event-stream")).await.status, 415);
    // A notification gets no answer, whatever it says.
    for method in ["notifications/initialized", "notifications/cancelled", "notifications/of-tomorrow"] {
        let answer =
            read(post(place, "all", &json!({"jsonrpc": "2.0", "method": method, "params": {}}))).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{method}");
    }
    let large =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"x": "y".repeat(5 << 20)}});
    assert_eq!(read(post(place, "all", &large)).await.status, 413);
    // An id comes back as it was.
    for id in [json!("i".repeat(10_000)), json!(i64::MAX), json!(0), json!("")] {
        let answer = ok(&read(post(place, "all", &message(id.clone(), "tools/list", json!({})))).await, 200);
        assert_eq!(answer["id"], id);
    }
    for id in [json!(1.5), json!({"a": 1}), json!(u64::MAX)] {
        let answer = read(post(place, "all", &message(id.clone(), "tools/list", json!({})))).await;
        assert!((400..500).contains(&answer.status), "{id}: {} {}", answer.status, answer.text);
    }
    api.end().await;
}

#[tokio::test]
async fn the_handshake_answers_with_a_version_that_both_know() {
    let api = Api::new().await;
    for (asked, answered) in
        [("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"), ("2099-01-01", "2025-11-25")]
    {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let answer = result(&read(post(&api.place, "read", &message(0, "initialize", params))).await);
        assert_eq!(answer["protocolVersion"], answered);
        assert_eq!(answer["serverInfo"]["name"], "unlockd");
        assert!(answer["instructions"].as_str().expect("text").contains("a person approves"), "{answer}");
    }
    api.end().await;
}

/// An agent on streams.
struct OnStreams {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    input: WriteHalf<DuplexStream>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl OnStreams {
    async fn new(place: &Place, shows_values: bool) -> OnStreams {
        let (site, _) = site(&place.town, place.town.deps().config()).await;
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let served = tokio::spawn(mcp::on_streams(site, shows_values, tokio::io::split(theirs)));
        let (output, input) = tokio::io::split(ours);
        OnStreams { lines: BufReader::new(output).lines(), input, served }
    }

    async fn send(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.expect("written");
        self.input.write_all(b"\n").await.expect("written");
    }

    async fn answer(&mut self) -> Value {
        let line = self.lines.next_line().await.expect("a stream").expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.send(&message.to_string()).await;
        let answer = self.answer().await;
        assert_eq!(answer["id"], message["id"], "{answer}");
        answer["result"].clone()
    }

    async fn shake_hands(&mut self) {
        let client = json!({"name": "Claude\nCode", "version": "2"});
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        self.ask(message(0, "initialize", params)).await;
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    }
}

#[tokio::test]
async fn on_streams_an_agent_proposes_under_its_own_name() {
    let mut api = Api::new().await;
    let mut agent = OnStreams::new(&api.place, false).await;
    agent.shake_hands().await;
    let asked = agent.ask(call("request_unlock", ask(&["201"]))).await["structuredContent"].clone();
    let id = asked["request_id"].as_i64().expect("an id");
    api.place.town.settle().await;
    let request = ok(&api.get("read", &format!("/requests/{id}")).await, 200);
    assert_eq!((&request["status"], &request["agent"]), (&json!("awaiting_approval"), &json!("ClaudeCode")));
    assert_eq!((&request["caller"], &request["purpose"]), (&json!("mcp"), &json!("canary-purpose")));
    ok(&api.post("approve", &format!("/requests/{id}/approve"), &json!({"credits": 15})).await, 200);
    api.place.town.finish().await;
    let seen = agent.ask(call("get_request", json!({"request_id": id}))).await;
    assert_eq!(seen["structuredContent"]["delivered"], 1);
    assert!(!seen.to_string().contains('@'), "{seen}");
    let mut with_values = OnStreams::new(&api.place, true).await;
    with_values.shake_hands().await;
    let seen = with_values.ask(call("get_request", json!({"request_id": id}))).await;
    assert!(seen["structuredContent"]["contact_list"][0]["email"].as_str().expect("an email").contains('@'));
    for agent in [agent, with_values] {
        drop((agent.input, agent.lines));
        agent.served.await.expect("ends").expect("in good order");
    }
    api.end().await;
}

#[tokio::test]
async fn on_streams_noise_is_passed_over_and_notifications_get_no_answer() {
    let api = Api::new().await;
    let mut agent = OnStreams::new(&api.place, false).await;
    agent.shake_hands().await;
    agent.send("no JSON at all").await;
    agent.send("").await;
    let (mut oversized, page) = ("{".to_owned(), "x".repeat(1 << 20));
    (0..5).for_each(|_| oversized.push_str(&page));
    agent.send(&oversized).await;
    agent.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}"#).await;
    agent.send(r#"{"jsonrpc":"2.0","method":"notifications/of-tomorrow"}"#).await;
    // The next line is the answer to this, and nothing of before.
    let list = agent.ask(message("after", "tools/list", json!({}))).await;
    assert_eq!(list["tools"].as_array().expect("tools").len(), 8);
    agent.input.shutdown().await.expect("closed");
    drop((agent.input, agent.lines));
    agent.served.await.expect("ends").expect("in good order");
    api.end().await;
}
