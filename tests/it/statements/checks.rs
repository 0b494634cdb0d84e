//! What SQLite looks at for each row that is written: the checks of its table, and the conditions of triggers.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::database;

/// The tables with a row for each request or contact.
const LARGE: [&str; 6] = ["inbox", "requests", "items", "request_events", "figures", "changes"];

/// Lists of three or more words in a text: SQLite makes a table of each anew for every row.
fn lists(text: &str) -> Vec<&str> {
    let after = text.match_indices(" in (").map(|(at, found)| &text[at + found.len()..]);
    let lists = after.map(|rest| &rest[..rest.find(')').unwrap_or(rest.len())]);
    lists.filter(|list| list.contains('\'') && list.split(',').count() > 2).collect()
}

async fn texts(connection: &mut SqliteConnection, kind: &str) -> Vec<(String, String)> {
    sqlx::query_as("select tbl_name, sql from sqlite_schema where type = $1 and sql is not null")
        .bind(kind)
        .fetch_all(connection)
        .await
        .expect("readable")
}

#[tokio::test]
async fn no_row_that_comes_in_thousands_is_compared_with_a_list_of_words() {
    let (_folder, mut connection) = database().await;
    let (tables, triggers) = (texts(&mut connection, "table").await, texts(&mut connection, "trigger").await);
    let conditions = triggers
        .iter()
        .map(|(table, text)| (table, text.split_once("begin").map_or("", |(condition, _)| condition)));
    let checks = tables.iter().map(|(table, text)| (table, text.as_str()));
    let mut looked_at = 0;
    for (table, text) in checks.chain(conditions).filter(|(table, _)| LARGE.contains(&table.as_str())) {
        assert!(lists(text).is_empty(), "{table}: {:?}", lists(text));
        looked_at += 1;
    }
    assert!(looked_at > LARGE.len(), "{looked_at}");
    assert_eq!(lists("check (a in ('x', 'y', 'z')), check (b in ('x', 'y'))"), ["'x', 'y', 'z'"]);
}

/// The checks were changed in the text of the schema.
#[tokio::test]
async fn the_schema_is_sound_and_still_refuses_a_word_that_nobody_knows() {
    let (_folder, mut connection) = database().await;
    let found: String =
        sqlx::query_scalar("pragma integrity_check").fetch_one(&mut connection).await.expect("readable");
    assert_eq!(found, "ok");
    for rows in [
        "insert into inbox (id, personnel_ids) values (1, '[1]')",
        "insert into requests (id, account, action, max_pages, quoted_credits, status, row_digest, created_at, taken_at)
         values (1, 'default', 'unlock_contact_emails', 1, 15, 'accepted', 'x', 1, 1)",
        "insert into items (id, request_id, account, action, personnel_id, state)
         values (1, 1, 'default', 'unlock_contact_emails', '1', 'waiting')",
        "insert into figures (name, account, label, value) values ('items', 'default', 'delivered', 1)",
    ] {
        sqlx::query(rows).execute(&mut connection).await.expect(rows);
    }
    for (table, set) in [
        ("inbox", "status = 'odd'"),
        ("requests", "status = 'odd'"),
        ("requests", "status = 'done'"),
        ("items", "state = 'odd'"),
        ("items", "state = 'done', resolved_at = 1, outcome = 'odd'"),
        ("items", "state = 'done', resolved_at = 1, outcome = 'delivered', source = 'odd'"),
        ("items", "state_reason = 'odd', reason_since = 1"),
        ("figures", "name = 'odd'"),
    ] {
        let update = format!("update {table} set {set}");
        let refused = sqlx::query(AssertSqlSafe(update.clone())).execute(&mut connection).await;
        let problem = refused.expect_err(&update).to_string();
        assert!(problem.contains("CHECK constraint failed"), "{update}: {problem}");
    }
}
