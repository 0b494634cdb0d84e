//! The error answer to a paid call named a task (a 409, or a gateway's 504): this reads that task.
//!
//! If the task has exactly the contacts that were sent, it belongs to this job and is polled like any other.
//! Anything else proves nothing, and the check continues.

use crate::api::Caller;
use crate::domain::job::Event;
use crate::domain::turns::Class;
use crate::domain::{Channel, PersonnelId, TaskId, task};
use crate::store::credits::booking;
use crate::store::jobs::Job;
use crate::store::{StoreError, jobs, timeline};
use crate::worker::balance::after_failed_read;
use crate::worker::doubt::evidence::PartialLook;
use crate::worker::gate::Gate;
use crate::worker::{Deps, Report};

/// Reads the task, once in a check.
pub(super) async fn ask(
    deps: &Deps,
    gate: &Gate,
    (job, channel, task_id): (&Job, Channel, &TaskId),
    contacts: &[PersonnelId],
    partial: &mut PartialLook,
) -> Result<Report, StoreError> {
    let about = (Some(job.id), job.event_id.as_ref());
    let ask = async |caller: Caller<'_>, at| gate.client.task(caller, at, channel, task_id).await;
    let answer = match gate.call(Class::Verify, about, ask).await?.or_report() {
        Ok(answer) => answer,
        Err(report) => return Ok(report),
    };
    let is_theirs = match answer {
        Ok(view) => {
            task::is_of(&view, contacts)
                && jobs::with_task(deps.store.readers(), job, task_id).await?.is_none()
        }
        Err(error) if partial.gives_up_on(&error) => false,
        Err(_) => return Ok(after_failed_read(deps, gate)),
    };
    if is_theirs {
        return follow(deps, job.clone(), task_id.clone()).await;
    }
    partial.asked_task = true;
    Ok(Report::did(1))
}

async fn follow(deps: &Deps, mut job: Job, task_id: TaskId) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    let detail = format!("task {task_id}, which the answer named, has exactly its contacts");
    job.apply(Event::TaskFound { task_id, next_poll_at: deps.ladder().next_poll(0, now) }, now)?;
    (job.due_at, job.failures) = (None, 0);
    tracing::warn!(job_id = job.id.0, account = %job.account, "in doubt: {detail}; following it");
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let books = booking::read(&mut *connection, &job).await?;
                booking::write(&mut *connection, &mut job, &books.carried_out(), now).await?;
                jobs::save(&mut *connection, &job).await?;
                timeline::of_job(connection, now, job.id, "task_found", &detail).await
            })
        })
        .await?;
    Ok(Report::did(1))
}
