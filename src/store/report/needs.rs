//! The rows that need a person. Every list is bounded, and its count is complete.

use sqlx::FromRow;

use crate::domain::job::WaitReason;
use crate::domain::{AccountId, JobId};
use crate::store::{Store, StoreError, sql};

/// Rows of each kind that are listed; the others are only counted.
const LISTED: u32 = 100;

/// A row that a person must decide on, and the highest amount of credits it concerns.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Open {
    pub id: i64,
    pub account: String,
    pub credits: i64,
}

/// A bounded list, and the full count.
pub type Listed = (Vec<Open>, i64);

/// Requests that await approval, oldest first, of all accounts.
pub async fn approvals(store: &Store) -> Result<Listed, StoreError> {
    let list = sql::query_as(
        "select id, account, quoted_credits as credits from requests
         where finished_at is null and status = 'awaiting_approval' order by id limit $1",
    )
    .bind(LISTED)
    .fetch_all(store.readers())
    .await?;
    let total = sql::query_scalar(
        "select count(*) from requests where finished_at is null and status = 'awaiting_approval'",
    )
    .fetch_one(store.readers())
    .await?;
    Ok((list, total))
}

/// Jobs of an account whose submission stayed in doubt, oldest first.
pub async fn decisions(store: &Store, account: &AccountId) -> Result<Listed, StoreError> {
    let list = sql::query_as(
        "select id, account, cost as credits from jobs
         where state = 'in_doubt' and account = $1 and state_reason = 'needs_decision' order by id limit $2",
    )
    .bind(account.as_str())
    .bind(LISTED)
    .fetch_all(store.readers())
    .await?;
    let total = sql::query_scalar(
        "select count(*) from jobs
         where state = 'in_doubt' and account = $1 and state_reason = 'needs_decision'",
    )
    .bind(account.as_str())
    .fetch_one(store.readers())
    .await?;
    Ok((list, total))
}

/// Queued jobs of an account that wait for the same reason; `None`: only for their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    pub waits_for: Option<WaitReason>,
    pub jobs: i64,
    pub oldest: JobId,
}

/// Counts an account's queued jobs by the reason why they wait.
pub async fn queued(store: &Store, account: &AccountId) -> Result<Vec<Queued>, StoreError> {
    let rows: Vec<(Option<String>, i64, i64)> = sql::query_as(
        "select state_reason, count(*), min(id) from jobs
         where state = 'queued' and account = $1 group by state_reason",
    )
    .bind(account.as_str())
    .fetch_all(store.readers())
    .await?;
    let read = |(word, jobs, oldest): (Option<String>, i64, i64)| {
        let problem = || "its state_reason".to_owned();
        let unreadable = || StoreError::Unreadable { table: "jobs", id: oldest, problem: problem() };
        let waits_for = word.map(|word| WaitReason::parse(&word).ok_or_else(unreadable)).transpose()?;
        Ok(Queued { waits_for, jobs, oldest: JobId(oldest) })
    };
    rows.into_iter().map(read).collect()
}

/// How many jobs of an account expired before their task ended.
pub async fn expired(store: &Store, account: &AccountId) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select count(*) from jobs where state = 'expired' and account = $1")
        .bind(account.as_str())
        .fetch_one(store.readers())
        .await?)
}
