//! The outcomes of contacts.

use serde_json::{Value, json};
use unlockd::sandbox::Options;

use crate::{quiet_town, read, town};

#[tokio::test]
async fn an_ordinary_contact_is_unlocked_with_an_email() {
    let town = quiet_town().await;
    assert_eq!(
        town.unlock(&["789"]).await,
        json!({ "status": "accepted", "task_id": "321", "job_id": "321" })
    );
    town.advance(12);
    assert_eq!(
        town.task("321").await,
        json!({
            "taskId": "321",
            "taskStatus": "completed",
            "items": [
                { "personnelId": "789", "status": "unlocked", "email": "contact-789@example.com" }
            ],
        })
    );
    assert_eq!(town.balance().await, 9_985);
}

#[tokio::test]
async fn a_contact_ending_in_90_is_charged_and_not_named() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1090").await, Value::Null);
    assert_eq!(town.charged("1090"), 1);
    assert_eq!(town.profile("1090").await["contactUnlockStatus"], "locked");
}

#[tokio::test]
async fn contacts_that_cannot_be_bought_are_skipped_by_group() {
    let town = quiet_town().await;
    let body = json!({
        "personnel_ids": ["1091", "1092", "1093", "1094", "1095", "abc", "1001", "1001"],
        "event_id": "139574",
    });
    let answer = read(town.post("/external/contacts/unlock", &body), 201).await;
    assert_eq!(
        answer["skipped_detail"],
        json!({
            "invalid_personnel_ids": ["1094", "abc"],
            "missing_personnel_ids": ["1091"],
            "unlinked_personnel_ids": ["1092"],
            "already_unlocked_personnel_ids": ["1093"],
            "unlocking_personnel_ids": ["1095"],
        })
    );
    assert_eq!(answer["skipped_personnel_ids"], json!(["1094", "abc", "1091", "1092", "1093", "1095"]));
    assert_eq!(town.balance().await, 9_985);
}

#[tokio::test]
async fn a_contact_ending_in_92_is_sold_without_an_event() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1092").await["status"], "unlocked");
}

#[tokio::test]
async fn a_contact_ending_in_93_is_read_and_not_bought() {
    let town = quiet_town().await;
    assert_eq!(
        town.unlock(&["1093"]).await,
        json!({
            "status": "success",
            "skipped_personnel_ids": ["1093"],
            "skipped_detail": { "already_unlocked_personnel_ids": ["1093"] },
        })
    );
    let profile = town.profile("1093").await;
    assert_eq!(profile["email"], "contact-1093@example.com");
    assert_eq!(profile["contactUnlockStatus"], "unlocked");
    assert_eq!(town.balance().await, 10_000);
}

#[tokio::test]
async fn a_contact_ending_in_95_appears_ten_seconds_after_it_was_asked_for() {
    let town = quiet_town().await;
    town.unlock(&["1095"]).await;
    town.advance(9);
    let profile = town.profile("1095").await;
    assert_eq!(profile["contactUnlockStatus"], "processing");
    assert_eq!(profile["email"], Value::Null);
    town.advance(1);
    let profile = town.profile("1095").await;
    assert_eq!(profile["contactUnlockStatus"], "unlocked");
    assert_eq!(profile["email"], "contact-1095@example.com");
}

#[tokio::test]
async fn a_contact_ending_in_96_is_unlocked_with_a_blank_email() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1096").await, json!({ "personnelId": "1096", "status": "unlocked", "email": "" }));
}

#[tokio::test]
async fn a_contact_ending_in_97_fails_with_a_code() {
    let town = quiet_town().await;
    assert_eq!(
        town.fate("1097").await,
        json!({ "personnelId": "1097", "status": "failed", "errorCode": "NO_EMAIL_FOUND" })
    );
    assert_eq!(town.balance().await, 9_985);
}

#[tokio::test]
async fn a_contact_ending_in_98_is_still_processing_at_the_end() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1098").await, json!({ "personnelId": "1098", "status": "processing" }));
    let profile = town.profile("1098").await;
    assert_eq!(profile["contactUnlockStatus"], "processing");
}

#[tokio::test]
async fn a_contact_ending_in_99_is_unlocked_without_an_email() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1099").await, json!({ "personnelId": "1099", "status": "unlocked" }));
}

#[tokio::test]
async fn failures_are_paid_back_only_when_told() {
    let town = town(Options { refund_failed: true, ..Options::default() }).await;
    town.unlock(&["1090", "1097", "1098", "1001"]).await;
    assert_eq!(town.balance().await, 9_940);
    town.advance(12);
    assert_eq!(town.balance().await, 9_985);
    let accounting = town.sandbox.accounting();
    assert_eq!(accounting.refunded_total, 45);
    assert_eq!(accounting.charged_total, 60);
}
