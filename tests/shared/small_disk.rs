//! A disk that can be filled, and be made read-only. Mounting takes root.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const BLOCK: u64 = 4_096;

/// A tmpfs, unmounted when dropped.
pub struct SmallDisk {
    mount_point: tempfile::TempDir,
}

impl SmallDisk {
    /// With this many MiB.
    pub fn mount(mib: u32) -> Option<SmallDisk> {
        let mount_point = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(mount_point.path());
        if !command.output().is_ok_and(|output| output.status.success()) {
            println!("skipped: mounting a small disk takes root");
            return None;
        }
        Some(SmallDisk { mount_point })
    }

    pub fn path(&self) -> &Path {
        self.mount_point.path()
    }

    /// Writes a file until `leave` bytes are free.
    pub fn fill(&self, leave: u64) {
        let stat = rustix::fs::statvfs(self.path()).expect("a file system");
        let free = (stat.f_bavail * stat.f_frsize).saturating_sub(leave);
        let mut file = std::fs::File::create(self.path().join("filler")).expect("a file");
        let block = vec![1_u8; BLOCK as usize];
        for _ in 0..=free / BLOCK {
            if file.write_all(&block).is_err() {
                break;
            }
        }
    }

    pub fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("the filler goes");
    }

    /// Waits until no process has a file open for writing: a closing connection needs a moment.
    pub fn make_read_only(&self) {
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
