//! Changes of other programs to rows that the worker has taken.

use unlockd::domain::{Credits, RequestId};
use unlockd::sandbox::Channel;
use unlockd::worker::people::decide::{self, Refusal};

use crate::support::{Setup, Town, connect, is_on_postgres};

/// A town in which everything waits for a person.
fn asking() -> Setup {
    Setup::default().config("CREDITS__APPROVE_ABOVE", "10")
}

impl Town {
    /// `approved` and the quote that a row shows.
    async fn shown(&mut self, id: i64) -> (i64, i64) {
        let shown = format!("select approved, quoted_credits from inbox where id = {id}");
        connect(self.store().inbox_path().to_owned()).await.one(&shown).await
    }
}

#[tokio::test]
async fn a_row_that_is_approved_after_it_was_taken_is_bought() {
    if is_on_postgres() {
        return;
    }
    for inbox_apart in [false, true] {
        let mut town = Setup { inbox_apart, ..asking() }.build().await;
        let (row, other) = (town.insert(None, &["101", "102"]).await, town.insert(None, &["103"]).await);
        town.settle().await;
        town.user(format!("update inbox set approved = 1 where id = {row}")).await;
        town.tick(60_000).await;
        assert_eq!(
            (town.status(row).await, town.status(other).await),
            ("done".into(), "awaiting_approval".into())
        );
        let said: Vec<(String,)> =
            town.all("select detail from request_events where event = 'row_approved'").await;
        assert_eq!(said, [("approved = 1 was written over its row, which showed 30 credits".to_owned(),)]);
        assert_eq!(town.number("select approved_credits from requests where id = 1").await, 30);
        town.check().await;
    }
}

#[tokio::test]
async fn a_row_approves_the_figure_that_it_shows_and_none_after_it() {
    let mut town = asking().config("SUBMIT__BATCH_SIZE", "2").build().await;
    let row = town.insert(None, &["101", "102", "103"]).await;
    town.settle().await;
    town.user("update inbox set approved = 1").await;
    town.sandbox.set_price(Channel::Email, 113);
    town.configure("CREDITS__PRICE__EMAIL", "113").await;
    town.tick(60_000).await;
    assert_eq!((town.status(row).await, town.shown(row).await), ("awaiting_approval".into(), (0, 339)));
    assert!(town.posts().is_empty());
    // A confirmed approval stays valid over a restart, and not longer.
    town.restart().await;
    town.tick(60_000).await;
    assert!(town.posts().is_empty());
    town.user("update inbox set approved = 1").await;
    town.finish_all().await;
    assert_eq!((town.status(row).await, town.posts().len()), ("done".into(), 2));
    town.check().await;
}

#[tokio::test]
async fn an_approval_of_a_figure_that_has_grown_unseen_approves_nothing() {
    let mut town = asking().build().await;
    let row = town.insert(None, &["101"]).await;
    town.settle().await;
    town.configure("CREDITS__PRICE__EMAIL", "400").await;
    town.tick(5_000).await;
    town.user("update inbox set approved = 1, quoted_credits = 15").await;
    town.tick(60_000).await;
    assert_eq!((town.status(row).await, town.shown(row).await), ("awaiting_approval".into(), (0, 400)));
    assert!(town.posts().is_empty());
    town.check().await;
}

#[tokio::test]
async fn an_approval_that_was_written_while_no_worker_ran_counts() {
    let mut town = asking().build().await;
    let row = town.insert(None, &["101"]).await;
    town.settle().await;
    town.kill();
    town.user("update inbox set approved = 1").await;
    town.start().await;
    town.finish_all().await;
    assert_eq!(town.status(row).await, "done");
    town.check().await;
}

/// The `OR …` of another program's statement replaces the conflict clauses in triggers.
#[tokio::test]
async fn no_statement_of_another_program_fails_for_being_noticed() {
    let mut town = asking().build().await;
    let row = town.insert(None, &["101"]).await;
    town.settle().await;
    // Words of SQLite only.
    let ors = ["or rollback", "or abort", "or fail", "or ignore", "or replace"];
    for or in if is_on_postgres() { &[""][..] } else { &ors } {
        for approved in [2, 3] {
            town.user(format!("update {or} inbox set approved = {approved} where id = {row}")).await;
        }
    }
    town.settle().await;
    assert_eq!((town.status(row).await, town.shown(row).await), ("awaiting_approval".into(), (0, 15)));
    town.check().await;
}

#[tokio::test]
async fn what_is_cancelled_in_its_row_is_never_bought() {
    if is_on_postgres() {
        return;
    }
    for inbox_apart in [false, true] {
        let mut town = Setup { inbox_apart, ..asking() }.build().await;
        let (row, other) = (town.insert(None, &["101"]).await, town.insert(None, &["102"]).await);
        town.settle().await;
        // With or without an end.
        let finished_at = if inbox_apart { ", finished_at = 1" } else { "" };
        town.user(format!("update inbox set status = 'cancelled'{finished_at} where id = {row}")).await;
        // Nor by a person who did not see it.
        let now = town.clock.now();
        let refused = decide::approve(town.store(), RequestId(row), Credits(15), now).await;
        assert!(matches!(refused, Err(Refusal::NotAwaiting { .. })), "{refused:?}");
        town.approve(other).await;
        town.tick(60_000).await;
        assert_eq!((town.status(row).await, town.status(other).await), ("cancelled".into(), "done".into()));
        assert_eq!(town.outcome(row, "101").await.0, "cancelled");
        assert_eq!(town.posts().iter().flat_map(Town::sent).collect::<Vec<_>>(), ["102"]);
        town.check().await;
    }
}

/// A change that is committed while the worker is about to write other news.
#[tokio::test]
async fn news_of_a_row_do_not_wipe_out_a_cancellation() {
    let mut town = asking().build().await;
    let row = town.insert(None, &["101"]).await;
    town.settle().await;
    town.approve(row).await;
    town.user("update inbox set status = 'cancelled'").await;
    unlockd::store::inbox::catch_up(town.store(), 10).await.expect("shown");
    town.tick(60_000).await;
    assert_eq!(town.status(row).await, "cancelled");
    assert!(town.posts().is_empty());
    town.check().await;
}

#[tokio::test]
async fn what_others_write_into_the_workers_columns_gives_way_to_the_truth() {
    let mut town = asking().build().await;
    let done = town.insert_row("personnel_ids, approved", "'[101]', 1").await;
    town.finish_all().await;
    let waits = town.insert(None, &["102"]).await;
    town.settle().await;
    let before: (String, Option<String>) = town.inbox(waits).await;
    for status in ["new", "accepted", "awaiting_approval", "rejected", "cancelled"] {
        town.user(format!("update inbox set status = '{status}', finished_at = null where id = {done}"))
            .await;
        town.tick(1_000).await;
        assert_eq!(town.status(done).await, "done", "{status}");
    }
    for status in ["new", "accepted", "done", "rejected"] {
        town.user(format!("update inbox set status = '{status}', reason = null where id = {waits}")).await;
        town.tick(1_000).await;
        assert_eq!(town.inbox(waits).await, before, "{status}");
    }
    let noted = town.number("select count(*) from request_events where event = 'row_corrected'").await;
    assert_eq!((noted, town.posts().len()), (9, 1));
    town.check().await;
}

#[tokio::test]
async fn where_rows_may_not_approve_neither_a_new_row_nor_one_that_waits_does() {
    if is_on_postgres() {
        return;
    }
    for inbox_apart in [false, true] {
        let setup = asking().config("CREDITS__APPROVE_FROM_INBOX", "false");
        let mut town = Setup { inbox_apart, ..setup }.build().await;
        let row = town.insert_row("personnel_ids, approved", "'[101]', 1").await;
        let other = town.insert(None, &["102"]).await;
        town.tick(60_000).await;
        let (status, reason) = town.inbox(row).await;
        assert_eq!(status, "awaiting_approval");
        assert!(reason.expect("a reason").contains("credits.approve_from_inbox = false"));
        town.user("update inbox set approved = 1").await;
        town.tick(60_000).await;
        assert_eq!(town.shown(other).await, (0, 15));
        assert!(town.posts().is_empty());
        // What a person approves elsewhere is bought.
        town.approve(row).await;
        town.tick(60_000).await;
        assert_eq!(
            (town.status(row).await, town.status(other).await),
            ("done".into(), "awaiting_approval".into())
        );
        // The key is live.
        town.configure("CREDITS__APPROVE_FROM_INBOX", "true").await;
        town.user(format!("update inbox set approved = 1 where id = {other}")).await;
        town.finish_all().await;
        assert_eq!(town.status(other).await, "done");
        town.check().await;
    }
}
