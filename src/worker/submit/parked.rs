//! Queued jobs that wait for something: a key, credits, another day, or the API's state after a 409.
//!
//! `domain::submission` decides when one can continue.

use crate::domain::job::{Event, WaitReason};
use crate::domain::{AccountId, Credits};
use crate::store::jobs::Job;
use crate::store::jobs::due;
use crate::store::{StoreError, jobs, timeline};
use crate::worker::{Deps, Report};

/// What a precheck said about a job that waits.
#[derive(Default)]
pub(in crate::worker) struct Asked {
    /// The price of one contact, which the release must use, too.
    pub price: Option<Credits>,
    /// What the job will be charged.
    pub quoted: Option<Credits>,
    /// The balance must rise above this.
    pub refused_at: Option<Credits>,
}

/// Parks a queued job with a reason.
pub(in crate::worker) async fn park(
    deps: &Deps,
    job: &Job,
    waits_for: WaitReason,
    Asked { price, quoted, refused_at }: Asked,
) -> Result<Report, StoreError> {
    let (mut parked, now) = (job.clone(), deps.clock.now());
    parked.apply(Event::Parked { waits_for }, now)?;
    (parked.due_at, parked.parked_balance) = (Some(now), refused_at);
    (parked.price, parked.quoted_credits) = (price, quoted);
    deps.sortings().remove(&(job.id, job.version));
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                jobs::save(&mut *connection, &parked).await?;
                timeline::of_job(connection, now, parked.id, "waits", waits_for.as_str()).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// Frees a job that no longer waits for anything.
pub(in crate::worker) async fn release(deps: &Deps, job: Job) -> Result<Report, StoreError> {
    let freed = job.released(deps.clock.now())?;
    deps.store.write(move |tx| Box::pin(async move { jobs::save(tx, &freed).await })).await?;
    Ok(Report::did(1))
}

/// Keeps the lowest balance that was read while jobs are parked: the balance known at parking may have been
/// old, and the balance must rise from its real value.
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
