//! Which jobs are next for a pass: to be polled, sent, released, looked up or resumed.
//!
//! Each reads the account's jobs in one state, in the order in which they are to be gone about; what
//! becomes of them is decided elsewhere, and written back with `jobs::save`.

use crate::store::{On, Reads, StoreError, sql};

use crate::domain::{AccountId, Millis};
use crate::store::jobs::Job;
use crate::store::jobs::job_row::{Row, jobs, select_jobs};

/// Tasks whose poll is due, oldest due first.
pub async fn to_poll(
    readers: &Reads,
    account: &AccountId,
    now: Millis,
    limit: u32,
) -> Result<Vec<Job>, StoreError> {
    let rows = sql::query_as(select_jobs!(
        "where state = 'polling' and account = $1 and next_poll_at <= $2 order by next_poll_at limit $3"
    ))
    .bind(account.as_str())
    .bind(now.0)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    jobs(rows)
}

/// How many tasks are polled, counted up to `at_most`.
pub async fn polling(readers: &Reads, account: &AccountId, at_most: u32) -> Result<u32, StoreError> {
    Ok(sql::query_scalar(
        "select count(*) from (select 1 from jobs where state = 'polling' and account = $1 limit $2)",
    )
    .bind(account.as_str())
    .bind(at_most)
    .fetch_one(readers)
    .await?)
}

/// When the next poll is due.
pub async fn next_poll(readers: &Reads, account: &AccountId) -> Result<Option<Millis>, StoreError> {
    let at: Option<i64> =
        sql::query_scalar("select min(next_poll_at) from jobs where state = 'polling' and account = $1")
            .bind(account.as_str())
            .fetch_one(readers)
            .await?;
    Ok(at.map(Millis))
}

/// The next queued job that waits for nothing: one that is due before one that waits to be tried again,
/// one that was refused less often before the others, then the oldest.
pub async fn ready(readers: &Reads, account: &AccountId, now: Millis) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> = sql::query_as(select_jobs!(
        "where state = 'queued' and account = $1 and state_reason is null
         order by max(coalesce(due_at, 0), $2), failures, id limit 1"
    ))
    .bind(account.as_str())
    .bind(now.0)
    .fetch_optional(readers)
    .await?;
    row.map(Job::try_from).transpose()
}

/// A queued job that every request has left, whatever it waited for.
pub async fn emptied(readers: &Reads, account: &AccountId) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> = sql::query_as(select_jobs!(
        "where state = 'queued' and account = $1 and contacts = 0 order by id limit 1"
    ))
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?;
    row.map(Job::try_from).transpose()
}

/// Queued jobs that wait for something, oldest first; those that wait for credits, of which there may
/// be many, last.
pub async fn parked(
    executor: impl Into<On<'_>>,
    account: &AccountId,
    limit: u32,
) -> Result<Vec<Job>, StoreError> {
    let rows = sql::query_as(select_jobs!(
        "where state = 'queued' and account = $1 and state_reason is not null
         order by state_reason in ('insufficient_credits', 'budget'), id limit $2"
    ))
    .bind(account.as_str())
    .bind(limit)
    .fetch_all(executor)
    .await?;
    jobs(rows)
}

/// In-doubt jobs that are still being looked at, by when they are due.
pub async fn in_doubt(readers: &Reads, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    let rows = sql::query_as(select_jobs!(
        "where state = 'in_doubt' and account = $1 and state_reason = 'looking' order by due_at limit 64"
    ))
    .bind(account.as_str())
    .fetch_all(readers)
    .await?;
    jobs(rows)
}

/// Jobs that an earlier process was sending when it ended.
pub async fn submitting(readers: &Reads) -> Result<Vec<Job>, StoreError> {
    jobs(sql::query_as(select_jobs!("where state = 'submitting' order by id")).fetch_all(readers).await?)
}

/// Jobs that gave up on their task.
pub async fn expired(executor: impl Into<On<'_>>, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    let rows = sql::query_as(select_jobs!("where state = 'expired' and account = $1 order by id"))
        .bind(account.as_str())
        .fetch_all(executor)
        .await?;
    jobs(rows)
}
