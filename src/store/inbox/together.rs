//! Rows of callers that come at the same moment are written in one transaction, with one fsync for all of them.
//!
//! Everything that is written to the inbox runs alone in its transaction, since another program's trigger may undo all
//! of it; so two hundred callers would wait for two hundred transactions. Here a caller that finds nobody writing writes
//! all rows that wait by then. If a trigger refuses one of them, nothing was committed, and each is written by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::store::inbox::enqueue::{Enqueue, insert_one};
use crate::store::report::requests::Request;
use crate::store::{Store, StoreError};

/// Rows in one transaction: limits how long the first caller waits for the last.
const MOST_ROWS: usize = 64;

/// The rows that wait to be written, and the turn to write them.
#[derive(Default)]
pub struct Together {
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

/// The row as people read it; `None`: its dedupe key exists already.
type Written = Result<Option<Request>, StoreError>;

struct Waiting {
    row: Arc<Enqueue>,
    tell: oneshot::Sender<Written>,
}

impl Together {
    /// Writes a row, maybe with those of others; returns once it is on disk. A caller that goes away while it writes
    /// leaves the others without an answer, so run it in a task of its own.
    pub async fn insert(&self, store: &Store, row: Arc<Enqueue>) -> Written {
        let (tell, mut told) = oneshot::channel();
        self.waiting().push(Waiting { row, tell });
        loop {
            tokio::select! {
                biased;
                written = &mut told => return written.unwrap_or(Err(StoreError::Stopped)),
                _turn = self.turn.lock() => {
                    let waiting = {
                        let mut waiting = self.waiting();
                        let count = waiting.len().min(MOST_ROWS);
                        waiting.drain(..count).collect()
                    };
                    write(store, waiting).await;
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes these rows, and tells each caller.
async fn write(store: &Store, waiting: Vec<Waiting>) {
    let (rows, tell): (Vec<_>, Vec<_>) = waiting.into_iter().map(|one| (one.row, one.tell)).unzip();
    match write_all(store, rows.clone()).await {
        Ok(written) => tell.into_iter().zip(written).for_each(|(tell, row)| drop(tell.send(Ok(row)))),
        Err(Unwritten::Refused(error)) if rows.len() == 1 => tell_all(tell, error),
        Err(Unwritten::Refused(_)) => {
            for (row, tell) in rows.into_iter().zip(tell) {
                let written = write_all(store, vec![row]).await;
                let written = written.map(|mut rows| rows.pop().flatten()).map_err(Unwritten::into_error);
                // The caller may be gone; the row counts anyway.
                let _ = tell.send(written);
            }
        }
        Err(Unwritten::Failed(error)) => tell_all(tell, error),
    }
}

/// Why rows were not written.
enum Unwritten {
    /// A statement failed before the commit: nothing of the transaction is there.
    Refused(StoreError),
    /// Anything else. The commit may have failed, so nobody knows what is there, and nothing is tried again.
    Failed(StoreError),
}

impl Unwritten {
    fn into_error(self) -> StoreError {
        match self {
            Unwritten::Refused(error) | Unwritten::Failed(error) => error,
        }
    }
}

async fn write_all(store: &Store, rows: Vec<Arc<Enqueue>>) -> Result<Vec<Option<Request>>, Unwritten> {
    let is_refused = Arc::new(AtomicBool::new(false));
    let refused = is_refused.clone();
    let written = store.write_inbox(move |connection| {
        Box::pin(async move {
            let mut written = Vec::with_capacity(rows.len());
            for row in &rows {
                let inserted = insert_one(connection, row).await;
                written.push(inserted.inspect_err(|_| refused.store(true, Ordering::SeqCst))?);
            }
            Ok(written)
        })
    });
    written.await.map_err(|error| match &error {
        StoreError::Inbox { .. } if is_refused.load(Ordering::SeqCst) => Unwritten::Refused(error),
        _ => Unwritten::Failed(error),
    })
}

/// Tells everybody of an error. The first one gets its cause.
fn tell_all(tell: Vec<oneshot::Sender<Written>>, error: StoreError) {
    let mut tell = tell.into_iter();
    let first = tell.next();
    for tell in tell {
        let _ = tell.send(Err(for_another(&error)));
    }
    if let Some(first) = first {
        let _ = first.send(Err(error));
    }
}

/// The error as another caller of the same transaction is told it. A driver's error cannot be copied; after one, the
/// writer has stopped.
fn for_another(error: &StoreError) -> StoreError {
    match error {
        StoreError::Inbox { path, problem } => {
            StoreError::Inbox { path: path.clone(), problem: problem.clone() }
        }
        StoreError::Locked { holder, seconds } => StoreError::Locked { holder: *holder, seconds: *seconds },
        StoreError::Unconfirmed => StoreError::Unconfirmed,
        _ => StoreError::Stopped,
    }
}
