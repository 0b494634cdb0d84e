//! `kill -9` at any moment: the result is the same, and nothing is paid for twice.
//!
//! Here the sandbox charges every repeated POST again, so a second one would show.

use unlockd::domain::AccountId;
use unlockd::sandbox::Billing;
use unlockd::worker::people::pause;

use crate::support::{Setup, Town};

const IDS: [&str; 6] = ["101", "102", "190", "193", "195", "199"];

fn hostile() -> Setup {
    Setup::default().sandbox(|options| options.billing = Billing::Repeats)
}

async fn ends_well(mut town: Town, request: i64, when: &str) {
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done", "{when}");
    for id in ["101", "102", "193", "195"] {
        assert_eq!(town.outcome(request, id).await.0, "delivered", "{when}: {id}");
    }
    town.check().await;
}

#[tokio::test]
async fn killed_after_the_api_carried_out_any_of_its_calls() {
    for call in 0..40 {
        let mut town = hostile().build().await;
        if call > 0 {
            town.fault(&format!("{call}x:pass"));
        }
        town.fault("lost-answer=timeout");
        let request = town.insert(Some("7"), &IDS).await;
        let killed = town.killed_when_silent(200_000).await;
        town.sandbox.clear_faults();
        if !killed {
            assert!(call > 6, "only {call} calls");
            return ends_well(town, request, "without a crash").await;
        }
        town.start().await;
        ends_well(town, request, &format!("killed at call {call}")).await;
    }
    panic!("more calls than expected");
}

#[tokio::test]
async fn killed_while_the_api_still_works_on_the_call() {
    // The request arrives, and takes effect only after the worker was killed and started again.
    let mut town = hostile().build().await;
    town.fault("late=20s@unlock");
    let request = town.insert(None, &["101", "102"]).await;
    for _ in 0..20 {
        if !town.posts().is_empty() {
            break;
        }
        town.step_partly(30).await;
        tokio::task::yield_now().await;
    }
    town.restart().await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

#[tokio::test]
async fn killed_wherever_a_step_waits_again_and_again() {
    for polls in (1..=81).step_by(4) {
        let mut town = hostile().build().await;
        let request = town.insert(Some("7"), &IDS).await;
        for _ in 0..6 {
            town.step_partly(polls).await;
            town.restart().await;
        }
        ends_well(town, request, &format!("killed after {polls} polls")).await;
    }
}

#[tokio::test]
async fn started_again_from_the_copy_made_after_any_pass() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = hostile().build().await;
    let request = town.insert(Some("7"), &IDS).await;
    let mut copies = Vec::new();
    while town.status(request).await != "done" {
        copies.append(&mut town.copy_after_each_pass().await);
        town.tick(1_000).await;
    }
    town.finish_all().await;
    assert!(copies.len() > 3, "{} copies", copies.len());
    // Contacts without a value may be bought again with a database that never knew of them.
    town.allowed.charged_again = vec!["190".to_owned()];
    for (number, copy) in copies.iter().enumerate() {
        town.restore(copy).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "copy {number}");
        let twice = town.sandbox.accounting().charge("101", unlockd::sandbox::Channel::Email).times;
        assert_eq!(twice, 1, "copy {number}");
    }
    town.check().await;
}

#[tokio::test]
async fn a_restored_database_takes_accepted_inbox_rows_again_and_buys_nothing_twice() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut setup = hostile();
    setup.inbox_apart = true;
    let mut town = setup.build().await;
    let empty = town.copy();
    let request = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    assert_eq!((town.status(request).await, town.posts().len()), ("accepted".into(), 1));
    town.restore(&empty).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("profile".into())));
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

/// Only a precheck knows what was bought after the copy, so none is skipped.
#[tokio::test]
async fn a_restored_database_buys_nothing_without_a_precheck() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = hostile().config("SUBMIT__PRECHECK", "false").build().await;
    let empty = town.copy();
    town.insert(None, &["101", "102"]).await;
    town.finish_all().await;
    town.restore(&empty).await;
    let (store, now) = (town.store().clone(), town.clock.now());
    pause::distrust_restored(&store, town.deps().accounts(), now).await.expect("noted");
    let request = town.insert(None, &["101", "102"]).await;
    // A person who resumes for another reason confirms nothing about the copy.
    let account = AccountId::trusted("default");
    pause::resume(&store, &account, &town.deps().ladder(), now).await.expect("resumed");
    town.fault("8x:status=503@precheck");
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("profile".into())));
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

#[tokio::test]
async fn killed_between_the_two_files_of_an_inbox_apart() {
    if crate::support::is_on_postgres() {
        return;
    }
    for polls in 1..40 {
        let mut setup = hostile();
        setup.inbox_apart = true;
        let mut town = setup.build().await;
        let request = town.insert(None, &["101"]).await;
        let nonsense = town.insert_row("personnel_ids", "'nonsense'").await;
        town.step_partly(polls).await;
        town.restart().await;
        town.finish_all().await;
        assert_eq!(town.status(request).await, "done", "{polls}");
        assert_eq!(town.status(nonsense).await, "rejected", "{polls}");
        assert_eq!(town.number("select count(*) from requests").await, 2);
        town.check().await;
    }
}
