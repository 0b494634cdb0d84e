//! Several workers on one database of PostgreSQL: each owner is served by one of them, whichever dies, stops or comes.
//!
//! The leases are short here, so a takeover is quick; `fleet.lease` of the contract is tested in `tests/postgres`.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use unlockd::sandbox::Fault;

use crate::stops::is_stopped;
use crate::support::{Town, hostile, signal, wait};

/// Besides `default`: accounts of five owners.
const ACCOUNTS: [&str; 5] = ["a", "b", "c", "d", "e"];
const OWNERS: i64 = 6;
/// Contacts of each account in one row: ids that end in 90 and more bring something else.
const EACH: u32 = 5;
/// What the configuration says, in seconds.
const LEASE: u64 = 5;

const UNSERVED: &str = "select count(*) from owners
                        where worker is null or expires_at < extract(epoch from clock_timestamp()) * 1000";
const OPEN: &str = "select (select count(*) from inbox where status <> 'done') + (select count(*) from requests where inbox_is_behind = 1)";

async fn town() -> Option<Town> {
    let accounts = ACCOUNTS.map(|name| format!("[accounts.{name}]\napi_key = \"uak_fleet@{name}\"\n"));
    let config = format!("[fleet]\nlease = \"{LEASE}s\"\n{}", accounts.concat());
    Town::on_server_with(hostile(), &config).await
}

/// A row for each account, of contacts that nobody else has.
async fn insert(town: &Town, first: u32) -> std::ops::Range<u32> {
    for (at, account) in ACCOUNTS.iter().enumerate() {
        let from = first + EACH * at as u32;
        town.insert_for(account, from..from + EACH).await;
    }
    first..first + EACH * ACCOUNTS.len() as u32
}

fn end(mut worker: Child) {
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(20)));
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_owners_evenly_and_a_clean_stop_hands_them_over_at_once() {
    let Some(town) = town().await else { return };
    let first = town.start();
    town.until(UNSERVED, 0).await;
    let mut ids = insert(&town, 1_000).await;
    // On a machine whose clock is five minutes ahead: the database's counts.
    let second = town.start_ahead(300);
    let even = "select coalesce(min(count), 0) from (select count(*) from owners where owner <> ''
                group by worker having worker is not null) as shares where (select count(distinct worker) from owners) = 2";
    town.until(even, OWNERS / 2).await;
    ids.end = insert(&town, 1_025).await.end;
    town.until(OPEN, 0).await;

    let by_another_clock = "select count(*) from jobs
                            where abs(created_at - extract(epoch from clock_timestamp()) * 1000) > 120000";
    assert_eq!(town.number(by_another_clock).await, 0);

    signal(&first, Signal::TERM);
    end(first);
    let stopped = Instant::now();
    town.until(UNSERVED, 0).await;
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(2), "a clean stop cost {took:?}\n{}", town.log());
    ids.end = insert(&town, 1_050).await.end;
    town.until(OPEN, 0).await;
    signal(&second, Signal::TERM);
    end(second);
    town.assert_paid_once_and_delivered(ids, "two workers").await;
}

/// By the clock of the one that was told, or of the one that takes over, it would be over long ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_outlasts_a_takeover_by_a_machine_whose_clock_is_ahead() {
    let Some(town) = town().await else { return };
    let first = town.start();
    town.until(UNSERVED, 0).await;
    town.sandbox.inject("429=8@unlock".parse::<Fault>().expect("a fault"));
    town.insert_for("a", 1_000..1_005).await;
    let refused =
        || town.sandbox.journal().iter().find(|call| call.status == Some(429)).map(|call| call.real_at);
    let since = Instant::now();
    let refused_at = loop {
        match refused() {
            Some(at) => break at,
            None => assert!(since.elapsed() < Duration::from_secs(20), "no call was refused\n{}", town.log()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    // Its answer is recorded before the worker ends.
    signal(&first, Signal::TERM);
    end(first);
    let second = town.start_ahead(300);
    town.until(OPEN, 0).await;
    let journal = town.sandbox.journal();
    let early =
        journal.iter().filter(|call| call.key.as_deref() == Some("uak_fleet@a") && call.real_at > refused_at);
    let early = early.map(|call| call.real_at - refused_at).min().expect("it went on");
    assert!(early >= Duration::from_secs(8), "a call {early:?} after the 429\n{}", town.log());
    signal(&second, Signal::TERM);
    end(second);
    town.assert_paid_once_and_delivered(1_000..1_005, "a Retry-After").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_held_is_taken_over_and_paid_for_once() {
    let Some(town) = town().await else { return };
    let survivor = town.start();
    town.until(UNSERVED, 0).await;
    // It gets half of the owners, and dies between intent and POST, or when the API has just taken the money.
    for (round, fail) in ["after_intent:1", "after_call:6"].into_iter().enumerate() {
        let mut victim = town.start_failing(fail);
        let shared = "select count(distinct worker) from owners where worker is not null";
        town.until(shared, 2).await;
        let ids = insert(&town, 1_000 + 25 * round as u32).await;
        let status = tokio::task::block_in_place(|| wait(&mut victim, Duration::from_secs(30)));
        assert!(!status.success(), "{fail} did not happen\n{}", town.log());
        let died = Instant::now();
        town.until(UNSERVED, 0).await;
        let took = died.elapsed();
        assert!(took < Duration::from_secs(LEASE + 10), "{fail}: {took:?}");
        town.until(OPEN, 0).await;
        town.assert_paid_once_and_delivered(1_000..ids.end, fail).await;
    }
    signal(&survivor, Signal::TERM);
    end(survivor);
}

/// The worst moments to be stopped for longer than the lease: before a paid call, and after its bytes have gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_past_its_lease_writes_and_sends_nothing_when_it_wakes() {
    for fail in ["after_intent:1:stop", "after_call:3:stop"] {
        let Some(town) = town().await else { return };
        let mut stopped = town.start_failing(fail);
        let ids = insert(&town, 1_000).await;
        let since = Instant::now();
        while !is_stopped(&stopped) {
            assert!(since.elapsed() < Duration::from_secs(20), "{fail}: it did not stop\n{}", town.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let successor = town.start();
        town.until(OPEN, 0).await;
        let held = "select count(distinct worker) from owners";
        assert_eq!(town.number(held).await, 1, "{fail}: the successor has all");
        signal(&stopped, Signal::CONT);
        let status = tokio::task::block_in_place(|| wait(&mut stopped, Duration::from_secs(20)));
        assert!(!status.success(), "{fail}: it must say that it was replaced\n{}", town.log());
        signal(&successor, Signal::TERM);
        end(successor);
        town.assert_paid_once_and_delivered(ids, fail).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_meets_a_newer_version_stops_cleanly() {
    let waits =
        "insert into workers (worker, host, pid, version, schema_step, started_at, seen_at, expires_at)
                 values ('newer', 'other', 1, '9', 999999, 0, 0, 9e15::bigint)";
    let has_upgraded =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                        values (999999, 'newer', true, '', 0)";
    for newer in [waits, has_upgraded] {
        let Some(town) = town().await else { return };
        let worker = town.start();
        town.until(UNSERVED, 0).await;
        town.run(newer).await;
        end(worker);
        assert!(town.log().contains("a newer version of unlockd"), "{}", town.log());
        assert_eq!(town.number("select count(*) from owners where worker is not null").await, 0);
    }
}
