//! SQLite, as an `Engine`: `open` (files, pragmas, migrations), `writer` (one connection, group commit),
//! [`lease`] (one worker for one database), `disk` (reserved space), `backup`, [`erase`]; and the SQL that is
//! special to it: [`dialect`] and `pairs`.

mod backup;
pub mod dialect;
mod disk;
pub mod erase;
pub mod lease;
mod open;
pub(in crate::store) mod pairs;
mod writer;

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;

use crate::domain::Millis;
use crate::metrics::Metrics;
use crate::store::backup::BackupError;
use crate::store::engine::{Engine, Tables, Work};
use crate::store::lease::{HeldBy, Lease};
use crate::store::{Reads, Store, StoreError};
use open::{inbox_migrations, migrate, prepare, state_migrations};
use writer::Writer;

/// A database file, and its inbox: in the same file, or in a separate one.
pub(in crate::store) struct Sqlite {
    state: Writer,
    inbox: Writer,
    path: PathBuf,
    inbox_path: PathBuf,
}

impl Sqlite {
    /// Opens, or creates, the files, and brings them to the newest schema.
    pub(in crate::store) async fn open(
        path: &Path,
        inbox_path: &Path,
        metrics: &Metrics,
    ) -> Result<Sqlite, StoreError> {
        let shared = inbox_path == path;
        let mut connection = prepare(path, 0o600).await?;
        migrate(path, &mut connection, state_migrations()).await?;
        if shared {
            migrate(path, &mut connection, inbox_migrations()).await?;
        }
        let state = Writer::start(connection, metrics.clone());
        let inbox = if shared {
            state.clone()
        } else {
            let mut connection = prepare(inbox_path, 0o660).await?;
            migrate(inbox_path, &mut connection, inbox_migrations()).await?;
            Writer::start(connection, metrics.clone())
        };
        Ok(Sqlite { state, inbox, path: path.to_owned(), inbox_path: inbox_path.to_owned() })
    }
}

impl Engine for Sqlite {
    fn write(&self, tables: Tables, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(match tables {
            Tables::State => self.state.run(work),
            Tables::Inbox => self.inbox.run(work),
        })
    }

    fn write_as_last_resort(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        disk::drop_ballast(&self.path);
        Box::pin(async move { self.state.successor(prepare(&self.path, 0o600).await?).run(work).await })
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
