//! A person's decisions: approve, cancel, and resolve a submission in doubt. Pausing and resuming an account is
//! in [`crate::worker::people::pause`].
//!
//! Each decision is one guarded transaction, so it may fall between any two steps of a running
//! worker: a job that moved in the meantime is `Stale`, and nothing was changed. A decision needs no
//! lease, and the worker notices it by the database's version. The command line, `watch` and the page all use
//! this code, so they refuse the same decisions in the same words.

use crate::domain::job::Event;
use crate::domain::outcome::Outcome;
use crate::domain::request_state::State;
use crate::domain::{AccountId, Credits, JobId, Millis, RequestId};
use crate::store::credits::booking;
use crate::store::jobs::Job;
use crate::store::requests::{Standing, unsent};
use crate::store::{Store, StoreError, inbox, items, jobs, requests, timeline};
use crate::worker::intake::taken;

/// Why a decision was refused. Nothing was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is neither a request nor an inbox row with this id.
    #[error("there is no request {id}; nothing was changed")]
    Missing { id: RequestId },
    #[error(
        "request {id} is new: no worker has estimated it yet, so there is nothing to approve and nothing was bought; \
         see: unlockd explain {id}"
    )]
    NotEstimated { id: RequestId },
    /// The inbox has a row whose status is the worker's, and this database knows nothing of it.
    #[error(
        "no worker has taken row {id} of the inbox: whoever inserted it wrote its status {status}; nothing was bought \
         and nothing was changed; see: unlockd explain {id}"
    )]
    NotTaken { id: RequestId, status: String },
    #[error("request {id} is {status} and awaits no approval; nothing was changed")]
    NotAwaiting { id: RequestId, status: String },
    /// An approval is bound to the quote that was shown.
    #[error(
        "request {id} may cost {quoted} credits by now, and {shown} were confirmed; nothing was approved and nothing is \
         bought: look at it again and confirm the new figure"
    )]
    AnotherQuote { id: RequestId, shown: Credits, quoted: Credits },
    #[error("request {id} is {status} already; nothing was changed")]
    Finished { id: RequestId, status: String },
    #[error(
        "everything of request {id} was sent already, so nothing could be cancelled and what was sent may be paid for; \
         see: unlockd explain {id}"
    )]
    AllSent { id: RequestId },
    /// A cancellation is on record for each contact that would be sent again.
    #[error(
        "everything of job {job} was cancelled, so nothing of it is sent again and nothing was changed; \
         to give it up: unlockd resolve {job} --write-off"
    )]
    Unwanted { job: JobId },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Approves the quote of a request that awaits it. `shown` is the quote that the person saw: an
/// approval never covers a figure that nobody looked at.
pub async fn approve(store: &Store, id: RequestId, shown: Credits, now: Millis) -> Result<(), Refusal> {
    let row = inbox::status(store, id.0).await?;
    store
        .write(move |connection| {
            Box::pin(async move {
                let Some(standing) = requests::standing(&mut *connection, id).await? else {
                    return Ok(Err(no_request(id, row)));
                };
                // Written there by somebody who does not want it bought, and not heeded yet.
                if let Some(status) = row.filter(|status| status == State::Cancelled.name()) {
                    return Ok(Err(Refusal::NotAwaiting { id, status }));
                }
                let Standing { state, quoted_credits: quoted } = standing;
                if state != State::AwaitingApproval {
                    return Ok(Err(Refusal::NotAwaiting { id, status: state.name().to_owned() }));
                }
                if quoted != shown {
                    return Ok(Err(Refusal::AnotherQuote { id, shown, quoted }));
                }
                unsent::approve(connection, id, quoted, now).await.map(Ok)
            })
        })
        .await?
}

/// What there is instead of a request; `row` is what its row in the inbox shows.
fn no_request(id: RequestId, row: Option<String>) -> Refusal {
    match row {
        Some(status) if status == State::New.name() => Refusal::NotEstimated { id },
        Some(status) => Refusal::NotTaken { id, status },
        None => Refusal::Missing { id },
    }
}

/// What a cancellation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// Contacts that will not be sent. 0: all were, and those of which nobody knows whether they took
    /// effect will not be sent again.
    pub contacts: u64,
    /// The request's status by now: `accepted` while something that was sent goes on.
    pub status: String,
}

/// Cancels what of a request was not sent; what was sent goes on to its end, since it may be paid
/// for. `accounts` are the configured ones, for a row that no worker has taken.
pub async fn cancel(
    store: &Store,
    accounts: &[AccountId],
    id: RequestId,
    now: Millis,
) -> Result<Cancelled, Refusal> {
    if let Some(cancelled) = cancel_untaken(store, accounts, id, now).await? {
        return Ok(cancelled);
    }
    let row = inbox::status(store, id.0).await?;
    store
        .write(move |connection| {
            Box::pin(async move {
                let Some(standing) = requests::standing(&mut *connection, id).await? else {
                    return Ok(Err(no_request(id, row)));
                };
                if standing.state.is_end() {
                    return Ok(Err(Refusal::Finished { id, status: standing.state.name().to_owned() }));
                }
                if !unsent::may_be_sent_yet(&mut *connection, id).await? {
                    return Ok(Err(Refusal::AllSent { id }));
                }
                let contacts = unsent::cancel(&mut *connection, id, now).await?;
                let after = requests::standing(connection, id).await?;
                let state = after.map_or(standing.state, |after| after.state);
                Ok(Ok(Cancelled { contacts, status: state.name().to_owned() }))
            })
        })
        .await?
}

/// Cancels a row that no worker has taken yet: it becomes a request that is cancelled already, so a
/// worker that is taking it at this moment finds it taken. `None`: there is no such row, or a worker
/// was faster.
async fn cancel_untaken(
    store: &Store,
    accounts: &[AccountId],
    id: RequestId,
    now: Millis,
) -> Result<Option<Cancelled>, StoreError> {
    let Some(row) = inbox::new_row(store, id.0).await? else { return Ok(None) };
    let request = taken::cancelled(row, accounts).map_err(StoreError::from)?;
    let contacts = request.items.len() as u64;
    let won = store
        .write(move |connection| {
            Box::pin(async move {
                let is_first = requests::standing(&mut *connection, id).await?.is_none();
                requests::insert(connection, &[request], now).await?;
                Ok(is_first)
            })
        })
        .await?;
    // This one alone: what it says of others may be old by the time it is written.
    let mut behind = inbox::behind(store, 10_000).await?;
    behind.retain(|row| row.id == id.0);
    inbox::bring_up(store, &behind).await?;
    Ok(won.then(|| Cancelled { contacts, status: State::Cancelled.name().to_owned() }))
}

/// A person says that a submission in doubt took no effect: it takes the normal way once more,
/// precheck included.
pub async fn resubmit(store: &Store, mut job: Job, now: Millis) -> Result<(), Refusal> {
    let id = job.id;
    job.apply(Event::Resubmit, now)?;
    job.due_at = None;
    // Only the balance can tell what a lost search has cost; unless it stayed as it was, that counts.
    let paid = job.action.is_search() && job.no_effect_looks == 0;
    store
        .write(move |connection| {
            Box::pin(async move {
                if !unsent::is_wanted(&mut *connection, id).await? {
                    return Ok(Err(Refusal::Unwanted { job: id }));
                }
                let books = booking::read(&mut *connection, &job).await?;
                let booked = if paid { books.carried_out() } else { books.took_no_effect() };
                booking::write(&mut *connection, &mut job, &booked, now).await?;
                // It goes out on a person's word, not because of what the looks have shown.
                (job.looks, job.no_effect_looks) = (0, 0);
                jobs::save(&mut *connection, &job).await?;
                let detail = "a person decided to send it again";
                timeline::of_job(connection, now, job.id, "resubmit", detail).await.map(Ok)
            })
        })
        .await?
}

/// A person gives a submission in doubt up. What it may have cost stays booked, since nobody knows.
pub async fn write_off(store: &Store, mut job: Job, now: Millis) -> Result<(), StoreError> {
    job.apply(Event::WrittenOff, now)?;
    job.due_at = None;
    let cost = job.cost.unwrap_or(Credits::ZERO);
    store
        .write(move |connection| {
            Box::pin(async move {
                let books = booking::read(&mut *connection, &job).await?;
                booking::write(&mut *connection, &mut job, &books.carried_out(), now).await?;
                let event_id = job.event_id.as_ref();
                items::finish_all(&mut *connection, job.id, event_id, &Outcome::Lost, now).await?;
                jobs::save(&mut *connection, &job).await?;
                let detail = format!("a person gave it up; {cost} credits stay booked as perhaps spent");
                timeline::of_job(&mut *connection, now, job.id, "written_off", &detail).await?;
                requests::finish_complete_of_job(connection, job.id, now).await
            })
        })
        .await
}
