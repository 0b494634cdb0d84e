//! A connection of a test's own to the database of either engine, and rows that are read the same from both.
//!
//! A test asks in plain SQL. What an expression's type is differs between the engines (a sum, a comparison, a literal), so
//! a cell is read by what it holds: a number, a text, or nothing.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions, Connection as _, PgConnection, Row, SqliteConnection,
    TypeInfo as _, ValueRef as _,
};

pub(crate) enum Db {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A cell as either engine gives it.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Nothing,
    Number(i64),
    Text(String),
}

impl Db {
    /// Opens a file, or a database of a server. The test's own statements are not logged.
    pub(crate) async fn connect(place: &Path) -> Db {
        let text = place.to_string_lossy();
        if text.starts_with("postgres") {
            let options: PgConnectOptions = text.parse().expect("a URL");
            let options = options.disable_statement_logging();
            return Db::Postgres(PgConnection::connect_with(&options).await.expect("connects"));
        }
        let options = SqliteConnectOptions::new().filename(place).disable_statement_logging();
        Db::Sqlite(SqliteConnection::connect_with(&options).await.expect("opens"))
    }

    /// The file's own connection.
    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) fn sqlite(&mut self) -> &mut SqliteConnection {
        match self {
            Db::Sqlite(connection) => connection,
            Db::Postgres(_) => panic!("a database of PostgreSQL"),
        }
    }

    /// Runs statements; returns how many rows they changed.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Db::Sqlite(connection) => {
                let text = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
                text.execute(connection).await?.rows_affected()
            }
            Db::Postgres(connection) => {
                let text = sqlx::raw_sql(AssertSqlSafe(for_postgres(sql)));
                text.execute(connection).await?.rows_affected()
            }
        })
    }

    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Value>>, sqlx::Error> {
        Ok(match self {
            Db::Sqlite(connection) => {
                let text = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
                text.fetch_all(connection).await?.iter().map(of_sqlite).collect()
            }
            Db::Postgres(connection) => {
                let text = sqlx::raw_sql(AssertSqlSafe(for_postgres(sql)));
                text.fetch_all(connection).await?.iter().map(of_postgres).collect()
            }
        })
    }

    pub(crate) async fn all<T: Cells>(&mut self, sql: &str) -> Vec<T> {
        let rows = self.rows(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        rows.into_iter().map(T::of).collect()
    }

    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) async fn one<T: Cells>(&mut self, sql: &str) -> T {
        let mut rows = self.all(sql).await;
        assert!(!rows.is_empty(), "no row: {sql}");
        rows.swap_remove(0)
    }
}

/// What the tests' statements say in SQLite's words.
fn for_postgres(sql: &str) -> String {
    let text = sql.replace("printf('%.*c', ", "lpad('', ");
    match text.strip_prefix("insert or ignore ") {
        Some(rest) => format!("insert {rest} on conflict do nothing"),
        None => text,
    }
}

fn of_sqlite(row: &sqlx::sqlite::SqliteRow) -> Vec<Value> {
    let cell = |at: usize| {
        let raw = row.try_get_raw(at).expect("a column");
        match raw.type_info().name() {
            _ if raw.is_null() => Value::Nothing,
            "INTEGER" | "BOOLEAN" => Value::Number(row.get_unchecked(at)),
            "REAL" => Value::Number(row.get_unchecked::<f64, _>(at) as i64),
            _ => Value::Text(String::from_utf8_lossy(&row.get_unchecked::<Vec<u8>, _>(at)).into_owned()),
        }
    };
    (0..row.len()).map(cell).collect()
}

fn of_postgres(row: &sqlx::postgres::PgRow) -> Vec<Value> {
    let cell = |at: usize| {
        let raw = row.try_get_raw(at).expect("a column");
        if raw.is_null() {
            return Value::Nothing;
        }
        let text = raw.as_str().expect("in text form").to_owned();
        match row.column(at).type_info().name() {
            "BOOL" => Value::Number(i64::from(text == "t")),
            "INT2" | "INT4" | "INT8" => Value::Number(text.parse().expect("a number")),
            "NUMERIC" | "FLOAT4" | "FLOAT8" => {
                Value::Number(text.split('.').next().and_then(|whole| whole.parse().ok()).expect("a number"))
            }
            _ => Value::Text(text),
        }
    };
    (0..row.len()).map(cell).collect()
}

/// A column of a test's row.
pub(crate) trait Cell {
    fn of(value: Value) -> Self;
}

impl Cell for i64 {
    fn of(value: Value) -> i64 {
        match value {
            Value::Number(number) => number,
            other => panic!("not a number: {other:?}"),
        }
    }
}

impl Cell for bool {
    fn of(value: Value) -> bool {
        i64::of(value) != 0
    }
}

impl Cell for u32 {
    fn of(value: Value) -> u32 {
        i64::of(value).try_into().expect("a small number")
    }
}

impl Cell for String {
    fn of(value: Value) -> String {
        match value {
            Value::Text(text) => text,
            other => panic!("not a text: {other:?}"),
        }
    }
}

impl<C: Cell> Cell for Option<C> {
    fn of(value: Value) -> Option<C> {
        match value {
            Value::Nothing => None,
            value => Some(C::of(value)),
        }
    }
}

/// A row that a test reads.
pub(crate) trait Cells {
    fn of(row: Vec<Value>) -> Self;
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {$(
        impl<$($name: Cell),+> Cells for ($($name,)+) {
            fn of(row: Vec<Value>) -> Self {
                let mut cells = row.into_iter();
                let row = ($($name::of(cells.next().expect("as many columns")),)+);
                assert!(cells.next().is_none(), "as many columns");
                row
            }
        }
    )+};
}
tuples! {
    A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H; A B C D E F G H I;
    A B C D E F G H I J; A B C D E F G H I J K; A B C D E F G H I J K L;
}
