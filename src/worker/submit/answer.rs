//! Records the result of a paid POST in one transaction.
//!
//! Accepted: the task id, the charge, the contacts that were skipped. Refused: by the error matrix; the call is
//! divided if some of its contacts may be the reason (`divide`). No readable answer: in doubt, with the
//! credits still held; the verify pass checks what happened. If the database fails here, the task id is printed
//! to standard error as a last resort.

use std::collections::BTreeMap;

use crate::api::{Answer, ApiError};
use crate::domain::booking::Accepted as Taken;
use crate::domain::division::{self, Division, Submission};
use crate::domain::failure::{self, Failure, SubmissionFailure};
use crate::domain::item::Why;
use crate::domain::job::{Event, State, WaitReason};
use crate::domain::outcome::Outcome;
use crate::domain::sorting::Sorting;
use crate::domain::{Credits, JobId, Millis, PersonnelId};
use crate::store::credits::{balances, booking};
use crate::store::items::reading;
use crate::store::jobs::Job;
use crate::store::jobs::attempts;
use crate::store::jobs::attempts::AttemptEnd;
use crate::store::{StoreError, Tx, items, jobs, requests, timeline};
use crate::worker::doubt::unanswered::book_unanswered;
use crate::worker::gate::Gate;
use crate::worker::submit::divide::{self, Refused};
use crate::worker::{Deps, retry_at};

/// Records the answer to the submission of `job`, which is `submitting`.
///
/// # Errors
/// If the database fails, the record is tried once more after deleting the disk's ballast file; the error is
/// returned in any case, since the process must end.
pub async fn record(
    deps: &Deps,
    gate: &Gate,
    job: Job,
    sorting: &Sorting,
    answer: &Answer<Submission>,
) -> Result<(), StoreError> {
    let now = deps.clock.now();
    let submission = match &answer.result {
        Ok(submission) => submission,
        Err(error) => {
            let (end, detail) = (failed_attempt(error), detail(error));
            let refused = Refused { job: &job, sorting, error, end: &end, detail: &detail };
            let may_divide = failure::submission(error.failure) == SubmissionFailure::Reject;
            if may_divide && divide::divide(deps, gate, refused, now).await? {
                deps.store.metrics().attempt_ended(end.result);
                return Ok(());
            }
            return record_failure(deps, gate, job, error, now).await;
        }
    };
    let (job_id, task_id, account) = (job.id, accepted_task(submission), job.account.clone());
    let accepted = Accepted { status: answer.status, ..Accepted::new(deps, job, sorting, submission, now)? };
    let result = accepted.result;
    let again = accepted.clone();
    let recorded = deps.store.write(move |connection| Box::pin(accepted.record(connection))).await;
    if let (Err(error), Some(task_id)) = (&recorded, &task_id) {
        let saved =
            deps.store.write_as_last_resort(move |connection| Box::pin(again.record(connection))).await;
        let kept =
            if saved.is_ok() { "it was recorded at the second try" } else { "it could not be recorded" };
        // The credits are spent: the person who reads this can `unlockd adopt` the task.
        say(&format!("task {task_id} of job {job_id} was accepted and paid for, and {kept}: {error}"));
    }
    let has_task = recorded?;
    if let HasTask::Another(other) = has_task {
        tracing::warn!(job_id = job_id.0, account = %account, task_id, other_job_id = other.0,
            "the API answered with the task of another job; whether this call was charged is being looked up");
    }
    deps.store.metrics().attempt_ended(if has_task == HasTask::Own { result } else { "unknown" });
    Ok(())
}

/// Whose the task is that an answer named: the job's own, or that of another job, which has it already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HasTask {
    Own,
    Another(JobId),
}

/// Writes to standard error and not to the log, which may be filtered. If standard error is closed or full, that must not
/// end the process here.
pub(in crate::worker) fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "unlockd: {text}");
}

fn accepted_task(submission: &Submission) -> Option<String> {
    match submission {
        Submission::Accepted { task_id, .. } => Some(task_id.to_string()),
        Submission::NothingChargeable { .. } => None,
    }
}

/// Everything that is recorded about an accepted submission.
#[derive(Clone)]
struct Accepted {
    job: Job,
    /// The same job in doubt: for an answer that names the task of another job.
    in_doubt: Job,
    division: Division,
    /// The price of each contact that was sent.
    prices: BTreeMap<PersonnelId, Credits>,
    result: &'static str,
    /// The status of the answer.
    status: Option<u16>,
    detail: String,
    now: Millis,
}

impl Accepted {
    fn new(
        deps: &Deps,
        mut job: Job,
        sorting: &Sorting,
        submission: &Submission,
        now: Millis,
    ) -> Result<Accepted, StoreError> {
        let sent = &sorting.chargeable;
        let division = division::divide(sent, submission);
        let prices = sorting.prices();
        let mut in_doubt = job.clone();
        in_doubt.answer_lost(now.plus(deps.patience().verify_after_ms), now)?;
        let (result, detail) = match submission {
            Submission::Accepted { task_id, .. } => {
                let next_poll_at = deps.ladder().next_poll(0, now);
                job.apply(Event::TaskAccepted { task_id: task_id.clone(), next_poll_at }, now)?;
                let (taken, quoted) =
                    (division.accepted.len(), sent.len().saturating_sub(sorting.unlocked_elsewhere));
                let mut detail = format!("task {task_id}, {taken} contacts accepted");
                if taken > quoted {
                    tracing::warn!(job_id = job.id.0, account = %job.account, taken, quoted,
                        "the API takes more contacts than its precheck would charge for; the price of all of them is booked");
                    detail.push_str(&format!(", {quoted} by the precheck"));
                }
                match sent.len().saturating_sub(taken) {
                    0 => {}
                    skipped => detail.push_str(&format!(", {skipped} skipped")),
                }
                ("accepted", detail)
            }
            Submission::NothingChargeable { .. } => {
                job.apply(Event::NothingChargeable, now)?;
                ("nothing_chargeable", String::new())
            }
        };
        job.submitted_at = Some(now);
        job.failures = 0;
        job.contacts = division.accepted.len() as u32;
        Ok(Accepted { job, in_doubt, division, prices, result, status: None, detail, now })
    }

    /// Task id, charge, and the outcomes of the contacts that were skipped.
    async fn record(self, connection: &mut Tx) -> Result<HasTask, StoreError> {
        if let State::Polling { task_id, .. } = &self.job.state
            && let Some(other) = jobs::with_task(&mut *connection, &self.job, task_id).await?
        {
            let detail = format!("the answer names task {task_id}, which job {other} already has");
            self.record_doubt(connection, &detail).await?;
            return Ok(HasTask::Another(other));
        }
        let Accepted { mut job, division, prices, result, status, detail, now, .. } = self;
        let books = booking::read(&mut *connection, &job).await?;
        items::finish(&mut *connection, job.id, job.event_id.as_ref(), &division.ended, now).await?;
        let payers_with_unlocked = booking::payers(&mut *connection, job.id).await?;
        let unlocked = division.read_from_profile.iter().map(|id| (id.clone(), Why::Skipped));
        let unlocking = division.being_unlocked.iter().map(|id| (id.clone(), Why::Unlocking));
        let skipped: Vec<_> = unlocked.chain(unlocking).collect();
        reading::to_reading(&mut *connection, job.id, &skipped, now).await?;
        let payers = booking::payers(&mut *connection, job.id).await?;
        let costs = requests::costs(&mut *connection, job.id, &prices).await?;
        let accepted = Taken { costs: &costs, payers: &payers, payers_with_unlocked: &payers_with_unlocked };
        booking::write(&mut *connection, &mut job, &books.accepted(accepted), now).await?;
        let end = AttemptEnd { result, status, ..AttemptEnd::default() };
        attempts::end_attempt(&mut *connection, job.id, &end, now).await?;
        jobs::save(&mut *connection, &job).await?;
        timeline::of_job(&mut *connection, now, job.id, result, &detail).await?;
        requests::finish_complete_of_job(connection, job.id, now).await?;
        Ok(HasTask::Own)
    }

    /// The answer names the task of another job: nothing in it is believed, and the credits stay held.
    async fn record_doubt(&self, connection: &mut Tx, detail: &str) -> Result<(), StoreError> {
        let (job, now) = (&self.in_doubt, self.now);
        let end = AttemptEnd { result: "unknown", status: self.status, ..AttemptEnd::default() };
        attempts::end_attempt(&mut *connection, job.id, &end, now).await?;
        jobs::save(&mut *connection, job).await?;
        timeline::of_job(connection, now, job.id, Event::AnswerLost.name(), detail).await
    }
}

pub(in crate::worker) async fn record_failure(
    deps: &Deps,
    gate: &Gate,
    mut job: Job,
    error: &ApiError,
    now: Millis,
) -> Result<(), StoreError> {
    let meaning = failure::submission(error.failure);
    let end = failed_attempt(error);
    deps.store.metrics().attempt_ended(end.result);
    let event = event_of(meaning);
    if event != Event::AnswerLost {
        job.apply(event.clone(), now)?;
    }
    let took_no_effect = meaning != SubmissionFailure::Doubt;
    match meaning {
        SubmissionFailure::Doubt => {
            job.answer_lost(now.plus(deps.patience().verify_after_ms), now)?;
            // Evidence: the first check reads this task.
            job.task_id = error.task_id.as_deref().cloned();
        }
        SubmissionFailure::Park => {
            let last = balances::last_snapshot(deps.store.readers(), &gate.account).await?;
            job.parked_balance = last.map(|snapshot| Credits(snapshot.total));
            job.due_at = Some(now);
        }
        SubmissionFailure::TryAgain | SubmissionFailure::ReadStateFirst => {
            job.failures += 1;
            job.due_at = Some(retry_at(now, job.failures));
        }
        SubmissionFailure::WaitForRateLimit { .. } => {
            // The gate waits; meanwhile jobs that were not refused yet go first.
            job.failures += 1;
            job.due_at = None;
        }
        _ => job.due_at = None,
    }
    let rejected = (meaning == SubmissionFailure::Reject)
        .then(|| Outcome::Rejected { error_code: error.error_key.clone() });
    let detail = detail(error);
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let books = booking::read(&mut *connection, &job).await?;
                let booked = if took_no_effect { books.took_no_effect() } else { books.lost() };
                booking::write(&mut *connection, &mut job, &booked, now).await?;
                attempts::end_attempt(&mut *connection, job.id, &end, now).await?;
                if let Some(outcome) = &rejected {
                    items::finish_all(&mut *connection, job.id, job.event_id.as_ref(), outcome, now).await?;
                    book_unanswered(&mut *connection, &mut job, &[], now).await?;
                }
                jobs::save(&mut *connection, &job).await?;
                timeline::of_job(&mut *connection, now, job.id, event.name(), &detail).await?;
                match rejected {
                    Some(_) => requests::finish_complete_of_job(connection, job.id, now).await,
                    None => Ok(()),
                }
            })
        })
        .await
}

fn failed_attempt(error: &ApiError) -> AttemptEnd {
    AttemptEnd {
        result: match error.failure {
            Failure::NotSent => "not_sent",
            Failure::Refused(_) => "refused",
            Failure::Unknown => "unknown",
        },
        status: error.status,
        error_key: error.error_key.clone(),
        trace_id: error.trace_id.clone(),
    }
}

fn event_of(meaning: SubmissionFailure) -> Event {
    let waits_for = match meaning {
        SubmissionFailure::Doubt => return Event::AnswerLost,
        SubmissionFailure::Reject => return Event::Refused,
        SubmissionFailure::TryAgain | SubmissionFailure::WaitForRateLimit { .. } => None,
        SubmissionFailure::StopAccount => Some(WaitReason::InvalidApiKey),
        SubmissionFailure::Park => Some(WaitReason::InsufficientCredits),
        SubmissionFailure::ReadStateFirst => Some(WaitReason::Conflict),
    };
    Event::TookNoEffect { waits_for }
}

fn detail(error: &ApiError) -> String {
    let parts = [
        error.status.map(|status| format!("status {status}")),
        error.error_key.clone(),
        error.trace_id.as_ref().map(|trace_id| format!("trace {trace_id}")),
        error.task_id.as_ref().map(|task_id| format!("names task {task_id}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
