//! More work than the rate limit allows: is every call used, and is no window exceeded?
//!
//! Each batch has one contact (every request has its own event), so that there are always sixty tasks to poll
//! and more to send. The sandbox's journal shows when each call arrived.

use std::time::{Duration, Instant};

use unlockd::sandbox::Options;

use crate::support::{Place, flag};

const LIMIT: u32 = 60;
const WINDOW: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: &[String]) {
    let has = |name: &str| arguments.iter().any(|word| word == name);
    let skew_s = flag(arguments, "--skew", 0.0);
    let seconds = flag(arguments, "--seconds", 60.0);
    let options = Options {
        task_seconds: 15.0,
        balance: 100_000_000,
        rate_limit: LIMIT,
        rate_window: WINDOW,
        clock_skew: (skew_s * 1_000.0) as i64,
        rate_headers: !has("--no-headers"),
        ..Options::default()
    };
    // Without headers the configured limit is all there is to go by: 360 a minute is 60 in 10 s, but a
    // burst of 360 in a second would keep it too, so the configured figure is what 10 s allow.
    let config = if has("--no-headers") { "[rate_limit]\nper_minute = 60\n" } else { "" };
    let place = Place::new(options, config).await;
    let mut connection = place.connect().await;
    sqlx::query(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
         insert into inbox (event_id, personnel_ids) select 'event' || i, '[' || (5000000 + i * 100) || ']' from n",
    )
    .execute(&mut connection)
    .await
    .expect("rows");
    let before = place.sandbox.journal().len();
    let since = Instant::now();
    let (mut worker, mut kills, mut foreign) = (Some(place.start()), 0, 0);
    let (mut next_kill, mut next_foreign) = (3.0, 0.0);
    while since.elapsed().as_secs_f64() < seconds {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = since.elapsed().as_secs_f64();
        if has("--kill") && now >= next_kill {
            // Dropping it is kill -9.
            drop(worker.take());
            worker = Some(place.start());
            (next_kill, kills) = (next_kill + 3.0, kills + 1);
        }
        if has("--foreign") && now >= next_foreign {
            // Two calls a second are a third of the bucket.
            place.sandbox.use_up_calls(1);
            (next_foreign, foreign) = (next_foreign + 0.5, foreign + 1);
        }
    }
    drop(worker);
    report(&place, before, seconds, foreign, kills);
}

fn report(place: &Place, before: usize, seconds: f64, foreign: u32, kills: u32) {
    let journal = place.sandbox.journal();
    let calls = &journal[before..];
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    let times: Vec<Instant> =
        calls.iter().filter(|call| call.status != Some(429)).map(|call| call.real_at).collect();
    let most = (0..times.len())
        .map(|first| times[first..].iter().take_while(|at| **at - times[first] < WINDOW).count())
        .max()
        .unwrap_or(0);
    let allowance = (seconds / WINDOW.as_secs_f64()).ceil() * f64::from(LIMIT) - f64::from(foreign);
    println!(
        "pressure: {} calls in {seconds} s, {:.0} % of the allowance of {allowance}; {refused} of them 429 ({:.2} %); \
         at most {most} in any {} s (limit {LIMIT}); {kills} kills, {foreign} foreign calls",
        times.len(),
        times.len() as f64 / allowance * 100.0,
        refused as f64 / calls.len().max(1) as f64 * 100.0,
        WINDOW.as_secs(),
    );
}
