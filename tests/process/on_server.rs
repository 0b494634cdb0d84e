//! The worker on PostgreSQL, as a process: killed at the dangerous moments, and parted from its server.

use std::time::Duration;

use crate::support::{Town, hostile, wait};

/// Where a crash loses or doubles a purchase if anything does. The third call is the submission.
const MOMENTS: [&str; 4] = ["after_intent:1", "before_call:3", "after_call:3", "before_commit:8"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_postgresql_it_delivers_once_and_the_ledger_adds_up() {
    for fail in MOMENTS {
        let Some(town) = Town::on_server(hostile()).await else { return };
        town.insert(100..120).await;
        let mut worker = town.start_until_idle(Some(fail));
        let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(120)));
        assert!(!status.success(), "{fail} did not happen\n{}", town.log());
        let status = tokio::task::block_in_place(|| town.run_until_idle());
        assert!(status.success(), "after {fail}: {status}\n{}", town.log());
        town.assert_paid_once_and_delivered(100..120, fail).await;
    }
}

/// As a failed disk: it spends nothing more and ends, and the next start reads what was committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_are_cut_ends_and_the_next_one_finishes() {
    let Some(town) = Town::on_server(hostile()).await else { return };
    let mut worker = town.start();
    town.insert(100..120).await;
    town.until("select count(*) from jobs where state = 'polling'", 1).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    town.number(cut).await;
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(30)));
    assert!(!status.success(), "it went on\n{}", town.log());
    let status = tokio::task::block_in_place(|| town.run_until_idle());
    assert!(status.success(), "{status}\n{}", town.log());
    town.assert_paid_once_and_delivered(100..120, "after the cut").await;
}

/// What SQLite does to the freed bytes has no meaning there.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_on_postgresql_is_answered_and_holds_up_no_other() {
    let Some(town) = Town::on_server(hostile()).await else { return };
    town.number("insert into inbox (event_id, personnel_ids) values ('7', 'nonsense') returning 1").await;
    town.insert(100..120).await;
    let status = tokio::task::block_in_place(|| town.run_until_idle());
    assert!(status.success(), "{status}\n{}", town.log());
    assert_eq!(town.number("select count(*) from inbox where status = 'rejected'").await, 1);
    let delivered = "select count(*) from contact_outcomes where outcome = 'delivered'";
    assert_eq!(town.number(delivered).await, 20, "{}", town.log());
}
