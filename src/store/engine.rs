//! What an engine does that no statement can say, and the units of work that it runs.
//!
//! SQL is one text for every engine (see [`crate::store::sql`]). The rest stands behind [`Engine`]: how a
//! transaction begins and ends, who may write, what others have changed, room on the disk, copies, and what is
//! left of what was erased. There is one: [`crate::store::sqlite::Sqlite`]. Opening an engine is its own.

use std::path::Path;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::domain::Millis;
use crate::store::backup::BackupError;
use crate::store::lease::{HeldBy, Lease};
use crate::store::{Reads, Store, StoreError, Tx};

/// Which tables a transaction writes: the inbox may be a database of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Tables {
    State,
    Inbox,
}

pub(in crate::store) trait Engine: Send + Sync {
    /// Runs `work` in a transaction, alone or with what waits at the same time. The work tells its own caller,
    /// once it is on disk.
    fn write(&self, tables: Tables, work: Work) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The same on a connection of its own, after the writer has failed, and with the ballast given up.
    fn write_as_last_resort(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether no write is waiting or running.
    fn is_quiet(&self) -> bool;

    /// New connections that read: the state, and the inbox.
    fn connect_readers(&self, count: u32) -> BoxFuture<'_, Result<(Reads, Reads), StoreError>>;

    /// Numbers that change when another program commits to the state or to the inbox.
    fn changes(&self) -> BoxFuture<'_, Result<(i64, i64), StoreError>>;

    /// Tries once to become the only worker of the database. The lease keeps the mark of the timeline, too.
    fn take_lease<'a>(
        &'a self,
        store: &'a Store,
        now: Millis,
    ) -> BoxFuture<'a, Result<Result<Lease, HeldBy>, StoreError>>;

    /// Bytes that are free where the database is.
    fn free_bytes(&self) -> Result<u64, StoreError>;

    /// Keeps room for what was paid for; says whether it is kept.
    fn lay_ballast(&self) -> bool;

    /// Removes what is left of erased values outside of the tables; false: not yet.
    fn empty_log(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Copies one of the database's files to a new one; returns its size in bytes.
    fn copy<'a>(
        &'a self,
        from: &'a Path,
        to: &'a Path,
        force: bool,
    ) -> BoxFuture<'a, Result<u64, BackupError>>;
}

/// Given an error instead of a transaction, a unit of work only reports it.
pub(in crate::store) type Work =
    Box<dyn for<'c> FnOnce(Result<&'c mut Tx, StoreError>) -> BoxFuture<'c, Completion> + Send>;

/// What a unit of work wants to happen to what it wrote, and how to tell its caller.
pub(in crate::store) struct Completion {
    pub(in crate::store) keep: bool,
    pub(in crate::store) fatal: bool,
    pub(in crate::store) tell: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// What a closure becomes, and where its result is told. Whoever drops the work without running it has stopped.
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
                // The caller may have gone away; the write stands all the same.
                tell: Box::new(move |committed| drop(tell.send(committed.and(result)))),
            }
        })
    });
    (work, told)
}
