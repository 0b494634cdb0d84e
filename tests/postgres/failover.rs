//! Paid calls while servers, standbys and their connections fail. The judge is the sandbox's own account: how often it
//! has charged for a contact. It charges a repeated call again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};
use unlockd::sandbox::{self, Billing, Channel, Options, Sandbox};

use crate::cluster::Cluster;

/// A database, a sandbox, and workers as processes.
struct Town {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    name: &'static str,
    url: String,
    durability: &'static str,
    /// `submit.precheck`: it finds what was bought and forgotten, too, but only a distrusted database insists on it.
    prechecks: bool,
    /// `fleet.lease` and `api.timeout`.
    lease: (&'static str, &'static str),
    port: u16,
}

/// A process that does not outlive its test.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Worker {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the process is there");
    }

    async fn ends(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("ours") {
                return status;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "it does not end");
            pause().await;
        }
    }

    /// Waits until it has stopped itself, as `UNLOCKD_FAIL` says.
    async fn stops(&self) {
        let (since, stat) = (Instant::now(), format!("/proc/{}/stat", self.0.id()));
        while !std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")) {
            assert!(since.elapsed() < Duration::from_secs(20), "it does not stop");
            pause().await;
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

impl Town {
    /// A new database with its tables.
    async fn new(cluster: &Cluster, name: &'static str, durability: &'static str) -> Town {
        let options = Options {
            task_seconds: 0.1,
            rate_limit: 0,
            balance: 1_000_000,
            billing: Billing::Repeats,
            ..Options::default()
        };
        let town = Town {
            folder: tempfile::tempdir().expect("a folder"),
            sandbox: sandbox::start(options).await.expect("a free port"),
            name,
            url: cluster.create(name).await,
            durability,
            prechecks: true,
            lease: ("60s", "30s"),
            port: TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port(),
        };
        let (code, said) = town.say(&["migrate"]);
        assert_eq!(code, Some(0), "{said}");
        town
    }

    /// A command on a host; what a host keeps is in its folder.
    fn command(&self, host: &str) -> Command {
        let state = self.folder.path().join(host);
        std::fs::create_dir_all(&state).expect("a folder");
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_unlockd"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .envs([("LENSMOR_API_KEY", "uak_failover"), ("UNLOCKD_RATE_LIMIT__PER_MINUTE", "100000")])
            .envs([("UNLOCKD_INBOX__INTERVAL", "20ms"), ("UNLOCKD_POLLING__STEPS", "[\"40ms\", \"80ms\"]")])
            .envs([("UNLOCKD_SUBMIT__VERIFY_AFTER", "150ms"), ("UNLOCKD_CREDITS__APPROVE_ABOVE", "100000")])
            .envs([
                ("UNLOCKD_DATABASE", self.url.as_str()),
                ("UNLOCKD_POSTGRES__DURABILITY", self.durability),
            ])
            .env("UNLOCKD_SUBMIT__PRECHECK", self.prechecks.to_string())
            .envs([("UNLOCKD_FLEET__LEASE", self.lease.0), ("UNLOCKD_API__TIMEOUT", self.lease.1)])
            .env("UNLOCKD_API__BASE_URL", self.sandbox.base_url())
            .env("UNLOCKD_HTTP__LISTEN", format!("127.0.0.1:{}", self.port))
            .env("STATE_DIRECTORY", state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    fn start(&self, host: &str, fail: Option<&str>) -> Worker {
        let mut command = self.command(host);
        command.arg("run").envs(fail.map(|fail| ("UNLOCKD_FAIL", fail)));
        Worker(command.spawn().expect("it starts"))
    }

    async fn until_idle(&self, host: &str) {
        let mut command = self.command(host);
        command.args(["run", "--until-idle"]);
        let status = Worker(command.spawn().expect("it starts")).ends().await;
        assert!(status.success(), "{status}\n{}", self.log());
    }

    fn say(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command("cli");
        let said = command.stdout(Stdio::piped()).args(arguments).output().expect("it runs");
        (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// What the worker answers.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the worker listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// On a server itself, and without waiting for a standby.
    async fn insert(&self, cluster: &Cluster, ids: std::ops::Range<u32>) {
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let ids = serde_json::json!(ids);
        let insert = format!("insert into inbox (event_id, personnel_ids) values ('139574', '{ids}')");
        cluster.on(0, self.name).await.execute(AssertSqlSafe(insert)).await.expect("a row");
    }

    async fn number(&self, cluster: &Cluster, at: usize, sql: &'static str) -> i64 {
        let mut connection = cluster.on(at, self.name).await;
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a number")
    }

    async fn until(&self, cluster: &Cluster, at: usize, sql: &'static str, expected: i64) {
        let since = Instant::now();
        while self.number(cluster, at, sql).await != expected {
            assert!(since.elapsed() < Duration::from_secs(25), "{sql} is not {expected}\n{}", self.log());
            pause().await;
        }
    }

    async fn until_done(&self, cluster: &Cluster, at: usize) {
        self.until(cluster, at, "select count(*) from inbox where status <> 'done'", 0).await;
    }

    /// Waits until `explain` says that a request waits for this.
    async fn until_explained(&self, request: i64, reason: &str) -> Value {
        let (since, id) = (Instant::now(), request.to_string());
        loop {
            let (_, said) = self.say(&["explain", &id, "--json"]);
            let explained: Value = serde_json::from_str(&said).unwrap_or_default();
            let waits = explained["waits"].as_array().cloned().unwrap_or_default();
            // In a job: what is left is only to send it.
            let is_queued = waits.iter().any(|wait| wait["job_id"].is_number());
            if let Some(wait) = waits.into_iter().find(|wait| wait["reason"] == reason && is_queued) {
                return wait;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{said}\n{}", self.log());
            pause().await;
        }
    }

    /// Asks for contacts; from the precheck on, each COMMIT of the worker waits for the standby.
    async fn hang_after_precheck(&self, cluster: &Cluster, ids: std::ops::Range<u32>) -> Worker {
        self.insert(cluster, ids).await;
        let worker = self.start("one", Some("before_call:2:stop"));
        worker.stops().await;
        cluster.signal_receiver(Signal::STOP).await;
        worker.signal(Signal::CONT);
        worker
    }

    /// How often the sandbox has charged, for whichever contact.
    fn charges(&self) -> u32 {
        self.sandbox.accounting().charges.values().map(|charge| charge.times).sum()
    }

    /// Each of these was paid for once, and delivered by the server.
    async fn assert_once(&self, cluster: &Cluster, at: usize, ids: std::ops::Range<u32>) {
        let accounting = self.sandbox.accounting();
        for id in ids.clone() {
            let times = accounting.charge(&id.to_string(), Channel::Email).times;
            assert_eq!(times, 1, "contact {id} was charged {times} times\n{}", self.log());
        }
        assert_eq!(accounting.charges.len(), ids.len(), "{}", self.log());
        let delivered = "select count(*) from contact_outcomes where outcome = 'delivered'";
        assert_eq!(self.number(cluster, at, delivered).await, ids.len() as i64, "{}", self.log());
    }
}

const NAMES: &str = "synchronous_standby_names";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_standby_that_confirms_nothing_is_bought_and_it_goes_on_by_itself() {
    let Some(cluster) = Cluster::shared().await else { return };
    cluster.set(0, NAMES, "").await;
    let town = Town::new(&cluster, "alone", "synchronous").await;
    let worker = town.start("one", None);
    town.insert(&cluster, 100..105).await;
    let wait = town.until_explained(1, "not_replicated").await;
    assert!(wait["unblock"].as_str().is_some_and(|fix| fix.contains(NAMES)), "{wait}");
    let (_, said) = town.say(&["check", "--offline"]);
    assert!(said.contains("FAIL  failover") && said.contains("synchronous_mode_strict"), "{said}");
    assert_eq!(town.say(&["health", "--ready"]).0, Some(1), "{}", town.log());
    let ready = town.get("/readyz");
    assert!(ready.contains(" 503 ") && ready.contains("\ndurability: nothing is bought"), "{ready}");
    let metrics = town.get("/metrics");
    assert!(metrics.contains("\nunlockd_durable 0\n"), "{metrics}");
    assert_eq!(town.charges(), 0);
    cluster.set(0, NAMES, "ANY 1 (b)").await;
    town.until_done(&cluster, 0).await;
    let (_, said) = town.say(&["check", "--offline"]);
    assert!(said.contains("1 of 1 standbys confirm commits"), "{said}");
    assert_eq!(town.say(&["health", "--ready"]).0, Some(0));
    assert!(town.get("/metrics").contains("\nunlockd_durable 1\n"));
    // Emptied while it runs.
    cluster.set(0, NAMES, "").await;
    town.insert(&cluster, 105..110).await;
    town.until_explained(2, "not_replicated").await;
    assert_eq!(town.charges(), 5);
    cluster.set(0, NAMES, "ANY 1 (b)").await;
    town.until_done(&cluster, 0).await;
    drop(worker);
    town.assert_once(&cluster, 0, 100..110).await;
}

/// Every wait for a standby of this database, at this moment.
const WAITING: &str =
    "select pid from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_standby_that_is_cancelled_or_given_up_confirms_nothing() {
    let Some(cluster) = Cluster::shared().await else { return };
    cluster.set(0, NAMES, "ANY 1 (b)").await;
    let town = Town::new(&cluster, "cancelled", "synchronous").await;
    // It has a proof's connection, as a worker that has run for long.
    let worker = town.start("one", None);
    town.insert(&cluster, 100..102).await;
    town.until_done(&cluster, 0).await;
    // Each COMMIT says success at once, with a warning: those of the proofs, too.
    cluster.signal_receiver(Signal::STOP).await;
    town.insert(&cluster, 102..105).await;
    let mut canceller = cluster.on(0, town.name).await;
    let unproven = "select count(*) from request_events where event = 'not_replicated'";
    let (cancel, since) =
        (format!("select count(pg_cancel_backend(pid)) from ({WAITING}) w"), Instant::now());
    while town.number(&cluster, 0, unproven).await < 2 {
        assert!(since.elapsed() < Duration::from_secs(20), "no proof was asked for\n{}", town.log());
        canceller.execute(AssertSqlSafe(cancel.as_str())).await.expect("cancelled");
        assert_eq!(town.charges(), 2, "{}", town.log());
    }
    cluster.signal_receiver(Signal::CONT).await;
    town.until_done(&cluster, 0).await;
    drop(worker);
    // Nobody is named any more while the proof waits: COMMIT says success, and nothing else.
    let worker = town.start("one", Some("after_intent:1:stop"));
    town.insert(&cluster, 105..110).await;
    worker.stops().await;
    cluster.signal_receiver(Signal::STOP).await;
    worker.signal(Signal::CONT);
    let is_proving = format!("select count(*) from ({WAITING}) w");
    let since = Instant::now();
    let mut looking = cluster.on(0, town.name).await;
    loop {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(is_proving.as_str()))
            .fetch_one(&mut looking)
            .await
            .expect("a count");
        if count > 0 || since.elapsed() > Duration::from_secs(10) {
            break;
        }
    }
    cluster.set(0, NAMES, "").await;
    town.until(
        &cluster,
        0,
        "select count(*) from request_events where event = 'not_replicated' and detail like '%named%'",
        1,
    )
    .await;
    assert_eq!(town.charges(), 5, "{}", town.log());
    cluster.signal_receiver(Signal::CONT).await;
    cluster.set(0, NAMES, "ANY 1 (b)").await;
    town.until_done(&cluster, 0).await;
    drop(worker);
    town.assert_once(&cluster, 0, 100..110).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_ended_before_in_and_after_a_commit_neither_loses_nor_doubles_a_call() {
    let Some(mut cluster) = Cluster::shared().await else { return };
    cluster.set(0, NAMES, "ANY 1 (b)").await;
    let town = Town::new(&cluster, "ended", "synchronous").await;
    let end_all = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
    let mut from = 100;
    // Before its precheck, and between the commit of its intent and the call.
    for fail in ["before_call:2:stop", "after_intent:1:stop"] {
        town.insert(&cluster, from..from + 3).await;
        from += 3;
        let mut worker = town.start("one", Some(fail));
        worker.stops().await;
        town.number(&cluster, 0, end_all).await;
        worker.signal(Signal::CONT);
        let status = worker.ends().await;
        assert!(!status.success(), "{fail}: it went on\n{}", town.log());
        town.until_idle("one").await;
    }
    // While COMMIT waits for the standby: the first, the second and the third after the precheck.
    for nth in 1..=3 {
        let mut worker = town.hang_after_precheck(&cluster, from..from + 3).await;
        from += 3;
        let mut looking = cluster.on(0, town.name).await;
        for at in 1..=nth {
            let since = Instant::now();
            let act = if at == nth { "pg_terminate_backend" } else { "pg_cancel_backend" };
            let act = format!("select count({act}(pid)) from ({WAITING}) w");
            while sqlx::query_scalar::<_, i64>(AssertSqlSafe(act.as_str()))
                .fetch_one(&mut looking)
                .await
                .expect("a count")
                == 0
            {
                assert!(since.elapsed() < Duration::from_secs(20), "no commit waits\n{}", town.log());
                pause().await;
            }
        }
        cluster.signal_receiver(Signal::CONT).await;
        // It ends if that was its writer's connection, and goes on if it was that of a proof.
        let done = "select count(*) from inbox where status <> 'done'";
        while worker.0.try_wait().expect("ours").is_none() && town.number(&cluster, 0, done).await > 0 {
            pause().await;
        }
        drop(worker);
        town.until_idle("one").await;
    }
    // As above, and the whole server crashes.
    let mut worker = town.hang_after_precheck(&cluster, from..from + 3).await;
    from += 3;
    town.until(
        &cluster,
        0,
        "select least(count(*), 1) from pg_stat_activity where wait_event = 'SyncRep'",
        1,
    )
    .await;
    cluster.restart_primary().await;
    cluster.signal_receiver(Signal::CONT).await;
    assert!(!worker.ends().await.success(), "it went on\n{}", town.log());
    town.until_idle("one").await;
    town.assert_once(&cluster, 0, 100..from).await;
}

/// The standby confirms nothing and is behind when it takes over: the purchases of the last minutes are gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_may_have_lost_is_asked_about_before_it_is_bought() {
    let Some(mut cluster) = Cluster::start() else { return };
    // Somebody else confirms each commit, and will not be promoted.
    cluster.receive(0, "c").await;
    cluster.set(0, NAMES, "ANY 1 (c)").await;
    let mut towns =
        [Town::new(&cluster, "verified", "verify").await, Town::new(&cluster, "marked", "synchronous").await];
    for town in &mut towns {
        (town.prechecks, town.lease) = (false, ("3s", "2s"));
        town.until_idle("one").await;
        town.insert(&cluster, 100..105).await;
        town.until(&cluster, 1, "select count(*) from inbox", 1).await;
    }
    cluster.set(1, "primary_conninfo", "").await;
    cluster.until(1, "select count(*) from pg_stat_wal_receiver", 0).await;
    for town in &towns {
        town.until_idle("one").await;
        town.assert_once(&cluster, 0, 100..105).await;
    }
    cluster.fail_over().await;
    cluster.receive(1, "d").await;
    cluster.set(1, NAMES, "ANY 1 (d)").await;
    // The timeline tells it to a host that was never there, the mark to one that was.
    for (town, host) in towns.iter().zip(["two", "one"]) {
        assert_eq!(
            town.number(&cluster, 1, "select count(*) from jobs").await,
            0,
            "the purchase is not lost"
        );
        let since_ms = town.sandbox.now_ms();
        town.until_idle(host).await;
        town.assert_once(&cluster, 1, 100..105).await;
        // The worker of before might have been in the middle of a call that nobody knows of.
        let asked = town
            .sandbox
            .journal()
            .iter()
            .filter(|call| call.at_ms > since_ms)
            .find_map(|call| call.path.contains("/precheck").then_some(call.at_ms - since_ms));
        assert!(asked.is_some_and(|after_ms| after_ms >= 5_000), "{asked:?}: before that lease has ended");
    }
}

/// The only standby is gone, and each COMMIT waits with its locks.
#[tokio::test(flavor = "multi_thread")]
async fn while_commits_wait_for_a_standby_each_command_ends_in_time_and_says_so() {
    let Some(cluster) = Cluster::shared().await else { return };
    cluster.set(0, NAMES, "ANY 1 (b)").await;
    let town = Town::new(&cluster, "gone", "synchronous").await;
    let worker = town.start("one", None);
    town.insert(&cluster, 100..102).await;
    town.until_done(&cluster, 0).await;
    drop(worker);
    cluster.set(0, NAMES, "ANY 1 (gone)").await;
    // The first waits for its COMMIT, and the second for the lock that the first one keeps.
    let mut pauses = Vec::new();
    for _ in 0..2 {
        pauses.push(Worker(town.command("cli").args(["pause", "--all"]).spawn().expect("it starts")));
        let waits = "select least(count(*), 1) from pg_stat_activity
                     where wait_event = 'SyncRep' and datname = current_database()";
        town.until(&cluster, 0, waits, 1).await;
    }
    let reads: [&[&str]; 6] =
        [&["jobs"], &["requests"], &["spend"], &["claims"], &["explain", "1"], &["watch", "--once"]];
    for read in reads {
        let since = Instant::now();
        let (code, said) = town.say(read);
        assert_eq!(code, Some(0), "{read:?}: {said}");
        assert!(since.elapsed() < Duration::from_secs(8), "{read:?} waits for a commit");
    }
    let (_, watched) = town.say(&["watch", "--once"]);
    let sentence = "nothing is bought: commits wait for a standby";
    assert!(watched.contains(sentence) && !watched.contains("nothing needs you"), "{watched}");
    assert_eq!(town.say(&["health", "--ready"]).0, Some(1));
    let (code, checked) = town.say(&["check"]);
    assert_eq!(code, Some(1), "{checked}");
    for line in ["FAIL  failover", "FAIL  commits", "warn  api", sentence] {
        assert!(checked.contains(line), "{line} is missing in\n{checked}");
    }
    for pause in &mut pauses {
        assert_eq!(pause.ends().await.code(), Some(1), "{}", town.log());
    }
    for said in
        ["COMMIT was not answered in time", "a commit that waits for a standby to confirm it", sentence]
    {
        assert!(town.log().contains(said), "{said} is missing in\n{}", town.log());
    }
    // What was not confirmed takes effect.
    cluster.set(0, NAMES, "ANY 1 (b)").await;
    town.until(&cluster, 0, "select count(*) from accounts where paused_at is not null", 1).await;
}
