//! One connection to an inbox file, and its transactions: each takes the lock and gives it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{AssertSqlSafe, Executor, SqliteConnection};

use crate::store::StoreError;
use crate::store::error::is_busy;
use crate::store::sqlite::inbox_table;
use crate::store::sqlite::open::BUSY_TIMEOUT;
use crate::store::tx::Tx;

/// Steps of SQLite's virtual machine between two looks at the time limit.
const STEPS: i32 = 10_000;
/// How soon a transaction that writes is tried again while another program has the lock.
const BEGIN_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// How a transaction begins.
#[derive(Clone, Copy)]
pub(super) enum Begin {
    Read,
    Write,
}

/// A connection, and what is known about its file.
pub(super) struct Open {
    pub(super) tx: Tx,
    pub(super) file: (u64, u64),
    /// The version of the schema that was found right.
    pub(super) schema: Option<i64>,
}

impl Open {
    pub(super) async fn transaction<T, F>(&mut self, begin: Begin, work: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        match begin {
            Begin::Read => self.tx.sqlite().execute("pragma locking_mode = exclusive; begin").await?,
            Begin::Write => self.begin_write().await?,
        };
        let version: i64 = sqlx::query_scalar("pragma schema_version").fetch_one(self.tx.sqlite()).await?;
        if self.schema != Some(version) {
            if let Some(problem) = inbox_table::problem(self.tx.sqlite()).await? {
                return Err(StoreError::Inbox { path: String::new(), problem });
            }
            self.schema = Some(version);
        }
        let result = work(&mut self.tx).await?;
        self.tx.sqlite().execute("commit").await?;
        Ok(result)
    }

    /// In `locking_mode = exclusive` SQLite keeps the read lock while it waits for the write lock. A program that commits
    /// waits for the end of all read locks, and has the write lock: both would wait until one gives up. So a try that
    /// does not get the lock gives the read lock back before the next one.
    async fn begin_write(&mut self) -> Result<SqliteQueryResult, StoreError> {
        let mut left = BUSY_TIMEOUT;
        loop {
            let begun = self
                .tx
                .sqlite()
                .execute("pragma busy_timeout = 0; pragma locking_mode = exclusive; begin immediate")
                .await;
            match begun {
                Err(error) if is_busy(&error) && !left.is_zero() => {
                    // A file that is locked cannot be read either; the read lock is given back all the same.
                    let _ =
                        self.tx.sqlite().execute("pragma locking_mode = normal; pragma schema_version").await;
                    tokio::time::sleep(BEGIN_AGAIN_AFTER).await;
                    left = left.saturating_sub(BEGIN_AGAIN_AFTER);
                }
                begun => {
                    let wait = format!("pragma busy_timeout = {}", BUSY_TIMEOUT.as_millis());
                    self.tx.sqlite().execute(AssertSqlSafe(wait)).await?;
                    return Ok(begun?);
                }
            }
        }
    }

    /// Gives the lock back: the last statement reads the file, and only then the lock goes.
    pub(super) async fn give_back(&mut self) -> Result<(), StoreError> {
        self.tx
            .sqlite()
            .execute("pragma journal_mode = truncate; pragma locking_mode = normal; pragma schema_version")
            .await?;
        Ok(())
    }
}

/// The handler interrupts the statement that runs once `stop` is set.
pub(in crate::store) async fn limit(
    connection: &mut SqliteConnection,
    stop: &Arc<AtomicBool>,
) -> Result<(), StoreError> {
    let stop = stop.clone();
    connection.lock_handle().await?.set_progress_handler(STEPS, move || !stop.load(Ordering::SeqCst));
    Ok(())
}
