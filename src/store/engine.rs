//! The parts of an engine that no SQL statement can express, and the units of work that it runs.
//!
//! SQL is one text for every engine (see [`crate::store::sql`]). Everything else is behind [`Engine`]: how a
//! transaction begins and ends, who may write, what other programs have changed, disk space, copies, and
//! removing what is left of erased values. There are two engines:
//! [`crate::store::sqlite::Sqlite`] and [`crate::store::postgres::Postgres`]. Each has its own way to open.

use std::io;
use std::path::Path;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::domain::{JobId, Millis};
use crate::store::backup::BackupError;
use crate::store::inbox::Writes;
use crate::store::lease::{HeldBy, Lease, Terms};
use crate::store::ownership::Ownership;
use crate::store::postgres::proof::Unproven;
use crate::store::schema::Schema;
use crate::store::{Reads, Store, StoreError, Tx};

/// The tables that a transaction writes: the inbox may be a separate database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Tables {
    State,
    Inbox,
}

pub(in crate::store) trait Engine: Send + Sync {
    /// The schema that the database has.
    fn schema(&self) -> BoxFuture<'_, Result<Schema, StoreError>>;

    /// Brings the database to this version's schema.
    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Runs `work` in a transaction, alone or with what waits at the same time. The work tells its own caller,
    /// once it is on disk.
    fn write(&self, tables: Tables, work: Work) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The same on a new connection, after the writer has failed and the ballast file was deleted.
    fn write_as_last_resort(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Tells of each commit of this process to the state.
    fn commits(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Whether all writes wait, since another program has the lock.
    fn is_locked_out(&self) -> bool;

    /// Whether no write is waiting or running.
    fn is_quiet(&self) -> bool;

    /// New connections for reading: of the state, and of the inbox.
    fn connect_readers(&self, count: u32) -> BoxFuture<'_, Result<(Reads, Reads), StoreError>>;

    /// A number that changes when another program commits to the state.
    fn changes(&self) -> BoxFuture<'_, Result<i64, StoreError>>;

    /// The same for an inbox with a file of its own. Also tells whether that file can be used.
    fn inbox_changes(&self) -> BoxFuture<'_, Result<i64, StoreError>>;

    /// Tells when anybody writes the inbox.
    fn watch_inbox(&self) -> io::Result<Writes>;

    /// From now on this process may bring the inbox file to this version's schema.
    fn migrate_inbox(&self);

    /// Tries once to become a worker of the database: among others, where the engine can have several, or the only one. The
    /// lease also keeps the timeline's mark.
    fn take_lease<'a>(
        &'a self,
        store: &'a Store,
        among: Option<&'a Terms>,
        now: Millis,
    ) -> BoxFuture<'a, Result<Result<Lease, HeldBy>, StoreError>>;

    /// The accounts that this process may write for, and call the API for.
    fn ownership(&self) -> Ownership;

    /// Proves that the intent of a job's call outlives this server.
    fn prove(&self, job: JobId, call: Uuid) -> BoxFuture<'_, Result<(), Unproven>>;

    /// A file of the database that is another one by now, or nobody's: what is written to it, nobody will read.
    fn replaced(&self) -> Option<&Path>;

    /// Bytes free on the disk of the database; `None`: unknown.
    fn free_bytes(&self) -> Result<Option<u64>, StoreError>;

    /// The size of the database and of its log, in bytes. `None`: the log is the server's.
    fn size(&self) -> BoxFuture<'_, Result<(u64, Option<u64>), StoreError>>;

    /// Reserves space for results that were paid for. Returns whether it is reserved.
    fn lay_ballast(&self) -> bool;

    /// Removes what is left of erased values outside of the tables. False: not possible yet.
    fn empty_log(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Copies one of the database's files to a new one; returns its size in bytes.
    fn copy<'a>(
        &'a self,
        from: &'a Path,
        to: &'a Path,
        force: bool,
    ) -> BoxFuture<'a, Result<u64, BackupError>>;
}

/// If it gets an error instead of a transaction, a unit of work only reports the error.
pub(in crate::store) type Work =
    Box<dyn for<'c> FnOnce(Result<&'c mut Tx, StoreError>) -> BoxFuture<'c, Completion> + Send>;

/// Whether the writes of a unit of work are to be committed, and how to tell its caller.
pub(in crate::store) struct Completion {
    pub(in crate::store) keep: bool,
    pub(in crate::store) fatal: bool,
    pub(in crate::store) tell: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Turns a closure into work, and a receiver for its result. Work that is dropped without running reports
/// `Stopped`.
pub(in crate::store) fn work<T, F>(closure: F) -> (Work, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    let work: Work = Box::new(move |tx| {
        Box::pin(async move {
            let result = match tx {
                Ok(tx) => closure(tx).await,
                Err(error) => Err(error),
            };
            Completion {
                keep: result.is_ok(),
                fatal: result.as_ref().err().is_some_and(StoreError::is_fatal),
                // The caller may be gone; the write is valid anyway.
                tell: Box::new(move |committed| drop(tell.send(committed.and(result)))),
            }
        })
    });
    (work, told)
}
