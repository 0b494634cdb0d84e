//! The one writer of a database: a task that owns the only connection that writes.
//!
//! Every write is a closure that runs in a transaction that no other writer can be in at the same time: each engine
//! takes its lock when it begins one. Closures that wait at the same time share one transaction and one fsync (group commit), each in
//! a savepoint of its own; no caller gets a result before the commit. The task cannot be cancelled
//! in the middle by a caller that goes away, which sqlx alone would not guarantee.
//!
//! Each transaction begins with a check of the lease: see [`fence`](crate::store::fence). After any error other than a
//! lost race, the writer refuses all writes: see [`StoreError::is_fatal`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::failpoint::{self, Place};
use crate::metrics::Metrics;
use crate::store::engine::{Completion, Work};
use crate::store::error::StoreError;
use crate::store::fence::{Right, begin};
use crate::store::ownership::Ownership;
use crate::store::postgres::limits::is_too_late;
use crate::store::tx::{Connection, Tx};
use crate::store::{postgres, sqlite};

/// Most closures in one transaction: limits how long the first one waits for the last.
const MOST_IN_ONE_COMMIT: usize = 64;

/// A handle to the writer task; cheap to clone.
#[derive(Clone)]
pub(in crate::store) struct Writer {
    queue: mpsc::Sender<Queued>,
    right: Right,
    metrics: Metrics,
    /// Counts the commits, for readers that wait for the next one.
    commits: Arc<watch::Sender<u64>>,
    /// Each write whose caller has no result yet holds a receiver, so that it counts no more when a writer that stops
    /// drops it.
    unfinished: Arc<watch::Sender<()>>,
}

/// Work that waits for its transaction.
struct Queued {
    work: Work,
    /// In a transaction of its own: it may fail, and undo all of it, by what another program has written.
    is_alone: bool,
}

/// The longest work that is alone: no other write gets in meanwhile.
const LONGEST_ALONE: Duration = Duration::from_secs(5);

impl Writer {
    /// Starts the task that owns `connection`.
    pub(in crate::store) fn start(connection: Connection, metrics: Metrics) -> Writer {
        Writer::start_with(connection, metrics, Right::without_lease())
    }

    fn start_with(connection: Connection, metrics: Metrics, right: Right) -> Writer {
        let (queue, works) = mpsc::channel(1_024);
        tokio::spawn(serve(Tx(connection), works, right.clone(), metrics.clone()));
        let (commits, unfinished) = (Arc::new(watch::Sender::new(0)), Arc::new(watch::Sender::new(())));
        Writer { queue, right, metrics, commits, unfinished }
    }

    /// The accounts that this process may write for, and call the API for.
    pub(in crate::store) fn ownership(&self) -> &Ownership {
        self.right.ownership()
    }

    /// Tells of each write that was committed.
    pub(in crate::store) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// A new writer with the same fence, after this one has failed.
    pub(in crate::store) fn successor(&self, connection: Connection) -> Writer {
        Writer::start_with(connection, self.metrics.clone(), self.right.successor())
    }

    /// From now on every transaction checks that the lease still has this token.
    pub(in crate::store) fn fence(&self, token: i64) {
        self.right.set_fence(token);
    }

    /// Whether all writes wait, since another program has the lock.
    pub(in crate::store) fn is_locked_out(&self) -> bool {
        self.right.is_locked_out()
    }

    /// Whether no write is waiting or running.
    pub(in crate::store) fn is_quiet(&self) -> bool {
        self.unfinished.receiver_count() == 0
    }

    /// Takes `work` into a transaction. It tells its own caller once it is on disk.
    pub(in crate::store) async fn run(&self, work: Work) -> Result<(), StoreError> {
        self.take(work, false).await
    }

    /// The same, in a transaction of its own and with a time limit: for what runs other programs' triggers.
    pub(in crate::store) async fn run_alone(&self, work: Work) -> Result<(), StoreError> {
        self.take(work, true).await
    }

    async fn take(&self, work: Work, is_alone: bool) -> Result<(), StoreError> {
        let (unfinished, commits) = (self.unfinished.subscribe(), self.commits.clone());
        let counted: Work = Box::new(move |tx| {
            Box::pin(async move {
                let Completion { keep, fatal, tell } = work(tx).await;
                let tell = Box::new(move |committed| {
                    drop(unfinished);
                    tell(committed);
                    commits.send_modify(|count| *count += 1);
                });
                Completion { keep, fatal, tell }
            })
        });
        self.queue.send(Queued { work: counted, is_alone }).await.map_err(|_| StoreError::Stopped)
    }
}

async fn serve(mut tx: Tx, mut works: mpsc::Receiver<Queued>, right: Right, metrics: Metrics) {
    let mut next: Option<Queued> = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match works.recv().await {
                Some(first) => first,
                None => break,
            },
        };
        let written = if first.is_alone {
            commit_alone(&mut tx, first.work, &right, &metrics).await
        } else {
            let mut batch = vec![first.work];
            while batch.len() < MOST_IN_ONE_COMMIT {
                match works.try_recv() {
                    Ok(queued) if queued.is_alone => {
                        next = Some(queued);
                        break;
                    }
                    Ok(queued) => batch.push(queued.work),
                    Err(_) => break,
                }
            }
            commit_together(&mut tx, batch, &right, &metrics).await
        };
        if written.is_err() {
            tracing::error!("the database failed; nothing more is written or sent by this process");
            return refuse(works).await;
        }
    }
    // Makes the file smaller; even if it fails, every commit is safe already.
    tx.0.close().await;
}

/// Gives every waiting caller `Stopped`. Each work is taken out of the queue: one whose caller was just handing it over
/// would stay there when the receiver is only dropped, and its caller would wait for ever.
async fn refuse(mut works: mpsc::Receiver<Queued>) {
    works.close();
    while works.recv().await.is_some() {}
}

/// Err: the writer must stop. Work that fails here undoes only itself, also when a trigger has ended the
/// transaction (`raise(rollback)`).
async fn commit_alone(tx: &mut Tx, work: Work, right: &Right, metrics: &Metrics) -> Result<(), ()> {
    if let Err(error) = begin(tx, right, metrics).await {
        metrics.database_failed("begin");
        (work(Err(error)).await.tell)(Ok(()));
        return Err(());
    }
    let completion = match &mut tx.0 {
        Connection::Sqlite(_) => sqlite::transaction::run_alone(tx, work, LONGEST_ALONE).await,
        Connection::Postgres(_) => postgres::transaction::run_alone(tx, work).await,
    }?;
    if completion.keep {
        let committed = commit(tx, right, metrics).await.map_err(Some);
        if committed.is_err() {
            metrics.database_failed("commit");
        }
        return finish(vec![completion], committed);
    }
    // Fails if there is no transaction any more.
    tx.0.undo(completion.fatal).await;
    let is_fatal = completion.fatal;
    (completion.tell)(Ok(()));
    if is_fatal { Err(()) } else { Ok(()) }
}

/// Err: the writer must stop.
async fn commit_together(tx: &mut Tx, batch: Vec<Work>, right: &Right, metrics: &Metrics) -> Result<(), ()> {
    if let Err(error) = begin(tx, right, metrics).await {
        metrics.database_failed("begin");
        // No work of the batch ran. The first caller gets the error; the others find that the writer has
        // stopped.
        if let Some(work) = batch.into_iter().next() {
            (work(Err(error)).await.tell)(Ok(()));
        }
        return Err(());
    }
    let (mut completions, mut stop) = (Vec::with_capacity(batch.len()), false);
    // Work that is in no company needs no savepoint: what it has written is undone by undoing the transaction.
    let is_only_one = batch.len() == 1;
    for work in batch {
        if !is_only_one && tx.0.run("savepoint work").await.is_err() {
            stop = true;
            break;
        }
        let completion = work(Ok(&mut *tx)).await;
        let end = if completion.keep { "release work" } else { "rollback to work; release work" };
        stop = completion.fatal || (!is_only_one && tx.0.run(end).await.is_err());
        completions.push(completion);
        if stop {
            break;
        }
    }
    let is_undone = is_only_one && completions.iter().any(|only| !only.keep);
    let committed = match (stop, is_undone) {
        (true, _) => Err(None),
        (false, true) => tx.0.run("rollback").await.map_err(Some),
        (false, false) => commit(tx, right, metrics).await.map_err(Some),
    };
    if committed.is_err() {
        metrics.database_failed(if stop { "statement" } else { "commit" });
        tx.0.undo(true).await;
    }
    finish(completions, committed)
}

async fn commit(tx: &mut Tx, right: &Right, metrics: &Metrics) -> Result<(), sqlx::Error> {
    failpoint::pass(Place::BeforeCommit);
    let timer = metrics.time_commit();
    match &mut tx.0 {
        Connection::Sqlite(_) => tx.0.run("commit").await?,
        Connection::Postgres(connection) => postgres::transaction::commit(connection, right.fence()).await?,
    }
    timer.observe_duration();
    failpoint::pass(Place::AfterCommit);
    Ok(())
}

fn finish(completions: Vec<Completion>, committed: Result<(), Option<sqlx::Error>>) -> Result<(), ()> {
    let mut failed = match committed {
        Ok(()) => {
            completions.into_iter().for_each(|completion| (completion.tell)(Ok(())));
            return Ok(());
        }
        Err(source) => source,
    };
    let is_unconfirmed = failed.as_ref().is_some_and(is_too_late);
    for completion in completions {
        let error = match failed.take() {
            _ if is_unconfirmed => StoreError::Unconfirmed,
            Some(source) => StoreError::Database { step: "commit", source },
            None => StoreError::Stopped,
        };
        // A closure that failed by itself reports its own error.
        (completion.tell)(if completion.fatal { Ok(()) } else { Err(error) });
    }
    Err(())
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;
    use crate::store::engine;

    /// A caller has its place in the queue, and the writer fails before the work is in it.
    #[tokio::test]
    async fn work_that_is_handed_over_while_the_writer_fails_is_refused() {
        let connection = SqliteConnection::connect("sqlite::memory:").await.expect("memory");
        // Without the table of the lease, which each transaction of a worker reads, the first one fails.
        let writer = Writer::start(Connection::Sqlite(connection), Metrics::default());
        writer.fence(1);
        let place = writer.queue.reserve().await.expect("the writer lives");
        let (work, told) = engine::work(|_| Box::pin(async { Ok(()) }));
        writer.queue.send(Queued { work, is_alone: false }).await.expect("the writer lives");
        assert!(matches!(told.await, Ok(Err(StoreError::Database { .. }))), "it has no lease");
        writer.queue.closed().await;
        let (work, told) = engine::work(|_| Box::pin(async { Ok(()) }));
        place.send(Queued { work, is_alone: false });
        let told = tokio::time::timeout(Duration::from_secs(5), told).await;
        assert!(told.expect("it is told").is_err(), "nobody writes any more");
    }
}
