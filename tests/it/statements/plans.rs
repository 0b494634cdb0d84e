//! SQLite's plan for each statement when every growing table has a million rows: no statement reads such a
//! table from end to end.
//!
//! The rows do not exist: the planner believes the figures in `sqlite_stat1`. A worker never runs `analyze`,
//! so each plan is also checked without such figures.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, SqliteConnection};
use unlockd::store::sqlite::dialect::sqlite;

use super::database;
use super::extract::{Statement, statements};

const ROWS: u64 = 1_000_000;

/// Rows of an index over open or rare rows.
const OPEN_ROWS: u64 = 1_000;

/// A few rows for each account, or for each call of the last minutes.
const SMALL: [&str; 12] = [
    "accounts",
    "address_limit",
    "exceeded_prices",
    "figures",
    "inbox_faults",
    "inbox_worker",
    "inbox_written",
    "outbox_is_open",
    "prices",
    "recent_calls",
    "worker_lease",
    "_sqlx_migrations",
];

/// Partial indexes that grow with history. All others cover only open or rare rows.
const GROWING: [&str; 17] = [
    "contact_values_to_erase",
    "items_by_job",
    "jobs_ended_by_state",
    "jobs_task",
    "jobs_window",
    "ledger_charges",
    "ledger_charges_in_order",
    "outbox_ended",
    "request_events_by_job",
    "request_events_by_request",
    "requests_by_reference",
    "requests_by_task",
    "requests_ended",
    "requests_ended_by_status",
    "requests_to_remove",
    "windows_by_closing",
    "windows_by_opening",
];

/// Exceptions: the file, a part of the statement, and the reason.
const MAY: [(&str, &str, &str); 26] = [
    ("history.rs", "delete from changes where", "the oldest few; the oldest one is the start of the key"),
    ("history.rs", "select id from request_events where id > $1 order by id limit 1", "the next one"),
    (
        "history.rs",
        "delete from request_events where id between",
        "so many ids; the newest one is the end of the key",
    ),
    ("history.rs", "select r.id from requests r", "the oldest few; the newest one is the end of the key"),
    (
        "requests/mod.rs",
        "select coalesce(max(id), 0) from requests where id <=",
        "the end of the primary key",
    ),
    ("inbox/mod.rs", "update inbox set id = -id where id >", "rows above the bound only"),
    ("inbox/mod.rs", "select coalesce(max(id), 0) from inbox", "the end of the primary key"),
    ("pairs.rs", "update sqlite_sequence", "the end of the primary key"),
    (
        "pairs.rs",
        "select seq from sqlite_sequence where name = 'inbox'), 0) as seq",
        "the end of the primary key",
    ),
    ("outbox.rs", "select coalesce(max(id), 0) from outbox", "the end of the primary key"),
    ("credits/ledger.rs", "select coalesce(max(id), 0) from ledger", "the end of the primary key"),
    ("credits/balances.rs", "select coalesce(max(id), 0) from attempts", "the end of the primary key"),
    ("report/changes.rs", "select coalesce(max(seq), 0) from changes", "the end of the primary key"),
    (
        "report/requests.rs",
        "from requests where id < $1 and removed_at is null",
        "the next few of the primary key",
    ),
    ("jobs/attempts.rs", "select max(id) from attempts", "the end of the primary key"),
    ("requests/quotes.rs", "select max(id) from request_events", "the end of the primary key"),
    ("report/export.rs", "select max(id) from items", "the end of the primary key, not a search"),
    ("report/jobs.rs", "select max(id) from jobs", "the end of the primary key, not a search"),
    ("report/requests.rs", "select max(id) from", "the end of the primary key, not a search"),
    (
        "report/jobs.rs",
        "from jobs order by id desc limit $1",
        "the newest few, at the end of the primary key",
    ),
    (
        "report/requests.rs",
        "from requests where removed_at is null order by id desc limit $1",
        "the newest few, at the end of the primary key",
    ),
    ("lease.rs", "from request_events order by id desc limit 1", "the newest one"),
    (
        "report/overview.rs",
        "from windows where closed_at is not null order by id desc limit $1",
        "the newest few",
    ),
    (
        "report/mod.rs",
        "from windows where closed_at is not null order by closed_at",
        "prints all settlements",
    ),
    ("report/mod.rs", "'delivered'), (select count(*) from jobs", "of the demo, whose database is its own"),
    ("report/mod.rs", "from contact_outcomes order by", "of the demo, whose database is its own"),
];

/// The number of different values of a column, if there are only a few.
fn different_values(column: &str) -> Option<u64> {
    Some(match column {
        "account" | "action" | "state" | "status" | "entry" => 5,
        "event_id" => 200,
        "window_id" => 2_000,
        "request_id" | "job_id" | "task_id" => 10_000,
        "personnel_id" => 900_000,
        _ => return None,
    })
}

/// An index, as the schema has it.
#[derive(Debug)]
struct Index {
    table: String,
    columns: Vec<String>,
    unique: bool,
    partial: bool,
}

async fn rows<T>(connection: &mut SqliteConnection, text: String) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    sqlx::query_as(AssertSqlSafe(text)).fetch_all(connection).await.expect("readable")
}

async fn tables(connection: &mut SqliteConnection) -> Vec<String> {
    let found: Vec<(String,)> = rows(
        connection,
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'".to_owned(),
    )
    .await;
    found.into_iter().map(|(name,)| name).collect()
}

async fn indexes(connection: &mut SqliteConnection) -> BTreeMap<String, Index> {
    let found: Vec<(String, String, bool, bool, String)> = rows(
        connection,
        "select t.name, i.name, i.\"unique\", i.partial, group_concat(c.name, ' ' order by c.seqno)
         from sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
         where t.type = 'table' group by t.name, i.name"
            .to_owned(),
    )
    .await;
    found
        .into_iter()
        .map(|(table, name, unique, partial, columns)| {
            let columns = columns.split(' ').map(str::to_owned).collect();
            (name, Index { table, columns, unique, partial })
        })
        .collect()
}

/// Lets the planner believe that every table that grows has a million rows.
async fn grow(connection: &mut SqliteConnection, indexes: &BTreeMap<String, Index>) {
    sqlx::raw_sql("analyze; delete from sqlite_stat1").execute(&mut *connection).await.expect("analyzed");
    for table in tables(connection).await {
        let rows = if SMALL.contains(&table.as_str()) { 5 } else { ROWS };
        let figure = format!("insert into sqlite_stat1 values ('{table}', null, '{rows}')");
        let own: Vec<String> = indexes
            .iter()
            .filter(|(_, index)| index.table == table)
            .map(|(name, index)| {
                let figures = figures(name, index, rows);
                format!("insert into sqlite_stat1 values ('{table}', '{name}', '{figures}')")
            })
            .collect();
        let all = if own.is_empty() { figure } else { own.join(";") };
        sqlx::raw_sql(AssertSqlSafe(all)).execute(&mut *connection).await.expect("written");
    }
    sqlx::raw_sql("analyze sqlite_schema").execute(connection).await.expect("read again");
}

/// The rows of an index, then the rows for one value of each beginning of its columns.
fn figures(name: &str, index: &Index, rows: u64) -> String {
    let is_open = index.partial && !GROWING.contains(&name);
    let all = if is_open { OPEN_ROWS } else { rows };
    let mut alike = all;
    let mut figures = vec![all.to_string()];
    for (place, column) in index.columns.iter().enumerate() {
        alike = alike.div_ceil(different_values(column).unwrap_or(all).min(all));
        let is_whole_key = index.unique && place + 1 == index.columns.len();
        figures.push(if is_whole_key { 1 } else { alike }.to_string());
    }
    figures.join(" ")
}

/// The growing tables, under every name that a statement and its views use.
fn names_of_growing(text: &str, tables: &[String]) -> BTreeSet<String> {
    const NOT_A_NAME: [&str; 17] = [
        "where",
        "on",
        "join",
        "left",
        "cross",
        "order",
        "group",
        "limit",
        "set",
        "union",
        "using",
        "values",
        "select",
        "and",
        "or",
        "default",
        "returning",
    ];
    let growing = |word: &str| tables.iter().any(|table| table == word) && !SMALL.contains(&word);
    let spaced = text.replace(',', " , ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut names: BTreeSet<String> = tables.iter().filter(|table| growing(table)).cloned().collect();
    for (place, word) in words.iter().enumerate().skip(1) {
        let is_read = ["from", "join", ",", "update", "into"].contains(&words[place - 1]);
        if is_read && growing(word) {
            let after = words[place + 1..].iter().find(|word| **word != "as");
            names.extend(after.filter(|name| !NOT_A_NAME.contains(name)).map(|name| (*name).to_owned()));
        }
    }
    names
}

/// Steps of a plan that read a whole growing table, or all rows of an account or a state.
fn too_long<'a>(
    plan: &'a [String],
    line: &str,
    names: &BTreeSet<String>,
    indexes: &BTreeMap<String, Index>,
) -> Vec<&'a String> {
    let is_open = |name: &str| indexes[name].partial && !GROWING.contains(&name);
    // Reads only as many rows as it returns.
    let stops = line.contains(" limit ") && !plan.iter().any(|step| step.contains("TEMP B-TREE"));
    let is_long = |step: &&String| {
        let mut words = step.split(' ');
        let (how, table) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let index = step.split(" INDEX ").nth(1).map(|rest| rest.split(' ').next().unwrap_or_default());
        let by = step.rsplit_once(" (").map_or("", |(_, by)| by);
        let vague = ["account=?", "action=?", "state=?", "status=?", "entry=?", "finished_at>?"];
        match (how, index) {
            _ if !names.contains(table) => false,
            ("SCAN", Some("requests_ended" | "requests_to_remove")) => !stops,
            ("SCAN", Some(index)) => !is_open(index),
            ("SCAN", None) => true,
            ("SEARCH", _) if !step.contains(" USING ") || step.contains("AUTOMATIC") => true,
            ("SEARCH", None) => ["rowid>?)", "rowid<?)"].contains(&by),
            ("SEARCH", Some(index)) if is_open(index) || stops => false,
            ("SEARCH", _) => by.trim_end_matches(')').split(" AND ").all(|part| vague.contains(&part)),
            _ => false,
        }
    };
    plan.iter().filter(is_long).collect()
}

fn may(statement: &Statement) -> bool {
    let line = statement.line();
    MAY.iter().any(|(file, part, _)| statement.file == *file && line.contains(part))
}

#[tokio::test]
async fn no_statement_reads_a_table_that_grows_from_end_to_end() {
    let (_folder, mut connection) = database().await;
    let (tables, indexes) = (tables(&mut connection).await, indexes(&mut connection).await);
    for name in GROWING {
        assert!(indexes.get(name).is_some_and(|index| index.partial), "{name} is gone");
    }
    let views: Vec<(String,)> =
        rows(&mut connection, "select sql from sqlite_schema where type = 'view'".to_owned()).await;
    let views: Vec<String> = views.into_iter().map(|(sql,)| sql).collect();
    let (mut long, mut excused) = (Vec::new(), 0);
    for is_grown in [false, true] {
        if is_grown {
            grow(&mut connection, &indexes).await;
        }
        for statement in statements() {
            let explain = format!("explain query plan {}", sqlite(&statement.text));
            let plan: Vec<(i64, i64, i64, String)> = rows(&mut connection, explain).await;
            let plan: Vec<String> = plan.into_iter().map(|(.., step)| step).collect();
            let line = statement.line();
            let is_read = |view: &&String| view.split(' ').nth(2).is_some_and(|name| line.contains(name));
            let seen = views.iter().filter(is_read).fold(line.clone(), |seen, view| seen + " " + view);
            let steps = too_long(&plan, &line, &names_of_growing(&seen, &tables), &indexes);
            if may(&statement) {
                excused += usize::from(!steps.is_empty());
            } else if !steps.is_empty() {
                long.push(format!("{} (grown: {is_grown}): {steps:?}: {line}", statement.file));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
    // An exception that is not needed any more must be removed.
    assert_eq!(excused, 2 * 28);
}

#[tokio::test]
async fn a_statement_that_reads_a_table_from_end_to_end_is_seen() {
    let (_folder, mut connection) = database().await;
    let (tables, indexes) = (tables(&mut connection).await, indexes(&mut connection).await);
    grow(&mut connection, &indexes).await;
    for (text, is_seen) in [
        ("select count(*) from items i where i.outcome = 'lost'", true),
        ("select id from jobs where $1 is null or state = $1 order by id desc limit 5", true),
        ("select id from items where id > $1 and outcome = 'lost' order by id limit 5", true),
        ("select sum(credits) from ledger l where l.account = 'a' and l.entry = 'charge'", true),
        ("select id from requests where status = 'done' and finished_at is not null", true),
        ("select count(*) from requests r where r.finished_at is null", false),
        ("select id from items where request_id = 4", false),
        ("select blocked_until from accounts", false),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            rows(&mut connection, format!("explain query plan {text}")).await;
        let plan: Vec<String> = plan.into_iter().map(|(.., step)| step).collect();
        let steps = too_long(&plan, text, &names_of_growing(text, &tables), &indexes);
        assert_eq!(!steps.is_empty(), is_seen, "{text}: {plan:?}");
    }
}
