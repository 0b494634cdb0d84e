//! The database: the only module that contains SQL, and the only one that knows its engines.
//!
//! Opens the database and brings it to the newest schema, and offers two ways in: [`Store::write`] for
//! everything that changes rows, and [`Store::readers`]. A statement is one text for every engine. There is
//! one function for each statement, named by its effect. A state change is guarded by the row's version and
//! must change exactly one row; the next state always comes from `domain`, never from SQL.
//!
//! The modules, in the order in which a row meets them:
//!
//! - [`inbox`]: the table that other programs write, and their later changes to rows that were taken.
//! - [`requests`]: accepted rows, the reason when one brought nothing, and the part that can still be
//!   cancelled.
//! - [`items`]: contacts of requests; those in no job yet, those whose value is in a profile, those that need
//!   not be bought.
//! - [`jobs`]: remote tasks, which of them are due, and the attempts (the intent before each POST).
//! - [`credits`]: holds, charges, prices, balances and settlements. [`direct`]: results of events and searches.
//! - [`accounts`]: pause, refused key, trouble. [`rate`]: the rate limit of each; [`address`]: that of all of them.
//!   [`outbox`]: messages for `notify.url`. [`timeline`]. [`report`]: everything that people read.
//! - [`history`]: what is old and may go. [`ahead`]: times that lie further ahead than any wait.
//!   [`clock_step`]: the times of open work when the clock is set. [`callers`]: what
//!   callers of the HTTP API have asked for today.
//! - [`lease`] (one worker for one database, or several that share it), [`ownership`] (what each may do), [`disk`], [`backup`], [`erase`]: each calls the engine.
//! - `sql` runs a statement on either engine, `values` binds its values; `writer` is the one task that writes, and
//!   `fence` is what each of its transactions begins with.
//! - [`sqlite`] and [`postgres`], the engines: everything about each that is not SQL. [`place`]: which one it is.

pub mod accounts;
pub mod address;
pub mod ahead;
pub mod backup;
pub mod callers;
pub mod clock_step;
pub mod copy;
pub mod credits;
pub mod direct;
pub mod disk;
mod engine;
pub mod erase;
mod error;
mod fence;
pub mod history;
pub mod inbox;
pub mod items;
pub mod jobs;
pub mod lease;
mod lock_file;
pub mod outbox;
pub mod ownership;
mod pairs;
pub mod place;
pub mod postgres;
pub mod rate;
pub mod report;
pub mod requests;
pub mod schema;
mod sql;
pub mod sqlite;
pub mod time;
pub mod timeline;
mod tx;
mod values;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::metrics::Metrics;
use engine::{Engine, Tables};
use ownership::Ownership;
use place::{Place, server_url};
use postgres::Postgres;
use schema::{Opening, Schema};
use sqlite::Sqlite;

pub use error::{Holder, StoreError};
pub use tx::{On, Reads, Tx};

/// Connections for reading.
const READERS: u32 = 4;

/// An open database, and its inbox.
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
    /// Opens, or creates, the database at `place`, and brings it to this version's schema; `inbox` is the file of
    /// the inbox table when it is to have one of its own. For a caller that knows that no worker uses the database.
    pub async fn open(place: impl Into<Place>, inbox: Option<&Path>) -> Result<Store, StoreError> {
        Store::open_as(place.into(), inbox, Opening::Migrate, READERS).await
    }

    /// Opens the database, or creates it, and leaves an older schema as it is: see [`Store::schema`].
    pub async fn open_as_it_is(place: impl Into<Place>, inbox: Option<&Path>) -> Result<Store, StoreError> {
        Store::open_as(place.into(), inbox, Opening::Keep, READERS).await
    }

    /// Opens the database, and neither creates it nor changes its schema.
    pub async fn open_existing(place: impl Into<Place>, inbox: Option<&Path>) -> Result<Store, StoreError> {
        Store::open_as(place.into(), inbox, Opening::Existing, READERS).await
    }

    /// Opens the database to copy it, whatever version's schema it has: nothing else in it may be used.
    pub async fn open_to_copy(place: impl Into<Place>, inbox: Option<&Path>) -> Result<Store, StoreError> {
        Store::open_as(place.into(), inbox, Opening::Copy, READERS).await
    }

    /// As [`Store::open`], with so many connections to read; with one, reads never overtake each other.
    pub async fn open_with(
        place: impl Into<Place>,
        inbox: Option<&Path>,
        count: u32,
    ) -> Result<Store, StoreError> {
        Store::open_as(place.into(), inbox, Opening::Migrate, count).await
    }

    async fn open_as(
        place: Place,
        inbox: Option<&Path>,
        opening: Opening,
        count: u32,
    ) -> Result<Store, StoreError> {
        let metrics = Metrics::default();
        let path = place.path.clone();
        let inbox_path = inbox.unwrap_or(&path).to_owned();
        let engine: Arc<dyn Engine> = match server_url(&path) {
            Some(_) => Arc::new(Postgres::open(&place, inbox, opening, &metrics).await?),
            None => Arc::new(Sqlite::open(&path, &inbox_path, opening, &metrics).await?),
        };
        let (readers, inbox_readers) = engine.connect_readers(count).await?;
        if opening.makes() {
            // Makes the file. If something is wrong with it, intake notices and reports it.
            let _ = engine.inbox_changes().await;
        }
        Ok(Store { engine, readers, inbox_readers, path, inbox_path, metrics })
    }

    /// The schema of the database. An inbox with a file of its own is not looked at: intake opens it.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        self.engine.schema().await
    }

    /// An error when the schema is not this version's, or when everything was copied to another database.
    pub async fn expect_current(&self) -> Result<(), StoreError> {
        match self.schema().await?.problem() {
            None => self.expect_open().await,
            Some(problem) => Err(StoreError::Schema { path: self.path.display().to_string(), problem }),
        }
    }

    /// An error when everything was copied to another database: this one is closed.
    pub async fn expect_open(&self) -> Result<(), StoreError> {
        let Some(target) = self.moved_to().await? else { return Ok(()) };
        let problem = format!(
            "everything in it was copied to {target}, and it is closed: use that one (database, or --database)"
        );
        Err(StoreError::Schema { path: self.path.display().to_string(), problem })
    }

    /// The database that everything was copied to, if it was copied. Then this one is closed.
    pub async fn moved_to(&self) -> Result<Option<String>, StoreError> {
        Ok(sql::query_scalar("select target from moved where id = 1").fetch_optional(&self.readers).await?)
    }

    /// Brings the database to this version's schema. Only under the lease, or while no worker has it.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.engine.migrate().await
    }

    /// Runs `work` in a write transaction; returns once it is on disk.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.write_tables(Tables::State, work).await
    }

    /// The same, for the tables of the inbox.
    pub(in crate::store) async fn write_inbox<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (path, is_own_file) = (self.inbox_path.clone(), self.has_inbox_file());
        self.write_tables(Tables::Inbox, move |connection| {
            let writing = work(connection);
            Box::pin(async move { writing.await.map_err(|error| error.of_inbox(&path, is_own_file)) })
        })
        .await
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

    /// Writes once more after the writer has failed, on a new connection and with the ballast file deleted:
    /// only for the result of something that was paid for. The process must end anyway.
    pub async fn write_as_last_resort<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (work, told) = engine::work(work);
        self.engine.write_as_last_resort(work).await?;
        told.await.map_err(|_| StoreError::Stopped)?
    }

    /// The same store with its own connections for reading, so that a frequent reader does not keep the
    /// others waiting.
    pub async fn with_own_readers(&self) -> Result<Store, StoreError> {
        let (readers, inbox_readers) = self.engine.connect_readers(READERS).await?;
        Ok(Store { readers, inbox_readers, ..self.clone() })
    }

    /// The accounts that this process may write for, and call the API for.
    pub fn ownership(&self) -> Ownership {
        self.engine.ownership()
    }

    /// The read-only connections. A read sees the commits before its own start.
    pub fn readers(&self) -> &Reads {
        &self.readers
    }

    /// Changes with each commit of this process to the state; another process is noticed by
    /// [`inbox::state_version`] only.
    pub fn commits(&self) -> tokio::sync::watch::Receiver<u64> {
        self.engine.commits()
    }

    /// The counters of this process. They are here since all code that counts has the store, too.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether no statement is running or waiting: a caller that still waits then does not wait for the
    /// database.
    pub fn is_quiet(&self) -> bool {
        self.engine.is_quiet() && self.readers.is_quiet() && self.inbox_readers.is_quiet()
    }

    /// Whether all writes wait, since another program has the database's lock. It may hold it as long as it likes.
    pub fn is_locked_out(&self) -> bool {
        self.engine.is_locked_out()
    }

    /// A file of the database that was replaced or removed since it was opened.
    pub fn replaced(&self) -> Option<&Path> {
        self.engine.replaced()
    }

    /// The database: its file, or its URL on a PostgreSQL server, without a password.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the inbox has a file of its own.
    pub fn has_inbox_file(&self) -> bool {
        self.inbox_path != self.path
    }

    /// The file of the inbox table: the database itself unless configured otherwise.
    pub fn inbox_path(&self) -> &Path {
        &self.inbox_path
    }
}
