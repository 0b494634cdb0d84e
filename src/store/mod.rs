//! SQLite: the only module that contains SQL.
//!
//! Opens the database (WAL, `synchronous=FULL`, mode 0600), brings it to the newest schema, and
//! offers two ways in: [`Store::write`] for everything that changes rows, through the one
//! [`Writer`], and a pool of read-only connections. One function per statement, named by its
//! effect. A state change is guarded by the row's version and must change exactly one row; the
//! next state always comes from `domain`, never from SQL.
//!
//! The files: [`inbox`] (the table other programs write), [`written`] (what they wrote over rows that
//! were taken), [`requests`], `rejections` (why one brought nothing), [`unsent`] (what of one may still
//! be taken back), [`items`], [`reading`] (items whose value is in a profile), [`paid`] (what need not
//! be bought), [`direct`] (results of event unlocks and searches), [`jobs`], [`due`] (which of them are
//! next), [`attempts`] (the intent before each POST), [`ledger`] (holds, charges, prices),
//! [`balances`], [`windows`] (settlements), [`accounts`] (pause, key, rate limit), [`outbox`] (messages
//! for `notify.url`), [`lease`] (one worker for one database), [`disk`] (room for what was paid for),
//! [`erase`], [`backup`], [`timeline`], [`report`] (what people read).

pub mod accounts;
pub mod attempts;
pub mod backup;
pub mod balances;
pub mod direct;
pub mod disk;
pub mod due;
pub mod erase;
mod error;
pub mod inbox;
pub mod items;
mod job_row;
pub mod jobs;
pub mod lease;
pub mod ledger;
pub mod outbox;
pub mod paid;
pub mod reading;
mod rejections;
pub mod report;
pub mod requests;
pub mod timeline;
pub mod unsent;
pub mod windows;
mod writer;
pub mod written;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, SqliteConnection};

use crate::guard::{self, Guard};
use crate::metrics::Metrics;

pub use error::StoreError;
use error::is_busy;
pub use writer::Writer;

fn state_migrations() -> Migrator {
    sqlx::migrate!("migrations/state")
}

fn inbox_migrations() -> Migrator {
    sqlx::migrate!("migrations/inbox")
}

/// How long a statement waits for another program's lock before it says so.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that read at the same time.
const READERS: u32 = 4;

/// An open database, and the inbox that belongs to it.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: SqlitePool,
    inbox: Writer,
    inbox_readers: SqlitePool,
    path: PathBuf,
    inbox_path: PathBuf,
    metrics: Metrics,
}

impl Store {
    /// Opens, or creates, the database at `path`; `inbox` is the file of the inbox table when it
    /// is to have one of its own.
    pub async fn open(path: &Path, inbox: Option<&Path>) -> Result<Store, StoreError> {
        Store::open_with(path, inbox, READERS).await
    }

    /// The same with so many connections to read; with one, reads never overtake each other.
    pub async fn open_with(path: &Path, inbox: Option<&Path>, count: u32) -> Result<Store, StoreError> {
        let metrics = Metrics::default();
        let inbox_path = inbox.unwrap_or(path);
        let shared = inbox_path == path;
        let mut connection = prepare(path, 0o600).await?;
        migrate(path, &mut connection, state_migrations()).await?;
        if shared {
            migrate(path, &mut connection, inbox_migrations()).await?;
        }
        let (writer, readers) = (Writer::start(connection, metrics.clone()), readers(path, count).await?);
        let (inbox, inbox_readers) = if shared {
            (writer.clone(), readers.clone())
        } else {
            let mut connection = prepare(inbox_path, 0o660).await?;
            migrate(inbox_path, &mut connection, inbox_migrations()).await?;
            (Writer::start(connection, metrics.clone()), self::readers(inbox_path, count).await?)
        };
        let (path, inbox_path) = (path.to_owned(), inbox_path.to_owned());
        Ok(Store { writer, readers, inbox, inbox_readers, path, inbox_path, metrics })
    }

    /// Runs `work` in a write transaction; returns once it is on disk.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Writes once more after the writer has failed, on a connection of its own and with the ballast
    /// given up: for the outcome of something paid for, and nothing else. The process must end all
    /// the same.
    pub async fn write_as_last_resort<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        disk::drop_ballast(self);
        let connection = prepare(&self.path, 0o600).await?;
        let writer = self.writer.successor(connection);
        writer.write(work).await
    }

    /// The same store, reading through connections of its own: whoever reads much and often does
    /// not keep the others waiting.
    pub async fn with_own_readers(&self) -> Result<Store, StoreError> {
        let own = readers(&self.path, READERS).await?;
        let inbox_readers = match self.path == self.inbox_path {
            true => own.clone(),
            false => readers(&self.inbox_path, READERS).await?,
        };
        Ok(Store { readers: own, inbox_readers, ..self.clone() })
    }

    /// The read-only connections. A read sees what was committed when it began.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// What this process counts. Here, since whoever has something to count has the store as well.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether no statement is running or waiting: what a caller still waits for is then no answer of
    /// the database.
    pub fn is_quiet(&self) -> bool {
        let idle = |pool: &SqlitePool| pool.num_idle() == pool.size() as usize;
        let written = self.writer.is_quiet() && self.inbox.is_quiet();
        written && idle(&self.readers) && idle(&self.inbox_readers)
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the inbox table: the database itself unless configured otherwise.
    pub fn inbox_path(&self) -> &Path {
        &self.inbox_path
    }
}

fn open_error(path: &Path, problem: impl ToString) -> StoreError {
    StoreError::Open { path: path.display().to_string(), problem: problem.to_string() }
}

/// Creates the file with its mode before SQLite sees it, so that it is never readable by others,
/// not even for a moment; the WAL files take their mode from it.
async fn prepare(path: &Path, mode: u32) -> Result<SqliteConnection, StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match created {
        // The mode asked for is cut by the umask; a shared inbox needs its group bits.
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

/// Between two attempts to connect to a file that is busy.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// SQLite does not wait for its busy timeout while another program turns a new file to WAL.
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

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match guard::holds(Guard::Synchronous) {
            true => SqliteSynchronous::Full,
            false => SqliteSynchronous::Normal,
        })
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // What SQLite puts aside may hold values, and a read-only container has no place for files.
        .pragma("temp_store", "memory")
        .pragma("secure_delete", if guard::holds(Guard::SecureDelete) { "on" } else { "off" })
        // Bounds the WAL that a long reader left behind.
        .pragma("journal_size_limit", "67108864")
}

/// Durability is not tunable: with NORMAL a power cut can lose the intent of a POST that went out.
async fn verify(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let journal: String = sqlx::query_scalar("pragma journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| open_error(path, e))?;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| open_error(path, e))?;
    if journal != "wal" || (synchronous != 2 && guard::holds(Guard::Synchronous)) {
        let problem = format!("needs WAL and synchronous=FULL, found {journal} and {synchronous}");
        return Err(open_error(path, problem));
    }
    Ok(())
}

async fn migrate(
    path: &Path,
    connection: &mut SqliteConnection,
    mut migrations: Migrator,
) -> Result<(), StoreError> {
    // State and inbox keep their migrations apart, and may share one file and so one table of
    // applied versions: the other one's versions are not missing.
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
    // A migration may make a table anew that others refer to; whether they still do is looked at after.
    foreign_keys(path, connection, false).await?;
    // Two programs may bring one file up to date at the same moment. The slower one finds a step done
    // that it was about to do, and then perhaps the next one: at most twice for each step, since a step is
    // two commits, the second one of which notes how long it took.
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

async fn readers(path: &Path, count: u32) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(count)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options(path).read_only(true))
        .await
        .map_err(|error| open_error(path, error))
}
