//! How a transaction of the writer begins and ends on PostgreSQL.
//!
//! It begins by locking the row of the lease. Every program of ours that writes does so, hence one transaction at a
//! time writes, as on SQLite, and READ COMMITTED is enough, also with several workers: each rule holds that was proven with
//! one writer. Locks on the rows of owners alone would let two workers meet in the rows that all share (the figures, the
//! outbox, the inbox), in any order, and a deadlock would end one of them in the middle of a purchase. Commits are
//! milliseconds and calls are not, so the one lock is not what limits a fleet.
//!
//! The same round trip reads the token and, under a lock on their rows, the epochs of the owners that the worker holds: a
//! worker that was replaced finds out there. It ends then, as a whole: it renews all of its leases in one statement, so
//! when one has run out, all have.
//!
//! Only this beginning is repeated, and not for ever: nothing was done before it. Since our transactions never run at
//! the same time, no two of them can wait for each other; another program that locks rows of the inbox for long can only
//! fail what is written to the inbox, which intake tries again. Any other failure, a lost connection above all, ends the
//! process: after a failed COMMIT nobody knows what is on disk, and the next start reads it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use crate::metrics::Metrics;
use crate::store::engine::{Completion, Work};
use crate::store::error::{Holder, StoreError, sql_state};
use crate::store::fence::check_lease;
use crate::store::ownership::Ownership;
use crate::store::postgres::limits::{limited, limited_to};
use crate::store::postgres::members;
use crate::store::tx::Tx;

// In each transaction and not once for the session: behind a pooler the next transaction may be on another one.
// The two of 10 s are for a client that is gone without a word, whose locks nobody else may wait for: one that says
// nothing more, and one that does not take an answer.
macro_rules! begin {
    ($note:literal) => {
        concat!(
            "begin isolation level read committed read write; \
             set local synchronous_commit = on; \
             set local lock_timeout = '5s'; \
             set local statement_timeout = '25s'; \
             set local idle_in_transaction_session_timeout = '10s'; \
             set local tcp_user_timeout = '10s'; \
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
const COMMIT: &str = "savepoint ending; commit";

/// How long a write may wait for others. A COMMIT that waits for a standby keeps its locks even after its client has gone,
/// so without these limits one such COMMIT would block every worker until a standby is back.
struct Patience {
    /// How often the lock is tried, each time for [`LOCK_TIMEOUT_S`], while others have it.
    tries: u64,
    /// For the answer to COMMIT.
    commit: Duration,
}

/// The `lock_timeout` of a transaction, in seconds.
const LOCK_TIMEOUT_S: u64 = 5;

/// Long enough for the longest statement of another worker, and short enough that a second try to write what was paid for
/// ends within a minute.
const OF_A_WORKER: Patience = Patience { tries: 5, commit: Duration::from_secs(20) };
/// A person waits.
const OF_A_COMMAND: Patience = Patience { tries: 2, commit: Duration::from_secs(10) };

impl Patience {
    fn of(fence: Option<i64>) -> &'static Patience {
        if fence.is_some() { &OF_A_WORKER } else { &OF_A_COMMAND }
    }
}

/// Ends with an answer, or without one when it takes too long: then nobody knows the outcome.
pub(in crate::store) async fn commit(
    connection: &mut PgConnection,
    fence: Option<i64>,
) -> Result<(), sqlx::Error> {
    limited_to(Patience::of(fence).commit, connection.execute(COMMIT)).await.map(drop)
}

/// Begins, and waits while another program holds the lock, but not for ever.
pub(in crate::store) async fn begin(
    connection: &mut PgConnection,
    fence: Option<i64>,
    ownership: &Ownership,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    let worker = ownership.worker();
    let text = match (fence, worker) {
        (None, _) => BEGIN_OUTSIDE.to_owned(),
        (Some(_), None) => BEGIN.to_owned(),
        // A name is a UUID: see `LockFile`.
        (Some(_), Some(worker)) => format!(
            "{BEGIN} select owner, epoch from owners where worker = '{worker}' order by owner for update"
        ),
    };
    let failed = |source| StoreError::Database { step: "begin a transaction", source };
    let mut tries = 0;
    let rows = loop {
        match limited(sqlx::raw_sql(AssertSqlSafe(text.as_str())).fetch_all(&mut *connection)).await {
            Ok(rows) => break rows,
            Err(error) if may_try_again(&error) => {
                metrics.database_failed("busy");
                limited(connection.execute("rollback")).await.map_err(failed)?;
                let holder = holder(connection).await;
                tries += 1;
                if tries >= Patience::of(fence).tries {
                    return Err(StoreError::Locked { holder, seconds: tries * LOCK_TIMEOUT_S });
                }
                tracing::warn!("{holder}; waiting for it");
            }
            Err(source) => return Err(failed(source)),
        }
    };
    let Some(expected) = fence else { return Ok(()) };
    let row = rows.first().ok_or(sqlx::Error::RowNotFound);
    check_lease(row.and_then(|row| row.try_get(0)), expected)?;
    let epochs = members::epochs(rows.get(1..).unwrap_or_default());
    ownership.check(&epochs.map_err(failed)?)
}

/// Serialization failure, deadlock, and a lock that was not free in time.
fn may_try_again(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|state| ["40001", "40P01", "55P03"].contains(&state.as_str()))
}

/// Who has the lock. Every session that has it, or waits for it, has locked the table in a way that readers do not.
async fn holder(connection: &mut PgConnection) -> Holder {
    let asked = sqlx::query_as(
        "select coalesce(bool_or(a.wait_event = 'SyncRep'), false), coalesce(bool_or(a.state is null), true)
         from pg_locks l join pg_stat_activity a on a.pid = l.pid
         where l.locktype = 'relation' and l.relation = 'worker_lease'::regclass and l.granted
           and l.database = (select oid from pg_database where datname = current_database())
           and l.mode <> 'AccessShareLock' and l.pid <> pg_backend_pid()",
    );
    match limited(asked.fetch_one(connection)).await {
        Ok((true, _)) => Holder::WaitsForStandby,
        Ok((false, false)) => Holder::Busy,
        Ok((false, true)) | Err(_) => Holder::Hidden,
    }
}

/// Runs work that may run other programs' triggers. Err: the writer must stop.
pub(in crate::store) async fn run_alone(tx: &mut Tx, work: Work) -> Result<Completion, ()> {
    tx.0.run("set local statement_timeout = '5s'; set local lock_timeout = '2s'").await.map_err(drop)?;
    Ok(work(Ok(tx)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `unlockd help failover` promises a minute.
    #[test]
    fn a_worker_whose_commits_wait_for_a_standby_ends_within_a_minute() {
        // What was paid for is written once more, on another connection, which finds the lock taken.
        let lock = Duration::from_secs(OF_A_WORKER.tries * LOCK_TIMEOUT_S);
        assert!(OF_A_WORKER.commit.max(lock) + lock < Duration::from_secs(60));
        assert!(BEGIN.contains(&format!("lock_timeout = '{LOCK_TIMEOUT_S}s'")), "{BEGIN}");
    }
}
