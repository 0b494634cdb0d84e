//! The two ways to the database that other modules know: a transaction that writes, and reads.
//!
//! No code outside of the store names a driver. Each of the two is an enum of the engines, so the compiler
//! lists every place that a second engine must fill.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Executor, SqliteConnection, SqlitePool};

use crate::store::StoreError;
use crate::store::sqlite::inbox_file::InboxFile;

/// Inside a write transaction: see [`super::Store::write`].
pub struct Tx(pub(in crate::store) Connection);

/// The connection of a transaction, by engine.
pub(in crate::store) enum Connection {
    Sqlite(SqliteConnection),
}

impl Tx {
    /// The driver's connection: for work that is not a statement of the store, and for tests.
    pub fn sqlite(&mut self) -> &mut SqliteConnection {
        let Connection::Sqlite(connection) = &mut self.0;
        connection
    }

    /// Whether what is freed from now on is overwritten. A page that is overwritten inside a savepoint is kept in memory
    /// until its end.
    pub(in crate::store) async fn overwrite_freed(&mut self, overwrites: bool) -> Result<(), StoreError> {
        let pragma = if overwrites { "pragma secure_delete = on" } else { "pragma secure_delete = fast" };
        self.sqlite().execute(pragma).await?;
        Ok(())
    }

    /// Runs work that may fail. False: it has, and only its own writes are undone.
    pub(in crate::store) async fn attempt<F>(&mut self, work: F) -> Result<bool, StoreError>
    where
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<(), StoreError>> + Send,
    {
        self.sqlite().execute("savepoint attempt").await?;
        let result = work(self).await;
        let end = if result.is_ok() { "release attempt" } else { "rollback to attempt; release attempt" };
        self.sqlite().execute(end).await?;
        if let Err(problem) = &result {
            tracing::debug!(%problem, "part of a transaction was undone");
        }
        Ok(result.is_ok())
    }
}

/// Reads, each of which sees what was committed when it began: see [`super::Store::readers`].
#[derive(Clone)]
pub struct Reads(pub(in crate::store) Pool);

/// The connections that read, by engine.
#[derive(Clone)]
pub(in crate::store) enum Pool {
    Sqlite(SqlitePool),
    /// The inbox in a file of its own.
    InboxFile(Arc<InboxFile>),
}

impl Reads {
    /// The driver's pool: for work that is not a statement of the store, and for tests. Not for an inbox file.
    pub fn sqlite(&self) -> &SqlitePool {
        match &self.0 {
            Pool::Sqlite(pool) => pool,
            Pool::InboxFile(_) => panic!("an inbox file is read by statements of the store only"),
        }
    }

    /// Whether no statement is running.
    pub(in crate::store) fn is_quiet(&self) -> bool {
        match &self.0 {
            Pool::Sqlite(pool) => pool.num_idle() == pool.size() as usize,
            Pool::InboxFile(file) => file.is_quiet(),
        }
    }
}

/// Where a statement runs.
pub enum On<'c> {
    Tx(&'c mut Tx),
    Reads(&'c Reads),
}

impl<'c> From<&'c mut Tx> for On<'c> {
    fn from(tx: &'c mut Tx) -> On<'c> {
        On::Tx(tx)
    }
}

impl<'c> From<&'c Reads> for On<'c> {
    fn from(reads: &'c Reads) -> On<'c> {
        On::Reads(reads)
    }
}
