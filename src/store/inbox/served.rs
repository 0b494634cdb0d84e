//! Which inbox the worker of a database serves: the table `served_inbox`.
//!
//! `inbox.database` may be set for the service alone. Commands go by what the worker has noted, so that no row is
//! written into a table that nobody watches.

use std::path::{Path, PathBuf};

use crate::store::place::Place;
use crate::store::{Store, StoreError, sql, sqlite};

/// The inbox that a worker serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// A table of the database itself.
    Shared,
    /// A file of its own.
    Own(PathBuf),
}

impl Served {
    /// Whether a configuration names the same; `inbox` is its `inbox.database`.
    pub fn is(&self, inbox: Option<&Path>) -> bool {
        let whole = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match (self, inbox) {
            (Served::Shared, None) => true,
            (Served::Own(served), Some(inbox)) => whole(served) == whole(inbox),
            _ => false,
        }
    }
}

/// Notes which inbox this worker serves.
pub async fn record(store: &Store) -> Result<(), StoreError> {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_shared = store.inbox_path() == store.path();
    let path = (!is_shared).then(|| whole(store.inbox_path()).to_string_lossy().into_owned());
    store
        .write(move |connection| {
            Box::pin(async move {
                sql::query(
                    "insert into served_inbox (id, path) values (1, $1) on conflict (id) do update set path = $1",
                )
                .bind(path)
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
}

/// Reads which inbox the last worker has noted, before the database is opened. `None`: no worker has noted one.
pub async fn read(database: &Path) -> Option<Served> {
    if Place::is_server(database) {
        return Some(Served::Shared);
    }
    let path = sqlite::served_inbox(database).await?;
    Some(path.map_or(Served::Shared, |path| Served::Own(PathBuf::from(path))))
}
