//! Tells when a database file is written, by anybody: the kernel says so (inotify), so waiting for it costs nothing.
//! Polling the file every few milliseconds costs half a percent of a core.
//!
//! It is only a hint: a file that another machine writes gives none. It comes when the file is written, which is before
//! the commit is complete; a read at that moment waits for the lock of the program that commits.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Between a write and the report of it: one transaction writes many times.
const PAUSE: Duration = Duration::from_millis(1);
const BUFFER_BYTES: usize = 4_096;

/// The writes of a database file, or of its log.
#[derive(Debug)]
pub struct FileWrites {
    events: AsyncFd<OwnedFd>,
    names: [OsString; 2],
}

impl FileWrites {
    /// Watches the folder, since a file may be replaced.
    pub(super) fn of(path: &Path) -> io::Result<FileWrites> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        inotify::add_watch(
            &events,
            folder.unwrap_or(Path::new(".")),
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO,
        )?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let mut log = name.clone();
        log.push("-wal");
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for descriptors that are not owned; this one is"
        )]
        let events = AsyncFd::new(events)?;
        Ok(FileWrites { events, names: [name, log] })
    }

    /// Resolves when the file was written since the last call. May be dropped at any time.
    pub async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.events.readable().await?;
            tokio::time::sleep(PAUSE).await;
            let is_written = self.take()?;
            ready.clear_ready();
            if is_written {
                return Ok(());
            }
        }
    }

    /// Takes all events that wait; whether one is about the file.
    fn take(&self) -> io::Result<bool> {
        let mut buffer = [const { MaybeUninit::uninit() }; BUFFER_BYTES];
        let mut reader = Reader::new(self.events.get_ref(), &mut buffer);
        let mut is_written = false;
        loop {
            match reader.next() {
                // An event without a name says that some were dropped.
                Ok(event) => {
                    is_written |= event.file_name().is_none_or(|found| {
                        self.names.iter().any(|name| name.as_bytes() == found.to_bytes())
                    });
                }
                Err(Errno::WOULDBLOCK) => return Ok(is_written),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_to_the_file_or_its_log_is_told_and_none_to_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writes = FileWrites::of(&folder.path().join("a.db")).expect("inotify");
        std::fs::write(folder.path().join("b.db"), "b").expect("written");
        assert!(!writes.take().expect("readable"));
        for name in ["a.db", "a.db-wal", "a.db"] {
            std::fs::write(folder.path().join(name), "a").expect("written");
            writes.next().await.expect("told");
            assert!(!writes.take().expect("readable"), "told once");
        }
    }
}
