//! A disk that is full, fills up at the wrong moment, or turns read-only.
//!
//! Each test mounts its own small file system, which needs root. Without root the tests say so and pass;
//! `sudo -E cargo test --test process disk` runs them.

use std::time::Duration;

use unlockd::sandbox::Fault;

use crate::small_disk::SmallDisk;
use crate::support::{Town, hostile, wait};

fn posts(town: &Town) -> usize {
    town.sandbox.journal().iter().filter(|call| call.path == "/external/contacts/unlock").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_bought_while_the_disk_is_nearly_full() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let town = Town::in_folder(hostile(), disk.path().to_owned()).await;
    town.insert(100..110).await;
    disk.fill(6 << 20);
    let mut worker = town.start_until_idle(None);
    town.until_logged("the disk is nearly full").await;
    assert_eq!(posts(&town), 0);
    disk.empty();
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(30)));
    assert!(status.success(), "{status}\n{}", town.log());
    town.assert_paid_once_and_delivered(100..110, "a full disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_during_the_post_loses_neither_task_nor_money() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let town = Town::in_folder(hostile(), disk.path().to_owned()).await;
    town.sandbox.inject("slow=1500ms@unlock".parse::<Fault>().expect("a fault"));
    town.insert(100..110).await;
    let mut worker = town.start();
    town.until("select count(*) from attempts", 1).await;
    disk.fill(0);
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(30)));
    assert_eq!(status.code(), Some(1), "{}", town.log());
    assert!(town.log().contains("task 321"), "the last resort names the task\n{}", town.log());
    disk.empty();
    let accepted = town.number("select count(*) from attempts where result = 'accepted'").await;
    assert_eq!(accepted, 1, "the ballast made room for the outcome\n{}", town.log());
    assert!(tokio::task::block_in_place(|| town.run_until_idle()).success(), "{}", town.log());
    town.assert_paid_once_and_delivered(100..110, "a disk that filled up").await;
    assert_eq!(posts(&town), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_ends_the_worker_before_it_calls() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let town = Town::in_folder(hostile(), disk.path().to_owned()).await;
    town.insert(100..110).await;
    disk.make_read_only();
    let status = tokio::task::block_in_place(|| town.run_until_idle());
    assert_eq!(status.code(), Some(1), "{}", town.log());
    assert_eq!(town.sandbox.journal().len(), 0, "{}", town.log());
}
