//! Whether the inbox was written: the engine tells it, and a number that changes with each commit shows it.

use crate::store::postgres::listen::Notices;
use crate::store::sqlite::writes::FileWrites;
use crate::store::{Store, StoreError};

/// A number that changes when another program commits to the state, and to an inbox in the same file.
pub async fn state_version(store: &Store) -> Result<i64, StoreError> {
    store.engine.changes().await
}

/// The same for an inbox with a file of its own. An error if that file cannot be used.
pub async fn probe(store: &Store) -> Result<i64, StoreError> {
    store.engine.inbox_changes().await
}

/// The writes of the inbox, as the engine tells them.
#[derive(Debug)]
pub enum Writes {
    File(FileWrites),
    Notices(Notices),
}

impl Writes {
    /// Whether writes of this process to the state are told as well: the inbox is in the same file.
    pub fn tells_of_own(&self, store: &Store) -> bool {
        matches!(self, Writes::File(_)) && !store.has_inbox_file()
    }

    /// Resolves when the inbox was written since the last call. May be dropped at any time.
    pub async fn next(&mut self) -> std::io::Result<()> {
        match self {
            Writes::File(writes) => writes.next().await,
            Writes::Notices(notices) => notices.next().await,
        }
    }
}

/// Tells when anybody writes the inbox.
pub fn watch(store: &Store) -> std::io::Result<Writes> {
    store.engine.watch_inbox()
}
