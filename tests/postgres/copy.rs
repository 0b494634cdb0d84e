//! `unlockd copy`, both ways: all of it or nothing, and never two databases that can buy.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use unlockd::store::Store;

use crate::effects::{HISTORY, relations, rows_of_postgres, rows_of_sqlite};
use crate::server::{self, Database};

/// What tells of a database itself, and of its present worker.
const LEFT_OUT: [&str; 8] =
    ["worker_lease", "inbox_worker", "inbox_faults", "served_inbox", "moved", "engine", "owners", "workers"];

fn unlockd(database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unlockd"));
    command
        .env_clear()
        .envs([
            ("UNLOCKD_HTTP__LISTEN", ""),
            ("LENSMOR_API_KEY", "uak_test"),
            ("UNLOCKD_API__BASE_URL", "http://127.0.0.1:9"),
        ])
        .args(["--database", database])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn run(database: &str, arguments: &[&str]) -> Output {
    unlockd(database, arguments).output().expect("it starts")
}

fn assert_code(output: &Output, code: i32, says: &str) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says), "{text}");
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.expect("opens")
}

/// A database of SQLite in which everything has happened, and what no row may lose.
async fn filled(path: &Path) {
    drop(Store::open(path, None).await.expect("opens"));
    let mut sqlite = connect(path).await;
    for statement in HISTORY {
        sqlite.execute(statement).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    for statement in [
        // Counters that are ahead of the highest id.
        "insert into inbox (id) values (5000); delete from inbox where id = 5000",
        "insert into recent_calls (account, sent_at) values ('default', 9223372036854775807)",
        "insert into prices (account, action, credits, seen_at) values ('default', 'b', 1, 1), ('default', 'a', 2, 1)",
        "insert into exceeded_prices (owner, action, times) values ('default', 'a', 1)",
        "insert into caller_credits (caller, at, credits) values ('crm', 1, 2)",
        "insert into address_limit (host, held_until) values ('', 5)",
        "insert into inbox (id, reference) values (-7, 'kept under its id with a minus sign')",
        "update requests set query = 'quote\" backslash\\ line
             tab\t' where id = 4",
    ] {
        sqlite.execute(statement).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    sqlite.close().await.expect("closes");
}

async fn assert_same(path: &Path, postgres: &mut PgConnection) {
    let mut sqlite = connect(path).await;
    for (relation, columns) in relations(&mut sqlite).await {
        if !LEFT_OUT.contains(&relation.as_str()) {
            let theirs = rows_of_sqlite(&mut sqlite, &relation, &columns).await;
            assert!(!theirs.is_empty(), "{relation}: a table without rows shows nothing");
            assert_eq!(theirs, rows_of_postgres(postgres, &relation, &columns).await, "{relation}");
        }
    }
}

async fn count(postgres: &mut PgConnection, table: &str) -> i64 {
    let count = AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(count).fetch_one(postgres).await.expect("reads")
}

#[tokio::test]
async fn everything_goes_there_and_back() {
    let Some(database) = server::empty_database().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (first, last) = (folder.path().join("first.db"), folder.path().join("last.db"));
    let [first_name, last_name] = [&first, &last].map(|path| path.to_str().expect("a name").to_owned());
    filled(&first).await;

    let copied = run(&first_name, &["copy", database.url()]);
    assert_code(&copied, 0, "30 credits booked");
    let mut postgres = database.connect().await;
    assert_same(&first, &mut postgres).await;

    // The source takes no rows, starts no worker, and can still be read and erased.
    let mut sqlite = connect(&first).await;
    assert!(sqlite.execute("insert into inbox (personnel_ids) values ('[1]')").await.is_err());
    for arguments in [&["run", "--until-idle"][..], &["requests"], &["cancel", "2"], &["enqueue", "1"]] {
        assert_code(&run(&first_name, arguments), 4, database.url());
    }
    assert_code(&run(&first_name, &["export"]), 0, "");
    assert_code(&run(&first_name, &["copy", database.url()]), 4, "was copied to");
    assert_code(&run(&first_name, &["copy", "postgres://127.0.0.1/other"]), 1, "");

    // Ids go on where they were, and triggers work again.
    let id: i64 = sqlx::query_scalar("insert into inbox (status) values ('done') returning id")
        .fetch_one(&mut postgres)
        .await
        .expect("a row");
    assert_eq!(id, 5001);
    assert_eq!(count(&mut postgres, "inbox_written where id = 5001").await, 1);
    let next = "insert into items (request_id, account, action, personnel_id, state)
                values (1, 'default', 'unlock_contact_emails', '799', 'waiting') returning id";
    assert_eq!(sqlx::query_scalar::<_, i64>(next).fetch_one(&mut postgres).await.expect("a row"), 9);

    assert_code(&run(database.url(), &["copy", &last_name]), 0, "is closed");
    assert_same(&last, &mut postgres).await;
    assert!(postgres.execute("insert into inbox (personnel_ids) values ('[1]')").await.is_err());
    let mut sqlite = connect(&last).await;
    let id: i64 = sqlx::query_scalar("insert into inbox (status) values ('done') returning id")
        .fetch_one(&mut sqlite)
        .await
        .expect("a row");
    assert_eq!(id, 5002);
    let written: i64 = sqlx::query_scalar("select count(*) from inbox_written where id = 5002")
        .fetch_one(&mut sqlite)
        .await
        .expect("reads");
    assert_eq!(written, 1, "its triggers were made again");
}

#[tokio::test]
async fn what_postgres_cannot_store_is_left_out_and_said() {
    let Some(database) = server::empty_database().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlockd.db");
    let name = path.to_str().expect("a name");
    filled(&path).await;
    let mut sqlite = connect(&path).await;
    let odd =
        "insert into inbox (id, reference) values (60, 'a' || char(0) || 'b'), (61, cast(x'61ff62' as text))";
    sqlite.execute(odd).await.expect("rows of another program");
    sqlite.close().await.expect("closes");
    assert_code(&run(name, &["copy", database.url()]), 0, "2 rows had a character");
    let kept: Vec<String> =
        sqlx::query_scalar("select reference from inbox where id in (60, 61) order by id")
            .fetch_all(&mut database.connect().await)
            .await
            .expect("reads");
    assert_eq!(kept, ["ab", "a\u{fffd}b"]);
}

#[tokio::test]
async fn a_copy_that_cannot_be_made_changes_nothing() {
    let Some(database) = server::database().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlockd.db");
    let name = path.to_str().expect("a name");
    filled(&path).await;
    let mut postgres = database.connect().await;
    postgres
        .execute("insert into prices (account, action, credits, seen_at) values ('a', 'b', 1, 1)")
        .await
        .expect("a row");
    assert_code(&run(name, &["copy", database.url()]), 4, "is not empty");
    postgres.execute("delete from prices").await.expect("deletes");

    let other = folder.path().join("other.db");
    assert_code(&run(name, &["copy", other.to_str().expect("a name")]), 4, "pg_dump");
    assert!(!other.exists());

    let mut sqlite = connect(&path).await;
    let running = "update worker_lease set pid = 1, has_lock = 0, token = 1,
                   renewed_at = cast((julianday('now') - 2440587.5) * 86400000 as integer)";
    sqlite.execute(running).await.expect("a lease");
    assert_code(&run(name, &["copy", database.url()]), 4, "worker 1 is running");
    sqlite.execute("update worker_lease set pid = 0").await.expect("given back");
    // A worker has used it, and the file that says how far is not there.
    std::fs::remove_file(folder.path().join("unlockd.db.lock")).expect("was made beside it");
    assert_code(&run(name, &["copy", database.url()]), 4, "older copy");
    sqlite.execute("update worker_lease set token = 0").await.expect("new");
    sqlite.execute("insert into inbox (personnel_ids) values ('[1]')").await.expect("it is open");
    assert_eq!(count(&mut postgres, "requests").await, 0);
    sqlite.close().await.expect("closes");
    assert_code(&run(name, &["copy", database.url()]), 0, "is closed");
}

/// The session of the program that waits for a lock.
async fn waiting(postgres: &mut PgConnection) -> i32 {
    loop {
        let waiting = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        if let Some(pid) = sqlx::query_scalar(waiting).fetch_optional(&mut *postgres).await.expect("reads") {
            return pid;
        }
        tokio::task::yield_now().await;
    }
}

async fn wait_for_the_end(postgres: &mut PgConnection, pid: i32) {
    let there = "select exists (select 1 from pg_stat_activity where pid = $1)";
    while sqlx::query_scalar(there).bind(pid).fetch_one(&mut *postgres).await.expect("reads") {
        tokio::task::yield_now().await;
    }
}

fn kill(mut child: Child) {
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[tokio::test]
async fn killed_while_it_copies_it_has_changed_nothing_and_begins_again() {
    let Some(database) = server::database().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlockd.db");
    let name = path.to_str().expect("a name");
    filled(&path).await;
    let (mut postgres, mut blocker) = (database.connect().await, database.connect().await);
    // At its first rows, in the middle, at its last ones.
    for table in ["recent_calls", "figures", "inbox_written"] {
        blocker
            .execute(AssertSqlSafe(format!("begin; lock table {table} in share mode")))
            .await
            .expect("a lock");
        let copying =
            unlockd(name, &["copy", database.url()]).stderr(Stdio::null()).spawn().expect("it starts");
        let pid = waiting(&mut postgres).await;
        kill(copying);
        blocker.execute("rollback").await.expect("gives it back");
        wait_for_the_end(&mut postgres, pid).await;
        for table in ["accounts", "items", "ledger", "inbox"] {
            assert_eq!(count(&mut postgres, table).await, 0, "{table}");
        }
        assert_open(&path).await;
    }
    assert_code(&run(name, &["copy", database.url()]), 0, "is closed");
    assert_same(&path, &mut postgres).await;
}

/// It takes rows, and its lease can be had by the next worker.
async fn assert_open(path: &Path) {
    let mut sqlite = connect(path).await;
    let moved: i64 =
        sqlx::query_scalar("select count(*) from moved").fetch_one(&mut sqlite).await.expect("reads");
    assert_eq!(moved, 0);
    sqlite.execute("insert into inbox (id, personnel_ids) values (777, '[1]')").await.expect("it is open");
    sqlite.execute("delete from inbox where id = 777").await.expect("deletes");
}

/// The source's commit came through, and the target's did not.
#[tokio::test]
async fn killed_between_the_two_commits_it_does_it_again_and_for_no_other_target() {
    let Some(database) = server::empty_database().await else { return };
    let Some(other) = server::empty_database().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlockd.db");
    let name = path.to_str().expect("a name");
    filled(&path).await;
    assert_code(&run(name, &["copy", database.url()]), 0, "is closed");
    anew(&database).await;
    assert_code(&run(name, &["copy", other.url()]), 4, "two databases");
    assert_code(&run(name, &["copy", database.url()]), 0, "is closed");
    assert_same(&path, &mut database.connect().await).await;
}

/// As after a rollback: empty.
async fn anew(database: &Database) {
    let mut connection = database.connect().await;
    connection.execute("drop schema public cascade; create schema public").await.expect("an owner");
}

#[tokio::test]
async fn migrate_says_whether_it_made_the_tables() {
    let Some(database) = server::empty_database().await else { return };
    assert_code(&run(database.url(), &["migrate"]), 0, "made, with this version's schema");
    assert_code(&run(database.url(), &["migrate"]), 0, "nothing was changed");
}
