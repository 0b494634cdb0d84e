//! The messages to systemd, received by a socket that acts as systemd.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use sqlx::Executor;

use crate::support::{Town, hostile, signal, wait};

/// The next messages, at most until `until`; ends early when one is `last`.
fn told(socket: &UnixDatagram, last: &str, at_most: Duration) -> Vec<String> {
    let (until, mut told) = (Instant::now() + at_most, Vec::new());
    while told.last().is_none_or(|text| text != last) && Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).expect("a timeout");
        let mut buffer = [0; 256];
        if let Ok(length) = socket.recv(&mut buffer) {
            told.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_of_the_start_of_life_and_of_the_stop() {
    let town = Town::new(hostile()).await;
    let socket = UnixDatagram::bind(town.path("notify")).expect("a socket");
    let mut worker = town.start_notifying(&town.path("notify"), None);
    tokio::task::block_in_place(|| {
        assert_eq!(told(&socket, "READY=1", Duration::from_secs(20)), ["READY=1"], "{}", town.log());
        // Twice within the 60 s of the unit's watchdog.
        for _ in 0..2 {
            assert_eq!(
                told(&socket, "WATCHDOG=1", Duration::from_secs(20)),
                ["WATCHDOG=1"],
                "{}",
                town.log()
            );
        }
        signal(&worker, Signal::TERM);
        let rest = told(&socket, "STOPPING=1", Duration::from_secs(10));
        assert_eq!(rest.last().map(String::as_str), Some("STOPPING=1"), "{}", town.log());
        assert!(wait(&mut worker, Duration::from_secs(10)).success());
    });
}

/// Half of the runtime hangs in a pass; the other half still renews the lease.
#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_not_fed_while_a_pass_hangs() {
    let town = Town::new(hostile()).await;
    town.insert(100..110).await;
    let socket = UnixDatagram::bind(town.path("notify")).expect("a socket");
    let mut worker = town.start_notifying(&town.path("notify"), Some("before_call:2:hang"));
    town.until_logged("systemd is no longer told that the worker is alive").await;
    let renewals = town.number("select renewed_at from worker_lease").await;
    tokio::task::block_in_place(|| {
        let until_now = told(&socket, "", Duration::from_millis(100));
        assert_eq!(until_now.first().map(String::as_str), Some("READY=1"));
        let later = told(&socket, "WATCHDOG=1", Duration::from_secs(12));
        assert!(later.is_empty(), "{later:?}\n{}", town.log());
    });
    assert!(town.number("select renewed_at from worker_lease").await > renewals, "the rest goes on");
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
}

/// Else systemd kills a worker that does nothing wrong, and the next one waits for the same lock.
#[tokio::test(flavor = "multi_thread")]
async fn systemd_waits_while_another_program_keeps_the_database_locked() {
    const PATIENCE: &str = "EXTEND_TIMEOUT_USEC=20000000\nWATCHDOG=1";
    let town = Town::new(hostile()).await;
    let socket = UnixDatagram::bind(town.path("notify")).expect("a socket");
    let said = |last: &str| tokio::task::block_in_place(|| told(&socket, last, Duration::from_secs(20)));
    let mut other = town.connect().await;
    other.execute("begin immediate").await.expect("locked");
    let mut worker = town.start_notifying(&town.path("notify"), None);
    assert_eq!(said(PATIENCE), [PATIENCE], "{}", town.log());
    other.execute("rollback").await.expect("unlocked");
    assert_eq!(said("READY=1").last().map(String::as_str), Some("READY=1"), "{}", town.log());
    other.execute("begin immediate").await.expect("locked");
    assert_eq!(said(PATIENCE).last().map(String::as_str), Some(PATIENCE), "{}", town.log());
    other.execute("rollback").await.expect("unlocked");
    town.insert(100..101).await;
    town.until("select count(*) from inbox where status = 'done'", 1).await;
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
}

/// Else systemd stops it after its start timeout, or its watchdog kills it, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_and_feeds_the_watchdog_while_it_waits() {
    let town = Town::new(hostile()).await;
    let mut active = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    let socket = UnixDatagram::bind(town.path("notify")).expect("a socket");
    let mut standby = town.start_notifying(&town.path("notify"), None);
    tokio::task::block_in_place(|| {
        assert_eq!(told(&socket, "READY=1", Duration::from_secs(20)), ["READY=1"], "{}", town.log());
        let then = told(&socket, "WATCHDOG=1", Duration::from_secs(20));
        let status = format!("STATUS=standby: worker {} has the database", active.id());
        assert_eq!(then, [status.as_str(), "WATCHDOG=1"], "{}", town.log());
        signal(&standby, Signal::TERM);
        assert!(wait(&mut standby, Duration::from_secs(10)).success());
    });
    active.kill().expect("the active worker is there");
    active.wait().expect("it is dead");
}
