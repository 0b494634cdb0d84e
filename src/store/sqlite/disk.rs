//! Disk space: checked before credits are spent, and reserved for results that were paid for.
//!
//! A full disk blocks even deletion, since the write-ahead log itself needs space. So no submission goes out
//! when little space is free. If the disk fills up after that, the ballast file next to the database is
//! deleted to make room for the outcome.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::disk::NEEDED_BYTES;
use crate::store::place::beside_database;

/// Size of the ballast file, in bytes.
const BALLAST_BYTES: usize = 4 << 20;

/// Bytes free for this process on the disk of the database.
pub(super) fn free_bytes(database: &Path) -> Result<u64, StoreError> {
    let linked = beside_database(database, "");
    let folder = linked.parent().filter(|parent| !parent.as_os_str().is_empty());
    let stat = rustix::fs::statvfs(folder.unwrap_or(Path::new(".")))
        .map_err(|error| StoreError::open(database, error))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The size of the database, and of its write-ahead log, which may be missing at times.
pub(super) fn size(database: &Path) -> (u64, u64) {
    let size = |path: &Path| std::fs::metadata(path).map(|found| found.len()).unwrap_or(0);
    (size(database), size(&beside_database(database, "-wal")))
}

/// Creates the ballast file, if there is space for it. Returns whether it exists.
pub(super) fn lay_ballast(database: &Path) -> bool {
    let path = ballast(database);
    if path.exists() {
        return true;
    }
    let room = free_bytes(database).is_ok_and(|free| free >= NEEDED_BYTES + BALLAST_BYTES as u64);
    // Written, not only extended: a sparse file reserves no space.
    room && write_ballast(&path).inspect_err(|_| drop(std::fs::remove_file(&path))).is_ok()
}

fn write_ballast(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&vec![0x5a; BALLAST_BYTES])?;
    file.sync_all()
}

/// Deletes the ballast file.
pub(super) fn drop_ballast(database: &Path) {
    // If it is missing or cannot be removed, the next write reports the problem.
    let _ = std::fs::remove_file(ballast(database));
}

fn ballast(database: &Path) -> PathBuf {
    beside_database(database, ".ballast")
}
