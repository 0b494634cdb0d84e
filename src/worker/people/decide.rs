//! A person's decisions: approve, cancel, and resolve a submission in doubt. Pausing and resuming an account is
//! in [`crate::worker::people::pause`].
//!
//! Each decision is one guarded transaction, so it may happen between any two steps of a running worker: if
//! the job has changed meanwhile, the result is `Stale` and nothing is written. A decision needs no lease,
//! and the worker notices it by the database's version. The command line, `watch`, the page and the HTTP API all use
//! this code, so they refuse the same decisions in the same words.

use crate::domain::item::Why;
use crate::domain::job::{Doubt, Event, State as JobState};
use crate::domain::outcome::Outcome;
use crate::domain::request_state::State;
use crate::domain::{AccountId, Credits, JobId, Millis, RequestId};
use crate::store::credits::booking;
use crate::store::items::{paid, reading};
use crate::store::jobs::Job;
use crate::store::requests::{StateAndQuote, unsent};
use crate::store::{Store, StoreError, inbox, items, jobs, requests, timeline};
use crate::worker::intake::taken;

/// Why a decision was refused. Nothing was changed, unless the text says so.
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
    /// The inbox has a row with a worker's status, and this database does not know the row.
    #[error(
        "no worker has taken row {id} of the inbox: a program inserted it with status {status}; nothing was bought \
         and nothing was changed; see: unlockd explain {id}"
    )]
    NotTaken { id: RequestId, status: String },
    #[error("request {id} is {status} and awaits no approval; nothing was changed")]
    NotAwaiting { id: RequestId, status: String },
    /// An approval is valid only for the quote that was shown.
    #[error(
        "request {id} may cost {quoted} credits now, but {shown} were confirmed; nothing was approved and nothing is \
         bought: look at it again and confirm the new figure"
    )]
    AnotherQuote { id: RequestId, shown: Credits, quoted: Credits },
    /// So is a resubmission to the cost.
    #[error(
        "job {job} may cost {cost} credits now, but {shown} were confirmed; nothing was changed and nothing is sent \
         again: look at it again and confirm the new figure"
    )]
    AnotherCost { job: JobId, shown: Credits, cost: Credits },
    #[error("request {id} is {status} already; nothing was changed")]
    Finished { id: RequestId, status: String },
    #[error(
        "everything of request {id} was sent already, so nothing could be cancelled and what was sent may be paid for; \
         see: unlockd explain {id}"
    )]
    AllSent { id: RequestId },
    /// Every contact that would be sent again has a recorded cancellation.
    #[error(
        "everything of job {job} was cancelled, so nothing of it is sent again and nothing was changed; \
         to give it up: unlockd resolve {job} --write-off"
    )]
    Unwanted { job: JobId },
    /// A job that has ended, of which no contact was paid for in vain.
    #[error(
        "job {job} has ended; it was not charged, or brought a value for each of its contacts, so there is nothing to \
         buy again and nothing was changed; see: unlockd job {job}"
    )]
    NothingToBuyAgain { job: JobId },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Approves the quote of a request that awaits approval. `shown` is the quote that the person saw: an
/// approval never covers another figure.
pub async fn approve(store: &Store, id: RequestId, shown: Credits, now: Millis) -> Result<(), Refusal> {
    let (row, unread) = row_status(store, id).await?;
    store
        .write(move |connection| {
            Box::pin(async move {
                let Some(request) = requests::state_and_quote(&mut *connection, id).await? else {
                    return unread.map_or_else(|| Ok(Err(no_request(id, row))), Err);
                };
                // A program wrote `cancelled` over the row, and the worker has not applied it yet.
                if let Some(status) = row.filter(|status| status == State::Cancelled.name()) {
                    return Ok(Err(Refusal::NotAwaiting { id, status }));
                }
                let StateAndQuote { state, quoted_credits: quoted } = request;
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

/// The status that the row shows. While the inbox cannot be read, a person still decides about requests that were taken;
/// the error is for those that were not.
async fn row_status(
    store: &Store,
    id: RequestId,
) -> Result<(Option<String>, Option<StoreError>), StoreError> {
    match inbox::status(store, id.0).await {
        Ok(row) => Ok((row, None)),
        Err(error @ StoreError::Inbox { .. }) => Ok((None, Some(error))),
        Err(error) => Err(error),
    }
}

/// The refusal when there is no request; `row` is the status in the inbox, if the row exists.
fn no_request(id: RequestId, row: Option<String>) -> Refusal {
    match row {
        Some(status) if status == State::New.name() => Refusal::NotEstimated { id },
        Some(status) => Refusal::NotTaken { id, status },
        None => Refusal::Missing { id },
    }
}

/// The result of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// Contacts that will not be sent. 0: all were sent already; those whose effect is not known will not be
    /// sent again.
    pub contacts: u64,
    /// The request's status now: `accepted` while sent contacts are still followed.
    pub status: String,
}

/// Cancels the contacts of a request that were not sent. Contacts already sent are followed to the end, since
/// they may be charged. `accounts` are the configured ones, for a row that no worker has taken.
pub async fn cancel(
    store: &Store,
    accounts: &[AccountId],
    id: RequestId,
    now: Millis,
) -> Result<Cancelled, Refusal> {
    if let Some(cancelled) = cancel_untaken(store, accounts, id, now).await? {
        return Ok(cancelled);
    }
    let (row, unread) = row_status(store, id).await?;
    store
        .write(move |connection| {
            Box::pin(async move {
                let Some(request) = requests::state_and_quote(&mut *connection, id).await? else {
                    return unread.map_or_else(|| Ok(Err(no_request(id, row))), Err);
                };
                if request.state.is_end() {
                    return Ok(Err(Refusal::Finished { id, status: request.state.name().to_owned() }));
                }
                if !unsent::may_be_sent_yet(&mut *connection, id).await? {
                    return Ok(Err(Refusal::AllSent { id }));
                }
                let contacts = unsent::cancel(&mut *connection, id, now).await?;
                let after = requests::state_and_quote(connection, id).await?;
                let state = after.map_or(request.state, |after| after.state);
                Ok(Ok(Cancelled { contacts, status: state.name().to_owned() }))
            })
        })
        .await?
}

/// Cancels a row that no worker has taken yet: it becomes a request that is already cancelled, so a worker
/// that takes the row at this moment finds it taken. `None`: there is no such row, or a worker was faster.
async fn cancel_untaken(
    store: &Store,
    accounts: &[AccountId],
    id: RequestId,
    now: Millis,
) -> Result<Option<Cancelled>, StoreError> {
    let row = match inbox::new_row(store, id.0).await {
        Err(StoreError::Inbox { .. }) => return Ok(None),
        row => row?,
    };
    let Some(row) = row else { return Ok(None) };
    let request = taken::cancelled(row, accounts).map_err(StoreError::from)?;
    let contacts = request.items.len() as u64;
    let won = store
        .write(move |connection| {
            Box::pin(
                async move { Ok(!requests::insert(connection, &[request], true, now).await?.is_empty()) },
            )
        })
        .await?;
    // Only this row: the news about other rows may be old by the time it is written.
    let mut behind = inbox::behind(store, 10_000).await?;
    behind.retain(|row| row.id == id.0);
    match inbox::bring_up(store, &behind).await {
        // The worker shows it later.
        Ok(_) | Err(StoreError::Inbox { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(won.then(|| Cancelled { contacts, status: State::Cancelled.name().to_owned() }))
}

/// A person says that a submission in doubt took no effect: it takes the normal way once more,
/// precheck included. `shown` is the cost that the person saw: when it would cost more by the time it is
/// sent, its requests wait for an approval instead.
pub async fn resubmit(store: &Store, mut job: Job, shown: Credits, now: Millis) -> Result<(), Refusal> {
    let (id, cost) = (job.id, job.cost.unwrap_or_default());
    if cost != shown {
        return Err(Refusal::AnotherCost { job: id, shown, cost });
    }
    job.apply(Event::Resubmit, now)?;
    (job.due_at, job.confirmed_credits) = (None, Some(shown));
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
                // It is sent because of the person's decision, not because of the checks.
                (job.looks, job.no_effect_looks) = (0, 0);
                jobs::save(&mut *connection, &job).await?;
                let detail = "a person decided to send it again";
                timeline::of_job(connection, now, job.id, "resubmit", detail).await.map(Ok)
            })
        })
        .await?
}

/// What it costs at most to buy the contacts again that a job was charged for without a value: how many they are, and
/// the credits. A search or an event is asked for again by a new request: nothing of it waits.
pub async fn cost_again(store: &Store, job: &Job) -> Result<(u64, Credits), StoreError> {
    if job.channel().is_none() {
        return Ok((0, Credits::ZERO));
    }
    let contacts = paid::without_value_of(store.readers(), job.id).await?.len();
    // What it was charged for one, as `claims` has it: its cost was held for contacts that the API left out, too.
    let (cost, of) = (job.cost.unwrap_or_default().0, i64::from(job.contacts.max(1)));
    Ok((contacts as u64, job.price.unwrap_or(Credits(cost.saturating_add(of - 1) / of)).times(contacts)))
}

/// A person says that the task of a job that has ended brings nothing more: the contacts that it was charged for
/// without a value may be paid for once more, by requests that wait for them or ask for them later. `shown` is the
/// cost that the person saw. Returns how many contacts these are.
pub async fn buy_again(store: &Store, job: Job, shown: Credits, now: Millis) -> Result<u64, Refusal> {
    let (id, action) = (job.id, job.action);
    let (contacts, cost) = cost_again(store, &job).await?;
    if contacts == 0 || !job.state.is_end() {
        return Err(Refusal::NothingToBuyAgain { job: id });
    }
    if cost != shown {
        return Err(Refusal::AnotherCost { job: id, shown, cost });
    }
    let ids = paid::without_value_of(store.readers(), id).await?;
    store
        .write(move |tx| {
            Box::pin(async move {
                paid::allow_again(&mut *tx, &job, now).await?;
                reading::read_paid_before_now(&mut *tx, action, &ids, now).await?;
                let detail = format!("a person decided that {contacts} contacts may be paid for once more");
                timeline::of_job(tx, now, id, "bought_again", &detail).await
            })
        })
        .await?;
    Ok(contacts)
}

/// A person gives up a submission in doubt. Its possible cost stays booked, since its effect is not known. While it
/// is still being looked up, nobody has read all its profiles: the worker reads them first, and only what they do
/// not show is lost.
pub async fn write_off(store: &Store, mut job: Job, now: Millis) -> Result<(), StoreError> {
    let is_looked_up = match job.state {
        JobState::InDoubt { doubt: Doubt::Looking } => true,
        _ => job.due_at.is_some(),
    };
    let reads_first = job.channel().is_some() && is_looked_up;
    job.apply(Event::WrittenOff, now)?;
    job.due_at = None;
    let cost = job.cost.unwrap_or(Credits::ZERO);
    store
        .write(move |connection| {
            Box::pin(async move {
                let books = booking::read(&mut *connection, &job).await?;
                booking::write(&mut *connection, &mut job, &books.carried_out(), now).await?;
                let event_id = job.event_id.as_ref();
                match reads_first {
                    true => reading::all_to_reading(&mut *connection, job.id, Why::LostAnswer, now).await?,
                    false => {
                        items::finish_all(&mut *connection, job.id, event_id, &Outcome::Lost, now).await?;
                    }
                }
                jobs::save(&mut *connection, &job).await?;
                let detail = format!("a person gave it up; {cost} credits stay booked as perhaps spent");
                timeline::of_job(&mut *connection, now, job.id, "written_off", &detail).await?;
                requests::finish_complete_of_job(connection, job.id, now).await
            })
        })
        .await
}
