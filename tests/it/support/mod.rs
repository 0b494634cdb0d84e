//! Town: one database, one sandbox, one worker, and a clock that moves only on command.
//!
//! A test writes the inbox as a user's program would (plain SQL, on its own connection), lets time pass with
//! [`Town::tick`] or [`Town::finish`], and checks the result. Passes run through `driver::step`. Time jumps
//! to the moment that a pass names, so a pass that forgets to name one makes its test hang. [`Town::restart`]
//! acts like `kill -9`: nothing is closed properly.
//!
//! Every test ends with [`Town::check`], the shared check of the invariants; a town that is dropped without
//! it fails its test.

pub(crate) mod capture;
mod check;
mod crash;
#[path = "../../shared/invariants.rs"]
mod invariants;
mod look;
pub(crate) mod receiver;
pub(crate) mod relay;
mod user;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use unlockd::clock::Clock;
use unlockd::config::{self, Config, Inputs};
use unlockd::domain::Millis;
use unlockd::sandbox::{self, Options, Sandbox, Time};
use unlockd::store::Store;
use unlockd::store::lease::{self, Lease};
use unlockd::worker::doubt::verify;
use unlockd::worker::run::driver::{self, End};
use unlockd::worker::run::idle;
use unlockd::worker::{Deps, poll, profile, settle, submit};

use crate::db::Db;
use crate::postgres::{self, Database};
use invariants::Allowed;
use relay::{Exchange, Relay};

/// More steps without a pause are a loop.
const MOST_STEPS: usize = 3_000;
/// More jumps of the clock in one go are a loop, too.
const MOST_JUMPS: usize = 3_000;

/// How a town is set up.
pub(crate) struct Setup {
    pub(crate) sandbox: Options,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) inbox_apart: bool,
    pub(crate) recorded: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        let sandbox = Options { time: Time::Manual, balance: 100_000, ..Options::default() };
        let env = [("LENSMOR_API_KEY", "uak_test_1"), ("UNLOCKD_CREDITS__APPROVE_ABOVE", "100000")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Setup { sandbox, env, inbox_apart: false, recorded: false }
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

    /// Writes down what goes over the wire: [`Town::exchanges`].
    pub(crate) fn recorded(mut self) -> Setup {
        self.recorded = true;
        self
    }

    pub(crate) async fn build(self) -> Town {
        Town::build(self).await
    }
}

/// The worker's process, as far as tests need one.
pub(crate) struct Life {
    pub(crate) deps: Arc<Deps>,
    // Kept, since the lock on the file lasts as long as this.
    _lease: Lease,
}

pub(crate) struct Town {
    pub(crate) dir: TempDir,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    pub(crate) allowed: Allowed,
    life: Option<Life>,
    env: BTreeMap<String, String>,
    user: Db,
    state: Db,
    relay: Option<Relay>,
    /// A database of its own on a PostgreSQL server, when the suite runs on that engine.
    server: Option<Database>,
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
        let server = postgres::if_chosen().await;
        let database = match &server {
            Some(server) => PathBuf::from(server.url()),
            None => dir.path().join("unlockd.db"),
        };
        env.insert("UNLOCKD_DATABASE".into(), database.display().to_string());
        // The server of the tests has no standby.
        env.entry("UNLOCKD_POSTGRES__DURABILITY".into()).or_insert_with(|| "single".into());
        let relay = match setup.recorded {
            true => Some(Relay::start(sandbox.base_url()).await),
            false => None,
        };
        let base_url = relay.as_ref().map_or_else(|| sandbox.base_url(), |relay| relay.base_url.clone());
        env.insert("UNLOCKD_API__BASE_URL".into(), base_url);
        if setup.inbox_apart && server.is_none() {
            env.insert("UNLOCKD_INBOX__DATABASE".into(), dir.path().join("inbox.db").display().to_string());
        }
        let clock = Clock::test();
        let config = load(&dir, &env);
        let life = live(&config, &clock).await;
        let inbox = config.inbox.database.clone().unwrap_or_else(|| config.database.clone());
        let (user, state) = (connect(inbox).await, connect(config.database.clone()).await);
        let allowed = Allowed::default();
        Town {
            dir,
            sandbox,
            clock,
            allowed,
            life: Some(life),
            env,
            user,
            state,
            relay,
            server,
            checked: false,
        }
    }

    pub(crate) fn deps(&self) -> &Arc<Deps> {
        &self.life.as_ref().expect("the worker lives").deps
    }

    pub(crate) fn store(&self) -> &Store {
        &self.deps().store
    }

    /// Changes the API's answers from now on; the town was built with [`Setup::recorded`].
    pub(crate) fn change(&self, change: impl FnMut(&Exchange) -> Option<relay::Altered> + Send + 'static) {
        self.relay.as_ref().expect("a recorded town").change(change);
    }

    /// What went over the wire so far; the town was built with [`Setup::recorded`].
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.relay.as_ref().expect("a recorded town").exchanges()
    }

    pub(crate) fn database(&self) -> PathBuf {
        match &self.server {
            Some(server) => server.url().into(),
            None => self.dir.path().join("unlockd.db"),
        }
    }

    /// The user's program opens the inbox again: another file has its name.
    pub(crate) async fn connect_user_again(&mut self) {
        self.user = connect(self.store().inbox_path().to_owned()).await;
    }

    // ---- the worker ------------------------------------------------------------------------

    /// Another configuration takes effect, as after SIGHUP.
    pub(crate) async fn configure(&mut self, name: &str, value: &str) {
        let name = if name == "LENSMOR_API_KEY" { name.to_owned() } else { format!("UNLOCKD_{name}") };
        self.env.insert(name, value.to_owned());
        let config = Arc::new(load(&self.dir, &self.env));
        self.deps().reconfigure(config).await.expect("reconfigured");
    }

    /// Another configuration from the next start on.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(format!("UNLOCKD_{name}"), value.to_owned());
    }

    /// Removes a configuration key; see [`Town::configure`] and [`Town::start`] for when that counts.
    pub(crate) fn unset_env(&mut self, name: &str) {
        self.env.remove(&format!("UNLOCKD_{name}"));
    }

    /// `kill -9`, whatever the worker is doing.
    pub(crate) fn kill(&mut self) {
        self.life = None;
    }

    /// Starts a worker with the files on disk.
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

    /// Runs every pass until none has anything left to do now.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..MOST_STEPS {
            if driver::step(self.deps()).await.expect("the database is well") == 0 {
                return;
            }
        }
        panic!("does not come to rest:\n{}", self.dump().await);
    }

    /// Runs the passes one by one until a call was made.
    pub(crate) async fn step_until_called(&mut self, part_of_path: &str) {
        let (deps, account) = (self.deps().clone(), self.deps().accounts().remove(0));
        for _ in 0..MOST_STEPS {
            if !self.calls(part_of_path).is_empty() {
                return;
            }
            unlockd::worker::intake::run(&deps).await.expect("the database is well");
            submit::run(&deps, &account).await.expect("the database is well");
        }
        panic!("{part_of_path} is never called");
    }

    /// Polls one step at most `polls` times and then drops it. Returns whether it ended.
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

    /// When the passes want to run again.
    pub(crate) async fn next_due(&mut self) -> Option<Millis> {
        let mut due = None;
        let deps = self.deps().clone();
        for account in deps.accounts() {
            let reports = [
                submit::run(&deps, &account).await,
                poll::run(&deps, &account).await,
                verify::run(&deps, &account).await,
                profile::run(&deps, &account).await,
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

    /// Lets time pass, and stops whenever a pass has something to do.
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

    /// Lets time pass until nothing is left to do, or everything left waits for a person.
    pub(crate) async fn finish(&mut self) -> End {
        for _ in 0..MOST_JUMPS {
            self.settle().await;
            if let Some(end) = idle::idle(self.deps()).await.expect("readable") {
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

    /// [`Town::finish`], where nothing waits for a person.
    pub(crate) async fn finish_all(&mut self) {
        let end = self.finish().await;
        assert_eq!(end, End::Idle, "{}", self.dump().await);
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

/// Whether the suite runs on PostgreSQL: `UNLOCKD_TEST_ENGINE=postgres`. A test that is about files of SQLite, or about
/// its words, then ends at once.
pub(crate) fn is_on_postgres() -> bool {
    postgres::is_chosen()
}

pub(crate) async fn connect(place: PathBuf) -> Db {
    Db::connect(&place).await
}

/// `count` ids that will be delivered, from `from` on.
pub(crate) fn good_ids(from: u64, count: usize) -> Vec<String> {
    (from..).filter(|id| id % 100 < 90).take(count).map(|id| id.to_string()).collect()
}

pub(crate) fn refs(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}
