//! One text for each statement, for every engine: [`query`], [`query_as`] and [`query_scalar`] take it with
//! `$1` for its first value, and run it inside a transaction or with the readers. Expressions that differ
//! between engines are translated: see [`dialect`].
//!
//! The compiler checks for every engine that a value can be bound ([`Bind`]) and that a row can be read
//! ([`Row`]). Only this file and the modules of the engines call the driver.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{PoisonError, RwLock};

use serde::{Serialize, Serializer};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Decode, FromRow, Postgres, SqlSafeStr, SqlStr, Sqlite, Type};

use crate::store::StoreError;
use crate::store::postgres::limits::limited;
use crate::store::sqlite::dialect;
use crate::store::tx::{Connection, On, Pool, Reads, Tx};

/// A value that every engine knows. A null has a type, too.
#[derive(Clone, Debug)]
pub(in crate::store) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

/// A type that can be bound to a statement.
pub(in crate::store) trait Bind: Sized {
    fn value(self) -> Value;
    fn null() -> Value;
}

macro_rules! bind_as {
    ($variant:ident: $($from:ty => $convert:expr),+ $(,)?) => {$(
        impl Bind for $from {
            fn value(self) -> Value {
                Value::$variant(Some($convert(self)))
            }
            fn null() -> Value {
                Value::$variant(None)
            }
        }
    )+};
}

// A boolean is 1 or 0 in every table.
bind_as!(Integer: i64 => i64::from, u32 => i64::from, u16 => i64::from, bool => i64::from);
bind_as!(Text: String => String::from, &str => String::from, &String => String::clone);

impl<T: Bind> Bind for Option<T> {
    fn value(self) -> Value {
        self.map_or_else(T::null, T::value)
    }

    fn null() -> Value {
        T::null()
    }
}

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

fn sqlite_values(values: Vec<Value>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Integer(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A null has the type of the values that stand in its place: PostgreSQL prepares a statement for types.
fn postgres_values(values: Vec<Value>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Integer(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text.map(without_nul)),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// No text of PostgreSQL can hold a NUL, nor can its JSON. Left out and not refused: it may stand in what was paid for.
fn without_nul(text: String) -> String {
    const ESCAPED: &str = "\\u0000";
    let text = if text.contains('\0') { text.replace('\0', "") } else { text };
    if !text.starts_with(['[', '{']) || !text.contains(ESCAPED) {
        return text;
    }
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(at) = rest.find('\\') {
        let escaped = rest[at..].strip_prefix(ESCAPED);
        kept.push_str(&rest[..at]);
        rest = escaped.unwrap_or(&rest[at..]);
        if escaped.is_none() {
            // A backslash and the sign that it escapes.
            let end = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
            kept.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    kept + rest
}

impl Statement<()> {
    fn sqlite(self) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
        Ok(sqlx::query_with(sqlite_text(self.text.sqlite), sqlite_values(self.values)?))
    }

    fn postgres(self) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>, sqlx::Error> {
        Ok(sqlx::query_with(self.text.postgres, postgres_values(self.values)?))
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
        Ok(sqlx::query_as_with(sqlite_text(self.text.sqlite), sqlite_values(self.values)?))
    }

    fn postgres_rows(self) -> Result<sqlx::query::QueryAs<'static, Postgres, R, PgArguments>, sqlx::Error> {
        Ok(sqlx::query_as_with(self.text.postgres, postgres_values(self.values)?))
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

/// Values for a statement that works on a set. Written directly: a tree of JSON values takes many times the memory.
pub(in crate::store) fn to_json(values: &impl Serialize) -> String {
    serde_json::to_string(values).expect("numbers and texts can be written as JSON")
}

/// The same for pairs of a number and a text, as one object whose keys may be repeated.
pub(in crate::store) fn to_json_pairs(pairs: &[(i64, &str)]) -> String {
    let mut written = Vec::new();
    serde_json::Serializer::new(&mut written)
        .collect_map(pairs.iter().copied())
        .expect("numbers and texts can be written as JSON");
    String::from_utf8(written).expect("JSON is UTF-8")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresql_gets_no_nul_and_everything_else() {
        for (text, kept) in [
            ("a\0b", "ab"),
            (r#"["a\u0000b","c"]"#, r#"["ab","c"]"#),
            // A backslash and the letters, not a NUL.
            (r#"["a\\u0000b\n\u0000\""]"#, r#"["a\\u0000b\n\""]"#),
            (r"a\u0000b", r"a\u0000b"),
            (r#"{"\u00001":"\u0001é\\"}"#, r#"{"1":"\u0001é\\"}"#),
        ] {
            assert_eq!(without_nul(text.to_owned()), kept);
        }
    }
}
