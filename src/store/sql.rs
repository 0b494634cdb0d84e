//! One text for each statement, for every engine: [`query`], [`query_as`] and [`query_scalar`] take it with
//! `$1` for its first value, and run it inside a transaction or with the readers. Expressions that differ
//! between engines are translated: see [`dialect`].
//!
//! The compiler checks for every engine that a value can be bound ([`Bind`]) and that a row can be read
//! ([`Row`]). [`values`] hands the values to each engine. Only this file and the modules of the engines call the
//! driver.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{PoisonError, RwLock};

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, FromRow, Postgres, SqlSafeStr, SqlStr, Sqlite, Type};

use crate::store::StoreError;
use crate::store::postgres::limits::limited;
use crate::store::sqlite::dialect;
use crate::store::tx::{Connection, On, Pool, Reads, Tx};
use crate::store::values::{self, Bind, Value};
pub(in crate::store) use crate::store::values::{to_json, to_json_pairs};

/// A row that every engine can read.
pub(in crate::store) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}
impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{}

/// A column that every engine can read.
pub(in crate::store) trait Column:
    for<'r> Decode<'r, Sqlite>
    + Type<Sqlite>
    + for<'r> Decode<'r, Postgres>
    + Type<Postgres>
    + Send
    + Unpin
    + 'static
{
}
impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite>
        + Type<Sqlite>
        + for<'r> Decode<'r, Postgres>
        + Type<Postgres>
        + Send
        + Unpin
        + 'static
{
}

/// What a statement says: one text for every engine, or one for each (see [`crate::store::pairs`]).
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Text {
    pub(in crate::store) sqlite: &'static str,
    pub(in crate::store) postgres: &'static str,
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Text {
        Text { sqlite: text, postgres: text }
    }
}

/// A statement whose rows are read as `R`.
pub(in crate::store) struct Statement<R> {
    text: Text,
    values: Vec<Value>,
    rows: PhantomData<fn() -> R>,
}

/// A statement that returns nothing.
pub(in crate::store) fn query(text: impl Into<Text>) -> Statement<()> {
    Statement { text: text.into(), values: Vec::new(), rows: PhantomData }
}

/// A statement whose rows are read as `R`.
pub(in crate::store) fn query_as<R: Row>(text: impl Into<Text>) -> Statement<R> {
    Statement { text: text.into(), values: Vec::new(), rows: PhantomData }
}

/// A statement whose rows have one column.
pub(in crate::store) fn query_scalar<C: Column>(text: impl Into<Text>) -> Scalars<C> {
    Scalars(Statement { text: text.into(), values: Vec::new(), rows: PhantomData })
}

/// Why a statement failed. Callers turn it into a [`StoreError`].
#[derive(Debug)]
pub(in crate::store) struct Failed(StoreError);

impl From<sqlx::Error> for Failed {
    fn from(source: sqlx::Error) -> Failed {
        Failed(source.into())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed(error)
    }
}

impl From<Failed> for StoreError {
    fn from(Failed(error): Failed) -> StoreError {
        error
    }
}

/// The number of rows that a statement has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Changed(u64);

impl Changed {
    pub(in crate::store) fn rows_affected(self) -> u64 {
        self.0
    }

    /// A guarded statement must have changed exactly one row.
    pub(in crate::store) fn exactly_one(self, what: &'static str) -> Result<(), StoreError> {
        self.exactly(1, what)
    }

    /// A guarded statement must have changed exactly this many rows.
    pub(in crate::store) fn exactly(self, rows: usize, what: &'static str) -> Result<(), StoreError> {
        match self.0 == rows as u64 {
            true => Ok(()),
            false => Err(StoreError::Stale { what }),
        }
    }
}

/// Runs a statement with the driver of the engine behind a transaction or readers.
macro_rules! run {
    ($statement:expr, $on:expr, $verb:ident) => {
        match $on.into() {
            On::Tx(Tx(Connection::Sqlite(connection))) => $statement.sqlite_rows()?.$verb(connection).await,
            On::Tx(Tx(Connection::Postgres(connection))) => {
                limited($statement.postgres_rows()?.$verb(connection)).await
            }
            On::Reads(Reads(Pool::Sqlite(pool))) => $statement.sqlite_rows()?.$verb(pool).await,
            On::Reads(Reads(Pool::Postgres(pool))) => limited($statement.postgres_rows()?.$verb(pool)).await,
            On::Reads(Reads(Pool::InboxFile(file))) => {
                let statement = $statement.sqlite_rows()?;
                return file
                    .read(move |connection| Box::pin(async move { statement.$verb(connection).await }))
                    .await
                    .map_err(Failed);
            }
        }
    };
}

impl<R> Statement<R> {
    pub(in crate::store) fn bind(mut self, value: impl Bind) -> Statement<R> {
        self.values.push(value.value());
        self
    }
}

/// The text consists only of statements of the store. There is a limited number of them, so each is translated once.
fn sqlite_text(text: &'static str) -> SqlStr {
    static TRANSLATED: RwLock<BTreeMap<&'static str, SqlStr>> = RwLock::new(BTreeMap::new());
    if let Some(known) = TRANSLATED.read().unwrap_or_else(PoisonError::into_inner).get(text) {
        return known.clone();
    }
    let translated = match dialect::sqlite(text) {
        Cow::Borrowed(text) => text.into_sql_str(),
        Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
    };
    TRANSLATED.write().unwrap_or_else(PoisonError::into_inner).insert(text, translated.clone());
    translated
}

impl Statement<()> {
    fn sqlite(self) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
        Ok(sqlx::query_with(sqlite_text(self.text.sqlite), values::of_sqlite(self.values)?))
    }

    fn postgres(self) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>, sqlx::Error> {
        Ok(sqlx::query_with(self.text.postgres, values::of_postgres(self.values)?))
    }

    pub(in crate::store) async fn execute(self, on: impl Into<On<'_>>) -> Result<Changed, Failed> {
        let changed = match on.into() {
            On::Tx(Tx(Connection::Sqlite(connection))) => {
                self.sqlite()?.execute(connection).await?.rows_affected()
            }
            On::Tx(Tx(Connection::Postgres(connection))) => {
                limited(self.postgres()?.execute(connection)).await?.rows_affected()
            }
            On::Reads(_) => panic!("a read changes nothing"),
        };
        Ok(Changed(changed))
    }
}

impl<R: Row> Statement<R> {
    fn sqlite_rows(self) -> Result<sqlx::query::QueryAs<'static, Sqlite, R, SqliteArguments>, sqlx::Error> {
        Ok(sqlx::query_as_with(sqlite_text(self.text.sqlite), values::of_sqlite(self.values)?))
    }

    fn postgres_rows(self) -> Result<sqlx::query::QueryAs<'static, Postgres, R, PgArguments>, sqlx::Error> {
        Ok(sqlx::query_as_with(self.text.postgres, values::of_postgres(self.values)?))
    }

    pub(in crate::store) async fn fetch_all(self, on: impl Into<On<'_>>) -> Result<Vec<R>, Failed> {
        Ok(run!(self, on, fetch_all)?)
    }

    pub(in crate::store) async fn fetch_one(self, on: impl Into<On<'_>>) -> Result<R, Failed> {
        Ok(run!(self, on, fetch_one)?)
    }

    pub(in crate::store) async fn fetch_optional(self, on: impl Into<On<'_>>) -> Result<Option<R>, Failed> {
        Ok(run!(self, on, fetch_optional)?)
    }
}

/// A statement whose rows have one column, read as `C`.
pub(in crate::store) struct Scalars<C>(Statement<(C,)>);

impl<C: Column> Scalars<C> {
    pub(in crate::store) fn bind(self, value: impl Bind) -> Scalars<C> {
        Scalars(self.0.bind(value))
    }

    pub(in crate::store) async fn fetch_all(self, on: impl Into<On<'_>>) -> Result<Vec<C>, Failed> {
        Ok(self.0.fetch_all(on).await?.into_iter().map(|(column,)| column).collect())
    }

    pub(in crate::store) async fn fetch_one(self, on: impl Into<On<'_>>) -> Result<C, Failed> {
        Ok(self.0.fetch_one(on).await?.0)
    }

    pub(in crate::store) async fn fetch_optional(self, on: impl Into<On<'_>>) -> Result<Option<C>, Failed> {
        Ok(self.0.fetch_optional(on).await?.map(|(column,)| column))
    }
}
