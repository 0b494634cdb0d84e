//! Runs every pass until told to stop.
//!
//! One loop for all passes: run the pass; if it did something, wake the others and run again; if not, sleep
//! until the time that the pass named or until a row changes. A wake-up carries no data. A database error
//! ends the whole worker: nothing more is spent, and the next start continues from what is on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::{AccountId, Millis, pacing};
use crate::store::postgres::{members, statistics};
use crate::store::{StoreError, inbox};
use crate::worker::doubt::verify;
use crate::worker::run::heartbeat;
pub use crate::worker::run::idle::End;
use crate::worker::run::idle::watch_for_idle;
use crate::worker::run::parts::{Parts, more_telling};
pub use crate::worker::run::parts::{follow_clock, recover, take_over};
use crate::worker::run::signals::{CALM, Signals, Woken, is_stopping, sleep, sleep_and_calm_down};
use crate::worker::run::written;
use crate::worker::{Deps, Report, budget, erase, history, intake, notify, poll, profile, settle, submit};

/// The passes of an account, in the order in which a request meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Submit,
    Poll,
    Verify,
    Read,
    Settle,
}

impl Pass {
    pub const ALL: [Pass; 5] = [Pass::Submit, Pass::Poll, Pass::Verify, Pass::Read, Pass::Settle];

    pub(super) fn name(self) -> &'static str {
        match self {
            Pass::Submit => "submit",
            Pass::Poll => "poll",
            Pass::Verify => "verify",
            Pass::Read => "read",
            Pass::Settle => "settle",
        }
    }

    async fn run(self, deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
        match self {
            Pass::Submit => submit::run(deps, account).await,
            Pass::Poll => poll::run(deps, account).await,
            Pass::Verify => verify::run(deps, account).await,
            Pass::Read => profile::run(deps, account).await,
            Pass::Settle => settle::run(deps, account).await,
        }
    }
}

/// How often to look whether accounts have another owner than before.
const ADJUST_EVERY: Duration = Duration::from_secs(1);

/// Runs the worker. `until_idle`: ends when nothing is left to do, or only a person can continue.
pub async fn run(deps: Arc<Deps>, signals: Signals, until_idle: bool) -> Result<End, StoreError> {
    let is_shared = deps.store.ownership().is_shared();
    let mut parts = Parts::new(deps.clone(), signals.clone(), until_idle);
    match is_shared {
        false => tokio::select! {
            recovered = recover(&deps) => recovered?,
            // Cut off as by a crash.
            () = signals.stopping() => return Ok(End::Stopped),
        },
        true => drop(parts.spawn("listen", run_listen(deps.clone(), signals.clone()))),
    }
    let (mut added, mut wanted) = (deps.added(), deps.shares.wanted());
    if until_idle {
        parts.spawn("idle", watch_for_idle(deps.clone(), signals.clone()));
    }
    let mut end = End::Stopped;
    loop {
        let adjusted = tokio::select! {
            adjusted = parts.adjust() => adjusted,
            // A stop does not wait for the database.
            () = signals.stopping() => Ok(()),
        };
        if let Err(error) = adjusted {
            signals.stop();
            return Err(more_telling(error, parts.wind_down().await.err()));
        }
        let ended = tokio::select! {
            ended = parts.next() => ended,
            _ = added.changed() => continue,
            _ = wanted.changed() => continue,
            () = tokio::time::sleep(ADJUST_EVERY), if is_shared => continue,
            () = signals.stopping() => Some(Ok(None)),
        };
        let Some(ended) = ended else { return Ok(end) };
        match ended {
            Ok(None) => {}
            Ok(Some(reached)) => {
                end = reached;
                signals.stop();
            }
            Err(error) => {
                signals.stop();
                // Not simply dropped: the answer to a POST in flight must still be recorded.
                return Err(more_telling(error, parts.wind_down().await.err()));
            }
        }
        if signals.is_stopping() {
            parts.wind_down().await?;
            return Ok(end);
        }
    }
}

pub(super) async fn run_pass(
    deps: Arc<Deps>,
    signals: Signals,
    pass: Pass,
    account: AccountId,
) -> Result<Option<End>, StoreError> {
    let mut woken = signals.wake.subscribe();
    while !signals.is_stopping() {
        heartbeat::beat();
        woken.borrow_and_update();
        let report = match pass.run(&deps, &account).await {
            Err(StoreError::Stale { what }) => {
                tracing::debug!(pass = pass.name(), what, "somebody else was first; looking again");
                Report::did(1)
            }
            other => other?,
        };
        if report.did > 0 {
            signals.wake();
            tokio::task::yield_now().await;
            continue;
        }
        match pass {
            Pass::Submit => sleep(&deps, &signals, &mut woken, report.next_at).await,
            _ => sleep_and_calm_down(&deps, &signals, &mut woken, report.next_at).await,
        };
    }
    Ok(None)
}

/// When another program has written, intake runs at once, and once more after this pause, in milliseconds: the commit
/// may have ended only after the first run.
const AGAIN_MS: i64 = 20;

/// Intake also notices what other programs (the command line among them) have written.
pub(super) async fn run_intake(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    let mut woken = signals.wake.subscribe();
    let mut writes = written::watch(&deps);
    let mut version = inbox::state_version(&deps.store).await?;
    let mut is_written = false;
    while !signals.is_stopping() {
        heartbeat::beat();
        woken.borrow_and_update();
        let now_version = inbox::state_version(&deps.store).await?;
        let report = intake::run(&deps).await?;
        if report.did > 0 || now_version != version {
            version = now_version;
            signals.wake();
        }
        if report.did > 0 && deps.shares.has_others() {
            members::announce(&deps.store).await?;
        }
        if report.did == 0 {
            let again = std::mem::take(&mut is_written).then(|| deps.clock.now().plus(AGAIN_MS));
            tokio::select! {
                woke = sleep(&deps, &signals, &mut woken, report.no_later_than(again).next_at) => {
                    if woke == Woken::Rows {
                        is_written = tokio::time::timeout(CALM, written::by_another(&deps, &mut writes, version)).await.is_ok();
                    }
                }
                () = written::by_another(&deps, &mut writes, version) => is_written = true,
            }
        }
    }
    Ok(None)
}

/// Wakes the passes of a worker among others when somebody else has written: a command, or the worker that takes the
/// rows of the inbox.
async fn run_listen(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    let mut writes = written::watch(&deps);
    let mut version = inbox::state_version(&deps.store).await?;
    let (never, mut is_written) = (watch::Sender::new(0), false);
    let mut woken = never.subscribe();
    while !signals.is_stopping() {
        let now_version = inbox::state_version(&deps.store).await?;
        if now_version != version {
            version = now_version;
            signals.wake();
        }
        let pause_ms = match std::mem::take(&mut is_written) {
            true => AGAIN_MS,
            false => pacing::duration_ms(deps.config().inbox.interval),
        };
        let next_at = deps.clock.now().plus(pause_ms);
        tokio::select! {
            _ = sleep(&deps, &signals, &mut woken, Some(next_at)) => {}
            () = written::by_another(&deps, &mut writes, version) => is_written = true,
        }
    }
    Ok(None)
}

/// A stop does not wait for the receiver: unconfirmed messages are delivered again at the next start.
pub(super) async fn run_notify(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    let mut woken = signals.wake.subscribe();
    while !signals.is_stopping() {
        heartbeat::beat();
        woken.borrow_and_update();
        let report = tokio::select! {
            report = notify::run(&deps) => report?,
            () = signals.stopping() => break,
        };
        if report.did == 0 {
            // Rows of other workers do not wake it.
            let soon = deps.shares.has_others().then(|| deps.clock.now().plus(OTHERS_EVERY_MS));
            sleep_and_calm_down(&deps, &signals, &mut woken, report.no_later_than(soon).next_at).await;
        }
    }
    Ok(None)
}

/// How often to look at what other workers have written, in milliseconds.
const OTHERS_EVERY_MS: i64 = 1_000;

/// Values become old with time alone.
pub(super) async fn run_erase(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    by_time(deps, signals, |deps, signals| async move {
        let report = erase::run(&deps, || is_stopping(&signals)).await?;
        Ok(report.no_later_than(history::run(&deps, || is_stopping(&signals)).await?).next_at)
    })
    .await
}

/// A minute is soon enough for a warning.
pub(super) async fn run_budget(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    by_time(deps, signals, |deps, _| async move { Ok(budget::run(&deps).await?.next_at) }).await
}

/// Only on PostgreSQL. It counts rows by the thousand.
pub(super) async fn run_statistics(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    by_time(deps, signals, |deps, _| async move {
        statistics::refresh(&deps.store, heartbeat::beat).await?;
        Ok(Some(deps.clock.now().plus(statistics::LOOK_EVERY_MS)))
    })
    .await
}

/// Repeats a pass that rows do not wake, at the time that it names.
async fn by_time<F: Future<Output = Result<Option<Millis>, StoreError>>>(
    deps: Arc<Deps>,
    signals: Signals,
    pass: impl Fn(Arc<Deps>, Signals) -> F,
) -> Result<Option<End>, StoreError> {
    let never = watch::Sender::new(0);
    let mut woken = never.subscribe();
    while !signals.is_stopping() {
        heartbeat::beat();
        let next_at = pass(deps.clone(), signals.clone()).await?;
        sleep(&deps, &signals, &mut woken, next_at).await;
    }
    Ok(None)
}

/// Runs each pass once, one after the other; returns how many steps were taken. For tests, whose clock moves
/// only on command.
pub async fn step(deps: &Deps) -> Result<usize, StoreError> {
    let mut did = intake::run(deps).await?.did;
    for account in deps.accounts() {
        for pass in Pass::ALL {
            did += match pass.run(deps, &account).await {
                Err(StoreError::Stale { .. }) => 1,
                other => other?.did,
            };
        }
    }
    Ok(did)
}
