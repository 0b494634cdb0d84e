//! A database of another version: only `run`, under the lease, and `migrate`, without a worker, change its schema.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{Town, postgres, town};

const FIRST_EDITION: &str = include_str!("../fixtures/first-edition.sql");

async fn connect(town: &Town) -> SqliteConnection {
    let path = town.dir.path().join("unlockd.db");
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    options.connect().await.expect("opens")
}

async fn write(town: &Town, sql: &str) {
    let mut connection = connect(town).await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("written");
    connection.close().await.expect("closes");
}

/// The newest step of the schema.
async fn newest_step(town: &Town) -> i64 {
    let sql = "select max(version) from _sqlx_migrations";
    sqlx::query_scalar(sql).fetch_one(&mut connect(town).await).await.expect("readable")
}

/// Its database was written by the first edition; no worker runs.
async fn town_of_the_first_edition() -> Town {
    let town = town().await;
    for name in ["unlockd.db", "unlockd.db-wal", "unlockd.db-shm", "unlockd.db.lock"] {
        let _ = std::fs::remove_file(town.dir.path().join(name));
    }
    let path = town.dir.path().join("unlockd.db");
    write(&town, FIRST_EDITION).await;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
    write(&town, "update worker_lease set pid = 0").await;
    town
}

/// A worker of the older version lives: it renews its lease.
const LIVES: &str = "update worker_lease set pid = 4242, has_lock = 0,
                            renewed_at = cast((julianday('now') - 2440587.5) * 86400000 as integer)";

const COMMANDS: [&[&str]; 21] = [
    &["mcp"],
    &["webhooks", "replay", "--since", "1h"],
    &["requests"],
    &["request", "1"],
    &["jobs", "--json"],
    &["job", "1"],
    &["explain", "1"],
    &["export"],
    &["audit"],
    &["health"],
    &["watch", "--once"],
    &["plan", "--offline", "789"],
    &["enqueue", "789"],
    &["adopt", "321"],
    &["approve", "1", "--credits", "15"],
    &["cancel", "1"],
    &["pause"],
    &["resume"],
    &["resolve", "1", "--write-off"],
    &["balance"],
    &["check", "--offline"],
];

#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_left_alone_by_every_other_command_which_says_what_to_do() {
    if postgres::has_no("first edition") {
        return;
    }
    let town = town_of_the_first_edition().await;
    let before = newest_step(&town).await;
    for command in COMMANDS {
        let said = town.run(command).with_code(4);
        let told = format!("{}{}", said.out, said.err);
        assert!(told.contains("unlockd migrate") && told.contains("older unlockd"), "{command:?}: {told}");
    }
    assert_eq!(newest_step(&town).await, before);
    assert!(town.sandbox.journal().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_of_any_schema_and_changes_none() {
    if postgres::has_no("first edition") {
        return;
    }
    let town = town_of_the_first_edition().await;
    let before = newest_step(&town).await;
    town.ok(&["backup", "copy.db"]);
    assert_eq!(newest_step(&town).await, before);
    // The copy is what the older version reads: going back is putting it in place.
    std::fs::rename(town.dir.path().join("copy.db"), town.dir.path().join("unlockd.db")).expect("moved");
    for beside in ["unlockd.db-wal", "unlockd.db-shm"] {
        let _ = std::fs::remove_file(town.dir.path().join(beside));
    }
    assert_eq!(newest_step(&town).await, before);
    town.ok(&["migrate"]);
    assert!(!town.ok(&["requests", "--json"]).json().as_array().expect("rows").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_waits_for_the_end_of_the_worker_and_then_upgrades_once() {
    if postgres::has_no("first edition") {
        return;
    }
    let town = town_of_the_first_edition().await;
    let before = newest_step(&town).await;
    write(&town, LIVES).await;
    let refused = town.run(&["migrate"]).with_code(4).err;
    assert!(
        refused.contains("worker 4242 is running") && refused.contains("Nothing was changed"),
        "{refused}"
    );
    assert_eq!(newest_step(&town).await, before);
    write(&town, "update worker_lease set pid = 0").await;
    let migrated = town.ok(&["migrate", "--json"]).json();
    assert_eq!((&migrated["migrated"], &migrated["from"]), (&true.into(), &before.into()));
    assert!(newest_step(&town).await > before);
    assert!(town.ok(&["migrate"]).out.contains("nothing was changed"));
    assert!(!town.ok(&["requests", "--json"]).json().as_array().expect("rows").is_empty());
    let free: i64 = sqlx::query_scalar("select pid from worker_lease")
        .fetch_one(&mut connect(&town).await)
        .await
        .expect("readable");
    assert_eq!(free, 0, "the lease was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_standby_waits_for_the_older_worker_and_upgrades_after_it() {
    if postgres::has_no("first edition") {
        return;
    }
    let town = town_of_the_first_edition().await;
    let before = newest_step(&town).await;
    write(&town, LIVES).await;
    let log = town.dir.path().join("log");
    let mut command = super::program(town.dir.path());
    command.arg("run").stderr(std::fs::File::create(&log).expect("a log"));
    let _standby = super::Daemon(command.spawn().expect("it starts"));
    let logged = |text: &str| std::fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    town.until("it waits", || logged("another worker has this database"));
    assert_eq!(newest_step(&town).await, before, "nothing changes under a living worker");
    write(&town, "update worker_lease set pid = 0").await;
    town.until("it works", || logged("started; database lock acquired"));
    assert!(newest_step(&town).await > before);
    town.ok(&["requests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_by_every_command() {
    let town = town().await;
    let step = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                values (99, 'a step of the inbox, from the future', true, '', 0)";
    town.db().await.run(step).await.expect("written");
    for command in COMMANDS.into_iter().chain([&["run", "--until-idle"][..], &["migrate"]]) {
        let said = town.run(command).with_code(4);
        let told = format!("{}{}", said.out, said.err);
        assert!(told.contains("newer unlockd"), "{command:?}: {told}");
    }
    town.db().await.run("delete from _sqlx_migrations where version = 99").await.expect("written");
    town.ok(&["requests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_makes_a_database_where_there_is_none() {
    let town = town().await;
    if postgres::is_chosen() {
        let new = postgres::empty_database().await.expect("a server");
        let empty = town.run(&["--database", new.url(), "requests"]).with_code(3).err;
        assert!(empty.contains("there is no database of unlockd at"), "{empty}");
        assert!(town.ok(&["--database", new.url(), "migrate"]).out.contains("this version's schema"));
        town.ok(&["--database", new.url(), "requests"]);
        return;
    }
    let made = town.dir.path().join("new.db");
    let path = made.to_str().expect("text");
    assert!(town.ok(&["--database", path, "migrate"]).out.contains("this version's schema"));
    town.ok(&["--database", path, "requests"]);
    std::fs::write(town.dir.path().join("empty.db"), "").expect("made");
    std::fs::set_permissions(
        town.dir.path().join("empty.db"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .expect("private");
    let empty = town.run(&["--database", "empty.db", "requests"]).with_code(4).err;
    assert!(empty.contains("no tables yet"), "{empty}");
}
