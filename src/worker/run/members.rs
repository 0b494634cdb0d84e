//! Holds the leases of this worker on a shared database: renews them, takes owners that nobody serves, and gives owners
//! back that another worker should serve.
//!
//! An owner is served only after its lease was taken, and given back only after its passes have ended, paid calls
//! included. At a stop each goes back as soon as its passes have ended, so that another worker can go on.

use std::collections::BTreeSet;

use crate::domain::ids::DAY_MS;
use crate::domain::share::{self, Owner};
use crate::domain::{Millis, pacing};
use crate::store::lease::Lease;
use crate::store::postgres::members::{self, HOUSEKEEPING, Members, Taken};
use crate::store::{StoreError, accounts};
use crate::worker::Deps;
use crate::worker::run::signals::Signals;

/// The longest time between two renewals, and the shortest, in milliseconds.
const RENEW_EVERY_MS: i64 = 10_000;
const RENEW_AT_MOST_EVERY_MS: i64 = 200;

/// How often to look at the other workers, in milliseconds.
pub const LOOK_EVERY_MS: u64 = 1_000;

/// How often the leases are renewed: at least three times before too little is left for a paid call.
pub fn renew_every_ms(lease_ms: i64, api_timeout_ms: i64) -> i64 {
    ((lease_ms - api_timeout_ms) / 3).clamp(RENEW_AT_MOST_EVERY_MS, RENEW_EVERY_MS)
}

/// The leases of this worker, between two looks.
#[derive(Debug, Default)]
pub struct Leases {
    /// By the boot clock.
    renewed_at_ms: Option<i64>,
    /// It has said that it takes nothing more.
    is_leaving: bool,
}

impl Leases {
    /// Renews when it is time, and moves owners. Called every [`LOOK_EVERY_MS`].
    pub async fn look(
        &mut self,
        deps: &Deps,
        lease: &mut Lease,
        signals: &Signals,
    ) -> Result<(), StoreError> {
        let is_stopping = signals.is_stopping();
        let serves = if is_stopping { Vec::new() } else { keys(deps).await? };
        if is_stopping && !std::mem::replace(&mut self.is_leaving, true) {
            // At once: nobody gives it anything more.
            self.renewed_at_ms = None;
        }
        self.renew(deps, lease, &serves).await?;
        let Some(member) = lease.member.clone() else { return Ok(()) };
        if is_stopping {
            deps.shares.drop_all();
            return give_back(deps, lease).await;
        }
        // An owner whose last account here is gone.
        let of_none = |owner: &String| owner != HOUSEKEEPING && !serves.contains(owner);
        let ownership = deps.store.ownership();
        ownership.owners().iter().filter(|owner| of_none(owner)).for_each(|owner| {
            deps.shares.drop_owner(owner);
        });
        give_back(deps, lease).await?;
        members::keep_rows(&deps.store).await?;
        let Some(seen) = members::read(&deps.store).await? else { return Ok(()) };
        if seen.is_outdated {
            tracing::warn!("a newer version of unlockd has the database, or is to upgrade it: this one ends");
            signals.stop();
            return Ok(());
        }
        let (me, host) = (ownership.worker().unwrap_or_default(), ownership.host());
        let is_neighbour =
            |worker: &members::Worker| worker.worker != me && Some(&worker.host) == host.as_ref();
        ownership.set_neighbours(seen.workers.iter().any(is_neighbour));
        deps.shares.set_others(seen.workers.iter().any(|worker| worker.worker != me));
        for owner in to_take(deps, &seen, &me) {
            if let Some(taken) = member.take(&deps.store, &owner).await? {
                say_taken(&owner, taken.free_for_ms);
                deps.shares.add(&owner, taken);
            }
        }
        Ok(())
    }

    async fn renew(&mut self, deps: &Deps, lease: &mut Lease, serves: &[String]) -> Result<(), StoreError> {
        let Some(member) = &lease.member else { return Ok(()) };
        let now_ms = deps.clock.steady_ms();
        let every_ms = renew_every_ms(member.lease_ms, pacing::duration_ms(deps.config().api.timeout));
        if self.renewed_at_ms.is_some_and(|at| now_ms - at < every_ms) {
            return Ok(());
        }
        member.renew(&deps.store, serves).await?;
        // Begun before it was asked for: the server's lease ends later.
        deps.store.ownership().renewed(now_ms, member.lease_ms);
        self.renewed_at_ms = Some(now_ms);
        let time = crate::store::lease::read(&deps.store).await?.clock(deps.clock.now());
        deps.clock.refer(time);
        lease.note(&deps.store).await
    }
}

/// The owners whose accounts have a key here; and the rest of the work, which needs none.
async fn keys(deps: &Deps) -> Result<Vec<String>, StoreError> {
    let owners = accounts::owners(deps.store.readers()).await?;
    let of = |account| owners.get(&account).cloned();
    let served: BTreeSet<String> = deps.accounts().into_iter().filter_map(of).collect();
    Ok(served.into_iter().collect())
}

/// The owners to take now. Marks the one that is to go to another worker.
fn to_take(deps: &Deps, seen: &Members, me: &str) -> Vec<String> {
    let owner = |row: &'_ members::Served| row.owner != HOUSEKEEPING;
    let owners: Vec<Owner<'_>> = seen.owners.iter().filter(|row| owner(row)).map(as_owner).collect();
    let serves: Vec<(&str, Vec<String>)> =
        seen.workers.iter().map(|worker| (worker.worker.as_str(), worker.serves())).collect();
    let workers: Vec<share::Worker<'_>> = serves
        .iter()
        .map(|(name, serves)| share::Worker { name, serves: serves.iter().map(String::as_str).collect() })
        .collect();
    let moves = share::moves(me, &owners, &workers);
    let going = {
        let (wanted, served) = (deps.shares.wanted(), deps.shares.served());
        let (wanted, served) = (wanted.borrow(), served.borrow());
        served.iter().any(|owner| !wanted.contains_key(owner))
    };
    if let Some(owner) = moves.give_back.filter(|_| !going) {
        tracing::info!(owner, "giving the owner back: another worker has fewer");
        deps.shares.drop_owner(owner);
    }
    let housekeeping = seen.owners.iter().filter(|row| !owner(row) && row.worker.is_none());
    housekeeping.map(|row| row.owner.clone()).chain(moves.take.into_iter().map(str::to_owned)).collect()
}

fn as_owner(row: &members::Served) -> Owner<'_> {
    Owner { name: &row.owner, worker: row.worker.as_deref(), free_for_ms: -row.left_ms }
}

/// Gives back what is held, and neither to be served nor served any more.
async fn give_back(deps: &Deps, lease: &Lease) -> Result<(), StoreError> {
    let Some(member) = &lease.member else { return Ok(()) };
    for owner in deps.store.ownership().owners() {
        let is_used = deps.shares.served().borrow().contains(&owner)
            || deps.shares.wanted().borrow().contains_key(&owner);
        if !is_used {
            member.give_back(&deps.store, &owner).await?;
            tracing::info!(owner, "the owner was given back");
        }
    }
    Ok(())
}

fn say_taken(owner: &str, free_for_ms: i64) {
    match owner {
        HOUSEKEEPING => tracing::info!("this worker takes the rows of the inbox now, and cleans up"),
        _ => {
            // An owner that nobody has served yet was free since 1970.
            let free_for_ms = Some(free_for_ms).filter(|free_for_ms| *free_for_ms < 365 * DAY_MS);
            tracing::info!(owner, free_for_ms, "this worker serves the owner now");
        }
    }
}

/// When the first look at a call that the last worker of an owner was sending may be made, besides the usual wait: one
/// that was cut off may have sent it until its lease ended, and had its answer until that long after.
pub fn not_before(now: Millis, taken: Taken, api_timeout_ms: i64) -> Millis {
    match taken.has_expired {
        true => now.plus(api_timeout_ms - taken.free_for_ms).max(now),
        false => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_renewed_early_enough_for_a_paid_call() {
        for (lease_ms, timeout_ms, every_ms) in
            [(60_000, 30_000, 10_000), (40_000, 30_000, 3_333), (30_001, 30_000, 200)]
        {
            assert_eq!(renew_every_ms(lease_ms, timeout_ms), every_ms);
        }
    }

    #[test]
    fn a_call_of_the_last_worker_is_looked_at_once_it_can_have_no_effect_any_more() {
        let now = Millis(1_000_000);
        let cut_off = |free_for_ms| not_before(now, Taken { free_for_ms, has_expired: true }, 30_000);
        assert_eq!(cut_off(0), Millis(1_030_000), "its lease ended now");
        assert_eq!((cut_off(10_000), cut_off(90_000)), (Millis(1_020_000), now));
        let dead = Taken { free_for_ms: 0, has_expired: false };
        assert_eq!(not_before(now, dead, 30_000), now, "it makes no call any more");
    }
}
