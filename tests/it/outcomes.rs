//! The outcome of a contact, on every way that it can take.

use unlockd::sandbox::Channel;

use crate::support::{Setup, Town};

#[tokio::test]
async fn unknown_status_words_are_neither_an_end_nor_a_delivery() {
    let mut town = Town::new().await;
    town.fault("2x:broken=unknown@poll");
    let request = town.insert(None, &["101"]).await;
    town.tick(17_999).await;
    // At 3 s and 8 s the words were unknown; at 18 s the task has ended.
    assert_eq!(town.outcome(request, "101").await.0, "pending");
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn items_named_twice_count_once_and_strangers_not_at_all() {
    let mut town = Town::new().await;
    town.fault("always:broken=strangers@poll");
    let request = town.insert(None, &["101", "102"]).await;
    town.finish_all().await;
    let outcomes = town.outcomes(request).await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.values().all(|outcome| outcome == "delivered"));
    town.check().await;
}

#[tokio::test]
async fn odd_items_of_a_task_cost_the_others_nothing() {
    let mut town = Town::new().await;
    town.fault("always:broken=odd@poll");
    let request = town.insert(None, &["101", "102"]).await;
    town.finish_all().await;
    let outcomes = town.outcomes(request).await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.values().all(|outcome| outcome == "delivered"), "{outcomes:?}");
    // At 3 s, 8 s and 18 s, as usual: none was taken for a failure.
    assert_eq!(town.calls("/unlock-tasks/").len(), 3);
    town.check().await;
}

#[tokio::test]
async fn an_end_without_items_is_asked_about_again_and_believed_the_third_time() {
    // The third poll is the first that finds the task ended; the two before it find it running.
    for (unlisted, polls, outcome) in [(4, 5, "delivered"), (5, 5, "not_returned")] {
        let mut town = Town::new().await;
        town.fault(&format!("{unlisted}x:broken=unlisted@poll"));
        let request = town.insert(None, &["101", "102"]).await;
        town.finish_all().await;
        let outcomes = town.outcomes(request).await;
        assert!(outcomes.values().all(|found| found == outcome), "{unlisted}: {outcomes:?}");
        assert_eq!(town.calls("/unlock-tasks/").len(), polls, "{unlisted}");
        assert_eq!(
            (town.job_state(1).await, town.status(request).await),
            ("completed".into(), "done".into())
        );
        town.check().await;
    }
}

#[tokio::test]
async fn a_failed_end_without_items_is_believed_the_third_time_too() {
    let mut town = Town::new().await;
    town.fault("always:broken=unlisted@poll");
    let request = town.insert(Some("1500"), &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "not_returned");
    assert_eq!((town.job_state(1).await, town.status(request).await), ("failed".into(), "done".into()));
    town.check().await;
}

#[tokio::test]
async fn a_poll_with_a_broken_body_loses_neither_task_nor_schedule() {
    for broken in ["html", "empty", "types", "truncated", "deep"] {
        let mut town = Town::new().await;
        town.fault(&format!("2x:broken={broken}@poll"));
        let request = town.insert(None, &["101"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{broken}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_huge_answer_to_a_poll_is_not_read_to_its_end() {
    let mut town = Town::new().await;
    town.fault("broken=huge@poll");
    let request = town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn what_somebody_else_has_unlocked_is_read_and_costs_nothing() {
    let mut town = Town::new().await;
    town.sandbox.mark_unlocked("102", Channel::Email);
    let request = town.insert(None, &["101", "102", "193"]).await;
    town.finish_all().await;
    for id in ["102", "193"] {
        assert_eq!(town.outcome(request, id).await, ("delivered".into(), Some("profile".into())), "{id}");
    }
    // The API skips the two.
    assert_eq!(town.posts().iter().map(Town::sent).collect::<Vec<_>>(), [["101", "102", "193"]]);
    assert_eq!(town.verdicts().await, [(15, "matched".to_owned())]);
    town.check().await;
}

#[tokio::test]
async fn a_batch_of_which_everything_was_unlocked_before_is_read_and_never_sent() {
    let mut town = Town::new().await;
    town.sandbox.mark_unlocked("102", Channel::Email);
    let request = town.insert(None, &["102", "193"]).await;
    town.finish_all().await;
    for id in ["102", "193"] {
        assert_eq!(town.outcome(request, id).await, ("delivered".into(), Some("profile".into())), "{id}");
    }
    assert_eq!((town.posts().len(), town.sandbox.accounting().charged_total), (0, 0));
    town.check().await;
}

#[tokio::test]
async fn without_a_precheck_the_submission_itself_sorts_out_what_was_had() {
    let mut town = Setup::default().config("SUBMIT__PRECHECK", "false").build().await;
    let request = town.insert(Some("7"), &["101", "191", "192", "193", "194", "195"]).await;
    town.finish_all().await;
    let of = |id| format!("select outcome, source from contact_outcomes where personnel_id = '{id}'");
    for (id, outcome, source) in [
        ("101", "delivered", Some("task")),
        ("191", "missing", None),
        ("192", "unlinked", None),
        ("193", "delivered", Some("profile")),
        ("194", "invalid", None),
        ("195", "delivered", Some("profile")),
    ] {
        let found: (String, Option<String>) = town.one(&of(id)).await;
        assert_eq!(found, (outcome.to_owned(), source.map(str::to_owned)), "{id}");
    }
    assert_eq!(town.status(request).await, "done");
    assert_eq!(town.posts().len(), 1);
    assert_eq!(town.verdicts().await, [(15, "matched".to_owned())]);
    town.check().await;
}

#[tokio::test]
async fn a_contact_that_somebody_else_is_unlocking_is_waited_for_and_not_bought() {
    let mut town = Town::new().await;
    let request = town.insert(None, &["195"]).await;
    town.tick(9_000).await;
    assert_eq!(town.outcome(request, "195").await.0, "pending");
    town.finish_all().await;
    assert_eq!(town.outcome(request, "195").await, ("delivered".into(), Some("profile".into())));
    assert_eq!(town.sandbox.accounting().charged_total, 0);
    town.check().await;
}

#[tokio::test]
async fn unlinked_for_one_event_says_nothing_about_another() {
    let mut town = Setup::default().config("SUBMIT__PRECHECK", "false").build().await;
    let with_event = town.insert(Some("7"), &["101", "192"]).await;
    let without = town.insert(None, &["192"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(with_event, "192").await.0, "unlinked");
    assert_eq!(town.outcome(without, "192").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn phones_cost_150_and_go_their_own_way() {
    let mut town = Town::new().await;
    let email = town.insert(None, &["101"]).await;
    let phone = town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[101, \"199\"]'").await;
    town.finish_all().await;
    assert_eq!(town.outcome(email, "101").await.0, "delivered");
    assert_eq!(town.outcome(phone, "101").await.0, "delivered");
    assert_eq!(town.outcome(phone, "199").await.0, "no_value");
    assert_eq!(town.sandbox.accounting().charged_total, 315);
    assert_eq!(town.calls("/unlock-phone").len(), 1 + town.calls("/unlock-phone-tasks/").len());
    assert_eq!(town.verdicts().await, [(315, "matched".to_owned())]);
    town.check().await;
}

#[tokio::test]
async fn a_task_that_fails_gives_every_item_its_error_code() {
    let mut town = Town::new().await;
    let request = town.insert(Some("1500"), &["101", "102"]).await;
    town.finish_all().await;
    let rows: Vec<(String, Option<String>)> =
        town.all("select outcome, error_code from contact_outcomes").await;
    assert_eq!(rows, vec![("failed".to_owned(), Some("TASK_FAILED".to_owned())); 2]);
    assert_eq!((town.job_state(1).await, town.status(request).await), ("failed".into(), "done".into()));
    town.check().await;
}

/// A task that another program created, with these contacts.
async fn foreign_task(town: &Town, ids: &[&str]) -> String {
    let answer = reqwest::Client::new()
        .post(format!("{}/external/contacts/unlock", town.sandbox.base_url()))
        .bearer_auth("uak_test_1")
        .header("content-type", "application/json")
        .body(serde_json::json!({ "personnel_ids": ids }).to_string())
        .send()
        .await
        .expect("an answer");
    let text = answer.text().await.expect("a body");
    let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    body["task_id"].as_str().expect("a task").to_owned()
}

#[tokio::test]
async fn a_task_is_adopted_with_and_without_its_contacts_and_only_once() {
    let mut town = Town::new().await;
    town.allowed.restored = true; // Two POSTs are somebody else's.
    let named = foreign_task(&town, &["101", "102"]).await;
    let unnamed = foreign_task(&town, &["201", "290"]).await;
    let with = town.insert_row("task_id, personnel_ids", &format!("'{named}', '[\"101\",\"177\"]'")).await;
    let without = town.insert_row("task_id", &format!("'{unnamed}'")).await;
    let again = town.insert_row("task_id", &format!("'{named}'")).await;
    town.finish_all().await;

    assert_eq!(town.outcome(with, "101").await.0, "delivered");
    assert_eq!(town.outcome(with, "177").await.0, "not_returned");
    assert_eq!(town.outcomes(without).await, [("201".to_owned(), "delivered".to_owned())].into());
    let (status, reason) = town.inbox(again).await;
    assert_eq!(status, "rejected");
    assert!(reason.expect("a reason").contains("followed already"));
    assert_eq!(town.posts().len(), 2, "adopting never submits");
    town.check().await;
}

#[tokio::test]
async fn an_adopted_task_that_nobody_knows_is_lost_and_its_request_ends() {
    let mut town = Town::new().await;
    let request = town.insert_row("task_id", "'999999'").await;
    let with = town.insert_row("task_id, personnel_ids", "'999998', '[1]'").await;
    town.finish_all().await;
    // Found by a stranger: both were `done` without a word.
    let (status, reason) = town.inbox(request).await;
    assert_eq!(status, "rejected");
    assert!(reason.clone().expect("a reason").starts_with("the API knows no task 999999,"), "{reason:?}");
    assert_eq!(town.explained(request).await.reason, reason);
    let (status, reason) = town.inbox(with).await;
    assert_eq!((status.as_str(), town.outcome(with, "1").await.0.as_str()), ("done", "lost"));
    assert!(reason.clone().expect("a reason").contains("does not know task 999998"), "{reason:?}");
    assert_eq!(town.calls("-tasks/").len(), 2, "not asked again");
    town.check().await;
}

#[tokio::test]
async fn a_contact_bought_without_success_can_be_bought_again() {
    let mut town = Town::new().await;
    town.allowed.charged_again = vec!["197".to_owned()];
    let first = town.insert(None, &["197"]).await;
    town.finish_all().await;
    let second = town.insert(None, &["197"]).await;
    town.finish_all().await;
    assert_eq!(
        (town.outcome(first, "197").await.0, town.outcome(second, "197").await.0),
        ("failed".into(), "failed".into())
    );
    assert_eq!(town.sandbox.accounting().charge("197", Channel::Email).times, 2);
    town.check().await;
}

#[tokio::test]
async fn what_is_unlocked_already_is_read_although_others_of_its_request_are_rejected() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "1").build().await;
    town.sandbox.mark_unlocked("101", unlockd::sandbox::Channel::Email);
    town.fault("2x:status=503@profile");
    town.fault("status=404@unlock");
    let request = town.insert(Some("7"), &["101", "102"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    assert_eq!(town.outcome(request, "102").await.0, "rejected");
    town.check().await;
}
