//! Workers whose connections to PostgreSQL are ended at random while they buy, for a long time, and the result.
//!
//! `pg_terminate_backend` may hit a connection in any statement, in a COMMIT, or between two of them, while a call to the
//! API is under way, or while the worker starts. A worker that loses one ends, and is started again at once, as by
//! systemd. The producer's connection is ended as well: it cannot know whether its row is there, and writes it again with
//! the same `dedupe_key`.
//!
//! The sandbox is hostile: it charges every repeated POST again, so a contact that is paid for twice shows. At the end
//! everything that was asked for must be delivered, and the ledger must agree with the sandbox's books.

pub(crate) mod books;
mod kills;
pub(crate) mod producer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use unlockd::sandbox::{Billing, Options};

use crate::db::Db;
use crate::support::{Engine, Place, Worker, flag, text};
use kills::Counts;
use producer::Producer;

/// Each has an owner of its own; a worker serves its share of them.
pub(crate) const ACCOUNTS: [&str; 4] = ["a", "b", "c", "d"];
/// Short steps, so that an hour holds many runs. The pause before a lost call is looked up is short, too.
pub(crate) const CONFIG: &str = "\
timeout = \"3s\"
[fleet]
lease = \"5s\"
[rate_limit]
per_minute = 100000
per_address = 100000
[http]
listen = \"\"
[inbox]
interval = \"50ms\"
[polling]
steps = [\"100ms\", \"300ms\"]
[submit]
verify_after = \"150ms\"
decide_after = \"2m\"
[credits]
approve_above = 1000000
";
const SECRETS: [&str; 3] = ["uak_", "@example.com", "+1-555-01"];

/// What else goes wrong, so that lost connections meet calls in flight and calls in doubt, too.
pub(crate) const FAULTS: [&str; 5] = [
    "3x:slow=300ms@unlock",
    "lost-answer@unlock",
    "lost-request@unlock",
    "status=503@poll",
    "2x:slow=200ms@event",
];
const FAULTS_EVERY: Duration = Duration::from_secs(2);

const TICK: Duration = Duration::from_millis(5);
/// The producer waits while so many of its rows are not done.
const MOST_OPEN: i64 = 40;
pub(crate) const OPEN: &str = "select count(*) from inbox where finished_at is null";
const WRITES_EVERY: Duration = Duration::from_millis(100);
const CHECKS_EVERY: Duration = Duration::from_secs(10);
/// Without a new delivered contact for this long, nothing moves any more.
const MOVES_WITHIN: Duration = Duration::from_secs(120);

struct Trial {
    place: Place,
    admin: Db,
    producer: Producer,
    workers: Vec<Worker>,
    /// Workers that ended, and were started again.
    ended: u32,
    /// Jobs that a person had to decide on.
    decisions: u32,
    random: Rng,
    counts: Counts,
    out: PathBuf,
    since: Instant,
}

pub(crate) async fn run(arguments: &[String]) {
    let length = Duration::from_secs_f64(flag(arguments, "--minutes", 3.0) * 60.0);
    let (kills, seed) = (flag(arguments, "--kills", 3.0), flag(arguments, "--seed", 1.0) as u64);
    let Some(mut trial) = Trial::new(arguments, seed).await else {
        println!("backends: SKIPPED, there is no PostgreSQL");
        return;
    };
    let kills = kills::start(trial.place.db().await, kills, seed);
    let held = match trial.load(length, kills).await {
        Ok(()) => trial.settle().await,
        Err(violation) => Err(violation),
    };
    trial.report(held).await;
}

impl Trial {
    async fn new(arguments: &[String], seed: u64) -> Option<Trial> {
        let options = Options {
            task_seconds: 0.1,
            rate_limit: 0,
            balance: 1_000_000_000,
            billing: Billing::Repeats,
            ..Options::default()
        };
        let accounts = ACCOUNTS.map(|name| format!("[accounts.{name}]\napi_key = \"uak_backends@{name}\"\n"));
        let config = format!("{CONFIG}{}", accounts.concat());
        let mut place = Place::on(Engine::Postgres, options, &config).await?;
        place.keep_binary();
        let (admin, producer) = (place.db().await, Producer::new(place.url(), seed));
        let workers = (0..flag(arguments, "--workers", 3.0) as usize).map(|_| place.start()).collect();
        Some(Trial {
            place,
            admin,
            producer,
            workers,
            ended: 0,
            decisions: 0,
            random: Rng::with_seed(seed),
            counts: Counts::default(),
            out: text(arguments, "--out").unwrap_or_else(|| "target/backends".to_owned()).into(),
            since: Instant::now(),
        })
    }

    async fn load(&mut self, length: Duration, kills: watch::Receiver<Counts>) -> Result<(), String> {
        let (mut next_row, mut next_check, mut next_fault) = (Duration::ZERO, CHECKS_EVERY, FAULTS_EVERY);
        let (mut delivered, mut moved) = (0, Duration::ZERO);
        while self.since.elapsed() < length {
            self.keep_alive();
            let now = self.since.elapsed();
            if now >= next_row {
                next_row = now + WRITES_EVERY;
                if self.number(OPEN).await < MOST_OPEN {
                    self.producer.write().await;
                }
            }
            if now >= next_fault {
                next_fault = now + FAULTS_EVERY;
                let fault = FAULTS[self.random.usize(..FAULTS.len())];
                self.place.sandbox.inject(fault.parse().expect("a fault"));
            }
            if now >= next_check {
                next_check = now + CHECKS_EVERY;
                self.counts = kills.borrow().clone();
                self.decisions += books::decide(&self.place, &mut self.admin).await;
                let now_delivered = self.check().await?;
                if now_delivered > delivered {
                    (delivered, moved) = (now_delivered, now);
                } else if now - moved > MOVES_WITHIN {
                    return Err(format!("nothing was delivered for {MOVES_WITHIN:?}"));
                }
            }
            tokio::time::sleep(TICK).await;
        }
        self.counts = kills.borrow().clone();
        Ok(())
    }

    fn keep_alive(&mut self) {
        for worker in &mut self.workers {
            if worker.child.try_wait().expect("the worker is ours").is_some() {
                self.ended += 1;
                *worker = self.place.start();
            }
        }
    }

    async fn number(&mut self, sql: &str) -> i64 {
        self.admin.one::<(i64,)>(sql).await.0
    }

    /// While everything runs; returns how many contacts were delivered so far.
    async fn check(&mut self) -> Result<i64, String> {
        // The vendor's figures are read first: what it had charged by then was booked before.
        let accounting = self.place.sandbox.accounting();
        if let Some(((id, channel), charge)) = accounting.charges.iter().find(|(_, charge)| charge.times != 1)
        {
            return Err(format!("contact {id} ({channel}) was charged {} times", charge.times));
        }
        let booked = self.number("select coalesce(sum(credits), 0) from ledger").await;
        if accounting.charged_total > booked {
            return Err(format!("charged {}, booked or held {booked}", accounting.charged_total));
        }
        let log = self.place.log();
        if let Some(secret) = SECRETS.iter().find(|secret| log.contains(**secret)) {
            return Err(format!("{secret} is in the log"));
        }
        if log.len() > 20_000_000 {
            std::fs::write(self.place.path("log"), "").map_err(|error| error.to_string())?;
        }
        let delivered = self.number("select count(*) from items where outcome = 'delivered'").await;
        println!(
            "{:.0} s: {} kills, {} in a transaction, {} workers ended; {} rows, {delivered} contacts delivered, {} credits",
            self.since.elapsed().as_secs_f64(),
            self.counts.kills,
            self.counts.in_a_transaction,
            self.ended,
            self.producer.rows,
            accounting.charged_total,
        );
        Ok(delivered)
    }

    /// No more kills: everything that was asked for finishes, and the books agree.
    async fn settle(&mut self) -> Result<(), String> {
        self.place.sandbox.clear_faults();
        let since = Instant::now();
        while !books::has_ended(
            &self.place,
            &mut self.admin,
            &mut self.producer,
            (since, &mut self.decisions),
        )
        .await?
        {
            self.keep_alive();
        }
        for mut worker in self.workers.drain(..) {
            kill_process(Pid::from_child(&worker.child), Signal::TERM).expect("the worker is ours");
            match worker.wait(Duration::from_secs(15)).await {
                Some(status) if status.success() => {}
                other => return Err(format!("a worker did not stop cleanly: {other:?}")),
            }
        }
        self.check().await?;
        books::agree(&self.place, &mut self.admin, &self.producer).await
    }

    /// The summary; a violation keeps the log and the calls, and fails.
    async fn report(mut self, held: Result<(), String>) {
        let event = |name: &str| format!("select count(*) from request_events where event = '{name}'");
        let doubts = self.number(&event("answer_lost")).await;
        let proven = self.number(&event("proven_carried_out")).await
            + self.number(&event("proven_not_carried_out")).await;
        let accounting = self.place.sandbox.accounting();
        let counts = &self.counts;
        println!(
            "backends: {:.0} s: {} connections ended ({} in a transaction, {} listening, {} of the producer), {} workers ended; \
             {} rows, {} contacts and {} credits charged; {doubts} answers lost, {proven} settled by reading, {} by a person; {}",
            self.since.elapsed().as_secs_f64(),
            counts.kills,
            counts.in_a_transaction,
            counts.listening,
            counts.of_the_producer,
            self.ended,
            self.producer.rows,
            accounting.charges.len(),
            accounting.charged_total,
            self.decisions,
            match &held {
                Ok(()) => "nobody was paid twice and nothing was lost".to_owned(),
                Err(violation) => format!("VIOLATION: {violation}"),
            }
        );
        if held.is_err() {
            self.workers.clear();
            std::fs::create_dir_all(&self.out).expect("a folder");
            let _ = std::fs::copy(self.place.path("log"), self.out.join("log"));
            let calls: Vec<String> =
                self.place.sandbox.journal().iter().map(|call| format!("{call:?}\n")).collect();
            let _ = std::fs::write(self.out.join("calls"), calls.concat());
            if let Some(programs) = crate::postgres::programs() {
                let mut dump = std::process::Command::new(programs.join("pg_dump"));
                let _ = dump.arg(self.place.url()).arg("-f").arg(self.out.join("dump.sql")).status();
            }
            std::process::exit(1);
        }
    }
}
