//! Whether the files of the database are still those that were opened.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::place::beside_database;

/// The files of an open database, by their names: itself, and its write-ahead log, which SQLite keeps while it is open.
pub(super) struct Opened {
    files: Vec<(PathBuf, (u64, u64))>,
}

impl Opened {
    pub(super) fn of(database: &Path) -> Opened {
        let files = [database.to_owned(), beside_database(database, "-wal")];
        Opened {
            files: files.into_iter().filter_map(|file| Some((file.clone(), identity(&file)?))).collect(),
        }
    }

    /// A name that is another file's by now, or nobody's.
    pub(super) fn replaced(&self) -> Option<&Path> {
        self.files.iter().find(|(path, was)| identity(path) != Some(*was)).map(|(path, _)| path.as_path())
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_or_a_log_that_is_another_file_or_gone_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (database, log, other) = (dir.path().join("a"), dir.path().join("a-wal"), dir.path().join("b"));
        for path in [&database, &log, &other] {
            std::fs::write(path, "").expect("written");
        }
        let opened = Opened::of(&database);
        assert_eq!(opened.replaced(), None);
        std::fs::remove_file(&log).expect("removed");
        assert_eq!(opened.replaced(), Some(log.as_path()));
        std::fs::rename(&other, &database).expect("renamed");
        assert_eq!(opened.replaced(), Some(database.as_path()));
        assert_eq!(Opened::of(&other).replaced(), None, "no files of this machine");
    }
}
