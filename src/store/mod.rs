//! The database: the only module that contains SQL, and the only one that knows its engine.
//!
//! Opens the database and brings it to the newest schema, and offers two ways in: [`Store::write`] for
//! everything that changes rows, and [`Store::readers`]. A statement is one text for every engine. There is one
//! function for each statement, named by its effect. A state change is guarded by the row's version and must
//! change exactly one row; the next state always comes from `domain`, never from SQL.
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
//! - [`lease`] (one worker for one database), [`disk`], [`backup`], [`erase`]: what stands behind them is the engine's.
//! - [`sqlite`]: the engine: files, the writer, and what is not SQL about it.

pub mod accounts;
pub mod backup;
pub mod credits;
pub mod direct;
pub mod disk;
mod engine;
pub mod erase;
mod error;
pub mod inbox;
pub mod items;
pub mod jobs;
pub mod lease;
pub mod outbox;
pub mod report;
pub mod requests;
mod sql;
pub mod sqlite;
pub mod timeline;
mod tx;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::metrics::Metrics;
use engine::{Engine, Tables};
use sqlite::Sqlite;

pub use error::StoreError;
pub use tx::{On, Reads, Tx};

/// Connections that read at the same time.
const READERS: u32 = 4;

/// An open database, and the inbox that belongs to it.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    readers: Reads,
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
        let (path, inbox_path) = (path.to_owned(), inbox.unwrap_or(path).to_owned());
        let engine = Arc::new(Sqlite::open(&path, &inbox_path, &metrics).await?);
        let (readers, inbox_readers) = engine.connect_readers(count).await?;
        Ok(Store { engine, readers, inbox_readers, path, inbox_path, metrics })
    }

    /// Runs `work` in a write transaction; returns once it is on disk.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.write_tables(Tables::State, work).await
    }

    /// The same for the tables of the inbox.
    pub(in crate::store) async fn write_inbox<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.write_tables(Tables::Inbox, work).await
    }

    async fn write_tables<T, F>(&self, tables: Tables, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (work, told) = engine::work(work);
        self.engine.write(tables, work).await?;
        told.await.map_err(|_| StoreError::Stopped)?
    }

    /// Writes once more after the writer has failed, on a connection of its own and with the ballast
    /// given up: for the outcome of something paid for, and nothing else. The process must end all
    /// the same.
    pub async fn write_as_last_resort<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (work, told) = engine::work(work);
        self.engine.write_as_last_resort(work).await?;
        told.await.map_err(|_| StoreError::Stopped)?
    }

    /// The same store, reading through connections of its own: whoever reads much and often does
    /// not keep the others waiting.
    pub async fn with_own_readers(&self) -> Result<Store, StoreError> {
        let (readers, inbox_readers) = self.engine.connect_readers(READERS).await?;
        Ok(Store { readers, inbox_readers, ..self.clone() })
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
        self.engine.is_quiet() && self.readers.is_quiet() && self.inbox_readers.is_quiet()
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
