//! Each scope with each call: what it may, and nothing else.

use reqwest::Method;
use serde_json::json;

use super::{Api, ok, problem, wanted};
use crate::place::read;
use crate::support::Setup;

/// A call, and the scopes that alone suffice for it.
const CALLS: [(&str, &str, &str); 13] = [
    ("POST", "/plans", "read propose enqueue"),
    ("POST", "/requests", "propose enqueue"),
    ("GET", "/requests", "read"),
    ("GET", "/requests/1", "read"),
    ("GET", "/requests/1/contacts", "read values"),
    ("GET", "/requests/1/events", "read"),
    ("GET", "/requests/1/result", "read"),
    ("POST", "/requests/1/approve", "approve"),
    ("POST", "/requests/1/cancel", "propose enqueue approve"),
    ("GET", "/changes", "read"),
    ("GET", "/balance", "read"),
    ("GET", "/spend", "read"),
    ("GET", "/claims", "read"),
];

#[tokio::test]
async fn each_scope_opens_its_calls_and_no_other() {
    let mut api = Api::of(Setup::default().config("CREDITS__APPROVE_ABOVE", "0")).await;
    ok(&api.post("all", "/requests", &wanted(&["101"])).await, 201);
    api.place.town.settle().await;
    for (method, path, scopes) in CALLS {
        for scope in ["read", "values", "propose", "enqueue", "approve"] {
            let answer = match method {
                "GET" => api.get(scope, path).await,
                // Refused for its figure, where the scope suffices.
                _ if path.ends_with("approve") => api.post(scope, path, &json!({"credits": 1})).await,
                _ => api.post(scope, path, &wanted(&["102"])).await,
            };
            let may = scopes.split(' ').any(|word| word == scope);
            // Somebody else's request needs the scope approve: the last of the loop.
            let is_of_others = path.ends_with("cancel") && scope != "approve";
            if may && !is_of_others {
                assert!(
                    ![401, 403].contains(&answer.status),
                    "{method} {path} with {scope}: {}",
                    answer.text
                );
            } else {
                let detail = problem(&answer, 403, "missing-scope");
                assert!(answer.header("www-authenticate").contains("insufficient_scope"), "{path}: {detail}");
            }
        }
    }
    api.end().await;
}

#[tokio::test]
async fn every_call_that_is_described_is_in_the_table_and_served() {
    let api = Api::new().await;
    let described = ok(&read(api.place.request(Method::GET, "/api/v1/openapi.json")).await, 200);
    assert!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut calls = Vec::new();
    for (path, item) in described["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            assert_eq!(
                operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"],
                "#/components/schemas/Problem",
                "{path}"
            );
            calls.push((method.to_uppercase(), path.replace("{id}", "1")));
        }
    }
    let mut table: Vec<_> =
        CALLS.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    calls.sort();
    table.sort();
    assert_eq!(calls, table);
    api.end().await;
}

#[tokio::test]
async fn nothing_is_told_without_a_token() {
    let api = Api::new().await;
    for (method, path, _) in CALLS {
        let method: Method = method.parse().expect("a method");
        let path = format!("/api/v1{path}");
        let call = || api.place.request(method.clone(), &path);
        let answer = read(call()).await;
        problem(&answer, 401, "no-token");
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{path}");
        problem(&read(call().header("authorization", "Basic canary")).await, 401, "no-token");
    }
    problem(
        &read(api.place.request(Method::GET, "/api/v1/balance").bearer_auth("wrong")).await,
        401,
        "wrong-token",
    );
    api.end().await;
}

#[tokio::test]
async fn a_token_sees_its_own_accounts_only() {
    let mut api = Api::new().await;
    ok(&api.post("all", "/requests", &wanted(&["101"])).await, 201);
    let hidden = ["/requests/1", "/requests/1/contacts", "/requests/1/events", "/requests/1/result"];
    for is_taken in [false, true] {
        if is_taken {
            api.place.town.finish().await;
        }
        for path in hidden {
            problem(&api.get("elsewhere", path).await, 404, "not-found");
        }
        for (path, body) in
            [("/requests/1/approve", json!({"credits": 15})), ("/requests/1/cancel", json!({}))]
        {
            problem(&api.post("elsewhere", path, &body).await, 404, "not-found");
        }
        assert_eq!(ok(&api.get("elsewhere", "/requests").await, 200)["requests"], json!([]));
        assert_eq!(ok(&api.get("elsewhere", "/changes").await, 200)["changes"], json!([]));
        assert_eq!(ok(&api.get("elsewhere", "/balance").await, 200)["accounts"], json!([]));
        assert_eq!(ok(&api.get("elsewhere", "/spend").await, 200)["spend"], json!([]));
    }
    for path in ["/plans", "/requests"] {
        problem(&api.post("elsewhere", path, &wanted(&["101"])).await, 403, "not-allowed");
        // An account that it may use, and that is not configured.
        let body = json!({"account": "other", "personnel_ids": ["101"]});
        let detail = problem(&api.post("elsewhere", path, &body).await, 422, "invalid");
        assert!(!detail.contains("default"), "{detail}");
    }
    api.end().await;
}
