//! The passes that run, in parts: all of a database that this worker has alone; else one part for each owner that it
//! holds, and one for the inbox and what must be cleaned up.
//!
//! A part begins with what its last worker left, and ends when its signals say so: its passes finish their present step
//! first, so an owner whose part has ended has nothing in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::{Id, JoinSet};

use crate::clock::Clock;
use crate::domain::pacing::{self, LongestWaits};
use crate::domain::{AccountId, Millis};
use crate::store::postgres::members::{HOUSEKEEPING, Taken};
use crate::store::{Store, StoreError, accounts, ahead, clock_step, disk};
use crate::worker::doubt::unfinished;
use crate::worker::run::driver::{self, End, Pass};
use crate::worker::run::members::not_before;
use crate::worker::run::signals::Signals;
use crate::worker::{Deps, intake, notify, submit};

pub(super) type Ended = Result<Option<End>, StoreError>;

/// The passes, and which part each belongs to.
pub(super) struct Parts {
    deps: Arc<Deps>,
    signals: Signals,
    until_idle: bool,
    passes: JoinSet<Ended>,
    running: BTreeMap<String, Part>,
}

struct Part {
    signals: Signals,
    accounts: BTreeSet<AccountId>,
    passes: BTreeSet<Id>,
}

/// The one part of a database that this worker has alone.
const WHOLE: &str = "";

impl Parts {
    pub(super) fn new(deps: Arc<Deps>, signals: Signals, until_idle: bool) -> Parts {
        Parts { deps, signals, until_idle, passes: JoinSet::new(), running: BTreeMap::new() }
    }

    /// Lets calls in flight end, for a bounded time. A call that is cut off is in doubt at the next start, which
    /// is safe.
    pub(super) async fn wind_down(mut self) -> Result<(), StoreError> {
        let all = async {
            let mut first = None;
            while let Some(ended) = self.next().await {
                if let Err(error) = ended {
                    first = Some(match first {
                        Some(first) => more_telling(first, Some(error)),
                        None => error,
                    });
                }
            }
            first.map_or(Ok(()), Err)
        };
        match tokio::time::timeout(submit::STOP_WAITS_FOR, all).await {
            Ok(ended) => ended,
            Err(_) => {
                let passes = self.deps.heartbeat.running().join(", ");
                tracing::warn!(
                    passes,
                    "stopped while a call or the database had not answered; the next start looks up the effect of a \
                     call that may have been paid for"
                );
                self.abort();
                Ok(())
            }
        }
    }

    /// Ends all passes where they are.
    fn abort(&mut self) {
        self.passes.abort_all();
        self.running.clear();
        self.say_served();
    }

    /// Starts and stops passes, until those run that should.
    pub(super) async fn adjust(&mut self) -> Result<(), StoreError> {
        if !self.deps.store.ownership().is_shared() {
            self.serve_whole();
            return Ok(());
        }
        let wanted = self.deps.shares.wanted().borrow().clone();
        let owners = accounts::owners(self.deps.store.readers()).await?;
        for (owner, part) in &self.running {
            let stays = wanted.contains_key(owner) && !self.signals.is_stopping();
            // An account that has gone to another owner ends the part; it begins again without it.
            if !stays || part.accounts != of_owner(&self.deps, &owners, owner) {
                part.signals.stop();
            }
        }
        for (owner, taken) in wanted {
            if !self.running.contains_key(&owner) && !self.signals.is_stopping() {
                let accounts = of_owner(&self.deps, &owners, &owner);
                self.begin(owner, accounts, taken).await?;
            }
        }
        self.say_served();
        Ok(())
    }

    fn say_served(&self) {
        self.deps.shares.serves(self.running.keys().cloned().collect());
    }

    /// The next pass that has ended; `None`: none runs.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        let ended = self.passes.join_next_with_id().await?;
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(panic) => panic.id(),
        };
        self.running.values_mut().for_each(|part| part.passes.retain(|pass| *pass != id));
        self.running.retain(|_, part| !part.passes.is_empty());
        self.say_served();
        Some(ended.map(|(_, ended)| ended).unwrap_or_else(|panic| {
            tracing::error!(problem = %panic, "a pass panicked; stopping");
            Err(StoreError::Stopped)
        }))
    }

    /// Runs a pass of no part.
    pub(super) fn spawn(&mut self, name: &str, work: impl Future<Output = Ended> + Send + 'static) -> Id {
        self.passes.spawn(self.deps.heartbeat.clone().follow(name.to_owned(), work)).id()
    }

    /// Starts the passes that do not run yet.
    fn serve_whole(&mut self) {
        let signals = self.signals.clone();
        let mut part = self.running.remove(WHOLE).unwrap_or_else(|| {
            let mut part =
                Part { signals: signals.clone(), accounts: BTreeSet::new(), passes: BTreeSet::new() };
            self.keep_house(&mut part);
            part
        });
        for account in self.deps.accounts() {
            if part.accounts.insert(account.clone()) {
                self.serve(account, &mut part);
            }
        }
        self.running.insert(WHOLE.to_owned(), part);
    }

    /// Starts a part.
    async fn begin(
        &mut self,
        owner: String,
        accounts: BTreeSet<AccountId>,
        taken: Taken,
    ) -> Result<(), StoreError> {
        take_over(&self.deps, &owner, &accounts, taken).await?;
        let signals = self.signals.of_a_part();
        let mut part = Part { signals, accounts: accounts.clone(), passes: BTreeSet::new() };
        match owner.as_str() {
            HOUSEKEEPING => self.keep_house(&mut part),
            _ => accounts.into_iter().for_each(|account| self.serve(account, &mut part)),
        }
        // An owner without an account here has nothing to run.
        if !part.passes.is_empty() {
            self.running.insert(owner, part);
        }
        Ok(())
    }

    fn serve(&mut self, account: AccountId, part: &mut Part) {
        for pass in Pass::ALL {
            let name = format!("{} of {account}", pass.name());
            let work = driver::run_pass(self.deps.clone(), part.signals.clone(), pass, account.clone());
            part.passes.insert(self.spawn(&name, work));
        }
    }

    /// The passes that belong to no account.
    fn keep_house(&mut self, part: &mut Part) {
        let (deps, signals) = (self.deps.clone(), part.signals.clone());
        part.passes.insert(self.spawn("intake", driver::run_intake(deps.clone(), signals.clone())));
        if deps.store.ownership().is_shared() {
            let statistics = driver::run_statistics(deps.clone(), signals.clone());
            part.passes.insert(self.spawn("statistics", statistics));
        }
        if notify::is_wanted(&deps) {
            part.passes.insert(self.spawn("notify", driver::run_notify(deps.clone(), signals.clone())));
        }
        if !self.until_idle {
            part.passes.insert(self.spawn("erase", driver::run_erase(deps.clone(), signals.clone())));
            part.passes.insert(self.spawn("budget", driver::run_budget(deps, signals)));
        }
    }
}

/// The error that caused the others.
pub(super) fn more_telling(first: StoreError, second: Option<StoreError>) -> StoreError {
    match (first, second) {
        (StoreError::Stopped, Some(second)) => second,
        (first, _) => first,
    }
}

fn of_owner(deps: &Deps, owners: &BTreeMap<AccountId, String>, owner: &str) -> BTreeSet<AccountId> {
    deps.accounts().into_iter().filter(|account| owners.get(account).is_some_and(|of| of == owner)).collect()
}

/// Repairs what an earlier process left, before the passes start.
pub async fn recover(deps: &Deps) -> Result<(), StoreError> {
    let now = deps.clock.now();
    lay_ballast(deps);
    // First: the repairs below may already cause messages.
    notify::begin(deps).await?;
    unfinished::doubt_unfinished(deps, None, now).await?;
    say_cut(ahead::cut(&deps.store, longest(deps), now).await?);
    intake::take_forgotten(deps).await?;
    Ok(())
}

/// What comes before the passes of an owner that was taken. Public for tests that run passes without a driver.
pub async fn take_over(
    deps: &Deps,
    owner: &str,
    accounts: &BTreeSet<AccountId>,
    taken: Taken,
) -> Result<(), StoreError> {
    if owner == HOUSEKEEPING {
        return recover_house(deps).await;
    }
    for account in accounts {
        deps.open_again(account).await?;
    }
    let accounts: Vec<AccountId> = accounts.iter().cloned().collect();
    let timeout_ms = pacing::duration_ms(deps.config().api.timeout);
    recover_accounts(deps, &accounts, not_before(deps.clock.now(), taken, timeout_ms)).await
}

/// The part of it that belongs to no account.
async fn recover_house(deps: &Deps) -> Result<(), StoreError> {
    notify::begin(deps).await?;
    say_cut(ahead::cut_shared(&deps.store, longest(deps), deps.clock.now()).await?);
    intake::take_forgotten(deps).await?;
    Ok(())
}

/// The part of some accounts. Nothing is asked about a call that was being sent before `not_before`.
async fn recover_accounts(deps: &Deps, accounts: &[AccountId], not_before: Millis) -> Result<(), StoreError> {
    unfinished::doubt_unfinished(deps, Some(accounts), not_before).await?;
    say_cut(ahead::cut_accounts(&deps.store, accounts, longest(deps), deps.clock.now()).await?);
    Ok(())
}

/// The clock of this machine was set, and the passes have ended: takes its time over, also for the open work. Among
/// others the server's clock counts, and each worker would move the work again.
pub async fn follow_clock(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    if !store.ownership().is_shared() {
        clock_step::shift(store, clock.step_ms()).await?;
    }
    clock.follow();
    Ok(())
}

fn lay_ballast(deps: &Deps) {
    if !disk::lay_ballast(&deps.store) {
        tracing::warn!(
            "no room for the ballast file (4 MiB, beside 8 MiB that stay free) that keeps space to record outcomes"
        );
    }
}

fn longest(deps: &Deps) -> LongestWaits {
    LongestWaits::new(&deps.ladder(), deps.patience().decide_after_ms)
}

fn say_cut(rows: u64) {
    if rows > 0 {
        tracing::warn!(
            rows,
            "the clock was set back: times further ahead than any wait are cut to the longest one"
        );
    }
}
