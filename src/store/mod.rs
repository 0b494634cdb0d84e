//! SQLite: the only module that contains SQL.
//!
//! Opens the database (`open`: WAL, `synchronous=FULL`, mode 0600), brings it to the newest schema, and
//! offers two ways in: [`Store::write`] for everything that changes rows, through the one [`Writer`],
//! and a pool of read-only connections. One function per statement, named by its effect. A state change
//! is guarded by the row's version and must change exactly one row; the next state always comes from
//! `domain`, never from SQL.
//!
//! The rooms, in the order in which a row meets them:
//!
//! - [`inbox`]: the table other programs write, and what they overwrite in rows that were taken.
//! - [`requests`]: what was taken, why one brought nothing, and what of one can still be cancelled.
//! - [`items`]: contacts of requests; those in no job yet, those whose value is in a profile, those that need
//!   not be bought.
//! - [`jobs`]: remote tasks, which of them are due, and the attempts (the intent before each POST).
//! - [`credits`]: holds, charges, prices, balances and settlements. [`direct`]: results of events and searches.
//! - [`accounts`]: pause, key, rate limit. [`outbox`]: messages for `notify.url`. [`timeline`]. [`report`]: what
//!   people read.
//! - [`sqlite`]: what is SQLite and not SQL: files, the writer, the lease, disk space, backup, erasing.

pub mod accounts;
pub mod credits;
pub mod direct;
mod error;
pub mod inbox;
pub mod items;
pub mod jobs;
pub mod outbox;
pub mod report;
pub mod requests;
mod sql;
pub mod sqlite;
pub mod timeline;
mod tx;

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;

use crate::metrics::Metrics;
use sqlite::open::{inbox_migrations, migrate, prepare, readers, state_migrations};

pub use error::StoreError;
pub use sqlite::writer::Writer;
pub use tx::{On, Reads, Tx};

/// Connections that read at the same time.
const READERS: u32 = 4;

/// An open database, and the inbox that belongs to it.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: Reads,
    inbox: Writer,
    inbox_readers: Reads,
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
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Writes once more after the writer has failed, on a connection of its own and with the ballast
    /// given up: for the outcome of something paid for, and nothing else. The process must end all
    /// the same.
    pub async fn write_as_last_resort<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        sqlite::disk::drop_ballast(self);
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
    pub fn readers(&self) -> &Reads {
        &self.readers
    }

    /// What this process counts. Here, since whoever has something to count has the store as well.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether no statement is running or waiting: what a caller still waits for is then no answer of
    /// the database.
    pub fn is_quiet(&self) -> bool {
        let written = self.writer.is_quiet() && self.inbox.is_quiet();
        written && self.readers.is_quiet() && self.inbox_readers.is_quiet()
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
