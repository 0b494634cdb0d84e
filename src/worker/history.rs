//! Removes history older than `retention.history`, in steps of one transaction each.
//!
//! What is removed and what stays is said in [`crate::store::history`].

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::{Millis, pacing};
use crate::store::{StoreError, Tx, disk, history};
use crate::worker::Deps;

/// Rows removed in one transaction: few enough that another pass waits only briefly.
const AT_ONCE: u32 = 250;

/// What a run removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub requests: u64,
    pub events: u64,
    pub snapshots: u64,
    pub changes: u64,
}

/// Removes what is old enough; returns when to run next, `None` without `retention.history`. Calls `stopping` before
/// each step.
pub async fn run(deps: &Deps, stopping: impl Fn() -> bool) -> Result<Option<Millis>, StoreError> {
    let Some(keep) = deps.config().retention.history else { return Ok(None) };
    let now = deps.clock.now();
    // Removing needs room in the log, and a write without room ends the worker.
    let removed = remove(deps, keep, || stopping() || disk::is_nearly_full(&deps.store)).await?;
    if removed != Removed::default() {
        let Removed { requests, events, snapshots, changes } = removed;
        tracing::info!(requests, events, snapshots, changes, "removed history that was kept long enough");
    }
    Ok(Some(now.plus(pacing::retention_pause_ms(keep))))
}

async fn remove(deps: &Deps, keep: Duration, stopping: impl Fn() -> bool) -> Result<Removed, StoreError> {
    let now = deps.clock.now();
    let before = now.plus(-pacing::duration_ms(keep));
    let requests =
        until_none(deps, &stopping, move |tx| Box::pin(history::remove_requests(tx, before, AT_ONCE, now)))
            .await?;
    let (mut removed_events, mut cursor) = (0, Some(0));
    while let Some(from) = cursor.filter(|_| !stopping()) {
        let (events, next) = deps
            .store
            .write(move |connection| {
                Box::pin(async move { history::remove_events(connection, from, before).await })
            })
            .await?;
        removed_events += events;
        cursor = next;
    }
    let snapshots =
        until_none(deps, &stopping, move |tx| Box::pin(history::remove_snapshots(tx, before, AT_ONCE)))
            .await?;
    let changes =
        until_none(deps, &stopping, move |tx| Box::pin(history::remove_changes(tx, before, AT_ONCE))).await?;
    Ok(Removed { requests, events: removed_events, snapshots, changes })
}

/// Repeats a step, in a transaction of its own each time, until it removes nothing more. Returns how much it removed.
async fn until_none<F>(deps: &Deps, stopping: &impl Fn() -> bool, step: F) -> Result<u64, StoreError>
where
    F: for<'c> Fn(&'c mut Tx) -> BoxFuture<'c, Result<u64, StoreError>> + Copy + Send + 'static,
{
    let mut removed = 0;
    while !stopping() {
        match deps.store.write(step).await? {
            0 => break,
            some => removed += some,
        }
    }
    Ok(removed)
}
