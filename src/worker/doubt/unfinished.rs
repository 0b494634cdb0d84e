//! At the start of the worker: the calls that were being sent when the last process ended are in doubt.

use crate::store::StoreError;
use crate::store::jobs::attempts::AttemptEnd;
use crate::store::jobs::{attempts, due};
use crate::store::{jobs, timeline};
use crate::worker::Deps;

/// Puts each of them in doubt, since it may have taken effect. Returns how many there were.
pub async fn doubt_unfinished(deps: &Deps) -> Result<usize, StoreError> {
    let unfinished = due::submitting(deps.store.readers()).await?;
    let (count, now) = (unfinished.len(), deps.clock.now());
    for mut job in unfinished {
        job.answer_lost(now.plus(deps.patience().verify_after_ms), now)?;
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
