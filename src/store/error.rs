//! Database errors, grouped by what the caller can do.
//!
//! A failed COMMIT is not a rollback: after an I/O error the row may or may not be written. So every error
//! except a lost race ends the process ([`StoreError::is_fatal`]), and the next start continues from what is
//! on disk.

use crate::store::sql::Changed;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer changed the row first: read it again and decide again.
    #[error(
        "{what} was changed by another program in the meantime, so nothing was done: look at it and decide again"
    )]
    Stale { what: &'static str },
    /// Another worker has taken over this database: nothing may be written or sent any more.
    #[error("another worker has taken over this database: this one writes and buys nothing any more")]
    Fenced,
    /// A row that this program's types cannot represent.
    #[error(
        "{table} row {id} cannot be read ({problem}), so nothing is bought on it: it was written by another version, or by hand; restore a backup"
    )]
    Unreadable { table: &'static str, id: i64, problem: String },
    /// The domain refused a change of state.
    #[error(transparent)]
    IllegalMove(#[from] crate::domain::moves::IllegalMove),
    /// The database could not be opened or prepared.
    #[error("cannot open the database {path}, so nothing was done or bought: {problem}")]
    Open { path: String, problem: String },
    /// The schema is not this version's, and may not be changed here.
    #[error("the database {path} cannot be used by this unlockd, and nothing was done or bought: {problem}")]
    Schema { path: String, problem: String },
    /// The writer has stopped after an earlier error.
    #[error(
        "the database writer has stopped after an earlier error, so nothing more is bought: start again when its cause is fixed"
    )]
    Stopped,
    /// An error of SQLite: disk full, I/O error, corruption, read-only, or a broken rule.
    #[error(
        "database error while trying to {step}; nothing more is bought, and what is on the disk counts at the next start"
    )]
    Database {
        step: &'static str,
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether the process must stop spending and end.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, StoreError::Stale { .. })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> StoreError {
        StoreError::Database { step: "run a statement", source }
    }
}

/// Whether the error only means that another connection holds the lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: i64 = 5;
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i64>().ok()).is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

/// A guarded statement must have changed exactly one row.
pub(super) fn exactly_one(changed: Changed, what: &'static str) -> Result<(), StoreError> {
    exactly(changed, 1, what)
}

/// A guarded statement must have changed exactly this many rows.
pub(super) fn exactly(changed: Changed, rows: usize, what: &'static str) -> Result<(), StoreError> {
    match changed.rows_affected() == rows as u64 {
        true => Ok(()),
        false => Err(StoreError::Stale { what }),
    }
}
