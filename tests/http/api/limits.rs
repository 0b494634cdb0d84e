//! Limits of a token: its credits in a day, wrong tokens, and who may approve by a row.

use reqwest::Method;
use serde_json::json;

use super::{Api, ok, problem, token, wanted};
use crate::place::{read, write_token};
use crate::support::Setup;

#[tokio::test]
async fn a_token_asks_for_no_more_than_its_credits_of_the_day() {
    let mut api = Api::new().await;
    ok(&api.post_once("capped", "a", &wanted(&["101", "102", "103"])).await, 201);
    let detail = problem(&api.post_once("capped", "b", &wanted(&["104", "105"])).await, 403, "daily-credits");
    assert!(detail.contains("30 credits") && detail.contains("15 more until"), "{detail}");
    // What was asked for before is not counted again, and what is refused is not counted at all.
    ok(&api.post_once("capped", "a", &wanted(&["101", "102", "103"])).await, 200);
    ok(&api.post_once("capped", "c", &wanted(&["106"])).await, 201);
    problem(&api.post_once("capped", "d", &wanted(&["107"])).await, 403, "daily-credits");
    ok(&api.post_once("enqueue", "e", &wanted(&["108", "109"])).await, 201);
    assert_eq!(api.place.town.number("select count(*) from inbox").await, 3);
    api.place.town.clock.advance(std::time::Duration::from_hours(24));
    ok(&api.post_once("capped", "d", &wanted(&["107"])).await, 201);
    api.place.town.finish_all().await;
    api.end().await;
}

#[tokio::test]
async fn at_once_they_are_not_exceeded_either() {
    let mut api = Api::new().await;
    let ids: Vec<String> = (101..111).map(|id| id.to_string()).collect();
    let bodies: Vec<_> = ids.iter().map(|id| wanted(&[id])).collect();
    let answers =
        futures_util::future::join_all(bodies.iter().map(|body| api.post("capped", "/requests", body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 4);
    api.place.town.finish_all().await;
    assert_eq!(api.place.town.sandbox.accounting().charged_total, 60);
    api.end().await;
}

/// What waits for a person is counted when the token itself approves it, and waits whatever happens to its price.
#[tokio::test]
async fn an_approval_is_counted_and_a_request_that_waits_is_not() {
    let mut api = Api::of(Setup::default().config("CREDITS__APPROVE_ABOVE", "15")).await;
    ok(&api.post("capped", "/requests", &wanted(&["101", "102", "103"])).await, 201);
    ok(&api.post("capped", "/requests", &wanted(&["103", "104"])).await, 201);
    assert_eq!(api.place.town.number("select sum(needs_approval) from inbox").await, 2);
    api.place.town.settle().await;
    problem(&api.post("capped", "/requests/1/approve", &json!({"credits": 44})).await, 409, "another-figure");
    problem(&api.post("capped", "/requests/1/approve", &json!({"credits": -1})).await, 422, "invalid");
    ok(&api.post("capped", "/requests/1/approve", &json!({"credits": 45})).await, 200);
    problem(&api.post("capped", "/requests/2/approve", &json!({"credits": 30})).await, 403, "daily-credits");
    assert_eq!(api.place.town.status(2).await, "awaiting_approval");
    api.end().await;
}

#[tokio::test]
async fn a_row_is_approved_by_who_may_approve_only() {
    let setup = Setup::default().config("CREDITS__APPROVE_ABOVE", "15");
    let mut api = Api::of(setup).await;
    let approved = json!({"personnel_ids": ["101", "102"], "approved": true});
    for name in ["enqueue", "proposer"] {
        problem(&api.post(name, "/requests", &approved).await, 403, "missing-scope");
    }
    let adopted = json!({"task_id": "321"});
    problem(&api.post("proposer", "/requests", &adopted).await, 403, "missing-scope");
    ok(&api.post("all", "/requests", &approved).await, 201);
    api.place.town.finish().await;
    assert_eq!(api.place.town.status(1).await, "done");
    api.place.town.configure("CREDITS__APPROVE_FROM_INBOX", "false").await;
    let refused = problem(&api.post("all", "/requests", &approved).await, 403, "not-allowed");
    assert!(refused.contains("credits.approve_from_inbox"), "{refused}");
    api.end().await;
}

#[tokio::test]
async fn after_many_wrong_tokens_none_is_accepted_for_a_minute() {
    let api = Api::new().await;
    let wrong = || read(api.place.request(Method::GET, "/api/v1/balance").bearer_auth("canary-wrong"));
    for _ in 0..20 {
        problem(&wrong().await, 401, "wrong-token");
    }
    let answer = wrong().await;
    problem(&answer, 429, "too-many-wrong-tokens");
    assert_eq!(answer.header("retry-after"), "61");
    problem(&api.get("read", "/balance").await, 429, "too-many-wrong-tokens");
    api.place.town.clock.advance(std::time::Duration::from_mins(1));
    ok(&api.get("read", "/balance").await, 200);
    api.end().await;
}

#[tokio::test]
async fn a_token_is_changed_by_its_file() {
    let api = Api::new().await;
    let file = api.folder.path().join("read");
    write_token(&file, "another-token-of-16");
    problem(&api.get("read", "/balance").await, 401, "wrong-token");
    write_token(&file, &token("read"));
    ok(&api.get("read", "/balance").await, 200);
    std::fs::remove_file(&file).expect("removed");
    problem(&api.get("read", "/balance").await, 401, "wrong-token");
    ok(&api.get("all", "/balance").await, 200);
    api.end().await;
}
