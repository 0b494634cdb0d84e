//! Polls tasks that are due.
//!
//! Oldest due first. A poll that fails keeps its place in the poll steps and is repeated after a backoff;
//! when few calls are left, a poll comes later, never earlier. After a task's end was read it is never polled
//! again (`task_end`). A task past `polling.give_up_after` is given up only after one more poll, and after ten in all: it
//! may have ended while the worker was stopped, or the clock was set ahead. Values that a running task already shows are stored at once.

use std::collections::BTreeSet;

use futures_util::StreamExt;

use crate::api::ApiError;
use crate::domain::failure::{self, ReadFailure};
use crate::domain::job::{Event, State};
use crate::domain::outcome::Outcome;
use crate::domain::rate::FEWEST_IN_FLIGHT;
use crate::domain::task::{self, Reading, TaskView};
use crate::domain::turns::Class;
use crate::domain::{AccountId, Millis, PersonnelId};
use crate::store::jobs::Job;
use crate::store::jobs::due;
use crate::store::{StoreError, accounts, items, jobs, requests};
use crate::worker::gate::{Entry, Gate};
use crate::worker::task_end::{give_up, gone, record_end};
use crate::worker::{Deps, Report, retry_at};

/// Rows read at once while the API answers quickly; the rate limit allows far fewer polls a second.
const AT_ONCE: usize = 64;

/// Polls the jobs that are due.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &*deps.gate(account);
    let now = deps.clock.now();
    let next = due::next_poll(deps.store.readers(), account).await?;
    if next.is_none_or(|at| at > now) || !gate.has_usable_key() {
        return Ok(next.map_or(Report::idle(), |at| Report::at(at.max(now.plus(1)))).unless_closed(gate));
    }
    let in_flight = gate.worth_in_flight();
    // The others hear of a run's results at its end, so with slow answers one run is one call long.
    let at_once = if in_flight > FEWEST_IN_FLIGHT { in_flight } else { AT_ONCE };
    let due = due::to_poll(deps.store.readers(), account, now, at_once as u32).await?;
    // A resume gives the tasks their full time again.
    let resumed_at = accounts::read(deps.store.readers(), account).await?.resumed_at.map(Millis);
    let reports: Vec<Result<Report, StoreError>> = futures_util::stream::iter(due)
        .map(|job| poll(deps, gate, job, resumed_at))
        .buffer_unordered(in_flight)
        .collect()
        .await;
    let mut report = Report::idle();
    for one in reports {
        report = report.and(one?);
    }
    Ok(report)
}

impl Report {
    /// A new key opens a closed gate; waiting does not.
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
    // Only after this poll: the task may have ended while nobody polled it.
    let since = job.submitted_at.unwrap_or(job.created_at).max(resumed_at.unwrap_or_default());
    let polls = job.poll_count.saturating_add(job.failures).saturating_add(1);
    let is_over = deps.ladder().is_over(since, deps.clock.now(), polls);
    let report = match answer.result {
        Ok(view) => record_answer(deps, job, &view, is_over).await,
        Err(error) => record_failure(deps, job, &error, is_over).await,
    };
    gate.keep(lesson).await?;
    match report {
        // A person or another pass changed the job during the poll: read it again.
        Err(StoreError::Stale { .. }) => Ok(Report::did(1)),
        other => other,
    }
}

/// Polls in a row without a usable answer, the last of them a task's end without a list. After so many, the
/// list counts as empty: the API would most likely repeat the same answer for ever.
const FAILURES_TO_BELIEVE: u32 = 3;

fn reading(view: &TaskView, known: Option<&BTreeSet<PersonnelId>>, job: &Job, now: Millis) -> Reading {
    let running_ms = now.since(job.submitted_at.unwrap_or(job.created_at));
    match task::read(view, known, running_ms) {
        Reading::EndedUnlisted if job.failures + 1 >= FAILURES_TO_BELIEVE => {
            task::read(&view.without_items(), known, running_ms)
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
        jobs::contacts::of_task(deps.store.readers(), job.id).await?.into_iter().collect();
    // The contacts of an adopted task are known only if the request named them.
    let known = (!asked.is_empty() || !job.adopted).then_some(&asked);
    let (failed, outcomes, foreign) = match reading(view, known, &job, deps.clock.now()) {
        Reading::StillRunning { .. } if is_over => {
            job.poll_count += 1;
            return give_up(deps, job, task::in_hand(view, known)).await;
        }
        // If the task's contacts are not known, the first ones it names would count as all of them.
        Reading::StillRunning { .. } if known.is_none() => return still_running(deps, job, Vec::new()).await,
        Reading::StillRunning { delivered } => return still_running(deps, job, delivered).await,
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

async fn still_running(
    deps: &Deps,
    mut job: Job,
    delivered: Vec<(PersonnelId, Outcome)>,
) -> Result<Report, StoreError> {
    // The step starts at the answer: a call may take long to arrive.
    let (poll_count, now) = (job.poll_count + 1, deps.clock.now());
    let next_poll_at = deps.ladder().next_poll_of(poll_count, accepted_at(&job), now);
    job.apply(Event::StillRunning { poll_count, next_poll_at }, now)?;
    job.failures = 0;
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                jobs::save(&mut *connection, &job).await?;
                if delivered.is_empty() {
                    return Ok(());
                }
                items::finish(&mut *connection, job.id, job.event_id.as_ref(), &delivered, now).await?;
                requests::finish_complete_of_job(connection, job.id, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

fn accepted_at(job: &Job) -> Millis {
    job.submitted_at.unwrap_or(job.created_at)
}

/// A task past its time is given up unread after this many failed polls in a row. That takes some minutes, so
/// that errors just after a long stop lose no result.
const FAILURES_TO_GIVE_UP: u32 = 10;

async fn record_failure(
    deps: &Deps,
    mut job: Job,
    error: &ApiError,
    is_over: bool,
) -> Result<Report, StoreError> {
    let accepted_at = job.submitted_at.filter(|_| !job.adopted);
    let accepted_ms_ago = accepted_at.map(|at| deps.clock.now().since(at));
    match failure::poll(error.failure, accepted_ms_ago) {
        ReadFailure::Gone => return gone(deps, job, error).await,
        // The gate waits; the job keeps its place in the poll steps.
        ReadFailure::WaitForRateLimit { .. } | ReadFailure::StopAccount => return Ok(Report::did(1)),
        ReadFailure::TryAgain => {}
    }
    if is_over && job.failures + 1 >= FAILURES_TO_GIVE_UP {
        job.failures += 1;
        return give_up(deps, job, Vec::new()).await;
    }
    ask_again(deps, job).await
}

/// The answer was not usable: polls again after a backoff.
async fn ask_again(deps: &Deps, mut job: Job) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.failures += 1;
    // A retry is a poll, too: never earlier than the step.
    let step = deps.ladder().next_poll_of(job.poll_count, accepted_at(&job), now);
    let next_poll_at = retry_at(now, job.failures).max(step);
    let poll_count = job.poll_count;
    job.apply(Event::StillRunning { poll_count, next_poll_at }, now)?;
    save(deps, job).await?;
    Ok(Report::did(1))
}

async fn save(deps: &Deps, job: Job) -> Result<(), StoreError> {
    deps.store.write(move |connection| Box::pin(async move { jobs::save(connection, &job).await })).await
}
