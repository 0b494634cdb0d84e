//! Many callers at once, some cut off; callers of every combination of scopes; callers that ask again and again.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, ok, token, wanted};
use crate::place::{Place, read, write_token};
use crate::support::Setup;

/// Writes a call and goes away once the answer has begun; or, `at_once`, before.
async fn cut_off(place: &Place, key: &str, body: &Value, at_once: bool) {
    let body = body.to_string();
    let call = format!(
        "POST /api/v1/requests HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
        token("enqueue"),
        body.len()
    );
    let mut connection = TcpStream::connect(place.address).await.expect("connected");
    connection.write_all(call.as_bytes()).await.expect("written");
    if !at_once {
        let mut begun = [0; 12];
        connection.read_exact(&mut begun).await.expect("the answer begins");
        assert!(begun.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&begun));
    }
}

/// Half repeat their key, half are cut off in the middle of the answer, and some before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_callers_at_once_each_request_exists_once_and_none_is_lost() {
    let mut api = Api::new().await;
    let body = |key: &str| wanted(&[&format!("{}01", 1_000 + key[1..].parse::<u32>().expect("a number"))]);
    // 100 callers share 50 keys, 100 have one each.
    let keys: Vec<String> =
        (0..200).map(|at| format!("k{}", if at < 100 { at / 2 } else { at - 50 })).collect();
    let shared = &api;
    let call = |(at, key): (usize, &String)| {
        let (key, body) = (key.clone(), body(key));
        async move {
            match at % 4 {
                0 | 2 => cut_off(&shared.place, &key, &body, false).await,
                1 if at % 8 == 1 => cut_off(&shared.place, &key, &body, true).await,
                _ => {
                    let answer = shared.post_once("enqueue", &key, &body).await;
                    assert!([200, 201].contains(&answer.status), "{}", answer.text);
                }
            }
        }
    };
    futures_util::future::join_all(keys.iter().enumerate().map(call)).await;
    // Whoever was cut off before the answer asks again.
    let distinct: BTreeSet<&String> = keys.iter().collect();
    let mut ids = BTreeMap::new();
    for key in &distinct {
        let answer = api.post_once("enqueue", key, &body(key)).await;
        let was_cut_before = keys.iter().enumerate().all(|(at, other)| other != *key || at % 8 == 1);
        assert!(answer.status == 200 || (was_cut_before && answer.status == 201), "{key}: {}", answer.text);
        let request = ok(&answer, answer.status);
        ids.insert(request["id"].as_i64().expect("an id"), key.to_string());
    }
    assert_eq!(ids.len(), 150);
    let rows: Vec<(i64, String, String)> =
        api.place.town.all("select id, dedupe_key, personnel_ids from inbox order by id").await;
    assert_eq!(rows.len(), 150);
    for (id, key, contacts) in rows {
        assert_eq!(ids[&id], key);
        assert_eq!(contacts, body(&key)["personnel_ids"].to_string());
    }
    api.place.town.finish_all().await;
    assert_eq!(api.place.town.sandbox.accounting().charged_total, 150 * 15);
    api.end().await;
}

const SCOPES: [&str; 5] = ["read", "values", "propose", "enqueue", "approve"];

/// A token with some of the scopes, as bits, for one account, under 30 credits a day.
struct Holder {
    name: String,
    set: u32,
    account: &'static str,
}

impl Holder {
    fn has(&self, scope: &str) -> bool {
        SCOPES.iter().position(|one| *one == scope).is_some_and(|bit| self.set & (1 << bit) != 0)
    }

    fn configured(&self, setup: Setup, folder: &std::path::Path) -> Setup {
        let file = folder.join(&self.name);
        write_token(&file, &token(&self.name));
        let scopes: Vec<&str> = SCOPES.into_iter().filter(|scope| self.has(scope)).collect();
        let key = |key: &str| format!("HTTP__TOKENS__{}__{key}", self.name.to_uppercase());
        setup
            .config(&key("TOKEN_FILE"), &file.display().to_string())
            .config(&key("SCOPES"), &json!(scopes).to_string())
            .config(&key("ACCOUNTS"), &json!([self.account]).to_string())
            .config(&key("DAILY_CREDITS"), "30")
    }

    /// Of a request of the account `default`, and of all lists.
    async fn sees_no_more_than_it_may(&self, api: &Api, request: &Value) {
        let (name, sees) = (&self.name, self.account == "default");
        for path in ["", "/contacts", "/events"].map(|part| format!("/requests/{request}{part}")) {
            let answer = api.get(name, &path).await;
            let may = self.has("read") || (path.ends_with("contacts") && self.has("values"));
            let expected = match (may, sees) {
                (false, _) => 403,
                (true, true) => 200,
                (true, false) => 404,
            };
            assert_eq!(answer.status, expected, "{name} {path}: {}", answer.text);
            let shows = path.ends_with("contacts") && self.has("values") && sees;
            assert_eq!(answer.text.contains('@'), shows, "{name} {path}");
        }
        for path in ["/requests", "/changes", "/balance", "/spend?by=account", "/claims"] {
            let answer = api.get(name, path).await;
            assert_eq!(answer.status, if self.has("read") { 200 } else { 403 }, "{name} {path}");
            assert!(sees || !answer.text.contains("\"default\""), "{name} {path}: {}", answer.text);
            assert!(!answer.text.contains('@'), "{name} {path}");
        }
    }

    /// Asks three times for 30 credits and approves what waits; returns how many of them go ahead.
    async fn buys(&self, api: &mut Api, next: &mut u32) -> usize {
        let (name, mut bought) = (&self.name, 0);
        for _ in 0..3 {
            let ids = [format!("{next}01"), format!("{next}02")];
            *next += 1;
            let body = json!({"account": self.account, "personnel_ids": ids});
            let answer = api.post(name, "/requests", &body).await;
            let may_ask = self.has("propose") || self.has("enqueue");
            assert!(answer.status == 403 || (may_ask && answer.status == 201), "{name}: {}", answer.text);
            api.place.town.settle().await;
            if answer.status == 201 {
                let id = ok(&answer, 201)["id"].clone();
                let (status,): (String,) =
                    api.place.town.one(&format!("select status from inbox where id = {id}")).await;
                bought += usize::from(status != "awaiting_approval");
                let figure = json!({"credits": 30});
                let approved = api.post(name, &format!("/requests/{id}/approve"), &figure).await;
                assert!(self.has("approve") || approved.status == 403, "{name}: {}", approved.text);
                bought += usize::from(approved.status == 200);
            }
        }
        bought
    }
}

/// Every call with tokens of many combinations of scopes, for one account and for another: none sees or spends more than
/// its scopes, its account and its day allow.
#[tokio::test]
async fn a_token_never_sees_or_spends_more_than_its_scopes() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut setup = Setup::default().config("ACCOUNTS__OTHER__API_KEY", "key-of-the-other");
    // Ten of the 31 combinations, by a step that has no common divisor with them.
    let sets = (0..10).map(|step| 1 + (step * 7) % 31);
    let of_set =
        |set| ["default", "other"].map(|account| Holder { name: format!("t{set}{account}"), set, account });
    let holders: Vec<Holder> = sets.flat_map(of_set).collect();
    for holder in &holders {
        setup = holder.configured(setup, folder.path());
    }
    let mut api = Api::of(setup).await;
    let first = ok(&api.post("all", "/requests", &wanted(&["101"])).await, 201)["id"].clone();
    api.place.town.finish_all().await;
    let mut next = 200;
    for holder in &holders {
        holder.sees_no_more_than_it_may(&api, &first).await;
        let bought = holder.buys(&mut api, &mut next).await;
        let may_buy = holder.has("enqueue") || (holder.has("propose") && holder.has("approve"));
        assert!(bought <= usize::from(may_buy), "{}: {bought}", holder.name);
    }
    // What was only proposed still waits.
    api.place.town.finish().await;
    api.end().await;
}

#[tokio::test]
async fn who_asks_again_gets_304_until_something_changes() {
    let mut api = Api::new().await;
    let id = ok(&api.post("all", "/requests", &wanted(&["101"])).await, 201)["id"].clone();
    let paths = [
        "/requests".to_owned(),
        format!("/requests/{id}"),
        format!("/requests/{id}/contacts"),
        "/spend".to_owned(),
    ];
    for path in paths {
        let get = async |name: &str, tag: &str| {
            let request = api.place.request(Method::GET, &format!("/api/v1{path}")).bearer_auth(token(name));
            read(request.header("if-none-match", tag)).await
        };
        let first = get("all", "\"of before\"").await;
        assert_eq!(first.status, 200, "{path}");
        let tag = first.header("etag").to_owned();
        assert!(tag.len() == 34 && tag.starts_with('"'), "{tag}");
        let again = get("all", &tag).await;
        assert_eq!(
            (again.status, again.text.as_str(), again.header("etag")),
            (304, "", tag.as_str()),
            "{path}"
        );
        // What may not be seen is not confirmed either.
        assert_eq!(get("approve", &tag).await.status, 403);
    }
    let path = format!("/api/v1/requests/{id}/contacts");
    let get = |name: &str| api.place.request(Method::GET, &path).bearer_auth(token(name));
    let before = read(get("all")).await.header("etag").to_owned();
    api.place.town.finish_all().await;
    let get = |name: &str| api.place.request(Method::GET, &path).bearer_auth(token(name));
    let after = read(get("all").header("if-none-match", &before)).await;
    assert_eq!(after.status, 200);
    let without_values = read(get("read").header("if-none-match", after.header("etag"))).await;
    assert_eq!(without_values.status, 200, "another caller sees another body");
    api.end().await;
}

#[tokio::test]
async fn tokens_change_with_the_configuration_without_a_restart() {
    let mut api = Api::new().await;
    ok(&api.get("read", "/balance").await, 200);
    api.place.town.configure("HTTP__TOKENS__READ__SCOPES", r#"["propose"]"#).await;
    assert_eq!(api.get("read", "/balance").await.status, 403);
    let file = api.folder.path().join("new");
    write_token(&file, &token("new"));
    assert_eq!(api.get("new", "/balance").await.status, 401);
    api.place.town.set_env("HTTP__TOKENS__NEW__SCOPES", r#"["read"]"#);
    api.place.town.configure("HTTP__TOKENS__NEW__TOKEN_FILE", &file.display().to_string()).await;
    ok(&api.get("new", "/balance").await, 200);
    api.end().await;
}
