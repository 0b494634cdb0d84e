//! Figures of the status page other than lists: counts, what is in doubt, balances over time, the last
//! settlements. Every statement is bounded, however long the history is.

use sqlx::FromRow;

use crate::domain::{AccountId, Millis};
use crate::store::report::Time;
use crate::store::{Store, StoreError, inbox, sql};

/// The number of rows in a state.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct StateCount {
    pub state: String,
    pub count: i64,
}

/// Unfinished jobs by state; states without a job are left out.
pub async fn open_jobs(store: &Store) -> Result<Vec<StateCount>, StoreError> {
    // One select for each state: each has its own index.
    Ok(sql::query_as(
        "select * from (select 'in_doubt' as state, count(*) as count from jobs where state = 'in_doubt'
                        union all select 'submitting', count(*) from jobs where state = 'submitting'
                        union all select 'polling', count(*) from jobs where state = 'polling'
                        union all select 'queued', count(*) from jobs where state = 'queued') as counted
         where count > 0",
    )
    .fetch_all(store.readers())
    .await?)
}

/// Unfinished requests by status; statuses without a request are left out.
pub async fn open_requests(store: &Store) -> Result<Vec<StateCount>, StoreError> {
    let mut counts: Vec<StateCount> = sql::query_as(
        "select status as state, count(*) as count from requests where finished_at is null
         group by status order by status desc",
    )
    .fetch_all(store.readers())
    .await?;
    let (new, _) = inbox::untaken(store).await?;
    if new > 0 {
        counts.insert(0, StateCount { state: "new".to_owned(), count: new });
    }
    Ok(counts)
}

/// The submissions of an account whose effect is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct InDoubt {
    pub jobs: i64,
    /// In jobs that have contacts.
    pub contacts: i64,
    /// At most this many.
    pub credits: i64,
}

/// Adds up the jobs whose effect is not known yet.
pub async fn in_doubt(store: &Store, account: &AccountId) -> Result<InDoubt, StoreError> {
    Ok(sql::query_as(
        "select count(*) as jobs, cast(coalesce(sum(cost), 0) as bigint) as credits,
                cast(coalesce(sum(contacts) filter
                    (where action in ('unlock_contact_emails', 'unlock_contact_phones')), 0) as bigint) as contacts
         from jobs where state = 'in_doubt' and account = $1 and state_reason <> 'carried_out'",
    )
    .bind(account.as_str())
    .fetch_one(store.readers())
    .await?)
}

/// Balances since a time, oldest first; the newest `limit` of them.
pub async fn balances(
    store: &Store,
    account: &AccountId,
    since: Millis,
    limit: u32,
) -> Result<Vec<(Time, i64)>, StoreError> {
    let mut newest_first: Vec<(Time, i64)> = sql::query_as(
        "select taken_at, total from (select taken_at, total, id from balance_snapshots
                                      where owner = (select owner from accounts where account = $1)
                                      order by id desc limit $3) as newest
         where taken_at >= $2 order by id desc",
    )
    .bind(account.as_str())
    .bind(since.0)
    .bind(limit)
    .fetch_all(store.readers())
    .await?;
    newest_first.reverse();
    Ok(newest_first)
}

/// A closed settlement.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Settlement {
    pub account: String,
    pub owner: String,
    pub opened_at: Time,
    pub closed_at: Time,
    pub jobs: i64,
    pub expected_min: i64,
    pub expected_max: i64,
    pub spent: Option<i64>,
    pub verdict: String,
    /// Jobs whose answer was lost and that a person sent again.
    pub resubmitted: i64,
}

/// The last settlements, newest first.
pub async fn settlements(store: &Store, limit: u32) -> Result<Vec<Settlement>, StoreError> {
    Ok(sql::query_as(select_settlements!("order by id desc limit $1"))
        .bind(limit)
        .fetch_all(store.readers())
        .await?)
}
