//! One connection to an inbox file, and its transactions: each takes the lock and gives it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use sqlx::{Executor, SqliteConnection};

use crate::store::StoreError;
use crate::store::sqlite::inbox_table;
use crate::store::tx::Tx;

/// Steps of SQLite's virtual machine between two looks at the time limit.
const STEPS: i32 = 10_000;

/// A connection, and what is known about its file.
pub(super) struct Open {
    pub(super) tx: Tx,
    pub(super) file: (u64, u64),
    /// The version of the schema that was found right.
    pub(super) schema: Option<i64>,
}

impl Open {
    pub(super) async fn transaction<T, F>(&mut self, begin: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        self.tx.sqlite().execute("pragma locking_mode = exclusive").await?;
        self.tx.sqlite().execute(begin).await?;
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
