//! What an ordinary day does to a worker: imports, locks, edits, triggers, logs that nobody reads.

use std::time::Duration;

use fastrand::Rng;
use sqlx::SqliteConnection;

use crate::support::Place;

/// One of them at a time, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ordinary {
    /// 1,200 rows of 250 ids in one transaction; nearly all of them are no ids.
    Import,
    /// A program of somebody else holds the write lock.
    Lock,
    /// The configuration file is emptied, and later written again.
    EmptyConfig,
    /// A trigger of the user's on `inbox` fails.
    Trigger,
    /// Standard error is a pipe that nobody reads. The caller starts the worker anew.
    StuckLog,
    /// A row with a reference of 50 MB.
    LongReference,
}

impl Ordinary {
    pub(super) const ALL: [Ordinary; 6] = [
        Ordinary::Import,
        Ordinary::Lock,
        Ordinary::EmptyConfig,
        Ordinary::Trigger,
        Ordinary::StuckLog,
        Ordinary::LongReference,
    ];
}

const ROWS: u64 = 1_200;
const IDS: u64 = 250;
const LONG: i64 = 50_000_000;

/// Lets it happen, and undoes it.
pub(super) async fn happen(
    what: Ordinary,
    place: &Place,
    connection: &mut SqliteConnection,
    random: &mut Rng,
) {
    let for_a_while = Duration::from_secs(random.u64(5..40));
    match what {
        Ordinary::Import => import(connection, random).await,
        Ordinary::Lock => {
            run(connection, "begin immediate").await;
            tokio::time::sleep(for_a_while).await;
            run(connection, "rollback").await;
        }
        Ordinary::EmptyConfig => {
            let file = place.path("unlockd.toml");
            let whole = std::fs::read_to_string(&file).expect("the configuration");
            std::fs::write(&file, "").expect("it is emptied");
            tokio::time::sleep(for_a_while).await;
            std::fs::write(&file, whole).expect("it is written again");
        }
        Ordinary::Trigger => {
            let trigger =
                "create trigger users_own before update on inbox begin select raise(abort, 'no'); end";
            run(connection, trigger).await;
            tokio::time::sleep(for_a_while).await;
            run(connection, "drop trigger users_own").await;
        }
        Ordinary::LongReference => {
            sqlx::query(
                "insert into inbox (personnel_ids, reference) values ('[\"1\"]', printf('%.*c', ?1, 'x'))",
            )
            .bind(LONG)
            .execute(connection)
            .await
            .expect("a row is inserted");
        }
        Ordinary::StuckLog => tokio::time::sleep(for_a_while).await,
    }
}

async fn import(connection: &mut SqliteConnection, random: &mut Rng) {
    let list = random.u32(..);
    run(connection, "begin immediate").await;
    for row in 0..ROWS {
        let ids: Vec<String> = (0..IDS).map(|id| format!("list {list} line {row}-{id}")).collect();
        sqlx::query("insert into inbox (personnel_ids, reference) values (?1, ?2)")
            .bind(serde_json::json!(ids).to_string())
            .bind(format!("import {list}"))
            .execute(&mut *connection)
            .await
            .expect("a row is inserted");
    }
    run(connection, "commit").await;
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.expect(sql);
}
