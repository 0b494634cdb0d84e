//! Deterministic simulation: a seed determines a whole history of worker, vendor, people and crashes.
//!
//! The passes and the store are the real ones; the vendor is the sandbox, reached without sockets; time moves
//! only by the simulation, and one thing happens at a time. `cargo test --test simulation` runs some seeds;
//! `UNLOCKD_SEEDS=1000000 cargo test --release --test simulation every_seed -- --nocapture` runs many and shows its
//! progress; `UNLOCKD_SEED=41` repeats one with its trace.
//!
//! With `UNLOCKD_TEST_ENGINE=postgres` the histories are those of a database on a server; see `server.rs`.
//!
//! `hosts` in the place of `every_seed`: two or three hosts share a database of PostgreSQL; see `hosts/mod.rs`.

mod calls;
mod chaos;
mod crash;
#[path = "../shared/db.rs"]
#[allow(dead_code, reason = "not every suite needs all of it")]
mod db;
mod hosts;
#[path = "../shared/invariants.rs"]
mod invariants;
mod life;
mod network;
mod others;
#[allow(dead_code, reason = "not every suite needs all of it")]
#[path = "../shared/postgres.rs"]
mod postgres;
mod profile;
mod run;
mod seeds;
mod server;
mod setup;
mod trace;
mod verdict;
mod world;

use std::path::PathBuf;

/// Seeds of a plain `cargo test`; on PostgreSQL a history takes some ten times as long.
const SEEDS: u64 = 60;
const SEEDS_ON_POSTGRES: u64 = 10;
const SEEDS_OF_HOSTS: u64 = 30;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// A folder of this process, in memory if possible: the databases sync as always.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    parent.join(format!("unlockd-simulation-{}", std::process::id()))
}

/// One seed, if the environment names it, or so many.
fn run_seeds<H: seeds::History>(count: u64) {
    match number("UNLOCKD_SEED") {
        Some(seed) => seeds::replay::<H>(seed),
        None => seeds::run_all::<H>(
            number("UNLOCKD_FIRST_SEED").unwrap_or(1),
            number("UNLOCKD_SEEDS").unwrap_or(count),
        ),
    }
}

#[test]
fn every_seed_keeps_the_invariants() {
    run_seeds::<run::Run>(if postgres::is_chosen() { SEEDS_ON_POSTGRES } else { SEEDS });
}

#[test]
fn hosts_that_share_a_database_keep_the_invariants() {
    if postgres::is_chosen() {
        println!("SKIPPED: the run on SQLite does this on PostgreSQL, too");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if runtime.block_on(hosts::is_possible()) {
        run_seeds::<hosts::Fleet>(SEEDS_OF_HOSTS);
    }
}

#[test]
fn a_seed_replays_exactly() {
    if postgres::has_no("order of its own in which two connections are served") {
        return;
    }
    for seed in 1..=6 {
        let run = || seeds::run::<run::Run>(seed, false).digest;
        assert_eq!(run(), run(), "seed {seed} goes two ways");
    }
}
