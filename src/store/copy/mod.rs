//! Copies everything to an empty database of the other engine, and closes the one that it came from.
//!
//! The source is locked meanwhile, and the target is written in one transaction, which is compared with the source
//! (rows, sums and a digest of each table) before anything is committed. Then the source is closed for workers and for new
//! rows, and only then the target is committed: at no moment can both buy. Stopped before that, nothing has changed. Stopped
//! between the two commits, the source is closed and the target is empty, and the same command does it again.

mod rows;
pub(in crate::store) mod side;

use std::path::Path;

use crate::domain::Millis;
use crate::store::place::Place;
use crate::store::postgres::copy::PostgresSide;
use crate::store::sqlite::copy::SqliteSide;
use crate::store::{Store, StoreError, lease};
use rows::{Summary, copy_rows, summary};
use side::{Side, Table};

/// What became of one table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Copied {
    pub table: String,
    pub rows: u64,
    /// SHA-256 of all its rows: the same in both databases.
    pub digest: String,
}

/// What was copied.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    pub tables: Vec<Copied>,
    /// Credits that were booked.
    pub credits_booked: i64,
    /// Rows with a character that PostgreSQL cannot store (NUL): it was left out.
    pub rows_changed: u64,
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CopyError {
    fn from(source: sqlx::Error) -> CopyError {
        CopyError::Store(StoreError::Database { step: "copy the database", source })
    }
}

/// Copies everything in `source`, whose inbox may have a file of its own, to the empty database `target`.
pub async fn copy(
    source: &Place,
    inbox: Option<&Path>,
    target: &Place,
    now: Millis,
) -> Result<Report, CopyError> {
    if Place::is_server(&source.path) == Place::is_server(&target.path) {
        return Err(CopyError::Refused(
            "it copies from SQLite to PostgreSQL or back; for a copy on the same engine: unlockd backup, or pg_dump".to_owned(),
        ));
    }
    let store = Store::open_existing(source.clone(), inbox).await?;
    let lease = lease::try_take(&store, now).await?.map_err(|holder| {
        CopyError::Refused(format!(
            "worker {} is running on it: stop it first; if it has died, try again when its lease has run out (unlockd check). Nothing was copied",
            holder.pid
        ))
    })?;
    let copied = match lease.restored {
        true => Err(CopyError::Refused(
            "it is an older copy, or came from elsewhere: start unlockd run on it once, which looks at what may have been \
             bought since, and then copy it. Nothing was copied"
                .to_owned(),
        )),
        false => copy_under_lease(source, inbox, target, now).await,
    };
    lease.release(&store, now).await?;
    copied
}

async fn copy_under_lease(
    source: &Place,
    inbox: Option<&Path>,
    target: &Place,
    now: Millis,
) -> Result<Report, CopyError> {
    // Makes its tables.
    drop(Store::open(target.clone(), None).await?);
    let name = target.path.display().to_string();
    let pair = if Place::is_server(&target.path) {
        let mut source = SqliteSide::source(&source.path, inbox).await?;
        let tables = source.tables().await?;
        let target = PostgresSide::begin(target, true).await?;
        Pair { source: Box::new(source), target: Box::new(target), tables }
    } else {
        let source = PostgresSide::begin(source, false).await?;
        let mut target = SqliteSide::target(&target.path).await?;
        let tables = target.tables().await?;
        Pair { source: Box::new(source), target: Box::new(target), tables }
    };
    run(pair, &name, now).await
}

/// The two databases, each in a transaction of its own.
struct Pair {
    source: Box<dyn Side>,
    target: Box<dyn Side>,
    tables: Vec<Table>,
}

/// Copies, compares, closes the source and commits. `name`: the target, as the source is to remember it.
async fn run(mut pair: Pair, name: &str, now: Millis) -> Result<Report, CopyError> {
    let was_closed = may_begin(&mut pair, name).await?;
    let report = copy_and_compare(&mut pair).await?;
    let Pair { mut source, target, .. } = pair;
    if !was_closed {
        source.close(name, now.0).await?;
    }
    source.commit().await?;
    target.commit().await?;
    Ok(report)
}

/// Whether the source was closed by an earlier try.
async fn may_begin(pair: &mut Pair, name: &str) -> Result<bool, CopyError> {
    let moved_to = pair.source.moved_to().await?;
    let mut rows = 0;
    for table in &pair.tables {
        rows += summary(pair.target.as_mut(), table).await?.rows;
    }
    match (moved_to, rows) {
        (None, 0) => Ok(false),
        (Some(earlier), 0) if earlier == name => Ok(true),
        (Some(earlier), _) if earlier == name => Err(CopyError::Refused(format!(
            "everything was copied to {name} before, and the worker belongs there: nothing was done"
        ))),
        (Some(earlier), _) => Err(CopyError::Refused(format!(
            "it was copied to {earlier} before and is closed, so it is not copied to another one: two databases could \
             buy the same. Nothing was done"
        ))),
        (None, _) => Err(CopyError::Refused(format!(
            "{name} is not empty, so nothing was copied to it (a start writes to it, and so does unlockd check without --offline): \
             make an empty one"
        ))),
    }
}

async fn copy_and_compare(pair: &mut Pair) -> Result<Report, CopyError> {
    let mut report = Report::default();
    for table in &pair.tables {
        let given = copy_rows(pair.source.as_mut(), pair.target.as_mut(), table).await?;
        let taken = summary(pair.target.as_mut(), table).await?;
        if !given.is_same(&taken) {
            return Err(CopyError::Refused(format!(
                "the rows of {} are not the same after copying ({} and {}), so nothing was copied: please report this",
                table.name, given.rows, taken.rows
            )));
        }
        if let Some(column) = &table.counter {
            let counter = pair.source.counter(table, column).await?;
            pair.target.set_counter(table, column, counter).await?;
        }
        report.add(table, &given);
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, table: &Table, given: &Summary) {
        self.rows_changed += given.changed;
        self.credits_booked += given.charged;
        self.tables.push(Copied { table: table.name.clone(), rows: given.rows, digest: given.digest() });
    }
}
