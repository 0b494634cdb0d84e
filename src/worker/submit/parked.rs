//! Queued jobs that wait for something: a key, credits, another day, or the API's state after a 409.
//!
//! When one can go on, `domain::submission` decides.

use crate::domain::{AccountId, Credits};
use crate::store::jobs::Job;
use crate::store::jobs::due;
use crate::store::{StoreError, jobs};
use crate::worker::{Deps, Report};

/// Frees a job that no longer waits for anything.
pub(in crate::worker) async fn release(deps: &Deps, job: Job) -> Result<Report, StoreError> {
    let freed = job.released(deps.clock.now())?;
    deps.store.write(move |tx| Box::pin(async move { jobs::save(tx, &freed).await })).await?;
    Ok(Report::did(1))
}

/// Keeps the lowest balance that was read while jobs are parked: what was known when they were may have been old, and
/// it must grow from what it is.
pub(in crate::worker) async fn lower_refused_at(
    deps: &Deps,
    account: &AccountId,
    balance: Credits,
) -> Result<Report, StoreError> {
    let account = account.clone();
    deps.store
        .write(move |tx| Box::pin(async move { due::lower_refused_at(tx, &account, balance).await }))
        .await?;
    Ok(Report::did(1))
}
