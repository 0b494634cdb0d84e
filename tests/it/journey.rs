//! The whole journey of a request, and its timing.

use std::collections::BTreeMap;

use crate::support::{Setup, Town, good_ids, refs};

/// The outcome that the sandbox's rules predict, with an event.
fn predicted(id: &str) -> &'static str {
    match &id[id.len() - 2..] {
        "90" => "not_returned",
        "91" => "missing",
        "92" => "unlinked",
        "94" => "invalid",
        "96" | "99" => "no_value",
        "97" => "failed",
        "98" => "unresolved",
        _ => "delivered",
    }
}

#[tokio::test]
async fn five_requests_for_300_contacts_end_as_predicted() {
    let mut town = Town::new().await;
    let mut requests = Vec::new();
    for part in 0..5_u64 {
        let ids: Vec<String> = (0..60).map(|place| (100_040 + part * 1_000 + place).to_string()).collect();
        requests.push((town.insert(Some("139574"), &refs(&ids)).await, ids));
    }
    town.finish_all().await;

    for (request, ids) in &requests {
        assert_eq!(town.status(*request).await, "done");
        let expected: BTreeMap<String, String> =
            ids.iter().map(|id| (id.clone(), predicted(id).to_owned())).collect();
        assert_eq!(town.outcomes(*request).await, expected);
    }
    let posts = town.posts();
    assert!(posts.iter().all(|post| Town::sent(post).len() <= 100), "{} posts", posts.len());
    assert!(posts.len() <= 4, "300 contacts are 3 or 4 calls, not {}", posts.len());
    let charged = town.sandbox.accounting().charged_total;
    assert_eq!(town.verdicts().await, [(charged, "matched".to_owned())]);
    let balances = town.calls("/credits/balance").len();
    assert!(balances <= 4, "snapshots are shared: {balances} balance calls for {} jobs", posts.len());
    town.check().await;
}

#[tokio::test]
async fn a_task_of_26_seconds_is_polled_at_3_8_18_and_28_and_never_again() {
    let mut town = Setup::default().sandbox(|options| options.task_seconds = 26.0).build().await;
    let request = town.insert(None, &["101"]).await;
    town.tick(120_000).await;
    assert_eq!(town.polls(), [3_000, 8_000, 18_000, 28_000]);
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("task".into())));
    town.check().await;
}

#[tokio::test]
async fn two_requests_for_the_same_contact_pay_once() {
    let mut town = Town::new().await;
    let first = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    let second = town.insert(None, &["102", "103"]).await;
    town.finish_all().await;
    let posts: Vec<_> = town.posts().iter().map(Town::sent).collect();
    assert_eq!(posts, [vec!["101", "102"], vec!["103"]]);
    assert_eq!(town.outcome(first, "102").await.0, "delivered");
    assert_eq!(town.outcome(second, "102").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn what_was_delivered_is_served_from_the_store_without_a_call() {
    let mut town = Town::new().await;
    town.insert(Some("1"), &["101"]).await;
    town.finish_all().await;
    let before = town.sandbox.journal().len();
    let again = town.insert(Some("2"), &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.sandbox.journal().len(), before);
    assert_eq!(town.outcome(again, "101").await, ("delivered".into(), Some("store".into())));
    town.check().await;
}

#[tokio::test]
async fn a_restart_between_any_two_moments_changes_nothing() {
    let mut town = Town::new().await;
    let ids = good_ids(500_100, 150);
    let request = town.insert(Some("7"), &refs(&ids)).await;
    for _ in 0..60 {
        town.settle().await;
        town.restart().await;
        town.tick(1_000).await;
    }
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    assert_eq!(town.posts().len(), 2);
    assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
    town.check().await;
}
