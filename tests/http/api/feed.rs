//! The change feed: order, cursor, and waiting for a commit.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Api, ok, problem, wanted};

#[tokio::test]
async fn each_change_is_read_once_and_in_order() {
    let mut api = Api::new().await;
    ok(&api.post("enqueue", "/requests", &wanted(&["101", "102", "103"])).await, 201);
    let none = ok(&api.get("read", "/changes").await, 200);
    assert_eq!((&none["changes"], &none["next_after"]), (&json!([]), &json!(0)));
    api.place.town.finish().await;
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let part = ok(&api.get("read", &format!("/changes?after={after}&limit=2")).await, 200);
        let changes = part["changes"].as_array().expect("a list");
        if changes.is_empty() {
            break;
        }
        seen.extend(changes.iter().map(|one| one["personnel_id"].as_str().expect("an id").to_owned()));
        assert!(part["next_after"].as_i64() > Some(after));
        after = part["next_after"].as_i64().expect("a number");
    }
    seen.sort();
    assert_eq!(seen, ["101", "102", "103"]);
    api.end().await;
}

#[tokio::test]
async fn a_call_that_waits_is_woken_by_a_commit() {
    let mut api = Api::new().await;
    ok(&api.post("enqueue", "/requests", &wanted(&["101"])).await, 201);
    let began = Instant::now();
    let waiting = {
        let request = api.place.request(reqwest::Method::GET, "/api/v1/changes?wait=30");
        tokio::spawn(crate::place::read(request.bearer_auth(super::token("read"))))
    };
    api.place.town.finish().await;
    let answer = waiting.await.expect("an answer");
    assert_eq!(ok(&answer, 200)["changes"][0]["outcome"], "delivered");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    api.end().await;
}

#[tokio::test]
async fn a_stop_ends_a_call_that_waits() {
    let api = Api::new().await;
    let request = api.place.request(reqwest::Method::GET, "/api/v1/changes?wait=60");
    let waiting = tokio::spawn(crate::place::read(request.bearer_auth(super::token("read"))));
    // Answered afterwards, so the one before has begun to wait, or is about to.
    ok(&api.get("read", "/changes").await, 200);
    let began = Instant::now();
    api.place.signals.stop();
    if let Ok(answer) = waiting.await {
        assert_eq!(ok(&answer, 200)["changes"], json!([]));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    api.end().await;
}

#[tokio::test]
async fn numbers_out_of_range_are_refused() {
    let api = Api::new().await;
    for query in
        ["after=-1", "wait=61", "wait=-1", "limit=0", "limit=1001", "after=x", "since=1", "after=1&after=2"]
    {
        problem(&api.get("read", &format!("/changes?{query}")).await, 400, "malformed");
    }
    api.end().await;
}
