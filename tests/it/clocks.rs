//! Times that another clock wrote: the command line's, or the worker's own before it was set.

use std::time::Duration;

use unlockd::domain::credits::Balance;
use unlockd::domain::granted::Granted;
use unlockd::domain::{AccountId, Credits, JobId, Millis};
use unlockd::store::credits::balances::{self, Asked};
use unlockd::store::jobs;
use unlockd::worker::people::decide;
use unlockd::worker::people::pause::{self, Resumed};
use unlockd::worker::run::driver;

use crate::support::{Setup, Town};

const HOUR_MS: i64 = 3_600_000;

fn account() -> AccountId {
    AccountId::trusted("default")
}

/// `unlockd resume` with a clock that is this much ahead of the worker's.
async fn resume(town: &Town, ahead_ms: i64) -> Resumed {
    let (ladder, now) = (town.deps().ladder(), town.clock.now().plus(ahead_ms));
    pause::resume(town.store(), &account(), &ladder, now).await.expect("resumed")
}

#[tokio::test]
async fn a_resume_allows_one_post_for_each_402_whatever_its_clock_says() {
    for ahead_ms in [HOUR_MS, 0, -HOUR_MS] {
        let mut town = Town::new().await;
        town.fault("always:status=402@unlock");
        let request = town.insert(None, &["101"]).await;
        town.tick(60_000).await;
        assert_eq!(town.job_state(1).await, "queued (insufficient_credits)");
        assert_eq!(town.posts().len(), 1);
        assert_eq!(resume(&town, ahead_ms).await.parked_jobs, 1);
        town.tick(60_000).await;
        assert_eq!(town.posts().len(), 2, "{ahead_ms}");
        town.sandbox.clear_faults();
        resume(&town, ahead_ms).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{ahead_ms}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_resume_lifts_the_refusal_of_a_key_whatever_its_clock_says() {
    for ahead_ms in [HOUR_MS, 0, -HOUR_MS] {
        let mut town = Town::new().await;
        town.sandbox.set_api_key(Some("another".to_owned()));
        let request = town.insert(None, &["101"]).await;
        for _ in 0..2 {
            let before = town.sandbox.journal().len();
            town.tick(50_000).await;
            assert_eq!(town.sandbox.journal().len(), before + 1, "tried once: {ahead_ms}");
            assert!(resume(&town, ahead_ms).await.key_was_refused, "{ahead_ms}");
        }
        town.sandbox.set_api_key(Some("uak_test_1".to_owned()));
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{ahead_ms}");
        town.check().await;
    }
}

#[tokio::test]
async fn what_a_clock_ahead_wrote_off_is_settled_with_one_balance() {
    let mut town = Town::new().await;
    town.fault("lost-request@unlock");
    town.insert(None, &["101"]).await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "in_doubt (looking)");
    let (balances, now) = (town.calls("/balance").len(), town.clock.now());
    let job = jobs::read(town.store().readers(), JobId(1)).await.expect("readable").expect("the job");
    decide::write_off(town.store(), job, now.plus(HOUR_MS)).await.expect("written off");
    town.finish_all().await;
    assert_eq!(town.calls("/balance").len(), balances + 1);
    assert_eq!(town.verdicts().await.len(), 1);
    town.check().await;
}

#[tokio::test]
async fn a_balance_of_the_future_settles_nothing() {
    let mut town = Town::new().await;
    town.insert(None, &["101", "102"]).await;
    town.settle().await;
    let before = Credits(100_000);
    let balance = Balance {
        total: before,
        subscription: before,
        addon: Credits(0),
        gift: Credits(0),
        granted: Granted::default(),
    };
    let at: Millis = town.clock.now().plus(HOUR_MS);
    town.store()
        .write(move |connection| {
            Box::pin(async move {
                let asked = Asked { at, ledger: 0 };
                balances::add_snapshot(connection, &account(), balance, "command", asked, at).await
            })
        })
        .await
        .expect("written");
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(30, "matched".to_owned())]);
    town.check().await;
}

#[tokio::test]
async fn times_further_ahead_than_any_wait_are_cut_at_the_start() {
    let mut town = Town::new().await;
    let running = town.insert(Some("1"), &["102"]).await;
    town.settle().await;
    town.fault("lost-answer@unlock");
    let doubtful = town.insert(Some("2"), &["101"]).await;
    town.settle().await;
    town.kill();
    // Written by a clock that was years ahead, as were the balance and the calls.
    let ten_years = 10 * 365 * 24 * HOUR_MS;
    for (table, column) in [
        ("jobs where state = 'polling'", "next_poll_at"),
        ("jobs where state = 'in_doubt'", "due_at"),
        ("accounts", "blocked_until"),
        ("accounts", "rate_resets_at"),
        ("recent_calls", "sent_at"),
        ("balance_snapshots", "taken_at"),
    ] {
        let (table, condition) = table.split_once(" where ").unwrap_or((table, "true"));
        let ahead = town.clock.now().plus(ten_years).0;
        town.meddle(&format!("update {table} set {column} = {ahead} where {condition}")).await.expect("set");
    }
    town.start().await;
    let (now, longest) = (town.clock.now().0, 24 * HOUR_MS);
    assert_eq!(
        town.number(&format!("select count(*) from accounts where blocked_until > {now} + {longest}")).await,
        0
    );
    assert_eq!(town.number("select count(*) from accounts where blocked_until is not null").await, 1);
    assert!(
        town.number(&format!("select next_poll_at - {now} from jobs where state = 'polling'")).await
            <= 300_000
    );
    assert!(
        town.number(&format!("select due_at - {now} from jobs where state = 'in_doubt'")).await <= 900_000
    );
    assert_eq!(town.number(&format!("select count(*) from recent_calls where sent_at > {now}")).await, 0);
    resume(&town, 0).await;
    town.finish_all().await;
    for (request, id) in [(doubtful, "101"), (running, "102")] {
        assert_eq!(town.outcome(request, id).await.0, "delivered");
    }
    assert!(town.clock.now().0 - now < HOUR_MS, "nothing waited for its time");
    town.check().await;
}

/// A soak stood still for an hour: its clock was ahead when a 429 came, and was set back.
#[tokio::test]
async fn a_pause_that_a_clock_an_hour_ahead_has_recorded_lasts_no_longer_than_asked() {
    for fault in ["429@unlock", "429=30@unlock"] {
        let mut town = Town::new().await;
        set_clock(&mut town, HOUR_MS).await;
        town.fault(fault);
        let request = town.insert(Some("1"), &["101"]).await;
        town.settle().await;
        assert!(town.posts().len() < 2, "it waits");
        set_clock(&mut town, -HOUR_MS).await;
        let now = town.clock.now();
        let until = "select max(coalesce((select max(held_until) from address_limit), 0), max(coalesce(blocked_until, 0))) from accounts";
        let waits_ms = town.number(until).await - now.0;
        assert!((1..=61_000).contains(&waits_ms), "{fault}: {waits_ms} ms are recorded");
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered");
        let took_ms = town.clock.now().since(now);
        assert!(took_ms < 10 * 60_000, "{fault}: {took_ms} ms");
        town.check().await;
    }
}

/// The worker's clock is set; its passes end, and it begins again, as `run` does it.
async fn set_clock(town: &mut Town, ms: i64) {
    town.clock.set_by(ms);
    driver::follow_clock(town.store(), &town.clock).await.expect("followed");
    town.kill();
    town.start().await;
}

/// Seen by hand: a task that was three seconds old was given up when the clock was set a week ahead.
#[tokio::test]
async fn a_clock_that_is_set_a_week_ahead_gives_up_no_task() {
    let mut town = Setup::default().sandbox(|options| options.task_seconds = 60.0).build().await;
    let request = town.insert(None, &["101"]).await;
    town.tick(3_000).await;
    assert_eq!((town.job_state(1).await.as_str(), town.polls().len()), ("polling", 1));
    set_clock(&mut town, 7 * 24 * HOUR_MS).await;
    // Its next poll is due by the new time. The API's clock was not set.
    town.sandbox.advance(Duration::from_secs(5));
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("task".into())));
    assert!(!town.timeline(1).await.contains(&"gave_up".to_owned()));
    town.check().await;
}

/// Reports: a task of some seconds expired when the clock was set 400 days ahead, and was polled five minutes late when it
/// was set back.
#[tokio::test]
async fn the_times_of_open_work_move_with_a_clock_that_is_set() {
    for step_ms in [400 * 24 * HOUR_MS, -3 * HOUR_MS] {
        let mut town = Setup::default().sandbox(|options| options.task_seconds = 200.0).build().await;
        let request = town.insert(None, &["101"]).await;
        town.tick(180_000).await;
        assert!(town.polls().len() > 10, "often enough to give it up");
        let times = "select next_poll_at - {now} from jobs union all select submitted_at - {now} from jobs";
        let mut seen = Vec::new();
        for by_ms in [step_ms, 0] {
            let now = town.clock.now().0.to_string();
            seen.push(town.all::<(i64,)>(&times.replace("{now}", &now)).await);
            town.clock.set_by(by_ms);
            driver::follow_clock(town.store(), &town.clock).await.expect("followed");
        }
        assert_eq!(seen[0], seen[1], "{step_ms}");
        town.kill();
        town.start().await;
        town.settle().await;
        assert_eq!(town.job_state(1).await, "polling", "{step_ms}");
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{step_ms}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_charge_of_another_job_explains_what_is_gone_whatever_the_clock_said() {
    for (before, between) in [(HOUR_MS, -HOUR_MS), (0, HOUR_MS), (0, -HOUR_MS)] {
        let mut town = Town::new().await;
        set_clock(&mut town, before).await;
        town.fault("lost-request@unlock");
        let lost = town.insert(Some("1"), &["101", "102"]).await;
        town.settle().await;
        assert_eq!(town.job_state(1).await, "in_doubt (looking)");
        set_clock(&mut town, between).await;
        town.insert(Some("2"), &["201", "202"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(lost, "101").await.0, "delivered", "{before} {between}");
        assert_eq!(town.posts().len(), 3, "{before} {between}");
        town.check().await;
    }
}

#[tokio::test]
async fn what_was_charged_before_a_balance_is_not_taken_off_it_whatever_the_clock_said() {
    for step in [HOUR_MS, 0, -HOUR_MS] {
        let mut town = Town::new().await;
        set_clock(&mut town, HOUR_MS).await;
        town.insert(Some("1"), &["101", "102"]).await;
        town.finish_all().await;
        set_clock(&mut town, step).await;
        let shown = town.sandbox.accounting().balance;
        town.insert(Some("2"), &["201"]).await;
        town.finish_all().await;
        let before = town.number("select balance_before from attempts order by id desc limit 1").await;
        assert_eq!(before, shown, "{step}");
        town.check().await;
    }
}
