//! Checks whether a submission whose answer was lost took effect.
//!
//! One check reads the balance, prechecks the batch, and reads a few profiles; `domain::doubt` judges the
//! results. Nothing here sends a paid POST: a job that had no effect goes back to `queued` and is submitted
//! normally, precheck included. If few calls are left, one check may take several runs.

use crate::api::{Caller, Subject};
use crate::domain::booking::payers_of_the_rest;
use crate::domain::doubt::{self, Gone, Look, Profiles, Verdict};
use crate::domain::item::Why;
use crate::domain::job::Event;
use crate::domain::outcome::{Access, Outcome};
use crate::domain::sorting::Quote;
use crate::domain::turns::Class;
use crate::domain::{AccountId, Channel, Credits, JobId, Millis, PersonnelId};
use crate::store::credits::{balances, booking};
use crate::store::items::reading;
use crate::store::jobs::{Job, due};
use crate::store::{StoreError, Tx, items, jobs, requests, timeline};
use crate::worker::balance::{after_failed_read, read_balance};
use crate::worker::doubt::evidence::{PartialLook, gone};
use crate::worker::doubt::named_task;
use crate::worker::doubt::unanswered::take_back;
use crate::worker::doubt::unread;
use crate::worker::doubt::verify_direct;
use crate::worker::gate::Gate;
use crate::worker::{Deps, Report};

/// Profiles read in one check: enough to contradict a precheck, few enough to leave calls for other work.
const SAMPLE: usize = 3;

/// Checks the in-doubt jobs that are due.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &*deps.gate(account);
    if !gate.has_usable_key() {
        return Ok(Report::idle());
    }
    let now = deps.clock.now();
    let mut report = Report::idle();
    for job in in_turn(deps, account).await? {
        if !unread::is_looked_up(&job) {
            continue;
        }
        let due = job.due_at.unwrap_or_default().max(gate.trouble_until());
        if due > now {
            report = report.no_later_than(Some(due));
            continue;
        }
        let looked = match job.channel() {
            Some(channel) => look(deps, gate, &job, channel).await,
            None => verify_direct::look(deps, gate, &job).await,
        };
        let one = match looked {
            // A person has decided meanwhile.
            Err(StoreError::Stale { .. }) => Report::did(1),
            other => other?,
        };
        report = Report { did: report.did + one.did, ..report.no_later_than(one.next_at) };
        if one.did == 0 {
            break;
        }
    }
    Ok(report)
}

/// The jobs to look at, each for one call. Where every profile is read, a check takes a call for each contact, and it
/// began because nothing else helped. So those come after the others, one by one: the others have a few calls to go,
/// and what they prove may be what explains these.
async fn in_turn(deps: &Deps, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    let long: Vec<JobId> =
        deps.looks().iter().filter(|(_, look)| look.reads_all).map(|((job_id, _), _)| *job_id).collect();
    let mut turn = due::in_doubt(deps.store.readers(), account, &long, due::Part::Others).await?;
    if !long.is_empty() {
        turn.extend(due::in_doubt(deps.store.readers(), account, &long, due::Part::FirstOfThese).await?);
    }
    Ok(turn)
}

/// One step of a check; the last step judges the evidence.
async fn look(deps: &Deps, gate: &Gate, job: &Job, channel: Channel) -> Result<Report, StoreError> {
    // A person, or an earlier worker, may have changed the job since a check of it began.
    deps.looks().retain(|(job_id, version), _| *job_id != job.id || *version == job.version);
    let mut partial = deps.looks().get(&(job.id, job.version)).cloned().unwrap_or_default();
    if partial.started_at == Millis(0) {
        partial.started_at = deps.clock.now();
    }
    let step = gather(deps, gate, (job, channel), &mut partial).await?;
    match step {
        Step::Report(report) => {
            deps.looks().insert((job.id, job.version), partial);
            Ok(report)
        }
        Step::Complete(gone) => {
            deps.looks().remove(&(job.id, job.version));
            let mut profiles = Profiles::default();
            partial.views().for_each(|view| profiles.add(view.access));
            let shown = partial.shown();
            let look = Look {
                quoted_before: job.quoted_credits,
                quote: partial.quote.flatten(),
                unexplained: gone.unexplained(),
                profiles,
                all_shown: shown.len() >= job.contacts as usize,
            };
            weigh(deps, job.clone(), (&look, gone), shown).await
        }
    }
}

enum Step {
    Report(Report),
    Complete(Gone),
}

async fn gather(
    deps: &Deps,
    gate: &Gate,
    (job, channel): (&Job, Channel),
    partial: &mut PartialLook,
) -> Result<Step, StoreError> {
    let contacts = jobs::contacts::open(deps.store.readers(), job.id).await?;
    if let Some(task_id) = job.task_id.as_ref().filter(|_| !partial.asked_task) {
        let report = named_task::ask(deps, gate, (job, channel, task_id), &contacts, partial).await?;
        return Ok(Step::Report(report));
    }
    if partial.quote.is_none() {
        return ask_precheck(deps, gate, (job, channel), &contacts, partial).await;
    }
    partial.reads_all = reads_all(deps, job, partial);
    if let Some(personnel_id) = next_sample(&contacts, partial.sampled.len(), partial.reads_all) {
        return sample(deps, gate, (job, channel), personnel_id, partial).await;
    }
    // Reads the balance last: it must not be older than the other evidence.
    let last = balances::last_snapshot(deps.store.readers(), &job.account).await?;
    let fresh = last.filter(|snapshot| Millis(snapshot.asked_at) >= partial.started_at);
    match fresh {
        None => {
            let report = read_balance(deps, gate, "in_doubt").await?;
            let is_unread = gate.no_balance_until() > deps.clock.now();
            Ok(match is_unread && unread::goes_without_balance(deps, job, partial).await? {
                true => Step::Complete(Gone::NotRead),
                false => Step::Report(report),
            })
        }
        Some(snapshot) => Ok(Step::Complete(gone(deps.store.readers(), job, &snapshot).await?)),
    }
}

/// Whether to read every profile of the batch: a person is about to be asked and may give the job up, and some of its
/// values can be read for free.
fn reads_all(deps: &Deps, job: &Job, partial: &PartialLook) -> bool {
    let now = deps.clock.now();
    let since = job.doubt_since.unwrap_or(now);
    let is_open = partial.views().any(|view| view.access == Access::Unlocked);
    is_open && doubt::asks_a_person(job.looks + 1, since, now, deps.patience())
}

/// Spreads the sample over the batch: first, middle, last; then the others, if all are wanted.
fn next_sample(contacts: &[PersonnelId], taken: usize, all: bool) -> Option<&PersonnelId> {
    let wanted = SAMPLE.min(contacts.len());
    let place = |number: usize| number * (contacts.len() - 1) / (wanted - 1).max(1);
    if taken < wanted {
        return contacts.get(place(taken));
    }
    let is_other = |at: &usize| !(0..wanted).any(|number| place(number) == *at);
    let mut others = (0..contacts.len()).filter(is_other);
    all.then(|| others.nth(taken - wanted)).flatten().and_then(|at| contacts.get(at))
}

async fn ask_precheck(
    deps: &Deps,
    gate: &Gate,
    (job, channel): (&Job, Channel),
    contacts: &[PersonnelId],
    partial: &mut PartialLook,
) -> Result<Step, StoreError> {
    let subject = Subject::Contacts(channel, contacts);
    let ask = async |caller: Caller<'_>, at| gate.client.precheck(caller, at, subject).await;
    let about = (Some(job.id), job.event_id.as_ref());
    let answer = match gate.call(Class::Verify, about, ask).await?.or_report() {
        Ok(answer) => answer,
        Err(report) => return Ok(Step::Report(report)),
    };
    partial.quote = Some(match answer {
        Ok(Quote::Costs(credits) | Quote::TooLittle(credits)) => Some(credits),
        Ok(Quote::NothingToPay | Quote::BeingUnlocked) => Some(Credits::ZERO),
        Ok(Quote::NotFound | Quote::Refused(_) | Quote::Unhelpful(_)) => None,
        Err(error) if partial.gives_up_on(&error) => None,
        Err(_) => return Ok(Step::Report(after_failed_read(deps, gate))),
    });
    Ok(Step::Report(Report::did(1)))
}

async fn sample(
    deps: &Deps,
    gate: &Gate,
    (job, channel): (&Job, Channel),
    personnel_id: &PersonnelId,
    partial: &mut PartialLook,
) -> Result<Step, StoreError> {
    let ask = async |caller: Caller<'_>, at| gate.client.profile(caller, at, channel, personnel_id).await;
    let answer = match gate.call(Class::Verify, (Some(job.id), None), ask).await?.or_report() {
        Ok(answer) => answer,
        Err(report) => return Ok(Step::Report(report)),
    };
    let view = match answer {
        Ok(view) => Some(view),
        // A profile that is not shown does not prove that nothing was unlocked.
        Err(error) if partial.gives_up_on(&error) => None,
        Err(_) => return Ok(Step::Report(after_failed_read(deps, gate))),
    };
    partial.sampled.push((personnel_id.clone(), view));
    Ok(Step::Report(Report::did(1)))
}

async fn weigh(
    deps: &Deps,
    mut job: Job,
    (look, gone): (&Look, Gone),
    shown: Vec<(PersonnelId, Outcome)>,
) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    let cost = job.cost.unwrap_or_default();
    let sign = doubt::read_look(look, cost);
    job.looks += 1;
    job.no_effect_looks = if sign.is_no_effect() { job.no_effect_looks + 1 } else { 0 };
    let evidence = doubt::in_words(look, gone, cost, sign);
    job.evidence = Some(evidence.clone());
    let since = job.doubt_since.unwrap_or(now);
    let verdict = doubt::weigh(sign, job.no_effect_looks, job.looks, since, now, deps.patience());
    let event = match verdict {
        Verdict::CarriedOut => Some(Event::ProvenCarriedOut),
        Verdict::NotCarriedOut => Some(Event::ProvenNotCarriedOut),
        Verdict::NeedsDecision => Some(Event::StayedUnclear),
        Verdict::LookAgainAt(at) => {
            job.due_at = Some(at);
            None
        }
    };
    let name = unread::name(&job.state, event.as_ref());
    if let Some(event) = event {
        job.apply(event, now)?;
        job.due_at = None;
    }
    tracing::warn!(job_id = job.id.0, account = %job.account, verdict = name, "in doubt: {evidence}");
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                match verdict {
                    Verdict::CarriedOut => {
                        let books = booking::read(&mut *connection, &job).await?;
                        booking::write(&mut *connection, &mut job, &books.carried_out(), now).await?;
                        reading::all_to_reading(&mut *connection, job.id, Why::LostAnswer, now).await?;
                    }
                    Verdict::NotCarriedOut => {
                        take_back(&mut *connection, &mut job, now).await?;
                    }
                    Verdict::NeedsDecision => keep_shown(&mut *connection, &mut job, &shown, now).await?,
                    Verdict::LookAgainAt(_) => {}
                }
                jobs::save(&mut *connection, &job).await?;
                timeline::of_job(connection, now, job.id, name, &evidence).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// A person is asked about the job. The values that can be read for free are delivered whatever is decided; the
/// decision is about the other contacts.
async fn keep_shown(
    connection: &mut Tx,
    job: &mut Job,
    shown: &[(PersonnelId, Outcome)],
    now: Millis,
) -> Result<(), StoreError> {
    if shown.is_empty() {
        return Ok(());
    }
    let books = booking::read(&mut *connection, job).await?;
    items::finish(&mut *connection, job.id, job.event_id.as_ref(), shown, now).await?;
    let rest = booking::payers(&mut *connection, job.id).await?;
    let booked = books.shown(&payers_of_the_rest(&books.payers, &rest));
    booking::write(&mut *connection, job, &booked, now).await?;
    job.cost = job.cost.map(|cost| cost - booked.charge);
    job.contacts = job.contacts.saturating_sub(shown.len() as u32);
    requests::finish_complete_of_job(connection, job.id, now).await
}
