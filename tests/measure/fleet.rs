//! Several hosts on one database: how long a takeover takes, how many calls and commits they make together, and what a
//! synchronous standby costs.
//!
//! Each host has an address of its own, in a network that only this process sees (see `tests/shared/network.rs`).

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use unlockd::sandbox::Options;

use crate::cluster::Cluster;
use crate::db::Db;
use crate::network::{self, Network};
use crate::support::{Engine, FAST, Place, Worker, count, flag, quantile, unlimited};

const KEYS: u32 = 20;

/// Whether this process has a network for itself; else it is run once more, with the same words, and has it there.
pub(crate) fn is_alone(words: &[String], name: &str) -> bool {
    if network::is_alone() {
        return true;
    }
    match network::lack() {
        Some(lacks) => println!("{name}: SKIPPED, {lacks}"),
        None => {
            let ended = network::again().arg(name).args(words).status().expect("it starts");
            assert!(ended.success(), "{ended}");
        }
    }
    false
}

async fn until(db: &mut Db, sql: &str, expected: i64, at_most: Duration) {
    let since = Instant::now();
    while count(db, sql).await != expected {
        assert!(since.elapsed() < at_most, "{sql} is not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn stop(worker: &Worker) {
    kill_process(Pid::from_child(&worker.child), Signal::TERM).expect("the worker is ours");
}

/// One key, and two hosts; the first one serves it.
pub(crate) async fn takeover(words: &[String]) {
    if !is_alone(words, "takeover") {
        return;
    }
    let lease_s = flag(words, "--lease", 60.0) as u64;
    let config = format!("[http]\nlisten = \"\"\n[fleet]\nlease = \"{lease_s}s\"\n");
    let mut network = Network::new(2);
    for how in ["stopped", "killed", "killed, and started again there", "cut off from the database"] {
        let Some(place) = Place::on(Engine::Postgres, unlimited(), &config).await else {
            return println!("takeover: SKIPPED, there is no PostgreSQL");
        };
        let mut db = place.db().await;
        let mut first = place.start_on(&network, 0);
        until(&mut db, "select count(*) from owners where worker is null", 0, Duration::from_secs(30)).await;
        let second = place.start_on(&network, 1);
        until(&mut db, "select count(*) from workers", 2, Duration::from_secs(30)).await;
        let epochs = count(&mut db, "select sum(epoch)::bigint from owners").await;
        // Somewhere between two renewals.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..10_000))).await;
        let since = Instant::now();
        let again = match how {
            "stopped" => {
                stop(&first);
                None
            }
            "cut off from the database" => {
                network.cut(0, place.server_port());
                None
            }
            _ => {
                first.child.kill().expect("the worker is ours");
                first.child.wait().expect("it has ended");
                (how != "killed").then(|| place.start_on(&network, 0))
            }
        };
        let taken = "select (sum(epoch) - count(*) filter (where worker is null))::bigint from owners";
        until(&mut db, taken, epochs + 2, Duration::from_secs(lease_s + 30)).await;
        println!("takeover, lease of {lease_s} s: {how}: {:.1} s", since.elapsed().as_secs_f64());
        network.heal(0);
        drop((first, second, again));
    }
}

/// Much work for each of many keys.
pub(crate) async fn calls(words: &[String]) {
    if !is_alone(words, "fleet") {
        return;
    }
    let seconds = flag(words, "--seconds", 60.0);
    // The vendor's figures for a minute are six times as much; a key has a fifth of what an address has.
    let of_address = flag(words, "--address-limit", 100.0) as u32;
    let options = Options {
        task_seconds: 15.0,
        balance: 100_000_000,
        rate_limit: of_address / 5,
        address_limit: of_address,
        rate_window: Duration::from_secs(10),
        ..Options::default()
    };
    let keys = (0..KEYS).map(|key| format!("[accounts.a{key}]\napi_key = \"uak_measure@owner{key}\"\n"));
    let limits = format!("[rate_limit]\nper_address = {}\n", 6 * of_address);
    let config = format!("[http]\nlisten = \"\"\n{limits}{}", keys.collect::<String>());
    let network = Network::new(4);
    for hosts in [1, 2, 4] {
        let Some(place) = Place::on(Engine::Postgres, options.clone(), &config).await else {
            return println!("fleet: SKIPPED, there is no PostgreSQL");
        };
        let mut db = place.db().await;
        let workers: Vec<Worker> = (0..hosts).map(|host| place.start_on(&network, host)).collect();
        let share = i64::from(KEYS) / hosts as i64;
        let even = format!(
            "select coalesce(min(owners), 0) from (select count(*) as owners from owners where owner like 'a%' group by worker
             having worker is not null) as shares where (select count(distinct worker) from owners where owner like 'a%') = {hosts}"
        );
        until(&mut db, &even, share, Duration::from_secs(120)).await;
        let rows = format!(
            "insert into inbox (account, event_id, personnel_ids)
             select 'a' || i % {KEYS}, 'event' || i, '[' || (5000000 + i * 100) || ']' from generate_series(0, {}) i",
            KEYS * 500
        );
        db.run(&rows).await.expect("rows");
        // What a full window allows at once has gone by then.
        tokio::time::sleep(Duration::from_secs(25)).await;
        let transactions = "select xact_commit from pg_stat_database where datname = current_database()";
        let (before, commits) = (place.sandbox.journal().len(), count(&mut db, transactions).await);
        let since = Instant::now();
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        let took = since.elapsed().as_secs_f64();
        let journal = place.sandbox.journal();
        let made = &journal[before..];
        let refused = made.iter().filter(|call| call.status == Some(429)).count();
        let commits = count(&mut db, transactions).await - commits;
        println!(
            "fleet: {hosts} hosts, {KEYS} keys: {:.2} calls a second (allowed: {:.1}), {refused} of them 429; {:.0} transactions a second",
            made.len() as f64 / took,
            f64::from(of_address) * hosts as f64 / 10.0,
            commits as f64 / took
        );
        drop(workers);
    }
}

const CONTACTS: i64 = 2_000;

/// The same requests on a primary whose commits a standby confirms, and on one that has none that counts.
pub(crate) async fn standby(words: &[String]) {
    let turns = flag(words, "--turns", 3.0) as usize;
    let Some(cluster) = Cluster::start_durable() else {
        return println!("standby: SKIPPED, there is no PostgreSQL of this process's own");
    };
    let mut measured: [Vec<[f64; 2]>; 2] = Default::default();
    for turn in 0..turns {
        for (at, (durability, names)) in
            [("single", ""), ("synchronous", "ANY 1 (b)")].into_iter().enumerate()
        {
            cluster.set(0, "synchronous_standby_names", names).await;
            let url = cluster.create(&format!("turn{turn}{at}")).await;
            let figures = [deliver(&url, durability, 1).await, deliver(&url, durability, CONTACTS).await];
            println!("turn {}, {durability}: {figures:.0?} contacts a second", turn + 1);
            measured[at].push(figures);
        }
    }
    for (at, what) in [format!("{CONTACTS} requests of one contact"), format!("one request of {CONTACTS}")]
        .iter()
        .enumerate()
    {
        let [without, with] = measured.each_ref().map(|turns| {
            let mut values: Vec<f64> = turns.iter().map(|figures| figures[at]).collect();
            values.sort_by(f64::total_cmp);
            quantile(&values, 0.5)
        });
        println!(
            "standby: {what}: {without:.0} contacts a second without, {with:.0} with one, ratio {:.2}",
            with / without
        );
    }
}

/// Contacts delivered a second.
async fn deliver(url: &str, durability: &str, each: i64) -> f64 {
    let options = Options { task_seconds: 0.5, ..unlimited() };
    let config = format!("[http]\nlisten = \"\"\n[credits]\napprove_above = 100000000\n{FAST}");
    let place = Place::at(url.to_owned(), durability, options, &config).await;
    let mut db = place.db().await;
    let rows = format!(
        "insert into inbox (event_id, personnel_ids)
         select '139574', jsonb_agg(((1000000 + i) * 100)::text)::text from generate_series(0, {}) i group by i / {each}",
        CONTACTS - 1
    );
    db.run(&rows).await.expect("rows");
    let since = Instant::now();
    let mut worker = place.command().args(["run", "--until-idle"]).spawn().expect("it starts");
    let ended = tokio::task::spawn_blocking(move || worker.wait().expect("ours")).await.expect("it ends");
    assert!(ended.success(), "{}", place.log());
    CONTACTS as f64 / since.elapsed().as_secs_f64()
}
