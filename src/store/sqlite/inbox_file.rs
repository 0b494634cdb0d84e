//! The inbox table in a file of its own, which other users' programs may write as they like.
//!
//! Nothing that happens to this file may end the process or hold up paid work. So one connection serves all
//! reads and writes, is opened when it is first needed, and is dropped after any error and when another file has
//! taken the name; the next access opens it again. Every access has a time limit, also inside a statement.
//!
//! The file uses no write-ahead log, because its index (`-shm`) is mapped into memory: when another program cuts
//! that file off, the kernel kills every process that reads the map. In `locking_mode = exclusive` SQLite maps
//! nothing, whatever mode the file is in, so each transaction begins in that mode and gives the lock back at its
//! end. A file that another program has switched to the log is switched back.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::store::StoreError;
use crate::store::engine::{Completion, Work};
use crate::store::error::{is_busy, words};
use crate::store::schema::{Opening, Schema};
use crate::store::sqlite::inbox_connection::{Begin, Open, limit};
use crate::store::sqlite::inbox_table;
use crate::store::sqlite::part::Part;
use crate::store::tx::{Connection, Tx};

/// The longest access. Longer than the wait for another program's lock, shorter than what the watchdog allows.
const LONGEST: Duration = Duration::from_secs(8);
/// How soon an interrupted statement must end.
const INTERRUPTED_WITHIN: Duration = Duration::from_secs(1);

/// The file, and the connection to it while it is usable.
pub(in crate::store) struct InboxFile {
    path: PathBuf,
    makes: bool,
    /// Whether this process may bring the file to its own schema: once it has the lease, or where no worker can run.
    migrates: Arc<AtomicBool>,
    slot: Mutex<Option<Open>>,
    unfinished: AtomicUsize,
    opened: AtomicI64,
}

/// Interrupts the statement that runs when its caller goes away.
struct Limit(Arc<AtomicBool>);

impl Drop for Limit {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl InboxFile {
    pub(super) fn new(path: &Path, opening: Opening) -> InboxFile {
        InboxFile {
            path: path.to_owned(),
            makes: opening.makes(),
            migrates: Arc::new(AtomicBool::new(opening == Opening::Migrate)),
            slot: Mutex::default(),
            unfinished: AtomicUsize::new(0),
            opened: AtomicI64::new(0),
        }
    }

    /// The same file with a connection of its own.
    pub(super) fn again(&self) -> InboxFile {
        InboxFile {
            path: self.path.clone(),
            makes: self.makes,
            migrates: self.migrates.clone(),
            slot: Mutex::default(),
            unfinished: AtomicUsize::new(0),
            opened: AtomicI64::new(0),
        }
    }

    /// From now on it brings the file to this version's schema.
    pub(super) fn migrate_when_needed(&self) {
        self.migrates.store(true, Ordering::SeqCst);
    }

    /// Whether no access is waiting or running.
    pub(in crate::store) fn is_quiet(&self) -> bool {
        self.unfinished.load(Ordering::SeqCst) == 0
    }

    /// A number that changes when another connection commits, or another file is opened.
    pub(super) async fn data_version(&self) -> Result<i64, StoreError> {
        let version: i64 = self
            .read(|connection| {
                Box::pin(async move { sqlx::query_scalar("pragma data_version").fetch_one(connection).await })
            })
            .await?;
        Ok((self.opened.load(Ordering::SeqCst) << 32) + version)
    }

    /// Reads in a transaction.
    pub(in crate::store) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send,
    {
        self.access(Begin::Read, |tx| {
            let reading = work(tx.sqlite());
            Box::pin(async move { Ok(reading.await?) })
        })
        .await
    }

    /// Writes in a transaction; returns once it is on disk.
    pub(in crate::store) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        self.access(Begin::Write, work).await
    }

    /// Takes `work` into a transaction of its own. It tells its own caller.
    pub(super) async fn run(&self, work: Work) -> Result<(), StoreError> {
        let ended: Arc<std::sync::Mutex<Option<Completion>>> = Arc::default();
        let ending = ended.clone();
        let written = self
            .write(move |tx| {
                Box::pin(async move {
                    let completion = work(Ok(tx)).await;
                    let keep = completion.keep;
                    *ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(completion);
                    if keep { Ok(()) } else { Err(StoreError::Stopped) }
                })
            })
            .await;
        let completion = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        match completion {
            // The work's own error tells more than ours.
            Some(Completion { keep: false, tell, .. }) => tell(Ok(())),
            Some(Completion { tell, .. }) => tell(written),
            None => return written,
        }
        Ok(())
    }

    async fn access<T, F>(&self, begin: Begin, work: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        let _finished = Finished(&self.unfinished);
        let mut slot = self.slot.lock().await;
        let stop = Arc::new(AtomicBool::new(false));
        let _limit = Limit(stop.clone());
        let kept = slot.take().filter(|open| found_at(&self.path) == Some(open.file));
        let access = async {
            let mut open = match kept {
                Some(open) => open,
                None => self.open(&stop).await?,
            };
            limit(open.tx.sqlite(), &stop).await?;
            let result = open.transaction(begin, work).await?;
            // What is committed counts, also when the lock can only be given back by closing the file.
            let kept = open.give_back().await.is_ok().then_some(open);
            Ok::<_, StoreError>((kept, result))
        };
        let mut access = std::pin::pin!(access);
        let ended = match timeout(LONGEST, &mut access).await {
            Ok(ended) => ended,
            Err(_) => {
                stop.store(true, Ordering::SeqCst);
                // Its connection ends with it; the thread of one that cannot be interrupted is left behind.
                let _ = timeout(INTERRUPTED_WITHIN, &mut access).await;
                let seconds = LONGEST.as_secs();
                return Err(self.fault(format!(
                    "a statement took longer than {seconds} s: look for a trigger or a view that never ends"
                )));
            }
        };
        match ended {
            Ok((kept, result)) => {
                *slot = kept;
                Ok(result)
            }
            Err(error @ StoreError::Stale { .. }) => Err(error),
            Err(error) => Err(self.fault(self.explain(&error))),
        }
    }

    fn fault(&self, problem: String) -> StoreError {
        StoreError::Inbox { path: self.path.display().to_string(), problem }
    }

    /// The error in words, without what the state's errors say about buying.
    fn explain(&self, error: &StoreError) -> String {
        match error {
            StoreError::Database { source, .. } if is_busy(source) => self.explain_lock(),
            StoreError::Database { source, .. } => words(source),
            StoreError::Open { problem, .. } | StoreError::Inbox { problem, .. } => problem.clone(),
            other => other.to_string(),
        }
    }

    fn explain_lock(&self) -> String {
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        match Path::new(&log).exists() {
            true => "another program keeps it open with journal_mode = WAL, or holds its lock: use \
                     journal_mode = DELETE (SQLite's default) in that program, or let it close the file"
                .to_owned(),
            false => "another program holds its lock".to_owned(),
        }
    }

    async fn open(&self, stop: &Arc<AtomicBool>) -> Result<Open, StoreError> {
        let part = Part::inbox(&self.path);
        let mut connection = part.connect_inbox(self.makes).await?;
        limit(&mut connection, stop).await?;
        let found = part.schema(&mut connection).await?;
        // What counts is that the tables are right, not which steps somebody has noted.
        let mut wrong = inbox_table::problem(&mut connection).await?;
        let migrates = self.migrates.load(Ordering::SeqCst) || self.makes && found == Schema::Empty;
        match found {
            Schema::Empty if wrong.is_none() => {}
            Schema::Empty | Schema::Older { .. } if migrates => {
                part.migrate(&mut connection).await?;
                wrong = inbox_table::problem(&mut connection).await?;
            }
            Schema::Current => {}
            found => wrong = found.problem(),
        }
        if let Some(problem) = wrong {
            return Err(self.fault(problem));
        }
        let file = found_at(&self.path).ok_or_else(|| self.fault("the file is gone".to_owned()))?;
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Open { tx: Tx(Connection::Sqlite(connection)), file, schema: None })
    }
}

/// Counts down at the end of an access, however it ends.
struct Finished<'a>(&'a AtomicUsize);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Which file has this name now.
fn found_at(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{Connection, Executor, SqliteConnection};
    use tokio::join;

    use super::InboxFile;
    use crate::store::StoreError;
    use crate::store::schema::Opening;

    /// The program commits while the worker waits for the lock with which it writes.
    #[tokio::test]
    async fn a_program_that_writes_at_the_same_moment_never_waits_for_a_worker_that_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inbox.db");
        let file = InboxFile::new(&path, Opening::Migrate);
        file.data_version().await.expect("made");
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(Duration::from_secs(1));
        let mut program = SqliteConnection::connect_with(&options).await.expect("opened");
        let insert = "insert into inbox (event_id, personnel_ids) values ('7', '[101]')";
        for round in 0..60 {
            let worker = file.write(|tx| {
                Box::pin(async move {
                    tx.sqlite().execute("update inbox set status = 'done'").await?;
                    Ok::<_, StoreError>(())
                })
            });
            let program = async {
                program.execute("begin immediate").await?;
                program.execute(insert).await?;
                program.execute("commit").await
            };
            let (worker, program) = join!(worker, program);
            assert!(worker.is_ok(), "round {round}: {worker:?}");
            assert!(program.is_ok(), "round {round}: {program:?}");
        }
    }
}
