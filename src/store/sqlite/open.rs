//! A database file: created, checked, and brought to the newest schema.
//!
//! Its files have the required mode from the start. It is opened only in WAL mode with `synchronous=FULL`, and
//! not if a newer version wrote it. Two programs may open one file at the same moment.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};

use crate::store::StoreError;
use crate::store::error::is_busy;
use crate::store::tx::{Pool, Reads};

pub(in crate::store) fn state_migrations() -> Migrator {
    sqlx::migrate!("migrations/state")
}

pub(in crate::store) fn inbox_migrations() -> Migrator {
    sqlx::migrate!("migrations/inbox")
}

/// How long a statement waits for another program's lock before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(in crate::store) fn open_error(path: &Path, problem: impl ToString) -> StoreError {
    StoreError::Open { path: path.display().to_string(), problem: problem.to_string() }
}

/// Creates the file with its mode before SQLite opens it, so that other users can never read it, not even for
/// a moment; the WAL files get their mode from it.
pub(in crate::store) async fn prepare(path: &Path, mode: u32) -> Result<SqliteConnection, StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match created {
        // The umask reduces the requested mode; a shared inbox needs its group bits.
        Ok(file) => file
            .set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(|error| open_error(path, error))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(open_error(path, error)),
    }
    let found = std::fs::metadata(path).map_err(|error| open_error(path, error))?.permissions().mode();
    if found & 0o777 & !mode != 0 {
        let path_text = path.display();
        let problem =
            format!("its mode is {:o}, which lets others in; run: chmod {mode:o} {path_text}", found & 0o777);
        return Err(open_error(path, problem));
    }
    let mut connection = connect_patiently(path).await.map_err(|error| open_error(path, error))?;
    verify(path, &mut connection).await?;
    Ok(connection)
}

/// The pause between two attempts to connect to a busy file.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// SQLite does not use its busy timeout while another program switches a new file to WAL.
async fn connect_patiently(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut left = BUSY_TIMEOUT;
    loop {
        match SqliteConnection::connect_with(&options(path)).await {
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
        // SQLite's temporary files may hold values, and a read-only container has no place for files.
        .pragma("temp_store", "memory")
        .pragma("secure_delete", "on")
        // Limits the size of a WAL that a long reader has made grow.
        .pragma("journal_size_limit", "67108864")
}

/// Durability is not configurable: with NORMAL a power cut can lose the intent of a POST that was sent.
async fn verify(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let journal: String = sqlx::query_scalar("pragma journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| open_error(path, e))?;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| open_error(path, e))?;
    if journal != "wal" || synchronous != 2 {
        let problem = format!("needs WAL and synchronous=FULL, found {journal} and {synchronous}");
        return Err(open_error(path, problem));
    }
    Ok(())
}

pub(in crate::store) async fn migrate(
    path: &Path,
    connection: &mut SqliteConnection,
    mut migrations: Migrator,
) -> Result<(), StoreError> {
    // State and inbox have separate migrations, and may share one file and its table of applied versions:
    // versions of the other set are not missing.
    migrations.set_ignore_missing(true);
    let newest: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .unwrap_or(None);
    let (state, inbox) = (state_migrations(), inbox_migrations());
    let known = state.iter().chain(inbox.iter()).map(|migration| migration.version).max();
    if newest > known {
        let problem = "it was written by a newer unlockd; install that version, or restore a backup";
        return Err(open_error(path, problem));
    }
    // A migration may rebuild a table that others refer to; the references are checked afterwards.
    foreign_keys(path, connection, false).await?;
    // Two programs may migrate one file at the same moment. The slower one finds a step done that it was
    // about to do, and then perhaps the next one: at most twice for each step, since a step is two commits
    // (the second one notes how long it took).
    let mut outcome = migrations.run_direct(None, connection, false).await;
    for _ in migrations.iter().chain(migrations.iter()) {
        if outcome.is_ok() {
            break;
        }
        outcome = migrations.run_direct(None, connection, false).await;
    }
    outcome.map_err(|error| open_error(path, error))?;
    foreign_keys(path, connection, true).await?;
    if newest == known {
        return Ok(());
    }
    let broken: i64 = sqlx::query_scalar("select count(*) from pragma_foreign_key_check")
        .fetch_one(connection)
        .await
        .map_err(|error| open_error(path, error))?;
    match broken {
        0 => Ok(()),
        _ => {
            Err(open_error(path, format!("{broken} rows refer to rows that are not there; restore a backup")))
        }
    }
}

async fn foreign_keys(path: &Path, connection: &mut SqliteConnection, on: bool) -> Result<(), StoreError> {
    let pragma = if on { "pragma foreign_keys = on" } else { "pragma foreign_keys = off" };
    sqlx::query(pragma).execute(connection).await.map_err(|error| open_error(path, error))?;
    Ok(())
}

pub(in crate::store) async fn readers(path: &Path, count: u32) -> Result<Reads, StoreError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(count)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options(path).read_only(true))
        .await
        .map_err(|error| open_error(path, error))?;
    Ok(Reads(Pool::Sqlite(pool)))
}
