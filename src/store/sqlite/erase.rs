//! Erasing emails and phones: the values go, the outcomes stay.
//!
//! SQLite forgets rows, not bytes. `secure_delete` overwrites what is deleted, but a page that
//! overflows passes rows on to another page, and not all of their old places are overwritten
//! (3.51.3, `rebuildPage`): of 100,000 values in rows that grew in random order, 266 were still in the
//! file after all were erased. So values are in `contact_values`, whose rows never move: they are added
//! at its end, never deleted, and written over here at equal length, which SQLite does in place.
//!
//! What is left is the write-ahead log, which holds older pages: [`empty_log`] brings the newest into
//! the database and cuts it.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use crate::domain::{Millis, PersonnelId};
use crate::store::error::is_busy;
use crate::store::sqlite::open::{open_error, options};
use crate::store::{Store, StoreError, Tx, sql};

/// Which values are erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those delivered before this time.
    DeliveredBefore(Millis),
    /// Those of one person, whatever the account, action and request.
    Of(PersonnelId),
}

/// Erases at most `limit` values; returns how many. An item has one value, an email or a phone.
pub async fn values(connection: &mut Tx, which: &Which, limit: u32) -> Result<u64, StoreError> {
    let query = match which {
        Which::DeliveredBefore(before) => sql::query(
            "update contact_values
             set is_erased = 1, value = replace(hex(zeroblob(length(cast(value as blob)))), '00', '-')
             where id in (select id from contact_values where is_erased = 0 and stored_at < $1
                          order by stored_at limit $2)",
        )
        .bind(before.0),
        Which::Of(personnel_id) => sql::query(
            "update contact_values
             set is_erased = 1, value = replace(hex(zeroblob(length(cast(value as blob)))), '00', '-')
             where id in (select v.id from items i join contact_values v on v.item_id = i.id
                          where i.personnel_id = $1 and v.is_erased = 0 limit $2)",
        )
        .bind(personnel_id.as_str().to_owned()),
    };
    Ok(query.bind(limit).execute(connection).await?.rows_affected())
}

/// In how many requests a person is, and how many of those may still bring a value.
pub async fn requests_of(store: &Store, personnel_id: &PersonnelId) -> Result<(i64, i64), StoreError> {
    Ok(sql::query_as(
        "select count(*), count(*) filter (where state <> 'done') from items where personnel_id = $1",
    )
    .bind(personnel_id.as_str())
    .fetch_one(store.readers())
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
