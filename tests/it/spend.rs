//! Where the credits went: charges divided among the requests that share a job.

use std::time::Duration;

use unlockd::domain::Millis;
use unlockd::sandbox::Channel;
use unlockd::store::report::claims::unfulfilled;
use unlockd::store::report::spend::{By, spent};
use unlockd::worker::history;
use unlockd::worker::run::driver::End;

use crate::support::relay::Altered;
use crate::support::{Setup, Town};

const DAY: Duration = Duration::from_secs(24 * 3_600);

const EVER: (Millis, Millis) = (Millis(0), Millis(i64::MAX));

async fn of_references(town: &mut Town) -> Vec<(Option<String>, i64, i64, i64)> {
    town.all("select reference, jobs, contacts, credits from spend order by reference").await
}

/// What becomes of a contact follows from its id: 190 is not named at the end, 197 fails.
#[tokio::test]
async fn a_job_of_two_requests_is_divided_by_their_contacts_and_the_parts_sum_to_the_charge() {
    let mut town = Town::new().await;
    town.insert_row("personnel_ids, reference", "'[101, 102, 190]', 'list A'").await;
    town.insert_row("personnel_ids, reference", "'[103, 102]', 'list B'").await;
    town.finish_all().await;
    assert_eq!(town.number("select count(*) from jobs").await, 1, "they travel together");
    let [a, b] = [("list A", 3, 45), ("list B", 1, 15)]
        .map(|(name, contacts, credits)| (Some(name.to_owned()), 1, contacts, credits));
    assert_eq!(of_references(&mut town).await, [a, b], "102 is paid for by the first that asked");
    let charged = town.number("select sum(credits) from ledger where entry = 'charge'").await;
    assert_eq!(charged, 60);

    let tomorrow = Millis(town.number("select max(at) from ledger").await).plus(1);
    let store = town.store();
    let by = By { day: true, account: true, action: true, reference: true };
    let apart = spent(store, None, by, EVER).await.expect("read");
    assert_eq!(apart.iter().map(|spent| spent.credits).collect::<Vec<_>>(), [45, 15]);
    let together = spent(store, Some(r#"["default"]"#), By::default(), EVER).await.expect("read");
    assert_eq!(
        (together[0].jobs, together[0].contacts, together[0].credits),
        (1, 4, 60),
        "one job, counted once"
    );
    assert!(spent(store, None, by, (tomorrow, EVER.1)).await.expect("read").is_empty());
    town.check().await;
}

#[tokio::test]
async fn what_is_lost_is_paid_for_by_those_who_asked_and_can_be_claimed() {
    let mut town = Setup::default().sandbox(|options| options.refund_failed = false).build().await;
    town.insert_row("personnel_ids, reference", "'[101, 190, 197]', 'list A'").await;
    // Bought once, for both: one line for the vendor's support.
    town.insert_row("personnel_ids, reference", "'[190]', 'list B'").await;
    town.finish_all().await;
    let claims = unfulfilled(town.store(), None, EVER, (0, 100)).await.expect("read");
    let found: Vec<_> =
        claims.iter().map(|claim| (claim.personnel_id.as_str(), claim.outcome.as_str())).collect();
    assert_eq!(found, [("190", "not_returned"), ("197", "failed")]);
    let failed = &claims[1];
    assert_eq!((failed.credits, failed.spent, failed.expected_max), (15, Some(45), Some(45)));
    assert!(failed.task_id.is_some() && failed.call_id.is_some() && failed.submitted_at.is_some());
    town.check().await;
}

/// Found by a stranger: 285 credits were delivered or claimed of a job that was charged 270.
#[tokio::test]
async fn what_is_claimed_and_what_was_delivered_cost_no_more_than_was_charged() {
    let setup = Setup::default().recorded().sandbox(|options| options.refund_failed = false);
    let mut town = setup.build().await;
    // Unlocked in the app, and without an email.
    town.sandbox.mark_unlocked("199", Channel::Email);
    town.change(|exchange| {
        let mut answer = exchange.answer.clone();
        let is_profile = exchange.path.contains("/personnel/profile") && exchange.path.contains("199");
        is_profile.then(|| {
            answer["email"] = serde_json::Value::Null;
            Altered::new(200, answer.to_string())
        })?
    });
    let request = town.insert(None, &["101", "102", "197", "199"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "199").await.0, "no_value", "the API skipped it");
    assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 45);
    assert_eq!(claimed(&town).await, [("197".to_owned(), "failed".to_owned(), 15)]);
    // An older version did not note which contacts were not charged.
    town.user("update items set not_charged = 0").await;
    assert_eq!(claimed(&town).await.iter().map(|(.., credits)| credits).sum::<i64>(), 15);
    town.check().await;
}

/// Found by a stranger: what was delivered was claimed.
#[tokio::test]
async fn what_a_later_request_got_without_another_charge_is_not_claimed() {
    let mut town = Town::new().await;
    town.fault("always:status=404@poll");
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(claimed(&town).await, [("101".to_owned(), "lost".to_owned(), 15)]);
    town.sandbox.clear_faults();
    let again = town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(again, "101").await.0, "delivered");
    assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 15);
    assert_eq!(claimed(&town).await, []);
    town.check().await;
}

/// A contact that left its batch before the batch was sent again may have been in the call that was lost.
#[tokio::test]
async fn what_only_a_lost_call_can_have_paid_for_is_claimed() {
    let mut town = Town::new().await;
    town.fault("lost-answer=reset@unlock");
    town.insert(None, &["101", "199"]).await;
    town.finish_all().await;
    let lost = [("199".to_owned(), "no_value".to_owned(), 15)];
    assert_eq!(claimed(&town).await, lost);
    town.user("update items set not_charged = 1").await;
    assert_eq!(claimed(&town).await[0].0, "199");
    town.user("update items set not_charged = 0").await;
    town.check().await;
}

/// Found by a stranger: 50 credits were charged and lost, and nothing could be claimed.
#[tokio::test]
async fn a_search_that_was_charged_lost_and_sent_again_is_claimed_once() {
    let mut town = Town::new().await;
    town.fault("2x:lost-answer=reset@search");
    town.insert_row("action, query", "'search_exhibitor_companies', 'Acme'").await;
    for _ in 0..2 {
        assert!(matches!(town.finish().await, End::WaitsForPerson(_)));
        town.resubmit(1).await;
    }
    town.finish_all().await;
    assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 150);
    let claims = unfulfilled(town.store(), None, EVER, (0, 100)).await.expect("read");
    let [claim] = &claims[..] else { panic!("{}", claims.len()) };
    assert_eq!((claim.outcome.as_str(), claim.credits, claim.job_id), ("lost", 100, 1));
    let lost = "select max(request_id) from attempts where id = (select max(id) from attempts where result = 'unknown')";
    let (call_id,): (Option<String>,) = town.one(lost).await;
    assert!(call_id.is_some() && claim.call_id == call_id, "{:?}", claim.call_id);
    town.check().await;
}

/// What can be claimed: contact, outcome and credits.
async fn claimed(town: &Town) -> Vec<(String, String, i64)> {
    let claims = unfulfilled(town.store(), None, EVER, (0, 100)).await.expect("read");
    claims.into_iter().map(|claim| (claim.personnel_id, claim.outcome, claim.credits)).collect()
}

/// What appears later always has a greater number, and the last one says what became of the contact.
#[tokio::test]
async fn each_settled_outcome_is_a_change_with_the_next_number() {
    let mut town = Setup::default().config("RETENTION__HISTORY", "90d").build().await;
    town.insert_row("personnel_ids, reference", "'[101, 190, \"x y\"]', 'list A'").await;
    town.finish_all().await;
    let changes = "select seq, personnel_id, outcome from contact_changes order by seq";
    let first: Vec<(i64, String, String)> = town.all(changes).await;
    let found: Vec<_> = first.iter().map(|(_, id, outcome)| (id.as_str(), outcome.as_str())).collect();
    assert_eq!(found, [("x y", "invalid"), ("101", "delivered"), ("190", "not_returned")]);
    town.insert_row("personnel_ids, reference", "'[101]', 'list B'").await;
    town.finish_all().await;
    let last = first.last().expect("there").0;
    let newer = format!("select reference, source from contact_changes where seq > {last}");
    let newer: Vec<(String, String)> = town.all(&newer).await;
    assert_eq!(newer, [("list B".to_owned(), "store".to_owned())]);

    let highest = town.number("select max(seq) from contact_changes").await;
    town.clock.advance(91 * DAY);
    town.sandbox.advance(91 * DAY);
    history::run(town.deps(), || false).await.expect("removed");
    assert_eq!(town.number("select count(*) from changes").await, 0, "old ones are removed");
    town.insert(None, &["201"]).await;
    town.finish_all().await;
    assert_eq!(
        town.number("select min(seq) from contact_changes").await,
        highest + 1,
        "no number comes twice"
    );
    town.check().await;
}
