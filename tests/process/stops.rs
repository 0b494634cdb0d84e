//! Stopping on request, and being suspended without notice.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::Executor;
use unlockd::sandbox::Fault;

use crate::support::{Town, hostile, signal, wait};

fn fault(text: &str) -> Fault {
    text.parse().expect("a fault")
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_waits_for_a_post_in_flight_and_leaves_nothing_in_doubt() {
    let town = Town::new(hostile()).await;
    town.sandbox.inject(fault("slow=1s@unlock"));
    town.insert(100..110).await;
    let mut worker = town.start();
    town.until("select count(*) from attempts", 1).await;
    let since = Instant::now();
    signal(&worker, Signal::TERM);
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(12)));
    assert!(status.success(), "{status}");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(town.number("select count(*) from jobs where state = 'polling'").await, 1, "{}", town.log());
    assert!(tokio::task::block_in_place(|| town.run_until_idle()).success());
    town.assert_paid_once_and_delivered(100..110, "sigterm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_stops_a_waiting_worker_at_once() {
    let town = Town::new(hostile()).await;
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    signal(&worker, Signal::INT);
    assert!(tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(10))).success());
}

/// `BEGIN IMMEDIATE` in a program that was suspended: nobody can write until it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_another_program_that_has_the_database_locked() {
    if crate::postgres::has_no("lock that anybody can take for ever") {
        return;
    }
    let town = Town::new(hostile()).await;
    let mut worker = town.start();
    town.insert(100..110).await;
    town.until("select count(*) from inbox where status = 'done'", 1).await;
    let mut other = town.connect().await;
    other.execute("begin immediate").await.expect("it is locked");
    let since = Instant::now();
    signal(&worker, Signal::TERM);
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(12)));
    assert!(status.success(), "{status}\n{}", town.log());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert!(town.log().contains("the lease was not given back"), "{}", town.log());
    other.execute("rollback").await.expect("it is free again");
    assert!(tokio::task::block_in_place(|| town.run_until_idle()).success(), "{}", town.log());
}

/// A stuck log shipper, or a pager: the pipe is full after some 64 KiB of lines.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_neither_the_work_nor_the_stop() {
    let town = Town::new(hostile()).await;
    let mut worker = town.start_unread();
    let pipe = worker.stderr.take().expect("it is piped");
    let (mut filled, mut rounds) = (0, 0);
    // Until a round adds nothing: its pages may be partly used.
    loop {
        town.insert(100_000 + rounds * 100..100_020 + rounds * 100).await;
        town.until("select count(*) from inbox where status <> 'done'", 0).await;
        rounds += 1;
        let fills = rustix::io::ioctl_fionread(&pipe).expect("a pipe tells what is in it");
        if fills > 50_000 && fills == filled {
            break;
        }
        assert!(rounds < 60, "only {fills} bytes wait: the pipe did not fill, so this proves nothing");
        filled = fills;
    }
    let since = Instant::now();
    signal(&worker, Signal::TERM);
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(12)));
    assert!(status.success(), "{status}");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let delivered = town.number("select count(*) from contact_outcomes where outcome = 'delivered'").await;
    assert_eq!(delivered, 20 * i64::from(rounds));
}

/// A worker that stopped at `fail`. If it happens to stop inside a transaction, it keeps the database locked
/// and nobody can replace it; then another worker is tried.
async fn stopped(fail: &str) -> (Child, Town) {
    for _ in 0..20 {
        let town = Town::new(hostile()).await;
        town.insert(100..110).await;
        let mut worker = town.start_until_idle(Some(fail));
        let since = Instant::now();
        while !is_stopped(&worker) {
            assert!(since.elapsed() < Duration::from_secs(20), "{fail}: it did not stop\n{}", town.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let free = town.connect_impatiently().await.execute("begin immediate").await.is_ok();
        if free {
            return (worker, town);
        }
        worker.kill().expect("the worker is there");
        worker.wait().expect("it is dead");
    }
    panic!("{fail}: it always stopped inside a transaction");
}

/// Whether the system says that the process is stopped (state T).
pub(crate) fn is_stopped(worker: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", worker.id())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Stopped at the worst moments (the first is between the intent and the POST), replaced, and continued: the
/// old worker must neither send nor write.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_and_replaced_sends_nothing_when_it_wakes() {
    let mut workers = Vec::new();
    for place in ["after_intent:1", "after_call:1", "after_call:3", "after_call:4", "after_commit:12"] {
        let fail = format!("{place}:stop");
        let (old, town) = stopped(&fail).await;
        workers.push((old, town, fail));
    }
    for (mut old, town, fail) in workers {
        let mut new = town.start_until_idle(None);
        let status = tokio::task::block_in_place(|| wait(&mut new, Duration::from_secs(60)));
        assert!(status.success(), "{fail}: {status}\n{}", town.log());
        assert_eq!(town.number("select token from worker_lease").await, 3, "{fail}: nobody was replaced");
        signal(&old, Signal::CONT);
        let status = tokio::task::block_in_place(|| wait(&mut old, Duration::from_secs(20)));
        assert!(!status.success(), "{fail}: the old worker must say that it was replaced");
        town.assert_paid_once_and_delivered(100..110, &fail).await;
    }
}
