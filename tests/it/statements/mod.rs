//! Every statement of the store: it fits the schema, uses only words that a second engine knows, too, and
//! stays fast when the tables have grown.

use sqlx::{
    AssertSqlSafe, Column as _, Connection, Executor as _, PgConnection, Row as _, SqlSafeStr as _,
    SqliteConnection, Statement as _, TypeInfo as _,
};
use unlockd::store::Store;
use unlockd::store::sqlite::dialect::sqlite;

mod checks;
mod extract;
mod plans;

use extract::statements;

/// A new database, whose schema is read with a separate connection.
async fn database() -> (tempfile::TempDir, SqliteConnection) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlockd.db");
    drop(Store::open(&path, None).await.expect("opens"));
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    (folder, SqliteConnection::connect_with(&options).await.expect("opens"))
}

#[tokio::test]
async fn every_statement_of_the_store_fits_the_schema() {
    let (_folder, mut connection) = database().await;
    let statements = statements();
    assert!(statements.len() > 180, "{} statements found", statements.len());
    for statement in statements {
        let explain = AssertSqlSafe(format!("explain {}", sqlite(&statement.text)));
        let explained = sqlx::query(explain).fetch_all(&mut connection).await;
        let rows = explained.unwrap_or_else(|error| panic!("{error}\n{}", statement.text));
        assert!(!rows.is_empty() && !rows[0].is_empty(), "{}", statement.text);
    }
}

/// Prepared, each says its types: a number is always a bigint, since the store reads it as one.
#[tokio::test]
async fn every_statement_of_the_store_fits_the_schema_of_postgresql() {
    let Some(database) = crate::postgres::empty_database().await else { return };
    drop(Store::open(database.url(), None).await.expect("opens"));
    let mut connection = database.connect().await;
    let mut wrong = String::new();
    for statement in statements().iter().filter(|statement| !statement.file.starts_with("sqlite/")) {
        if let Err(problem) = prepare(&mut connection, &statement.postgres).await {
            wrong += &format!("{}: {problem}\n    {}\n", statement.file, statement.postgres);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The store says the type of each value; here PostgreSQL finds it, or has to be told.
async fn prepare(connection: &mut PgConnection, text: &str) -> Result<(), String> {
    let mut text = text.to_owned();
    let prepared = loop {
        match (&mut *connection).prepare(AssertSqlSafe(text.clone()).into_sql_str()).await {
            Ok(prepared) => break prepared,
            Err(error) => {
                let problem = error.to_string();
                let (_, value) = problem.split_once("data type of parameter ").ok_or(&problem)?;
                let value = value.split(" ").next().unwrap_or_default();
                let kind = if text.contains(&format!(">= {value}")) { "bigint" } else { "text" };
                let told = text.replacen(
                    &format!("{value} is null"),
                    &format!("cast({value} as {kind}) is null"),
                    1,
                );
                if told == text {
                    return Err(problem);
                }
                text = told;
            }
        }
    };
    let columns = prepared.columns().iter().map(|column| (column.name(), column.type_info().name()));
    let strange: Vec<_> =
        columns.filter(|(_, kind)| !["INT8", "TEXT", "BOOL", "BYTEA"].contains(kind)).collect();
    match strange.is_empty() {
        true => Ok(()),
        false => Err(format!("has the types {strange:?}")),
    }
}

#[test]
fn statements_are_said_in_words_that_both_engines_know() {
    // Words that only SQLite knows, or that mean something else elsewhere.
    let foreign = [
        "iif(",
        "json_each(",
        "json_tree(",
        "json_patch(",
        "json_type(",
        "json_group_",
        "->",
        "is $",
        "is not $",
        " glob ",
        "ifnull(",
        "strftime",
        "unixepoch",
        "julianday",
        "insert or",
        "update or",
        "rowid",
        "total(",
        "group_concat",
        "as blob",
        "pragma",
        "hex(",
        "printf(",
        "instr(",
        "changes(",
        "sum(distinct",
        " is '",
        " is not '",
        "max(coalesce",
        "min(coalesce",
        " not $",
        "($4 or",
        "indexed by",
        "collate",
        "limit -1",
        "||",
    ];
    for statement in statements().iter().filter(|statement| !statement.is_of_the_engine()) {
        for word in foreign {
            let text = statement.line();
            assert!(!text.contains(word), "{} has {word}: {text}", statement.file);
        }
    }
}

/// On another engine a sum has another type than its values.
#[test]
fn every_sum_says_its_type() {
    for statement in statements().iter().filter(|statement| !statement.is_of_the_engine()) {
        let text = statement.line();
        for (at, _) in text.match_indices("sum(") {
            let before = &text[..at];
            let is_cast = before.ends_with("cast(") || before.ends_with("cast(coalesce(");
            assert!(is_cast, "{}: {text}", statement.file);
        }
    }
}

#[test]
fn few_statements_are_said_twice() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/pairs.rs");
    let code = std::fs::read_to_string(path).expect("readable");
    assert!((1..=20).contains(&code.matches("const ").count()));
}

/// PostgreSQL before 16 requires a name for each of them, and so do we.
#[test]
fn every_select_that_stands_for_a_table_has_a_name() {
    for statement in statements().iter().filter(|statement| !statement.is_of_the_engine()) {
        let text = statement.line();
        for (at, _) in text.match_indices("from (select") {
            let inside = &text[at + "from (".len()..];
            let mut open = 1;
            let end = inside.find(|char| {
                open += i32::from(char == '(') - i32::from(char == ')');
                open == 0
            });
            let rest = &inside[end.expect("closed") + 1..];
            assert!(rest.starts_with(" as "), "{}: {text}", statement.file);
        }
    }
}
