//! The reasons why a job waits, each with what would unblock it: half of the texts of `unlockd explain`.
//!
//! A queued job waits to be sent, or for credits, a key or a person; a job in doubt waits for a check or a person;
//! a polled job waits for its task. For a job in doubt it also shows the evidence and the possible cost.

use crate::api::SLOT_TAKEN;
use crate::domain::job::{Doubt, Event, WaitReason};
use crate::domain::needs::{Lack, Limits, Need, Parked};
use crate::domain::{AccountId, Action, Credits, JobId};
use crate::store::report::jobs::{self, Job};
use crate::store::report::{Time, plural, progress};
use crate::store::{Store, StoreError};
use crate::worker::people::wait::Wait;

pub(in crate::worker) async fn job_wait(
    store: &Store,
    job: &Job,
    paused: Option<Time>,
    (key_refused, busy): (bool, Option<&str>),
    (lack, limits): (Option<Lack>, Limits),
) -> Result<Wait, StoreError> {
    let (id, account) = (job.id, &job.account);
    let blank = Wait { job_id: Some(id), reason: job.state.clone(), ..Wait::default() };
    Ok(match (job.state.as_str(), job.state_reason.as_deref()) {
        ("queued", Some(reason)) => {
            queued(job, reason, (lack, limits), progress::last_event(store, None, Some(id), "waits").await?)
        }
        ("queued", None) if paused.is_some() => Wait {
            reason: "paused".to_owned(),
            what: format!("job {id} is not sent: account {account} is paused"),
            since: paused,
            unblock: Some(format!("unlockd resume --account {account}")),
            needs_person: true,
            ..blank
        },
        ("queued", None) => Wait {
            what: match busy {
                Some(tasks) => format!("job {id}{} is not sent yet: {tasks}", size(job)),
                None => match last_refusal(store, id).await? {
                    Some(refusal) => format!("job {id}{} is sent again: {refusal}", size(job)),
                    None => format!("job {id}{} is ready; it is sent next", size(job)),
                },
            },
            since: Some(job.created_at),
            next_try_at: job.due_at,
            needs_person: key_refused,
            ..blank
        },
        ("in_doubt", reason) => {
            let answer = progress::last_detail(store, id, Event::AnswerLost.name()).await?;
            in_doubt(job, reason, key_refused, &answer.unwrap_or_default())
        }
        ("polling", _) => Wait {
            what: format!(
                "task {} of job {id} is running; it was asked about {}",
                job.task_id.as_deref().unwrap_or_default(),
                plural(job.poll_count, "time")
            ),
            since: job.submitted_at,
            next_try_at: job.next_poll_at,
            needs_person: key_refused,
            ..blank
        },
        _ => Wait { what: format!("job {id} is being sent"), since: job.submitted_at, ..blank },
    })
}

/// Why the last call of a job that is queued had no effect.
async fn last_refusal(store: &Store, id: i64) -> Result<Option<String>, StoreError> {
    let attempts = jobs::attempts(store, id).await?;
    let Some(last) = attempts.last().filter(|last| last.result.as_deref() == Some("refused")) else {
        return Ok(None);
    };
    let status = last.status.map(|status| format!("status {status}"));
    let words = [status, last.error_key.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ");
    Ok(Some(match last.error_key.as_deref() {
        Some(SLOT_TAKEN) => {
            format!("another search of this key's owner is under way ({words}), and nothing was charged")
        }
        _ => format!("its last call was refused ({words}), and nothing was charged"),
    }))
}

fn size(job: &Job) -> String {
    match Action::parse(&job.action).and_then(Action::channel) {
        Some(_) => format!(" with {}", plural(job.contacts, "contact")),
        None => String::new(),
    }
}

fn queued(job: &Job, reason: &str, (lack, limits): (Option<Lack>, Limits), since: Option<Time>) -> Wait {
    let (id, account) = (job.id, &job.account);
    let wait = Wait {
        job_id: Some(id),
        reason: reason.to_owned(),
        since: since.or(job.due_at),
        needs_person: true,
        ..Wait::default()
    };
    let name = AccountId::trusted(account.clone());
    let work = Parked { jobs: 1, oldest: Some(JobId(id)), items: 0, lack };
    let since = wait.since;
    let Some(known) = WaitReason::parse(reason) else {
        // An unknown reason is shown as its own word.
        return Wait { what: format!("job {id} waits: {reason}"), next_try_at: job.due_at, ..wait };
    };
    match known {
        WaitReason::InsufficientCredits => {
            Wait { since, ..Wait::for_person(&Need::Credits { account: name, work }) }
        }
        WaitReason::Budget => {
            Wait { since, ..Wait::for_person(&Need::Budget { account: name, work, limits }) }
        }
        WaitReason::InvalidApiKey => Wait {
            what: format!("job {id} waits for a key that the API accepts for account {account}"),
            unblock: Some("put a valid key in the configuration: unlockd check".to_owned()),
            ..wait
        },
        WaitReason::Conflict => Wait {
            what: format!(
                "job {id} met a conflict at the API (409, or the word of its precheck); it is asked about again first"
            ),
            next_try_at: job.due_at,
            needs_person: false,
            ..wait
        },
    }
}

/// `answer`: what the timeline says about it; nothing, if there was none.
fn in_doubt(job: &Job, reason: Option<&str>, key_refused: bool, answer: &str) -> Wait {
    let id = job.id;
    let evidence = job.evidence.as_deref().unwrap_or("not looked at yet");
    let cost = Credits(job.cost.unwrap_or_default());
    let wait = Wait {
        job_id: Some(id),
        reason: reason.unwrap_or("in_doubt").to_owned(),
        since: job.doubt_since,
        next_try_at: job.due_at,
        needs_person: key_refused,
        ..Wait::default()
    };
    let decide =
        format!("unlockd resolve {id} --resubmit --credits {}, or unlockd resolve {id} --write-off", cost.0);
    match reason.and_then(Doubt::parse) {
        Some(Doubt::NeedsDecision) => {
            let account = AccountId::trusted(job.account.clone());
            let said = Wait::for_person(&Need::Decision { account, job: JobId(id), credits: cost });
            Wait {
                what: format!("{}: {evidence}", said.what),
                since: wait.since,
                next_try_at: wait.next_try_at,
                ..said
            }
        }
        Some(Doubt::CarriedOut) => Wait {
            what: format!("job {id} took effect although its answer was lost; its values are being read"),
            ..wait
        },
        Some(Doubt::Looking) | None => Wait {
            what: format!(
                "job {id} was sent and {}; whether it took effect is being looked up, and it is not sent again: \
                 {evidence}",
                match answer {
                    "" => "the answer was lost".to_owned(),
                    answer => format!("its answer cannot be relied on ({answer})"),
                }
            ),
            unblock: Some(format!("nothing is needed; to decide by hand: {decide}")),
            ..wait
        },
    }
}
