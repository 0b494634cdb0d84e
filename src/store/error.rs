//! Database errors, grouped by what the caller can do.
//!
//! A failed COMMIT is not a rollback: after an I/O error the row may or may not be written. So every error
//! except a lost race ends the process ([`StoreError::is_fatal`]), and the next start continues from what is
//! on disk.

use std::path::Path;

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
    /// The path names another file than the one that is open.
    #[error(
        "the database {path} was replaced or removed under this worker, so nothing more is bought: the next start takes the \
         file that is there; stop the worker before a restore"
    )]
    Replaced { path: String },
    /// The schema is not this version's, and may not be changed here.
    #[error("the database {path} cannot be used by this unlockd, and nothing was done or bought: {problem}")]
    Schema { path: String, problem: String },
    /// There is a database, but none of our tables.
    #[error("there are no tables of unlockd at {path}. They are made by: unlockd run, or unlockd migrate")]
    NoTables { path: String },
    /// The inbox cannot be read, or written: intake waits for it, and nothing else does.
    #[error("the inbox {path} cannot be used: {problem}")]
    Inbox { path: String, problem: String },
    /// The lock that each write begins with was not free in time, so nothing was done.
    #[error("nothing was done: {holder}, and held it for {seconds} s")]
    Locked { holder: Holder, seconds: u64 },
    /// COMMIT was not answered in time.
    #[error(
        "COMMIT was not answered in time, so its outcome is unknown: if it waits for a standby, it takes effect when one is \
         back. Look before you do it again; `unlockd check` says what is missing"
    )]
    Unconfirmed,
    /// The writer has stopped after an earlier error.
    #[error(
        "the database writer has stopped after an earlier error, so nothing more is bought: start again when its cause is fixed"
    )]
    Stopped,
    /// An error of the database: disk full, connection lost, I/O error, corruption, read-only, or a broken rule.
    #[error(
        "database error while trying to {step}; nothing more is bought, and what is on the disk counts at the next start"
    )]
    Database {
        step: &'static str,
        #[source]
        source: sqlx::Error,
    },
}

/// Who holds the lock that each write begins with, on PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It waits for a standby to confirm its commit.
    WaitsForStandby,
    /// It does something else.
    Busy,
    /// This role may not see what it does.
    Hidden,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Holder::WaitsForStandby => {
                "the database's lock belongs to a commit that waits for a standby to confirm it (start the standby; \
                 `unlockd check` says which is missing)"
            }
            Holder::Busy => "another session has the database's lock, and waits for no standby (see pg_stat_activity)",
            Holder::Hidden => {
                "another session has the database's lock: its commit waits for a standby, or it is busy (grant pg_monitor \
                 to this role to see which)"
            }
        })
    }
}

impl StoreError {
    /// A database, or what lies beside it, cannot be opened or prepared.
    pub fn open(path: &Path, problem: impl ToString) -> StoreError {
        StoreError::Open { path: path.display().to_string(), problem: problem.to_string() }
    }

    /// Whether the process must stop spending and end.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, StoreError::Stale { .. } | StoreError::Inbox { .. })
    }

    /// An error while the inbox was written. Another program's trigger may have failed; so may the disk, which
    /// ends the process unless the inbox has a file of its own.
    pub(super) fn of_inbox(self, path: &Path, is_own_file: bool) -> StoreError {
        match self {
            StoreError::Database { source, .. } if is_own_file || is_by_trigger(&source) => {
                StoreError::Inbox { path: path.display().to_string(), problem: words(&source) }
            }
            StoreError::Inbox { problem, .. } => {
                StoreError::Inbox { path: path.display().to_string(), problem }
            }
            other => other,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> StoreError {
        StoreError::Database { step: "run a statement", source }
    }
}

/// Whether the error can come from a trigger: a failed statement or rule, or one that was interrupted. On PostgreSQL
/// also from another program's lock: anything that the server says, but for what is wrong with the server itself.
fn is_by_trigger(error: &sqlx::Error) -> bool {
    // Connection, transaction state, resources (a full disk), shutdown, system, internal.
    const OF_THE_SERVER: [&str; 6] = ["08", "25", "53", "57P", "58", "XX"];
    if let Some(state) = sql_state(error) {
        return !OF_THE_SERVER.iter().any(|class| state.starts_with(class));
    }
    const ERROR: i64 = 1;
    const INTERRUPT: i64 = 9;
    const TOO_BIG: i64 = 18;
    const CONSTRAINT: i64 = 19;
    const MISMATCH: i64 = 20;
    code(error).is_some_and(|code| [ERROR, INTERRUPT, TOO_BIG, CONSTRAINT, MISMATCH].contains(&code))
}

/// The error in words. Not the text that a trigger raises: it may hold anything, a person's data too.
pub(super) fn words(error: &sqlx::Error) -> String {
    const RAISED: &str = "1811";
    let Some(found) = error.as_database_error() else { return error.to_string() };
    // The class of what is raised in PL/pgSQL.
    let is_raised = sql_state(error).is_some_and(|state| state.starts_with("P0"));
    match found.code().as_deref() {
        Some(code) if code == RAISED || is_raised => {
            "a trigger of another program refuses what the worker writes".to_owned()
        }
        _ => found.message().chars().filter(|char| !char.is_control()).take(200).collect(),
    }
}

/// PostgreSQL's code of the error.
pub(in crate::store) fn sql_state(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    Some(error.code().to_owned())
}

/// SQLite's code of the error, without its details.
fn code(error: &sqlx::Error) -> Option<i64> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code = sqlx::error::DatabaseError::code(error)?;
    code.parse::<i64>().ok().map(|code| code & 0xff)
}

/// Whether the error only means that another connection holds the lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: i64 = 5;
    code(error) == Some(SQLITE_BUSY)
}
