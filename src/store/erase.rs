//! Erasing emails and phones: the values go, the outcomes stay.
//!
//! A value that SQLite was told to forget is on disk in three places. `secure_delete` overwrites it in
//! its page. [`empty_log`] brings that page from the write-ahead log into the database and cuts the
//! log, which holds the older page. What is left are strays: a page that overflows passes rows on to
//! another page, and SQLite (3.51.3, `rebuildPage`) does not overwrite all of their old places. Values
//! that arrive in the order of their rows leave none; in random order 266 of 100,000 did. `vacuum`
//! removes them.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection, SqlitePool};

use super::error::is_busy;
use super::{Store, StoreError, open_error, options};
use crate::domain::{JobId, Millis, PersonnelId};

/// Which values are erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those delivered before this time.
    DeliveredBefore(Millis),
    /// Those of one person, whatever the account, action and request.
    Of(PersonnelId),
}

/// Erases at most `limit` values; returns how many. An item has one value, an email or a phone.
pub async fn values(connection: &mut SqliteConnection, which: &Which, limit: u32) -> Result<u64, StoreError> {
    let query = match which {
        Which::DeliveredBefore(before) => sqlx::query(
            "update items set email = null, phone = null where id in (
                 select id from items where resolved_at < ?1 and (email is not null or phone is not null)
                 order by resolved_at limit ?2)",
        )
        .bind(before.0),
        Which::Of(personnel_id) => sqlx::query(
            "update items set email = null, phone = null where id in (
                 select id from items where personnel_id = ?1 and (email is not null or phone is not null)
                 limit ?2)",
        )
        .bind(personnel_id.as_str().to_owned()),
    };
    Ok(query.bind(limit).execute(connection).await?.rows_affected())
}

/// In how many requests a person is, and how many of those may still bring a value.
pub async fn requests_of(store: &Store, personnel_id: &PersonnelId) -> Result<(i64, i64), StoreError> {
    Ok(sqlx::query_as(
        "select count(*), coalesce(sum(state <> 'done'), 0) from items where personnel_id = ?1",
    )
    .bind(personnel_id.as_str())
    .fetch_one(store.readers())
    .await?)
}

/// Whether a job has a contact that was bought before and whose value was erased.
pub async fn in_job(readers: &SqlitePool, job_id: JobId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "select exists (select 1 from items i join items had
             on had.personnel_id = i.personnel_id and had.account = i.account and had.action = i.action
         where i.job_id = ?1 and had.outcome = 'delivered' and had.email is null and had.phone is null)",
    )
    .bind(job_id.0)
    .fetch_one(readers)
    .await?)
}

/// How long an attempt waits for a reader. It holds the write lock meanwhile, so writers wait too.
const WAIT_FOR_READERS: Duration = Duration::from_millis(20);

/// Brings the write-ahead log into the database and empties it; false: somebody reads an older
/// state of the database, or is writing, so that the log must stay.
pub async fn empty_log(store: &Store) -> Result<bool, StoreError> {
    let path = store.path();
    let connected = SqliteConnection::connect_with(&options(path).busy_timeout(WAIT_FOR_READERS)).await;
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(error) if is_busy(&error) => return Ok(false),
        Err(error) => return Err(open_error(path, error)),
    };
    // The bulk of it while others may write; what is left for the exclusive part is little.
    checkpoint(&mut connection, "pragma wal_checkpoint(passive)").await?;
    let emptied = checkpoint(&mut connection, "pragma wal_checkpoint(truncate)").await?;
    let _ = connection.close().await;
    Ok(emptied)
}

async fn checkpoint(connection: &mut SqliteConnection, pragma: &'static str) -> Result<bool, StoreError> {
    let answer: Result<(i64, i64, i64), _> = sqlx::query_as(pragma).fetch_one(connection).await;
    match answer {
        Ok((busy, _, _)) => Ok(busy == 0),
        Err(error) if is_busy(&error) => Ok(false),
        Err(source) => Err(StoreError::Database { step: "empty the write-ahead log", source }),
    }
}
