//! Workers that share a database: one for each owner, and whoever lost one cannot write.

use std::path::Path;

use sqlx::{AssertSqlSafe, Executor};
use unlockd::domain::Millis;
use unlockd::store::lease::{self, Lease, Terms};
use unlockd::store::postgres::members::{self, HOUSEKEEPING, Member};
use unlockd::store::{Store, StoreError};

use crate::server::{self, Database};

/// A worker, as far as the database knows it.
struct Worker {
    store: Store,
    lease: Lease,
}

impl Worker {
    async fn join(database: &Database, host: &str) -> Worker {
        let store = Store::open(Path::new(database.url()), None).await.expect("opens");
        let terms = Terms { host: host.to_owned(), lease_ms: 60_000 };
        let lease = lease::try_join(&store, &terms, Millis(0)).await.expect("readable");
        Worker { store, lease: lease.expect("workers share it") }
    }

    fn member(&self) -> &Member {
        self.lease.member.as_ref().expect("it shares the database")
    }

    async fn takes(&self, owner: &str) -> bool {
        self.member().take(&self.store, owner).await.expect("asked").is_some()
    }

    async fn writes(&self) -> Result<(), StoreError> {
        self.store.write(|_| Box::pin(async { Ok(()) })).await
    }
}

async fn run(database: &Database, sql: &str) {
    database.connect().await.execute(AssertSqlSafe(sql.to_owned())).await.expect(sql);
}

async fn with_owner() -> Option<Database> {
    let database = server::database().await?;
    run(&database, "insert into accounts (account, owner) values ('a', 'acme')").await;
    Some(database)
}

#[tokio::test]
async fn an_owner_has_one_worker_and_one_that_lost_it_writes_nothing_any_more() {
    let Some(database) = with_owner().await else { return };
    let (one, other) = (Worker::join(&database, "h1").await, Worker::join(&database, "h2").await);
    members::keep_rows(&one.store).await.expect("rows");
    assert!(one.takes("acme").await && !other.takes("acme").await, "one at a time");
    assert!(other.takes(HOUSEKEEPING).await && !one.takes(HOUSEKEEPING).await);
    let seen = members::read(&one.store).await.expect("readable").expect("shared");
    let hosts: Vec<_> = seen.owners.iter().map(|row| (row.title(), row.host.clone())).collect();
    assert_eq!(
        hosts,
        [("(inbox)".to_owned(), Some("h2".to_owned())), ("acme".to_owned(), Some("h1".to_owned()))]
    );

    one.member().renew(&one.store, &["acme".to_owned()]).await.expect("renewed");
    one.writes().await.expect("it holds the owner");
    // Its lease runs out while it is stopped.
    run(&database, "update owners set expires_at = 0 where owner = 'acme'").await;
    one.writes().await.expect("nobody else has it yet");
    assert!(other.takes("acme").await);
    let refused = one.writes().await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    other.writes().await.expect("the others go on");
}

#[tokio::test]
async fn what_is_given_back_may_be_taken_at_once_and_the_epoch_counts_on() {
    let Some(database) = with_owner().await else { return };
    let (one, other) = (Worker::join(&database, "h1").await, Worker::join(&database, "h1").await);
    members::keep_rows(&one.store).await.expect("rows");
    assert!(one.takes("acme").await);
    one.member().give_back(&one.store, "acme").await.expect("given back");
    one.writes().await.expect("it misses nothing");
    assert!(other.takes("acme").await && one.store.ownership().owners().is_empty());
    let Worker { store, lease } = other;
    lease.release(&store, Millis(0)).await.expect("left");
    assert!(one.takes("acme").await, "a clean stop gives everything back");
    let epoch = "select epoch from owners where owner = 'acme'";
    let epoch: i64 = sqlx::query_scalar(epoch).fetch_one(&mut database.connect().await).await.expect("a row");
    assert_eq!(epoch, 3);
}

/// A change of the schema, and a copy, need that nobody works.
#[tokio::test]
async fn a_command_has_the_database_alone_only_when_no_worker_lives() {
    let Some(database) = with_owner().await else { return };
    let worker = Worker::join(&database, "h1").await;
    let command = Store::open(Path::new(database.url()), None).await.expect("opens");
    assert!(lease::try_take(&command, Millis(0)).await.expect("readable").is_err());
    worker.lease.release(&worker.store, Millis(0)).await.expect("left");
    let alone = lease::try_take(&command, Millis(0)).await.expect("readable").expect("nobody works");
    let terms = Terms { host: "h1".to_owned(), lease_ms: 60_000 };
    let next = Store::open(Path::new(database.url()), None).await.expect("opens");
    let late = lease::try_join(&next, &terms, Millis(0)).await.expect("readable");
    assert!(late.is_err(), "a worker waits for it");
    alone.release(&command, Millis(0)).await.expect("released");
    assert!(lease::try_join(&next, &terms, Millis(0)).await.expect("readable").is_ok());
}

#[tokio::test]
async fn no_call_is_made_before_the_first_renewal_and_none_past_the_deadline() {
    let Some(database) = with_owner().await else { return };
    let worker = Worker::join(&database, "h1").await;
    let ownership = worker.store.ownership();
    assert!(!ownership.has_time(1_000, 0), "it has not renewed yet");
    worker.member().renew(&worker.store, &[]).await.expect("renewed");
    ownership.renewed(1_000, worker.member().lease_ms);
    assert!(ownership.has_time(31_000, 30_000) && !ownership.has_time(31_001, 30_000), "a paid call of 30 s");
    assert!(ownership.has_time(61_000, 0) && !ownership.has_time(61_001, 0), "a free one");
}
