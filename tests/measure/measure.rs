//! Measures the worker as a process and prints the figures of the README.
//!
//! `pickup`, `intake`, `delivered` and `drain` take `--postgres`: the database is on a server then (see
//! `tests/shared/postgres.rs`), whose commits reach the disk.
//!
//! `cargo bench --bench measure -- NAME`, see [`USAGE`]. Every measurement has a time limit and ends by
//! itself. None checks a figure, since figures depend on the machine. Only `soak`, `backends` and `storm` can fail: when an
//! invariant is violated.

mod backends;
mod bulk;
mod callers;
mod chart;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/cluster.rs"]
mod cluster;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/db.rs"]
mod db;
mod delivered;
mod drain;
mod engines;
mod export;
mod fleet;
mod history;
mod intake;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/invariants.rs"]
mod invariants;
mod live;
mod lookups;
mod naive;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/network.rs"]
mod network;
mod pace;
mod pickup;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/postgres.rs"]
mod postgres;
mod power_cut;
mod pressure;
mod resume;
mod scale;
#[path = "../shared/small_disk.rs"]
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
mod small_disk;
mod soak;
mod storm;
mod strace;
mod support;

use postgres as server;

const USAGE: &str = "\
cargo bench --bench measure -- NAME

  pickup [ROWS]              from the INSERT of one row to the paid call (200)
  intake [ROWS]              rows taken in a second, fsync on (100000)
  delivered [CONTACTS]       contacts delivered in a second without a limit, in one request and in one each (50000)
  ids [IDS]                  memory to take many ids at once, in large rows and small ones (300000)
  start [ROWS]               start to the paid call of a new row, behind rows of 250 ids that are done (1000000)
  lookups [REQUESTS]         one request, its export, and lists with many requests, a tenth of them open (1000000)
  resume [FINISHED] [LIVE]   start to first call (1000000 finished, 10000 live jobs)
  drain [REQUESTS] [--limit N] [--window S] [--every MS] [--no-peer]
                             single-contact requests under a rate limit, beside a naive loop (300 at 120 in 60 s)
  pressure [--seconds N] [--foreign] [--kill] [--skew S] [--no-headers] [--accounts N] [--limit N] [--address-limit N]
                             sixty batches alive at 60 calls in 10 s for each of N keys, and 600 for the address: 429s,
                             allowance used, fullest window
  slow [--latency MS] [--seconds N]
                             share of 20 calls in 10 s that polls and profile reads use while an answer takes 2 or 5 s
  prechecks [CONTACTS]       prechecks of a batch of which 0 to 10 are unlocked already, and calls a contact (5000)
  callers [N] [ROUNDS]       N callers of the HTTP API ask at once, and again; half are cut off: time of an answer (200, 10)
  history [FINISHED]         CPU for each job with 1,000 and with 1,000,000 finished jobs
  scale [MOST] [--out FOLDER]
                             latency, throughput and memory while 1,000 to MOST requests are live; writes scale.svg and
                             scale.csv (1000000, target/scale)
  export [CONTACTS]          export, backup and purge of many contacts: time and memory (1000000)
  lateness                   poll time minus due time without a rate limit
  idle                       CPU over 60 s with 10,000 scheduled jobs
  soak [--minutes N] [--seed N] [--kill-every S] [--fault-every S] [--request-every S] [--ordinary-every S]
       [--old PROGRAM] [--out FOLDER]
                             random faults and kills, and what an ordinary day brings (a full disk takes root, a
                             clock that steps libfaketime, an upgrade the program of before), invariants checked
                             every minute; writes soak.svg and soak.csv (2 minutes, seed 1, 4, 4, 1 and 60 s on
                             average, target/soak)
  engines [--turns N]        pickup, intake, delivered and drain on SQLite and on PostgreSQL in turn, as a table (3)
  takeover [--lease S]       until another host serves what one served that was stopped, killed, or cut off (60)
  fleet [--seconds N] [--address-limit N]
                             calls and transactions a second of 1, 2 and 4 hosts with 20 keys; an address has N calls in
                             10 s, and a key a fifth of them (60 s, 100 calls)
  standby [--turns N]        one worker with a synchronous standby and without, in turn (3)
  storm [--minutes N] [--every S] [--seed N]
                             three hosts and a standby: workers killed, stopped and ended, hosts cut off, the primary
                             crashed and its standby promoted: nobody is paid twice and nothing is lost (3 minutes,
                             every 3 s, seed 1)
                             These four take PostgreSQL, all but standby also root and iproute2.
  backends [--minutes N] [--kills N] [--workers N] [--seed N] [--out FOLDER]
                             connections to PostgreSQL ended at random, N a second, while workers buy: nobody is paid
                             twice and nothing is lost (3 minutes, 3 kills, 3 workers, seed 1, target/backends)
  strace [--call C] [--fault F] [--from N] [--most N]
                             kill, EIO and ENOSPC at the N-th write, sync, send and receive; needs strace
  power-cut [--seed N] [--subsets N]
                             every file a disk may hold after a power cut, read and recovered from; needs strace";

#[tokio::main]
async fn main() {
    // Cargo passes --bench to every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("", &[][..]),
    };
    match name {
        "pickup" => pickup::run(rest).await,
        "intake" => intake::run(rest).await,
        "delivered" => delivered::run(rest).await,
        "ids" => bulk::ids(rest).await,
        "start" => bulk::start(rest).await,
        "lookups" => lookups::run(rest).await,
        "resume" => resume::run(rest).await,
        "engines" => engines::run(rest).await,
        "drain" => drain::run(rest).await,
        "pressure" => pressure::run(rest).await,
        "slow" => pace::slow(rest).await,
        "prechecks" => pace::prechecks(rest).await,
        "callers" => callers::run(rest).await,
        "history" => history::run(rest).await,
        "scale" => scale::run(rest).await,
        "export" => export::run(rest).await,
        "lateness" => live::lateness().await,
        "idle" => live::idle().await,
        "soak" => soak::run(rest).await,
        "takeover" => fleet::takeover(rest).await,
        "fleet" => fleet::calls(rest).await,
        "standby" => fleet::standby(rest).await,
        "storm" => storm::run(rest).await,
        "backends" => backends::run(rest).await,
        "strace" => strace::run(rest).await,
        "power-cut" => power_cut::run(rest).await,
        _ => println!("{USAGE}"),
    }
}
