//! The file whose lock says that a worker on this host lives, with the mark of the timeline that this host saw last.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::store::lease::LeaseRow;
use crate::store::place::{beside_database, with_suffix};
use crate::store::{Store, StoreError, sql};

/// The file whose lock ends with the process that holds it.
#[derive(Debug)]
pub(in crate::store) struct LockFile {
    path: PathBuf,
    // Kept open: the lock lasts as long as the file is open. `None` if the lock's holder is stopped.
    file: Option<File>,
    /// A name of the file's own, when other workers have other files.
    name: Option<String>,
}

impl LockFile {
    /// The file beside a database file.
    pub(in crate::store) fn beside(database: &Path) -> Result<LockFile, StoreError> {
        let path = beside_database(database, ".lock");
        Ok(LockFile { file: try_lock(&path)?, path, name: None })
    }

    /// The first file of this host for a database of a server that no other worker has. Without one, what a worker held is
    /// taken over only once its leases have run out, and an older copy is not noticed.
    pub(in crate::store) fn of_server(path: &Path) -> LockFile {
        for place in 1..=MOST_ON_A_HOST {
            let path = if place == 1 { path.to_owned() } else { with_suffix(path, &format!(".{place}")) };
            let named = try_lock(&path).and_then(|file| {
                let name = file.as_ref().map(name_of).transpose();
                Ok((file, name.map_err(|error| StoreError::open(&path, error))?))
            });
            match named {
                Ok((Some(file), name)) => return LockFile { path, file: Some(file), name },
                Ok((None, _)) => {}
                Err(problem) => {
                    tracing::debug!(%problem, "this host has no lock file for the database");
                    break;
                }
            }
        }
        LockFile { path: path.to_owned(), file: None, name: Some(uuid::Uuid::new_v4().to_string()) }
    }

    /// The name of the worker that has this file; of another process under the same name is none any more.
    pub(in crate::store) fn worker(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    /// Locks the file beside a database file, if nobody else does any more. One that somebody has removed is made anew:
    /// no other worker could see that it is locked.
    pub(in crate::store) fn lock_again(&mut self) -> Result<(), StoreError> {
        match &self.file {
            _ if self.name.is_some() => {}
            None => self.file = try_lock(&self.path)?,
            Some(file) if self.is_in_place(file) => {}
            Some(_) => match try_lock(&self.path) {
                Ok(file) => self.file = file,
                Err(problem) => {
                    tracing::warn!(%problem, "the lock file was removed, and cannot be made anew")
                }
            },
        }
        Ok(())
    }

    fn is_in_place(&self, file: &File) -> bool {
        let of = |meta: &std::fs::Metadata| (meta.dev(), meta.ino());
        match (std::fs::metadata(&self.path), file.metadata()) {
            (Ok(there), Ok(ours)) => of(&there) == of(&ours),
            _ => false,
        }
    }

    pub(in crate::store) fn is_locked(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the entry that was noted last is missing in the timeline, or replaced by another: decisions on an
    /// older copy make its timeline longer, but not equal.
    pub(in crate::store) async fn is_ahead_of(
        &self,
        row: &LeaseRow,
        store: &Store,
    ) -> Result<bool, StoreError> {
        if self.file.is_none() {
            return Ok(false);
        }
        let Some((id, at)) = self.noted() else {
            // A database file came without it. A server may have workers on hosts that never had one.
            return Ok(self.name.is_none() && row.token > 0);
        };
        let there: Option<i64> = sql::query_scalar("select at from request_events where id = $1")
            .bind(id)
            .fetch_optional(store.readers())
            .await?;
        Ok(id > 0 && there != Some(at))
    }

    /// The entry of the timeline that was noted last. `None`: no worker has had this file, if it is locked.
    pub(in crate::store) fn noted(&self) -> Option<(i64, i64)> {
        let mut bytes = [0; NAME_AT as usize];
        let read = self.file.as_ref()?.read_at(&mut bytes, 0).ok()?;
        let mut parts = std::str::from_utf8(&bytes[..read]).ok()?.split_whitespace().map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    }

    pub(in crate::store) fn note(&self, newest: (i64, i64), syncs: bool) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        let noted = write_note(file, newest).and_then(|()| if syncs { file.sync_all() } else { Ok(()) });
        noted.map_err(|error| StoreError::open(&self.path, error))
    }
}

/// Written in place and always with the same length, so that a crash leaves the old note or the new one.
fn write_note(lock: &File, (id, at): (i64, i64)) -> std::io::Result<()> {
    lock.write_all_at(format!("{id:020} {at:020}\n").as_bytes(), 0)
}

/// Behind the note: a line that no other file has.
const NAME_AT: u64 = 42;

/// Workers on one host that can have a lock file each.
const MOST_ON_A_HOST: u32 = 64;

/// The name of a lock file, which is given when it is first locked.
fn name_of(file: &File) -> std::io::Result<String> {
    let mut bytes = [0; 36];
    let read = file.read_at(&mut bytes, NAME_AT)?;
    match std::str::from_utf8(&bytes) {
        // It stands in the text of statements.
        Ok(name) if read == bytes.len() && uuid::Uuid::try_parse(name).is_ok() => Ok(name.to_owned()),
        _ => {
            let name = uuid::Uuid::new_v4().to_string();
            file.write_all_at(name.as_bytes(), NAME_AT)?;
            file.sync_all()?;
            Ok(name)
        }
    }
}

fn try_lock(path: &Path) -> Result<Option<File>, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::open(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(StoreError::open(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_lock_by_whatever_name_it_is_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        let (database, link) = (dir.path().join("data/unlockd.db"), dir.path().join("unlockd.db"));
        std::fs::create_dir(dir.path().join("data")).expect("a folder");
        std::os::unix::fs::symlink("data/unlockd.db", &link).expect("linked");
        // Also by a link to a database that is not there yet.
        let by_link = LockFile::beside(&link).expect("locked");
        assert!(by_link.is_locked());
        std::fs::write(&database, "").expect("written");
        assert!(!LockFile::beside(&link).expect("readable").is_locked());
        assert!(!LockFile::beside(&database).expect("readable").is_locked());
    }
}
