//! The two ways to the database that other modules know: a transaction that writes, and reads.
//!
//! No code outside of the store names a driver. Each of the two is an enum of the engines, so the compiler
//! lists every place that a second engine must fill.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, Executor, PgConnection, PgPool, SqliteConnection, SqlitePool};

use crate::store::StoreError;
use crate::store::postgres::limits::limited;
use crate::store::sqlite::inbox_file::InboxFile;

/// Inside a write transaction: see [`super::Store::write`].
pub struct Tx(pub(in crate::store) Connection);

/// The connection of a transaction, by engine.
pub(in crate::store) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    /// Runs a statement about the transaction itself, or several, one after the other.
    pub(in crate::store) async fn run(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Connection::Sqlite(connection) => connection.execute(text).await.map(drop),
            Connection::Postgres(connection) => limited(connection.execute(text)).await.map(drop),
        }
    }

    /// Undoes the transaction. On PostgreSQL a writer that ends leaves that to the end of its connection: one that is cut,
    /// or that waits for a standby, would not answer.
    pub(in crate::store) async fn undo(&mut self, ends: bool) {
        if matches!(self, Connection::Sqlite(_)) || !ends {
            let _ = self.run("rollback").await;
        }
    }

    /// Tells the database that this connection ends. Every commit is safe without it.
    pub(in crate::store) async fn close(self) {
        let _ = match self {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => limited(connection.close()).await,
        };
    }
}

impl Tx {
    /// The driver's connection: for work that is not a statement of the store, and for tests.
    pub fn sqlite(&mut self) -> &mut SqliteConnection {
        match &mut self.0 {
            Connection::Sqlite(connection) => connection,
            Connection::Postgres(_) => panic!("a transaction of PostgreSQL"),
        }
    }

    /// The same: for what only this engine has.
    pub(in crate::store) fn postgres(&mut self) -> &mut PgConnection {
        match &mut self.0 {
            Connection::Postgres(connection) => connection,
            Connection::Sqlite(_) => panic!("a transaction of SQLite"),
        }
    }

    /// Whether no other program can write at the same time.
    pub(in crate::store) fn is_only_writer(&self) -> bool {
        matches!(self.0, Connection::Sqlite(_))
    }

    /// Whether what is freed from now on is overwritten, on SQLite. A page that is overwritten inside a savepoint is kept in
    /// memory until its end. On PostgreSQL nothing is overwritten.
    pub(in crate::store) async fn overwrite_freed(&mut self, overwrites: bool) -> Result<(), StoreError> {
        let pragma = if overwrites { "pragma secure_delete = on" } else { "pragma secure_delete = fast" };
        if let Connection::Sqlite(connection) = &mut self.0 {
            connection.execute(pragma).await?;
        }
        Ok(())
    }

    /// Runs work that may fail. False: it has, and only its own writes are undone.
    pub(in crate::store) async fn attempt<F>(&mut self, work: F) -> Result<bool, StoreError>
    where
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<(), StoreError>> + Send,
    {
        let (begin, keep) = match &self.0 {
            Connection::Sqlite(_) => ("savepoint attempt", "release attempt"),
            // Another program may have locked a row for long, and all other writes wait for this one.
            Connection::Postgres(_) => (
                "savepoint attempt; set local lock_timeout = '50ms'",
                "release attempt; set local lock_timeout = '5s'",
            ),
        };
        self.0.run(begin).await?;
        let result = work(self).await;
        let end = if result.is_ok() { keep } else { "rollback to attempt; release attempt" };
        self.0.run(end).await?;
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
    Postgres(PgPool),
}

impl Reads {
    /// The driver's pool: for work that is not a statement of the store, and for tests. Not for an inbox file.
    pub fn sqlite(&self) -> &SqlitePool {
        match &self.0 {
            Pool::Sqlite(pool) => pool,
            Pool::InboxFile(_) => panic!("an inbox file is read by statements of the store only"),
            Pool::Postgres(_) => panic!("reads of PostgreSQL"),
        }
    }

    /// Whether no statement is running.
    pub(in crate::store) fn is_quiet(&self) -> bool {
        match &self.0 {
            Pool::Sqlite(pool) => pool.num_idle() == pool.size() as usize,
            Pool::InboxFile(file) => file.is_quiet(),
            Pool::Postgres(pool) => pool.num_idle() == pool.size() as usize,
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
