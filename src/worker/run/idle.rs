//! Whether anything is left that the worker can do by itself, for `run --until-idle`.
//!
//! Either nothing is left, or everything left waits for a person; then each wait is listed with what ends it. The
//! worker continues while it can still do something, a call is in flight, or a message is not delivered yet. A
//! settlement whose balance cannot be read is not waited for: it stays open, and the next run settles it.

use std::sync::Arc;

use crate::domain::job::{EndedBy, WaitReason};
use crate::domain::needs::Need;
use crate::store::inbox::fault::Fault;
use crate::store::report::AccountWork;
use crate::store::{StoreError, report};
use crate::worker::people::needs;
use crate::worker::run::signals::{Signals, Woken, is_stopping, sleep_and_calm_down};
use crate::worker::{Deps, budget, erase, notify};

/// How the worker ended without an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop.
    Stopped,
    /// Nothing is left to do.
    Idle,
    /// Everything left waits for a person: for what, in words.
    WaitsForPerson(Vec<String>),
}

/// How long reads of the balance fail before a settlement is not waited for: some eight of them.
const NO_BALANCE_LASTS_MS: i64 = 120_000;

/// A wait for a person counts only after a while without any change of a row: a pass may be about to end that
/// wait.
pub(in crate::worker) async fn watch_for_idle(
    deps: Arc<Deps>,
    signals: Signals,
) -> Result<Option<End>, StoreError> {
    let mut woken = signals.wake.subscribe();
    let mut waited = false;
    while !signals.is_stopping() {
        woken.borrow_and_update();
        let idle = idle(&deps).await?;
        if idle.is_some() {
            budget::run(&deps).await?;
        }
        match idle {
            Some(End::WaitsForPerson(_)) if !waited => {}
            Some(_) if notify::has_news(&deps).await? => {}
            Some(end) => {
                // Old values are erased here, too, in case no worker ever runs for long.
                erase::run(&deps, || is_stopping(&signals)).await?;
                return Ok(Some(end));
            }
            None => {}
        }
        let soon = deps.clock.now().plus(700);
        waited = sleep_and_calm_down(&deps, &signals, &mut woken, Some(soon)).await == Woken::Time;
    }
    Ok(None)
}

/// Whether nothing is left that the worker can do by itself.
pub async fn idle(deps: &Deps) -> Result<Option<End>, StoreError> {
    let open = report::open_work(&deps.store).await?;
    if open.nothing() {
        return Ok(Some(End::Idle));
    }
    let config = deps.config();
    // A fault of the inbox that lasts is a matter for a person.
    let faults: Vec<&Fault> = open.inbox_faults.iter().filter(|fault| fault.lasts()).collect();
    // Rows that were taken may still show `new` then.
    let mut running = open.inbox > 0 && config.inbox.watch && faults.is_empty();
    running |= open.inbox_behind > 0 && faults.is_empty();
    running |= open.inbox_faults.len() > faults.len();
    let works = needs::works(&deps.store, &config).await?;
    let stuck = without_balance(deps, &works);
    // What an account has running when the configuration drops it is polled to its end.
    for account in deps.accounts().iter().filter(|account| !config.accounts.contains_key(account.as_str())) {
        let work = report::account_work(&deps.store, account).await?;
        running |= work.has_running() && deps.gate(account).has_usable_key();
    }
    for work in &works {
        let gate = deps.gate(&work.account);
        // Without a valid key no work of an account continues.
        if !gate.has_usable_key() && work.any() {
            continue;
        }
        // A call in flight may end a wait.
        running |= work.unsettled > 0 && !stuck.contains(&work.row.owner.as_deref());
        running |= work.is_running() || gate.is_calling() || moves(work);
    }
    let needs = needs::of_worker(deps, &works).await?;
    let waits: Vec<Need> = needs.list.into_iter().filter(Need::holds_up_work).collect();
    // An open request may be in none of the lists above: then its next step is about to come.
    let waits: Vec<String> =
        waits.iter().map(sentence).chain(faults.iter().map(|fault| fault.what())).collect();
    if running {
        return Ok(None);
    }
    if waits.is_empty() && !stuck.is_empty() && open.nothing_but_settlements() {
        tracing::warn!(
            "the last settlement stays open, since the balance cannot be read; the next run settles it"
        );
        return Ok(Some(End::Idle));
    }
    Ok((!waits.is_empty()).then_some(End::WaitsForPerson(waits)))
}

/// The owners whose settlement waits for a balance that cannot be read. One of their keys settles for all of them.
fn without_balance<'a>(deps: &Deps, works: &'a [AccountWork]) -> Vec<Option<&'a str>> {
    let now = deps.clock.now();
    let is_stuck = |work: &&AccountWork| {
        let since = deps.gate(&work.account).no_balance_since();
        work.unsettled > 0 && since.is_some_and(|since| now.since(since) >= NO_BALANCE_LASTS_MS)
    };
    works.iter().filter(is_stuck).map(|work| work.row.owner.as_deref()).collect()
}

/// Whether something is about to be sent. Ignores the key: the gate knows more about it than the rows.
fn moves(work: &AccountWork) -> bool {
    let ends_by_key = |reason: WaitReason| reason.ended_by() == EndedBy::Key;
    let items_move = work.waiting > 0 && work.items_wait_for().is_none_or(ends_by_key);
    work.row.paused_at.is_none() && (work.ready() > 0 || items_move)
}

/// What it is, and what to do.
fn sentence(need: &Need) -> String {
    format!("{}: {}", need.what(), need.to_do())
}
