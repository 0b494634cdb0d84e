//! A folder, a sandbox in this process, a worker as a child process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use tempfile::TempDir;
use unlockd::sandbox::{self, Options, Sandbox};

use crate::db::Db;
use crate::network::Network;
use crate::postgres::{self, Database};

pub(crate) struct Place {
    folder: TempDir,
    binary: PathBuf,
    pub(crate) sandbox: Sandbox,
    /// The URL of the database, when it is on a PostgreSQL server.
    url: Option<String>,
    /// It lasts as long as the place.
    _server: Option<Database>,
}

/// Where a place has its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// `--postgres` chooses it.
    pub(crate) fn of(arguments: &[String]) -> Engine {
        match arguments.iter().any(|word| word == "--postgres") {
            true => Engine::Postgres,
            false => Engine::Sqlite,
        }
    }
}

impl Place {
    /// A place whose database has its schema and nothing else.
    pub(crate) async fn new(options: Options, config: &str) -> Place {
        Place::with(None, options, config).await
    }

    /// The same on PostgreSQL, whose commits reach the disk, too; `None`: it is not here.
    pub(crate) async fn on(engine: Engine, options: Options, config: &str) -> Option<Place> {
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let server = postgres::database().await?;
                postgres::keep_on_disk().await;
                Some(server)
            }
        };
        Some(Place::with(server, options, config).await)
    }

    async fn with(server: Option<Database>, options: Options, config: &str) -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Another build of the program can be measured, for example the one that is shipped.
        let binary = std::env::var_os("MEASURE_BINARY").map_or_else(Place::own_binary, PathBuf::from);
        Place::of(server, options, config, (folder, binary)).await
    }

    /// The program of this build.
    pub(crate) fn own_binary() -> PathBuf {
        env!("CARGO_BIN_EXE_unlockd").into()
    }

    pub(crate) async fn of(
        server: Option<Database>,
        options: Options,
        config: &str,
        (folder, binary): (TempDir, PathBuf),
    ) -> Place {
        let url = server.as_ref().map(|server| server.url().to_owned());
        let sandbox = sandbox::start(options).await.expect("a free port");
        let place = Place { folder, binary, sandbox, url, _server: server };
        place.begin("single", config);
        place
    }

    /// On a server of somebody else.
    pub(crate) async fn at(url: String, durability: &str, options: Options, config: &str) -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let binary = std::env::var_os("MEASURE_BINARY").map_or_else(Place::own_binary, PathBuf::from);
        let sandbox = sandbox::start(options).await.expect("a free port");
        let place = Place { folder, binary, sandbox, url: Some(url), _server: None };
        place.begin(durability, config);
        place
    }

    /// Writes the configuration, and makes the database's tables.
    fn begin(&self, durability: &str, config: &str) {
        let database = self
            .url
            .as_ref()
            .map(|url| format!("database = \"{url}\"\n[postgres]\ndurability = \"{durability}\"\n"));
        let text = format!(
            "{}[api]\nbase_url = \"{}\"\n{config}",
            database.unwrap_or_default(),
            self.sandbox.base_url()
        );
        std::fs::write(self.path("unlockd.toml"), text).expect("the configuration is written");
        let end = self.command().args(["run", "--until-idle"]).status().expect("the worker runs");
        assert!(end.success(), "{}", self.log());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// From now on runs a copy of its program.
    pub(crate) fn keep_binary(&mut self) {
        let binary = self.binary.clone();
        self.run_copy_of(&binary);
    }

    /// From now on runs a copy of this program, so that a build meanwhile does not change it.
    pub(crate) fn run_copy_of(&mut self, binary: &Path) {
        let (copy, new) = (self.path("unlockd"), self.path("unlockd.new"));
        std::fs::copy(binary, &new).expect("the program is copied");
        std::fs::rename(new, &copy).expect("it takes the place of the one before, which may be running");
        self.binary = copy;
    }

    pub(crate) fn command(&self) -> Command {
        self.place(Command::new(&self.binary))
    }

    /// A worker on a host of a network, which keeps its state in a folder of its own.
    pub(crate) fn start_on(&self, network: &Network, host: usize) -> Worker {
        let state = self.path(&format!("host-{host}"));
        std::fs::create_dir_all(&state).expect("a folder");
        let mut command = self.place(network.command(host, &self.binary));
        command.arg("run").env("PATH", std::env::var("PATH").unwrap_or_default());
        command.env("STATE_DIRECTORY", state).env("UNLOCKD_FLEET__HOST", format!("host-{host}"));
        Worker { child: command.spawn().expect("the worker starts"), since: Instant::now() }
    }

    fn place(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path()).env_clear().env("LENSMOR_API_KEY", "uak_measure");
        command.env("STATE_DIRECTORY", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log_file());
        command
    }

    /// The program under strace, which writes to `trace`; each of `expressions` goes behind an `-e`.
    pub(crate) fn traced(&self, trace: &Path, expressions: &[&str]) -> Command {
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-xx", "-s", "1000000", "-o"]).arg(trace);
        for expression in expressions {
            traced.args(["-e", expression]);
        }
        traced.arg(&self.binary).current_dir(self.folder.path());
        traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log_file());
        // strace passes its own environment on, and strace itself must be found first.
        let path = std::env::var("PATH").unwrap_or_default();
        traced.env_clear().env("PATH", path).env("LENSMOR_API_KEY", "uak_measure");
        traced
    }

    pub(crate) fn start(&self) -> Worker {
        self.start_with(|_| {})
    }

    /// Started another way: its standard error a pipe that nobody reads, another clock.
    pub(crate) fn start_with(&self, change: impl FnOnce(&mut Command)) -> Worker {
        let mut command = self.command();
        change(command.arg("run"));
        Worker { child: command.spawn().expect("the worker starts"), since: Instant::now() }
    }

    fn log_file(&self) -> std::fs::File {
        std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Where a worker that was just started serves the page: it says so in the log behind `before`.
    pub(crate) async fn page_url(&self, worker: &Worker, before: usize) -> String {
        loop {
            assert!(worker.since.elapsed() < Duration::from_secs(30), "it does not start:\n{}", self.log());
            let log = self.log().split_off(before);
            let found = log.lines().rev().find(|line| line.contains("the status page is served"));
            if let Some(url) =
                found.and_then(|line| line.split("\"url\":\"").nth(1)).and_then(|rest| rest.split('"').next())
            {
                return url.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A connection with the database, on either engine.
    pub(crate) async fn db(&self) -> Db {
        match &self.url {
            Some(url) => Db::connect(Path::new(url)).await,
            None => Db::Sqlite(self.connect().await),
        }
    }

    /// The URL of a database on a server.
    pub(crate) fn url(&self) -> &str {
        self.url.as_ref().expect("a place on a server")
    }

    /// The port of that server.
    pub(crate) fn server_port(&self) -> u16 {
        let port = self.url().rsplit(':').next().and_then(|rest| rest.split('/').next());
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path("unlockd.db"));
        SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(20)))
            .await
            .expect("it opens")
    }

    /// CPU seconds that the server has used so far, for this database and any other: it and its processes. On SQLite the
    /// worker does that work.
    pub(crate) async fn server_cpu_seconds(&self) -> f64 {
        if self.url.is_none() {
            return 0.0;
        }
        // Kept until its process was looked at.
        let mut db = self.db().await;
        let (backend,) = db.one::<(i64,)>("select pg_backend_pid()").await;
        let stats = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = stats.filter_map(|process| {
            let pid = process.file_name().to_str()?.parse::<i64>().ok()?;
            Some((pid, Stat::of(&std::fs::read_to_string(process.path().join("stat")).ok()?)?))
        });
        let stats: std::collections::HashMap<i64, Stat> = stats.collect();
        let server = stats.get(&backend).map_or(0, |stat| stat.parent);
        let own = stats.get(&server).map_or(0.0, |stat| stat.seconds + stat.of_ended_children);
        own + stats.values().filter(|stat| stat.parent == server).map(|stat| stat.seconds).sum::<f64>()
    }

    pub(crate) async fn number(&self, connection: &mut SqliteConnection, sql: &'static str) -> i64 {
        sqlx::query(sql).fetch_one(connection).await.expect(sql).get(0)
    }
}

/// What /proc/PID/stat says of a process.
struct Stat {
    parent: i64,
    seconds: f64,
    of_ended_children: f64,
}

impl Stat {
    fn of(stat: &str) -> Option<Stat> {
        // After the name, which may hold blanks: the state is field 3, ppid 4, utime to cstime 14 to 17; in ticks.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Stat {
            parent: fields.get(1)?.parse().ok()?,
            seconds: (ticks(11)? + ticks(12)?) / 100.0,
            of_ended_children: (ticks(13)? + ticks(14)?) / 100.0,
        })
    }
}

/// CPU seconds that a process has used so far; `self` is this one.
pub(crate) fn cpu_seconds_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    Stat::of(&stat).map_or(0.0, |stat| stat.seconds)
}

/// The number that a query finds.
pub(crate) async fn count(db: &mut Db, sql: &str) -> i64 {
    db.one::<(i64,)>(sql).await.0
}

/// A running worker; killed when dropped.
pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) since: Instant,
}

impl Worker {
    /// Waits for its end; `None` if it does not end in time.
    pub(crate) async fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let since = Instant::now();
        while since.elapsed() < at_most {
            if let Some(status) = self.child.try_wait().expect("the worker is ours") {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// A line of /proc/PID/status in MB, such as VmHWM.
    pub(crate) fn memory_mb(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(": 0 kB");
        let kilobytes: f64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0.0);
        kilobytes / 1_000.0
    }

    /// CPU seconds used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(&self.child.id().to_string())
    }

    /// Times the scheduler woke it, over all threads.
    pub(crate) fn wake_ups(&self) -> u64 {
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
            .filter_map(|status| {
                let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
                line.trim().parse::<u64>().ok()
            })
            .sum()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn unlimited() -> Options {
    Options { rate_limit: 0, balance: 100_000_000, ..Options::default() }
}

/// Without a limit, and with tasks that are looked at as soon as they may have ended. The sandbox sends no headers
/// then, so the configured limit applies.
pub(crate) const FAST: &str =
    "[rate_limit]\nper_minute = 100000\nper_address = 100000\n[polling]\nsteps = [\"500ms\"]\n";

/// Of values in order: the one that this share of them does not exceed.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    values[((values.len() - 1) as f64 * share) as usize]
}

/// The n-th argument as a number.
pub(crate) fn number(arguments: &[String], index: usize, default: u64) -> u64 {
    arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The value of a flag as text.
pub(crate) fn text(arguments: &[String], name: &str) -> Option<String> {
    let at = arguments.iter().position(|word| word == name)?;
    arguments.get(at + 1).cloned()
}

/// The value of a flag as a number.
pub(crate) fn flag(arguments: &[String], name: &str, default: f64) -> f64 {
    text(arguments, name).and_then(|text| text.parse().ok()).unwrap_or(default)
}
