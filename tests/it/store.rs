//! The database: what it refuses, how writes are guarded, and who may write.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use unlockd::domain::booking::Booking;
use unlockd::domain::key_retry::{RefusedKey, Why};
use unlockd::domain::{AccountId, Credits, JobId, Millis, RequestId};
use unlockd::store::credits::booking;
use unlockd::store::lease;
use unlockd::store::requests::unsent;
use unlockd::store::{Store, StoreError, accounts, address, inbox, jobs, rate, timeline};
use unlockd::worker::people::decide::{self, Refusal};

use crate::support::{Setup, Town};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("exists").permissions().mode() & 0o777
}

#[tokio::test]
async fn files_are_private_and_a_shared_inbox_is_open_to_its_group_only() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Setup { inbox_apart: true, ..Setup::default() }.build().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    for name in ["unlockd.db", "unlockd.db-wal", "unlockd.db-shm"] {
        assert_eq!(mode(&town.dir.path().join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&town.dir.path().join("inbox.db")), 0o660);
    let tables: Vec<(String,)> = town.all("select name from sqlite_master where name = 'inbox'").await;
    assert!(tables.is_empty(), "the inbox is in both files");
    town.check().await;
}

/// Hosts that share a database have one address each.
#[tokio::test]
async fn what_a_429_has_shown_to_one_host_holds_up_no_other() {
    let town = Town::new().await;
    let (store, now) = (town.store(), town.clock.now());
    let read = async |host| address::read(store.readers(), (600, host), now).await.expect("read");
    for (host, pause_ms) in [(Some("a"), 30_000), (None, 9_000)] {
        let mut known = read(host).await;
        known.refused(now, pause_ms, now);
        let save = store.write(move |tx| Box::pin(async move { address::save(tx, &known, host).await }));
        save.await.expect("saved");
    }
    let mut held_ms = Vec::new();
    for host in [Some("a"), None, Some("b")] {
        held_ms.push(read(host).await.held_until().map(|until| until.since(now)));
    }
    assert_eq!(held_ms, [Some(30_000), Some(9_000), None]);
    assert_eq!(address::held_until(store.readers(), now).await.expect("read"), Some(now.plus(30_000)));
    town.check().await;
}

#[tokio::test]
async fn a_database_that_others_can_read_is_refused_with_the_fix() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Town::new().await;
    town.kill();
    let path = town.database();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let error = Store::open(&path, None).await.err().expect("refused").to_string();
    assert!(error.contains("chmod 600"), "{error}");
    // A group may read it, as a program for reports does.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
    town.start().await;
    town.check().await;
}

#[tokio::test]
async fn every_commit_is_synced() {
    if crate::support::is_on_postgres() {
        return;
    }
    let town = Town::new().await;
    let (journal, synchronous): (String, i64) = town
        .store()
        .write(|connection| {
            Box::pin(async move {
                let journal =
                    sqlx::query_scalar("pragma journal_mode").fetch_one(connection.sqlite()).await?;
                let full = sqlx::query_scalar("pragma synchronous").fetch_one(connection.sqlite()).await?;
                Ok((journal, full))
            })
        })
        .await
        .expect("readable");
    assert_eq!((journal.as_str(), synchronous), ("wal", 2));
    town.check().await;
}

/// Alone in its transaction, and beside other work.
#[tokio::test]
async fn work_that_fails_undoes_all_that_it_has_written_and_nothing_else() {
    let mut town = Town::new().await;
    let id = town.insert(None, &["101"]).await;
    town.finish_all().await;
    let store = town.store().clone();
    let write = |event: &'static str, fails: bool| {
        store.write(move |tx| {
            Box::pin(async move {
                timeline::of_request(tx, Millis(1), RequestId(id), event, "of a test").await?;
                if fails { Err(StoreError::Stale { what: "a test" }) } else { Ok(()) }
            })
        })
    };
    let alone = write("alone", true).await;
    assert!(matches!(alone, Err(StoreError::Stale { .. })), "{alone:?}");
    // The first one is alone while the others come together behind it.
    let (first, failed, last) =
        tokio::join!(write("first", false), write("failed", true), write("last", false));
    assert!(matches!((first, failed, last), (Ok(()), Err(StoreError::Stale { .. }), Ok(()))));
    let events: Vec<(String,)> =
        town.all("select event from request_events where detail = 'of a test' order by id").await;
    assert_eq!(events, [("first".to_owned(),), ("last".to_owned(),)]);
    town.check().await;
}

#[tokio::test]
async fn the_schema_of_a_newer_program_is_refused() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Town::new().await;
    town.meddle(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', 1, x'00', 0)",
    )
    .await
    .expect("written");
    town.kill();
    let error = Store::open(&town.database(), None).await.err().expect("refused").to_string();
    assert!(error.contains("newer unlockd"), "{error}");
    town.meddle("delete from _sqlx_migrations where version = 9999").await.expect("written");
    town.start().await;
    town.check().await;
}

#[tokio::test]
async fn a_decision_on_an_older_reading_of_a_job_changes_nothing() {
    let mut town = Setup::default().config("POLLING__GIVE_UP_AFTER", "1m").build().await;
    town.insert(Some("7"), &["101"]).await;
    town.insert(Some("1999"), &["201"]).await;
    town.settle().await;
    let before: Vec<(i64, i64, Option<i64>)> =
        town.all("select id, version, next_poll_at from jobs order by id").await;
    let job =
        jobs::read(town.store().readers(), unlockd::domain::JobId(1)).await.expect("read").expect("there");
    let save = |job: jobs::Job| {
        let store = town.store().clone();
        async move { store.write(move |c| Box::pin(async move { jobs::save(c, &job).await })).await }
    };
    save(job.clone()).await.expect("the first one wins");
    let late = save(job).await;
    assert!(matches!(late, Err(StoreError::Stale { .. })), "{late:?}");
    let after: Vec<(i64, i64, Option<i64>)> =
        town.all("select id, version, next_poll_at from jobs order by id").await;
    assert_eq!(after[0], (1, before[0].1 + 1, before[0].2));
    assert_eq!(after[1], before[1], "the innocent one");
    town.finish().await;
    town.check().await;
}

#[tokio::test]
async fn an_account_never_changes_with_another() {
    let town = Town::new().await;
    let (one, two) = (AccountId::trusted("default"), AccountId::trusted("emea"));
    let accounts = [one.clone(), two.clone()];
    let now = town.clock.now();
    town.store()
        .write(move |c| {
            Box::pin(async move {
                for account in &accounts {
                    rate::book_call(&mut *c, account, now, 60_000, None).await?;
                    accounts::set_paused(&mut *c, account, None).await?;
                }
                accounts::set_paused(&mut *c, &accounts[0], Some(now)).await?;
                accounts::set_refused_key(
                    &mut *c,
                    &accounts[0],
                    Some(&RefusedKey { fingerprint: "abcd".to_owned(), at: now, why: Why::default() }),
                )
                .await?;
                rate::book_call(c, &accounts[0], now.plus(150_000), 60_000, None).await
            })
        })
        .await
        .expect("written");
    let read = |account| accounts::read(town.store().readers(), account);
    assert_eq!(read(&one).await.expect("read").paused_at, Some(now.0));
    let mut other = read(&two).await.expect("read");
    assert_eq!(other.owner.take().as_deref(), Some("emea"));
    assert_eq!(other, accounts::AccountRow::default());
    let mut town = town;
    let calls: Vec<(String, i64)> =
        town.all("select account, count(*) from recent_calls group by 1 order by 1").await;
    assert_eq!(calls, [("default".to_owned(), 1), ("emea".to_owned(), 1)]);
    town.check().await;
}

#[tokio::test]
async fn a_request_is_approved_or_cancelled_alone() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "1").build().await;
    for id in ["101", "102", "103"] {
        town.insert(None, &[id]).await;
    }
    town.settle().await;
    town.approve(1).await;
    town.cancel(2).await;
    let rows: Vec<(i64, String)> = town.all("select id, status from requests order by id").await;
    let expected = [(1, "accepted"), (2, "cancelled"), (3, "awaiting_approval")];
    assert_eq!(rows, expected.map(|(id, status)| (id, status.to_owned())));
    let again = town
        .store()
        .write(|c| Box::pin(async move { unsent::approve(c, RequestId(2), Credits(15), Millis(1)).await }))
        .await;
    assert!(matches!(again, Err(StoreError::Stale { .. })), "{again:?}");
    town.finish().await;
    town.check().await;
}

#[tokio::test]
async fn an_approval_covers_only_the_figure_that_was_shown() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "1").build().await;
    let (asked, innocent) = (town.insert(None, &["101"]).await, town.insert(None, &["102"]).await);
    let now = town.clock.now();
    let approve = |town: &Town, id, credits| {
        let store = town.store().clone();
        async move { decide::approve(&store, RequestId(id), Credits(credits), now).await }
    };
    let early = approve(&town, asked, 15).await;
    assert!(matches!(early, Err(Refusal::NotEstimated { .. })), "{early:?}");
    town.settle().await;
    let other = approve(&town, asked, 14).await;
    assert!(matches!(other, Err(Refusal::AnotherQuote { quoted: Credits(15), .. })), "{other:?}");
    assert!(matches!(approve(&town, 9, 15).await, Err(Refusal::Missing { .. })));
    assert_eq!(town.inbox(asked).await.0, "awaiting_approval");
    approve(&town, asked, 15).await.expect("approved");
    let twice = approve(&town, asked, 15).await;
    assert!(matches!(twice, Err(Refusal::NotAwaiting { .. })), "{twice:?}");
    town.finish().await;
    assert_eq!(
        (town.status(asked).await, town.status(innocent).await),
        ("done".into(), "awaiting_approval".into())
    );
    assert_eq!(town.sandbox.accounting().charged_total, 15);
    town.check().await;
}

#[tokio::test]
async fn impossible_rows_are_refused() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    for sql in [
        "update jobs set state = 'unheard_of'",
        "update jobs set state = 'polling'",
        "update jobs set finished_at = null",
        "update jobs set state = 'in_doubt', finished_at = null",
        "update jobs set state = 'queued', finished_at = null, state_reason = 'mood'",
        "update jobs set poll_count = 'three'",
        "update items set outcome = 'pending'",
        "update items set outcome = 'failed'",
        "update items set source = null",
        "update items set state = 'reading'",
        "update items set state_reason = 'unlocking', reason_since = 1",
        "update items set state = 'waiting', outcome = 'pending', source = null, resolved_at = null",
        "update items set job_id = 4711",
        "update requests set status = 'accepted'",
        "update requests set status = 'rejected'",
        "update attempts set result = null",
        "update windows set verdict = null",
        "update windows set verdict = 'fine'",
        "update ledger set credits = 0",
        "delete from ledger",
        "insert into ledger (at, account, job_id, entry, credits) values (1, 'default', 1, 'charge', -5)",
        "insert into ledger (at, account, job_id, entry, credits) values (1, 'default', 99, 'charge', 5)",
        "update request_events set detail = 'nothing happened'",
        "insert into worker_lease (id, token, pid, has_lock, renewed_at, started_at) values (2, 1, 1, 1, 1, 1)",
        "insert into inbox (status) values ('paid')",
        "insert into prices (account, action, credits, seen_at) values ('default', 'x', 0, 1)",
    ] {
        assert!(town.meddle(sql).await.is_err(), "taken: {sql}");
    }
    town.check().await;
}

#[tokio::test]
async fn only_one_worker_works_and_a_replaced_one_cannot_write() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Town::new().await;
    let path = town.database();
    let second = Store::open(&path, None).await.expect("opens");
    let now = town.clock.now();
    let refused = lease::try_take(&second, now).await.expect("readable");
    assert!(refused.is_err(), "the first one lives");
    let almost = now.plus(lease::EXPIRES_AFTER_MS - 1);
    assert!(lease::try_take(&second, almost).await.expect("readable").is_err());

    // It was stopped for long enough (it still holds the file lock), and is replaced.
    let taken = lease::try_take(&second, now.plus(lease::EXPIRES_AFTER_MS)).await.expect("readable");
    let mut new = taken.expect("the lease has expired");
    const { assert!(lease::EXPIRES_AFTER_MS < 30_000, "promise 7") };

    town.insert(None, &["101"]).await;
    let late = unlockd::worker::run::driver::step(town.deps()).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(town.sandbox.journal().len(), 0, "it spends nothing");
    new.renew(&second, now.plus(25_000)).await.expect("the new one writes");
    drop((new, second));
    town.kill();
    town.start().await;
    town.finish_all().await;
    town.check().await;
}

#[tokio::test]
async fn the_inbox_shows_what_became_of_a_row_even_when_a_crash_fell_in_between() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Setup { inbox_apart: true, ..Setup::default() }.build().await;
    let request = town.insert(None, &["101"]).await;
    let other = town.insert(None, &["201"]).await;
    town.finish_all().await;
    town.user(format!("update inbox set status = 'new', finished_at = null where id = {request}")).await;
    town.restart().await;
    town.finish_all().await;
    assert_eq!((town.status(request).await, town.status(other).await), ("done".into(), "done".into()));
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

/// As when a command brings the inbox up to date at the same time as the worker.
#[tokio::test]
async fn an_older_status_that_is_shown_late_does_not_stay_in_the_inbox() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Setup { inbox_apart: true, ..Setup::default() }.build().await;
    let request = town.insert(None, &["101"]).await;
    let _ = unlockd::worker::intake::run(town.deps()).await.expect("well");
    town.meddle("update requests set inbox_is_behind = 1").await.expect("changed");
    let read_early = inbox::behind(town.store(), 10).await.expect("readable");
    assert_eq!(read_early.len(), 1);
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    inbox::bring_up(town.store(), &read_early).await.expect("shown");
    assert_eq!(town.status(request).await, "accepted", "for a moment");
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

#[tokio::test]
async fn what_other_programs_commit_is_noticed() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Setup { inbox_apart: true, ..Setup::default() }.build().await;
    let before = inbox::probe(town.store()).await.expect("readable");
    town.user("insert into inbox (personnel_ids) values ('[101]')").await;
    let after_insert = inbox::probe(town.store()).await.expect("readable");
    assert_ne!(before, after_insert);
    town.finish_all().await;
    town.check().await;
}

#[tokio::test]
async fn a_hold_is_released_once_however_often_it_is_asked_for() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.settle().await;
    for _ in 0..3 {
        let job = jobs::read(town.store().readers(), JobId(1)).await.expect("readable").expect("a job");
        let release = Booking { release_hold: true, ..Booking::default() };
        town.store()
            .write(move |c| {
                Box::pin(async move { booking::write(c, &mut { job }, &release, Millis(1)).await })
            })
            .await
            .expect("written");
    }
    assert_eq!(town.number("select count(*) from ledger where entry = 'release'").await, 1);
    town.finish_all().await;
    town.check().await;
}

/// From a job of an older version, or from an answer of the API: sums do not overflow, and later bookings
/// work.
#[tokio::test]
async fn an_absurd_figure_is_booked_within_bounds_and_stops_no_later_booking() {
    let mut town = Town::new().await;
    let request = town.insert(None, &["101"]).await;
    town.finish_all().await;
    let absurd = Booking {
        charge: Credits(i64::MAX),
        shares: vec![(RequestId(request), Credits(i64::MAX))],
        ..Booking::default()
    };
    for _ in 0..3 {
        let job = jobs::read(town.store().readers(), JobId(1)).await.expect("readable").expect("a job");
        let absurd = absurd.clone();
        town.store()
            .write(move |c| {
                Box::pin(async move { booking::write(c, &mut { job }, &absurd, Millis(1)).await })
            })
            .await
            .expect("written");
    }
    let charged = town.number("select sum(credits) from ledger where entry = 'charge'").await;
    let shared = town.number("select committed_credits from requests").await;
    assert_eq!((charged, shared), (15 + 3 * Credits::MOST.0, 15 + 3 * Credits::MOST.0));
    town.insert(None, &["102"]).await;
    // Nothing is left of the balance that was read before them; the next one is.
    town.tick(60_000).await;
    town.finish_all().await;
    assert_eq!(
        town.number("select sum(credits) from ledger where job_id = 2 and entry = 'charge'").await,
        15
    );
    town.user("update requests set committed_credits = 15").await;
    town.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_programs_may_make_one_database_at_the_same_moment() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("unlockd.db");
        let opening = (0..6).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { Store::open(&path, None).await.map(drop) })
        });
        for opened in opening.collect::<Vec<_>>() {
            opened.await.expect("no panic").expect("opens");
        }
    }
}
