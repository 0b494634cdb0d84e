//! Whether the tables of an inbox file are those of this version: other programs can change them.

use std::collections::HashMap;

use sqlx::SqliteConnection;

/// The columns that statements read or write, and their types.
const COLUMNS: [(&str, &str); 21] = [
    ("id", "integer"),
    ("account", "text"),
    ("action", "text"),
    ("event_id", "text"),
    ("personnel_ids", "text"),
    ("task_id", "text"),
    ("query", "text"),
    ("max_pages", "integer"),
    ("reference", "text"),
    ("dedupe_key", "text"),
    ("max_credits", "integer"),
    ("approved", "integer"),
    ("created_at", "integer"),
    ("status", "text"),
    ("reason", "text"),
    ("quoted_credits", "integer"),
    ("finished_at", "integer"),
    ("caller", "text"),
    ("needs_approval", "integer"),
    ("agent", "text"),
    ("purpose", "text"),
];

/// What is wrong with the tables, in words; `None`: nothing. Reads the schema only.
pub(super) async fn problem(connection: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
    for table in ["inbox", "inbox_written", "inbox_worker"] {
        let found: Option<(String, i64)> = sqlx::query_as(
            "select type, strict from pragma_table_list where schema = 'main' and name = $1 limit 1",
        )
        .bind(table)
        .fetch_optional(&mut *connection)
        .await?;
        match found {
            None => return Ok(Some(format!("its table {table} is missing"))),
            Some((kind, _)) if kind != "table" => {
                return Ok(Some(format!("{table} is a {kind} there, not a table")));
            }
            Some((_, 0)) => {
                return Ok(Some(format!("its table {table} is not strict, so it is not unlockd's")));
            }
            Some(_) => {}
        }
    }
    let columns: Vec<(String, String, i64)> =
        sqlx::query_as("select name, lower(type), hidden from pragma_table_xinfo('inbox') limit 2000")
            .fetch_all(&mut *connection)
            .await?;
    let columns: HashMap<&str, (&str, i64)> =
        columns.iter().map(|(name, kind, hidden)| (name.as_str(), (kind.as_str(), *hidden))).collect();
    Ok(COLUMNS.iter().find_map(|(name, kind)| match columns.get(name) {
        Some((found, 0)) if found == kind => None,
        Some(_) => Some(format!("the column {name} of its table inbox is not a plain {kind} column")),
        None => Some(format!("its table inbox has no column {name}")),
    }))
}
