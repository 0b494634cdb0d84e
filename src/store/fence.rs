//! The fence: how each transaction of the writer begins, so that a worker that was stopped and replaced cannot write.
//!
//! A worker that takes the lease gives it a new token. Each transaction compares the token in the database with the one
//! that this process took; if they differ, it writes nothing. A command has no lease, and so no token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::metrics::Metrics;
use crate::store::error::StoreError;
use crate::store::ownership::Ownership;
use crate::store::tx::{Connection, Tx};
use crate::store::{postgres, sqlite};

/// No lease: the command line writes like any other program, with a guard on each row.
const UNFENCED: i64 = -1;

/// What each transaction begins with; the writer's task and its handles share it.
#[derive(Clone)]
pub(in crate::store) struct Right {
    fence: Arc<AtomicI64>,
    ownership: Ownership,
    /// Whether another program has the lock.
    is_locked_out: Arc<AtomicBool>,
}

impl Right {
    pub(in crate::store) fn without_lease() -> Right {
        Right::of(UNFENCED, Ownership::default())
    }

    /// The same right for a new writer. It has not waited for the lock yet.
    pub(in crate::store) fn successor(&self) -> Right {
        Right::of(self.fence.load(Ordering::SeqCst), self.ownership.clone())
    }

    fn of(fence: i64, ownership: Ownership) -> Right {
        Right { fence: Arc::new(AtomicI64::new(fence)), ownership, is_locked_out: Arc::default() }
    }

    /// From now on every transaction checks that the lease still has this token.
    pub(in crate::store) fn set_fence(&self, token: i64) {
        self.fence.store(token, Ordering::SeqCst);
    }

    /// The accounts that this process may write for, and call the API for.
    pub(in crate::store) fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Whether all writes wait, since another program has the lock.
    pub(in crate::store) fn is_locked_out(&self) -> bool {
        self.is_locked_out.load(Ordering::SeqCst)
    }

    /// The token of the lease; `None`: a command has none.
    pub(in crate::store) fn fence(&self) -> Option<i64> {
        Some(self.fence.load(Ordering::SeqCst)).filter(|token| *token != UNFENCED)
    }
}

/// Begins, and waits while another program holds the lock: no work has started yet, so waiting is safe.
pub(in crate::store) async fn begin(tx: &mut Tx, right: &Right, metrics: &Metrics) -> Result<(), StoreError> {
    let fence = right.fence();
    match &mut tx.0 {
        Connection::Sqlite(connection) => {
            sqlite::transaction::begin(connection, fence, &right.is_locked_out, metrics).await
        }
        Connection::Postgres(connection) => {
            postgres::transaction::begin(connection, fence, &right.ownership, metrics).await
        }
    }
}

/// The lease must still have the token that this process took it with; `token` was read in the transaction that begins.
pub(in crate::store) fn check_lease(
    token: Result<i64, sqlx::Error>,
    expected: i64,
) -> Result<(), StoreError> {
    match token {
        Ok(token) if token == expected => Ok(()),
        Ok(_) => Err(StoreError::Fenced),
        Err(source) => Err(StoreError::Database { step: "check the lease", source }),
    }
}
