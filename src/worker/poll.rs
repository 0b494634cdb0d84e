//! Polls tasks that are due, and records what became of their contacts.
//!
//! Oldest due first. A poll that fails keeps its place on the ladder and is tried again after a
//! backoff; when calls are scarce it comes later, never earlier. A task whose end was read is
//! never asked about again: state, outcomes and values are one transaction. One that has had its time
//! is given up by a poll that says so, never unasked: it may have ended while the worker stood still.

use std::collections::BTreeSet;

use futures_util::StreamExt;

use crate::api::ApiError;
use crate::domain::failure::ReadFailure;
use crate::domain::job::{Event, State};
use crate::domain::outcome::{self, Outcome, Reading, TaskView};
use crate::domain::turns::Class;
use crate::domain::{AccountId, Millis, PersonnelId, RequestId, TaskId};
use crate::store::jobs::Job;
use crate::store::jobs::due;
use crate::store::{StoreError, Tx, accounts, items, jobs, requests, timeline};
use crate::worker::gate::{Entry, Gate};
use crate::worker::{Deps, Report, read_failure, retry_at};

/// Rows read at once; the rate limit allows far fewer a second.
const AT_ONCE: u32 = 64;
/// Polls in flight; the gate has the last word.
const IN_FLIGHT: usize = 2;

/// Polls what is due.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &deps.gates[account];
    let now = deps.clock.now();
    let next = due::next_poll(deps.store.readers(), account).await?;
    if next.is_none_or(|at| at > now) || !gate.has_usable_key() {
        return Ok(next.map_or(Report::idle(), |at| Report::at(at.max(now.plus(1)))).unless_closed(gate));
    }
    let due = due::to_poll(deps.store.readers(), account, now, AT_ONCE).await?;
    // A person who resumes gives the tasks their full time again.
    let resumed_at = accounts::read(deps.store.readers(), account).await?.resumed_at.map(Millis);
    let reports: Vec<Result<Report, StoreError>> = futures_util::stream::iter(due)
        .map(|job| poll(deps, gate, job, resumed_at))
        .buffered(IN_FLIGHT)
        .collect()
        .await;
    let mut report = Report::idle();
    for one in reports {
        let one = one?;
        report = Report { did: report.did + one.did, ..report.no_later_than(one.next_at) };
    }
    Ok(report)
}

impl Report {
    /// A closed gate opens by a new key, not by time.
    fn unless_closed(self, gate: &Gate) -> Report {
        if gate.has_usable_key() { self } else { Report::idle() }
    }
}

async fn poll(deps: &Deps, gate: &Gate, job: Job, resumed_at: Option<Millis>) -> Result<Report, StoreError> {
    let (State::Polling { task_id, .. }, Some(channel)) = (job.state.clone(), job.channel()) else {
        return Ok(Report::idle());
    };
    let permit = match gate.enter(Class::Poll).await? {
        Entry::Open(permit) => permit,
        Entry::At(at) => return Ok(Report::at(at)),
        Entry::NoKey => return Ok(Report::idle()),
    };
    let caller = permit.caller(Some(job.id), job.event_id.as_ref());
    let answer = gate.client.task(caller, permit.entered_at, channel, &task_id).await;
    let lesson = permit.learn(&answer);
    // Only now: a task may have ended while nobody asked about it.
    let since = job.submitted_at.unwrap_or(job.created_at).max(resumed_at.unwrap_or_default());
    let is_over = deps.ladder().is_over(since, deps.clock.now());
    let report = match answer.result {
        Ok(view) => record_answer(deps, job, &view, is_over).await,
        Err(error) => record_failure(deps, job, &error, is_over).await,
    };
    gate.keep(lesson).await?;
    match report {
        // A person or another pass changed the job while it was polled: read it again.
        Err(StoreError::Stale { .. }) => Ok(Report::did(1)),
        other => other,
    }
}

/// Polls in a row without a usable answer, the last of them an end without a list, before that list is
/// taken for an empty one: the API would most likely say the same for as long as it is asked.
const FAILURES_TO_BELIEVE: u32 = 3;

fn reading(view: &TaskView, known: Option<&BTreeSet<PersonnelId>>, failures: u32) -> Reading {
    match outcome::read(view, known) {
        Reading::EndedUnlisted if failures + 1 >= FAILURES_TO_BELIEVE => {
            outcome::read(&view.without_items(), known)
        }
        reading => reading,
    }
}

async fn record_answer(
    deps: &Deps,
    mut job: Job,
    view: &TaskView,
    is_over: bool,
) -> Result<Report, StoreError> {
    let asked: BTreeSet<PersonnelId> =
        jobs::contacts(deps.store.readers(), job.id).await?.into_iter().collect();
    // An adopted task's contacts are known only if the request named them.
    let known = (!asked.is_empty() || !job.adopted).then_some(&asked);
    let (failed, outcomes, foreign) = match reading(view, known, job.failures) {
        Reading::StillRunning if is_over => {
            job.poll_count += 1;
            return give_up(deps, job).await;
        }
        Reading::StillRunning => return still_running(deps, job).await,
        Reading::EndedUnlisted => {
            tracing::warn!(job_id = job.id.0, "the task has ended, but lists no contacts; asking again");
            return ask_again(deps, job).await;
        }
        Reading::Ended { failed, outcomes, foreign } => (failed, outcomes, foreign),
    };
    if foreign > 0 {
        tracing::warn!(
            job_id = job.id.0,
            foreign,
            "items of the task name no contact, or one that nobody asked for; ignored"
        );
    }
    record_end(deps, job, failed, outcomes).await
}

/// The end, with what became of each contact.
async fn record_end(
    deps: &Deps,
    mut job: Job,
    failed: bool,
    outcomes: Vec<(PersonnelId, Outcome)>,
) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.apply(if failed { Event::TaskFailed } else { Event::TaskCompleted }, now)?;
    job.poll_count += 1;
    let detail = summary(&outcomes);
    let accepted_at = job.submitted_at;
    let adopter = match (&job.task_id, job.adopted) {
        (Some(task_id), true) => {
            let readers = deps.store.readers();
            items::adopting_request(readers, &job.account, job.action, task_id.as_str()).await?
        }
        _ => None,
    };
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                if let Some(request_id) = adopter {
                    let named: Vec<_> = outcomes.iter().map(|(id, _)| id.clone()).collect();
                    items::add_named(&mut *connection, job.id, request_id, &named).await?;
                }
                items::finish(&mut *connection, job.id, job.event_id.as_ref(), &outcomes, now).await?;
                end(connection, &job, adopter, &detail, now).await
            })
        })
        .await?;
    if let Some(accepted_at) = accepted_at {
        deps.store.metrics().task_ended(accepted_at, now);
    }
    Ok(Report::did(1))
}

/// Ends a job whose items have their outcomes, and the requests that waited for nothing else. The
/// request that adopted a task may have no items at all.
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

/// Counts by outcome, such as "71 delivered, 3 failed".
fn summary(outcomes: &[(PersonnelId, Outcome)]) -> String {
    let mut parts = Vec::new();
    for name in Outcome::NAMES {
        let count = outcomes.iter().filter(|(_, outcome)| outcome.name() == name).count();
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.join(", ")
}

async fn still_running(deps: &Deps, mut job: Job) -> Result<Report, StoreError> {
    // The step runs from the answer: a call may be long under way before it arrives.
    let (poll_count, now) = (job.poll_count + 1, deps.clock.now());
    let next_poll_at = deps.ladder().next_poll(poll_count, now);
    job.apply(Event::StillRunning { poll_count, next_poll_at }, now)?;
    job.failures = 0;
    save(deps, job).await?;
    Ok(Report::did(1))
}

/// Polls of a task that must have failed in a row before it is given up unread: some minutes, so that
/// trouble just after a long stop costs nothing.
const FAILURES_TO_GIVE_UP: u32 = 10;

async fn record_failure(
    deps: &Deps,
    mut job: Job,
    error: &ApiError,
    is_over: bool,
) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    match read_failure(error) {
        ReadFailure::Gone => return gone(deps, job, error, now).await,
        // The gate waits; the job keeps its place.
        ReadFailure::WaitForRateLimit { .. } | ReadFailure::StopAccount => return Ok(Report::did(1)),
        ReadFailure::TryAgain => {}
    }
    if is_over && job.failures + 1 >= FAILURES_TO_GIVE_UP {
        job.failures += 1;
        return give_up(deps, job).await;
    }
    ask_again(deps, job).await
}

/// The answer was of no use: tries again after a backoff.
async fn ask_again(deps: &Deps, mut job: Job) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.failures += 1;
    // A retry is a poll too: never ahead of the step.
    let step = deps.ladder().next_poll(job.poll_count, now);
    let next_poll_at = retry_at(now, job.failures).max(step);
    let poll_count = job.poll_count;
    job.apply(Event::StillRunning { poll_count, next_poll_at }, now)?;
    save(deps, job).await?;
    Ok(Report::did(1))
}

/// 404, or an id that makes no sense to the API: the task is lost, without a loop.
async fn gone(deps: &Deps, mut job: Job, error: &ApiError, now: Millis) -> Result<Report, StoreError> {
    job.apply(Event::TaskGone, now)?;
    let task_id = job.task_id.as_ref().map(TaskId::to_string).unwrap_or_default();
    let status = error.status.unwrap_or_default();
    let detail = format!("the API does not know task {task_id} (status {status}); not asked again");
    end_all(deps, job, Outcome::Lost, detail, now).await
}

async fn give_up(deps: &Deps, mut job: Job) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.apply(Event::GaveUp, now)?;
    let detail = "the task did not end in time; unlockd resume polls it again".to_owned();
    end_all(deps, job, Outcome::Expired, detail, now).await
}

async fn end_all(
    deps: &Deps,
    job: Job,
    outcome: Outcome,
    detail: String,
    now: Millis,
) -> Result<Report, StoreError> {
    let task_id = job.task_id.as_ref().map(TaskId::to_string).unwrap_or_default();
    let adopter = items::adopting_request(deps.store.readers(), &job.account, job.action, &task_id).await?;
    tracing::warn!(job_id = job.id.0, task_id, state = job.state.name(), "{detail}");
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                items::finish_all(&mut *connection, job.id, job.event_id.as_ref(), &outcome, now).await?;
                end(connection, &job, adopter, &detail, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

async fn save(deps: &Deps, job: Job) -> Result<(), StoreError> {
    deps.store.write(move |connection| Box::pin(async move { jobs::save(connection, &job).await })).await
}
