//! What an ordinary day does to a worker: imports, locks, edits, triggers, upgrades, clocks, full disks.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Soak;

/// One of them at a time, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ordinary {
    /// 1,200 rows of 250 ids in one transaction; nearly all of them are no ids.
    Import,
    /// A program of somebody else holds the write lock for two minutes.
    Lock,
    /// The configuration file is emptied, and later written again.
    EmptyConfig,
    /// A trigger of the user's on `inbox` fails.
    Trigger,
    /// A new version is started beside the old one, which is then stopped.
    Upgrade,
    /// Standard error is a pipe that nobody reads.
    StuckLog,
    /// A row with a reference of 50 MB.
    LongReference,
    /// The disk is full for a minute.
    FullDisk,
    /// The clock is set ahead, then behind, then right.
    ClockSteps,
    /// The database file is replaced by a copy of itself, under the worker.
    ReplacedFile,
}

impl Ordinary {
    const ALL: [Ordinary; 10] = [
        Ordinary::Import,
        Ordinary::Lock,
        Ordinary::EmptyConfig,
        Ordinary::Trigger,
        Ordinary::Upgrade,
        Ordinary::StuckLog,
        Ordinary::LongReference,
        Ordinary::FullDisk,
        Ordinary::ClockSteps,
        Ordinary::ReplacedFile,
    ];
}

/// Whatever arrives.
const MOST_MEMORY_MB: f64 = 150.0;
const ROWS: u64 = 1_200;
const IDS: u64 = 250;
const LONG: i64 = 50_000_000;
const LOCKED: Duration = Duration::from_secs(120);
const FULL: Duration = Duration::from_secs(60);
const RESTARTS_AFTER: Duration = Duration::from_secs(5);
/// Of Debian's package `libfaketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// After the clock was set right: by then the schedule is the worker's own again.
const CLOCK_SETTLES_MS: i64 = 20_000;
/// A worker whose file was replaced looks every few seconds.
const NOTICES_WITHIN: Duration = Duration::from_secs(60);

impl Soak {
    /// One thing of an ordinary day, after which the worker must still be there.
    pub(super) async fn ordinary(&mut self) -> Result<(), String> {
        let what = Ordinary::ALL[self.counts.ordinary % Ordinary::ALL.len()];
        self.counts.ordinary += 1;
        self.happen(what).await?;
        let peak = self.worker.memory_mb("VmHWM");
        println!("{:.0} s: {what:?}; peak of memory so far {peak:.0} MB", self.seconds());
        if peak > MOST_MEMORY_MB && self.is_optimised && !self.is_old {
            return Err(format!("{peak:.0} MB of memory, more than {MOST_MEMORY_MB} MB"));
        }
        self.keep_alive()
    }

    /// Lets it happen, and undoes it.
    async fn happen(&mut self, what: Ordinary) -> Result<(), String> {
        let for_a_while = Duration::from_secs(self.random.u64(5..40));
        let connection = &mut self.connection;
        match what {
            Ordinary::Import => import(connection, self.random.u32(..)).await,
            Ordinary::Lock => {
                run(connection, "begin immediate").await;
                tokio::time::sleep(LOCKED).await;
                run(connection, "rollback").await;
            }
            Ordinary::EmptyConfig => {
                let file = self.place.path("unlockd.toml");
                let whole = std::fs::read_to_string(&file).expect("the configuration");
                std::fs::write(&file, "").expect("it is emptied");
                tokio::time::sleep(for_a_while).await;
                std::fs::write(&file, whole).expect("it is written again");
            }
            Ordinary::Trigger => {
                let trigger =
                    "create trigger users_own before update on inbox begin select raise(abort, 'no'); end";
                run(connection, trigger).await;
                tokio::time::sleep(for_a_while).await;
                run(connection, "drop trigger users_own").await;
            }
            Ordinary::LongReference => {
                sqlx::query(
                    "insert into inbox (personnel_ids, reference) values ('[\"1\"]', printf('%.*c', ?1, 'x'))",
                )
                .bind(LONG)
                .execute(connection)
                .await
                .expect("a row is inserted");
            }
            Ordinary::StuckLog => {
                self.replace_worker(|command| {
                    command.stderr(Stdio::piped());
                });
                tokio::time::sleep(for_a_while).await;
            }
            Ordinary::Upgrade => self.upgrade().await,
            Ordinary::FullDisk => self.full_disk().await,
            Ordinary::ClockSteps => self.clock_steps(for_a_while).await,
            Ordinary::ReplacedFile => return self.replaced_file().await,
        }
        Ok(())
    }

    fn replace_worker(&mut self, change: impl FnOnce(&mut Command)) {
        let _ = self.worker.child.kill();
        let _ = self.worker.child.wait();
        self.worker = self.place.start_with(change);
    }

    /// The first one is to the program that is measured; each later one is to the same program.
    async fn upgrade(&mut self) {
        let new = self.new.clone();
        self.place.run_copy_of(&new);
        let standby = self.place.start();
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.signal(Signal::TERM);
        let ended = self.worker.wait(Duration::from_secs(15)).await;
        assert!(ended.is_some_and(|status| status.success()), "SIGTERM: {ended:?}");
        self.worker = standby;
        self.is_old = false;
        self.counts.stops += 1;
    }

    /// As the supervisor of the shipped unit does: a worker that ended is started again after five seconds.
    async fn full_disk(&mut self) {
        let Some(disk) = &self.disk else { return println!("no full disk: mounting one takes root") };
        disk.fill(0);
        let since = Instant::now();
        while since.elapsed() < FULL {
            if self.worker.wait(Duration::from_secs(1)).await.is_some() {
                tokio::time::sleep(RESTARTS_AFTER).await;
                self.worker = self.place.start();
                self.counts.ends += 1;
            }
        }
        disk.empty();
        // A start that found the disk full may be about to end.
        if self.worker.wait(Duration::from_secs(10)).await.is_some() {
            self.worker = self.place.start();
            self.counts.ends += 1;
        }
    }

    /// Of the worker only; the API's clock goes on, and so does the one that counts since the start of the machine.
    async fn clock_steps(&mut self, for_a_while: Duration) {
        if !Path::new(FAKETIME).exists() {
            return println!("no steps of the clock: there is no libfaketime");
        }
        let clock = self.place.path("clock");
        let set = |step: &str| std::fs::write(&clock, step).expect("the clock is set");
        set("+0");
        self.replace_worker(|command| {
            let variables = [
                ("LD_PRELOAD", FAKETIME),
                ("FAKETIME_NO_CACHE", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("NO_FAKE_STAT", "1"),
            ];
            command.envs(variables).env("FAKETIME_TIMESTAMP_FILE", &clock);
        });
        for step in ["+0", "+3600", "-1800", "+0"] {
            set(step);
            tokio::time::sleep(for_a_while).await;
        }
        self.replace_worker(|_| {});
        self.polls.not_before(self.place.sandbox.now_ms() + CLOCK_SETTLES_MS);
    }

    /// The worker must notice, and end; what it does after its start is what it does with an older copy.
    async fn replaced_file(&mut self) -> Result<(), String> {
        let copy = self.place.path("copy.db");
        // What is written between the copy and its move would be lost: to us as well as to the worker.
        run(&mut self.connection, "begin immediate").await;
        let mut reader = self.place.connect().await;
        let vacuum = AssertSqlSafe(format!("vacuum into '{}'", copy.display()));
        sqlx::query(vacuum).execute(&mut reader).await.expect("a copy");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&copy, mode).expect("its mode");
        for log in ["unlockd.db-wal", "unlockd.db-shm"] {
            let _ = std::fs::remove_file(self.place.path(log));
        }
        std::fs::rename(copy, self.place.path("unlockd.db")).expect("the copy is in place");
        // By the old connection, so that the worker may go on in the old file if it wants to.
        run(&mut self.connection, "rollback").await;
        if self.worker.wait(NOTICES_WITHIN).await.is_none() {
            return Err("the database was replaced, and the worker goes on".to_owned());
        }
        self.connection = self.place.connect().await;
        self.worker = self.place.start();
        self.counts.ends += 1;
        Ok(())
    }
}

async fn import(connection: &mut SqliteConnection, list: u32) {
    run(connection, "begin immediate").await;
    for row in 0..ROWS {
        let ids: Vec<String> = (0..IDS).map(|id| format!("list {list} line {row}-{id}")).collect();
        sqlx::query("insert into inbox (personnel_ids, reference) values (?1, ?2)")
            .bind(serde_json::json!(ids).to_string())
            .bind(format!("import {list}"))
            .execute(&mut *connection)
            .await
            .expect("a row is inserted");
    }
    run(connection, "commit").await;
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.expect(sql);
}
