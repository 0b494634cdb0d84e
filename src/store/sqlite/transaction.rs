//! How a transaction of the writer begins on SQLite, and how long one that is alone may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{Executor, SqliteConnection};

use crate::metrics::Metrics;
use crate::store::engine::{self, Completion, Work};
use crate::store::error::{StoreError, is_busy};
use crate::store::fence::check_lease;
use crate::store::sqlite::inbox_connection;
use crate::store::tx::Tx;
use crate::store::writer::Writer;

/// Begins, and waits as long as another program holds the lock. `BEGIN IMMEDIATE`: it never has to upgrade a lock.
pub(in crate::store) async fn begin(
    connection: &mut SqliteConnection,
    fence: Option<i64>,
    is_locked_out: &AtomicBool,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    let begun = loop {
        match connection.execute("begin immediate").await {
            Err(error) if is_busy(&error) => {
                is_locked_out.store(true, Ordering::SeqCst);
                metrics.database_failed("busy");
                tracing::warn!("another program holds the database's write lock; waiting for it");
            }
            begun => break begun,
        }
    };
    is_locked_out.store(false, Ordering::SeqCst);
    begun.map_err(|source| StoreError::Database { step: "begin a transaction", source })?;
    let Some(expected) = fence else { return Ok(()) };
    let token = sqlx::query_scalar("select token from worker_lease where id = 1");
    check_lease(token.fetch_one(connection).await, expected)
}

/// Runs work that may run other programs' triggers: it is interrupted when the time is over. Err: the writer must
/// stop.
pub(in crate::store) async fn run_alone(tx: &mut Tx, work: Work, most: Duration) -> Result<Completion, ()> {
    let stop = Arc::default();
    inbox_connection::limit(tx.sqlite(), &stop).await.map_err(|_| ())?;
    let completion = {
        let mut running = work(Ok(&mut *tx));
        match tokio::time::timeout(most, &mut running).await {
            Ok(completion) => completion,
            Err(_) => {
                stop.store(true, Ordering::SeqCst);
                running.await
            }
        }
    };
    tx.sqlite().lock_handle().await.map_err(|_| ())?.remove_progress_handler();
    Ok(completion)
}

/// A number that changes when another connection commits.
pub(super) async fn data_version(writer: &Writer) -> Result<i64, StoreError> {
    let (work, told) = engine::work(|tx| {
        Box::pin(async move { Ok(sqlx::query_scalar("pragma data_version").fetch_one(tx.sqlite()).await?) })
    });
    writer.run(work).await?;
    told.await.map_err(|_| StoreError::Stopped)?
}
