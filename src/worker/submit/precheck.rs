//! Prechecks a batch before it is paid for, and sets aside contacts that need no payment.
//!
//! `domain::sorting` holds the questions and the conclusions; this makes the calls, one at a time, and keeps
//! a half-sorted batch until calls are free again.

use std::collections::HashSet;

use crate::api::{Caller, Subject};
use crate::domain::booking::payers_of_the_rest;
use crate::domain::direct::Direct;
use crate::domain::failure::ReadFailure;
use crate::domain::item::Why;
use crate::domain::job::Event;
use crate::domain::sorting::{Quote, Sorting};
use crate::domain::turns::Class;
use crate::domain::{AccountId, Action, Credits, Millis, PersonnelId};
use crate::store::credits::booking;
use crate::store::items::{paid, reading};
use crate::store::jobs::Job;
use crate::store::jobs::attempts;
use crate::store::{StoreError, accounts, direct, jobs, timeline};
use crate::worker::balance::after_failed_read;
use crate::worker::doubt::unanswered::book_unanswered;
use crate::worker::gate::{Called, Gate};
use crate::worker::{Deps, Report, read_failure};

/// After this many failed prechecks in a row the job continues without one, since a precheck is only advice.
/// A contact that may already be paid for is then read from its profile, or a person is asked.
pub(in crate::worker) const PRECHECK_TRIES: u32 = 3;

/// The same in a restored copy, where only a person can allow going on without a precheck: some minutes of
/// failing calls.
const PRECHECK_TRIES_RESTORED: u32 = 12;

pub(in crate::worker) enum Sorted {
    Done(Sorting),
    Later(Report),
}

/// Asks what the batch would cost, and which of its contacts need no payment.
pub(in crate::worker) async fn sort(
    deps: &Deps,
    gate: &Gate,
    job: &Job,
    price: Credits,
) -> Result<Sorted, StoreError> {
    let key = (job.id, job.version);
    // A contact that was paid for and whose value is not stored, or that may have been bought after the
    // restored copy was made, is not bought without a precheck.
    let restored_at = accounts::read(deps.store.readers(), &job.account).await?.restored_at.map(Millis);
    let paid_before = paid_before(deps, job).await?;
    let (restored, is_paid) = (restored_at.is_some(), !paid_before.is_empty());
    let known = deps.sortings().get(&key).cloned();
    let mut sorting = match known {
        Some(sorting) => sorting,
        None => start_sorting(deps, job, price, (restored_at, &paid_before)).await?,
    };
    let must_ask = restored || is_paid;
    let tries = if restored { PRECHECK_TRIES_RESTORED } else { PRECHECK_TRIES };
    // The vendor has no precheck for the search of companies: it answers `unsupported_action`.
    let has_precheck = job.action != Action::SearchExhibitorCompanies;
    let may_ask = deps.config().submit.precheck && has_precheck;
    if !may_ask && !must_ask {
        sorting.ask_nothing();
    }
    let wish = match job.channel() {
        Some(_) => None,
        None => direct::wish(deps.store.readers(), job.id).await?,
    };
    while let Some(group) = sorting.question() {
        let group: Vec<PersonnelId> = group.to_vec();
        let subject = match (job.channel(), &wish) {
            (Some(channel), _) => Subject::Contacts(channel, &group),
            (None, Some(wish)) => Subject::Direct(wish),
            // Its item has left the job; the intent's transaction notices that.
            (None, None) => {
                sorting.ask_nothing();
                break;
            }
        };
        let ask = async |caller: Caller<'_>, at| gate.client.precheck(caller, at, subject).await;
        let answer = match gate.call(Class::Paid, (Some(job.id), job.event_id.as_ref()), ask).await? {
            Called::Answered { result, .. } => result,
            Called::At(at) => return Ok(later(deps, key, sorting, Report::at(at))),
            // The next run notes that the key is missing.
            Called::NoKey => return Ok(later(deps, key, sorting, Report::did(1))),
        };
        match answer {
            Ok(quote) => take(&mut sorting, quote, (job, &wish), must_ask),
            Err(error) => match read_failure(&error) {
                ReadFailure::Gone => sorting.answer(Quote::Unhelpful("refused")),
                // A figure that makes no sense is no reason to pay the list price: something is wrong there.
                ReadFailure::TryAgain if !error.absurd && sorting.failed() >= tries => {
                    sorting.answer(Quote::Unhelpful("no answer"))
                }
                _ => return Ok(later(deps, key, sorting, after_failed_read(deps, gate))),
            },
        }
    }
    if is_paid && sorting.unhelpful().is_some() {
        // A contact that was paid for once is not bought because of a price list: its profile is read.
        sorting.read_instead(&paid_before);
    }
    if is_paid && !sorting.chargeable.is_empty() {
        let paid_without_value =
            paid_without_value(deps, (&job.account, job.action), &sorting.chargeable).await?;
        sorting.set_aside_paid_without_value(&paid_without_value);
    }
    deps.sortings().insert(key, sorting.clone());
    Ok(Sorted::Done(sorting))
}

/// The contacts of a job that were, or may have been, paid for before. None of a direct action, which may be sent again
/// without a precheck: each page of a search is a new purchase, and a repeated unlock of an event charges nothing for
/// what is open (the vendor's pages of the three unlocks). Example: full access, when the event has got visitor data
/// since, costs 3,000 for that, and nothing for the base.
async fn paid_before(deps: &Deps, job: &Job) -> Result<Vec<PersonnelId>, StoreError> {
    match job.channel() {
        Some(_) => paid::paid_before(deps.store.readers(), job.id).await,
        None => Ok(vec![]),
    }
}

/// Of these contacts, those whose charge may not show yet; see [`paid::paid_without_value`]. The time is the same
/// as for a lost answer to show its effect.
pub(in crate::worker) async fn paid_without_value(
    deps: &Deps,
    (account, action): (&AccountId, Action),
    contacts: &[PersonnelId],
) -> Result<Vec<PersonnelId>, StoreError> {
    let since = deps.clock.now().plus(-deps.patience().lag_ms());
    paid::paid_without_value(deps.store.readers(), account, action, contacts, since).await
}

/// Applies a quote to this job.
fn take(sorting: &mut Sorting, quote: Quote, (job, wish): (&Job, &Option<Direct>), must_ask: bool) {
    let is_had = matches!(quote, Quote::NothingToPay | Quote::BeingUnlocked);
    match quote {
        // A page of a search is never unlocked already.
        _ if is_had && wants_page(wish) => sorting.answer(Quote::Unhelpful("already_unlocked")),
        // The event's own list shows whether it is unlocked.
        Quote::BeingUnlocked if job.channel().is_none() => sorting.answer(Quote::NothingToPay),
        Quote::NotFound if must_ask && job.channel().is_some() => sorting.answer_not_found_closely(),
        // The call itself says contact by contact what is wrong, and takes the others.
        Quote::Refused(reason) if job.channel().is_some() => sorting.answer(Quote::Unhelpful(reason)),
        quote => sorting.answer(quote),
    }
}

fn wants_page(wish: &Option<Direct>) -> bool {
    matches!(wish, Some(Direct::Search { .. }))
}

/// How long a profile that was read as locked needs no precheck, in milliseconds.
const LOCKED_HOLDS_FOR_MS: i64 = 600_000;

async fn start_sorting(
    deps: &Deps,
    job: &Job,
    price: Credits,
    (restored_at, paid_before): (Option<Millis>, &[PersonnelId]),
) -> Result<Sorting, StoreError> {
    // First: what is sent after this may not show in the answers.
    let after_attempt = attempts::newest(deps.store.readers()).await?;
    let sent = attempts::last_started(deps.store.readers(), job.id).await?;
    // A reading from before the last submission says nothing about that submission.
    let after_sending = sent.map_or(Millis(0), |started_at| started_at.plus(1));
    let restored_since = restored_at.unwrap_or_default();
    let since = deps.clock.now().plus(-LOCKED_HOLDS_FOR_MS).max(restored_since).max(after_sending);
    let locked = jobs::contacts::seen_locked(deps.store.readers(), job.id, since).await?;
    let mut to_ask = jobs::contacts::open(deps.store.readers(), job.id).await?;
    let known: HashSet<&PersonnelId> = locked.iter().collect();
    to_ask.retain(|id| !known.contains(id));
    let mut sorting = match restored_at {
        Some(_) => Sorting::new(to_ask, price),
        None => {
            let paid_before: HashSet<&PersonnelId> = paid_before.iter().collect();
            let (paid, new) = to_ask.into_iter().partition(|id| paid_before.contains(id));
            Sorting::new(vec![], price).with_paid(paid).with_new(new)
        }
    };
    sorting.after_attempt = after_attempt;
    Ok(sorting.with_locked(locked))
}

fn later(deps: &Deps, key: (crate::domain::JobId, i64), sorting: Sorting, report: Report) -> Sorted {
    deps.sortings().insert(key, sorting);
    Sorted::Later(report)
}

/// Those that a job was charged for, and that brought no value, are read for that reason: a profile that stays locked
/// does not send them.
async fn name_paid_before(deps: &Deps, job: &Job, had: &mut [(PersonnelId, Why)]) -> Result<(), StoreError> {
    let ids: Vec<PersonnelId> = had.iter().map(|(id, _)| id.clone()).collect();
    let (readers, account) = (deps.store.readers(), &job.account);
    let paid = paid::paid_without_value(readers, account, job.action, &ids, Millis(0)).await?;
    let paid: HashSet<PersonnelId> = paid.into_iter().collect();
    let is_paid = |(id, why): &&mut (PersonnelId, Why)| *why == Why::AlreadyUnlocked && paid.contains(id);
    had.iter_mut().filter(is_paid).for_each(|(_, why)| *why = Why::PaidBefore);
    Ok(())
}

/// Contacts that are already unlocked leave the batch; their values are read from their profiles.
pub(in crate::worker) async fn set_aside(
    deps: &Deps,
    job: &Job,
    sorting: Sorting,
) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    // If no precheck answered, its request pays only after the profile has shown that it is unlocked.
    let (mut had, told) = (sorting.why_had(), sorting.unhelpful().is_none());
    name_paid_before(deps, job, &mut had).await?;
    // Those that were paid for without value say nothing about the effect of this job.
    let (paid_without_value, unlocked) =
        (sorting.paid_without_value.len(), had.len() - sorting.paid_without_value.len());
    let (mut smaller, key) = (job.clone(), (job.id, job.version));
    smaller.contacts = sorting.chargeable.len() as u32;
    if sorting.chargeable.is_empty() {
        smaller.apply(Event::NothingLeft, now)?;
    }
    let (job_id, unlocking) = (job.id, sorting.unlocking.len());
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let before = booking::payers(&mut *connection, job_id).await?;
                reading::to_reading(&mut *connection, job_id, &had, now).await?;
                if unlocked > 0 {
                    let left = booking::payers(&mut *connection, job_id).await?;
                    let paying = if told { payers_of_the_rest(&before, &left) } else { vec![] };
                    book_unanswered(&mut *connection, &mut smaller, &paying, now).await?;
                }
                jobs::save(&mut *connection, &smaller).await?;
                if unlocking > 0 {
                    let detail = format!(
                        "{unlocking} contacts are being unlocked already; one whose profile stays locked is asked \
                         about again"
                    );
                    timeline::of_job(&mut *connection, now, job_id, "unlock_in_progress", &detail).await?;
                }
                if paid_without_value > 0 {
                    let detail = format!(
                        "{paid_without_value} contacts were paid for a moment ago and brought nothing; one whose profile \
                         stays locked is bought again if a precheck names a price for it"
                    );
                    timeline::of_job(&mut *connection, now, job_id, "paid_in_vain", &detail).await?;
                }
                if unlocked > 0 {
                    // Those that it does not know are among them.
                    let detail = format!(
                        "a precheck charges nothing for {unlocked} contacts: their profiles are read, and one that stays \
                         locked is sent after all"
                    );
                    timeline::of_job(&mut *connection, now, job_id, "already_unlocked", &detail).await?;
                }
                Ok(())
            })
        })
        .await?;
    let mut sortings = deps.sortings();
    sortings.remove(&key);
    if !sorting.chargeable.is_empty() {
        sortings.insert((job.id, job.version + 1), sorting.without_had());
    }
    Ok(Report::did(1))
}
