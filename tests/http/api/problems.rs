//! Every error is a problem that says what it means for the credits.

use reqwest::Method;
use serde_json::json;

use super::{Api, ok, problem, token, wanted};
use crate::place::read;

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_writes_nothing() {
    let mut api = Api::new().await;
    let send = |kind: &str, body: &str| {
        let request = api.place.request(Method::POST, "/api/v1/requests").bearer_auth(token("all"));
        read(request.header("content-type", kind).body(body.to_owned()))
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        problem(&send(kind, "{}").await, 415, "not-json");
    }
    for body in ["", "{", "{\"personnel_ids\":[1]} x", "\u{0}"] {
        problem(&send("application/json", body).await, 400, "malformed");
    }
    for body in [
        "[]",
        "null",
        "1",
        "{}",
        r#"{"personnel_id":["1"]}"#,
        r#"{"personnel_ids":["1"],"personnel_ids":["2"]}"#,
        r#"{"personnel_ids":[]}"#,
        r#"{"personnel_ids":"1"}"#,
        r#"{"personnel_ids":[{}]}"#,
        r#"{"personnel_ids":["x"]}"#,
        r#"{"personnel_ids":["1"],"max_credits":-1}"#,
        r#"{"personnel_ids":["1"],"max_credits":"canary"}"#,
        r#"{"personnel_ids":["1"],"approved":1}"#,
        r#"{"personnel_ids":["1"],"action":"canary"}"#,
        r#"{"personnel_ids":["1"],"account":"canary"}"#,
        r#"{"action":"unlock_event_contacts"}"#,
        r#"{"action":"search_exhibitor_companies","query":"Acme","max_pages":0}"#,
        r#"{"personnel_ids":["1"],"max_pages":99999999999}"#,
        r#"{"personnel_ids":["1"],"status":"done"}"#,
    ] {
        problem(&send("application/json; charset=utf-8", body).await, 422, "invalid");
    }
    for key in ["", "  "] {
        problem(&api.post_once("all", key, &wanted(&["1"])).await, 400, "malformed");
    }
    problem(&api.post_once("all", &"k".repeat(201), &wanted(&["1"])).await, 422, "invalid");
    let large = format!("{{\"reference\":\"{}\"}}", "x".repeat(4 << 20));
    problem(&send("application/json", &large).await, 413, "too-large");
    assert_eq!(api.place.town.number("select count(*) from inbox").await, 0);
    api.end().await;
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist_are_problems_too() {
    let api = Api::new().await;
    for path in [
        "/requests/0",
        "/requests/9",
        "/requests/-1",
        "/requests/x",
        "/requests/99999999999999999999",
        "/nothing",
        "/",
    ] {
        problem(&api.get("read", path).await, 404, "not-found");
    }
    for (method, path) in [
        (Method::PUT, "/requests"),
        (Method::DELETE, "/requests/1"),
        (Method::POST, "/balance"),
        (Method::GET, "/plans"),
        (Method::OPTIONS, "/requests"),
    ] {
        let path = format!("/api/v1{path}");
        let answer = read(api.place.request(method, &path).bearer_auth(token("all"))).await;
        problem(&answer, 405, "method-not-allowed");
        assert!(!answer.header("allow").is_empty(), "{path}");
    }
    let foreign = api.place.request(Method::GET, "/api/v1/balance").header("host", "evil.example");
    problem(&read(foreign.bearer_auth(token("all"))).await, 403, "foreign-host");
    let answer = api.get("read", "/balance").await;
    assert_eq!(
        (answer.header("cache-control"), answer.header("x-content-type-options")),
        ("no-store", "nosniff")
    );
    api.end().await;
}

#[tokio::test]
async fn a_request_that_no_worker_has_estimated_cannot_be_approved() {
    let api = Api::new().await;
    ok(&api.post("enqueue", "/requests", &wanted(&["101"])).await, 201);
    let answer = api.post("approve", "/requests/1/approve", &json!({"credits": 15})).await;
    problem(&answer, 409, "not-estimated");
    // The number 15, as a language without whole numbers writes it.
    let answer = api.post("approve", "/requests/1/approve", &json!({"credits": 15.0})).await;
    problem(&answer, 409, "not-estimated");
    for (body, said) in [
        (json!({}), "in one way: {\"credits\": 1950}"),
        (json!({"credits": 15, "quote": "x"}), "in one way"),
        (json!({"credits": "15"}), "credits: expected a whole number without quotes, like 1950"),
        (json!({"credits": 15.5}), "credits: expected a whole number"),
        (json!({"credits": 15, "more": 1}), "there is no field more; there are: credits, quote"),
        (json!({"quote": 1}), "quote: expected a text"),
    ] {
        let detail = problem(&api.post("approve", "/requests/1/approve", &body).await, 422, "invalid");
        assert!(detail.contains(said), "{detail}");
    }
    api.end().await;
}

#[tokio::test]
async fn a_parameter_that_does_not_exist_is_answered_with_those_that_do() {
    let api = Api::new().await;
    for (path, said) in [
        ("/requests?status=done", "there is no parameter status; there are: cursor, limit"),
        ("/changes?since=1", "there is no parameter since; there are: after, wait, limit"),
        ("/spend?group=day", "there is no parameter group; there are: by, since, until"),
        ("/requests?limit=many", "limit: expected a whole number"),
        ("/requests?limit=1&limit=2", "the parameter limit is given twice"),
    ] {
        let detail = problem(&api.get("read", path).await, 400, "malformed");
        assert_eq!(detail, said, "{path}");
    }
    api.end().await;
}

#[tokio::test]
async fn hundred_thousand_contacts_fit_into_one_request() {
    let api = Api::new().await;
    let ids: Vec<String> = (0..100_000).map(|id| (10_000_000_000_000_000_000_u64 + id).to_string()).collect();
    let plan = ok(&api.post("read", "/plans", &json!({"personnel_ids": ids})).await, 200);
    assert_eq!((&plan["new"], &plan["status"]), (&json!(100_000), &json!("awaiting_approval")));
    api.end().await;
}
