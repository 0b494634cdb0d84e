//! One of the two databases of a copy, as the copy sees it: rows in and out, inside one transaction.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::store::engine::Tables;

/// The tables that are copied: each after those that it refers to. Left out is what tells of the database itself, or of
/// its present worker (a test names these tables).
pub(in crate::store) const COPIED: [(&str, Tables); 24] = [
    ("accounts", Tables::State),
    ("address_limit", Tables::State),
    ("recent_calls", Tables::State),
    ("requests", Tables::State),
    ("balance_snapshots", Tables::State),
    ("windows", Tables::State),
    ("jobs", Tables::State),
    ("items", Tables::State),
    ("contact_values", Tables::State),
    ("direct_results", Tables::State),
    ("changes", Tables::State),
    ("attempts", Tables::State),
    ("ledger", Tables::State),
    ("charge_parts", Tables::State),
    ("prices", Tables::State),
    ("exceeded_prices", Tables::State),
    ("caller_credits", Tables::State),
    ("budget_warnings", Tables::State),
    ("figures", Tables::State),
    ("request_events", Tables::State),
    ("outbox_is_open", Tables::State),
    ("outbox", Tables::State),
    ("inbox", Tables::Inbox),
    ("inbox_written", Tables::Inbox),
];

/// A table, as both engines have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Table {
    pub name: String,
    pub part: Tables,
    pub columns: Vec<Column>,
    /// The columns of its primary key, with commas.
    pub key: String,
    /// The column that numbers its rows by itself.
    pub counter: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Column {
    pub name: String,
    /// Otherwise it is a text.
    pub is_integer: bool,
}

impl Table {
    /// The names of its columns, with commas.
    pub(in crate::store) fn names(&self) -> String {
        self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The place of a column in a row.
    pub(super) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|one| one.name == column)
    }
}

type Done<'a, T> = BoxFuture<'a, Result<T, sqlx::Error>>;

/// A database in a transaction. Dropped without [`Side::commit`], it is as it was.
pub(in crate::store) trait Side: Send {
    /// All rows of a table in the order of its key, each as a JSON array of its columns.
    fn rows<'a>(&'a mut self, table: &'a Table) -> BoxStream<'a, Result<Vec<u8>, sqlx::Error>>;

    /// Writes rows: a JSON array of such arrays.
    fn insert<'a>(&'a mut self, table: &'a Table, rows: String) -> Done<'a, ()>;

    /// The highest number that a row of the table ever had.
    fn counter<'a>(&'a mut self, table: &'a Table, column: &'a str) -> Done<'a, i64>;

    /// The next row gets a higher number than this one.
    fn set_counter<'a>(&'a mut self, table: &'a Table, column: &'a str, to: i64) -> Done<'a, ()>;

    /// Where it was copied to, if it is closed.
    fn moved_to(&mut self) -> Done<'_, Option<String>>;

    /// Closes it for workers and for new rows of the inbox.
    fn close<'a>(&'a mut self, target: &'a str, now: i64) -> Done<'a, ()>;

    fn commit(self: Box<Self>) -> Done<'static, ()>;
}
