//! The inbox that the worker serves is the one that every other command uses.

use std::process::Stdio;

use super::{Daemon, Town, postgres, program, said, town};

/// A worker whose unit alone names the inbox.
fn daemon_with_inbox(town: &Town, inbox: &str) -> Daemon {
    let mut command = program(town.dir.path());
    command.arg("run").env("UNLOCKD_INBOX__DATABASE", inbox).stdout(Stdio::null()).stderr(Stdio::null());
    Daemon(command.spawn().expect("it starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_use_the_inbox_that_the_worker_serves_although_only_its_unit_names_it() {
    if postgres::has_no("inbox in a file of its own") {
        return;
    }
    let town = town().await;
    let daemon = daemon_with_inbox(&town, "inbox.db");
    town.until("it serves", || town.run(&["check", "--offline"]).out.contains("inbox.db: opens"));
    // A request of another program has the same id in the table that nobody serves.
    let done = town.ok(&["enqueue", "789", "--wait"]);
    assert!(done.out.contains("request 1: done: 1 delivered"), "{}", done.out);
    town.ok(&["backup", "copy.db"]);
    assert!(town.dir.path().join("copy.db.inbox").exists(), "the inbox is part of a backup");

    for other in ["other.db", "unlockd.db"] {
        let mut command = program(town.dir.path());
        command.args(["enqueue", "788"]).env("UNLOCKD_INBOX__DATABASE", other);
        std::fs::copy(town.dir.path().join("copy.db.inbox"), town.dir.path().join("other.db"))
            .expect("copied");
        let told = said(command.output().expect("it starts"));
        if other == "unlockd.db" {
            // The same as not set.
            assert_eq!(told.code, 0, "{}", told.err);
            continue;
        }
        assert_eq!(told.code, 4, "{}", told.err);
        assert!(told.err.contains("inbox.db") && told.err.contains("nothing was done"), "{}", told.err);
    }
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_is_configured_anew_counts_once_its_worker_runs() {
    if postgres::has_no("inbox in a file of its own") {
        return;
    }
    let town = town().await;
    let first = daemon_with_inbox(&town, "inbox.db");
    town.until("it serves", || town.run(&["check", "--offline"]).out.contains("inbox.db: opens"));
    drop(first);
    let second = daemon_with_inbox(&town, "second.db");
    town.until("it serves", || town.run(&["check", "--offline"]).out.contains("second.db: opens"));
    let done = town.ok(&["enqueue", "789", "--wait"]);
    assert!(done.out.contains("1 delivered"), "{}", done.out);
    drop(second);
    // As in a container without the volume of the inbox.
    std::fs::remove_file(town.dir.path().join("second.db")).expect("removed");
    let told = town.run(&["requests"]);
    assert_eq!(told.code, 3, "{}", told.err);
    assert!(told.err.contains("second.db") && told.err.contains("volumes"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_file_that_is_missing_is_a_missing_thing() {
    if postgres::has_no("inbox in a file of its own") {
        return;
    }
    let town = town().await;
    town.ok(&["run", "--until-idle"]);
    let mut command = program(town.dir.path());
    command.args(["enqueue", "788"]).env("UNLOCKD_INBOX__DATABASE", "missing.db");
    let told = said(command.output().expect("it starts"));
    assert_eq!(told.code, 3, "{}", told.err);
    assert!(told.err.contains("missing.db"), "{}", told.err);
    assert!(!town.dir.path().join("missing.db").exists(), "the command makes none");
}
