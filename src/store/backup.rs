//! A copy of a database file: consistent, complete, and without erased values.

use std::path::{Path, PathBuf};

use crate::store::Store;

/// Why no copy was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0} is there already; name another file, or say --force to replace it")]
    Exists(PathBuf),
    #[error(
        "a database on PostgreSQL is copied by the server's own tools: pg_dump --format=custom, or a base backup with the \
         archived log (point-in-time recovery); both may run while the worker does"
    )]
    OnServer,
    #[error("{0} is the database itself or in use as one; name another file")]
    InUse(PathBuf),
    #[error("the name of the copy, {0:?}, is not valid UTF-8; name another file")]
    Name(PathBuf),
    #[error("the copy {path} is not sound ({problem}) and was removed; check the database and its disk")]
    Unsound { path: PathBuf, problem: String },
    #[error("cannot write {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot copy {path}")]
    Database {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
}

/// Copies `from`, one of the files of `store`, to `to`, mode 0600; returns the size in bytes. Replaces an
/// existing file only with `force`, and never a file of the store.
pub async fn copy(store: &Store, from: &Path, to: &Path, force: bool) -> Result<u64, BackupError> {
    store.engine.copy(from, to, force).await
}
