//! Compares the credits that jobs were expected to cost with what left the balance.
//!
//! A window opens with the first submission after a quiet time. It is settled when all its jobs have ended
//! and a balance was read after the last one: one balance call serves all of them. A window with work still
//! waiting to be sent stays open, since the next submission would only open another one.

use crate::domain::granted::Reading;
use crate::domain::reconcile::{self, JobCharge, Settlement, Verdict};
use crate::domain::{AccountId, Action, Credits, Layers, Millis};
use crate::store::credits::balances::Snapshot;
use crate::store::credits::exceeded;
use crate::store::credits::ledger;
use crate::store::credits::settlements::Window;
use crate::store::credits::{balances, settlements};
use crate::store::items::waiting;
use crate::store::jobs::due;
use crate::store::report::Time;
use crate::store::{StoreError, Tx, accounts};
use crate::worker::balance::{Asked, ask_balance, read_balance};
use crate::worker::gate::Gate;
use crate::worker::owners;
use crate::worker::{Deps, Report};

/// Settles the account's window when it is time, and tries a refused key again.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &*deps.gate(account);
    if gate.key_try_at().is_some_and(|at| at <= deps.clock.now()) {
        return Ok(match ask_balance(deps, gate, "key_check").await? {
            Asked::At(at) => Report::at(at),
            Asked::Recorded(_) | Asked::NoKey | Asked::Failed(_) => Report::did(1),
        });
    }
    if owners::change(&deps.store, &deps.config(), account).await? {
        deps.take_key(gate).await?;
        return Ok(Report::did(1));
    }
    // The API does not take the old key any more.
    if !gate.has_usable_key() && waits_for_owner(deps, account).await? && deps.has_other_key(gate) {
        deps.take_key(gate).await?;
        return Ok(Report::did(1));
    }
    Ok(settle(deps, gate, account).await?.no_later_than(gate.key_try_at()))
}

async fn settle(deps: &Deps, gate: &Gate, account: &AccountId) -> Result<Report, StoreError> {
    let members = accounts::members(deps.store.readers(), account).await?;
    let owner = accounts::read(deps.store.readers(), account).await?.owner;
    if !settles(deps, account, &members, owner.as_deref()) {
        return Ok(Report::idle());
    }
    if settlements::has_running(deps.store.readers(), account).await? {
        return Ok(Report::idle());
    }
    let Some(window) = open_window(deps, account).await? else { return Ok(Report::idle()) };
    if window.jobs == 0 {
        deps.store
            .write(move |connection| {
                Box::pin(async move { settlements::discard_window(connection, window.id).await })
            })
            .await?;
        return Ok(Report::did(1));
    }
    if window.running > 0 || more_to_send(deps, &members).await? {
        return Ok(Report::idle());
    }
    if is_of_another_key(deps, gate, &window).await? {
        return close(deps, account, &window, None).await;
    }
    let last = balances::last_snapshot(deps.store.readers(), account).await?;
    let after_the_end = last.filter(|snapshot| closes(&window, snapshot, deps.clock.now()));
    match after_the_end {
        Some(snapshot) => close(deps, account, &window, Some(snapshot)).await,
        None if !gate.has_usable_key() => Ok(Report::idle()),
        None if gate.trouble_until() > deps.clock.now() => Ok(Report::at(gate.trouble_until())),
        None => read_balance(deps, gate, "settlement").await,
    }
}

/// Whether the account gets another owner, and has another key than the one that read the balance before the
/// window: what this key reads may be the balance of another pool.
async fn is_of_another_key(deps: &Deps, gate: &Gate, window: &Window) -> Result<bool, StoreError> {
    let Some(opening) = window.opening_snapshot else { return Ok(false) };
    if !waits_for_owner(deps, &gate.account).await? {
        return Ok(false);
    }
    let read_with = balances::read_with(deps.store.readers(), opening).await?;
    Ok(read_with.is_some_and(|key| Some(key) != gate.key_fingerprint()))
}

async fn waits_for_owner(deps: &Deps, account: &AccountId) -> Result<bool, StoreError> {
    let row = accounts::read(deps.store.readers(), account).await?;
    Ok(owners::waits_for_owner(&deps.config(), account, row.owner.as_deref()))
}

/// Whether a balance includes all charges of a window. The balance that opened it never does, even if a call
/// ended in the same millisecond; nor does one with a time in the future, which another clock wrote.
fn closes(window: &Window, snapshot: &Snapshot, now: Millis) -> bool {
    Some(snapshot.asked_at) >= window.last_end
        && snapshot.asked_at <= now.0
        && Some(snapshot.id) != window.opening_snapshot
}

async fn open_window(deps: &Deps, account: &AccountId) -> Result<Option<Window>, StoreError> {
    let (account, now) = (account.clone(), deps.clock.now());
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                settlements::end_by_now(&mut *connection, &account, now).await?;
                settlements::read_window(connection, &account).await
            })
        })
        .await
}

/// Whether this account settles for its owner. One account does: the first with a usable key, and one that is about to
/// get another owner only if there is no other.
fn settles(deps: &Deps, account: &AccountId, members: &[AccountId], owner: Option<&str>) -> bool {
    let (config, gates) = (deps.config(), deps.gates());
    let gates = || members.iter().filter_map(|member| gates.get(member));
    let usable = gates().filter(|gate| gate.has_usable_key());
    let first = usable.min_by_key(|gate| owners::waits_for_owner(&config, &gate.account, owner));
    first.or_else(|| gates().next()).is_none_or(|gate| gate.account == *account)
}

/// Whether an account of the owner is about to submit something without a person's help. While one of them changes its
/// owner, none is.
async fn more_to_send(deps: &Deps, members: &[AccountId]) -> Result<bool, StoreError> {
    let readers = deps.store.readers();
    for account in members {
        let row = accounts::read(readers, account).await?;
        if owners::is_changing(&deps.config(), row.owner.as_deref(), members) {
            return Ok(false);
        }
        let is_served = deps.config().accounts.contains_key(account.as_str());
        if row.paused_at.is_some() || !is_served || !deps.gate(account).has_usable_key() {
            continue;
        }
        let ready = due::ready(readers, account, deps.clock.now()).await?.is_some();
        if ready || row.waits_for().is_none() && waiting::any(readers, account).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Closes the account's window with this balance; without one its verdict is `unknown`.
async fn close(
    deps: &Deps,
    account: &AccountId,
    window: &Window,
    closing: Option<Snapshot>,
) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    // Rows that are never changed, and perhaps many: read before the transaction.
    let opening = window.opening_snapshot;
    let readings = readings_of(deps, account, opening.zip(closing)).await?;
    let of_account = account.clone();
    let mut estimates = Vec::with_capacity(Action::ALL.len());
    for action in Action::ALL {
        estimates.push((action, deps.price(account, action).await?));
    }
    let closed = deps
        .store
        .write(move |connection| {
            Box::pin(async move {
                // Read again inside the transaction: a submission may have started meanwhile.
                let Some(window) = settlements::read_window(&mut *connection, &of_account).await? else {
                    return Ok(None);
                };
                if window.running > 0
                    || window.opening_snapshot != opening
                    || closing.is_some_and(|closing| !closes(&window, &closing, now))
                {
                    return Ok(None);
                }
                let charges = settlements::charges_of_window(&mut *connection, window.id).await?;
                let jobs: Vec<JobCharge> = charges.iter().map(|(_, charge)| *charge).collect();
                let (before, after) =
                    (window.balance_before.map(Credits), closing.map(|closing| Credits(closing.total)));
                let settlement = reconcile::audit(&jobs, before, after).with(&readings);
                settlements::close_window(&mut *connection, &window, closing.as_ref(), &settlement, now)
                    .await?;
                let other_price = other_price(&charges, &settlement, &estimates);
                if let Some((action, price)) = other_price {
                    ledger::keep_price(&mut *connection, &of_account, action, price, now).await?;
                }
                let is_stopped = judge_price(connection, &of_account, (&charges, &settlement), now).await?;
                Ok(Some((window, other_price, settlement, is_stopped)))
            })
        })
        .await?;
    let Some((window, other_price, settlement, is_stopped)) = closed else { return Ok(Report::did(1)) };
    tell(account, &window, other_price, &settlement);
    if is_stopped {
        tracing::error!(account = %account, expected_max = settlement.expected_max.0,
            spent = settlement.spent.unwrap_or_default().0,
            "the API charged more than it had said, twice in succession: nothing new is sent for this owner until a \
             person resumes its accounts");
    }
    Ok(Report::did(1))
}

/// Settlements in succession in which the price of an action was exceeded: after so many the owner's accounts stop.
const EXCEEDED_UNTIL_STOPPED: i64 = 2;

/// Counts the settlement against the price of its action, if it holds only one action. Whether the owner's accounts
/// were stopped for it.
async fn judge_price(
    tx: &mut Tx,
    account: &AccountId,
    (charges, settlement): (&[(Action, JobCharge)], &Settlement),
    now: Millis,
) -> Result<bool, StoreError> {
    let Some((action, _)) =
        charges.first().filter(|(first, _)| charges.iter().all(|(other, _)| other == first))
    else {
        return Ok(false);
    };
    let jobs: Vec<JobCharge> = charges.iter().map(|(_, charge)| *charge).collect();
    if reconcile::exceeds_price(&jobs, settlement) {
        let is_stopped = exceeded::count(&mut *tx, account, *action).await? >= EXCEEDED_UNTIL_STOPPED;
        if is_stopped {
            exceeded::pause_owner(tx, account, settlement, now).await?;
        }
        return Ok(is_stopped);
    }
    if settlement.verdict == Verdict::Matched {
        exceeded::forget(tx, account, *action).await?;
    }
    Ok(false)
}

/// The readings from the balance before a window to the one after it.
async fn readings_of(
    deps: &Deps,
    account: &AccountId,
    ends: Option<(i64, Snapshot)>,
) -> Result<Vec<Reading>, StoreError> {
    let Some((opening, closing)) = ends else { return Ok(Vec::new()) };
    let ends = (opening, closing.id);
    let mut readings = balances::readings_between(deps.store.readers(), account, ends).await?;
    // One that a clock ahead of this one wrote may be of any time.
    readings.retain(|reading| reading.seen.at.0 <= closing.taken_at);
    Ok(readings)
}

/// A price that the window shows and that differs from the estimates, if the window holds only one kind of
/// action: as the balance shows it, or as prechecks quoted it and the balance confirms.
fn other_price(
    charges: &[(Action, JobCharge)],
    settlement: &Settlement,
    estimates: &[(Action, Credits)],
) -> Option<(Action, Credits)> {
    let (action, _) = charges.first()?;
    if action.layers() == Some(Layers::Both) {
        // Its price is that of the layers that were locked: the next event may lack both.
        return None;
    }
    let same = charges.iter().all(|(other, _)| other == action);
    let jobs: Vec<JobCharge> = charges.iter().map(|(_, charge)| *charge).collect();
    let confirmed = reconcile::price_confirmed(&jobs, settlement);
    let shown = confirmed.or_else(|| reconcile::price_shown(&jobs, settlement));
    let estimate = estimates.iter().find(|(of, _)| of == action).map(|(_, price)| *price);
    // A top-up looks like a lower price, so a lower price needs a precheck that the balance confirms.
    let believed = |price: &Credits| confirmed.is_some() || estimate.is_none_or(|estimate| *price > estimate);
    shown.filter(|price| same && Some(*price) != estimate && believed(price)).map(|price| (*action, price))
}

fn tell(
    account: &AccountId,
    window: &Window,
    other_price: Option<(Action, Credits)>,
    settlement: &Settlement,
) {
    let spent = settlement.spent.unwrap_or_default();
    if let Some((action, price)) = other_price {
        tracing::warn!(account = %account, action = %action, price = price.0,
            "the balance shows another price than expected; it is used for estimates from now on");
    }
    let opened_at = Time(window.opened_at);
    if settlement.verdict == Verdict::Matched {
        tracing::info!(account = %account, spent = spent.0, jobs = window.jobs, opened_at = %opened_at,
            "settled: the balance matches");
    } else if settlement.spent.is_none() {
        tracing::warn!(account = %account, expected_max = settlement.expected_max.0, jobs = window.jobs,
            "settled without a balance: the account has the key of another owner, so what was spent is not known");
    } else if matches!(settlement.verdict, Verdict::Lapsed | Verdict::Unknown) {
        tracing::info!(account = %account, verdict = settlement.verdict.as_str(), spent = spent.0,
            expected_max = settlement.expected_max.0, jobs = window.jobs,
            "settled: the balance proves nothing, since credits came in or lapsed in between, or an answer was lost");
    } else {
        tracing::warn!(account = %account, verdict = settlement.verdict.as_str(), spent = spent.0,
            expected_min = settlement.expected_min.0, expected_max = settlement.expected_max.0, jobs = window.jobs,
            "settled: the balance does not match what was expected; see unlockd audit");
    }
}
