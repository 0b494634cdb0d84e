//! Frees queued jobs that no longer wait for anything.
//!
//! What a job waits for is its `state_reason`; what ends the wait is a better key, a grown balance,
//! a new day, or a state that was read again; a person's `resume` frees what waits for credits itself.
//! While jobs are parked for credits the balance is looked at now and then, since somebody may top up.

use crate::domain::Millis;
use crate::domain::credits::{self, Admission, Purse};
use crate::domain::job::{Event, State, WaitReason};
use crate::store::credits::balances;
use crate::store::jobs::Job;
use crate::store::jobs::due;
use crate::store::{StoreError, jobs};
use crate::worker::balance::{purse, read_balance};
use crate::worker::gate::Gate;
use crate::worker::{Deps, Report};

/// Parked jobs looked at in one run, oldest first.
const AT_ONCE: u32 = 64;

/// Frees queued jobs that no longer wait for anything.
pub(in crate::worker) async fn release(deps: &Deps, gate: &Gate) -> Result<Report, StoreError> {
    let parked = due::parked(deps.store.readers(), &gate.account, AT_ONCE).await?;
    if parked.is_empty() {
        return Ok(Report::idle());
    }
    let now = deps.clock.now();
    let purse = purse(deps, &gate.account).await?;
    let mut report = Report::idle();
    let mut awaits_credits = false;
    for job in &parked {
        let State::Queued { waits_for: Some(reason) } = job.state else { continue };
        let price = deps.price(&gate.account, job.action).await?;
        let cost = price.max(job.price.unwrap_or_default()).times(job.contacts as usize);
        let free = match reason {
            WaitReason::InvalidApiKey => gate.has_usable_key(),
            WaitReason::Conflict => job.due_at.is_none_or(|at| at <= now),
            WaitReason::Budget => {
                let fits = |purse: &Purse| {
                    credits::admit(cost, Some(purse), now) != Admission::Wait(WaitReason::Budget)
                };
                purse.as_ref().is_some_and(fits)
            }
            WaitReason::InsufficientCredits => {
                awaits_credits = true;
                if fell(deps, job, purse.as_ref()).await? {
                    return Ok(Report::did(1));
                }
                let grew = |purse: &Purse| job.parked_balance.is_none_or(|parked| purse.balance > parked);
                purse.as_ref().is_some_and(|purse| grew(purse) && purse.available() >= cost)
            }
        };
        if free && reason != WaitReason::Conflict {
            let freed = job.clone().released(now)?;
            deps.store
                .write(move |connection| Box::pin(async move { jobs::save(connection, &freed).await }))
                .await?;
            return Ok(Report::did(1));
        }
        if free {
            return settle_conflict(deps, gate, job).await;
        }
        if reason == WaitReason::Conflict {
            report = report.no_later_than(job.due_at);
        }
        if reason == WaitReason::Budget {
            report = report.no_later_than(Some(now.start_of_day().plus(86_400_000)));
        }
    }
    if awaits_credits && gate.has_usable_key() {
        let looked = look_for_credits(deps, gate, purse.as_ref()).await?;
        return Ok(Report { did: looked.did, ..looked.no_later_than(report.next_at) });
    }
    Ok(report)
}

/// Keeps the lowest balance seen while a job is parked: what was known when it was parked may have
/// been old, and it must grow from what it is. Returns whether it had fallen.
async fn fell(deps: &Deps, job: &Job, purse: Option<&Purse>) -> Result<bool, StoreError> {
    let balance = purse.map(|purse| purse.balance);
    let Some(lower) = balance.filter(|now| job.parked_balance.is_some_and(|at| *now < at)) else {
        return Ok(false);
    };
    let kept = Job { parked_balance: Some(lower), ..job.clone() };
    deps.store.write(move |connection| Box::pin(async move { jobs::save(connection, &kept).await })).await?;
    Ok(true)
}

/// Parked for credits: somebody may top up, so the balance is looked at now and then.
async fn look_for_credits(deps: &Deps, gate: &Gate, purse: Option<&Purse>) -> Result<Report, StoreError> {
    const LOOK_EVERY_MS: i64 = 15_000;
    let due = purse.map_or(Millis(0), |purse| purse.balance_at.plus(LOOK_EVERY_MS));
    let due = due.max(gate.trouble_until());
    if due > deps.clock.now() {
        return Ok(Report::at(due));
    }
    read_balance(deps, gate, "parked").await
}

/// After a 409: the balance and (in `advance`) the precheck are read before anything is retried.
async fn settle_conflict(deps: &Deps, gate: &Gate, job: &Job) -> Result<Report, StoreError> {
    let last = balances::last_snapshot(deps.store.readers(), &gate.account).await?;
    let since_conflict = job.due_at.unwrap_or_default();
    if last.is_none_or(|snapshot| Millis(snapshot.asked_at) < since_conflict) {
        return read_balance(deps, gate, "conflict").await;
    }
    let (mut freed, now) = (job.clone(), deps.clock.now());
    freed.apply(Event::Released, now)?;
    deps.store.write(move |connection| Box::pin(async move { jobs::save(connection, &freed).await })).await?;
    Ok(Report::did(1))
}
