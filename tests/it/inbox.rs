//! What other programs do to the inbox costs intake, or the status that it shows, and nothing else.

use std::sync::Arc;

use futures_util::future::join_all;
use unlockd::domain::needs::Need;
use unlockd::store::StoreError;
use unlockd::store::inbox::fault::{self, Fault, Part};
use unlockd::store::inbox::{Enqueue, Together};
use unlockd::store::report::{Time, requests};
use unlockd::worker::intake;
use unlockd::worker::people::needs;

use crate::support::{Setup, Town};

impl Town {
    /// Statuses of the inbox cannot be written, as noted for people.
    async fn causes(&mut self) -> Vec<(String, String)> {
        self.all("select part, cause from inbox_faults order by part").await
    }

    async fn delivered(&mut self) -> i64 {
        self.number("select count(*) from contact_outcomes where outcome = 'delivered'").await
    }
}

#[tokio::test]
async fn a_trigger_that_fails_delays_what_the_table_shows_and_nothing_else() {
    if crate::support::is_on_postgres() {
        return;
    }
    for inbox_apart in [false, true] {
        for raise in ["raise(abort, 'jane@acme.example')", "raise(rollback, 'no')", "count(*) from missing"] {
            let mut town = Setup { inbox_apart, ..Setup::default() }.build().await;
            town.user(format!("create trigger boom before update on inbox begin select {raise}; end")).await;
            let row = town.insert(None, &["101", "102"]).await;
            town.tick(60_000).await;
            let second = town.insert(None, &["103"]).await;
            town.tick(60_000).await;
            assert_eq!(town.delivered().await, 3, "{raise}");
            assert_eq!(town.status(row).await, "new", "{raise}");
            let causes = town.causes().await;
            assert_eq!(causes.len(), 1, "{causes:?}");
            assert!(causes[0].0 == "status" && !causes[0].1.contains("jane"), "{causes:?}");
            town.user("drop trigger boom").await;
            town.tick(20_000).await;
            assert_eq!((town.status(row).await, town.status(second).await), ("done".into(), "done".into()));
            assert_eq!(town.causes().await, []);
            town.check().await;
        }
    }
}

/// By their size, some nine of these rows are a chunk.
#[tokio::test]
async fn rows_of_several_chunks_are_taken_in_one_run_and_each_is_taken_once() {
    for inbox_apart in [false, true] {
        let mut town = Setup { inbox_apart, ..Setup::default() }.build().await;
        let odd = "x".repeat(110_000);
        let rows = vec![format!("('{odd}')"); 80].join(", ");
        town.user(format!("insert into inbox (personnel_ids) values {rows}")).await;
        let taken = intake::run(town.deps()).await.expect("the database is well").did;
        assert!((50..80).contains(&taken), "{taken} rows in six chunks");
        assert_eq!(
            town.number("select count(*) from requests where status = 'rejected'").await,
            taken as i64
        );
        town.settle().await;
        assert_eq!(town.number("select count(*) from request_events where event = 'rejected'").await, 80);
        assert_eq!((town.status(1).await, town.status(80).await), ("rejected".into(), "rejected".into()));
        town.check().await;
    }
}

#[tokio::test]
async fn a_trigger_that_fails_for_one_row_delays_that_row_only() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Setup { inbox_apart: true, ..Setup::default() }.build().await;
    town.user(
        "create trigger boom before update on inbox when new.id = 2 begin select raise(abort, 'no'); end",
    )
    .await;
    for id in ["101", "102", "103", "104"] {
        town.insert(None, &[id]).await;
    }
    town.tick(120_000).await;
    assert_eq!((town.status(1).await, town.status(3).await), ("done".into(), "done".into()));
    assert_eq!((town.status(4).await, town.status(2).await), ("done".into(), "new".into()));
    town.user("drop trigger boom").await;
    town.tick(20_000).await;
    assert_eq!(town.status(2).await, "done");
    town.check().await;
}

#[tokio::test]
async fn a_row_with_the_largest_id_is_rejected_and_other_programs_can_insert_again() {
    if crate::support::is_on_postgres() {
        return;
    }
    for inbox_apart in [false, true] {
        let mut town = Setup { inbox_apart, ..Setup::default() }.build().await;
        town.insert(None, &["101"]).await;
        town.insert_row("id, personnel_ids", "9223372036854775807, '[\"102\"]'").await;
        town.settle().await;
        assert_eq!(town.status(i64::MAX).await, "rejected", "it shows the reason under its id first");
        town.tick(2_000).await;
        assert_eq!(town.status(-i64::MAX).await, "rejected", "it is kept");
        assert_eq!(town.insert(None, &["103"]).await, 2, "the counter goes on");
        town.finish_all().await;
        assert_eq!(town.delivered().await, 2);
        assert_eq!(town.number("select count(*) from requests").await, 2, "nothing is bought for it");
        town.check().await;
    }
}

#[tokio::test]
async fn an_inbox_file_that_was_made_anew_goes_on_above_the_highest_id() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Setup { inbox_apart: true, ..Setup::default() }.build().await;
    for id in ["101", "102", "103"] {
        town.insert(None, &[id]).await;
    }
    town.finish_all().await;
    std::fs::remove_file(town.store().inbox_path()).expect("removed");
    town.tick(5_000).await;
    town.connect_user_again().await;
    assert_eq!(town.insert(None, &["104"]).await, 4);
    town.finish_all().await;
    assert_eq!(town.delivered().await, 4);
    town.check().await;
}

/// Found by a stranger: `watch` said that nothing needs anybody.
#[tokio::test]
async fn an_inbox_that_cannot_be_used_for_long_needs_a_person() {
    let town = Town::new().await;
    let now = town.clock.now();
    for (lasted, needs_person) in [(20_000, false), (31_000, true)] {
        let fault =
            |part| Some(Fault::new(part, Time(now.0), "no database".to_owned(), Time(now.0 + lasted)));
        fault::record(town.store(), Part::Intake, fault(Part::Intake)).await.expect("recorded");
        let needs = needs::read(town.store(), &town.deps().config(), &[], |_| true).await.expect("read");
        let reasons: Vec<&str> = needs.list.iter().map(Need::reason).collect();
        assert_eq!(reasons, if needs_person { vec!["inbox_unavailable"] } else { vec![] }, "{lasted}");
        assert!(needs.list.iter().all(|need| need.what().contains("no database")));
    }
    fault::record(town.store(), Part::Intake, None).await.expect("recorded");
    town.check().await;
}

#[tokio::test]
async fn a_value_that_is_too_long_is_rejected_unread() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Setup { inbox_apart: true, ..Setup::default() }.build().await;
    for (column, _) in unlockd::domain::request::LONGEST_READ {
        // Zero bytes: SQLite makes them, and the test holds no text of this length.
        let value = "cast(zeroblob(9000000) as text)";
        let values =
            if column == "personnel_ids" { value.to_owned() } else { format!("'[\"101\"]', {value}") };
        let columns =
            if column == "personnel_ids" { column.to_owned() } else { format!("personnel_ids, {column}") };
        let row = town.insert_row(&columns, &values).await;
        town.settle().await;
        assert_eq!(town.status(row).await, "rejected", "{column}");
        let (reason,): (String,) = town.one(&format!("select reason from requests where id = {row}")).await;
        assert!(reason.contains(column) && reason.contains("shorten it"), "{reason}");
        let length =
            town.number("select max(coalesce(length(reference), 0) + length(action)) from requests").await;
        assert!(length < 2_000, "{length} characters were kept");
    }
    town.check().await;
}

/// Found by a client that read the estimate at once: the row said `awaiting_approval`, and no figure was there to approve.
#[tokio::test]
async fn a_request_that_is_taken_while_it_is_read_is_shown_with_its_figure() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "10").build().await;
    for round in 0..40 {
        let id = town.insert(None, &[&format!("{}", 101 + round * 100)]).await;
        let deps = town.deps().clone();
        let taking = tokio::spawn(async move { intake::run(&deps).await });
        let seen = loop {
            let seen = requests::read(town.store(), id).await.expect("readable").expect("there");
            if seen.status != "new" {
                break seen;
            }
        };
        assert_eq!(seen.quoted_credits, Some(15), "round {round}: {}", seen.status);
        taking.await.expect("no panic").expect("the database is well");
    }
    town.check().await;
}

/// A row as a caller of the HTTP API asks for it. Each key is used twice.
fn asked(at: usize) -> Arc<Enqueue> {
    Arc::new(Enqueue {
        account: "default".to_owned(),
        action: "unlock_contact_emails".to_owned(),
        personnel_ids: Some(format!("[\"{}01\"]", 100 + at / 2)),
        reference: Some(if at % 10 == 4 { "refused" } else { "taken" }.to_owned()),
        dedupe_key: Some(format!("k{}", at / 2)),
        ..Enqueue::default()
    })
}

#[tokio::test]
async fn rows_of_callers_at_the_same_moment_share_a_transaction_and_each_is_written_once() {
    let mut town = Town::new().await;
    let (store, together) = (town.store().clone(), Together::default());
    let before = *store.commits().borrow();
    let written = join_all((0..40).map(|at| together.insert(&store, asked(at)))).await;
    // The first one finds nobody writing; all others wait for it.
    assert_eq!(*store.commits().borrow() - before, 2);
    for (at, written) in written.into_iter().enumerate() {
        let row = written.expect("the database is well");
        assert_eq!(row.is_some(), at % 2 == 0, "{at}: the second one finds its key taken");
        if let Some(row) = row {
            let read = requests::read(&store, row.id).await.expect("readable");
            assert_eq!(read, Some(row), "as people read it");
        }
    }
    assert_eq!(town.number("select count(*) from inbox").await, 20);
    town.finish_all().await;
    town.check().await;
}

#[tokio::test]
async fn a_row_that_a_trigger_refuses_costs_none_of_those_that_are_written_with_it() {
    if crate::support::is_on_postgres() {
        return;
    }
    for inbox_apart in [false, true] {
        for raise in ["raise(abort, 'jane@acme.example')", "raise(rollback, 'no')"] {
            let mut town = Setup { inbox_apart, ..Setup::default() }.build().await;
            let refuse = format!(
                "create trigger boom after insert on inbox when new.reference = 'refused' begin select {raise}; end"
            );
            town.user(refuse).await;
            let (store, together) = (town.store().clone(), Together::default());
            let written = join_all((0..40).map(|at| together.insert(&store, asked(at)))).await;
            for (at, written) in written.iter().enumerate() {
                match (at % 10 == 4, written) {
                    (true, Err(StoreError::Inbox { problem, .. })) => assert!(!problem.contains("jane")),
                    // The row before it has the same key, but for a refused one.
                    (false, Ok(row)) => assert_eq!(row.is_some(), at % 2 == 0 || at % 10 == 5, "{at}"),
                    (_, other) => panic!("{at}, {raise}: {other:?}"),
                }
            }
            town.finish_all().await;
            // Each key asks for another contact.
            let contacts = town.number("select count(distinct personnel_id) from items").await;
            assert_eq!((town.number("select count(*) from requests").await, contacts), (20, 20), "{raise}");
            town.check().await;
        }
    }
}
