//! How a transaction of the writer begins and ends on PostgreSQL.
//!
//! It begins by locking the row of the lease. Every program of ours that writes does so, hence one transaction at a
//! time writes, as on SQLite, and READ COMMITTED is enough. The same statement reads the token: a worker that was
//! replaced finds out there.
//!
//! Only this beginning is repeated: nothing was done before it. Since our transactions never run at the same time, no
//! two of them can wait for each other; another program that locks rows of the inbox for long can only fail what
//! is written to the inbox, which intake tries again. Any other failure, a lost connection above all, ends the process:
//! after a failed COMMIT nobody knows what is on disk, and the next start reads it.

use sqlx::{Executor, PgConnection, Row};

use crate::metrics::Metrics;
use crate::store::engine::{Completion, Work};
use crate::store::error::{StoreError, sql_state};
use crate::store::postgres::limits::limited;
use crate::store::tx::Tx;
use crate::store::writer::check_lease;

// In each transaction and not once for the session: behind a pooler the next transaction may be on another one.
macro_rules! begin {
    ($note:literal) => {
        concat!(
            "begin isolation level read committed read write; \
             set local synchronous_commit = on; \
             set local lock_timeout = '5s'; \
             set local statement_timeout = '25s'; \
             set local idle_in_transaction_session_timeout = '10s'; \
             set local row_security = off; \
             select token from worker_lease where id = 1 for update; ",
            $note
        )
    };
}

/// By the worker.
const BEGIN: &str = begin!("");
/// By another program of ours: the worker learns of it.
const BEGIN_OUTSIDE: &str =
    begin!("update engine set outside_commits = outside_commits + 1; notify unlockd_inbox");

/// In a transaction in which a statement has failed, COMMIT rolls back and reports no error; the savepoint reports it.
pub(in crate::store) const COMMIT: &str = "savepoint ending; commit";

/// Begins, and waits as long as another program holds the lock.
pub(in crate::store) async fn begin(
    connection: &mut PgConnection,
    fence: Option<i64>,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    let text = if fence.is_some() { BEGIN } else { BEGIN_OUTSIDE };
    let failed = |source| StoreError::Database { step: "begin a transaction", source };
    let rows = loop {
        match limited(sqlx::raw_sql(text).fetch_all(&mut *connection)).await {
            Ok(rows) => break rows,
            Err(error) if may_try_again(&error) => {
                metrics.database_failed("busy");
                tracing::warn!("another program holds the lock on the lease's row; waiting for it");
                limited(connection.execute("rollback")).await.map_err(failed)?;
            }
            Err(source) => return Err(failed(source)),
        }
    };
    let Some(expected) = fence else { return Ok(()) };
    let row = rows.first().ok_or(sqlx::Error::RowNotFound);
    check_lease(row.and_then(|row| row.try_get(0)), expected)
}

/// Serialization failure, deadlock, and a lock that was not free in time.
fn may_try_again(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|state| ["40001", "40P01", "55P03"].contains(&state.as_str()))
}

/// Runs work that may run other programs' triggers. Err: the writer must stop.
pub(in crate::store) async fn run_alone(tx: &mut Tx, work: Work) -> Result<Completion, ()> {
    tx.0.run("set local statement_timeout = '5s'; set local lock_timeout = '2s'").await.map_err(drop)?;
    Ok(work(Ok(tx)).await)
}
