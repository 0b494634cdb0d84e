//! Limits of credits and calls: what must not be spent, and what must not be sent.

use std::time::{Duration, Instant};

use unlockd::domain::rate::Rate;
use unlockd::domain::{AccountId, Credits, RequestId};
use unlockd::sandbox::Channel;
use unlockd::store::rate;
use unlockd::store::requests::unsent;
use unlockd::worker::people::decide::{self, Refusal};
use unlockd::worker::run::driver::End;

use crate::support::relay::Altered;
use crate::support::{Setup, Town, good_ids, refs};

/// Found by a stranger: `plan` said 210 credits, `explain` 300, and an approval of 210 was refused.
#[tokio::test]
async fn a_quote_that_waits_for_a_person_follows_what_others_bring_and_what_things_cost() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "100").build().await;
    let (some, all) = (good_ids(101, 6), good_ids(101, 20));
    let request = town.insert(None, &refs(&all)).await;
    town.settle().await;
    let shown = "select quoted_credits from inbox where id = 1";
    assert_eq!(town.number(shown).await, 300);
    let other = town.insert(None, &refs(&some)).await;
    town.tick(60_000).await;
    assert_eq!(town.status(other).await, "done");
    assert_eq!(town.number(shown).await, 210);
    let (status, reason) = town.inbox(request).await;
    assert_eq!(status, "awaiting_approval");
    assert!(reason.clone().expect("a reason").contains("unlockd approve 1 --credits 210"), "{reason:?}");
    let explained = town.explained(request).await;
    assert!(explained.waits[0].what.contains("up to 210 credits"), "{}", explained.waits[0].what);
    // Once and not again: nothing has changed since.
    let quoted = "select count(*) from request_events where event = 'quoted'";
    let before = town.number(quoted).await;
    town.tick(60_000).await;
    assert_eq!(town.number(quoted).await, before);
    // A price that has changed counts, too.
    town.configure("CREDITS__PRICE__EMAIL", "16").await;
    town.tick(5_000).await;
    assert_eq!(town.number(shown).await, 224);
    town.configure("CREDITS__PRICE__EMAIL", "15").await;
    town.tick(5_000).await;
    let (now, old) =
        (town.clock.now(), decide::approve(town.store(), RequestId(1), Credits(300), town.clock.now()));
    assert!(matches!(old.await, Err(Refusal::AnotherQuote { quoted: Credits(210), .. })));
    decide::approve(town.store(), RequestId(1), Credits(210), now).await.expect("the figure of now");
    town.finish_all().await;
    let delivered = town.number("select count(*) from contact_outcomes where outcome = 'delivered'").await;
    assert_eq!((town.status(request).await, delivered), ("done".into(), 26));
    town.check().await;
}

#[tokio::test]
async fn above_approve_above_nothing_is_called_until_a_person_approves() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "1500").build().await;
    let large = town.insert(None, &refs(&good_ids(101, 101))).await;
    town.tick(60_000).await;
    assert_eq!(town.sandbox.journal().len(), 0);
    let (status, reason) = town.inbox(large).await;
    assert_eq!(status, "awaiting_approval");
    assert!(reason.expect("a reason").contains("1,515"));
    assert_eq!(town.number("select quoted_credits from inbox").await, 1_515);
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("waits for a person") };
    assert!(waits[0].contains("unlockd approve 1"), "{waits:?}");

    // Other requests continue meanwhile, and a row that is approved from the start does not wait.
    let small = town.insert(None, &["5001"]).await;
    let ids = serde_json::json!(good_ids(20_001, 101)).to_string();
    let approved = town.insert_row("personnel_ids, approved", &format!("'{ids}', 1")).await;
    town.tick(60_000).await;
    assert_eq!((town.status(small).await, town.status(approved).await), ("done".into(), "done".into()));

    town.approve(large).await;
    town.finish_all().await;
    assert_eq!(town.status(large).await, "done");
    town.check().await;
}

#[tokio::test]
async fn only_a_one_approves() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "0").build().await;
    let odd = town.insert_row("personnel_ids, approved", "'[101]', -1").await;
    let one = town.insert_row("personnel_ids, approved", "'[102]', 1").await;
    town.finish_all().await;
    let (status, reason) = town.inbox(odd).await;
    assert_eq!((status.as_str(), town.status(one).await.as_str()), ("rejected", "done"));
    assert!(reason.expect("a reason").contains("approved must be 0, or 1"));
    assert_eq!(town.posts().iter().flat_map(Town::sent).collect::<Vec<_>>(), ["102"]);
    town.check().await;
}

#[tokio::test]
async fn what_is_cancelled_before_it_was_sent_costs_nothing() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "10").build().await;
    let request = town.insert(None, &["101"]).await;
    let kept = town.insert_row("personnel_ids, approved", "'[201]', 1").await;
    town.settle().await;
    town.cancel(request).await;
    town.finish_all().await;
    assert_eq!((town.status(request).await, town.status(kept).await), ("cancelled".into(), "done".into()));
    assert_eq!(town.outcome(request, "101").await.0, "cancelled");
    assert_eq!(town.sandbox.accounting().charged_total, 15);
    town.check().await;
}

#[tokio::test]
async fn more_than_max_credits_is_rejected_and_bought_by_nobody() {
    let mut town = Town::new().await;
    let request = town.insert_row("personnel_ids, max_credits", "'[101, 102]', 29").await;
    let fits = town.insert_row("personnel_ids, max_credits", "'[201, 202]', 30").await;
    town.finish_all().await;
    let (status, reason) = town.inbox(request).await;
    assert_eq!(status, "rejected");
    assert!(reason.expect("a reason").contains("max_credits is 29"));
    assert_eq!(town.outcome(request, "101").await.0, "rejected");
    assert_eq!(town.status(fits).await, "done");
    assert_eq!(town.sandbox.accounting().charged_total, 30);
    town.check().await;
}

#[tokio::test]
async fn what_turns_out_dearer_than_max_credits_says_so_in_its_row() {
    let mut town = Setup::default().sandbox(|options| options.price_email = 20).build().await;
    // 30 credits as configured, 40 by the precheck.
    let request = town.insert_row("personnel_ids, max_credits", "'[101, 102]', 30").await;
    town.finish_all().await;
    let (status, reason) = town.inbox(request).await;
    let reason = reason.expect("a reason");
    assert_eq!((status.as_str(), town.outcome(request, "101").await.0.as_str()), ("done", "rejected"));
    assert!(reason.contains("its max_credits of 30: nothing was bought"), "{reason}");
    assert_eq!(town.sandbox.accounting().charged_total, 0);
    town.check().await;
}

#[tokio::test]
async fn the_balance_is_never_taken_below_the_floor() {
    let mut town = Setup::default()
        .config("CREDITS__MIN_BALANCE", "50")
        .config("SUBMIT__BATCH_SIZE", "2")
        .sandbox(|options| options.balance = 120)
        .build()
        .await;
    town.insert(None, &refs(&good_ids(101, 6))).await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits[0].contains("waits for credits: "), "{waits:?}");
    let missing = "5 more credits are needed (15 at least, and 10 are free)";
    assert!(waits[0].contains(missing), "{waits:?}");
    assert_eq!(town.sandbox.accounting().balance, 60);
    town.check().await;
}

#[tokio::test]
async fn the_daily_limit_holds_and_the_next_day_goes_on() {
    let mut town =
        Setup::default().config("CREDITS__DAILY_LIMIT", "45").config("SUBMIT__BATCH_SIZE", "2").build().await;
    let request = town.insert(None, &refs(&good_ids(101, 4))).await;
    town.finish().await;
    assert_eq!(town.sandbox.accounting().charged_total, 30);
    assert_eq!(town.job_state(2).await, "queued (budget)");
    town.tick(24 * 3_600_000).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

#[tokio::test]
async fn a_request_for_more_than_a_days_limit_is_bought_over_days() {
    let mut town = Setup::default().config("CREDITS__DAILY_LIMIT", "45").build().await;
    let request = town.insert(None, &refs(&good_ids(101, 5))).await;
    town.finish().await;
    assert_eq!(town.sandbox.accounting().charged_total, 45);
    town.tick(24 * 3_600_000).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    assert_eq!(town.sandbox.accounting().charged_total, 75);
    town.check().await;
}

#[tokio::test]
async fn a_balance_older_than_60_seconds_is_read_again_before_a_submission() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    town.tick(61_000).await;
    let before = town.sandbox.journal().len();
    town.insert(None, &["102"]).await;
    town.settle().await;
    let since = &town.sandbox.journal()[before..];
    assert!(since[0].path.contains("/balance"), "{:?}", since[0].path);
    assert!(since.last().expect("calls").path.ends_with("/contacts/unlock"));
    town.finish_all().await;
    town.check().await;
}

#[tokio::test]
async fn an_estimate_that_grew_beyond_the_approval_asks_again() {
    let mut town = Setup::default()
        .config("CREDITS__APPROVE_ABOVE", "100")
        .sandbox(|options| options.price_email = 20)
        .build()
        .await;
    // 6 contacts: 90 as configured, 120 by the precheck.
    let request = town.insert(None, &refs(&good_ids(101, 6))).await;
    let other = town.insert(Some("7"), &["201"]).await;
    town.finish().await;
    let (status, reason) = town.inbox(request).await;
    assert_eq!(status, "awaiting_approval", "{}", town.dump().await);
    assert!(reason.expect("a reason").contains("120"));
    assert_eq!(town.status(other).await, "done");
    town.approve(request).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    assert_eq!(town.sandbox.accounting().charged_total, 140);
    town.check().await;
}

#[tokio::test]
async fn a_used_up_limit_is_waited_for() {
    let mut town = Setup::default().sandbox(|options| options.rate_limit = 10).build().await;
    for id in 0..20 {
        town.insert(Some(&format!("{}", 1_000 + id)), &[&format!("{}01", id + 1)]).await;
    }
    town.finish_all().await;
    assert_eq!(town.number("select count(*) from inbox where status = 'done'").await, 20);
    town.check().await;
}

#[tokio::test]
async fn calls_that_others_use_up_are_noticed_by_the_headers() {
    let mut town = Town::new().await;
    town.allowed.turned_away = true;
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    town.sandbox.use_up_calls(118);
    town.finish_all().await;
    let away = town.sandbox.journal().iter().filter(|call| call.status == Some(429)).count();
    assert!(away <= 1, "{away} calls were turned away");
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

#[tokio::test]
async fn a_crash_loop_does_not_overrun_the_limit() {
    let mut town = Setup::default()
        .sandbox(|options| (options.rate_limit, options.rate_headers) = (20, false))
        .config("RATE_LIMIT__PER_MINUTE", "20")
        .config("SUBMIT__BATCH_SIZE", "1")
        .build()
        .await;
    let request = town.insert(None, &refs(&good_ids(101, 12))).await;
    for _ in 0..20 {
        town.step_partly(60).await;
        town.restart().await;
        town.tick(500).await;
    }
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

#[tokio::test]
async fn a_paused_account_submits_nothing_and_polls_on() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "1").build().await;
    let request = town.insert(None, &["101", "102"]).await;
    let deps = town.deps().clone();
    while town.posts().is_empty() {
        unlockd::worker::run::driver::step(&deps).await.expect("well");
    }
    town.pause(true).await;
    town.tick(60_000).await;
    assert_eq!(town.posts().len(), 1);
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.pause(false).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

/// A report of an API whose figures tell of another bucket with each call, and of the reset in seconds from now.
#[tokio::test]
async fn figures_that_alternate_between_two_limits_hold_up_no_poll() {
    let mut town = Setup::default().recorded().build().await;
    let mut calls = 0;
    town.change(move |exchange| {
        calls += 1;
        let (limit, remaining) = if calls % 2 == 0 { ("5000", "4992") } else { ("60", "52") };
        let figures = [("x-ratelimit-limit", limit), ("x-ratelimit-remaining", remaining)];
        let headers = figures.into_iter().chain([("x-ratelimit-reset", "2615")]);
        let headers = headers.map(|(name, value)| (name, value.to_owned())).collect();
        Some(Altered { status: exchange.status, headers, body: exchange.answer.to_string().into() })
    });
    let request = town.insert(None, &["101", "102", "103"]).await;
    town.finish_all().await;
    assert_eq!(town.polls(), [3_000, 8_000, 18_000]);
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

/// More parked jobs than one run looks at.
#[tokio::test]
async fn a_hundred_parked_jobs_neither_multiply_nor_hide_a_job_that_fits() {
    let setup = Setup::default().config("SUBMIT__BATCH_SIZE", "2");
    let mut town = setup.sandbox(|options| (options.balance, options.rate_limit) = (15, 0)).build().await;
    for number in 0..100 {
        let ids = [(1_000 + 10 * number).to_string(), (1_001 + 10 * number).to_string()];
        town.insert(Some(&format!("{number}")), &refs(&ids)).await;
    }
    // Each is asked about once, since some of its contacts may be unlocked already.
    town.tick(120_000).await;
    assert_eq!(
        town.number("select count(*) from jobs where state_reason = 'insufficient_credits'").await,
        100
    );
    let small = town.insert(Some("small"), &["101"]).await;
    town.tick(60_000).await;
    assert_eq!(town.status(small).await, "done", "one contact fits into 15 credits");
    assert_eq!(town.number("select count(*) from jobs").await, 101);
    town.sandbox.top_up(100_000);
    town.tick(60_000).await;
    town.finish_all().await;
    assert_eq!(town.number("select count(*) from inbox where status = 'done'").await, 101);
    town.check().await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_person_takes_its_contacts_out_of_every_batch() {
    let mut town = Town::new().await;
    let request = town.insert(None, &["101", "102"]).await;
    // Enough for one of them: a batch is formed, and waits.
    town.configure("CREDITS__MIN_BALANCE", "99980").await;
    town.settle().await;
    let before = town.number("select version from jobs").await;
    let now = town.clock.now();
    town.store()
        .write(move |connection| {
            Box::pin(unsent::ask_again(connection, RequestId(request), Credits(30), "dearer", now))
        })
        .await
        .expect("asked");
    assert!(town.number("select version from jobs").await > before, "a sorting that was kept is no good");
    town.cancel(request).await;
    town.configure("CREDITS__MIN_BALANCE", "0").await;
    town.finish().await;
    assert_eq!(town.posts().len(), 0);
    town.check().await;
}

#[tokio::test]
async fn a_batch_that_is_dearer_than_estimated_waits_without_asking_over_and_over() {
    for (key, value) in [("CREDITS__MIN_BALANCE", "99983"), ("CREDITS__DAILY_LIMIT", "17")] {
        let mut town =
            Setup::default().config(key, value).sandbox(|options| options.price_email = 20).build().await;
        town.insert(None, &["101"]).await;
        town.settle().await;
        assert_eq!(town.calls("precheck").len(), 1, "{key}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_balance_that_fell_unseen_and_grew_again_frees_what_a_402_parked() {
    let mut town = Setup::default().sandbox(|options| options.balance = 1_000).build().await;
    town.fault("status=402@unlock");
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "queued (insufficient_credits)");
    town.sandbox.spend(995);
    town.tick(31_000).await;
    town.sandbox.top_up(500);
    town.tick(31_000).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

/// Found by a stranger: 45 credits were approved for three contacts, and 1,200 were spent.
#[tokio::test]
async fn a_proposal_never_spends_more_than_was_approved() {
    let mut town = Setup::default().build().await;
    let request = town.insert_row("personnel_ids, needs_approval", "'[101, 102, 103]', 1").await;
    town.settle().await;
    assert_eq!(town.status(request).await, "awaiting_approval");
    town.approve(request).await;
    town.sandbox.set_price(Channel::Email, 113);
    assert!(matches!(town.finish().await, End::WaitsForPerson(_)));
    // Below credits.approve_above, where any other request would buy.
    assert_eq!(town.number("select quoted_credits from requests").await, 3 * 113);
    assert_eq!(town.sandbox.accounting().charged_total, 0);
    town.approve(request).await;
    town.finish_all().await;
    assert_eq!((town.status(request).await, town.posts().len()), ("done".into(), 1));
    town.check().await;
}

/// A town where six contacts were approved at 15 each, in calls of two, and then a contact costs 113.
async fn approved_before_the_price_rose(ids: &[&str]) -> (Town, i64) {
    let setup = Setup::default().config("CREDITS__APPROVE_ABOVE", "10").config("SUBMIT__BATCH_SIZE", "2");
    let mut town = setup.build().await;
    let request = town.insert(None, ids).await;
    town.settle().await;
    town.approve(request).await;
    town.sandbox.set_price(Channel::Email, 113);
    town.configure("CREDITS__PRICE__EMAIL", "113").await;
    (town, request)
}

#[tokio::test]
async fn a_price_that_rose_asks_once_for_all_that_is_left() {
    let ids = ["101", "102", "103", "104", "105", "106"];
    let (mut town, request) = approved_before_the_price_rose(&ids).await;
    assert!(matches!(town.finish().await, End::WaitsForPerson(_)));
    assert_eq!(town.number("select quoted_credits from requests").await, 6 * 113);
    town.approve(request).await;
    town.finish_all().await;
    assert_eq!((town.status(request).await, town.posts().len()), ("done".into(), 3));
    town.check().await;
}

/// 194 is set aside together with 193. Its profile says that it must be sent after all, while its request
/// awaits approval again. The submit pass used to loop for ever.
#[tokio::test]
async fn a_contact_that_comes_back_to_a_request_that_awaits_approval_waits_with_it() {
    let (mut town, request) = approved_before_the_price_rose(&["193", "194", "101", "102"]).await;
    let end = town.finish().await;
    assert!(matches!(end, End::WaitsForPerson(_)), "{end:?}");
    assert_eq!(town.status(request).await, "awaiting_approval");
    assert!(town.posts().is_empty());
    assert_eq!(town.number("select quoted_credits from requests").await, 3 * 113);
    town.approve(request).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "193").await.0, "delivered");
    assert_eq!(town.outcome(request, "194").await.0, "invalid");
    town.check().await;
}

/// Found by an outside tester: the settlement of the last busy time was taken for the balance of the new one.
#[tokio::test]
async fn a_balance_is_read_before_the_first_submission_of_each_busy_stretch() {
    let setup = Setup::default().config("CREDITS__MIN_BALANCE", "50");
    let mut town = setup.sandbox(|options| options.balance = 100).build().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(15, "matched".to_owned())]);
    town.sandbox.spend(30);
    let second = town.insert(None, &["102"]).await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("40 is below the floor") };
    assert!(waits[0].contains("waits for credits"), "{waits:?}");
    assert_eq!(town.posts().len(), 1);
    town.sandbox.top_up(20);
    town.tick(20_000).await;
    town.finish_all().await;
    assert_eq!(town.outcome(second, "102").await.0, "delivered");
    let verdicts = [(15, "matched".to_owned()), (15, "matched".to_owned())];
    assert_eq!(town.verdicts().await, verdicts, "what others spent in between is in no stretch");
    town.check().await;
}

/// A worker that knows from before its start that an answer takes five seconds.
async fn with_slow_answers(town: &mut Town) {
    let (account, slow) = (AccountId::trusted("default"), Rate::new(120).with_latency(5_000));
    let kept =
        town.store().write(move |tx| Box::pin(async move { rate::save_rate(tx, &account, &slow).await }));
    kept.await.expect("kept");
    town.restart().await;
}

/// One after the other they would take five seconds, and two at a time half of that.
const SIDE_BY_SIDE: Duration = Duration::from_millis(2_000);

#[tokio::test]
async fn slow_polls_are_in_flight_side_by_side() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "1").build().await;
    let request = town.insert(None, &refs(&good_ids(101, 10))).await;
    town.settle().await;
    assert_eq!(town.number("select count(*) from jobs where state = 'polling'").await, 10);
    with_slow_answers(&mut town).await;
    town.fault("10x:slow=500ms@poll");
    let since = Instant::now();
    town.tick(3_000).await;
    assert!(since.elapsed() < SIDE_BY_SIDE, "{:?}", since.elapsed());
    assert_eq!(town.calls("/unlock-tasks/").len(), 10);
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

#[tokio::test]
async fn slow_profiles_are_read_side_by_side() {
    let mut town = Town::new().await;
    with_slow_answers(&mut town).await;
    town.fault("10x:slow=500ms@profile");
    let unlocked: Vec<String> = (1..=10).map(|hundred| format!("{hundred}93")).collect();
    let request = town.insert(None, &refs(&unlocked)).await;
    let since = Instant::now();
    town.settle().await;
    assert!(since.elapsed() < SIDE_BY_SIDE, "{:?}", since.elapsed());
    assert_eq!(town.calls("/profile").len(), 10);
    town.finish_all().await;
    assert_eq!((town.status(request).await, town.posts().len()), ("done".to_owned(), 0));
    town.check().await;
}

/// Paid calls go out one at a time; what the next one costs is asked for meanwhile.
#[tokio::test]
async fn the_next_batch_is_prechecked_while_a_slow_paid_call_is_in_flight() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "1").build().await;
    with_slow_answers(&mut town).await;
    town.fault("slow=700ms@unlock");
    let request = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    let (prechecks, posts) = (town.calls("/precheck"), town.posts());
    assert_eq!((prechecks.len(), posts.len()), (2, 2));
    let between = prechecks[1].real_at.saturating_duration_since(posts[0].real_at);
    assert!(between < Duration::from_millis(700), "{between:?}");
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}
