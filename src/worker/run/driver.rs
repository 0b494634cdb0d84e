//! Runs every pass until told to stop.
//!
//! One loop for all passes: run the pass; if it did something, wake the others and run again; if not, sleep
//! until the time that the pass named or until a row changes. A wake-up carries no data. A database error
//! ends the whole worker: nothing more is spent, and the next start continues from what is on disk.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::domain::AccountId;
use crate::domain::pacing::LongestWaits;
use crate::store::{StoreError, inbox};
use crate::store::{ahead, disk};
use crate::worker::doubt::{unfinished, verify};
use crate::worker::run::heartbeat;
pub use crate::worker::run::idle::End;
use crate::worker::run::idle::watch_for_idle;
use crate::worker::run::signals::{CALM, Signals, Woken, is_stopping, sleep};
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

    fn name(self) -> &'static str {
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

/// Repairs what an earlier process left, before the passes start.
pub async fn recover(deps: &Deps) -> Result<(), StoreError> {
    if !disk::lay_ballast(&deps.store) {
        tracing::warn!("no room for the ballast file that keeps space to record outcomes");
    }
    // First: the repairs below may already cause messages.
    notify::begin(deps).await?;
    unfinished::doubt_unfinished(deps).await?;
    let longest = LongestWaits::new(&deps.ladder(), deps.patience().decide_after_ms);
    let cut = ahead::cut(&deps.store, longest, deps.clock.now()).await?;
    if cut > 0 {
        tracing::warn!(
            rows = cut,
            "the clock was set back: times further ahead than any wait are cut to the longest one"
        );
    }
    intake::take_forgotten(deps).await?;
    Ok(())
}

/// Runs the worker. `until_idle`: ends when nothing is left to do, or only a person can continue.
pub async fn run(deps: Arc<Deps>, signals: Signals, until_idle: bool) -> Result<End, StoreError> {
    recover(&deps).await?;
    let mut passes = Passes::new();
    let beats = || deps.heartbeat.clone();
    passes.spawn(beats().follow("intake".to_owned(), run_intake(deps.clone(), signals.clone())));
    let (mut added, mut served) = (deps.added(), BTreeSet::new());
    serve_new(&deps, &signals, &mut served, &mut passes);
    if notify::is_wanted(&deps) {
        passes.spawn(beats().follow("notify".to_owned(), run_notify(deps.clone(), signals.clone())));
    }
    if until_idle {
        passes.spawn(beats().follow("idle".to_owned(), watch_for_idle(deps.clone(), signals.clone())));
    } else {
        passes.spawn(beats().follow("erase".to_owned(), run_erase(deps.clone(), signals.clone())));
        passes.spawn(beats().follow("budget".to_owned(), run_budget(deps.clone(), signals.clone())));
    }
    let mut end = End::Stopped;
    loop {
        let ended = tokio::select! {
            ended = passes.join_next() => ended,
            _ = added.changed() => {
                serve_new(&deps, &signals, &mut served, &mut passes);
                continue;
            }
        };
        let Some(ended) = ended else { return Ok(end) };
        let ended = ended.unwrap_or_else(|panic| {
            tracing::error!(problem = %panic, "a pass panicked; stopping");
            Err(StoreError::Stopped)
        });
        match ended {
            Ok(None) => {}
            Ok(Some(reached)) => {
                end = reached;
                signals.stop();
            }
            Err(error) => {
                signals.stop();
                // Not simply dropped: the answer to a POST in flight must still be recorded.
                return Err(more_telling(error, wind_down(passes).await.err()));
            }
        }
        if signals.is_stopping() {
            wind_down(passes).await?;
            return Ok(end);
        }
    }
}

type Passes = JoinSet<Result<Option<End>, StoreError>>;

/// Starts the passes of the accounts that have none yet.
fn serve_new(deps: &Arc<Deps>, signals: &Signals, served: &mut BTreeSet<AccountId>, passes: &mut Passes) {
    for account in deps.accounts().into_iter().filter(|account| served.insert(account.clone())) {
        for pass in Pass::ALL {
            let name = format!("{} of {account}", pass.name());
            let work = run_pass(deps.clone(), signals.clone(), pass, account.clone());
            passes.spawn(deps.heartbeat.clone().follow(name, work));
        }
    }
}

/// Lets calls in flight end, for a bounded time. A call that is cut off is in doubt at the next start, which
/// is safe.
async fn wind_down(mut passes: Passes) -> Result<(), StoreError> {
    let all = async {
        let mut first = None;
        while let Some(ended) = passes.join_next().await {
            if let Ok(Err(error)) = ended {
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
            tracing::warn!("stopped while a call was still in flight; the next start looks up its effect");
            passes.abort_all();
            Ok(())
        }
    }
}

/// The error that caused the others.
fn more_telling(first: StoreError, second: Option<StoreError>) -> StoreError {
    match (first, second) {
        (StoreError::Stopped, Some(second)) => second,
        (first, _) => first,
    }
}

async fn run_pass(
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
        let woke = sleep(&deps, &signals, &mut woken, report.next_at).await;
        if woke == Woken::Rows && pass != Pass::Submit {
            tokio::time::sleep(CALM).await;
        }
    }
    Ok(None)
}

/// When another program has written, intake runs at once, and once more after this pause, in milliseconds: the commit
/// may have ended only after the first run.
const AGAIN_MS: i64 = 20;

/// Intake also notices what other programs (the command line among them) have written.
async fn run_intake(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
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

/// A stop does not wait for the receiver: unconfirmed messages are delivered again at the next start.
async fn run_notify(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    let mut woken = signals.wake.subscribe();
    while !signals.is_stopping() {
        heartbeat::beat();
        woken.borrow_and_update();
        let report = tokio::select! {
            report = notify::run(&deps) => report?,
            () = signals.stopping() => break,
        };
        if report.did == 0 && sleep(&deps, &signals, &mut woken, report.next_at).await == Woken::Rows {
            tokio::time::sleep(CALM).await;
        }
    }
    Ok(None)
}

/// Rows do not wake it: values become old with time alone.
async fn run_erase(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    let never = watch::Sender::new(0);
    let mut woken = never.subscribe();
    while !signals.is_stopping() {
        let report = erase::run(&deps, || is_stopping(&signals)).await?;
        let report = report.no_later_than(history::run(&deps, || is_stopping(&signals)).await?);
        sleep(&deps, &signals, &mut woken, report.next_at).await;
    }
    Ok(None)
}

/// Rows do not wake it: a minute is soon enough for a warning.
async fn run_budget(deps: Arc<Deps>, signals: Signals) -> Result<Option<End>, StoreError> {
    let never = watch::Sender::new(0);
    let mut woken = never.subscribe();
    while !signals.is_stopping() {
        heartbeat::beat();
        let report = budget::run(&deps).await?;
        sleep(&deps, &signals, &mut woken, report.next_at).await;
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
