//! One seed: a vendor, a database, a worker that crashes at times, and everybody around them.
//!
//! All random choices come from one generator, and one thing happens at a time, so a seed determines a whole
//! history. First chaos, then calm: the faults end, a person makes the open decisions, and everything must
//! finish.

use std::path::PathBuf;
use std::rc::Rc;

use fastrand::Rng;
use unlockd::api::Client;
use unlockd::clock::Clock;
use unlockd::domain::Millis;
use unlockd::sandbox;
use unlockd::store::StoreError;
use unlockd::store::lease;

use crate::calls::Calls;
use crate::crash::{self, Blow, Crash};
use crate::db::Db;
use crate::invariants::{Checked, none, what_is_under_way_is_held};
use crate::life::{INTAKE, Life, Progress, name};
use crate::profile::Profile;
use crate::seeds::History;
use crate::server::Server;
use crate::setup::{client, configure, empty_database, live, others, place_in, second, vendor};
use crate::trace::Trace;
use crate::world::World;

/// 2026-03-01 23:30 UTC: a day ends in most runs.
pub(crate) const START_MS: i64 = 1_772_407_800_000;
pub(crate) const APPROVE_ABOVE: i64 = 90;

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) life: Life,
    /// A worker that was stopped and replaced, and may wake up again.
    pub(crate) replaced: Option<Life>,
    client: Client,
    crash: Crash,
    lives: u32,
    copies: u32,
    home: PathBuf,
    folder: PathBuf,
    /// Where the files go at the next crash.
    next: PathBuf,
}

impl History for Run {
    const TEST: &str = "every_seed";

    async fn new(seed: u64, home: PathBuf, loud: bool) -> Run {
        let mut rng = Rng::with_seed(seed);
        fastrand::seed(rng.u64(..));
        let clock = Clock::test_at(Millis(START_MS));
        let server = Server::start().await.map(Rc::new);
        let profile = Profile::choose(&mut rng, server.is_some());
        let sandbox = sandbox::without_socket(vendor(&mut rng));
        // All accounts are one owner's.
        let calls = Calls::new(clock.clone(), vec![0; profile.accounts]);
        let folder = home.join("0");
        empty_database(&folder);
        let mut config = configure(&mut rng, &folder, &profile, &second(&profile));
        if let Some(server) = &server {
            config.database = server.url().into();
        }
        let client = client(&config, &calls);
        let crash = Crash::watch();
        let mut trace = Trace::new(loud);
        trace.say(0, || format!("seed {seed}: {profile:?}"));
        let world = World::new(rng, profile, (clock, sandbox, calls), trace, config, server).await;
        let life = live(&world.config, &world.clock, &client, 1)
            .await
            .expect("it starts")
            .expect("nobody else has it");
        let mut run = Run {
            world,
            life,
            replaced: None,
            client,
            crash,
            lives: 1,
            copies: 0,
            next: home.clone(),
            home,
            folder,
        };
        run.plan_crash();
        run
    }

    async fn live(&mut self) -> Checked {
        self.chaos().await?;
        self.calm().await?;
        self.world.check().await
    }

    fn world(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Run {
    fn plan_crash(&mut self) {
        let within = [12, 60, 250][self.world.rng.usize(..3)];
        let left = (self.world.profile.crashes > 0).then(|| self.world.rng.u64(..within));
        self.world.profile.crashes = self.world.profile.crashes.saturating_sub(1);
        self.copies += 1;
        self.next = self.home.join(self.copies.to_string());
        let (server, from, to) = (self.world.server.clone(), self.folder.clone(), self.next.clone());
        self.crash.plan(left, move || {
            crash::cut(server.as_deref(), &from, &to);
            Blow::Kills
        });
    }

    pub(crate) fn no_more_crashes(&mut self) {
        self.world.profile.crashes = 0;
        self.crash.plan(None, || Blow::Kills);
    }

    /// Runs one pass until it waits.
    pub(crate) async fn advance(&mut self, pass: usize) -> Checked {
        self.crash.arm(true);
        let progress = self.life.advance(pass, &self.world.calls, &self.crash).await;
        self.crash.arm(false);
        match progress {
            Progress::Waits => self.world.say(|| format!("{} waits for an answer", name(pass))),
            Progress::Crashed => return self.restart_from_copy().await,
            Progress::Frozen => unreachable!("no plan stops this worker"),
            Progress::Ended(Ok(report)) => {
                match report.did {
                    0 => self.world.trace.note(self.world.clock.now().0, &name(pass)),
                    did => self.world.say(|| format!("{} did {did}", name(pass))),
                }
                let noticed = pass == INTAKE && std::mem::take(&mut self.world.outside_wrote);
                if report.did > 0 || noticed {
                    self.life.wake();
                }
            }
            Progress::Ended(Err(StoreError::Stale { what })) => {
                self.world.say(|| format!("{} was late: {what}", name(pass)));
                self.life.wake();
            }
            Progress::Ended(Err(error)) => {
                let found = [format!("{}: {error:?}", name(pass))];
                return none("no pass fails for a reason of its own", &found);
            }
        }
        Ok(())
    }

    /// Runs one pass of the replaced worker. It may find out that it was replaced, and then it ends.
    pub(crate) async fn advance_replaced(&mut self) -> Checked {
        let Some(mut life) = self.replaced.take() else { return Ok(()) };
        let runnable = life.runnable(self.world.clock.now());
        let Some(pass) = runnable.get(self.world.rng.usize(..runnable.len().max(1))) else {
            self.replaced = Some(life);
            return Ok(());
        };
        let progress = life.advance_unrecorded(*pass, &self.world.calls, &Crash::default()).await;
        match progress {
            Progress::Ended(Err(error @ (StoreError::Fenced | StoreError::Stopped))) => {
                self.world.say(|| format!("replaced worker, {}: {error}; it ends", name(*pass)));
                drop(life);
                self.world.calls.bury();
            }
            Progress::Ended(Err(error)) if !matches!(error, StoreError::Stale { .. }) => {
                return none(
                    "no pass fails for a reason of its own",
                    &[format!("replaced worker: {error:?}")],
                );
            }
            Progress::Ended(result) => {
                self.world.say(|| format!("replaced worker, {}: {result:?}", name(*pass)));
                if result.is_ok_and(|report| report.did > 0) {
                    life.wake();
                }
                self.replaced = Some(life);
            }
            Progress::Waits | Progress::Crashed | Progress::Frozen => {
                self.world.say(|| format!("replaced worker, {} waits", name(*pass)));
                self.replaced = Some(life);
            }
        }
        Ok(())
    }

    /// `kill -9`, and another worker on the files as they were at that moment.
    pub(crate) async fn kill(&mut self) -> Checked {
        crash::cut(self.world.server.as_deref(), &self.folder, &self.next);
        self.world.say(|| "killed".to_owned());
        self.start_from_copy().await
    }

    async fn restart_from_copy(&mut self) -> Checked {
        let place = self.crash.happened().expect("it crashed");
        self.world.say(|| format!("crash at {place:?}"));
        self.start_from_copy().await
    }

    async fn start_from_copy(&mut self) -> Checked {
        self.life.give_up(&self.world.calls);
        self.life.unlock();
        loop {
            self.lives += 1;
            self.folder = self.next.clone();
            // A worker that was stopped dies with the machine.
            self.replaced = None;
            if self.world.server.is_none() {
                place_in(&mut self.world.config, &self.folder, self.world.profile.inbox_apart);
            }
            what_is_under_way_is_held(&mut Db::connect(&self.world.config.database).await).await?;
            self.plan_crash();
            if let Some(life) = self.start().await {
                self.life = life;
            }
            self.world.calls.bury();
            (self.world.outside, self.world.user, self.world.state) = others(&self.world.config).await;
            let Some(place) = self.crash.happened() else { break };
            self.world.say(|| format!("crash at {place:?} while it starts"));
        }
        self.world.say(|| "started again".to_owned());
        Ok(())
    }

    /// A worker starts as soon as it is allowed to: within the promised 30 s. `None`: it crashed at once.
    async fn start(&mut self) -> Option<Life> {
        for _ in 0..7 {
            self.crash.arm(true);
            let life = live(&self.world.config, &self.world.clock, &self.client, self.lives).await;
            self.crash.arm(false);
            match life {
                Ok(Some(life)) => return Some(life),
                Ok(None) => self.world.pass(5_000),
                Err(_) if self.crash.happened().is_some() => return None,
                Err(error) => panic!("a worker does not start: {error:?}"),
            }
        }
        panic!("a worker did not take over within 30 s")
    }

    /// The worker is stopped for a while, and another one takes over.
    pub(crate) async fn replace(&mut self) -> Checked {
        let longer = self.world.rng.i64(0..20_000);
        self.world.pass(lease::EXPIRES_AFTER_MS + longer);
        self.lives += 1;
        let Some(life) = self.start().await else {
            // All that were running have died with it, as on a machine of their own.
            return self.restart_from_copy().await;
        };
        self.life.give_up(&self.world.calls);
        self.replaced = Some(std::mem::replace(&mut self.life, life));
        self.world.say(|| "stopped, and replaced by another worker".to_owned());
        Ok(())
    }
}
