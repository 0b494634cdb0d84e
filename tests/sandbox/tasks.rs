//! Tasks.

use serde_json::{Value, json};
use unlockd::sandbox::{self, Options};

use crate::{Town, client, header, quiet_town, read, send};

#[tokio::test]
async fn a_task_is_pending_then_its_items_end_one_by_one() {
    let town = quiet_town().await;
    town.unlock(&["1", "2", "3"]).await;
    let statuses = |task: Value| {
        let items = task["items"].as_array().expect("items").clone();
        let items: Vec<_> = items.iter().map(|item| item["status"].clone()).collect();
        (task["taskStatus"].clone(), json!(items))
    };
    let pending = json!(["pending", "pending", "pending"]);
    assert_eq!(statuses(town.task("321").await), (json!("pending"), pending));
    town.advance(6);
    let some = json!(["unlocked", "processing", "processing"]);
    assert_eq!(statuses(town.task("321").await), (json!("processing"), some));
    town.advance(6);
    let all = json!(["unlocked", "unlocked", "unlocked"]);
    assert_eq!(statuses(town.task("321").await), (json!("completed"), all));
}

#[tokio::test]
async fn time_moves_by_itself_unless_told_otherwise() {
    let sandbox = sandbox::start(Options { task_seconds: 0.0, ..Options::default() });
    let town = Town { sandbox: sandbox.await.expect("a port is free"), client: client() };
    town.unlock(&["1"]).await;
    assert_eq!(town.task("321").await["taskStatus"], "completed");
}

#[tokio::test]
async fn a_task_is_seen_only_by_its_owner_and_on_its_own_endpoint() {
    let town = quiet_town().await;
    town.unlock(&["1"]).await;
    let path = "/external/contacts/unlock-tasks/321";
    let url = format!("{}{path}", town.sandbox.base_url());
    let stranger = town.client.get(url).bearer_auth("another@elsewhere");
    read(stranger, 404).await;
    read(town.get("/external/contacts/unlock-phone-tasks/321"), 404).await;
    read(town.get("/external/contacts/unlock-tasks/99"), 404).await;
    read(town.get(path), 200).await;
}

#[tokio::test]
async fn phones_have_their_own_price_task_and_status() {
    let town = quiet_town().await;
    let body = json!({ "personnel_ids": ["789", "1097"] });
    let accepted = read(town.post("/external/contacts/unlock-phone", &body), 201).await;
    assert_eq!(accepted["task_id"], "321");
    assert_eq!(town.balance().await, 9_700);
    assert_eq!(town.profile("789").await["phoneUnlockStatus"], "processing");
    town.advance(12);
    let task = read(town.get("/external/contacts/unlock-phone-tasks/321"), 200).await;
    assert_eq!(
        task["items"],
        json!([
            { "personnelId": "789", "status": "unlocked", "phone": "+1-555-01789" },
            { "personnelId": "1097", "status": "failed", "errorCode": "NO_PHONE_FOUND" },
        ])
    );
    let profile = town.profile("789").await;
    assert_eq!(profile["phone"], "+1-555-01789");
    assert_eq!(profile["phoneUnlockStatus"], "ready");
    assert_eq!(profile["contactUnlockStatus"], "locked");
    assert_eq!(town.profile("1097").await["phoneUnlockStatus"], "failed");
}

#[tokio::test]
async fn the_event_decides_how_a_task_ends() {
    let town = quiet_town().await;
    for (event_id, status) in [("1404", 404), ("1500", 201), ("1999", 201)] {
        let body = json!({ "personnel_ids": [event_id], "event_id": event_id });
        read(town.post("/external/contacts/unlock", &body), status).await;
    }
    town.advance(100_000);
    let failed = town.task("321").await;
    assert_eq!(failed["taskStatus"], "failed");
    assert_eq!(failed["items"][0]["errorCode"], "TASK_FAILED");
    assert_eq!(town.task("322").await["taskStatus"], "processing");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_costs_nothing() {
    let town = quiet_town().await;
    let many: Vec<String> = (0..2001).map(|id| id.to_string()).collect();
    for (body, status, error_key) in [
        (json!({}), 400, "INVALID_REQUEST"),
        (json!([]), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": [] }), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": [789] }), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": ["1"], "event_id": 5 }), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": many }), 422, "LEAD_SELECTION_LIMIT_EXCEEDED"),
        (json!({ "personnel_ids": many[..700] }), 402, "INSUFFICIENT_CREDITS"),
    ] {
        let error = read(town.post("/external/contacts/unlock", &body), status).await;
        assert_eq!(error["errorKey"], error_key);
    }
    assert_eq!(town.sandbox.accounting().tasks_created, 0);
    assert_eq!(town.balance().await, 10_000);
}

#[tokio::test]
async fn an_error_has_the_documented_shape_and_its_trace_id_in_a_header() {
    let town = quiet_town().await;
    let response = send(town.get("/external/nothing")).await;
    let trace_id = header(&response, "x-request-id").expect("a trace id");
    let error: Value = response.json().await.expect("JSON");
    assert_eq!(
        error,
        json!({
            "code": 404,
            "message": "Resource not found",
            "errorKey": "NOT_FOUND",
            "traceId": trace_id,
        })
    );
}
