//! How an erased value is removed from the file.
//!
//! SQLite removes rows, not bytes. `secure_delete` overwrites what is deleted, but a full page moves rows to
//! another page, and not all of their old places are overwritten (3.51.3, `rebuildPage`): of 100,000 values
//! in rows that grew in random order, 266 were still in the file after all were erased. So values are in
//! `contact_values`, whose rows never move: they are added at its end, never deleted, and overwritten here
//! with the same length, which SQLite does in place.
//!
//! After that only the write-ahead log holds older pages: `empty_log` copies the newest pages into the
//! database and truncates the log.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use crate::store::StoreError;
use crate::store::error::is_busy;
use crate::store::sqlite::open::options;

/// How long an attempt waits for readers. It holds the write lock meanwhile, so writers wait, too.
const WAIT_FOR_READERS: Duration = Duration::from_millis(20);

/// Copies the write-ahead log into the database and empties it. False: the log must stay, since another
/// connection reads an older state of the database, or writes.
pub(super) async fn empty_log(path: &Path) -> Result<bool, StoreError> {
    let connected = SqliteConnection::connect_with(&options(path).busy_timeout(WAIT_FOR_READERS)).await;
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(error) if is_busy(&error) => return Ok(false),
        Err(error) => return Err(StoreError::open(path, error)),
    };
    // Copies most of it while others may write, so that the exclusive part is short.
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
