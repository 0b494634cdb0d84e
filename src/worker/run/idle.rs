//! Whether anything is left that the worker can do by itself, for `run --until-idle`.
//!
//! Nothing is left, or all that is left waits for a person: each wait is told with what ends it. It is
//! no end while anything moves by itself, a call is in flight, or news was not delivered yet.

use std::sync::Arc;

use crate::store::{StoreError, report};
use crate::worker::people::unconfigured;
use crate::worker::run::driver::{End, is_stopping};
use crate::worker::run::signals::{Signals, Woken, sleep};
use crate::worker::{Deps, erase, notify};

/// A wait for a person counts only when a while passed in which no row changed: a pass may be about
/// to free what waits.
pub(in crate::worker) async fn watch_for_idle(
    deps: Arc<Deps>,
    signals: Signals,
) -> Result<Option<End>, StoreError> {
    let mut woken = signals.wake.subscribe();
    let mut waited = false;
    while !signals.is_stopping() {
        woken.borrow_and_update();
        match idle(&deps).await? {
            Some(End::WaitsForPerson(_)) if !waited => {}
            Some(_) if notify::has_news(&deps).await? => {}
            Some(end) => {
                // What is old is found here too when there never is a worker for long.
                erase::run(&deps, || is_stopping(&signals)).await?;
                return Ok(Some(end));
            }
            None => {}
        }
        let soon = deps.clock.now().plus(700);
        waited = sleep(&deps, &signals, &mut woken, Some(soon)).await == Woken::Time;
    }
    Ok(None)
}

/// Whether nothing is left that the worker can do by itself.
pub async fn idle(deps: &Deps) -> Result<Option<End>, StoreError> {
    let open = report::open_work(&deps.store).await?;
    if open.nothing() {
        return Ok(Some(End::Idle));
    }
    let (mut waits, config) = (Vec::new(), deps.config());
    let mut running = open.inbox > 0 && config.inbox.watch;
    running |= open.inbox_behind > 0;
    for id in &open.awaiting_approval {
        waits.push(format!("request {id} awaits approval: unlockd approve {id}, or cancel {id}"));
    }
    for account in unconfigured::unconfigured(&deps.store, &config).await? {
        waits.push(format!(
            "{}: {}",
            unconfigured::is_unconfigured(&account),
            unconfigured::configure_again(&account)
        ));
    }
    for account in deps.accounts() {
        if !config.accounts.contains_key(account.as_str()) {
            continue;
        }
        let gate = &deps.gates[&account];
        let work = report::account_work(&deps.store, &account).await?;
        if !gate.has_usable_key() && work.any() {
            let why = if gate.has_key() { "its key was refused" } else { "it has no key" };
            waits.push(format!("account {account}: {why}; put a valid one in the configuration"));
            continue;
        }
        // A call in flight may free what waits.
        running |= work.running > 0 || gate.is_calling();
        if work.paused && work.to_send > 0 {
            let why = if work.paused_by_restore { ", since the database is an older copy" } else { "" };
            waits.push(format!("account {account} is paused{why}: unlockd resume --account {account}"));
        } else {
            running |= work.to_send > 0;
        }
        for (id, reason) in &work.parked {
            waits.push(match reason.as_str() {
                "budget" => format!(
                    "job {id} waits for credits: it costs more than credits.daily_limit leaves for today; \
                     the next UTC day, or a higher limit, lets it go on"
                ),
                _ => format!("job {id} waits for credits ({reason}): top up, or unlockd resume"),
            });
        }
        for id in &work.undecided {
            waits.push(format!(
                "job {id} is in doubt: unlockd job {id}, then resolve {id} --resubmit or --write-off"
            ));
        }
    }
    // A request can be open although nothing of it is in any list above: then it is about to move.
    Ok((!running && !waits.is_empty()).then_some(End::WaitsForPerson(waits)))
}
