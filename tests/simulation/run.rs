//! One seed: a vendor, a database, a worker that crashes at times, and everybody around them.
//!
//! All random choices come from one generator, and one thing happens at a time, so a seed determines a whole
//! history. First chaos, then calm: the faults end, a person makes the open decisions, and everything must
//! finish.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use unlockd::api::{Client, Settings};
use unlockd::clock::Clock;
use unlockd::config::Config;
use unlockd::domain::Millis;
use unlockd::sandbox::{self, Sandbox};
use unlockd::store::lease;
use unlockd::store::{Store, StoreError};

use crate::calls::Calls;
use crate::crash::{self, Crash};
use crate::db::Db;
use crate::invariants::{Allowed, Checked, none, what_is_under_way_is_held};
use crate::life::{INTAKE, Life, PASSES, Progress};
use crate::profile::Profile;
use crate::server::Server;
use crate::setup::{configure, empty_database, live, others, place_in, vendor};
use crate::trace::Trace;

/// 2026-03-01 23:30 UTC: a day ends in most runs.
pub(crate) const START_MS: i64 = 1_772_407_800_000;
pub(crate) const APPROVE_ABOVE: i64 = 90;

pub(crate) struct Run {
    pub(crate) rng: Rng,
    pub(crate) profile: Profile,
    pub(crate) clock: Clock,
    pub(crate) sandbox: Sandbox,
    pub(crate) calls: Calls,
    pub(crate) trace: Trace,
    pub(crate) allowed: Allowed,
    pub(crate) life: Life,
    /// A worker that was stopped and replaced, and may wake up again.
    pub(crate) replaced: Option<Life>,
    /// Other programs: they write like the command line, and like a user's program.
    pub(crate) outside: Store,
    pub(crate) user: Db,
    /// Who looks at the rows of the worker.
    pub(crate) state: Db,
    /// Rows were changed from outside, which intake has not noticed yet.
    pub(crate) outside_wrote: bool,
    pub(crate) config: Config,
    client: Client,
    crash: Crash,
    lives: u32,
    copies: u32,
    home: PathBuf,
    folder: PathBuf,
    /// The database, when the suite runs on PostgreSQL.
    server: Option<Rc<Server>>,
    /// Where the files go at the next crash.
    next: PathBuf,
}

impl Run {
    /// Sets everything up; `home` is this seed's own folder.
    pub(crate) async fn new(seed: u64, home: PathBuf, loud: bool) -> Run {
        let mut rng = Rng::with_seed(seed);
        fastrand::seed(rng.u64(..));
        let clock = Clock::test_at(Millis(START_MS));
        let server = Server::start().await.map(Rc::new);
        let profile = Profile::choose(&mut rng, server.is_some());
        let sandbox = sandbox::without_socket(vendor(&mut rng));
        let calls = Calls::new(clock.clone());
        let folder = home.join("0");
        empty_database(&folder);
        let mut config = configure(&mut rng, &folder, &profile);
        if let Some(server) = &server {
            config.database = server.url().into();
        }
        let settings = Settings {
            base_url: config.api.base_url.clone(),
            call_source: "api",
            timeout: config.api.timeout,
            proxy: None,
        };
        let client = Client::new(&settings).expect("a client").over(Arc::new(calls.clone()));
        let crash = Crash::watch(server.clone());
        let (outside, user, state) = others(&config).await;
        let life = live(&config, &clock, &client, 1).await.expect("it starts").expect("nobody else has it");
        let mut trace = Trace::new(loud);
        trace.say(0, || format!("seed {seed}: {profile:?}"));
        let mut run = Run {
            rng,
            profile,
            clock,
            sandbox,
            calls,
            trace,
            // A call that takes long may arrive in the vendor's next window.
            allowed: Allowed { turned_away: true, ..Allowed::default() },
            life,
            replaced: None,
            outside,
            user,
            state,
            outside_wrote: false,
            config,
            client,
            crash,
            lives: 1,
            copies: 0,
            next: home.clone(),
            home,
            folder,
            server,
        };
        run.plan_crash();
        run
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let at = self.clock.now().0 - START_MS;
        self.trace.say(at, what);
    }

    /// Time passes for everybody.
    pub(crate) fn pass(&mut self, ms: i64) {
        let by = Duration::from_millis(ms.max(0).unsigned_abs());
        self.clock.advance(by);
        self.sandbox.advance(by);
        if let Some(server) = &self.server {
            server.set_clock(self.now());
        }
    }

    fn plan_crash(&mut self) {
        let within = [12, 60, 250][self.rng.usize(..3)];
        let left = (self.profile.crashes > 0).then(|| self.rng.u64(..within));
        self.profile.crashes = self.profile.crashes.saturating_sub(1);
        self.copies += 1;
        self.next = self.home.join(self.copies.to_string());
        self.crash.plan(left, &self.folder, &self.next);
    }

    pub(crate) fn no_more_crashes(&mut self) {
        self.profile.crashes = 0;
        self.crash.plan(None, &self.folder, &self.folder);
    }

    /// Runs one pass until it waits.
    pub(crate) async fn advance(&mut self, pass: usize) -> Checked {
        self.crash.arm(true);
        let progress = self.life.advance(pass, &self.calls, &self.crash).await;
        self.crash.arm(false);
        match progress {
            Progress::Waits => self.say(|| format!("{} waits for an answer", PASSES[pass])),
            Progress::Crashed => return self.restart_from_copy().await,
            Progress::Ended(Ok(report)) => {
                match report.did {
                    0 => self.trace.note(self.clock.now().0, PASSES[pass]),
                    did => self.say(|| format!("{} did {did}", PASSES[pass])),
                }
                let noticed = pass == INTAKE && std::mem::take(&mut self.outside_wrote);
                if report.did > 0 || noticed {
                    self.life.wake();
                }
            }
            Progress::Ended(Err(StoreError::Stale { what })) => {
                self.say(|| format!("{} was late: {what}", PASSES[pass]));
                self.life.wake();
            }
            Progress::Ended(Err(error)) => {
                let found = [format!("{}: {error:?}", PASSES[pass])];
                return none("no pass fails for a reason of its own", &found);
            }
        }
        Ok(())
    }

    /// Runs one pass of the replaced worker. It may find out that it was replaced, and then it ends.
    pub(crate) async fn advance_replaced(&mut self) -> Checked {
        let Some(mut life) = self.replaced.take() else { return Ok(()) };
        let runnable = life.runnable(self.clock.now());
        let Some(pass) = runnable.get(self.rng.usize(..runnable.len().max(1))) else {
            self.replaced = Some(life);
            return Ok(());
        };
        let progress = life.advance(*pass, &self.calls, &Crash::default()).await;
        match progress {
            Progress::Ended(Err(error @ (StoreError::Fenced | StoreError::Stopped))) => {
                self.say(|| format!("replaced worker, {}: {error}; it ends", PASSES[*pass]));
                drop(life);
                self.calls.bury();
            }
            Progress::Ended(Err(error)) if !matches!(error, StoreError::Stale { .. }) => {
                return none(
                    "no pass fails for a reason of its own",
                    &[format!("replaced worker: {error:?}")],
                );
            }
            Progress::Ended(result) => {
                self.say(|| format!("replaced worker, {}: {result:?}", PASSES[*pass]));
                if result.is_ok_and(|report| report.did > 0) {
                    life.wake();
                }
                self.replaced = Some(life);
            }
            Progress::Waits | Progress::Crashed => {
                self.say(|| format!("replaced worker, {} waits", PASSES[*pass]));
                self.replaced = Some(life);
            }
        }
        Ok(())
    }

    /// `kill -9`, and another worker on the files as they were at that moment.
    pub(crate) async fn kill(&mut self) -> Checked {
        crash::cut(self.server.as_deref(), &self.folder, &self.next);
        self.say(|| "killed".to_owned());
        self.start_from_copy().await
    }

    async fn restart_from_copy(&mut self) -> Checked {
        let place = self.crash.happened().expect("it crashed");
        self.say(|| format!("crash at {place:?}"));
        self.start_from_copy().await
    }

    async fn start_from_copy(&mut self) -> Checked {
        self.life.give_up(&self.calls);
        self.life.unlock();
        loop {
            self.lives += 1;
            self.folder = self.next.clone();
            // A worker that was stopped dies with the machine.
            self.replaced = None;
            if self.server.is_none() {
                place_in(&mut self.config, &self.folder, self.profile.inbox_apart);
            }
            what_is_under_way_is_held(&mut Db::connect(&self.config.database).await).await?;
            self.plan_crash();
            if let Some(life) = self.start().await {
                self.life = life;
            }
            self.calls.bury();
            (self.outside, self.user, self.state) = others(&self.config).await;
            let Some(place) = self.crash.happened() else { break };
            self.say(|| format!("crash at {place:?} while it starts"));
        }
        self.say(|| "started again".to_owned());
        Ok(())
    }

    /// A worker starts as soon as it is allowed to: within the promised 30 s. `None`: it crashed at once.
    async fn start(&mut self) -> Option<Life> {
        for _ in 0..7 {
            self.crash.arm(true);
            let life = live(&self.config, &self.clock, &self.client, self.lives).await;
            self.crash.arm(false);
            match life {
                Ok(Some(life)) => return Some(life),
                Ok(None) => self.pass(5_000),
                Err(_) if self.crash.happened().is_some() => return None,
                Err(error) => panic!("a worker does not start: {error:?}"),
            }
        }
        panic!("a worker did not take over within 30 s")
    }

    /// The worker is stopped for a while, and another one takes over.
    pub(crate) async fn replace(&mut self) -> Checked {
        let longer = self.rng.i64(0..20_000);
        self.pass(lease::EXPIRES_AFTER_MS + longer);
        self.lives += 1;
        let Some(life) = self.start().await else {
            // All that were running have died with it, as on a machine of their own.
            return self.restart_from_copy().await;
        };
        self.life.give_up(&self.calls);
        self.replaced = Some(std::mem::replace(&mut self.life, life));
        self.say(|| "stopped, and replaced by another worker".to_owned());
        Ok(())
    }
}
