//! More work than the rate limit allows: is every call used, and is no window exceeded?
//!
//! Each batch has one contact (every request has its own event), so that there are always sixty tasks to poll
//! and more to send. The sandbox's journal shows when each call arrived. Several accounts have keys of different owners,
//! since one owner buys one call at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use unlockd::sandbox::Options;

use crate::support::{Place, flag};

const WINDOW: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: &[String]) {
    let has = |name: &str| arguments.iter().any(|word| word == name);
    let skew_s = flag(arguments, "--skew", 0.0);
    let seconds = flag(arguments, "--seconds", 60.0);
    let limits = Limits {
        accounts: flag(arguments, "--accounts", 1.0) as u32,
        key: flag(arguments, "--limit", 60.0) as u32,
        address: flag(arguments, "--address-limit", 600.0) as u32,
    };
    let options = Options {
        task_seconds: 15.0,
        balance: 100_000_000,
        rate_limit: limits.key,
        address_limit: limits.address,
        rate_window: WINDOW,
        clock_skew: (skew_s * 1_000.0) as i64,
        rate_headers: !has("--no-headers"),
        ..Options::default()
    };
    // Without headers only the configured limit applies: 360 a minute is 60 in 10 s, but a burst of 360 in
    // one second would also respect it, so the configured figure is what 10 s allow.
    let mut config = String::new();
    if has("--no-headers") {
        config.push_str("[rate_limit]\nper_minute = 60\n");
    }
    for account in 1..limits.accounts {
        config.push_str(&format!(
            "[accounts.a{account}]\napi_key = \"uak_measure_{account}@owner{account}\"\n"
        ));
    }
    let place = Place::new(options, &config).await;
    let mut connection = place.connect().await;
    sqlx::query(
        "with recursive n(i) as (select 0 union all select i + 1 from n where i < 2000)
         insert into inbox (account, event_id, personnel_ids)
         select iif(i % $1 = 0, 'default', 'a' || (i % $1)), 'event' || i, '[' || (5000000 + i * 100) || ']' from n",
    )
    .bind(limits.accounts)
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
    report(&place, before, seconds, &limits, (foreign, kills));
}

struct Limits {
    accounts: u32,
    /// Calls of a window for each key, and for the address.
    key: u32,
    address: u32,
}

fn report(place: &Place, before: usize, seconds: f64, limits: &Limits, (foreign, kills): (u32, u32)) {
    let journal = place.sandbox.journal();
    let calls = &journal[before..];
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    let times: Vec<Instant> =
        calls.iter().filter(|call| call.status != Some(429)).map(|call| call.real_at).collect();
    let most = (0..times.len())
        .map(|first| times[first..].iter().take_while(|at| **at - times[first] < WINDOW).count())
        .max()
        .unwrap_or(0);
    let limit = (limits.key * limits.accounts).min(limits.address);
    let mut by_key: BTreeMap<&Option<String>, u32> = BTreeMap::new();
    calls
        .iter()
        .filter(|call| call.status != Some(429))
        .for_each(|call| *by_key.entry(&call.key).or_default() += 1);
    let least = by_key.values().min().copied().unwrap_or_default();
    let allowance = (seconds / WINDOW.as_secs_f64()).ceil() * f64::from(limit) - f64::from(foreign);
    println!(
        "pressure: {} calls in {seconds} s, {:.0} % of the allowance of {allowance}; {refused} of them 429 ({:.2} %); \
         at most {most} in any {} s (limit {limit}); at least {least} for each key; {kills} kills, {foreign} foreign calls",
        times.len(),
        times.len() as f64 / allowance * 100.0,
        refused as f64 / calls.len().max(1) as f64 * 100.0,
        WINDOW.as_secs(),
    );
}
