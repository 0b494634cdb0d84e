//! Commits the intent to send, in one transaction before the POST, if the decision still holds.
//!
//! A precheck takes time. Meanwhile a person may have paused the account, contacts may have left the batch, or
//! credits may be gone: then nothing is committed, and the submission is decided again. A request whose approval
//! or `max_credits` no longer covers the price leaves the batch. From here on the possible cost of the call is
//! held, so nothing else can spend it.

use std::collections::BTreeMap;

use crate::domain::credits::{self, Admission, Approval};
use crate::domain::item;
use crate::domain::job::Event;
use crate::domain::sorting::Sorting;
use crate::domain::{Credits, Millis, PersonnelId, RequestId};
use crate::store::credits::{booking, ledger};
use crate::store::items::paid;
use crate::store::jobs::Job;
use crate::store::jobs::attempts;
use crate::store::jobs::attempts::Attempt;
use crate::store::jobs::facts;
use crate::store::requests::unsent;
use crate::store::{StoreError, Tx, accounts, jobs, requests, timeline};
use crate::worker::balance::with_limits;
use crate::worker::doubt::unanswered::book_unread;
use crate::worker::gate::Permit;
use crate::worker::gate::entry::Booking;
use crate::worker::{Deps, durability};

/// What the intent's transaction decided.
pub(in crate::worker) enum Intent {
    Committed(Box<Job>),
    /// Other workers on this machine have used up the limit of its address until then.
    Wait(Millis),
    /// The facts behind the submission have changed: decide again.
    Changed,
}

/// One transaction: checks that pause, contacts, approvals and credits still allow it, writes the attempt,
/// holds its cost, and makes the job `submitting`.
pub(in crate::worker) async fn commit_intent(
    deps: &Deps,
    (permit, booking): (&Permit<'_>, Box<Booking>),
    job: &Job,
    (sorting, restored): (&Sorting, bool),
    body_digest: &str,
) -> Result<Intent, StoreError> {
    let (now, durability) = (deps.clock.now(), durability::of(&deps.config()));
    let (price, lowest_price, after_attempt) =
        (sorting.price_each(), sorting.lowest_price(), sorting.after_attempt);
    let prices = sorting.prices();
    let approve_above = Credits(deps.config().credits.approve_above);
    let quoted = quoted(deps, job, sorting);
    let mut attempt = attempt(deps, permit, sorting, body_digest);
    let (unhelpful, ownership, config) = (sorting.unhelpful(), deps.store.ownership(), deps.config());
    let (mut job, chargeable) = (job.clone(), sorting.chargeable.clone());
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                if let Some(at) = booking.record(&mut *connection).await? {
                    return Ok(Intent::Wait(at));
                }
                // First of the checks: what follows must be true of the server that commits.
                if !durability::holds_in(&mut *connection, durability, &job.account, restored).await? {
                    return Ok(Intent::Changed);
                }
                // A person who sent it again has confirmed a figure, and no higher one.
                let beyond = job.confirmed_credits.is_some_and(|confirmed| attempt.cost > confirmed);
                let bounds = Bounds { price, prices: &prices, approve_above, beyond, after_attempt };
                if !still_wanted(&mut *connection, &mut job, &chargeable, bounds, now).await? {
                    return Ok(Intent::Changed);
                }
                // The account may have gone to an owner that another worker serves.
                if !accounts::is_served(&mut *connection, &job.account, &ownership).await? {
                    return Ok(Intent::Changed);
                }
                // One at a time for an owner, whose other keys have passes of their own.
                if facts::is_owner_buying(&mut *connection, &job.account).await? {
                    return Ok(Intent::Changed);
                }
                let purse = ledger::purse(&mut *connection, &job.account, now).await?;
                let purse = purse.map(|purse| with_limits(purse, &config));
                if credits::admit(attempt.cost, purse.as_ref(), now) != Admission::Go {
                    return Ok(Intent::Changed);
                }
                attempt.opening = ledger::opening_balance(&mut *connection, &job.account).await?;
                job.apply(Event::SendStarted, now)?;
                (job.price, job.lowest_price) = (Some(price), Some(lowest_price));
                (job.cost, job.due_at, job.quoted_credits) = (Some(attempt.cost), None, quoted);
                attempts::begin_attempt(&mut *connection, job.id, &attempt, now).await?;
                let books = booking::read(&mut *connection, &job).await?;
                booking::write(&mut *connection, &mut job, &books.sent(), now).await?;
                jobs::save(&mut *connection, &job).await?;
                if let Some(reason) = unhelpful {
                    let detail = format!("the precheck did not help ({reason}); the price list counts");
                    timeline::of_job(&mut *connection, now, job.id, "precheck_unhelpful", &detail).await?;
                }
                timeline::of_job(connection, now, job.id, "send_started", &started(&job, &attempt)).await?;
                job.version += 1;
                Ok(Intent::Committed(Box::new(job)))
            })
        })
        .await
}

fn attempt(deps: &Deps, permit: &Permit<'_>, sorting: &Sorting, body_digest: &str) -> Attempt {
    Attempt {
        request_id: permit.request_id.to_string(),
        body_digest: body_digest.to_owned(),
        contacts: sorting.chargeable.len() as u32,
        cost: sorting.cost,
        lease_token: deps.lease_token,
        opening: None,
    }
}

fn started(job: &Job, attempt: &Attempt) -> String {
    match job.channel() {
        Some(_) => format!("{} contacts, at most {} credits", attempt.contacts, attempt.cost),
        None => format!("at most {} credits", attempt.cost),
    }
}

/// What the prechecks say that the contacts cost. It is kept: a lost answer is judged by what has changed since.
fn quoted(deps: &Deps, job: &Job, sorting: &Sorting) -> Option<Credits> {
    let was_asked = deps.config().submit.precheck && sorting.unhelpful().is_none();
    job.channel().filter(|_| was_asked).map(|_| sorting.charged())
}

/// What a batch may cost without asking a person, and since when others may have bought some of it.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    /// The price of one contact; if there are several prices, the mean. The call is booked with it until it is answered.
    price: Credits,
    /// The price of each contact.
    prices: &'a BTreeMap<PersonnelId, Credits>,
    approve_above: Credits,
    /// It costs more than a person confirmed for the job.
    beyond: bool,
    /// See [`Sorting::after_attempt`].
    after_attempt: i64,
}

/// Whether everything that the job was decided on still holds: prechecks take their time, and a
/// person may have paused, contacts may have left, an approval may not cover the price any more.
async fn still_wanted(
    connection: &mut Tx,
    job: &mut Job,
    chargeable: &[PersonnelId],
    bounds: Bounds<'_>,
    now: Millis,
) -> Result<bool, StoreError> {
    if accounts::is_paused(&mut *connection, &job.account).await? {
        return Ok(false);
    }
    if !jobs::contacts::are_exactly(&mut *connection, job.id, chargeable).await? {
        jobs::save(connection, job).await?;
        return Ok(false);
    }
    // Another key of the owner may have bought some since, and no precheck shows that at once.
    let bought = match job.channel() {
        Some(_) => {
            paid::put_back_bought_by_another(&mut *connection, job.id, bounds.after_attempt, now).await?
        }
        None => 0,
    };
    let unwanted = unsent::leave_unwanted(&mut *connection, job.id, now).await?;
    let shares = requests::shares(&mut *connection, job.id).await?;
    let costs = requests::costs(&mut *connection, job.id, bounds.prices).await?;
    let parted = part_with_uncovered(&mut *connection, (&shares, &costs), bounds, now).await?;
    if bought == 0 && unwanted == 0 && parted == 0 && !shares.is_empty() {
        return Ok(true);
    }
    let left = requests::shares(&mut *connection, job.id).await?;
    let remaining: i64 = left.iter().map(|share| share.contacts).sum();
    job.contacts = remaining as u32;
    if remaining == 0 {
        job.apply(Event::NothingLeft, now)?;
        book_unread(&mut *connection, job, now).await?;
    }
    job.version = jobs::version(&mut *connection, job.id).await?;
    jobs::save(connection, job).await?;
    Ok(false)
}

/// Takes requests out of the batch whose approval or `max_credits` does not cover the present cost. Returns
/// how many.
async fn part_with_uncovered(
    connection: &mut Tx,
    (shares, costs): (&[requests::Share], &[(RequestId, Credits)]),
    Bounds { price, approve_above, beyond, .. }: Bounds<'_>,
    now: Millis,
) -> Result<usize, StoreError> {
    let mut parted = 0;
    for share in shares {
        let own = costs.iter().find(|(id, _)| id.0 == share.request_id).map(|(_, cost)| *cost);
        let cost = price.times(share.contacts as usize).max(own.unwrap_or_default());
        let quote = Credits(share.committed_credits) + cost;
        let (max_credits, approved) = (share.max_credits.map(Credits), share.approved_credits.map(Credits));
        let id = RequestId(share.request_id);
        // A proposal may spend what a person has approved, and nothing without one.
        let approve_above = if share.needs_approval == 0 { approve_above } else { Credits::ZERO };
        match credits::approval(quote, approve_above, max_credits, approved) {
            Approval::NotNeeded if !beyond => continue,
            Approval::NotNeeded | Approval::Needed => {
                // A person is asked about all that is left, not about each batch.
                let unsent = unsent::unsent(&mut *connection, id).await? as usize;
                let quote = Credits(share.committed_credits) + price.times(unsent);
                let reason = format!(
                    "would now cost up to {quote} credits, more than was approved; nothing more was bought: \
                     unlockd approve {id} --credits {figure}, or cancel {id}",
                    figure = quote.0
                );
                unsent::ask_again(&mut *connection, id, quote, &reason, now).await?;
            }
            Approval::OverMaxCredits => {
                unsent::end_unsent(&mut *connection, id, item::Event::TooExpensive, now).await?;
                timeline::of_request(&mut *connection, now, id, "over_max_credits", &format!("{quote}"))
                    .await?;
                requests::finish_complete(&mut *connection, &format!("[{id}]"), now).await?;
            }
        }
        parted += 1;
    }
    Ok(parted)
}
