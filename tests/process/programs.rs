//! What other programs and people on the same machine do to a running worker's files.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::{Town, hostile};

/// Programs, and rows that each of them writes one by one. A report: some lost rows with timeouts of some seconds.
const PROGRAMS: u32 = 8;
const ROWS: u32 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn eight_programs_that_insert_at_once_lose_no_row_and_the_worker_takes_all() {
    let town = Town::new(hostile()).await;
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    let programs = (0..PROGRAMS).map(|program| {
        // As the handbook says: 30 s.
        let options = SqliteConnectOptions::new().filename(town.path("unlockd.db"));
        let options = options.busy_timeout(Duration::from_secs(30));
        tokio::spawn(async move {
            let mut connection = SqliteConnection::connect_with(&options).await?;
            for row in 0..ROWS {
                let contact = 5_000_000 + 100 * (program * ROWS + row);
                let insert = format!(
                    "insert into inbox (event_id, personnel_ids, dedupe_key)
                     values ('139574', '[\"{contact}\"]', 'program-{program}-{row}')"
                );
                connection.execute(AssertSqlSafe(insert)).await?;
            }
            connection.close().await
        })
    });
    for program in programs.collect::<Vec<_>>() {
        program.await.expect("it runs").expect("no row of it is refused");
    }
    let all = i64::from(PROGRAMS * ROWS);
    town.until("select count(*) from requests where status = 'done'", all).await;
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
    let twice = town.sandbox.accounting().charges.values().filter(|charge| charge.times != 1).count();
    assert_eq!(twice, 0, "{}", town.log());
}

/// A report: two lock files, and 78 takeovers in 12 s.
#[tokio::test(flavor = "multi_thread")]
async fn one_database_by_two_names_and_without_its_lock_file_has_one_worker() {
    let town = Town::new(hostile()).await;
    std::os::unix::fs::symlink(town.path("unlockd.db"), town.path("other.db")).expect("a second name");
    let mut first = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    let mut second = town.start_by_name("other.db");
    town.until_logged("another worker").await;
    std::fs::remove_file(town.path("unlockd.db.lock")).expect("a person removes it");
    town.insert(100..110).await;
    town.until("select count(*) from requests where status = 'done'", 1).await;
    // Both had time to look at the lock again.
    let later =
        "select count(*) from worker_lease where renewed_at > (select max(finished_at) + 5000 from requests)";
    town.until(later, 1).await;
    let holder = town.number("select pid from worker_lease").await;
    assert_eq!((town.number("select token from worker_lease").await, holder), (2, i64::from(first.id())));
    for worker in [&mut first, &mut second] {
        assert!(worker.try_wait().expect("ours").is_none(), "it has ended\n{}", town.log());
        worker.kill().expect("it is there");
        worker.wait().expect("it is dead");
    }
    town.assert_paid_once_and_delivered(100..110, "two names").await;
}
