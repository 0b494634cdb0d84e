//! A database file: made, checked, and opened. Its schema is looked at in `super::part`.
//!
//! It never lets in more people than its mode says, and it is in WAL with `synchronous=FULL` or it is not
//! opened. Two programs may open one file at the same moment.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::store::StoreError;
use crate::store::error::is_busy;
use crate::store::place::beside_database;
use crate::store::sqlite::obstacle::{self, obstacle};
use crate::store::tx::{Pool, Reads};

/// How long a statement waits for another program's lock before it says so.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the file with its mode before SQLite sees it, so that it is never readable by others,
/// not even for a moment; the WAL files take their mode from it. One that is missing is made only when
/// `makes` says so.
pub(in crate::store) async fn prepare(
    path: &Path,
    mode: u32,
    makes: bool,
) -> Result<SqliteConnection, StoreError> {
    check_file(path, mode, makes)?;
    let connected = connect(&options(path)).await;
    let mut connection = connected.map_err(|error| StoreError::open(path, why(path, mode, &error)))?;
    verify(path, &mut connection).await?;
    Ok(connection)
}

/// Makes the file if `makes` says so, and looks at what it is before SQLite does.
pub(super) fn check_file(path: &Path, mode: u32, makes: bool) -> Result<(), StoreError> {
    let refused = |error: std::io::Error| StoreError::open(path, why(path, mode, &error));
    if makes {
        make(path, mode).map_err(refused)?;
    }
    std::fs::metadata(path).map_err(refused)?;
    match obstacle::of_file(path, mode) {
        None => Ok(()),
        Some(problem) => Err(StoreError::open(path, problem)),
    }
}

/// What is in the way, or else the error itself.
fn why(path: &Path, mode: u32, error: &dyn std::error::Error) -> String {
    obstacle(path, mode).unwrap_or_else(|| error.to_string())
}

/// As SQLite does, it makes the file that a link leads to.
fn make(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = beside_database(path, "");
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(file) {
        // The mode asked for is cut by the umask; a shared inbox needs its group bits.
        Ok(file) => file.set_permissions(std::fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Between two attempts to connect to a file that is busy.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// SQLite does not use its busy timeout while another program switches a new file to WAL.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut left = BUSY_TIMEOUT;
    loop {
        match SqliteConnection::connect_with(options).await {
            Err(error) if is_busy(&error) && !left.is_zero() => {
                tokio::time::sleep(CONNECT_AGAIN_AFTER).await;
                left = left.saturating_sub(CONNECT_AGAIN_AFTER);
            }
            connected => return connected,
        }
    }
}

pub(in crate::store) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // Rows come from another thread, and each full buffer is two switches between the threads.
        .row_buffer_size(1_000)
        // More than the store has statements: with the default of 100, a pass parses its statements again each time.
        .statement_cache_capacity(512)
        // SQLite's temporary files may hold values, and a read-only container has no place for files.
        .pragma("temp_store", "memory")
        .pragma("secure_delete", "on")
        // Limits the size of a WAL that a long reader has made grow.
        .pragma("journal_size_limit", "67108864")
}

/// The options for an inbox file of its own: see [`super::inbox_file`]. Exclusive from the first access on, so that a
/// file in WAL mode is not mapped into memory.
pub(in crate::store) fn inbox_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Truncate)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        // Its schema is written by others: no function with side effects runs in it.
        .pragma("trusted_schema", "off")
        .pragma("cell_size_check", "on")
        .pragma("mmap_size", "0")
        .pragma("temp_store", "memory")
        .pragma("secure_delete", "on")
        .disable_statement_logging()
}

/// Durability is not configurable: with NORMAL a power cut can lose the intent of a POST that was sent.
async fn verify(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let journal: String = sqlx::query_scalar("pragma journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| StoreError::open(path, e))?;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| StoreError::open(path, e))?;
    if journal != "wal" || synchronous != 2 {
        let problem = format!("needs WAL and synchronous=FULL, found {journal} and {synchronous}");
        return Err(StoreError::open(path, problem));
    }
    Ok(())
}

pub(in crate::store) async fn readers(path: &Path, count: u32) -> Result<Reads, StoreError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(count)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection to a file does not break by itself, and each test is two switches between threads.
        .test_before_acquire(false)
        .connect_with(options(path).read_only(true))
        .await
        .map_err(|error| StoreError::open(path, error))?;
    Ok(Reads(Pool::Sqlite(pool)))
}
