//! The submit pass: full batches at the right time, and none that cannot be bought yet.

use serde_json::json;
use unlockd::sandbox::Channel;
use unlockd::worker::run::driver::End;

use crate::support::relay::Altered;
use crate::support::{Setup, Town, good_ids, refs};

/// Rows of one contact, one after the other.
async fn twelve_rows(town: &mut Town) -> Vec<i64> {
    let mut requests = Vec::new();
    for id in good_ids(101, 12) {
        requests.push(town.insert(None, &[&id]).await);
        town.tick(1_000).await;
    }
    requests
}

/// The reason of a request's only wait.
async fn waits_for(town: &Town, request: i64) -> String {
    let explained = town.explained(request).await;
    assert!(explained.needs_person(), "a person can do something about it");
    explained.waits.iter().map(|wait| wait.reason.clone()).collect::<Vec<_>>().join(", ")
}

/// Why the run ends, in words, and the account's metrics.
async fn ends_with(town: &mut Town, words: &str) {
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits.len() == 1 && waits[0].contains(words), "{waits:?}");
}

async fn one_call_buys_all(mut town: Town, requests: Vec<i64>) {
    town.finish_all().await;
    let sizes: Vec<usize> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!(sizes, [12]);
    assert_eq!(town.number("select count(*) from jobs").await, 1);
    for request in requests {
        assert_eq!(town.status(request).await, "done");
    }
    town.check().await;
}

#[tokio::test]
async fn rows_that_arrive_while_the_account_is_paused_travel_in_one_call_afterwards() {
    let mut town = Town::new().await;
    town.pause(true).await;
    let requests = twelve_rows(&mut town).await;
    assert_eq!(town.number("select count(*) from jobs").await, 0);
    assert_eq!(waits_for(&town, requests[11]).await, "paused");
    ends_with(&mut town, "account default is paused").await;
    town.pause(false).await;
    one_call_buys_all(town, requests).await;
}

#[tokio::test]
async fn rows_that_arrive_without_a_key_travel_in_one_call_afterwards() {
    let mut town = Town::new().await;
    town.configure("LENSMOR_API_KEY", "").await;
    let requests = twelve_rows(&mut town).await;
    assert_eq!(town.number("select count(*) from jobs").await, 0);
    assert_eq!(waits_for(&town, requests[11]).await, "no_api_key");
    ends_with(&mut town, "has no key").await;
    town.configure("LENSMOR_API_KEY", "uak_test_1").await;
    one_call_buys_all(town, requests).await;
}

#[tokio::test]
async fn rows_that_arrive_while_the_key_is_refused_travel_in_one_call_afterwards() {
    let mut town = Town::new().await;
    town.sandbox.set_api_key(Some("uak_test_2".to_owned()));
    let requests = twelve_rows(&mut town).await;
    assert_eq!(town.sandbox.journal().len(), 1, "one call with a key that is refused");
    assert_eq!(waits_for(&town, requests[11]).await, "invalid_api_key, invalid_api_key");
    ends_with(&mut town, "refused the key").await;
    town.configure("LENSMOR_API_KEY", "uak_test_2").await;
    one_call_buys_all(town, requests).await;
}

#[tokio::test]
async fn rows_that_arrive_without_credits_travel_in_one_call_afterwards() {
    let mut town = Setup::default().sandbox(|options| options.balance = 14).build().await;
    let requests = twelve_rows(&mut town).await;
    assert_eq!(town.number("select count(*) from jobs").await, 0);
    assert_eq!(waits_for(&town, requests[11]).await, "insufficient_credits");
    ends_with(&mut town, "(12 items are not sent) waits for credits").await;
    town.sandbox.top_up(1_000);
    town.tick(16_000).await;
    one_call_buys_all(town, requests).await;
}

#[tokio::test]
async fn rows_that_arrive_when_the_days_limit_is_used_up_travel_in_one_call_the_next_day() {
    let mut town = Setup::default().config("CREDITS__DAILY_LIMIT", "180").build().await;
    let first = town.insert(None, &refs(&good_ids(5_001, 12))).await;
    town.finish_all().await;
    let requests = twelve_rows(&mut town).await;
    assert_eq!((town.status(first).await, town.posts().len()), ("done".to_owned(), 1));
    assert_eq!(waits_for(&town, requests[11]).await, "budget");
    ends_with(&mut town, "credits.daily_limit").await;
    town.tick(24 * 3_600_000).await;
    town.finish_all().await;
    assert_eq!(town.posts().iter().map(|post| Town::sent(post).len()).collect::<Vec<_>>(), [12, 12]);
    town.check().await;
}

/// 40 credits pay for two contacts of a row's three.
#[tokio::test]
async fn rows_that_do_not_fit_into_what_is_left_travel_in_one_call_afterwards() {
    let mut town = Setup::default().sandbox(|options| options.balance = 40).build().await;
    let ids = good_ids(101, 36);
    for row in ids.chunks(3) {
        town.insert(None, &refs(row)).await;
        town.tick(1_000).await;
    }
    assert_eq!(town.job_state(1).await, "queued (insufficient_credits)");
    assert_eq!(town.number("select count(*) from jobs").await, 1, "{}", town.dump().await);
    town.sandbox.top_up(1_000);
    town.tick(16_000).await;
    town.finish_all().await;
    assert_eq!(town.posts().iter().map(|post| Town::sent(post).len()).collect::<Vec<_>>(), [36]);
    town.check().await;
}

/// A real 402 of the API, whatever the balance says.
#[tokio::test]
async fn rows_that_arrive_after_a_402_wait_with_what_was_refused() {
    let mut town = Town::new().await;
    town.fault("always:status=402@unlock");
    let requests = twelve_rows(&mut town).await;
    assert_eq!((town.posts().len(), town.job_state(1).await.as_str()), (1, "queued (insufficient_credits)"));
    assert_eq!(town.number("select count(*) from jobs").await, 1);
    town.sandbox.clear_faults();
    town.sandbox.top_up(1_000);
    town.tick(16_000).await;
    town.finish_all().await;
    let sizes: Vec<usize> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!(sizes, [1, 12], "{requests:?}");
    town.check().await;
}

#[tokio::test]
async fn a_small_job_behind_70_that_the_balance_cannot_pay_goes_out() {
    let setup = Setup::default().config("CREDITS__MIN_BALANCE", "99985");
    let mut town = setup.sandbox(|options| options.rate_limit = 0).build().await;
    for event in 0..71 {
        let count = if event == 70 { 2 } else { 4 };
        town.insert(Some(&format!("{event}")), &refs(&good_ids(1_000 + 100 * event, count))).await;
    }
    town.settle().await;
    let parked = "select count(*) from jobs where state_reason = 'insufficient_credits'";
    assert_eq!(town.number(parked).await, 71);
    // Enough for the last one.
    town.configure("CREDITS__MIN_BALANCE", "99970").await;
    town.tick(60_000).await;
    assert_eq!((town.status(71).await, town.posts().len()), ("done".to_owned(), 1), "{}", town.dump().await);
    town.configure("CREDITS__MIN_BALANCE", "0").await;
    town.finish_all().await;
    assert_eq!(town.number("select count(*) from inbox where status = 'done'").await, 71);
    town.check().await;
}

#[tokio::test]
async fn what_is_here_is_served_while_the_account_is_paused_or_out_of_credits() {
    let mut town = Setup::default().sandbox(|options| options.balance = 20).build().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    let without_credits = town.insert(None, &["101", "102"]).await;
    town.tick(1_000).await;
    assert_eq!(town.outcome(without_credits, "101").await, ("delivered".into(), Some("store".into())));
    town.pause(true).await;
    let while_paused = town.insert(Some("8"), &["101"]).await;
    town.settle().await;
    assert_eq!(town.status(while_paused).await, "done");
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

/// 20 contacts, 15 of which a colleague has unlocked: 300 credits by the price list, and 75 by the precheck.
async fn mostly_unlocked(town: &mut Town) -> i64 {
    let ids = good_ids(101, 20);
    ids.iter().skip(3).take(15).for_each(|id| town.sandbox.mark_unlocked(id, Channel::Email));
    town.insert(None, &refs(&ids)).await
}

async fn all_are_delivered_for_75(town: &mut Town, request: i64) {
    assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
    assert_eq!(town.sandbox.accounting().charged_total, 75);
    let sizes: Vec<usize> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!(sizes, [5], "those that are unlocked are read, and not sent");
}

#[tokio::test]
async fn a_batch_above_the_balance_goes_out_when_the_balance_pays_for_what_is_locked_of_it() {
    let mut town = Setup::default().sandbox(|options| options.balance = 100).build().await;
    let request = mostly_unlocked(&mut town).await;
    town.finish_all().await;
    all_are_delivered_for_75(&mut town, request).await;
    assert!(town.calls("/precheck").len() <= 40, "{}", town.calls("/precheck").len());
    town.check().await;
}

#[tokio::test]
async fn a_batch_that_is_mostly_unlocked_waits_for_what_its_precheck_says_and_is_asked_about_once() {
    let setup = Setup::default().config("CREDITS__MIN_BALANCE", "40");
    let mut town = setup.sandbox(|options| options.balance = 100).build().await;
    let request = mostly_unlocked(&mut town).await;
    ends_with(&mut town, "15 more credits are needed").await;
    town.tick(3_600_000).await;
    assert_eq!((town.calls("/precheck").len(), town.posts().len()), (1, 0), "{}", town.dump().await);
    town.restart().await;
    town.tick(60_000).await;
    assert_eq!(town.calls("/precheck").len(), 1);
    town.sandbox.top_up(14);
    town.tick(60_000).await;
    assert_eq!((town.calls("/precheck").len(), town.posts().len()), (1, 0), "one credit is missing");
    town.sandbox.top_up(1);
    town.tick(60_000).await;
    town.finish_all().await;
    all_are_delivered_for_75(&mut town, request).await;
    assert_eq!(town.sandbox.accounting().balance, 40);
    town.check().await;
}

/// What is sent can be paid in full, whatever a precheck of the whole batch has said.
#[tokio::test]
async fn a_precheck_that_says_too_little_for_a_batch_above_the_balance_spends_nothing() {
    let setup = Setup::default().sandbox(|options| options.balance = 100).recorded();
    let mut town = setup.build().await;
    town.change(|exchange| {
        let asked = exchange.body["params"]["personnel_ids"].as_array().map_or(0, Vec::len);
        (exchange.path.ends_with("/precheck") && asked == 20).then(|| {
            let mut answer = exchange.answer.clone();
            (answer["allowed"], answer["credits"], answer["reason_code"]) =
                (json!(true), json!(75), json!("ok"));
            Altered::new(200, answer.to_string())
        })?
    });
    town.insert(None, &refs(&good_ids(101, 20))).await;
    town.tick(3_600_000).await;
    assert_eq!(town.job_state(1).await, "queued (insufficient_credits)");
    assert_eq!(town.posts().len(), 0);
    assert!(town.calls("/precheck").len() <= 40, "{}", town.calls("/precheck").len());
    town.check().await;
}

/// Tasks of event 1999 never end. 22 of them take every place that the rate limit allows.
#[tokio::test]
async fn tasks_that_never_end_leave_room_after_ten_minutes() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "1").build().await;
    let endless = town.insert(Some("1999"), &refs(&good_ids(101, 22))).await;
    town.tick(120_000).await;
    let running = town.posts().len();
    assert_eq!(running, 20, "as many as can be polled every 10 s");
    let other = town.insert(Some("7"), &["5001"]).await;
    town.tick(60_000).await;
    assert_eq!(town.posts().len(), running);
    let explained = town.explained(other).await;
    assert_eq!(explained.waits[0].reason, "tasks_running");
    assert!(explained.waits[0].what.contains("task 321 of job 1 since"), "{}", explained.waits[0].what);

    town.tick(600_000).await;
    assert_eq!(town.status(other).await, "done", "{}", town.dump().await);
    assert_eq!(town.status(endless).await, "accepted");
    let before = town.calls("-tasks/").len();
    town.tick(600_000).await;
    let polls = town.calls("-tasks/").len() - before;
    assert!(
        (200..=330).contains(&polls),
        "20 tasks once a minute, and the others: {polls} polls in ten minutes"
    );
    town.check().await;
}
