//! Which worker serves which owner, for workers that share a database of PostgreSQL.
//!
//! Each worker shows all owners, so that one answer is enough; only the time left is its own. An owner without a worker is
//! 0 in the first of them.

use crate::domain::Millis;
use crate::metrics::Scrape;
use crate::store::postgres::members::{self, Members, Served};
use crate::store::{Store, StoreError};
use crate::worker::Deps;

pub(super) async fn show(scrape: &Scrape, store: &Store, deps: &Deps) -> Result<(), StoreError> {
    if !store.ownership().is_shared() {
        return Ok(());
    }
    let Some(seen) = members::read(store).await? else { return Ok(()) };
    let help = "Workers that live and share the database.";
    scrape.gauges(("unlockd_workers", help), [], [([], seen.workers.len() as i64)]);
    let help = "1: a worker serves the owner of accounts; 0: none does. (inbox): the rows of the inbox, and cleaning up.";
    let served = seen.owners.iter().map(|row| ([row.title()], i64::from(row.worker.is_some())));
    scrape.gauges(("unlockd_owner_served", help), ["owner"], served);
    show_holders(scrape, &seen);
    let ownership = store.ownership();
    let help = "Owners that this worker serves.";
    let held = ownership.owners().iter().filter(|owner| *owner != members::HOUSEKEEPING).count();
    scrape.gauges(("unlockd_owners_held", help), [], [([], held as i64)]);
    let left_ms = ownership.left_ms(deps.clock.steady_ms()).max(0);
    let lease_ms = crate::domain::pacing::duration_ms(deps.config().fleet.lease);
    let help = "How long this worker may send without renewing its lease; when it is less than a call takes, it buys nothing.";
    scrape.moments(("unlockd_lease_left_seconds", help), [], [([], Millis(left_ms))]);
    let help = "How long a lease is good for after each renewal (fleet.lease).";
    scrape.moments(("unlockd_lease_seconds", help), [], [([], Millis(lease_ms))]);
    Ok(())
}

fn show_holders(scrape: &Scrape, seen: &Members) {
    let holder = |row: &Served| Some([row.title(), row.worker.clone()?, row.host.clone()?]);
    let help = "The worker that serves the owner, and its host; always 1.";
    let holders = seen.owners.iter().filter_map(holder).map(|labels| (labels, 1));
    scrape.gauges(("unlockd_owner_worker_info", help), ["owner", "worker", "host"], holders);
    let help = "When the worker that serves the owner took it.";
    let since = seen.owners.iter().filter_map(|row| Some(([row.title()], Millis(row.taken_at?))));
    scrape.moments(("unlockd_owner_taken_timestamp_seconds", help), ["owner"], since);
}
