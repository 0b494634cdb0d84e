//! Records that a task has ended, is gone, or is given up.
//!
//! State, outcomes and values are written in one transaction. A contact that was delivered before the end stays
//! delivered, even if the last answer contradicts that.

use crate::api::ApiError;
use crate::domain::job::Event;
use crate::domain::outcome::Outcome;
use crate::domain::{Millis, PersonnelId, RequestId, TaskId};
use crate::store::jobs::Job;
use crate::store::{StoreError, Tx, items, jobs, requests, timeline};
use crate::worker::{Deps, Report};

/// Records the end, with the outcome of each contact.
pub(super) async fn record_end(
    deps: &Deps,
    mut job: Job,
    failed: bool,
    outcomes: Vec<(PersonnelId, Outcome)>,
) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.apply(if failed { Event::TaskFailed } else { Event::TaskCompleted }, now)?;
    job.poll_count += 1;
    let accepted_at = job.submitted_at;
    let adopter = adopter(deps, &job).await?.filter(|_| job.adopted);
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                settle(&mut *connection, &job, adopter, &outcomes, now).await?;
                let detail = in_words(&items::brought_by_task(&mut *connection, job.id).await?);
                end(connection, &job, adopter, &detail, now).await
            })
        })
        .await?;
    if let Some(accepted_at) = accepted_at {
        deps.store.metrics().task_ended(accepted_at, now);
    }
    Ok(Report::did(1))
}

/// 404, or an id that the API does not understand: the task's open contacts are lost, and it is not polled
/// again.
pub(super) async fn gone(deps: &Deps, mut job: Job, error: &ApiError) -> Result<Report, StoreError> {
    job.apply(Event::TaskGone, deps.clock.now())?;
    let task_id = job.task_id.as_ref().map(TaskId::to_string).unwrap_or_default();
    let status = error.status.unwrap_or_default();
    let detail = format!("the API does not know task {task_id} (status {status}); not asked again");
    end_open(deps, job, Vec::new(), (Outcome::Lost, Outcome::Lost), detail).await
}

/// The task has used up its time. `in_hand`: outcomes from its last answer. If the task has delivered
/// something, its open contacts are unresolved; otherwise the whole task has expired.
pub(super) async fn give_up(
    deps: &Deps,
    mut job: Job,
    in_hand: Vec<(PersonnelId, Outcome)>,
) -> Result<Report, StoreError> {
    job.apply(Event::GaveUp, deps.clock.now())?;
    let detail = "the task did not end in time; unlockd resume polls it again".to_owned();
    end_open(deps, job, in_hand, (Outcome::Unresolved, Outcome::Expired), detail).await
}

/// Ends a job whose task has not ended: first `in_hand`, then all contacts that are still open. `rest`: their
/// outcome if the task has delivered something, and if it has delivered nothing.
async fn end_open(
    deps: &Deps,
    job: Job,
    in_hand: Vec<(PersonnelId, Outcome)>,
    rest: (Outcome, Outcome),
    detail: String,
) -> Result<Report, StoreError> {
    let (now, adopter) = (deps.clock.now(), adopter(deps, &job).await?);
    let task_id = job.task_id.as_ref().map(TaskId::as_str);
    tracing::warn!(job_id = job.id.0, task_id, state = job.state.name(), "{detail}");
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                settle(&mut *connection, &job, adopter, &in_hand, now).await?;
                let brought = items::brought_by_task(&mut *connection, job.id).await?;
                let (outcome, detail) = match brought.is_empty() {
                    true => (rest.1, detail),
                    false => (rest.0, format!("{detail}; it has brought {}", in_words(&brought))),
                };
                items::finish_all(&mut *connection, job.id, job.event_id.as_ref(), &outcome, now).await?;
                end(connection, &job, adopter, &detail, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// The request that adopted the job's task, if one did.
async fn adopter(deps: &Deps, job: &Job) -> Result<Option<RequestId>, StoreError> {
    let Some(task_id) = &job.task_id else { return Ok(None) };
    items::adopting_request(deps.store.readers(), &job.account, job.action, task_id.as_str()).await
}

/// For example "71 delivered, 3 failed".
fn in_words(counts: &[(&str, i64)]) -> String {
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// Records outcomes; an adopted task may name contacts that no request has named.
async fn settle(
    connection: &mut Tx,
    job: &Job,
    adopter: Option<RequestId>,
    outcomes: &[(PersonnelId, Outcome)],
    now: Millis,
) -> Result<(), StoreError> {
    if let Some(request_id) = adopter.filter(|_| job.adopted) {
        let named: Vec<_> = outcomes.iter().map(|(id, _)| id.clone()).collect();
        items::add_named(&mut *connection, job.id, request_id, &named).await?;
    }
    items::finish(connection, job.id, job.event_id.as_ref(), outcomes, now).await
}

/// Ends a job whose items all have outcomes, and the requests that waited for nothing else. The request that
/// adopted a task may have no items at all.
async fn end(
    connection: &mut Tx,
    job: &Job,
    adopter: Option<RequestId>,
    detail: &str,
    now: Millis,
) -> Result<(), StoreError> {
    jobs::save(&mut *connection, job).await?;
    timeline::of_job(&mut *connection, now, job.id, job.state.name(), detail).await?;
    requests::finish_complete_of_job(&mut *connection, job.id, now).await?;
    match adopter {
        Some(request_id) => requests::finish_complete(connection, &format!("[{request_id}]"), now).await,
        None => Ok(()),
    }
}
