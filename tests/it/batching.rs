//! Which contacts go into one batch.

use unlockd::sandbox::Billing;

use crate::support::{Setup, Town, good_ids, refs};

#[tokio::test]
async fn small_requests_of_one_event_share_a_call() {
    let mut town = Town::new().await;
    for id in 101..=110 {
        town.insert(Some("7"), &[&id.to_string()]).await;
    }
    town.insert(Some("8"), &["201"]).await;
    town.finish_all().await;
    let sizes: Vec<_> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!(sizes, [10, 1]);
    assert_eq!(town.number("select count(*) from inbox where status = 'done'").await, 11);
    town.check().await;
}

#[tokio::test]
async fn a_batch_is_never_larger_than_configured() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "7").build().await;
    let ids = good_ids(1_100, 50);
    town.insert(None, &refs(&ids)).await;
    town.insert(None, &refs(&ids[20..])).await;
    town.finish_all().await;
    let sizes: Vec<_> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (50, Some(&7)));
    town.check().await;
}

#[tokio::test]
async fn ids_repeated_in_a_row_count_once() {
    let mut town = Town::new().await;
    let request = town.insert_row("personnel_ids", "'[\"101\", 101, \" 101 \"]'").await;
    town.finish_all().await;
    assert_eq!(town.outcomes(request).await.len(), 1);
    assert_eq!(town.number("select quoted_credits from inbox").await, 15);
    assert_eq!(town.posts().iter().map(Town::sent).collect::<Vec<_>>(), [["101"]]);
    town.check().await;
}

#[tokio::test]
async fn one_task_without_an_end_does_not_hold_up_the_others() {
    let mut town = Town::new().await;
    let endless = town.insert(Some("1999"), &["101"]).await;
    let other = town.insert(Some("7"), &["201"]).await;
    town.tick(60_000).await;
    assert_eq!((town.status(endless).await, town.status(other).await), ("accepted".into(), "done".into()));
    town.check().await;
}

#[tokio::test]
async fn a_contact_asked_for_with_two_events_travels_once() {
    let mut town = Town::new().await;
    let first = town.insert(Some("7"), &["101"]).await;
    let second = town.insert(Some("8"), &["101", "102"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(first, "101").await.0, "delivered");
    assert_eq!(town.outcome(second, "101").await.0, "delivered");
    let sent: Vec<String> = town.posts().iter().flat_map(Town::sent).collect();
    assert_eq!(sent, ["101", "102"]);
    town.check().await;
}

/// With 2 in a call, 4 waiting contacts are compared at a time: 105 comes into reach when 101, 102 and 106
/// join.
#[tokio::test]
async fn a_contact_that_moves_up_while_others_join_is_looked_up_too() {
    let setup = Setup::default().config("SUBMIT__BATCH_SIZE", "2").config("SUBMIT__PRECHECK", "false");
    let setup = setup.config("CREDITS__APPROVE_ABOVE", "70");
    let mut town = setup.sandbox(|options| options.billing = Billing::Repeats).build().await;
    let approved_later = town.insert(None, &["101", "102", "106", "103", "105"]).await;
    town.settle().await;
    town.insert(Some("7"), &["101", "102", "106", "105"]).await;
    town.settle().await;
    town.approve(approved_later).await;
    town.finish_all().await;
    assert_eq!(town.outcome(approved_later, "105").await.0, "delivered");
    let sent: Vec<String> = town.posts().iter().flat_map(Town::sent).collect();
    assert_eq!(sent, ["101", "102", "106", "105", "103"]);
    town.check().await;
}
