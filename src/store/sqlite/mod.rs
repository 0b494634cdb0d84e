//! SQLite, as an `Engine`: `open` (files, pragmas), `part` (the schema of each file), `writer` (one connection, group commit), [`lease`]
//! (one worker for one database), `disk` (room for what was paid for), `backup`, [`erase`]; and the words that it
//! says otherwise: [`dialect`] and `pairs`.

mod backup;
pub mod dialect;
mod disk;
pub mod erase;
pub mod lease;
mod open;
pub(in crate::store) mod pairs;
mod part;
mod writer;

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::domain::Millis;
use crate::metrics::Metrics;
use crate::store::backup::BackupError;
use crate::store::engine::{Engine, Tables, Work};
use crate::store::lease::{HeldBy, Lease};
use crate::store::schema::{Opening, Schema};
use crate::store::{Reads, Store, StoreError};
use open::prepare;
use part::Part;
use writer::Writer;

/// A database file, and its inbox: in the same file, or in a separate one.
pub(in crate::store) struct Sqlite {
    state: Writer,
    inbox: Writer,
    path: PathBuf,
    inbox_path: PathBuf,
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
        let state = Writer::start(state.open(opening).await?, metrics.clone());
        let inbox = match inbox {
            None => state.clone(),
            Some(part) => Writer::start(part.open(opening).await?, metrics.clone()),
        };
        Ok(Sqlite { state, inbox, path: path.to_owned(), inbox_path: inbox_path.to_owned() })
    }

    /// The files of which the database consists.
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let (state, inbox) = Part::of(&self.path, &self.inbox_path);
        std::iter::once(state).chain(inbox)
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
            for part in self.parts() {
                let found = part.schema(&mut part.connect().await?).await?;
                if found != Schema::Current {
                    return Ok(found);
                }
            }
            Ok(Schema::Current)
        })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            for part in self.parts() {
                part.migrate(&mut part.connect().await?).await?;
            }
            Ok(())
        })
    }

    fn write(&self, tables: Tables, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(match tables {
            Tables::State => self.state.run(work),
            Tables::Inbox => self.inbox.run(work),
        })
    }

    fn write_as_last_resort(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        disk::drop_ballast(&self.path);
        Box::pin(
            async move { self.state.successor(prepare(&self.path, 0o600, false).await?).run(work).await },
        )
    }

    fn is_quiet(&self) -> bool {
        self.state.is_quiet() && self.inbox.is_quiet()
    }

    fn connect_readers(&self, count: u32) -> BoxFuture<'_, Result<(Reads, Reads), StoreError>> {
        Box::pin(async move {
            let state = open::readers(&self.path, count).await?;
            let inbox = match self.path == self.inbox_path {
                true => state.clone(),
                false => open::readers(&self.inbox_path, count).await?,
            };
            Ok((state, inbox))
        })
    }

    fn changes(&self) -> BoxFuture<'_, Result<(i64, i64), StoreError>> {
        Box::pin(async move { Ok((self.state.data_version().await?, self.inbox.data_version().await?)) })
    }

    fn take_lease<'a>(
        &'a self,
        store: &'a Store,
        now: Millis,
    ) -> BoxFuture<'a, Result<Result<Lease, HeldBy>, StoreError>> {
        Box::pin(lease::try_take(store, &self.state, now))
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        disk::free_bytes(&self.path)
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
