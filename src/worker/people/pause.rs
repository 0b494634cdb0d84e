//! Pauses and resumes an account.
//!
//! A pause stops purchases; tasks that were sent are still polled and settled. A person pauses an account, or unlockd
//! does: when the database is an older copy and no precheck can show whether something was bought since, and when the
//! API charged more than it had said twice in succession.
//!
//! Only a person's resume ends a pause. It also tries a refused key again, ends the wait for a `Retry-After` of the
//! account's key early, retries jobs that wait for credits, and polls expired jobs.

use crate::domain::job::Event;
use crate::domain::pacing::Ladder;
use crate::domain::pause::Pause;
use crate::domain::{AccountId, Millis};
use crate::store::credits::exceeded;
use crate::store::jobs::{Job, due};
use crate::store::postgres::server;
use crate::store::{Store, StoreError, Tx, accounts, items, jobs, rate, requests, timeline};

/// Stops submitting on an account; polling and settling continue. If it was already paused, returns since
/// when.
pub async fn pause(store: &Store, account: &AccountId, now: Millis) -> Result<Option<Millis>, StoreError> {
    if let Some(at) = accounts::read(store.readers(), account).await?.paused_at {
        return Ok(Some(Millis(at)));
    }
    let account = account.clone();
    store
        .write(move |connection| {
            Box::pin(async move { accounts::set_paused(connection, &account, Some(now)).await })
        })
        .await?;
    Ok(None)
}

/// The database is a restored, older copy: from now on nothing is bought without a precheck that confirms it.
pub async fn distrust_restored(
    store: &Store,
    accounts: Vec<AccountId>,
    now: Millis,
) -> Result<(), StoreError> {
    store.write(move |connection| Box::pin(async move { distrust(connection, &accounts, now).await })).await
}

/// The same, as a part of a transaction.
pub(in crate::worker) async fn distrust(
    connection: &mut Tx,
    accounts: &[AccountId],
    now: Millis,
) -> Result<(), StoreError> {
    for account in accounts {
        accounts::set_restored(&mut *connection, account, Some(now)).await?;
    }
    // One that is not configured now may be so again while the worker runs.
    accounts::distrust_all(&mut *connection, now).await?;
    server::distrust(connection).await
}

/// A contact may have been bought after the copy was made, and no precheck can tell: nothing is submitted
/// until a person resumes. Tasks that were sent are still polled and checked.
pub(in crate::worker) async fn pause_restored(
    store: &Store,
    account: &AccountId,
    now: Millis,
) -> Result<(), StoreError> {
    let account = account.clone();
    store
        .write(move |connection| {
            Box::pin(async move {
                // The same time in both columns shows why the account is paused.
                accounts::set_restored(&mut *connection, &account, Some(now)).await?;
                accounts::set_paused(connection, &account, Some(now)).await
            })
        })
        .await
}

/// What a resume has started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    pub was_paused: bool,
    pub key_was_refused: bool,
    /// A `Retry-After` that ran until then, and is not waited for any more.
    pub waited_until: Option<Millis>,
    /// Expired jobs that are polled again.
    pub expired_jobs: usize,
    /// Jobs that waited for credits or a budget, and are tried again.
    pub parked_jobs: usize,
}

/// Continues an account: submitting, jobs that wait for credits or a key, and expired jobs.
pub async fn resume(
    store: &Store,
    account: &AccountId,
    ladder: &Ladder,
    now: Millis,
) -> Result<Resumed, StoreError> {
    go_on(store, account, ladder, true, now).await
}

/// Retries jobs that wait for credits or a key, and polls expired jobs. A pause stays: a person who asks for
/// this may not know of the pause.
pub async fn try_again(
    store: &Store,
    account: &AccountId,
    ladder: &Ladder,
    now: Millis,
) -> Result<Resumed, StoreError> {
    go_on(store, account, ladder, false, now).await
}

async fn go_on(
    store: &Store,
    account: &AccountId,
    ladder: &Ladder,
    lifts_pause: bool,
    now: Millis,
) -> Result<Resumed, StoreError> {
    let (account, next_poll_at) = (account.clone(), ladder.next_poll(0, now));
    let expired = due::expired(store.readers(), &account).await?;
    let resumed = store
        .write(move |connection| {
            Box::pin(async move {
                let before = accounts::read(&mut *connection, &account).await?;
                let parked = due::waiting_for_credits(&mut *connection, &account).await?;
                let waited_until =
                    before.pause(now).map(Pause::until).filter(|until| lifts_pause && *until > now);
                let resumed = Resumed {
                    waited_until,
                    was_paused: before.paused_at.is_some(),
                    key_was_refused: before.refused_key.is_some(),
                    expired_jobs: 0,
                    parked_jobs: parked.len(),
                };
                let vouched = lifts_pause && before.is_paused_by_restore();
                if lifts_pause {
                    accounts::set_paused(&mut *connection, &account, None).await?;
                    exceeded::forget_all(&mut *connection, &account).await?;
                }
                if waited_until.is_some() {
                    rate::unblock(&mut *connection, &account).await?;
                }
                if vouched {
                    accounts::set_restored(&mut *connection, &account, None).await?;
                }
                accounts::set_resumed(&mut *connection, &account, now).await?;
                accounts::set_refused_key(&mut *connection, &account, None).await?;
                for job in parked {
                    jobs::save(&mut *connection, &job.released(now)?).await?;
                }
                Ok(resumed)
            })
        })
        .await?;
    let mut expired_jobs = 0;
    // A transaction for each: together they would keep the write lock from the worker.
    for job in expired {
        match poll_again(store, job, next_poll_at, now).await {
            // Another program has resumed it at the same moment.
            Err(StoreError::Stale { .. }) => {}
            polled => expired_jobs += usize::from(polled?),
        }
    }
    Ok(Resumed { expired_jobs, ..resumed })
}

/// Polls the task of an expired job again. False: it has none.
async fn poll_again(
    store: &Store,
    mut job: Job,
    next_poll_at: Millis,
    now: Millis,
) -> Result<bool, StoreError> {
    let Some(task_id) = job.task_id.clone() else { return Ok(false) };
    job.apply(Event::Resumed { task_id, next_poll_at }, now)?;
    job.failures = 0;
    store
        .write(move |connection| {
            Box::pin(async move {
                jobs::save(&mut *connection, &job).await?;
                items::revive_expired(&mut *connection, job.id, now).await?;
                requests::reopen_of_job(&mut *connection, job.id, now).await?;
                timeline::of_job(connection, now, job.id, "resumed", "its task is polled again").await?;
                Ok(true)
            })
        })
        .await
}
