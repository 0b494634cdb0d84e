//! Accounts that are added to and removed from the configuration.

use std::time::Duration;

use unlockd::domain::AccountId;
use unlockd::domain::pacing::Ladder;
use unlockd::store::Store;
use unlockd::worker::people::pause::{self, Resumed};
use unlockd::worker::run::driver::End;

use crate::support::{Setup, Town};

const KEY: &str = "ACCOUNTS__SECOND__API_KEY";

#[tokio::test]
async fn what_an_account_has_under_way_waits_visibly_while_it_is_not_configured() {
    let mut town = Setup::default().config(KEY, "uak_test_2").build().await;
    let request = town.insert_row("account, personnel_ids", "'second', '[101]'").await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "polling");
    town.unset_env(KEY);
    town.restart().await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits[0].contains("account second is not configured"), "{waits:?}");
    let explained = town.explained(request).await;
    assert_eq!(explained.waits[0].reason, "not_configured");
    assert!(explained.needs_person(), "{:?}", explained.waits.iter().map(|w| &w.what).collect::<Vec<_>>());
    assert!(explained.waits.iter().all(|wait| wait.next_try_at.is_none()), "nothing is tried");
    town.set_env(KEY, "uak_test_2");
    town.restart().await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn an_account_that_is_removed_buys_nothing_more_and_what_it_has_running_ends() {
    let mut town = Setup::default().config(KEY, "uak_test_2").build().await;
    let first = town.insert_row("account, personnel_ids", "'second', '[101]'").await;
    town.settle().await;
    town.unset_env(KEY);
    town.configure("POLLING__GIVE_UP_AFTER", "23h").await;
    let second = town.insert_row("account, personnel_ids", "'second', '[102]'").await;
    let other = town.insert(None, &["201"]).await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits[0].contains("account second is not configured"), "{waits:?}");
    assert_eq!(town.outcome(first, "101").await.0, "delivered");
    assert_eq!(town.outcome(other, "201").await.0, "delivered");
    assert_eq!((town.status(second).await, town.posts().len()), ("accepted".into(), 2), "its rows wait");
    // Its own charge is settled, although it has more to send.
    assert_eq!(town.number("select count(*) from windows where closed_at is null").await, 0);
    town.configure(KEY, "uak_test_2").await;
    town.finish_all().await;
    assert_eq!(town.outcome(second, "102").await.0, "delivered");
    town.check().await;
}

/// What an account bought after the copy was made is not in the copy, whenever the account is configured.
#[tokio::test]
async fn an_account_that_is_added_to_a_restored_database_is_prechecked_like_the_others() {
    let setup = Setup::default().config("SUBMIT__PRECHECK", "false").config(KEY, "uak_test_2");
    let mut town = setup.build().await;
    town.insert_row("account, personnel_ids", "'second', '[101]'").await;
    town.finish_all().await;
    assert!(town.calls("precheck").is_empty(), "not asked for");
    for (key, account) in [(KEY, "second"), ("ACCOUNTS__THIRD__API_KEY", "third")] {
        town.unset_env(key);
        town.restart().await;
        town.distrust().await;
        town.configure(key, "uak_test_2").await;
        let before = town.calls("precheck").len();
        let request = town.insert_row("account, personnel_ids", &format!("'{account}', '[301,302]'")).await;
        town.finish_all().await;
        assert_eq!(town.status(request).await, "done", "{account}");
        assert!(town.calls("precheck").len() > before, "{account} was bought without a precheck");
    }
    town.check().await;
}

/// Requests of two accounts by turns, one contact each, each of an event of its own.
async fn ask_by_turns(town: &mut Town, ids: std::ops::Range<u64>) {
    for id in ids.filter(|id| id % 100 < 90) {
        let account = if id % 2 == 0 { "default" } else { "second" };
        town.insert_row("account, event_id, personnel_ids", &format!("'{account}', '{id}', '[{id}]'")).await;
    }
}

/// Calls from the address, turned away or not, in the fullest minute.
fn fullest_minute(town: &Town) -> usize {
    let at: Vec<i64> = town.sandbox.journal().iter().map(|call| call.at_ms).collect();
    let within = |first: usize| at[first..].iter().take_while(|then| **then - at[first] < 60_000).count();
    (0..at.len()).map(within).max().unwrap_or_default()
}

fn turned_away(town: &Town) -> usize {
    town.sandbox.journal().iter().filter(|call| call.status == Some(429)).count()
}

fn calls_with(town: &Town, key: &str) -> usize {
    town.sandbox.journal().iter().filter(|call| call.key.as_deref() == Some(key)).count()
}

/// The vendor counts for each key and for each IP.
#[tokio::test]
async fn accounts_of_one_address_keep_its_configured_limit_together_and_over_a_restart() {
    let setup = Setup::default().config(KEY, "uak_test_2@other").config("RATE_LIMIT__PER_ADDRESS", "20");
    let mut town = setup.build().await;
    ask_by_turns(&mut town, 101..113).await;
    town.restart().await;
    town.tick(10_000).await;
    town.restart().await;
    town.finish_all().await;
    assert_eq!(town.number("select count(*) from inbox where status = 'done'").await, 12);
    assert_eq!(fullest_minute(&town), 20);
    town.configure("RATE_LIMIT__PER_ADDRESS", "600").await;
    ask_by_turns(&mut town, 201..213).await;
    town.finish_all().await;
    assert!(fullest_minute(&town) > 30, "without a restart");
    town.check().await;
}

#[tokio::test]
async fn accounts_of_one_address_are_faster_than_one_key() {
    let setup = Setup::default().config(KEY, "uak_test_2@other");
    let mut town = setup.sandbox(|options| options.rate_limit = 20).build().await;
    ask_by_turns(&mut town, 101..125).await;
    town.finish_all().await;
    assert!(fullest_minute(&town) > 30, "{} calls", fullest_minute(&town));
    assert_eq!(turned_away(&town), 0);
    town.check().await;
}

#[tokio::test]
async fn a_429_to_a_key_that_has_calls_left_lowers_the_limit_of_the_address_and_a_restart_remembers_it() {
    let setup = Setup::default().config(KEY, "uak_test_2@other");
    let mut town = setup.sandbox(|options| options.address_limit = 24).build().await;
    town.allowed.turned_away = true;
    ask_by_turns(&mut town, 101..131).await;
    town.tick(50_000).await;
    let refused = turned_away(&town);
    assert!((1..=4).contains(&refused), "{refused}");
    assert_eq!(town.number("select lowered_limit from address_limit").await, 24);
    assert_eq!(town.number("select count(*) from accounts where blocked_until is not null").await, 0);
    let calls = town.sandbox.journal().len();
    town.restart().await;
    town.tick(5_000).await;
    assert_eq!(town.sandbox.journal().len(), calls, "the window has not ended");
    for _ in 0..3 {
        town.tick(60_000).await;
        town.restart().await;
    }
    assert_eq!(turned_away(&town), refused);
    town.finish_all().await;
    let (calls, refused) = (town.sandbox.journal().len(), turned_away(&town));
    assert!(refused * 20 < calls, "{refused} of {calls}");
    town.check().await;
}

/// Too few tasks would run until a poll happens to come: the length decides how many can be polled.
#[tokio::test]
async fn the_length_of_a_window_shows_when_it_has_ended_although_as_many_tasks_run_as_may() {
    let setup = Setup::default().config(KEY, "uak_test_2@other");
    let setup = setup.sandbox(|options| {
        (options.rate_limit, options.rate_window) = (20, Duration::from_secs(10));
        options.task_seconds = 60.0;
    });
    let mut town = setup.build().await;
    ask_by_turns(&mut town, 101..121).await;
    town.tick(14_000).await;
    assert_eq!(town.number("select min(rate_window_ms) + max(rate_window_ms) from accounts").await, 20_000);
    town.tick(2_000).await;
    let running = town.number("select count(*) from jobs where state = 'polling'").await;
    assert!(running > 12, "{running}");
    town.finish_all().await;
    assert_eq!(turned_away(&town), 0);
    town.check().await;
}

#[tokio::test]
async fn a_retry_after_that_one_account_is_told_holds_that_account_only() {
    let mut town = Setup::default().config(KEY, "uak_test_2@other").build().await;
    town.fault("429=90@balance");
    let held = town.insert(None, &["101"]).await;
    let other = town.insert_row("account, personnel_ids", "'second', '[201]'").await;
    town.settle().await;
    for _ in 0..8 {
        town.restart().await;
        town.tick(10_000).await;
    }
    assert_eq!(calls_with(&town, "uak_test_1"), 1);
    assert_eq!(town.outcome(other, "201").await.0, "delivered");
    let waits = town.explained(held).await.waits;
    let wait = waits.iter().find(|wait| wait.reason == "rate_limit").expect("it is said");
    assert!(wait.next_try_at.is_some() && wait.what.contains("account default"), "{}", wait.what);
    town.finish_all().await;
    assert_eq!(town.outcome(held, "101").await.0, "delivered");
    town.check().await;
}

async fn resume(town: &Town) -> Resumed {
    let ladder = Ladder::new(&[Duration::from_secs(3)], Duration::from_secs(86_400));
    // Another process, as the command is.
    let store = Store::open(&town.database(), None).await.expect("opens");
    pause::resume(&store, &AccountId::trusted("default"), &ladder, town.clock.now()).await.expect("resumed")
}

#[tokio::test]
async fn a_resume_lifts_a_retry_after_of_a_day_also_over_a_restart() {
    let mut town = Setup::default().config(KEY, "uak_test_2@other").build().await;
    for is_running in [true, false] {
        town.fault("429=86400@balance");
        let id = if is_running { "101" } else { "102" };
        let request = town.insert(None, &[id]).await;
        town.tick(60_000).await;
        let calls = town.sandbox.journal().len();
        town.tick(600_000).await;
        assert_eq!(town.sandbox.journal().len(), calls, "the API asked to wait for a day");
        if !is_running {
            town.kill();
        }
        let resumed = resume(&town).await;
        assert!(resumed.waited_until.is_some());
        if !is_running {
            town.start().await;
        }
        town.tick(60_000).await;
        assert_eq!(town.outcome(request, id).await.0, "delivered");
    }
    assert_eq!(resume(&town).await.waited_until, None);
    town.check().await;
}

#[tokio::test]
async fn an_account_that_is_added_while_the_worker_runs_is_served_at_once() {
    let mut town = Town::new().await;
    let early = town.insert_row("account, personnel_ids, dedupe_key", "'emea', '[101]', 'k'").await;
    town.settle().await;
    assert_eq!(town.status(early).await, "rejected", "nothing names it");
    // The file names it from now on: a row that comes by the same key is a row like any other.
    town.configure("ACCOUNTS__EMEA__API_KEY", "uak_test_2").await;
    let row = town.insert_row("account, personnel_ids, dedupe_key", "'emea', '[101]', 'k'").await;
    let other = town.insert(None, &["201"]).await;
    town.finish_all().await;
    assert_eq!((town.status(row).await, town.status(other).await), ("done".into(), "done".into()));
    assert_eq!(town.outcome(row, "101").await.0, "delivered");
    assert_eq!(
        town.number("select count(*) from accounts where account = 'emea' and owner = 'emea'").await,
        1
    );
    town.check().await;
}
