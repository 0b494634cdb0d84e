//! How much of the allowance is used while the API answers slowly, and how many calls a contact takes.

use std::time::{Duration, Instant};

use unlockd::sandbox::{Channel, Fault, Options};

use crate::support::{Place, flag, number, unlimited};

const LIMIT: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
const AT_MOST: Duration = Duration::from_secs(300);

/// Polls, and profile reads, while each answer takes long.
pub(crate) async fn slow(arguments: &[String]) {
    let seconds = flag(arguments, "--seconds", 60.0);
    let only = flag(arguments, "--latency", 0.0);
    for latency_ms in [2_000.0, 5_000.0].into_iter().filter(|latency| only == 0.0 || *latency == only) {
        for (what, place, rows) in [("polls", polls().await, 200), ("profile reads", profiles().await, 1)] {
            let (used, refused) = share(&place, rows, latency_ms as u64, seconds).await;
            println!(
                "slow: answers after {latency_ms} ms, {what}: {:.0} % of the allowance (bound 100 %, goal 90 %), \
                 {refused} refused",
                used * 100.0
            );
        }
    }
}

fn limited() -> Options {
    let tasks = Options { task_seconds: 86_400.0, ..unlimited() };
    Options { rate_limit: LIMIT, rate_window: WINDOW, ..tasks }
}

/// Many tasks that never end: there is always one to poll.
async fn polls() -> Place {
    Place::new(limited(), "[submit]\nbatch_size = 1\n").await
}

/// Contacts that somebody else has unlocked, and no list that shows them.
async fn profiles() -> Place {
    let place = Place::new(limited(), "[submit]\nbatch_size = 1000\n").await;
    (0..1_000).for_each(|number| place.sandbox.mark_unlocked(&contact(number), Channel::Email));
    place.sandbox.inject(fault("always:error=404:NOT_FOUND@contacts"));
    place
}

fn contact(number: u64) -> String {
    (5_000_000 + number * 100).to_string()
}

fn fault(text: &str) -> Fault {
    text.parse().expect("a fault")
}

/// The part of the allowance that was used, and how many calls were refused.
async fn share(place: &Place, rows: u64, latency_ms: u64, seconds: f64) -> (f64, usize) {
    let mut connection = place.connect().await;
    let each = 1_000 / rows.max(1);
    for row in 0..rows {
        let ids: Vec<String> = (row * each..(row + 1) * each).map(contact).collect();
        let ids = if rows > 1 { ids[..1].join(",") } else { ids.join(",") };
        sqlx::query("insert into inbox (event_id, personnel_ids, approved) values (?1, '[' || ?2 || ']', 1)")
            .bind((rows > 1).then(|| format!("event{row}")))
            .bind(ids)
            .execute(&mut connection)
            .await
            .expect("a row");
    }
    let worker = place.start();
    // Until as many tasks run as can be polled; with slow answers there are some more.
    tokio::time::sleep(Duration::from_secs(if rows > 1 { 30 } else { 3 })).await;
    place.sandbox.inject(fault(&format!("always:slow={latency_ms}ms")));
    tokio::time::sleep(2 * WINDOW + Duration::from_millis(12 * latency_ms)).await;
    let (before, since) = (place.sandbox.journal().len(), Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let took = since.elapsed().as_secs_f64();
    let journal = place.sandbox.journal();
    drop(worker);
    let refused = journal[before..].iter().filter(|call| call.status == Some(429)).count();
    let passed = journal.len() - before - refused;
    (passed as f64 / (f64::from(LIMIT) * took / WINDOW.as_secs_f64()), refused)
}

/// Prechecks of a batch of which some contacts are unlocked already, and calls a contact for an ordinary list.
pub(crate) async fn prechecks(arguments: &[String]) {
    let contacts = number(arguments, 0, 5_000);
    for unlocked in [0, 1, 3, 5, 10] {
        let place = Place::new(Options { task_seconds: 1.0, ..unlimited() }, "").await;
        (0..unlocked).for_each(|number| place.sandbox.mark_unlocked(&contact(number), Channel::Email));
        let calls = bought(&place, (0..100).map(contact)).await;
        let asked = calls.iter().filter(|path| path.contains("/precheck")).count();
        println!("prechecks: a batch of 100, {unlocked} unlocked already: {asked} (bound 1, goal 3)");
    }
    let place = Place::new(Options { task_seconds: 12.0, ..unlimited() }, "").await;
    // A tenth is invalid, missing, unlocked already, failed or without a value, by the end of the id.
    let calls = bought(&place, (0..contacts).map(|number| (5_000_000 + number).to_string())).await;
    println!(
        "prechecks: an ordinary list of {contacts}: {:.3} calls a contact (bound 0.04, goal 0.06)",
        calls.len() as f64 / contacts as f64
    );
}

/// The paths of the calls that it took to deliver these contacts.
async fn bought(place: &Place, ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut connection = place.connect().await;
    let before = place.sandbox.journal().len();
    sqlx::query(
        "insert into inbox (event_id, personnel_ids, approved) values ('139574', '[' || ?1 || ']', 1)",
    )
    .bind(ids.collect::<Vec<_>>().join(","))
    .execute(&mut connection)
    .await
    .expect("a row");
    let worker = place.start();
    while place.number(&mut connection, "select count(*) from inbox where status = 'done'").await == 0 {
        assert!(worker.since.elapsed() < AT_MOST, "too slow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(worker);
    place.sandbox.journal()[before..].iter().map(|call| call.path.clone()).collect()
}
