//! Requests with one contact each under a rate limit: unlockd and a simple loop, with the same sandbox
//! settings in the same run.

use std::time::Duration;

use unlockd::sandbox::{Options, Sandbox};

use crate::naive;
use crate::support::{Engine, Place, count, flag, number};

/// The time limit for each side.
const AT_MOST: Duration = Duration::from_secs(20 * 60);
const TASK_SECONDS: f64 = 12.0;

pub(crate) async fn run(arguments: &[String]) {
    let requests = number(arguments, 0, 300);
    let (limit, window) = (flag(arguments, "--limit", 120.0), flag(arguments, "--window", 60.0));
    let every = Duration::from_secs_f64(flag(arguments, "--every", 0.0) / 1_000.0);
    let options = Options {
        task_seconds: TASK_SECONDS,
        balance: 100_000_000,
        rate_limit: limit as u32,
        rate_window: Duration::from_secs_f64(window),
        ..Options::default()
    };
    println!(
        "drain: {requests} single-contact requests, {limit} calls in {window} s, tasks of {TASK_SECONDS} s"
    );
    let bound = bound(requests, limit, window) + every.as_secs_f64() * requests as f64;
    println!("  bound    {bound:7.1} s  (full batches, each polled no sooner than the ladder allows)");
    let Some(ours) = unlockd(Engine::of(arguments), &options, requests, every).await else {
        return println!("  SKIPPED, there is no PostgreSQL");
    };
    if !arguments.iter().any(|word| word == "--no-peer") {
        let sandbox = unlockd::sandbox::start(options).await.expect("a free port");
        let took = naive::run(&sandbox.base_url(), requests, every, AT_MOST).await;
        let theirs = report("naive", took, &sandbox, requests, limit, window, 0);
        println!("  unlockd is {:.1} times as fast, and {:.2} times the bound", theirs / ours, ours / bound);
    }
}

/// The poll steps of 3, 5, 10 s see a task's end at the first poll after it; a batch needs a precheck, a
/// submission and the polls up to there.
fn bound(requests: u64, limit: f64, window: f64) -> f64 {
    let (mut seen, mut polls) = (0.0, 0.0);
    for step in [3.0, 5.0].into_iter().chain(std::iter::repeat(10.0)) {
        (seen, polls) = (seen + step, polls + 1.0);
        if seen >= TASK_SECONDS {
            break;
        }
    }
    let calls = requests.div_ceil(100) as f64 * (2.0 + polls) + 2.0;
    seen + ((calls / limit).ceil() - 1.0).max(0.0) * window
}

/// Seconds until all are done.
pub(crate) async fn unlockd(
    engine: Engine,
    options: &Options,
    requests: u64,
    every: Duration,
) -> Option<f64> {
    let place = Place::on(engine, options.clone(), "").await?;
    let mut db = place.db().await;
    let before = place.sandbox.journal().len();
    let worker = place.start();
    let row = |id: u64| format!("('139574', '[{}]')", 5_000_000 + id * 100);
    let insert = "insert into inbox (event_id, personnel_ids) values";
    if every.is_zero() {
        let rows: Vec<String> = (0..requests).map(row).collect();
        db.run(&format!("{insert} {}", rows.join(", "))).await.expect("rows");
    } else {
        for id in 0..requests {
            db.run(&format!("{insert} {}", row(id))).await.expect("a row");
            tokio::time::sleep(every).await;
        }
    }
    let done = "select count(*) from inbox where status = 'done'";
    while count(&mut db, done).await < requests as i64 {
        assert!(worker.since.elapsed() < AT_MOST, "too slow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = worker.since.elapsed();
    Some(report(
        "unlockd",
        Some(took),
        &place.sandbox,
        requests,
        options.rate_limit.into(),
        options.rate_window.as_secs_f64(),
        before,
    ))
}

#[allow(clippy::too_many_arguments)]
fn report(
    who: &str,
    took: Option<Duration>,
    sandbox: &Sandbox,
    requests: u64,
    limit: f64,
    window: f64,
    skip: usize,
) -> f64 {
    let journal = sandbox.journal();
    let calls = journal.len() - skip;
    let refused = journal[skip..].iter().filter(|call| call.status == Some(429)).count();
    let seconds = took.unwrap_or(AT_MOST).as_secs_f64();
    let allowance = (seconds / window).ceil().max(1.0) * limit;
    let note = if took.is_none() { " (not finished)" } else { "" };
    println!(
        "  {who:8} {seconds:7.1} s{note}  {calls} calls, {:.3} for each contact, {refused} of them 429, {:.0} % of the allowance",
        calls as f64 / requests as f64,
        (calls - refused) as f64 / allowance * 100.0,
    );
    seconds
}
