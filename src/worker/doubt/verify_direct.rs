//! Direct actions whose answer was lost: did the call take effect?
//!
//! There is no task to check. The list of an event's people shows whether base access is unlocked, and a precheck shows
//! the visitor layer; if a layer seems locked but is not, unlocking it again is free. While a precheck says that the base
//! is unlocked, and the list does not, nothing is sent. A repeat of full access charges for the layers that are locked by
//! then, so it needs a precheck that shows a locked layer. A search changes only the balance, and is never repeated
//! without a person's decision, even if it is a GET.
//! `domain::doubt` judges all of them, with a balance read during the check.

use crate::domain::direct::Direct;
use crate::domain::doubt::{self, EventVerdict, Gone, Verdict};
use crate::domain::item::Why;
use crate::domain::job::Event;
use crate::domain::layers::Shown;
use crate::domain::outcome::Source;
use crate::domain::turns::Class;
use crate::domain::{Credits, EventId, Layers, Millis};
use crate::store::credits::{balances, booking};
use crate::store::items::reading;
use crate::store::jobs::Job;
use crate::store::jobs::attempts;
use crate::store::{StoreError, direct, jobs, requests, timeline};
use crate::worker::balance::{after_failed_read, read_balance};
use crate::worker::direct::unanswered_result;
use crate::worker::doubt::evidence::gone;
use crate::worker::doubt::{unanswered, unread};
use crate::worker::event_access::{Read, ask_precheck_too, read_access};
use crate::worker::gate::Gate;
use crate::worker::{Deps, Report, retry_at};

/// After this many lost answers to the unlocks of one event for a request, a person is asked: repeating it is free, but
/// something is wrong.
const LOST_ANSWERS_UNTIL_ASKED: u32 = 5;

/// Checks whether a call whose answer was lost took effect.
pub(in crate::worker) async fn look(deps: &Deps, gate: &Gate, job: &Job) -> Result<Report, StoreError> {
    // The balance must not be older than this check: the credits missing in it are all the evidence there is.
    let last = balances::last_snapshot(deps.store.readers(), &job.account).await?;
    let due = job.due_at.unwrap_or_default();
    let Some(snapshot) = last.filter(|snapshot| Millis(snapshot.asked_at) >= due) else {
        let report = read_balance(deps, gate, "in_doubt").await?;
        if gate.no_balance_until() > deps.clock.now() {
            unread::ask_a_person(deps, job).await?;
        }
        return Ok(report);
    };
    let gone = gone(deps.store.readers(), job, &snapshot).await?;
    match direct::wish(deps.store.readers(), job.id).await? {
        Some(Direct::Event { layers, event_id }) => {
            look_at_event(deps, gate, job.clone(), (layers, &event_id), gone.unexplained()).await
        }
        _ => look_at_search(deps, job.clone(), gone).await,
    }
}

async fn look_at_event(
    deps: &Deps,
    gate: &Gate,
    mut job: Job,
    (layers, event_id): (Layers, &EventId),
    gone: Option<(Credits, Credits)>,
) -> Result<Report, StoreError> {
    let shown = match read_access(gate, Class::Verify, job.id, (layers, event_id)).await? {
        Read::Shown(shown) => shown,
        Read::Later(Some(report)) => return Ok(report),
        // The balance could be read, so the API works, and only this endpoint never answers.
        Read::Later(None) if unread::is_over(deps, &job) => Shown::nothing(),
        Read::Later(None) => return Ok(after_failed_read(deps, gate)),
    };
    let shown = match layers {
        Layers::Base => match ask_precheck_too(gate, Class::Verify, job.id, event_id, shown).await? {
            Ok(shown) => shown,
            Err(report) => return Ok(report),
        },
        Layers::Visitors | Layers::Both => shown,
    };
    let (now, cost) = (deps.clock.now(), job.cost.unwrap_or_default());
    (job.looks, job.due_at) = (job.looks + 1, None);
    let (waited_ms, looks, patience) =
        (now.since(job.doubt_since.unwrap_or(now)), job.looks, deps.patience());
    let verdict = match layers {
        _ if shown.contradicts_itself() => {
            doubt::weigh_contradiction(gone, cost, looks, (waited_ms, now), patience)
        }
        Layers::Base | Layers::Visitors => doubt::weigh_event(shown.is_open == Some(true), gone, cost),
        Layers::Both => {
            doubt::weigh_full_access(shown.is_open, gone, cost, looks, (waited_ms, now), patience)
        }
    };
    match verdict {
        EventVerdict::Open { charge } => proven_open(deps, job, shown, charge, now).await,
        EventVerdict::AskAgain => ask_again(deps, job, now).await,
        EventVerdict::LookAgainAt(at) => {
            job.due_at = Some(at);
            keep_look(deps, job, "looked", shown.words, now).await
        }
        EventVerdict::NeedsDecision => {
            let name = unread::name(&job.state, Some(&Event::StayedUnclear));
            job.apply(Event::StayedUnclear, now)?;
            let evidence = match shown.contradicts_itself() {
                true => {
                    format!("{}: it cannot be told which of them is right, and nothing is sent", shown.words)
                }
                false => format!("{}: it cannot be told whether a repeat would be charged", shown.words),
            };
            keep_look(deps, job, name, evidence, now).await
        }
    }
}

async fn proven_open(
    deps: &Deps,
    mut job: Job,
    Shown { words, semantics, .. }: Shown,
    charge: Credits,
    now: Millis,
) -> Result<Report, StoreError> {
    let event_id = job.event_id.clone();
    job.apply(Event::ProvenCarriedOut, now)?;
    job.apply(Event::ValuesRead, now)?;
    let evidence = format!("it is open ({words}); {charge} credits are booked for it");
    job.evidence = Some(evidence.clone());
    tracing::warn!(job_id = job.id.0, account = %job.account, "in doubt: {evidence}");
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let books = booking::read(&mut *connection, &job).await?;
                let booked = books.proven_open(charge);
                let charge = booked.charge;
                let source = if charge > Credits::ZERO { Source::Task } else { Source::Profile };
                booking::write(&mut *connection, &mut job, &booked, now).await?;
                let result = unanswered_result(event_id.as_ref(), charge);
                direct::keep_result(&mut *connection, job.id, charge, &result, now).await?;
                reading::all_to_reading(&mut *connection, job.id, Why::LostAnswer, now).await?;
                direct::add_to_result(&mut *connection, job.id, &semantics).await?;
                direct::finish(&mut *connection, job.id, Some(source), now).await?;
                jobs::save(&mut *connection, &job).await?;
                timeline::of_job(&mut *connection, now, job.id, "proven_carried_out", &evidence).await?;
                requests::finish_complete_of_job(connection, job.id, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

async fn ask_again(deps: &Deps, mut job: Job, now: Millis) -> Result<Report, StoreError> {
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let lost = attempts::unanswered_unlocks(&mut *connection, &job).await?;
                let (event, detail) = if lost < LOST_ANSWERS_UNTIL_ASKED {
                    job.failures += 1;
                    job.due_at = Some(retry_at(now, job.failures));
                    (
                        Event::ProvenNotCarriedOut,
                        "it is not open; asked for again, which charges nothing for what is open by then",
                    )
                } else {
                    (
                        Event::StayedUnclear,
                        "it is not open, and no call was answered: resolve --resubmit asks again",
                    )
                };
                let name = unread::name(&job.state, Some(&event));
                job.evidence = Some(detail.to_owned());
                job.apply(event, now)?;
                if lost < LOST_ANSWERS_UNTIL_ASKED {
                    unanswered::ask_again(&mut *connection, &mut job, now).await?;
                }
                jobs::save(&mut *connection, &job).await?;
                timeline::of_job(connection, now, job.id, name, detail).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

async fn look_at_search(deps: &Deps, mut job: Job, gone: Gone) -> Result<Report, StoreError> {
    let (now, cost) = (deps.clock.now(), job.cost.unwrap_or_default());
    job.looks += 1;
    let since = job.doubt_since.unwrap_or(now);
    let unexplained = gone.unexplained();
    let verdict = doubt::weigh_search(unexplained, cost, job.looks, since, now, deps.patience());
    let quiet = unexplained == Some((Credits::ZERO, Credits::ZERO));
    job.no_effect_looks = if quiet { job.no_effect_looks + 1 } else { 0 };
    let evidence = match gone {
        Gone::Unexplained(least, _) if least >= cost => {
            format!("the balance dropped by {least} credits that no other job explains: it was probably charged, and its results are lost; sending it again pays again")
        }
        Gone::Unexplained(Credits(0), Credits(0)) => {
            "nothing left the balance: it was not carried out, or it found nothing; sending it again costs at most what it says".to_owned()
        }
        Gone::Unexplained(least, most) => {
            format!("the balance dropped by {least} to {most} credits that no other job explains; a search costs {cost}")
        }
        Gone::Moved => {
            "credits were granted or lapsed meanwhile, so the balance proves nothing".to_owned()
        }
        Gone::NotKnown | Gone::NotRead => "no balance from before: nothing can be said".to_owned(),
    };
    let name = match verdict {
        Verdict::LookAgainAt(at) => {
            job.due_at = Some(at);
            "looked"
        }
        _ => {
            let name = unread::name(&job.state, Some(&Event::StayedUnclear));
            job.apply(Event::StayedUnclear, now)?;
            job.due_at = None;
            name
        }
    };
    keep_look(deps, job, name, evidence, now).await
}

/// Records a check that has settled nothing.
async fn keep_look(
    deps: &Deps,
    mut job: Job,
    name: &'static str,
    evidence: String,
    now: Millis,
) -> Result<Report, StoreError> {
    job.evidence = Some(evidence.clone());
    tracing::warn!(job_id = job.id.0, account = %job.account, verdict = name, "in doubt: {evidence}");
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                jobs::save(&mut *connection, &job).await?;
                timeline::of_job(connection, now, job.id, name, &evidence).await
            })
        })
        .await?;
    Ok(Report::did(1))
}
