//! Town: one database, one sandbox, one worker, and a clock that moves only when told.
//!
//! A test writes the inbox as a user's program would (plain SQL, a connection of its own), lets
//! time pass with [`Town::tick`] or [`Town::finish`], and looks at what became of it. Passes run
//! through `driver::step`; time jumps to whatever a pass said it waits for, so a pass that names no
//! time for something it has to do leaves its test stuck. [`Town::restart`] is `kill -9`: nothing
//! is closed in good order.
//!
//! Every test ends with [`Town::check`], the shared checker of invariants; a town that is dropped
//! unchecked fails its test.

pub(crate) mod capture;
mod check;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, FromRow, SqliteConnection};
use tempfile::TempDir;
use unlockd::clock::Clock;
use unlockd::config::{self, Config, Inputs};
use unlockd::domain::{Credits, Millis, RequestId};
use unlockd::sandbox::{self, Call, Fault, Options, Sandbox, Time};
use unlockd::store::lease::{self, Lease};
use unlockd::store::{Store, accounts, requests};
use unlockd::worker::driver::{self, End};
use unlockd::worker::{Deps, intake, poll, read, settle, submit, verify};

/// More steps without coming to rest are a loop.
const MOST_STEPS: usize = 3_000;
/// More jumps of the clock in one go are a loop, too.
const MOST_JUMPS: usize = 3_000;

/// How a town is set up.
pub(crate) struct Setup {
    pub(crate) sandbox: Options,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) inbox_apart: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        let sandbox = Options { time: Time::Manual, balance: 100_000, ..Options::default() };
        let env = [("LENSMOR_API_KEY", "uak_test_1"), ("UNLOCKD_CREDITS__APPROVE_ABOVE", "100000")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Setup { sandbox, env, inbox_apart: false }
    }
}

impl Setup {
    /// Sets a configuration key by its environment variable, without the prefix.
    pub(crate) fn config(mut self, name: &str, value: &str) -> Setup {
        self.env.insert(format!("UNLOCKD_{name}"), value.to_owned());
        self
    }

    pub(crate) fn sandbox(mut self, change: impl FnOnce(&mut Options)) -> Setup {
        change(&mut self.sandbox);
        self
    }

    pub(crate) async fn build(self) -> Town {
        Town::build(self).await
    }
}

/// What a test knows to be otherwise than the invariants say.
#[derive(Default)]
pub(crate) struct Allowed {
    /// Contacts that may be charged more than once, since a person or a second request asked so.
    pub(crate) charged_again: Vec<String>,
    /// The database was replaced by an older one: attempts and bookings may be missing.
    pub(crate) restored: bool,
    /// Calls that the limit turned away without being scripted: somebody else used the bucket up.
    pub(crate) turned_away: bool,
    /// The price is another one than the bookings say.
    pub(crate) price_differs: bool,
}

/// The worker's process, as far as a test needs one.
pub(crate) struct Life {
    pub(crate) deps: Arc<Deps>,
    // Kept, since the lock on the file lives as long as it does.
    _lease: Lease,
}

pub(crate) struct Town {
    pub(crate) dir: TempDir,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    pub(crate) allowed: Allowed,
    life: Option<Life>,
    env: BTreeMap<String, String>,
    user: SqliteConnection,
    state: SqliteConnection,
    checked: bool,
}

impl Town {
    pub(crate) async fn new() -> Town {
        Setup::default().build().await
    }

    async fn build(setup: Setup) -> Town {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let sandbox = sandbox::start(setup.sandbox).await.expect("a free port");
        let mut env = setup.env;
        let database = dir.path().join("unlockd.db");
        env.insert("UNLOCKD_DATABASE".into(), database.display().to_string());
        env.insert("UNLOCKD_API__BASE_URL".into(), sandbox.base_url());
        if setup.inbox_apart {
            env.insert("UNLOCKD_INBOX__DATABASE".into(), dir.path().join("inbox.db").display().to_string());
        }
        let clock = Clock::test();
        let config = load(&dir, &env);
        let life = live(&config, &clock).await;
        let inbox = config.inbox.database.clone().unwrap_or_else(|| config.database.clone());
        let (user, state) = (connect(inbox).await, connect(config.database.clone()).await);
        let allowed = Allowed::default();
        Town { dir, sandbox, clock, allowed, life: Some(life), env, user, state, checked: false }
    }

    pub(crate) fn deps(&self) -> &Arc<Deps> {
        &self.life.as_ref().expect("the worker lives").deps
    }

    pub(crate) fn store(&self) -> &Store {
        &self.deps().store
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("unlockd.db")
    }

    // ---- the worker ------------------------------------------------------------------------

    /// Another configuration takes effect, as after SIGHUP.
    pub(crate) async fn configure(&mut self, name: &str, value: &str) {
        let name = if name == "LENSMOR_API_KEY" { name.to_owned() } else { format!("UNLOCKD_{name}") };
        self.env.insert(name, value.to_owned());
        let config = Arc::new(load(&self.dir, &self.env));
        self.deps().reconfigure(config).await.expect("reconfigured");
    }

    /// `kill -9`: whatever the worker was doing, it is gone.
    pub(crate) fn kill(&mut self) {
        self.life = None;
    }

    /// Starts a worker on what is on disk.
    pub(crate) async fn start(&mut self) {
        let config = load(&self.dir, &self.env);
        let life = live(&config, &self.clock).await;
        driver::recover(&life.deps).await.expect("recovers");
        self.life = Some(life);
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    /// Runs every pass until none has anything left to do at this moment.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..MOST_STEPS {
            if driver::step(self.deps()).await.expect("the database is well") == 0 {
                return;
            }
        }
        panic!("does not come to rest:\n{}", self.dump().await);
    }

    /// Polls one step at most `polls` times and then drops it where it stands. Whether it ended.
    pub(crate) async fn step_partly(&mut self, polls: usize) -> bool {
        let deps = self.deps().clone();
        let mut step = Box::pin(driver::step(&deps));
        let mut left = polls;
        std::future::poll_fn(|context| {
            if left == 0 {
                return std::task::Poll::Ready(false);
            }
            left -= 1;
            step.as_mut().poll(context).map(|did| did.expect("the database is well") == 0)
        })
        .await
    }

    /// Runs until the API leaves a call without an answer (`lost-answer=timeout`) and kills the
    /// worker at that moment; or until the time is over. Whether it was killed.
    pub(crate) async fn killed_when_silent(&mut self, ms: i64) -> bool {
        let deps = self.deps().clone();
        let silent = |town: &Town| {
            town.sandbox.journal().iter().any(|call| call.fault.as_deref() == Some("lost-answer=timeout"))
        };
        for _ in 0..ms / 1_000 {
            loop {
                let step = driver::step(&deps);
                let waits = async {
                    while !silent(self) {
                        tokio::task::yield_now().await;
                    }
                };
                let did = tokio::select! {
                    did = step => did.expect("the database is well"),
                    () = waits => {
                        self.kill();
                        return true;
                    }
                };
                if did == 0 {
                    break;
                }
            }
            self.advance(1_000);
        }
        false
    }

    /// A copy of the database as it is on disk.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a temporary directory");
        for name in ["unlockd.db", "unlockd.db-wal"] {
            std::fs::copy(self.dir.path().join(name), copy.path().join(name)).expect("copied");
        }
        copy
    }

    /// Runs the passes one by one, and copies the database after each that did something.
    pub(crate) async fn copy_after_each_pass(&mut self) -> Vec<TempDir> {
        let (deps, mut copies) = (self.deps().clone(), Vec::new());
        let account = deps.accounts().remove(0);
        loop {
            let before = copies.len();
            for pass in 0..6 {
                let report = match pass {
                    0 => intake::run(&deps).await,
                    1 => submit::run(&deps, &account).await,
                    2 => poll::run(&deps, &account).await,
                    3 => verify::run(&deps, &account).await,
                    4 => read::run(&deps, &account).await,
                    _ => settle::run(&deps, &account).await,
                };
                if report.expect("the database is well").did > 0 {
                    copies.push(self.copy());
                }
            }
            if copies.len() == before {
                return copies;
            }
        }
    }

    /// The worker dies, and starts again on an older copy of its database.
    pub(crate) async fn restore(&mut self, copy: &TempDir) {
        self.kill();
        self.allowed.restored = true;
        for name in ["unlockd.db", "unlockd.db-wal", "unlockd.db-shm"] {
            std::fs::remove_file(self.dir.path().join(name)).ok();
        }
        for name in ["unlockd.db", "unlockd.db-wal"] {
            std::fs::copy(copy.path().join(name), self.dir.path().join(name)).expect("copied");
        }
        self.start().await;
        self.state = connect(self.database()).await;
        let inbox = self.store().inbox_path().to_owned();
        self.user = connect(inbox).await;
    }

    /// A person approves what a request was quoted.
    pub(crate) async fn approve(&mut self, id: i64) {
        let quote = self.number(&format!("select quoted_credits from requests where id = {id}")).await;
        let now = self.clock.now();
        self.store()
            .write(move |connection| {
                Box::pin(requests::approve(connection, RequestId(id), Credits(quote), now))
            })
            .await
            .expect("approved");
    }

    /// A person pauses the account, or lets it go on.
    pub(crate) async fn pause(&mut self, paused: bool) {
        let (account, now) = (self.deps().accounts().remove(0), self.clock.now());
        let at = paused.then_some(now);
        self.store()
            .write(move |connection| {
                Box::pin(async move { accounts::set_paused(connection, &account, at).await })
            })
            .await
            .expect("noted");
    }

    /// A person cancels a request.
    pub(crate) async fn cancel(&mut self, id: i64) {
        let now = self.clock.now();
        self.store()
            .write(move |connection| {
                Box::pin(async move { requests::cancel(connection, RequestId(id), now).await })
            })
            .await
            .expect("cancelled");
    }

    /// When the passes want to run again.
    pub(crate) async fn next_due(&mut self) -> Option<Millis> {
        let mut due = None;
        let deps = self.deps().clone();
        for account in deps.accounts() {
            let reports = [
                submit::run(&deps, &account).await,
                poll::run(&deps, &account).await,
                verify::run(&deps, &account).await,
                read::run(&deps, &account).await,
                settle::run(&deps, &account).await,
            ];
            for report in reports {
                let report = report.expect("the database is well");
                if report.did > 0 {
                    return Some(self.clock.now());
                }
                due = [due, report.next_at].into_iter().flatten().min();
            }
        }
        due
    }

    fn advance(&self, ms: i64) {
        let by = Duration::from_millis(u64::try_from(ms).expect("time goes on"));
        self.clock.advance(by);
        self.sandbox.advance(by);
    }

    /// Lets time pass, stopping wherever a pass has something to do.
    pub(crate) async fn tick(&mut self, ms: i64) {
        let end = self.clock.now().plus(ms);
        for _ in 0..MOST_JUMPS {
            self.settle().await;
            let now = self.clock.now();
            if now >= end {
                return;
            }
            let due = self.next_due().await.unwrap_or(end);
            self.advance(due.clamp(now.plus(1), end).since(now));
        }
        panic!("time does not pass:\n{}", self.dump().await);
    }

    /// Lets time pass until nothing is left to do, or all that is left waits for a person.
    pub(crate) async fn finish(&mut self) -> End {
        for _ in 0..MOST_JUMPS {
            self.settle().await;
            if let Some(end) = driver::idle(self.deps()).await.expect("readable") {
                return end;
            }
            let now = self.clock.now();
            match self.next_due().await {
                Some(due) => self.advance(due.max(now.plus(1)).since(now)),
                None => panic!("nothing is due, and it is not finished:\n{}", self.dump().await),
            }
        }
        panic!("never ends:\n{}", self.dump().await);
    }

    /// [`Town::finish`], and nothing waits for a person.
    pub(crate) async fn finish_all(&mut self) {
        let end = self.finish().await;
        assert_eq!(end, End::Idle, "{}", self.dump().await);
    }

    // ---- the user --------------------------------------------------------------------------

    /// Plain SQL in the inbox, as a user's program would write it.
    pub(crate) async fn user(&mut self, sql: impl Into<String>) {
        let sql = AssertSqlSafe(sql.into());
        sqlx::raw_sql(sql).execute(&mut self.user).await.expect("the inbox takes it");
    }

    /// A request for emails; returns its id.
    pub(crate) async fn insert(&mut self, event_id: Option<&str>, ids: &[&str]) -> i64 {
        let ids = serde_json::json!(ids).to_string();
        sqlx::query_scalar("insert into inbox (event_id, personnel_ids) values (?1, ?2) returning id")
            .bind(event_id)
            .bind(ids)
            .fetch_one(&mut self.user)
            .await
            .expect("the inbox takes it")
    }

    /// A request with these columns and values (SQL); returns its id.
    pub(crate) async fn insert_row(&mut self, columns: &str, values: &str) -> i64 {
        let sql = AssertSqlSafe(format!("insert into inbox ({columns}) values ({values}) returning id"));
        sqlx::query_scalar(sql).fetch_one(&mut self.user).await.expect("the inbox takes it")
    }

    /// Changes the state directly.
    pub(crate) async fn meddle(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut self.state).await?;
        Ok(done.rows_affected())
    }

    // ---- what became of it -----------------------------------------------------------------

    pub(crate) async fn all<T>(&mut self, sql: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.state).await.expect("readable")
    }

    pub(crate) async fn one<T>(&mut self, sql: &str) -> T
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.state).await.expect("one row")
    }

    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        self.one::<(i64,)>(sql).await.0
    }

    /// Outcomes of a request by contact.
    pub(crate) async fn outcomes(&mut self, request_id: i64) -> BTreeMap<String, String> {
        let sql =
            format!("select personnel_id, outcome from contact_outcomes where request_id = {request_id}");
        self.all::<(String, String)>(&sql).await.into_iter().collect()
    }

    /// Outcome and source of one contact of a request.
    pub(crate) async fn outcome(&mut self, request_id: i64, id: &str) -> (String, Option<String>) {
        self.one(&format!(
            "select outcome, source from contact_outcomes where request_id = {request_id} and personnel_id = '{id}'"
        ))
        .await
    }

    /// Status and reason of an inbox row.
    pub(crate) async fn inbox(&mut self, id: i64) -> (String, Option<String>) {
        let sql = AssertSqlSafe(format!("select status, reason from inbox where id = {id}"));
        sqlx::query_as(sql).fetch_one(&mut self.user).await.expect("the row")
    }

    pub(crate) async fn status(&mut self, id: i64) -> String {
        self.inbox(id).await.0
    }

    /// State and reason of a job.
    pub(crate) async fn job(&mut self, id: i64) -> (String, Option<String>) {
        self.one(&format!("select state, state_reason from jobs where id = {id}")).await
    }

    pub(crate) async fn job_state(&mut self, id: i64) -> String {
        let (state, reason) = self.job(id).await;
        reason.map_or(state.clone(), |reason| format!("{state} ({reason})"))
    }

    /// The events of a job's timeline.
    pub(crate) async fn timeline(&mut self, job_id: i64) -> Vec<String> {
        let sql = format!("select event from request_events where job_id = {job_id} order by id");
        self.all::<(String,)>(&sql).await.into_iter().map(|(event,)| event).collect()
    }

    pub(crate) async fn verdicts(&mut self) -> Vec<(i64, String)> {
        self.all("select coalesce(spent, -1), verdict from credit_audit order by closed_at").await
    }

    /// Scripts trouble, as `--fault` does.
    pub(crate) fn fault(&self, text: &str) {
        self.sandbox.inject(text.parse::<Fault>().expect("a fault"));
    }

    pub(crate) fn calls(&self, part_of_path: &str) -> Vec<Call> {
        self.sandbox.journal().into_iter().filter(|call| call.path.contains(part_of_path)).collect()
    }

    /// The paid POSTs for contacts.
    pub(crate) fn posts(&self) -> Vec<Call> {
        let mut calls = self.calls("/contacts/unlock");
        calls.retain(|call| call.method == "POST");
        calls
    }

    /// The contacts that a POST named.
    pub(crate) fn sent(call: &Call) -> Vec<String> {
        let ids = call.body["personnel_ids"].as_array().cloned().unwrap_or_default();
        ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect()
    }

    /// Polls, in milliseconds since the first accepted POST.
    pub(crate) fn polls(&self) -> Vec<i64> {
        let start = self.posts().iter().find(|call| call.carried_out).map(|call| call.at_ms);
        let start = start.expect("something was accepted");
        self.calls("-tasks/").iter().map(|call| call.at_ms - start).collect()
    }

    pub(crate) async fn dump(&mut self) -> String {
        type Job = (i64, String, String, i64, Option<i64>, Option<String>);
        let jobs: Vec<Job> = self
            .all("select id, state, coalesce(state_reason, ''), contacts, coalesce(next_poll_at, due_at), evidence from jobs")
            .await;
        let items: Vec<(i64, String, String, i64)> = self
            .all("select request_id, state, outcome, count(*) from items group by 1, 2, 3 order by 1, 2, 3")
            .await;
        let inbox: Vec<(i64, String, Option<String>)> =
            sqlx::query_as("select id, status, reason from inbox")
                .fetch_all(&mut self.user)
                .await
                .expect("readable");
        let calls = self.sandbox.journal();
        let last: Vec<_> = calls
            .iter()
            .rev()
            .take(12)
            .map(|call| format!("{} {} -> {:?} {:?}", call.method, call.path, call.status, call.fault))
            .collect();
        format!(
            "now {}\ninbox {inbox:?}\njobs {jobs:?}\nitems {items:?}\n{} calls, newest first:\n{}",
            self.clock.now().0,
            calls.len(),
            last.join("\n")
        )
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        assert!(self.checked || std::thread::panicking(), "a test must end with town.check()");
    }
}

fn load(dir: &TempDir, env: &BTreeMap<String, String>) -> Config {
    let inputs = Inputs {
        env: env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        cwd: dir.path().to_owned(),
        system_file: dir.path().join("no-such-file.toml"),
        ..Inputs::default()
    };
    config::load(&inputs).unwrap_or_else(|error| panic!("{error}"))
}

async fn live(config: &Config, clock: &Clock) -> Life {
    let store = Store::open(&config.database, config.inbox.database.as_deref()).await.expect("opens");
    let lease = lease::try_take(&store, clock.now()).await.expect("readable").expect("nobody else has it");
    let deps = Deps::new(store, clock.clone(), lease.token, Arc::new(config.clone())).await.expect("set up");
    Life { deps: Arc::new(deps), _lease: lease }
}

async fn connect(path: PathBuf) -> SqliteConnection {
    // What a test says itself is none of the worker's business.
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
    SqliteConnection::connect_with(&options).await.expect("opens")
}

/// `count` ids that will be delivered, from `from` on.
pub(crate) fn good_ids(from: u64, count: usize) -> Vec<String> {
    (from..).filter(|id| id % 100 < 90).take(count).map(|id| id.to_string()).collect()
}

pub(crate) fn refs(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}
