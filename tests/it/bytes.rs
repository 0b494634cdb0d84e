//! Erased values are gone from the files, byte for byte.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Executor, SqliteConnection};
use unlockd::domain::outcome::{Outcome, Source};
use unlockd::domain::{ContactValue, JobId, Millis, PersonnelId};
use unlockd::store::erase::Which;
use unlockd::store::{Store, items};
use unlockd::store::{backup, erase as rows};
use unlockd::worker::erase;

const COUNT: u64 = 6_000;

/// Values of different lengths; some of these rows need pages of their own.
fn value_of(id: u64) -> String {
    let long = if id % 1_000 == 7 { "x".repeat(9_000) } else { "x".repeat(id as usize % 23) };
    format!("needle-{id:06}@{long}.example")
}

/// How often the beginning of each value is found in the files of the database.
fn found(database: &Path) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for suffix in ["", "-wal", "-shm"] {
        let bytes = std::fs::read(format!("{}{suffix}", database.display())).unwrap_or_default();
        for (at, _) in bytes.windows(7).enumerate().filter(|(_, window)| window == b"needle-") {
            let digits = bytes.get(at + 7..at + 13).and_then(|digits| std::str::from_utf8(digits).ok());
            // Any part of a value is one too many, whatever contact it belongs to.
            let id = digits.and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
            *found.entry(id).or_default() += 1;
        }
    }
    found
}

/// The ids in an order that is independent of the order of their rows.
fn shuffled() -> Vec<u64> {
    let mut ids: Vec<u64> = (0..COUNT).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut ids);
    ids
}

/// One request for all contacts, one job with all of them; nothing delivered yet.
const ASKED_FOR: &str = "
    insert into requests (id, account, action, max_pages, quoted_credits, status, row_digest, created_at, taken_at)
    values (1, 'default', 'unlock_contact_emails', 1, 0, 'accepted', 'x', 1, 1);
    insert into jobs (id, account, action, task_id, state, next_poll_at, created_at)
    values (1, 'default', 'unlock_contact_emails', 't', 'polling', 1, 1);
    with recursive n(i) as (select 0 union all select i + 1 from n where i < 5999)
    insert into items (request_id, account, action, personnel_id, state, job_id)
    select 1, 'default', 'unlock_contact_emails', i, 'assigned', 1 from n";

async fn deliver(store: &Store, ids: &[u64], now: i64) {
    let outcomes: Vec<(PersonnelId, Outcome)> = ids
        .iter()
        .map(|id| {
            let value = ContactValue::parse(&value_of(*id)).expect("an email");
            (PersonnelId::trusted(id.to_string()), Outcome::Delivered { value, source: Source::Task })
        })
        .collect();
    store
        .write(move |c| {
            Box::pin(async move { items::finish(c, JobId(1), None, &outcomes, Millis(now)).await })
        })
        .await
        .expect("recorded");
}

async fn erase_and_look(store: &Store, which: Which) -> (u64, BTreeMap<u64, usize>) {
    let erased = erase::values(store, &which, || false).await.expect("erased");
    assert!(erased.complete && rows::empty_log(store).await.expect("emptied"));
    (erased.values, found(store.path()))
}

#[tokio::test]
async fn values_that_came_in_any_order_are_erased_without_a_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("unlockd.db"), None).await.expect("opens");
    store
        .write(|c| {
            Box::pin(async move { c.sqlite().execute(ASKED_FOR).await.map(|_| ()).map_err(Into::into) })
        })
        .await
        .expect("asked for");
    let ids = shuffled();
    for (chunk, now) in ids.chunks(97).zip(1..) {
        deliver(&store, chunk, now).await;
    }
    let (none, before) = erase_and_look(&store, Which::DeliveredBefore(Millis(0))).await;
    assert_eq!((none, before.len()), (0, ids.len()));
    assert!(before.values().all(|times| *times == 1), "a value has a second copy");

    // First some persons, then a part by age, then the rest.
    let (persons, others) = ids.split_at(40);
    for id in persons {
        let which = Which::Of(PersonnelId::trusted(id.to_string()));
        assert_eq!(erase::values(&store, &which, || false).await.expect("erased").values, 1, "contact {id}");
    }
    let (_, left) = erase_and_look(&store, Which::DeliveredBefore(Millis(0))).await;
    assert_eq!(left.len(), others.len());
    assert!(persons.iter().all(|id| !left.contains_key(id)), "an erased value is left");
    let half = 30;
    let (_, left) = erase_and_look(&store, Which::DeliveredBefore(Millis(half))).await;
    let young: Vec<u64> = others.iter().copied().skip(97 * (half as usize - 1) - persons.len()).collect();
    assert_eq!(left.len(), young.len());
    assert!(young.iter().all(|id| left.contains_key(id)), "a value that was to stay is gone");
    let (_, left) = erase_and_look(&store, Which::DeliveredBefore(Millis(i64::MAX))).await;
    assert_eq!(left, BTreeMap::new());
    let copy = folder.path().join("copy.db");
    backup::copy(&store, store.path(), &copy, false).await.expect("copied");
    assert_eq!(found(&copy), BTreeMap::new());
}

/// A database of the version before values had their own table.
async fn older_database(path: &Path) {
    let options =
        SqliteConnectOptions::new().filename(path).create_if_missing(true).pragma("secure_delete", "on");
    let options = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
    for (folder, newest) in [("migrations/state", 106), ("migrations/inbox", 1)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut migrator = Migrator::new(folder).await.expect("migrations");
        let known = migrator.iter().filter(|migration| migration.version <= newest).cloned().collect();
        migrator.migrations = Cow::Owned(known);
        migrator.set_ignore_missing(true);
        migrator.run_direct(None, &mut connection, false).await.expect("the older schema");
    }
    connection.execute(ASKED_FOR).await.expect("asked for");
    for id in shuffled() {
        let email = if id % 5 == 0 { None } else { Some(value_of(id)) };
        sqlx::query(
            "update items set state = 'done', outcome = 'delivered', source = 'task', resolved_at = 9, email = ?2
             where personnel_id = ?1",
        )
        .bind(id.to_string())
        .bind(email)
        .execute(&mut connection)
        .await
        .expect("delivered");
    }
    connection.close().await.expect("closes");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
}

#[tokio::test]
async fn an_older_database_keeps_its_values_and_no_copies_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlockd.db");
    older_database(&path).await;
    let store = Store::open(&path, None).await.expect("opens");
    let kept: Vec<(String, Option<String>, String)> = sqlx::query_as(
        "select personnel_id, email, resolved_at from contact_outcomes order by cast(personnel_id as integer)",
    )
    .fetch_all(store.readers().sqlite())
    .await
    .expect("readable");
    let at = "1970-01-01T00:00:00.009Z".to_owned();
    let expected: Vec<_> =
        (0..COUNT).map(|id| (id.to_string(), (id % 5 != 0).then(|| value_of(id)), at.clone())).collect();
    assert!(kept == expected, "a value was lost or changed");
    let broken: Vec<(String,)> = sqlx::query_as("select \"table\" from pragma_foreign_key_check")
        .fetch_all(store.readers().sqlite())
        .await
        .expect("readable");
    assert!(broken.is_empty(), "{broken:?}");

    let (_, left) = erase_and_look(&store, Which::DeliveredBefore(Millis(0))).await;
    assert_eq!(left.len() as u64, COUNT - COUNT / 5);
    assert!(
        left.values().all(|times| *times == 1),
        "copies are left of {:?}",
        left.iter().find(|(_, n)| **n > 1)
    );
    let (erased, left) = erase_and_look(&store, Which::DeliveredBefore(Millis(10))).await;
    assert_eq!((erased, left), (COUNT - COUNT / 5, BTreeMap::new()));
}
