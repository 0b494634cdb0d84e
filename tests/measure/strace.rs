//! The unchanged release binary with failing system calls: `kill -9`, EIO and ENOSPC at the N-th write, sync,
//! send and receive, for N = 1, 2, 3 … until a run is not interrupted.
//!
//! Needs strace (Debian's package) and the right to trace. strace counts for each thread, so the runtime gets
//! only one worker thread: one thread makes all writes of the database, another all network calls. After each
//! fault a worker without faults finishes the job; every contact must be paid for once, and the books must
//! balance. The sandbox charges every repeated POST again.

use std::ops::RangeInclusive;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use sqlx::Connection;
use unlockd::sandbox::{Billing, Channel, Options};

use crate::support::{Place, flag, text};

const CONFIG: &str = "\
timeout = \"3s\"
[inbox]
interval = \"20ms\"
[polling]
steps = [\"40ms\", \"80ms\"]
[submit]
verify_after = \"150ms\"
decide_after = \"20s\"
[credits]
approve_above = 100000
[http]
listen = \"\"
";
pub(crate) const CONTACTS: u32 = 10;
/// The calls with which the program writes, syncs, truncates, sends and receives, as `strace -c` counts them.
const CALLS: [&str; 5] = ["pwrite64", "fsync", "ftruncate", "writev", "recvfrom"];

pub(crate) async fn run(arguments: &[String]) {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("strace is not installed: apt-get install strace");
        std::process::exit(1);
    }
    let (only, only_fault) = (text(arguments, "--call"), text(arguments, "--fault"));
    let most = flag(arguments, "--most", 2_000.0) as u32;
    let first = flag(arguments, "--from", 1.0) as u32;
    let (since, mut runs) = (Instant::now(), 0);
    for call in CALLS.into_iter().filter(|call| only.as_deref().is_none_or(|only| only == *call)) {
        // A send or receive never fails with an error of a disk.
        let is_disk = !matches!(call, "writev" | "recvfrom");
        let faults = [
            ("signal=KILL", true),
            ("error=EIO", is_disk),
            ("error=ENOSPC", is_disk),
            ("error=ECONNRESET", !is_disk),
        ];
        let asked = |fault: &str| only_fault.as_deref().is_none_or(|only| only == fault);
        for (fault, _) in faults.into_iter().filter(|(fault, fits)| *fits && asked(fault)) {
            let hits = sweep(call, fault, first..=most).await;
            assert!(hits > 0, "{call} is never called: strace -c tells what is");
            println!("strace: {call} {fault}: {hits} places, every contact paid once and delivered");
            runs += hits;
        }
    }
    println!(
        "strace: {runs} faults in {:.0} s, nothing paid twice, nothing lost",
        since.elapsed().as_secs_f64()
    );
}

/// Returns how many places there were.
async fn sweep(call: &str, fault: &str, places: RangeInclusive<u32>) -> u32 {
    let (first, most) = (*places.start(), *places.end());
    for nth in places {
        let place = place().await;
        let untouched = injected(&place, call, fault, nth).await;
        let mut command = place.command();
        command.args(["run", "--until-idle"]);
        let status = until_idle(command).await;
        let what = format!("{call} {fault} at {nth}");
        assert!(status.success(), "after {what}: {status}\n{}", place.log());
        assert_paid_once(&place, &what).await;
        if untouched {
            return nth - first;
        }
    }
    most + 1 - first
}

/// A database with a request, and a hostile sandbox.
pub(crate) async fn place() -> Place {
    let options = Options {
        task_seconds: 0.1,
        rate_limit: 0,
        balance: 1_000_000,
        billing: Billing::Repeats,
        ..Options::default()
    };
    let place = Place::new(options, CONFIG).await;
    let ids: Vec<String> = (100..100 + CONTACTS).map(|id| id.to_string()).collect();
    let mut connection = place.connect().await;
    sqlx::query("insert into inbox (event_id, personnel_ids) values ('139574', ?1)")
        .bind(serde_json::json!(ids).to_string())
        .execute(&mut connection)
        .await
        .expect("a row is inserted");
    // The connection that closes last empties the log; from here on that is the worker's.
    connection.close().await.expect("closed");
    place
}

/// Whether the run ended without the fault.
async fn injected(place: &Place, call: &str, fault: &str, nth: u32) -> bool {
    let trace = place.path("trace");
    let mut command =
        place.traced(&trace, &[&format!("trace={call}"), &format!("inject={call}:{fault}:when={nth}")]);
    command.env("TOKIO_WORKER_THREADS", "1").args(["run", "--until-idle"]);
    let status = until_idle(command).await;
    let trace = std::fs::read_to_string(&trace).unwrap_or_default();
    let hit = trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL");
    assert!(hit || status.success(), "{call} {nth}: {status} without a fault\n{}", place.log());
    !hit
}

/// Waits for the command's end; if it does not end, the test fails.
pub(crate) async fn until_idle(mut command: Command) -> ExitStatus {
    let mut child = command.spawn().expect("it starts");
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process is ours") {
            return status;
        }
        if since.elapsed() > Duration::from_secs(90) {
            let _ = child.kill();
            panic!("the worker did not end");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every contact was paid for once and is delivered; the books balance.
pub(crate) async fn assert_paid_once(place: &Place, what: &str) {
    let (accounting, mut connection) = (place.sandbox.accounting(), place.connect().await);
    for id in 100..100 + CONTACTS {
        let times = accounting.charge(&id.to_string(), Channel::Email).times;
        assert_eq!(times, 1, "{what}: contact {id} was charged {times} times\n{}", place.log());
    }
    let delivered = "select count(*) from contact_outcomes where outcome = 'delivered'";
    assert_eq!(
        place.number(&mut connection, delivered).await,
        i64::from(CONTACTS),
        "{what}\n{}",
        place.log()
    );
    let booked = place.number(&mut connection, "select sum(credits) from ledger").await;
    let timeline: Vec<String> = sqlx::query_scalar(
        "select at || ' ' || coalesce(job_id, '') || ' ' || event || ' ' || coalesce(detail, '') from request_events order by id",
    )
    .fetch_all(&mut connection)
    .await
    .expect("readable");
    assert_eq!(
        booked,
        accounting.charged_total,
        "{what}: the ledger\n{}\n{}",
        timeline.join("\n"),
        place.log()
    );
}
