//! At the start of the worker, and when it takes over accounts: the calls that the last worker was sending are in doubt.

use crate::domain::{AccountId, Millis};
use crate::store::StoreError;
use crate::store::jobs::attempts::AttemptEnd;
use crate::store::jobs::{attempts, due};
use crate::store::{jobs, timeline};
use crate::worker::Deps;

/// Puts each of them in doubt, since it may have taken effect: those of these accounts, or all. Returns how many there
/// were. `not_before`: until then a call may still take effect.
pub async fn doubt_unfinished(
    deps: &Deps,
    of: Option<&[AccountId]>,
    not_before: Millis,
) -> Result<usize, StoreError> {
    let mut unfinished = due::submitting(deps.store.readers()).await?;
    unfinished.retain(|job| of.is_none_or(|accounts| accounts.contains(&job.account)));
    let (count, now) = (unfinished.len(), deps.clock.now());
    for mut job in unfinished {
        job.answer_lost(not_before.max(now).plus(deps.patience().verify_after_ms), now)?;
        let end = AttemptEnd { result: "unknown", ..AttemptEnd::default() };
        deps.store.metrics().attempt_ended(end.result);
        tracing::warn!(job_id = job.id.0, account = %job.account,
            "the worker ended while this job was being sent; looking up whether it took effect");
        deps.store
            .write(move |connection| {
                Box::pin(async move {
                    attempts::end_attempt(&mut *connection, job.id, &end, now).await?;
                    jobs::save(&mut *connection, &job).await?;
                    let detail = "the worker ended while it was being sent";
                    timeline::of_job(connection, now, job.id, "answer_lost", detail).await
                })
            })
            .await?;
    }
    Ok(count)
}
