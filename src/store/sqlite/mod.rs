//! SQLite, as an `Engine`: `open` (files, pragmas), `part` (the schema of each file), `disk` (room for what was paid
//! for), `backup`, [`erase`]; and the words that it says otherwise: [`dialect`].

mod backup;
pub(in crate::store) mod copy;
pub mod dialect;
mod disk;
pub mod erase;
pub(in crate::store) mod inbox_connection;
pub(in crate::store) mod inbox_file;
mod inbox_table;
pub(in crate::store) mod obstacle;
pub(in crate::store) mod open;
mod opened;
mod part;
pub(in crate::store) mod transaction;
pub(in crate::store) mod writes;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use uuid::Uuid;

use crate::domain::{JobId, Millis};
use crate::metrics::Metrics;
use crate::store::backup::BackupError;
use crate::store::engine::{Engine, Tables, Work};
use crate::store::inbox::Writes;
use crate::store::lease::{HeldBy, Lease, Terms};
use crate::store::lock_file::LockFile;
use crate::store::ownership::Ownership;
use crate::store::postgres::proof::Unproven;
use crate::store::schema::{Opening, Schema};
use crate::store::tx::{Connection, Pool};
use crate::store::writer::Writer;
use crate::store::{Reads, Store, StoreError, lease};
use inbox_file::InboxFile;
use open::prepare;
use opened::Opened;
use part::Part;
use writes::FileWrites;

/// A database file, and its inbox: in the same file, or in a separate one.
pub(in crate::store) struct Sqlite {
    state: Writer,
    /// The inbox, if it has a file of its own.
    inbox: Option<Arc<InboxFile>>,
    path: PathBuf,
    inbox_path: PathBuf,
    opened: Opened,
}

impl Sqlite {
    /// Opens the files; what it may do to them is said by `opening`.
    pub(in crate::store) async fn open(
        path: &Path,
        inbox_path: &Path,
        opening: Opening,
        metrics: &Metrics,
    ) -> Result<Sqlite, StoreError> {
        let (state, inbox) = Part::of(path, inbox_path);
        let state = Writer::start(Connection::Sqlite(state.open(opening).await?), metrics.clone());
        // Opened when it is first needed: what is wrong with it holds up intake only.
        let inbox = inbox.map(|_| Arc::new(InboxFile::new(inbox_path, opening)));
        let opened = Opened::of(path);
        Ok(Sqlite { state, inbox, path: path.to_owned(), inbox_path: inbox_path.to_owned(), opened })
    }

    /// The file of the state, which holds the inbox as well if that has no file of its own.
    fn part(&self) -> Part<'_> {
        Part::of(&self.path, &self.inbox_path).0
    }
}

/// The inbox that the worker of this file has noted: a path, or `None` for its own table. Nothing when no worker has,
/// or the file cannot be read as such.
pub(in crate::store) async fn served_inbox(path: &Path) -> Option<Option<String>> {
    let reading = open::options(path).read_only(true).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&reading).await.ok()?;
    let noted = sqlx::query_scalar("select path from served_inbox where id = 1");
    let noted = noted.fetch_optional(&mut connection).await.ok()?;
    let _ = connection.close().await;
    noted
}

impl Engine for Sqlite {
    fn schema(&self) -> BoxFuture<'_, Result<Schema, StoreError>> {
        Box::pin(async move {
            let part = self.part();
            part.schema(&mut part.connect().await?).await
        })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let part = self.part();
            part.migrate(&mut part.connect().await?).await?;
            self.migrate_inbox();
            Ok(())
        })
    }

    fn write(&self, tables: Tables, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match (tables, &self.inbox) {
                (Tables::State, _) => self.state.run(work).await,
                (Tables::Inbox, None) => self.state.run_alone(work).await,
                (Tables::Inbox, Some(file)) => file.run(work).await,
            }
        })
    }

    fn write_as_last_resort(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        disk::drop_ballast(&self.path);
        Box::pin(async move {
            let connection = Connection::Sqlite(prepare(&self.path, 0o600, false).await?);
            self.state.successor(connection).run(work).await
        })
    }

    fn commits(&self) -> tokio::sync::watch::Receiver<u64> {
        self.state.commits()
    }

    fn is_locked_out(&self) -> bool {
        self.state.is_locked_out()
    }

    fn is_quiet(&self) -> bool {
        self.state.is_quiet() && self.inbox.as_ref().is_none_or(|file| file.is_quiet())
    }

    fn connect_readers(&self, count: u32) -> BoxFuture<'_, Result<(Reads, Reads), StoreError>> {
        Box::pin(async move {
            let state = open::readers(&self.path, count).await?;
            let inbox = match &self.inbox {
                None => state.clone(),
                Some(file) => Reads(Pool::InboxFile(Arc::new(file.again()))),
            };
            Ok((state, inbox))
        })
    }

    fn changes(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(transaction::data_version(&self.state))
    }

    fn inbox_changes(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(async move {
            match &self.inbox {
                None => Ok(0),
                Some(file) => file.data_version().await,
            }
        })
    }

    fn watch_inbox(&self) -> io::Result<Writes> {
        FileWrites::of(&self.inbox_path).map(Writes::File)
    }

    fn migrate_inbox(&self) {
        if let Some(file) = &self.inbox {
            file.migrate_when_needed();
        }
    }

    fn take_lease<'a>(
        &'a self,
        store: &'a Store,
        _among: Option<&'a Terms>,
        now: Millis,
    ) -> BoxFuture<'a, Result<Result<Lease, HeldBy>, StoreError>> {
        Box::pin(async move {
            let lock = LockFile::beside(&self.path)?;
            let taken = lease::take(store, &self.state, lock, now).await?;
            if taken.is_ok() {
                self.migrate_inbox();
            }
            Ok(taken)
        })
    }

    fn ownership(&self) -> Ownership {
        self.state.ownership().clone()
    }

    /// A file has one server: what is on its disk is all there is.
    fn prove(&self, _job: JobId, _call: Uuid) -> BoxFuture<'_, Result<(), Unproven>> {
        Box::pin(async { Ok(()) })
    }

    fn replaced(&self) -> Option<&Path> {
        self.opened.replaced()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        disk::free_bytes(&self.path).map(Some)
    }

    fn size(&self) -> BoxFuture<'_, Result<(u64, Option<u64>), StoreError>> {
        Box::pin(async move {
            let (database, log) = disk::size(&self.path);
            Ok((database, Some(log)))
        })
    }

    fn lay_ballast(&self) -> bool {
        disk::lay_ballast(&self.path)
    }

    fn empty_log(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(erase::empty_log(&self.path))
    }

    fn copy<'a>(
        &'a self,
        from: &'a Path,
        to: &'a Path,
        force: bool,
    ) -> BoxFuture<'a, Result<u64, BackupError>> {
        Box::pin(backup::copy(self, from, to, force))
    }
}

/// The version of the SQLite that is built in.
pub async fn version() -> Result<String, StoreError> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
    Ok(sqlx::query_scalar("select sqlite_version()").fetch_one(&mut connection).await?)
}
