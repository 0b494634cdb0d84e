//! Reads values from profiles: of contacts that were unlocked without a task of ours, and of submissions that
//! took effect although their answer was lost.
//!
//! Reading is free, but each profile costs one call of the rate limit, so lists are read instead wherever that is
//! fewer calls ([`bulk`]). A contact whose unlock is still running is read again with growing pauses.

use futures_util::StreamExt;

use crate::api::{Caller, Subject};
use crate::domain::failure::ReadFailure;
use crate::domain::outcome::{Access, Outcome};
use crate::domain::profile_wait::{self, Limits, Locked, Verdict};
use crate::domain::sorting::Quote;
use crate::domain::turns::Class;
use crate::domain::{AccountId, Channel, Millis, pacing};
use crate::store::items::reading::ToRead;
use crate::store::items::{paid, reading};
use crate::store::jobs::attempts;
use crate::store::{StoreError, accounts, items, jobs, requests};
use crate::worker::balance::after_failed_read;
use crate::worker::gate::Gate;
use crate::worker::read_again::{end_if_read, judge, put_off, send_after_all};
use crate::worker::submit::precheck::{PRECHECK_TRIES, paid_without_value};
use crate::worker::{Deps, Report, bulk, event_access, read_failure};

/// Profiles in one run while the API answers quickly; other work gets its turn in between.
const AT_ONCE: usize = 8;

/// Reads the profiles that are due.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &*deps.gate(account);
    if !gate.has_usable_key() {
        return Ok(Report::idle());
    }
    let now = deps.clock.now();
    let next = reading::next_read(deps.store.readers(), account).await?;
    if next.is_none() {
        bulk::forget(deps, account);
    }
    if next.is_none_or(|at| at > now) {
        return Ok(Report::idle().no_later_than(next));
    }
    if let Some(report) = bulk::run(deps, gate, now).await? {
        return Ok(report);
    }
    let in_flight = gate.worth_in_flight();
    let at_once = AT_ONCE.max(in_flight) as u32;
    let due = reading::due_reads(deps.store.readers(), account, now, at_once).await?;
    let reports: Vec<Result<Report, StoreError>> = futures_util::stream::iter(due)
        .map(|contact| read(deps, gate, contact))
        .buffer_unordered(in_flight)
        .collect()
        .await;
    let mut report = Report::idle();
    for one in reports {
        report = report.and(one?);
    }
    Ok(report)
}

async fn read(deps: &Deps, gate: &Gate, contact: ToRead) -> Result<Report, StoreError> {
    let job_id = contact.job_id;
    let Some(channel) = contact.action.channel() else {
        return event_access::confirm(deps, gate, &contact).await;
    };
    let ask =
        async |caller: Caller<'_>, at| gate.client.profile(caller, at, channel, &contact.personnel_id).await;
    let answer = match gate.call(Class::Background, (Some(job_id), None), ask).await?.or_report() {
        Ok(answer) => answer,
        Err(report) => return Ok(report),
    };
    let now = deps.clock.now();
    if let Ok(view) = &answer {
        bulk::note_profile(deps, &gate.account, contact.action, view.company.as_deref());
    }
    let said = answer.as_ref().ok().map(|view| view.access);
    let ended = match answer {
        Ok(view) if contact.why.is_set_aside() && view.access.is_locked() => {
            return locked_aside(deps, gate, &contact, (channel, view.access)).await;
        }
        Ok(view) => judge(deps, &contact, &view, now),
        Err(error) => match read_failure(&error) {
            ReadFailure::Gone if contact.why.is_set_aside() => {
                return gone_aside(deps, gate, &contact, channel).await;
            }
            ReadFailure::Gone if contact.is_given_up => Some(Outcome::Lost),
            ReadFailure::Gone => Some(Outcome::Missing),
            ReadFailure::TryAgain => {
                let again = gate.trouble_until().max(now.plus(1_000));
                put_off(deps, &contact, (again, false), None).await?;
                return Ok(Report::did(1));
            }
            ReadFailure::WaitForRateLimit { .. } | ReadFailure::StopAccount => return Ok(Report::did(1)),
        },
    };
    match ended {
        Some(outcome) => finish(deps, &contact, (outcome, said), now).await?,
        None => look_again(deps, &contact, said).await?,
    }
    Ok(Report::did(1))
}

/// The profile of a contact that was set aside is locked: [`profile_wait`] decides whether the contact is
/// sent after all.
async fn locked_aside(
    deps: &Deps,
    gate: &Gate,
    contact: &ToRead,
    (channel, access): (Channel, Access),
) -> Result<Report, StoreError> {
    let (now, readers) = (deps.clock.now(), deps.store.readers());
    let contacts = std::slice::from_ref(&contact.personnel_id);
    let subject = (&gate.account, contact.action);
    let ever = paid::paid_without_value(readers, &gate.account, contact.action, contacts, Millis(0)).await?;
    let brought_nothing = !ever.is_empty();
    // Few contacts were, so the others cost one question and not two.
    let was_paid = brought_nothing && !paid_without_value(deps, subject, contacts).await?.is_empty();
    let row = accounts::read(readers, &gate.account).await?;
    let locked = Locked {
        why: contact.why,
        since: contact.since,
        reads: contact.reads,
        was_paid,
        brought_nothing,
        is_silent: access == Access::NotSaid,
        is_restored: row.restored_at.is_some(),
    };
    let limits = Limits {
        lag_ms: deps.patience().lag_ms(),
        give_up_ms: pacing::duration_ms(deps.config().polling.give_up_after),
    };
    match locked.judge(limits, now) {
        Verdict::GiveUp => finish(deps, contact, (Outcome::Unresolved, Some(access)), now).await?,
        Verdict::LookAgain => look_again(deps, contact, Some(access)).await?,
        Verdict::Ask => match ask_alone(deps, gate, contact, channel).await? {
            Ok(quote) if quote.names_a_price() => return send_after_all(deps, contact, now).await,
            Ok(_) => look_again(deps, contact, Some(access)).await?,
            Err(report) => return Ok(report),
        },
        Verdict::Send => return send_after_all(deps, contact, now).await,
    }
    Ok(Report::did(1))
}

/// The API shows no profile of a contact that was set aside. If it was paid for or unlocked, it is not bought
/// again; its value cannot be read. Otherwise the precheck may have meant other contacts of its group, and
/// the submission will show whether this one is invalid, missing or something else.
async fn gone_aside(
    deps: &Deps,
    gate: &Gate,
    contact: &ToRead,
    channel: Channel,
) -> Result<Report, StoreError> {
    let job_id = contact.job_id;
    let (now, readers) = (deps.clock.now(), deps.store.readers());
    let subject = (&gate.account, contact.action);
    let contacts = std::slice::from_ref(&contact.personnel_id);
    if !paid_without_value(deps, subject, contacts).await?.is_empty() {
        look_again(deps, contact, None).await?;
        return Ok(Report::did(1));
    }
    let is_paid = paid::by_another_job(readers, subject, &contact.personnel_id, job_id).await?;
    let sends = !is_paid
        && match ask_alone(deps, gate, contact, channel).await? {
            Ok(quote) if quote.names_a_price() => true,
            Ok(Quote::NotFound | Quote::Refused(_) | Quote::Unhelpful(_)) => {
                attempts::unanswered(readers, job_id).await? == 0
            }
            Ok(_) => false,
            Err(report) => return Ok(report),
        };
    if sends {
        return send_after_all(deps, contact, now).await;
    }
    finish(deps, contact, (Outcome::Missing, None), now).await?;
    Ok(Report::did(1))
}

/// What a precheck says about this contact alone. `Err`: when to try again, since there was no call or no
/// answer.
async fn ask_alone(
    deps: &Deps,
    gate: &Gate,
    contact: &ToRead,
    channel: Channel,
) -> Result<Result<Quote, Report>, StoreError> {
    let subject = Subject::Contacts(channel, std::slice::from_ref(&contact.personnel_id));
    let ask = async |caller: Caller<'_>, at| gate.client.precheck(caller, at, subject).await;
    let error = match gate.call(Class::Background, (Some(contact.job_id), None), ask).await?.or_report() {
        Ok(Ok(quote)) => return Ok(Ok(quote)),
        Ok(Err(error)) => error,
        Err(report) => return Ok(Err(report)),
    };
    match read_failure(&error) {
        ReadFailure::Gone => Ok(Ok(Quote::Unhelpful("refused"))),
        ReadFailure::TryAgain if contact.reads >= PRECHECK_TRIES => Ok(Ok(Quote::Unhelpful("no answer"))),
        ReadFailure::TryAgain => {
            look_again(deps, contact, None).await?;
            Ok(Err(Report::did(1)))
        }
        _ => Ok(Err(after_failed_read(deps, gate))),
    }
}

/// Reads the profile again after the next, longer pause.
async fn look_again(deps: &Deps, contact: &ToRead, said: Option<Access>) -> Result<(), StoreError> {
    let again = deps.clock.now().plus(profile_wait::pause_ms(contact.reads));
    put_off(deps, contact, (again, true), said).await
}

async fn finish(
    deps: &Deps,
    contact: &ToRead,
    (outcome, said): (Outcome, Option<Access>),
    now: Millis,
) -> Result<(), StoreError> {
    let (job_id, personnel_id) = (contact.job_id, contact.personnel_id.clone());
    let Some(job) = jobs::read(deps.store.readers(), job_id).await? else { return Ok(()) };
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let is_delivered = matches!(outcome, Outcome::Delivered { .. });
                if let Some(access) = said.filter(|_| !is_delivered) {
                    reading::note_said(&mut *connection, job_id, &personnel_id, access).await?;
                }
                let outcomes = [(personnel_id, outcome)];
                items::finish(&mut *connection, job_id, job.event_id.as_ref(), &outcomes, now).await?;
                end_if_read(&mut *connection, job, now).await?;
                requests::finish_complete_of_job(connection, job_id, now).await
            })
        })
        .await
}
