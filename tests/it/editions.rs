//! A database of the first edition, opened by this one: its items keep their states.
//!
//! `tests/fixtures/first-edition.sql` is a dump of a database that the first edition wrote (migrations up to
//! 0109): items with every outcome, and open ones in each of its sub-states.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, FromRow, SqliteConnection};
use unlockd::domain::item::Why;
use unlockd::domain::{AccountId, Millis};
use unlockd::store::Store;
use unlockd::store::items::reading;

const FIRST_EDITION: &str = include_str!("../fixtures/first-edition.sql");

async fn rows<T>(connection: &mut SqliteConnection, sql: &str) -> Vec<T>
where
    T: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.expect("readable")
}

/// Tables and columns that both editions share.
const KEPT: [&str; 4] = [
    "select id || ' ' || request_id || ' ' || personnel_id || ' ' || state || ' ' || coalesce(job_id, '-') || ' '
            || outcome || ' ' || coalesce(error_code, '-') || ' ' || coalesce(source, '-') || ' '
            || coalesce(read_at, '-') || ' ' || coalesce(resolved_at, '-') from items order by id",
    "select request_id || ' ' || personnel_id || ' ' || outcome || ' ' || coalesce(email, '-') || ' '
            || coalesce(resolved_at, '-') from contact_outcomes order by request_id, personnel_id",
    "select request_id || ' ' || outcome || ' ' || coalesce(result, '-') from action_results order by request_id",
    "select name || ' ' || account || ' ' || label || ' ' || value from figures order by name, account, label",
];

async fn kept(connection: &mut SqliteConnection) -> Vec<Vec<(String,)>> {
    let mut all = Vec::new();
    for sql in KEPT {
        all.push(rows(connection, sql).await);
    }
    all
}

#[tokio::test]
async fn items_of_the_first_edition_say_why_they_are_where_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlockd.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(false);
    let mut old = options.connect().await.expect("opens");
    sqlx::raw_sql(AssertSqlSafe(FIRST_EDITION.to_owned())).execute(&mut old).await.expect("the dump");
    let before = kept(&mut old).await;
    assert!(before.iter().all(|rows| !rows.is_empty()), "the fixture shows something of everything");
    old.close().await.expect("closes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("private");

    let store = Store::open(&path, None).await.expect("this edition opens it");
    let mut new = SqliteConnectOptions::new().filename(&path).connect().await.expect("opens");
    assert_eq!(kept(&mut new).await, before);
    // State and reason; how many requests after the first; since when, in seconds; reads without a result.
    let open: Vec<(String, i64, Option<i64>, i64)> = rows(
        &mut new,
        "select i.personnel_id || ' ' || i.state || coalesce(' ' || i.state_reason, ''), i.request_id - first.id,
                (i.reason_since - first.taken_at) / 1000, i.reads
         from items i, (select id, taken_at from requests
                        where id = (select request_id from items where personnel_id = '302')) first
         where i.state <> 'done' order by i.id",
    )
    .await;
    let expected = [
        ("302 reading already_unlocked", 0, Some(2), 2),
        ("303 reading unlocking", 0, Some(3), 1),
        // Its profile was read later; before that prechecks had reported it as being unlocked.
        ("304 waiting unlocking", 0, Some(3), 0),
        ("305 assigned unlocking", 0, Some(3), 0),
        ("306 waiting seen_locked", 0, Some(20), 0),
        ("307 assigned seen_locked", 0, Some(20), 0),
        ("308 reading skipped", 0, Some(4), 0),
        ("309 assigned", 0, None, 0),
        ("313 waiting", 0, None, 0),
        ("310 reading lost_answer", 1, Some(26), 0),
        ("311 unapproved unlocking", 2, Some(3), 0),
        ("312 unapproved", 3, None, 0),
        ("8 reading event_unlocked", 4, Some(29), 0),
        ("303 reading unlocking", 5, Some(3), 1),
    ];
    assert_eq!(open, expected.map(|(what, request, since, reads)| (what.to_owned(), request, since, reads)));

    // The program can read them, too: each profile for its reason.
    let (account, ever) = (AccountId::trusted("default"), Millis(i64::MAX));
    let due = reading::due_reads(store.readers(), &account, ever, 100).await.expect("readable");
    let why: BTreeMap<&str, Why> = due.iter().map(|one| (one.personnel_id.as_str(), one.why)).collect();
    let expected = [
        ("302", Why::AlreadyUnlocked),
        ("303", Why::Unlocking),
        ("308", Why::Skipped),
        ("310", Why::LostAnswer),
        ("8", Why::EventUnlocked),
    ];
    assert_eq!(why, expected.into());
}
