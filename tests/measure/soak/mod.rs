//! A worker under random faults and kills for a long time, and the result.
//!
//! The sandbox is hostile: it charges every repeated POST again, so a contact that is paid for twice shows.
//! The load is bounded, the random numbers have a seed. Each cycle ends with a calm third without kills (the
//! faults continue), since a process that never lives ten seconds cannot show a leak. Every minute the
//! invariants are checked while everything runs, and every minute something of an ordinary day happens. After the last cycle the faults end, and every request must
//! finish. The first violation ends the soak and keeps the database.

mod check;
mod draw;
mod ordinary;
mod polls;
mod trouble;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use sqlx::SqliteConnection;
use unlockd::sandbox::{Billing, Options};

use crate::small_disk::SmallDisk;
use crate::support::{Place, Worker, flag, text};
use check::Checker;
use draw::Sample;
use polls::Polls;

/// Short steps, so that an hour holds many runs. Contacts are erased and history is removed after five minutes, as
/// with a retention in production; jobs, and contacts that were sent, are kept by design.
const CONFIG: &str = "\
timeout = \"3s\"
[inbox]
interval = \"200ms\"
[polling]
steps = [\"500ms\", \"1s\", \"2s\"]
give_up_after = \"4m\"
[submit]
verify_after = \"1s\"
decide_after = \"20s\"
[credits]
approve_above = 1000000
[retention]
contacts = \"5m\"
history = \"5m\"
[http]
listen = \"\"
[log]
level = \"debug\"
";
const KEY_FILE: &str = "[accounts.default]\napi_key_file = \"key\"\n";

/// Room for what is imported, and for the log of changes while it is.
const DISK_MIB: u32 = 1_024;
const TICK: Duration = Duration::from_millis(20);
const CYCLES: f64 = 6.0;
/// The share of a cycle without kills, at its end.
const CALM: f64 = 0.3;
/// Once the faults have ended, everything must finish within this time: the longest wait is for a value that
/// no profile ever shows.
const SETTLES_WITHIN: Duration = Duration::from_secs(600);

/// The options of the command line.
struct Plan {
    length: Duration,
    seed: u64,
    /// Means of the pauses, in seconds.
    kill_every: f64,
    fault_every: f64,
    request_every: f64,
    ordinary_every: f64,
    /// The program that runs until the first upgrade.
    old: Option<PathBuf>,
    out: PathBuf,
}

impl Plan {
    fn read(arguments: &[String]) -> Plan {
        Plan {
            length: Duration::from_secs_f64(flag(arguments, "--minutes", 2.0) * 60.0),
            seed: flag(arguments, "--seed", 1.0) as u64,
            kill_every: flag(arguments, "--kill-every", 4.0),
            fault_every: flag(arguments, "--fault-every", 4.0),
            request_every: flag(arguments, "--request-every", 1.0),
            ordinary_every: flag(arguments, "--ordinary-every", 60.0),
            old: text(arguments, "--old").map(PathBuf::from),
            out: text(arguments, "--out").unwrap_or_else(|| "target/soak".to_owned()).into(),
        }
    }

    fn is_calm(&self, at: f64) -> bool {
        let cycle = self.length.as_secs_f64() / CYCLES;
        (at % cycle) / cycle > 1.0 - CALM
    }
}

/// What was done to the worker.
#[derive(Default)]
struct Counts {
    kills: u32,
    /// Kills while a submission was under way.
    kills_in_flight: u32,
    /// Stopped for a second or two and continued.
    pauses: u32,
    /// Ended by SIGTERM.
    stops: u32,
    faults: u32,
    keys: u32,
    /// What an ordinary day brings.
    ordinary: usize,
    /// The worker ended when it may: its disk was full, or its database was replaced.
    ends: u32,
    /// Jobs that a person had to decide on.
    decisions: u32,
    requests: u32,
}

pub(crate) async fn run(arguments: &[String]) {
    let plan = Plan::read(arguments);
    std::fs::create_dir_all(&plan.out).expect("the folder for the results");
    let mut soak = Soak::new(plan).await;
    let held = match soak.trouble_and_load().await {
        Ok(()) => soak.settle().await,
        Err(violation) => Err(violation),
    };
    soak.report(held);
}

struct Soak {
    plan: Plan,
    /// The program, and whether the one before it still runs.
    new: PathBuf,
    is_old: bool,
    /// A build without optimisation uses more memory than is allowed.
    is_optimised: bool,
    place: Place,
    /// What the place lies on; `None` without root.
    disk: Option<SmallDisk>,
    connection: SqliteConnection,
    random: Rng,
    worker: Worker,
    polls: Polls,
    checker: Checker,
    counts: Counts,
    samples: Vec<Sample>,
    since: Instant,
}

impl Soak {
    async fn new(plan: Plan) -> Soak {
        let options = Options {
            task_seconds: 2.0,
            balance: 1_000_000_000,
            rate_limit: check::LIMIT as u32,
            rate_window: check::WINDOW,
            billing: Billing::Repeats,
            ..Options::default()
        };
        let shipped = std::env::var_os("MEASURE_BINARY").map(PathBuf::from);
        let is_optimised = shipped.is_some() || !cfg!(debug_assertions);
        let new = shipped.unwrap_or_else(Place::own_binary);
        let first = plan.old.clone().unwrap_or_else(|| new.clone());
        let disk = SmallDisk::mount(DISK_MIB);
        let folder = match &disk {
            Some(disk) => tempfile::tempdir_in(disk.path()),
            None => tempfile::tempdir(),
        };
        let mut place = Place::of(None, options, CONFIG, (folder.expect("a folder"), first.clone())).await;
        place.run_copy_of(&first);
        let config = std::fs::read_to_string(place.path("unlockd.toml")).expect("the configuration");
        let mut random = Rng::with_seed(plan.seed);
        trouble::rotate_key(&place, &mut random).await;
        std::fs::write(place.path("unlockd.toml"), config + KEY_FILE).expect("the configuration is written");
        let connection = place.connect().await;
        let worker = place.start();
        println!("soak: {:?}, seed {}, folder {}", plan.length, plan.seed, plan.out.display());
        Soak {
            is_old: plan.old.is_some(),
            plan,
            new,
            is_optimised,
            place,
            disk,
            connection,
            random,
            worker,
            polls: Polls::default(),
            checker: Checker::default(),
            counts: Counts::default(),
            samples: Vec::new(),
            since: Instant::now(),
        }
    }

    fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    /// A random pause with this mean.
    fn pause(&mut self, mean: f64) -> f64 {
        mean * (0.25 + 1.5 * self.random.f64())
    }

    async fn trouble_and_load(&mut self) -> Result<(), String> {
        let (mut kill, mut fault, mut request) = (2.0, 0.0, 0.0);
        let (mut sample, mut measure, mut minute, mut key) = (0.0, 0.0, 60.0, 97.0);
        let mut ordinary = self.pause(self.plan.ordinary_every);
        while self.since.elapsed() < self.plan.length {
            tokio::time::sleep(TICK).await;
            let now = self.seconds();
            if now >= request {
                request = now + self.pause(self.plan.request_every);
                self.ask().await;
            }
            if now >= fault {
                fault = now + self.pause(self.plan.fault_every);
                self.place.sandbox.inject(trouble::fault(&mut self.random));
                self.counts.faults += 1;
            }
            if now >= sample {
                sample = now + 0.1;
                self.polls.look(&mut self.connection, &self.place.sandbox).await;
            }
            if now >= measure {
                measure = now + 5.0;
                self.measure().await;
            }
            if now >= key {
                key = now + 97.0;
                trouble::rotate_key(&self.place, &mut self.random).await;
                self.counts.keys += 1;
            }
            if now >= ordinary {
                self.ordinary().await?;
                ordinary = self.seconds() + self.pause(self.plan.ordinary_every);
            }
            if now >= minute {
                minute += 60.0;
                self.minute().await?;
            }
            if now >= kill && !self.plan.is_calm(now) {
                kill = now + self.pause(self.plan.kill_every);
                self.hurt().await;
            }
            self.keep_alive()?;
        }
        Ok(())
    }

    /// A new row of the inbox.
    async fn ask(&mut self) {
        let row = self.checker.next_row(&mut self.random);
        sqlx::query("insert into inbox (action, event_id, personnel_ids, query) values (?1, ?2, ?3, ?4)")
            .bind(row.action)
            .bind(row.event_id)
            .bind(row.personnel_ids)
            .bind(row.query)
            .execute(&mut self.connection)
            .await
            .expect("a row is inserted");
        self.counts.requests += 1;
    }

    /// Kills, stops or pauses the worker; a third of the kills wait for a submission under way.
    async fn hurt(&mut self) {
        match self.random.u32(0..20) {
            0 => {
                self.signal(Signal::STOP);
                tokio::time::sleep(Duration::from_millis(self.random.u64(500..2_500))).await;
                self.signal(Signal::CONT);
                self.counts.pauses += 1;
            }
            1 => {
                self.signal(Signal::TERM);
                let ended = self.worker.wait(Duration::from_secs(15)).await;
                assert!(ended.is_some_and(|status| status.success()), "SIGTERM: {ended:?}");
                self.worker = self.place.start();
                self.counts.stops += 1;
            }
            how => {
                // Another worker is already waiting: it takes over instead of a start.
                let standby = (how < 5).then(|| self.place.start());
                if standby.is_some() {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                if how >= 13 && self.submission_under_way().await {
                    self.counts.kills_in_flight += 1;
                }
                let _ = self.worker.child.kill();
                let _ = self.worker.child.wait();
                self.worker = standby.unwrap_or_else(|| self.place.start());
                self.counts.kills += 1;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.worker.child);
        rustix::process::kill_process(pid, signal).expect("the worker is there");
    }

    /// Waits for the intent of a submission, and some milliseconds into it.
    async fn submission_under_way(&mut self) -> bool {
        let since = Instant::now();
        let intent = "select count(*) from jobs where state = 'submitting'";
        while since.elapsed() < Duration::from_secs(2) {
            if self.place.number(&mut self.connection, intent).await > 0 {
                tokio::time::sleep(Duration::from_micros(self.random.u64(0..6_000))).await;
                return true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        false
    }

    /// A worker ends only when it is killed.
    fn keep_alive(&mut self) -> Result<(), String> {
        match self.worker.child.try_wait().expect("the worker is ours") {
            Some(status) => Err(format!("the worker ended by itself: {status}")),
            None => Ok(()),
        }
    }

    async fn measure(&mut self) {
        let size =
            |name| std::fs::metadata(self.place.path(name)).map_or(0.0, |file| file.len() as f64 / 1e6);
        let sample = Sample {
            seconds: self.seconds(),
            memory_mb: self.worker.memory_mb("VmRSS"),
            database_mb: size("unlockd.db"),
            wal_mb: size("unlockd.db-wal"),
            contacts: self.checker.charged(&self.place.sandbox).0,
            kills: self.counts.kills,
            calm: self.plan.is_calm(self.seconds()),
            ..Sample::default()
        };
        self.samples.push(sample);
    }

    /// Checks, decides what waits for a person, and prints a line.
    async fn minute(&mut self) -> Result<(), String> {
        let lateness = self.polls.since_the_last_minute(&self.place.sandbox)?;
        self.checker.check(&self.place, &mut self.connection).await?;
        self.counts.decisions += trouble::decide(&self.place, &mut self.connection).await;
        let (contacts, credits) = self.checker.charged(&self.place.sandbox);
        if let Some(last) = self.samples.last_mut() {
            (last.late_p50_ms, last.late_p99_ms) = (Some(lateness.p50_ms), Some(lateness.p99_ms));
            let per_thousand = (last.database_mb + last.wal_mb) / f64::from(contacts.max(1)) * 1_000.0;
            println!(
                "minute {:.0}: {} kills, {} faults, {contacts} contacts, {credits} credits charged; invariants hold; \
                 {:.1} MB of memory, database {:.2} MB, WAL {:.2} MB, {per_thousand:.2} MB for 1,000 contacts; \
                 {} polls, late p50 {} ms, p99 {} ms",
                last.seconds / 60.0,
                self.counts.kills,
                self.counts.faults,
                last.memory_mb,
                last.database_mb,
                last.wal_mb,
                lateness.polls,
                lateness.p50_ms,
                lateness.p99_ms,
            );
        }
        draw::write(&self.plan.out, &self.samples);
        Ok(())
    }

    /// The faults end: everything that was requested finishes, and the books balance.
    async fn settle(&mut self) -> Result<(), String> {
        self.place.sandbox.clear_faults();
        let (since, open) = (Instant::now(), "select count(*) from inbox where finished_at is null");
        while self.place.number(&mut self.connection, open).await > 0 {
            if since.elapsed() > SETTLES_WITHIN {
                return Err(format!("not everything came to its end within {SETTLES_WITHIN:?} (I11)"));
            }
            self.keep_alive()?;
            self.counts.decisions += trouble::decide(&self.place, &mut self.connection).await;
            self.polls.look(&mut self.connection, &self.place.sandbox).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("settled {:.1} s after the last fault", since.elapsed().as_secs_f64());
        self.measure().await;
        self.polls.since_the_last_minute(&self.place.sandbox)?;
        self.checker.check(&self.place, &mut self.connection).await?;
        self.checker.check_the_end(&self.place, &mut self.connection).await
    }

    /// The summary; a violation keeps the database and the log, and fails.
    fn report(self, held: Result<(), String>) {
        draw::write(&self.plan.out, &self.samples);
        let counts = &self.counts;
        let (contacts, credits) = self.checker.charged(&self.place.sandbox);
        println!(
            "soak: {:.0} s, seed {}: {} kills ({} with a submission under way), {} stops, {} pauses, {} faults, \
             {} new keys, {} ordinary events ({} ends by themselves), {} decisions by a person; {} requests, {contacts} contacts and {credits} credits charged; {}",
            self.seconds(),
            self.plan.seed,
            counts.kills,
            counts.kills_in_flight,
            counts.stops,
            counts.pauses,
            counts.faults,
            counts.keys,
            counts.ordinary,
            counts.ends,
            counts.decisions,
            counts.requests,
            match &held {
                Ok(()) => "all invariants held".to_owned(),
                Err(violation) => format!("VIOLATION: {violation}"),
            }
        );
        println!("drawn: {}", self.plan.out.join("soak.svg").display());
        if held.is_err() {
            drop(self.worker);
            draw::journal(&self.plan.out, &self.place.sandbox.journal());
            for name in ["unlockd.db", "unlockd.db-wal", "log"] {
                let _ = std::fs::copy(self.place.path(name), self.plan.out.join(name));
            }
            // An exit drops nothing.
            drop(self.disk);
            std::process::exit(1);
        }
    }
}
