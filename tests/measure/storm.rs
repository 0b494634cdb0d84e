//! Three hosts on one database that a standby follows, and everything that happens to hosts and servers, at random: workers
//! killed, stopped for longer than their lease, ended; hosts cut off from the database or from the API without being told;
//! the primary crashes and comes back, and in the middle its standby takes over.
//!
//! The sandbox charges every repeated POST again. At the end everything that was asked for must be delivered, each contact
//! paid once, and the ledger must agree with the sandbox's books.

use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use unlockd::sandbox::{Billing, Options};

use crate::backends::producer::Producer;
use crate::backends::{ACCOUNTS, CONFIG, FAULTS, OPEN, books};
use crate::cluster::Cluster;
use crate::db::Db;
use crate::network::Network;
use crate::support::{Place, Worker, count, flag};

const HOSTS: usize = 3;
const NAMES: &str = "synchronous_standby_names";
/// The producer waits while so many of its rows are not done.
const MOST_OPEN: i64 = 60;
const WRITES_EVERY: Duration = Duration::from_millis(200);
const FAULTS_EVERY: Duration = Duration::from_secs(3);
const CHECKS_EVERY: Duration = Duration::from_secs(10);
/// The lease is 5 s: some troubles are shorter, some longer.
const LONGEST_TROUBLE_MS: u64 = 12_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Killed, and away for a while, as a machine that starts again.
    Killed,
    Ended,
    /// SIGSTOP.
    Stopped,
    NoDatabase,
    /// It is heard by the database, and does not hear it.
    Deaf,
    NoApi,
}

const TROUBLES: [Trouble; 6] =
    [Trouble::Killed, Trouble::Ended, Trouble::Stopped, Trouble::NoDatabase, Trouble::Deaf, Trouble::NoApi];

struct Storm {
    place: Place,
    cluster: Cluster,
    network: Network,
    admin: Db,
    producer: Producer,
    workers: Vec<Option<Worker>>,
    /// Of each host, and until when.
    troubles: [Option<(Trouble, Instant)>; HOSTS],
    counts: [u32; TROUBLES.len()],
    crashes: u32,
    ended: u32,
    decisions: u32,
    random: Rng,
    since: Instant,
}

pub(crate) async fn run(words: &[String]) {
    if !crate::fleet::is_alone(words, "storm") {
        return;
    }
    let length = Duration::from_secs_f64(flag(words, "--minutes", 3.0) * 60.0);
    let every = Duration::from_secs_f64(flag(words, "--every", 3.0));
    let Some(mut storm) = Storm::new(flag(words, "--seed", 1.0) as u64).await else {
        return println!("storm: SKIPPED, there is no PostgreSQL");
    };
    let held = match storm.rage(length, every).await {
        Ok(()) => storm.settle().await,
        Err(violation) => Err(violation),
    };
    storm.report(&held).await;
    if held.is_err() {
        std::process::exit(1);
    }
}

impl Storm {
    async fn new(seed: u64) -> Option<Storm> {
        let options = Options {
            task_seconds: 0.1,
            rate_limit: 0,
            balance: 1_000_000_000,
            billing: Billing::Repeats,
            ..Options::default()
        };
        let cluster = Cluster::start()?;
        cluster.set(0, NAMES, "ANY 1 (b)").await;
        let accounts = ACCOUNTS.map(|name| format!("[accounts.{name}]\napi_key = \"uak_storm@{name}\"\n"));
        let config = format!("{CONFIG}{}", accounts.concat());
        let url = cluster.create("storm").await;
        let place = Place::at(url, "synchronous", options, &config).await;
        let network = Network::new(HOSTS);
        let (admin, producer) = (place.db().await, Producer::new(place.url(), seed));
        let workers = (0..HOSTS).map(|host| Some(place.start_on(&network, host))).collect();
        Some(Storm {
            place,
            cluster,
            network,
            admin,
            producer,
            workers,
            troubles: [None; HOSTS],
            counts: [0; TROUBLES.len()],
            crashes: 0,
            ended: 0,
            decisions: 0,
            random: Rng::with_seed(seed),
            since: Instant::now(),
        })
    }

    async fn rage(&mut self, length: Duration, every: Duration) -> Result<(), String> {
        let (mut next_row, mut next_trouble, mut next_fault) = (Duration::ZERO, every, FAULTS_EVERY);
        let (mut next_check, mut next_crash, mut is_promoted) = (CHECKS_EVERY, length / 8, false);
        while self.since.elapsed() < length {
            let now = self.since.elapsed();
            self.keep_alive();
            if now >= next_row {
                next_row = now + WRITES_EVERY;
                if count(&mut self.admin, OPEN).await < MOST_OPEN {
                    self.producer.write().await;
                }
            }
            if now >= next_trouble {
                next_trouble = now + every.mul_f64(self.random.f64() * 2.0);
                self.trouble();
            }
            if now >= next_fault {
                next_fault = now + FAULTS_EVERY;
                let fault = FAULTS[self.random.usize(..FAULTS.len())];
                self.place.sandbox.inject(fault.parse().expect("a fault"));
            }
            if now >= next_crash {
                next_crash = now + length / 8;
                self.crash(&mut is_promoted, now > length / 2).await;
            }
            if now >= next_check {
                next_check = now + CHECKS_EVERY;
                self.decisions += books::decide(&self.place, &mut self.admin).await;
                self.check().await?;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Something happens to a host to which nothing happens now.
    fn trouble(&mut self) {
        let host = self.random.usize(..HOSTS);
        let (Some(worker), None) = (&mut self.workers[host], self.troubles[host]) else { return };
        let which = self.random.usize(..TROUBLES.len());
        let trouble = TROUBLES[which];
        let until = Instant::now() + Duration::from_millis(self.random.u64(200..LONGEST_TROUBLE_MS));
        let pid = Pid::from_child(&worker.child);
        match trouble {
            Trouble::Killed => self.workers[host] = None,
            // It may have ended by itself just now.
            Trouble::Ended => {
                let _ = kill_process(pid, Signal::TERM);
            }
            Trouble::Stopped => {
                let _ = kill_process(pid, Signal::STOP);
            }
            Trouble::NoDatabase => self.network.cut(host, self.place.server_port()),
            Trouble::Deaf => self.network.cut_answers(host, self.place.server_port()),
            Trouble::NoApi => self.network.cut(host, self.place.sandbox.address().port()),
        }
        self.troubles[host] = Some((trouble, until));
        self.counts[which] += 1;
    }

    /// Ends what has lasted long enough, and starts workers that have ended.
    fn keep_alive(&mut self) {
        for host in 0..HOSTS {
            if self.troubles[host].is_some_and(|(_, until)| Instant::now() >= until) {
                let (trouble, _) = self.troubles[host].take().expect("it is there");
                self.network.heal(host);
                if let (Trouble::Stopped, Some(worker)) = (trouble, &self.workers[host]) {
                    let _ = kill_process(Pid::from_child(&worker.child), Signal::CONT);
                }
            }
            let has_ended = self.workers[host]
                .as_mut()
                .is_none_or(|worker| worker.child.try_wait().expect("the worker is ours").is_some());
            let is_away = self.troubles[host]
                .is_some_and(|(trouble, _)| matches!(trouble, Trouble::Killed | Trouble::Ended));
            if has_ended && !is_away {
                self.ended += 1;
                self.workers[host] = Some(self.place.start_on(&self.network, host));
            }
        }
    }

    /// Something happens to the primary.
    async fn crash(&mut self, is_promoted: &mut bool, is_late: bool) {
        self.crashes += 1;
        match (*is_promoted, is_late) {
            (false, false) => self.cluster.restart_primary().await,
            (false, true) => {
                self.cluster.fail_over().await;
                self.cluster.receive(1, "d").await;
                self.cluster.set(1, NAMES, "ANY 1 (d)").await;
                *is_promoted = true;
            }
            (true, _) => self.crashes -= 1,
        }
        self.admin = self.place.db().await;
    }

    async fn check(&mut self) -> Result<(), String> {
        let accounting = self.place.sandbox.accounting();
        if let Some(((id, channel), charge)) = accounting.charges.iter().find(|(_, charge)| charge.times != 1)
        {
            return Err(format!("contact {id} ({channel}) was charged {} times", charge.times));
        }
        let booked = count(&mut self.admin, "select coalesce(sum(credits), 0) from ledger").await;
        if accounting.charged_total > booked {
            return Err(format!("charged {}, booked or held {booked}", accounting.charged_total));
        }
        println!(
            "{:.0} s: {} contacts paid, {} troubles, {} crashes, {} starts again",
            self.since.elapsed().as_secs_f64(),
            accounting.charges.len(),
            self.counts.iter().sum::<u32>(),
            self.crashes,
            self.ended
        );
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), String> {
        self.place.sandbox.clear_faults();
        self.troubles.iter_mut().flatten().for_each(|(_, until)| *until = Instant::now());
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
        for mut worker in self.workers.drain(..).flatten() {
            let _ = kill_process(Pid::from_child(&worker.child), Signal::TERM);
            match worker.wait(Duration::from_secs(15)).await {
                Some(status) if status.success() => {}
                other => return Err(format!("a worker did not stop cleanly: {other:?}")),
            }
        }
        self.check().await?;
        books::agree(&self.place, &mut self.admin, &self.producer).await
    }

    async fn report(&mut self, held: &Result<(), String>) {
        let lost = "select count(*) from request_events where event = 'answer_lost'";
        let lost = count(&mut self.admin, lost).await;
        let [killed, ended, stopped, no_database, deaf, no_api] = self.counts;
        println!(
            "storm: {:.0} s: {killed} hosts killed, {ended} ended, {stopped} stopped, {no_database} cut off from the database, \
             {deaf} deaf to it, {no_api} cut off from the API, {} crashes of a primary, {} starts again; {} rows, {} contacts paid; \
             {lost} answers lost, {} settled by a person; {}",
            self.since.elapsed().as_secs_f64(),
            self.crashes,
            self.ended,
            self.producer.rows,
            self.place.sandbox.accounting().charges.len(),
            self.decisions,
            match held {
                Ok(()) => "nobody was paid twice and nothing was lost".to_owned(),
                Err(violation) => format!("VIOLATION: {violation}\n{}", self.place.log()),
            }
        );
    }
}
