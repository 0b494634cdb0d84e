//! The same statements on both engines: what checks refuse, what triggers write, and what views show is the same.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use crate::schema::sqlite;
use crate::server;

/// A history in which every trigger and every view has something to say.
pub(crate) const HISTORY: [&str; 48] = [
    "insert into outbox_is_open (id, events) values (1, null)",
    "insert into accounts (account) values ('default'), ('second')",
    "insert into accounts (account, owner) values ('third', 'default')",
    "insert into requests (id, account, action, max_pages, reference, quoted_credits, status, row_digest, created_at, taken_at)
     values (1, 'default', 'unlock_contact_emails', 1, 'Straße \"7\"', 60, 'accepted', 'x', 1, 2),
            (2, 'default', 'unlock_contact_phones', 1, null, 150, 'awaiting_approval', 'x', 1, 2),
            (3, 'second', 'search_exhibitor_events', 2, 'pages', 100, 'accepted', 'x', 1, 2),
            (4, 'second', 'unlock_event_contacts', 1, 'event', 2000, 'accepted', 'x', 1, 2)",
    "insert into request_events (at, request_id, event) values (3, 2, 'awaiting_approval')",
    "insert into items (request_id, account, action, event_id, personnel_id, state, outcome, resolved_at)
     values (1, 'default', 'unlock_contact_emails', '9', '700', 'waiting', 'pending', null),
            (1, 'default', 'unlock_contact_emails', '9', '701', 'done', 'invalid', 1732678042123),
            (1, 'default', 'unlock_contact_emails', null, '702', 'waiting', 'pending', null),
            (1, 'default', 'unlock_contact_emails', null, '703', 'waiting', 'pending', null),
            (2, 'default', 'unlock_contact_phones', null, '700', 'unapproved', 'pending', null),
            (3, 'second', 'search_exhibitor_events', null, '10', 'waiting', 'pending', null),
            (3, 'second', 'search_exhibitor_events', null, '2', 'waiting', 'pending', null),
            (4, 'second', 'unlock_event_contacts', '9', '9', 'waiting', 'pending', null)",
    "update outbox_is_open set events = '[\"request.finished\",\"job.in_doubt\",\"account.paused\",\"contact.resolved\"]'",
    "insert into balance_snapshots (account, taken_at, cause, total, subscription, addon, gift, asked_at, owner)
     values ('default', 5, 'start', 1000, 1000, 0, 0, 5, 'default'), ('default', 9, 'end', 940, 940, 0, 0, 9, 'default')",
    "insert into windows (account, opened_at, opening_snapshot, owner) values ('default', 5, 1, 'default')",
    "insert into jobs (account, action, state, created_at, contacts, window_id)
     values ('default', 'unlock_contact_emails', 'queued', 10, 3, 1),
            ('default', 'unlock_contact_emails', 'queued', 11, 3, 1),
            ('second', 'search_exhibitor_events', 'queued', 12, 0, null)",
    // The first of two jobs tells it; a later one and the account do not.
    "update jobs set state_reason = 'insufficient_credits', due_at = 20 where account = 'default'",
    "update accounts set waits_for = 'insufficient_credits', waits_since = 21 where account = 'default'",
    "update accounts set waits_for = 'budget', waits_since = 22 where account = 'second'",
    "update jobs set state_reason = 'budget' where account = 'second'",
    "update jobs set state_reason = null, state = 'submitting', price = 15, cost = 45 where id = 1",
    "update items set state = 'assigned', job_id = 1 where request_id = 1 and state = 'waiting'",
    "insert into attempts (job_id, request_id, body_digest, contacts, cost, lease_token, started_at)
     values (1, 'call', 'x', 3, 45, 1, 30)",
    "insert into ledger (at, account, job_id, entry, credits) values (30, 'default', 1, 'hold', 45)",
    "update jobs set state = 'in_doubt', state_reason = 'looking', doubt_since = 31 where id = 1",
    "insert into request_events (at, job_id, event) values (31, 1, 'answer_lost')",
    "update jobs set state_reason = 'needs_decision' where id = 1",
    "insert into request_events (at, job_id, event) values (32, 1, 'stayed_unclear')",
    "update jobs set state = 'polling', state_reason = null, task_id = 'task-1', next_poll_at = 40 where id = 1",
    "insert into contact_values (item_id, value, stored_at) values (1, 'a@example.com', 50), (3, 'é@example.com', 50)",
    "update items set state = 'done', outcome = 'delivered', source = 'task', resolved_at = 1732678042123
     where id in (1, 3)",
    "update items set state = 'done', outcome = 'failed', error_code = 'e', resolved_at = 51 where id = 4",
    // An outcome may change, and is a change again; what stays as it is, is none.
    "update items set outcome = 'no_value', source = null where id = 3",
    "update items set error_code = 'f' where id = 4",
    "insert into ledger (at, account, job_id, entry, credits)
     values (1732678042123, 'default', 1, 'charge', 30), (1732678042123, 'default', 1, 'release', -45)",
    "insert into charge_parts (ledger_id, request_id, contacts, credits) values (2, 1, 2, 29), (2, null, 0, 1)",
    "update jobs set state = 'completed', next_poll_at = null, finished_at = 52 where id = 1",
    "update jobs set state = 'cancelled', state_reason = null, finished_at = 51 where id = 2",
    "update windows set closed_at = 60, verdict = 'overspent', closing_snapshot = 2, jobs = 1, expected_min = 30,
            expected_max = 30, balance_before = 1000, balance_after = 940, spent = 60",
    "update windows set lapsed = 1",
    "update requests set status = 'done', finished_at = 61 where id = 1",
    "insert into request_events (at, request_id, event) values (61, 1, 'done'), (61, 2, 'cancelled')",
    "update accounts set paused_at = 70, restored_at = 70 where account = 'default'",
    "update accounts set paused_at = 71, overcharged_at = 71 where account = 'second'",
    "update accounts set refused_key = 'k', key_refused_at = 72 where account = 'second'",
    "update accounts set refused_status = 403 where account = 'second'",
    "insert into direct_results (item_id, request_id, credits_used, result, at)
     values (6, 3, 50, '[{\"page\":10},7,[8]]', 80), (7, 3, 0, '[{\"page\":2}]', 80), (8, 4, 2000, '{\"event\":{}}', 80)",
    "update items set state = 'done', outcome = 'delivered', source = 'task', resolved_at = 80 where request_id in (3, 4)",
    "update requests set status = 'done', finished_at = 81 where id in (3, 4)",
    "update contact_values set is_erased = 1, value = '-------------' where item_id = 1",
    "update outbox_is_open set events = null",
    "insert into budget_warnings (subject, limit_name, period, percent, spent, credits, at)
     values ('default', 'daily_limit', 1732665600000, 80, 850, 1000, 82), ('crm', 'token_daily_credits', 1732665600000, 50, 55, 100, 83)",
    "insert into inbox (personnel_ids, created_at) values ('[1]', 1), ('[2]', 1), ('[3]', 1)",
    "update inbox set status = 'cancelled', reason = 'by hand' where id in (2, 3)",
];

/// What no engine takes. (What a check of a column says is compared with the schema; here are triggers and types.)
const REFUSED: [&str; 22] = [
    "update ledger set credits = 1 where id = 1",
    "delete from ledger where id = 1",
    "update request_events set detail = 'x' where id = 1",
    "delete from contact_values where id = 2",
    "update contact_values set value = 'short', is_erased = 1 where id = 2",
    // As many characters, and a byte less.
    "update contact_values set value = '-------------', is_erased = 1 where id = 2",
    "update contact_values set value = 'b@example.com' where id = 1 and is_erased = 0 or id = 2",
    "update contact_values set is_erased = 0 where id = 1",
    "update contact_values set item_id = 4, is_erased = 1 where id = 2",
    "insert into outbox (type, at, data) values ('request.finished', 1, '{')",
    "insert into outbox (type, at, data) values ('request.finished', 1, null)",
    "insert into direct_results (item_id, request_id, credits_used, result, at) values (4, 1, 0, '7', 1)",
    "insert into direct_results (item_id, request_id, credits_used, result, at) values (4, 1, -1, '[]', 1)",
    "insert into inbox (max_credits) values ('many')",
    "insert into inbox (id, status) values (90, 'bought')",
    "insert into inbox (account) values (null)",
    "insert into items (request_id, account, action, personnel_id, state) values (77, 'a', 'b', '1', 'waiting')",
    "insert into items (request_id, account, action, personnel_id, state) values (1, 'a', 'b', '700', 'waiting')",
    "insert into jobs (account, action, state, created_at) values ('a', 'b', 'submitting', 1)",
    "insert into windows (account, opened_at, owner) values ('a', 1, 'q'), ('a', 2, 'q')",
    "insert into worker_lease (id, token, pid, has_lock, renewed_at, started_at) values (2, 0, 0, 1, 0, 0)",
    "insert into accounts (account) values ('default')",
];

/// Columns that are filled in by chance or by the clock.
const BY_CHANCE: [&str; 1] = ["outbox.message_id"];

async fn both() -> Option<(server::Database, SqliteConnection, PgConnection)> {
    let database = server::database().await?;
    let (mut sqlite, mut postgres) = (sqlite().await, database.connect().await);
    sqlite.execute("pragma foreign_keys = on").await.expect("a pragma");
    for statement in HISTORY {
        let done = sqlite.execute(statement).await.map(drop);
        done.unwrap_or_else(|error| panic!("SQLite: {error}: {statement}"));
        let done = postgres.execute(statement).await.map(drop);
        done.unwrap_or_else(|error| panic!("PostgreSQL: {error}: {statement}"));
    }
    Some((database, sqlite, postgres))
}

/// Every table and view, with its columns.
pub(crate) async fn relations(sqlite: &mut SqliteConnection) -> Vec<(String, Vec<String>)> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select r.name, c.name from sqlite_schema r, pragma_table_info(r.name) c
         where r.type in ('table', 'view') and r.name not like 'sqlite_%' and r.name <> '_sqlx_migrations'",
    )
    .fetch_all(sqlite)
    .await
    .expect("reads");
    let mut relations: Vec<(String, Vec<String>)> = Vec::new();
    for (relation, column) in rows {
        if BY_CHANCE.contains(&format!("{relation}.{column}").as_str()) {
            continue;
        }
        match relations.last_mut() {
            Some((name, columns)) if *name == relation => columns.push(column),
            _ => relations.push((relation, vec![column])),
        }
    }
    relations
}

/// All rows of a table or view, as JSON, in an order that is the same on both engines.
pub(crate) async fn rows_of_sqlite(
    sqlite: &mut SqliteConnection,
    relation: &str,
    columns: &[String],
) -> Vec<String> {
    // A text that is JSON would become a part of the object.
    let text =
        |column: &String| format!("'{column}', iif(typeof({column}) = 'text', {column} || '', {column})");
    let pairs: Vec<String> = columns.iter().map(text).collect();
    let text = format!("select json_object({}) from {relation}", pairs.join(", "));
    sorted(sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(sqlite).await.expect("reads"))
}

/// The same.
pub(crate) async fn rows_of_postgres(
    postgres: &mut PgConnection,
    relation: &str,
    columns: &[String],
) -> Vec<String> {
    let pairs: Vec<String> = columns.iter().map(|column| format!("'{column}', {column}")).collect();
    let text = format!("select json_build_object({})::text from {relation}", pairs.join(", "));
    sorted(sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(postgres).await.expect("reads"))
}

fn sorted(texts: Vec<String>) -> Vec<String> {
    let parsed = texts.iter().map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
    let mut rows: Vec<String> = parsed.map(|row| row.to_string()).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn tables_and_views_say_the_same_after_the_same_statements() {
    let Some((_database, mut sqlite, mut postgres)) = both().await else { return };
    let mut filled = 0;
    for (relation, columns) in relations(&mut sqlite).await {
        let theirs = rows_of_sqlite(&mut sqlite, &relation, &columns).await;
        let ours = rows_of_postgres(&mut postgres, &relation, &columns).await;
        assert_eq!(theirs, ours, "{relation}: SQLite, PostgreSQL");
        filled += usize::from(!ours.is_empty());
    }
    assert!(filled >= 26, "{filled} tables and views have rows");
}

#[tokio::test]
async fn what_one_engine_refuses_the_other_refuses() {
    let Some((_database, mut sqlite, mut postgres)) = both().await else { return };
    for statement in REFUSED {
        assert!(sqlite.execute(statement).await.is_err(), "SQLite takes: {statement}");
        assert!(postgres.execute(statement).await.is_err(), "PostgreSQL takes: {statement}");
    }
}

#[tokio::test]
async fn what_is_filled_in_by_default_looks_the_same() {
    let Some((_database, mut sqlite, mut postgres)) = both().await else { return };
    let statement = "insert into inbox (event_id) values ('9') returning created_at";
    let theirs: i64 = sqlx::query_scalar(statement).fetch_one(&mut sqlite).await.expect("inserts");
    let ours: i64 = sqlx::query_scalar(statement).fetch_one(&mut postgres).await.expect("inserts");
    assert!((ours - theirs).abs() < 60_000, "{theirs} and {ours} are Unix milliseconds");
    let statement = "select message_id from outbox order by id limit 1";
    let theirs: String = sqlx::query_scalar(statement).fetch_one(&mut sqlite).await.expect("a message");
    let ours: String = sqlx::query_scalar(statement).fetch_one(&mut postgres).await.expect("a message");
    let is_id = |text: &str| {
        text.strip_prefix("msg_")
            .is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    assert!(is_id(&theirs) && is_id(&ours), "{theirs} {ours}");
}

/// Whatever characters a text has, no index keeps it from being stored.
#[tokio::test]
async fn the_longest_texts_that_are_taken_fit_into_every_index() {
    let Some(database) = server::database().await else { return };
    let mut postgres = database.connect().await;
    // Characters of four bytes, no two alike, so that compression does not make them fit.
    let long: String = (0..1_000).filter_map(|at| char::from_u32(0x2_0000 + at * 37 % 40_000)).collect();
    assert_eq!((long.chars().count(), long.len()), (1_000, 4_000));
    let insert = "insert into requests (id, account, action, event_id, task_id, query, max_pages, reference,
                                        quoted_credits, status, reason, row_digest, created_at, taken_at, finished_at)
                  values (1, left($1, 250), left($1, 250), $1, $1, left($1, 200), 1, $1, 0, 'rejected', $1, 'x', 1, 1, 1)";
    sqlx::query(insert).bind(&long).execute(&mut postgres).await.expect("taken");
    let insert = "insert into inbox (account, action, event_id, task_id, query, reference, dedupe_key)
                  values (left($1, 250), left($1, 250), $1, $1, left($1, 200), $1, left($1, 200))";
    sqlx::query(insert).bind(&long).execute(&mut postgres).await.expect("taken");
    postgres.close().await.expect("closes");
}
