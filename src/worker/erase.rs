//! Erases emails and phones older than `retention.contacts`.
//!
//! Outcomes are kept, so unlockd still knows what was bought: an erased contact that is requested again is set
//! aside by a precheck (also with `submit.precheck = false`) and read from its profile, not paid for.
//! The time runs from the delivery of each item: a later request that got the value from this database keeps
//! its own copy for the same time.
//!
//! Every run empties the write-ahead log, even if it erased nothing: an earlier process, a new schema or
//! `unlockd purge` may have failed to empty it.

use std::time::Duration;

use crate::domain::pacing::{self, SHORTEST_RETENTION_PAUSE_MS};
use crate::store::disk;
use crate::store::erase::{self, Which};
use crate::store::{Store, StoreError};
use crate::worker::{Deps, Report};

/// Values erased in one transaction: few enough that another pass waits only briefly.
pub const VALUES_AT_ONCE: u32 = 250;

/// Attempts to empty the log in one run, and the pause between them. Most readers have ended by then.
const ATTEMPTS: u32 = 10;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    pub values: u64,
    /// False: it was stopped early, and more may be left.
    pub complete: bool,
}

/// Erases values that are old enough. Calls `stopping` before each step.
pub async fn run(deps: &Deps, stopping: impl Fn() -> bool) -> Result<Report, StoreError> {
    let Some(keep) = deps.config().retention.contacts else {
        let emptied = empty_log(&deps.store).await?;
        return Ok(if emptied {
            Report::idle()
        } else {
            Report::at(deps.clock.now().plus(SHORTEST_RETENTION_PAUSE_MS))
        });
    };
    let now = deps.clock.now();
    let which = Which::DeliveredBefore(now.plus(-pacing::duration_ms(keep)));
    // Erasing needs space in the log, and a write without space ends the worker.
    let erased = values(&deps.store, &which, || stopping() || disk::is_nearly_full(&deps.store)).await?;
    if erased.values > 0 {
        tracing::info!(values = erased.values, "erased emails and phones that were kept long enough");
    }
    let mut pause_ms = SHORTEST_RETENTION_PAUSE_MS;
    if !erased.complete {
        if !stopping() {
            tracing::warn!("the disk is nearly full: emails and phones that are due wait to be erased");
        }
    } else if empty_log(&deps.store).await? {
        pause_ms = pacing::retention_pause_ms(keep);
    } else {
        tracing::warn!("the write-ahead log is in use and may still hold erased values; it is emptied later");
    }
    Ok(Report { did: erased.values as usize, next_at: Some(now.plus(pause_ms)) })
}

/// Erases values in steps of one transaction each; other passes write between them.
pub async fn values(store: &Store, which: &Which, stopping: impl Fn() -> bool) -> Result<Erased, StoreError> {
    let mut values = 0;
    while !stopping() {
        let which = which.clone();
        let step = store
            .write(move |connection| {
                Box::pin(async move { erase::values(connection, &which, VALUES_AT_ONCE).await })
            })
            .await?;
        values += step;
        if step < u64::from(VALUES_AT_ONCE) {
            return Ok(Erased { values, complete: true });
        }
    }
    Ok(Erased { values, complete: false })
}

/// Empties the write-ahead log. False: readers kept it busy during all attempts.
pub async fn empty_log(store: &Store) -> Result<bool, StoreError> {
    for attempt in 1..=ATTEMPTS {
        if erase::empty_log(store).await? {
            return Ok(true);
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
    }
    Ok(false)
}
