//! A host, and the worker that runs on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use unlockd::api::Client;
use unlockd::clock::Clock;
use unlockd::config::Config;
use unlockd::domain::{AccountId, Millis, pacing};
use unlockd::store::lease::{self, Terms};
use unlockd::store::postgres::members::HOUSEKEEPING;
use unlockd::store::{Store, StoreError, accounts};
use unlockd::worker::run::driver;
use unlockd::worker::run::members::{Leases, renew_every_ms};
use unlockd::worker::run::signals::Signals;
use unlockd::worker::{Deps, durability, submit};

use crate::calls::Calls;
use crate::hosts::door::Door;
use crate::life::{HOUSE, Life, passes_of};
use crate::run::START_MS;

/// A machine. All its times are the simulation's true ones.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) number: usize,
    /// Its own: what it shows is off by so much at the start of each process.
    pub(crate) clock: Clock,
    skew_ms: i64,
    pub(super) door: Door,
    pub(super) config: Config,
    pub(super) worker: Option<Worker>,
    /// When a process is started again.
    pub(super) starts_at: i64,
    /// Until when it is cut off from the database, and from the API; its processes stand still; its lease is not looked after.
    pub(super) no_database_until: Option<i64>,
    pub(super) no_api_until: Option<i64>,
    pub(super) frozen_until: Option<i64>,
    pub(super) stuck_until: Option<i64>,
    /// Since when none of that keeps its worker from looking after its leases.
    pub(super) well_since: i64,
}

/// A process of a worker, with what its driver would keep.
pub(super) struct Worker {
    pub(super) life: Life,
    leases: Leases,
    signals: Signals,
    /// What it serves, owner by owner.
    parts: BTreeMap<String, Part>,
    /// When the leases are looked after next.
    pub(super) look_at: i64,
    /// By then it has ended: what still runs is cut off.
    pub(super) stops_by: Option<i64>,
    /// It ends with an error.
    pub(super) has_failed: bool,
    /// The leases cannot be looked after any more.
    cannot_look: bool,
    /// It was stopped, cut off or stuck: it may find that it was replaced.
    pub(super) was_stalled: bool,
    /// It was cut off from the database: it may find that its connections are gone.
    pub(super) was_cut: bool,
    /// Somebody has written what it may have to look at.
    pub(super) is_notified: bool,
}

struct Part {
    passes: BTreeSet<usize>,
    is_ending: bool,
}

impl Host {
    pub(super) fn new(number: usize, skew_ms: i64, door: Door, config: &Config) -> Host {
        let name = format!("h{number}");
        let mut config = config.clone();
        config.database = door.url().into();
        config.fleet.host = Some(name.clone());
        Host {
            name,
            number,
            clock: Clock::test_at(Millis(START_MS + skew_ms)),
            skew_ms,
            door,
            config,
            worker: None,
            starts_at: START_MS,
            no_database_until: None,
            no_api_until: None,
            frozen_until: None,
            stuck_until: None,
            well_since: START_MS,
        }
    }

    /// Whether its worker has begun this pass, and not ended it.
    pub(super) fn is_in(&self, pass: usize) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.life.is_running(pass))
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.worker.as_ref().is_some_and(Worker::is_stopping)
    }

    /// The number of its worker's life.
    pub(super) fn life(&self) -> Option<u32> {
        self.worker.as_ref().map(|worker| worker.life.number)
    }

    /// Starts a process, as `unlockd run` does.
    pub(super) async fn start(&mut self, life: u32, client: &Client, now: i64) -> Result<(), String> {
        self.clock = Clock::test_at(Millis(now + self.skew_ms));
        let text = |error: StoreError| error.to_string();
        let store = Store::open_with(&self.config.database, None, 1).await.map_err(text)?;
        let lease_ms = pacing::duration_ms(self.config.fleet.lease);
        let terms = Terms { host: self.name.clone(), lease_ms };
        let lease = lease::try_join(&store, &terms, self.clock.now()).await.map_err(text)?;
        let lease = lease.map_err(|held| format!("{held:?}"))?;
        assert!(!lease.restored, "nothing was lost");
        let read = lease::read(&store).await.map_err(text)?;
        self.clock.refer(read.clock(self.clock.now()));
        let (clock, config) = (self.clock.clone(), Arc::new(self.config.clone()));
        let deps = Deps::with_client(store, clock, lease.token, config, client.clone()).await;
        let deps = Arc::new(deps.map_err(|error| error.to_string())?);
        durability::at_start(&deps).await.map_err(text)?;
        lease.note(&deps.store).await.map_err(text)?;
        self.well_since = self.well_since.max(now);
        let mut life = Life::new(life, deps, lease);
        life.serve(BTreeSet::new());
        self.worker = Some(Worker {
            life,
            leases: Leases::default(),
            signals: Signals::default(),
            parts: BTreeMap::new(),
            look_at: now,
            stops_by: None,
            has_failed: false,
            cannot_look: false,
            was_stalled: false,
            was_cut: false,
            is_notified: false,
        });
        Ok(())
    }

    /// What its process did is not recorded any more.
    pub(super) fn end(&mut self, calls: &Calls, starts_at: i64) {
        if let Some(worker) = self.worker.take() {
            worker.life.give_up(calls);
        }
        calls.bury();
        self.frozen_until = None;
        self.stuck_until = None;
        self.starts_at = starts_at;
    }
}

impl Worker {
    /// Renews the leases when it is time, takes owners and gives some back.
    pub(super) async fn look(&mut self, now: i64) -> Result<(), StoreError> {
        let deps = self.life.deps.clone();
        let config = deps.config();
        let (lease_ms, timeout_ms) =
            (pacing::duration_ms(config.fleet.lease), pacing::duration_ms(config.api.timeout));
        self.look_at = now + renew_every_ms(lease_ms, timeout_ms);
        let Some(lease) = &mut self.life.lease else { return Ok(()) };
        let looked = self.leases.look(&deps, lease, &self.signals).await;
        self.cannot_look |= looked.is_err();
        looked
    }

    pub(super) fn looks(&self) -> bool {
        !self.cannot_look
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.signals.is_stopping()
    }

    /// Its present steps end, and it begins no other.
    pub(super) fn stop(&mut self, now: i64, has_failed: bool) {
        self.has_failed |= has_failed;
        if !self.signals.is_stopping() {
            self.signals.stop();
            self.stops_by = Some(now + pacing::duration_ms(submit::STOP_WAITS_FOR));
            self.look_at = now;
            self.life.serve(BTreeSet::new());
        }
    }

    /// Whether parts have to begin, or to end.
    pub(super) fn must_adjust(&self) -> bool {
        let wanted = self.life.deps.shares.wanted();
        let wanted = wanted.borrow();
        let stays = |owner: &String| wanted.contains_key(owner) && !self.signals.is_stopping();
        self.parts.iter().any(|(owner, part)| !stays(owner) && !part.is_ending || self.is_over(part))
            || !self.signals.is_stopping() && wanted.keys().any(|owner| !self.parts.contains_key(owner))
    }

    fn is_over(&self, part: &Part) -> bool {
        part.is_ending && !part.passes.iter().any(|pass| self.life.is_running(*pass))
    }

    /// Begins and ends parts until those run that should: what the driver does.
    pub(super) async fn adjust(&mut self, now: i64) -> Result<(), StoreError> {
        let deps = self.life.deps.clone();
        let is_stopping = self.signals.is_stopping();
        let wanted = deps.shares.wanted().borrow().clone();
        for (owner, part) in &mut self.parts {
            part.is_ending |= is_stopping || !wanted.contains_key(owner);
        }
        self.parts =
            std::mem::take(&mut self.parts).into_iter().filter(|(_, part)| !self.is_over(part)).collect();
        let owners =
            if is_stopping { BTreeMap::new() } else { accounts::owners(deps.store.readers()).await? };
        for (owner, taken) in wanted {
            if is_stopping || self.parts.contains_key(&owner) {
                continue;
            }
            let of_owner = |account: &AccountId| owners.get(account) == Some(&owner);
            let places = deps.accounts().into_iter().enumerate().filter(|(_, account)| of_owner(account));
            let (places, accounts): (Vec<usize>, BTreeSet<AccountId>) = places.unzip();
            driver::take_over(&deps, &owner, &accounts, taken).await?;
            let passes = match owner.as_str() {
                HOUSEKEEPING => HOUSE.into_iter().collect(),
                _ => places.into_iter().flat_map(passes_of).collect(),
            };
            self.parts.insert(owner, Part { passes, is_ending: false });
        }
        let going = self.parts.values().filter(|part| !part.is_ending);
        self.life.serve(going.flat_map(|part| part.passes.iter().copied()).collect());
        let served: BTreeSet<String> = self.parts.keys().cloned().collect();
        if *deps.shares.served().borrow() != served {
            deps.shares.serves(served);
            self.look_at = now;
        }
        Ok(())
    }

    /// The passes of the same owner look at their rows again, and those of the house.
    pub(super) fn wake_owner_of(&mut self, pass: usize) {
        let of_it = |part: &&Part| part.passes.contains(&pass);
        let passes = self.parts.values().find(of_it).map(|part| part.passes.clone()).unwrap_or_default();
        self.life.wake_those(passes.into_iter().chain(HOUSE));
    }

    /// How many owners it serves, the house included.
    pub(super) fn serves(&self) -> usize {
        self.parts.len()
    }

    /// Whether nothing of it runs any more.
    pub(super) fn has_ended(&self, now: i64) -> bool {
        let runs = self.parts.values().flat_map(|part| &part.passes).any(|pass| self.life.is_running(*pass));
        self.stops_by.is_some_and(|by| !runs || now >= by)
    }

    /// Its passes have ended: gives back what it holds, unless it ends with an error.
    pub(super) async fn leave(&mut self, now: i64, calls: &Calls) -> Result<(), StoreError> {
        self.life.abort(calls);
        self.parts.clear();
        let deps = self.life.deps.clone();
        deps.shares.finish();
        if self.cannot_look {
            return Ok(());
        }
        self.look(now).await?;
        match self.life.lease.take() {
            Some(lease) if !self.has_failed => lease.release(&deps.store, deps.clock.now()).await,
            _ => Ok(()),
        }
    }
}
