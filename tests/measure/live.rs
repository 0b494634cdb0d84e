//! A worker with running jobs: how late its polls are, and the cost of waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::resume::history;
use crate::support::{Place, unlimited};

const SCHEDULED: i64 = 10_000;

/// The first poll of each of a thousand tasks over ten seconds, without a rate limit: answered
/// minus due. The sandbox does not know the tasks; what is asked again later does not count.
pub(crate) async fn lateness() {
    const POLLS: i64 = 1_000;
    // The sandbox sends no headers then, so the configured limit applies.
    let place = Place::new(unlimited(), "[rate_limit]\nper_minute = 100000\nper_address = 100000\n").await;
    let mut connection = place.connect().await;
    history(&mut connection, 0, POLLS, 2_000).await;
    let due: Vec<i64> = sqlx::query_scalar("select next_poll_at from jobs order by id")
        .fetch_all(&mut connection)
        .await
        .expect("the schedule");
    let before = place.sandbox.journal().len();
    let worker = place.start();
    let mut first_polls = BTreeMap::new();
    while first_polls.len() < due.len() {
        assert!(worker.since.elapsed() < Duration::from_secs(60), "too slow");
        tokio::time::sleep(Duration::from_millis(50)).await;
        for call in &place.sandbox.journal()[before..] {
            let task: Option<usize> = call.path.rsplit('/').next().and_then(|id| id.parse().ok());
            if let Some(due) = task.and_then(|task| due.get(task - 1)) {
                first_polls.entry(task).or_insert(call.at_ms - due);
            }
        }
    }
    let mut late: Vec<i64> = first_polls.into_values().collect();
    late.sort_unstable();
    let quantile = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    println!(
        "lateness: {} polls, p50 {} ms, p99 {} ms, most {} ms",
        late.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
}

/// Ten thousand tasks that are polled an hour from now.
pub(crate) async fn idle() {
    let place = Place::new(unlimited(), "").await;
    history(&mut place.connect().await, 0, SCHEDULED, 3_600_000).await;
    let worker = place.start();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (cpu, wakes) = (worker.cpu_seconds(), worker.wake_ups());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (cpu, wakes) = (worker.cpu_seconds() - cpu, worker.wake_ups() - wakes);
    println!(
        "idle: {SCHEDULED} scheduled jobs, 60 s: {cpu:.2} s of CPU ({:.2} % of a core), {:.0} wake-ups a second, {:.0} MB",
        cpu / 60.0 * 100.0,
        wakes as f64 / 60.0,
        worker.memory_mb("VmRSS"),
    );
}
