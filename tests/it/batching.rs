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

/// A large request of event 7 in batches of ten, the first of which was sent; then a small request of another event or
/// action. The batches that were sent before it.
async fn batches_before(columns: &str, small: &str, contact: &str) -> usize {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "10").build().await;
    let large = town.insert(Some("7"), &refs(&good_ids(1_000, 100))).await;
    town.step_until_called("/contacts/unlock").await;
    let (sent, small) = (town.posts().len(), town.insert_row(columns, small).await);
    town.finish_all().await;
    let posts: Vec<Vec<String>> = town.posts().iter().map(Town::sent).collect();
    let bought = posts.iter().position(|ids| ids.iter().any(|id| id == contact)).expect("it is bought");
    assert_eq!((town.status(large).await, town.status(small).await), ("done".into(), "done".into()));
    town.check().await;
    bought - sent
}

#[tokio::test]
async fn a_small_request_is_bought_after_at_most_two_batches_of_a_large_one() {
    let before = batches_before("event_id, personnel_ids", "'8', '[20101, 20102]'", "20101").await;
    assert!(before <= 2, "{before} batches went first");
    let phones = "'unlock_contact_phones', '8', '[20101]'";
    let before = batches_before("action, event_id, personnel_ids", phones, "20101").await;
    assert!(before <= 2, "{before} batches went first");
}

#[tokio::test]
async fn a_small_request_of_the_same_event_travels_along_in_a_full_batch() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "10").build().await;
    town.insert(Some("7"), &refs(&good_ids(1_000, 89))).await;
    town.step_until_called("/contacts/unlock").await;
    town.insert(Some("7"), &["20101"]).await;
    town.finish_all().await;
    let sizes: Vec<usize> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!(sizes, [10; 9]);
    let posts: Vec<Vec<String>> = town.posts().iter().map(Town::sent).collect();
    let along = posts.iter().position(|ids| ids.contains(&"20101".to_owned())).expect("it is bought");
    assert!(along <= 3, "batch {along}");
    town.check().await;
}

/// Small requests that keep coming do not hold up a large one for ever, nor a large one those behind it.
#[tokio::test]
async fn every_other_batch_goes_to_the_request_that_has_waited_longest() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "10").build().await;
    town.insert(Some("7"), &refs(&good_ids(1_000, 50))).await;
    town.insert(Some("8"), &refs(&good_ids(3_000, 50))).await;
    for number in 0..6 {
        town.insert(Some(&format!("9{number}")), &[&format!("{}01", 200 + number)]).await;
    }
    town.finish_all().await;
    let posts: Vec<Vec<String>> = town.posts().iter().map(Town::sent).collect();
    let of_first = |ids: &[String]| ids[0].len() == 4 && ids[0].starts_with('1');
    assert!(posts[..9].iter().step_by(2).all(|ids| of_first(ids)), "{posts:?}");
    town.check().await;
}
