//! A database in a temporary folder, a sandbox in this process, and workers as child processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use unlockd::sandbox::{self, Billing, Options, Sandbox};

use crate::db::Db;
use crate::invariants::{Allowed, Evidence, Terms};
use crate::network::Network;
use crate::postgres::{self, Database};

const PROGRAM: &str = env!("CARGO_BIN_EXE_unlockd");

pub(crate) struct Town {
    folder: tempfile::TempDir,
    /// The folder of database and configuration; the temporary folder itself, unless it is another file
    /// system.
    home: PathBuf,
    pub(crate) sandbox: Sandbox,
    /// The database, when it is on a PostgreSQL server.
    server: Option<Database>,
}

/// Short steps and no pacing of our own: a sweep over a hundred crashes takes a minute, and random kills hit
/// calls in flight.
const CONFIG: &str = r#"
[rate_limit]
per_minute = 100000
[http]
listen = ""
[inbox]
interval = "20ms"
[polling]
steps = ["40ms", "80ms"]
[submit]
verify_after = "150ms"
decide_after = "2m"
[credits]
approve_above = 100000
[postgres]
durability = "single"
"#;

/// Unlimited calls, quick tasks, and every POST charged again.
pub(crate) fn hostile() -> Options {
    Options {
        task_seconds: 0.1,
        rate_limit: 0,
        balance: 1_000_000,
        billing: Billing::Repeats,
        ..Options::default()
    }
}

impl Town {
    pub(crate) async fn new(options: Options) -> Town {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().to_owned();
        let server = postgres::if_chosen().await;
        Town::set_up(options, folder, home, server, "").await
    }

    /// With the database on a PostgreSQL server; `None`: there is none here.
    pub(crate) async fn on_server(options: Options) -> Option<Town> {
        Town::on_server_with(options, "").await
    }

    /// The same, with more in the configuration.
    pub(crate) async fn on_server_with(options: Options, config: &str) -> Option<Town> {
        let server = postgres::database().await?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().to_owned();
        Some(Town::set_up(options, folder, home, Some(server), config).await)
    }

    pub(crate) async fn in_folder(options: Options, home: PathBuf) -> Town {
        Town::set_up(options, tempfile::tempdir().expect("a temporary folder"), home, None, "").await
    }

    async fn set_up(
        options: Options,
        folder: tempfile::TempDir,
        home: PathBuf,
        server: Option<Database>,
        more: &str,
    ) -> Town {
        let sandbox = sandbox::start(options).await.expect("a free port");
        let town = Town { folder, home, sandbox, server };
        let database = town.server.as_ref().map(|server| format!("database = \"{}\"\n", server.url()));
        let config = format!(
            "{}[api]\nbase_url = \"{}\"\ntimeout = \"3s\"\n{CONFIG}{more}",
            database.unwrap_or_default(),
            town.sandbox.base_url()
        );
        std::fs::write(town.path("unlockd.toml"), config).expect("the configuration is written");
        // The schema exists before anybody inserts.
        let end = town.run_until_idle();
        assert!(end.success(), "an empty database has nothing to do: {end}\n{}", town.log());
        town
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// The file with the seconds that the processes' wall clock was set by; none: it is right.
    pub(crate) fn clock(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn command(&self) -> Command {
        self.place(Command::new(PROGRAM))
    }

    /// Gives a command its folders and its log.
    fn place(&self, mut command: Command) -> Command {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log");
        command
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("LENSMOR_API_KEY", "uak_process_test")
            .env("UNLOCKD_FAIL_CLOCK", self.clock())
            .env("STATE_DIRECTORY", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// A worker on a host of a network, which keeps its state in a folder of its own. `key`: what it calls the API with.
    pub(crate) fn start_on(
        &self,
        (network, host): (&Network, usize),
        key: &str,
        fail: Option<&str>,
    ) -> Child {
        let name = format!("host-{host}");
        let folder = self.folder.path().join(&name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = self.place(network.command(host, PROGRAM));
        command.arg("run").env("LENSMOR_API_KEY", key).env("STATE_DIRECTORY", folder);
        command.env("UNLOCKD_FLEET__HOST", name).envs(fail.map(|fail| ("UNLOCKD_FAIL", fail)));
        command.spawn().expect("the worker starts")
    }

    pub(crate) fn server_url(&self) -> &str {
        self.server.as_ref().expect("it is on a server").url()
    }

    /// The port of the server of the database.
    pub(crate) fn server_port(&self) -> u16 {
        let port = self.server_url().rsplit(':').next().and_then(|rest| rest.split('/').next());
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    /// A worker that runs until it is stopped, started as by systemd: it sends messages to `socket`.
    pub(crate) fn start_notifying(&self, socket: &std::path::Path, fail: Option<&str>) -> Child {
        let mut command = self.command();
        command.arg("run").env("NOTIFY_SOCKET", socket);
        if let Some(fail) = fail {
            command.env("UNLOCKD_FAIL", fail);
        }
        command.spawn().expect("the worker starts")
    }

    /// A worker that logs everything into a pipe that nobody reads.
    pub(crate) fn start_unread(&self) -> Child {
        let mut command = self.command();
        command
            .args(["--log-level", "trace", "run"])
            .env("RUST_LOG", "trace,sqlx=trace")
            .stderr(Stdio::piped());
        command.spawn().expect("the worker starts")
    }

    /// A worker that ends when nothing is left to do; `fail` as in src/failpoint.rs.
    pub(crate) fn start_until_idle(&self, fail: Option<&str>) -> Child {
        let mut command = self.command();
        command.args(["run", "--until-idle"]);
        if let Some(fail) = fail {
            command.env("UNLOCKD_FAIL", fail);
        }
        command.spawn().expect("the worker starts")
    }

    /// The same, but it runs until it is stopped.
    pub(crate) fn start_failing(&self, fail: &str) -> Child {
        self.command().arg("run").env("UNLOCKD_FAIL", fail).spawn().expect("the worker starts")
    }

    pub(crate) fn run_until_idle(&self) -> ExitStatus {
        wait(&mut self.start_until_idle(None), Duration::from_secs(60))
    }

    /// Runs another command to its end; returns its output.
    pub(crate) fn say(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command();
        let output = command.stdout(Stdio::piped()).args(arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn health(&self) -> Option<i32> {
        self.command().args(["health", "--ready"]).status().expect("it runs").code()
    }

    /// A worker that runs until it is stopped.
    pub(crate) fn start(&self) -> Child {
        self.command().arg("run").spawn().expect("the worker starts")
    }

    /// The same for the database by another name.
    pub(crate) fn start_by_name(&self, database: &str) -> Child {
        let mut command = self.command();
        command.args(["--database", database, "run"]).spawn().expect("the worker starts")
    }

    /// The same on a machine whose wall clock is ahead by so many seconds.
    pub(crate) fn start_ahead(&self, seconds: i64) -> Child {
        let clock = self.folder.path().join("clock-of-another-machine");
        std::fs::write(&clock, seconds.to_string()).expect("written");
        self.command().arg("run").env("UNLOCKD_FAIL_CLOCK", clock).spawn().expect("the worker starts")
    }

    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path("unlockd.db"));
        SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(20)))
            .await
            .expect("it opens")
    }

    async fn db(&self) -> Db {
        match &self.server {
            Some(server) => Db::connect(Path::new(server.url())).await,
            None => Db::Sqlite(self.connect().await),
        }
    }

    /// A connection that does not wait for locks.
    pub(crate) async fn connect_impatiently(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path("unlockd.db"));
        SqliteConnection::connect_with(&options.busy_timeout(Duration::ZERO)).await.expect("it opens")
    }

    pub(crate) async fn insert(&self, ids: std::ops::Range<u32>) {
        self.insert_for("default", ids).await;
    }

    pub(crate) async fn insert_for(&self, account: &str, ids: std::ops::Range<u32>) {
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let ids = serde_json::json!(ids);
        let insert = format!(
            "insert into inbox (account, event_id, personnel_ids) values ('{account}', '139574', '{ids}')"
        );
        self.db().await.run(&insert).await.expect("a row is inserted");
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.db().await.run(sql).await.expect("it runs");
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        self.db().await.one::<(i64,)>(sql).await.0
    }

    pub(crate) async fn numbers(&self, sql: &'static str) -> Vec<i64> {
        self.db().await.all::<(i64,)>(sql).await.into_iter().map(|(number,)| number).collect()
    }

    /// Waits until a query returns a number that the other process writes.
    pub(crate) async fn until(&self, sql: &'static str, expected: i64) {
        let since = Instant::now();
        while self.number(sql).await != expected {
            if since.elapsed() > Duration::from_secs(40) {
                panic!("{sql} did not become {expected}\n{}\n{}", self.where_it_stands().await, self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// For a failure's message: rows that are not done, and jobs that have not ended.
    async fn where_it_stands(&self) -> String {
        let rows = "select cast(id as text) || ' ' || account || ' ' || status || ' ' || coalesce(reason, '')
                    from inbox where status <> 'done'";
        let jobs =
            "select cast(id as text) || ' ' || account || ' ' || state || ' ' || coalesce(state_reason, '')
                           || ' at ' || coalesce(cast(next_poll_at as text), cast(due_at as text), '?')
                    from jobs where finished_at is null";
        let (mut db, mut lines) = (self.db().await, Vec::new());
        for (what, sql) in [("row", rows), ("job", jobs)] {
            let found = db.all::<(String,)>(sql).await;
            lines.extend(found.into_iter().map(|(text,)| format!("{what} {text}")));
        }
        lines.join("\n")
    }

    pub(crate) async fn until_logged(&self, text: &str) {
        let since = Instant::now();
        while !self.log().contains(text) {
            assert!(since.elapsed() < Duration::from_secs(40), "{text:?} was not logged\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Every contact of `ids` was paid for exactly once and is delivered; the books balance.
    pub(crate) async fn assert_paid_once_and_delivered(&self, ids: std::ops::Range<u32>, what: &str) {
        let outcomes = "select personnel_id, outcome from contact_outcomes order by personnel_id";
        let outcomes: Vec<(String, String)> = self.db().await.all(outcomes).await;
        let outcomes: BTreeMap<String, String> = outcomes.into_iter().collect();
        let accounting = self.sandbox.accounting();
        for id in ids.clone() {
            let id = id.to_string();
            let outcome = outcomes.get(&id).map(String::as_str);
            assert_eq!(outcome, Some("delivered"), "{what}: contact {id}\n{}", self.log());
            let times = accounting.charge(&id, sandbox::Channel::Email).times;
            assert_eq!(times, 1, "{what}: contact {id} was charged {times} times\n{}", self.log());
        }
        assert_eq!(accounting.charges.len(), ids.len(), "{what}: somebody else was charged");
        let booked = self.number("select coalesce(sum(credits), 0) from ledger where entry = 'charge'").await;
        assert_eq!(booked, accounting.charged_total, "{what}: the ledger");
        let held = self.number("select coalesce(sum(credits), 0) from ledger where entry <> 'charge'").await;
        assert_eq!(held, 0, "{what}: holds and releases");
        let open = self.number("select count(*) from inbox where status <> 'done'").await;
        assert_eq!(open, 0, "{what}: requests that are not done");
        self.check(what).await;
    }

    /// Checks the invariants that must be true after every run. The clocks are real here, so those about time
    /// are left to the other tests.
    async fn check(&self, what: &str) {
        let evidence = Evidence {
            state: &mut self.db().await,
            calls: self.sandbox.journal(),
            accounting: self.sandbox.accounting(),
            allowed: &Allowed::default(),
            terms: Terms { shortest_step_ms: 0, per_minute: None, approve_above: 100_000 },
        };
        if let Err(violation) = evidence.check().await {
            panic!("{what}: {violation}\n{}", self.log());
        }
    }
}

/// Waits for a process; if it does not end, the test fails.
pub(crate) fn wait(child: &mut Child, at_most: Duration) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process is ours") {
            return status;
        }
        if since.elapsed() > at_most {
            let _ = child.kill();
            panic!("the worker did not end within {at_most:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("the process is there");
}
