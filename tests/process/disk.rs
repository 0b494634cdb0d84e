//! A disk that is full, fills up at the wrong moment, or turns read-only.
//!
//! Each test mounts its own small file system, which needs root. Without root the tests say so and pass;
//! `sudo -E cargo test --test process disk` runs them.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use unlockd::sandbox::Fault;

use crate::support::{Town, hostile, wait};

/// A tmpfs of 32 MiB, unmounted when dropped.
struct SmallDisk {
    mount_point: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let mount_point = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(mount_point.path());
        if !command.output().is_ok_and(|output| output.status.success()) {
            println!("skipped: mounting a small disk takes root");
            return None;
        }
        Some(SmallDisk { mount_point })
    }

    fn path(&self) -> &Path {
        self.mount_point.path()
    }

    /// Writes a file until `leave` bytes are free.
    fn fill(&self, leave: u64) {
        let stat = rustix::fs::statvfs(self.path()).expect("a file system");
        let free = (stat.f_bavail * stat.f_frsize).saturating_sub(leave);
        let mut file = std::fs::File::create(self.path().join("filler")).expect("a file");
        let block = vec![1_u8; 4_096];
        for _ in 0..=free / 4_096 {
            if file.write_all(&block).is_err() {
                break;
            }
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("the filler goes");
    }

    /// Waits until no process has a file open for writing: a closing connection needs a moment.
    fn make_read_only(&self) {
        let mut command = Command::new("mount");
        command.args(["-o", "remount,ro"]).arg(self.path());
        let since = Instant::now();
        while !command.status().expect("mount runs").success() {
            assert!(since.elapsed() < Duration::from_secs(20), "it was mounted, so it can be remounted");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a worker that is still ending may have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn posts(town: &Town) -> usize {
    town.sandbox.journal().iter().filter(|call| call.path == "/external/contacts/unlock").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_bought_while_the_disk_is_nearly_full() {
    let Some(disk) = SmallDisk::mount() else { return };
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
    let Some(disk) = SmallDisk::mount() else { return };
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
    let Some(disk) = SmallDisk::mount() else { return };
    let town = Town::in_folder(hostile(), disk.path().to_owned()).await;
    town.insert(100..110).await;
    disk.make_read_only();
    let status = tokio::task::block_in_place(|| town.run_until_idle());
    assert_eq!(status.code(), Some(1), "{}", town.log());
    assert_eq!(town.sandbox.journal().len(), 0, "{}", town.log());
}
