//! The data for `/metrics`: counts, credits and times, never an id or a value.
//!
//! Every statement uses a partial index over open rows, the newest row of an account, or the few rows of
//! `figures`, which triggers update. So the cost of a scrape depends only on open work, not on the history.

use sqlx::FromRow;

use crate::domain::credits::Purse;
use crate::domain::{AccountId, Millis};
use crate::store::credits::ledger;
use crate::store::{Store, StoreError, disk, inbox, sql};

/// A figure over the whole history.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Figure {
    pub name: String,
    pub account: String,
    pub label: String,
    pub value: i64,
}

/// All figures over the whole history: a few for each account.
pub async fn figures(store: &Store) -> Result<Vec<Figure>, StoreError> {
    Ok(sql::query_as("select name, account, label, value from figures").fetch_all(store.readers()).await?)
}

/// Waiting work of all accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Waiting {
    pub inbox: i64,
    pub inbox_oldest: Option<i64>,
    /// Parts of the work with the inbox that wait: intake, statuses.
    pub inbox_faults: i64,
    pub approvals: i64,
    pub requests_open: i64,
    pub notifications: i64,
    pub notifications_oldest: Option<i64>,
}

/// Counts the waiting work.
pub async fn waiting(store: &Store) -> Result<Waiting, StoreError> {
    let (inbox, inbox_oldest) = inbox::untaken(store).await?;
    let inbox_faults = inbox::fault::read(store).await?.len() as i64;
    let (requests_open, approvals): (i64, i64) = sql::query_as(
        "select count(*), count(*) filter (where status = 'awaiting_approval') from requests where finished_at is null",
    )
    .fetch_one(store.readers())
    .await?;
    let (notifications, notifications_oldest): (i64, Option<i64>) =
        sql::query_as("select count(*), min(at) from outbox where state = 'waiting'")
            .fetch_one(store.readers())
            .await?;
    Ok(Waiting {
        inbox,
        inbox_oldest,
        inbox_faults,
        approvals,
        requests_open,
        notifications,
        notifications_oldest,
    })
}

/// Open work of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Open {
    /// Items whose value is read from a profile.
    pub items_reading: i64,
    pub doubt_oldest: Option<i64>,
}

/// Counts the open work of one account.
pub async fn open(store: &Store, account: &AccountId) -> Result<Open, StoreError> {
    Ok(sql::query_as(
        "select (select count(*) from items where state = 'reading' and account = $1) as items_reading,
                (select min(doubt_since) from jobs where state = 'in_doubt' and account = $1) as doubt_oldest",
    )
    .bind(account.as_str())
    .fetch_one(store.readers())
    .await?)
}

/// The credits free to spend on an account, without the configured floor and limit. Only reads: a scrape must
/// not wait for the writer, nor delay others.
pub async fn purse(store: &Store, account: &AccountId, now: Millis) -> Result<Option<Purse>, StoreError> {
    ledger::purse(store.readers(), account, now).await
}

/// Disk space, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub database: u64,
    /// Nothing when only a server knows.
    pub log: Option<u64>,
    /// The same.
    pub free: Option<u64>,
}

/// The size of the database and its write-ahead log, and the free space on their disk.
pub async fn room(store: &Store) -> Result<Room, StoreError> {
    let (database, log) = store.engine.size().await?;
    Ok(Room { database, log, free: disk::free_bytes(store)? })
}
