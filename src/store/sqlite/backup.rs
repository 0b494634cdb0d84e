//! A copy of a database file: consistent, complete, and without erased values.
//!
//! `VACUUM INTO` reads one state of the database while other programs keep writing, and copies rows, not
//! pages, so no erased value is copied. The copy gets its name only when it is on disk and has passed the
//! integrity check.

use std::fs::File;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::store::backup::BackupError;
use crate::store::place::{beside_database, with_suffix};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::open::{inbox_options, options};

/// See [`crate::store::backup::copy`].
pub(super) async fn copy(sqlite: &Sqlite, from: &Path, to: &Path, force: bool) -> Result<u64, BackupError> {
    refuse(sqlite, to, force)?;
    let partial = with_suffix(to, &format!(".partial-{}", std::process::id()));
    let is_inbox_file = sqlite.inbox.is_some() && from == sqlite.inbox_path;
    let reading = if is_inbox_file { inbox_options(from) } else { options(from).read_only(true) };
    let copied = copy_and_check(&reading, from, &partial).await;
    let named = copied.and_then(|bytes| give_name(&partial, to, force).map(|()| bytes));
    // Removes the partial file, unless it was renamed.
    let _ = std::fs::remove_file(&partial);
    named
}

fn refuse(sqlite: &Sqlite, to: &Path, force: bool) -> Result<(), BackupError> {
    // SQLite takes names as text, and would make another file.
    if to.to_str().is_none() {
        return Err(BackupError::Name(to.to_owned()));
    }
    if is_own(sqlite, to) || is_part_of_a_database(to) {
        return Err(BackupError::InUse(to.to_owned()));
    }
    if to.exists() && !force {
        return Err(BackupError::Exists(to.to_owned()));
    }
    Ok(())
}

/// Whether it is a file of this database, whatever it is called.
fn is_own(sqlite: &Sqlite, to: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(target) = std::fs::metadata(to) else { return false };
    let own = [&sqlite.path, &sqlite.inbox_path].into_iter().flat_map(|path| {
        ["", "-wal", "-shm", "-journal", ".lock", ".ballast"].map(|suffix| beside_database(path, suffix))
    });
    let is_same = |own: PathBuf| {
        std::fs::metadata(own).is_ok_and(|own| (own.dev(), own.ino()) == (target.dev(), target.ino()))
    };
    own.into_iter().any(is_same)
}

/// Whether it is in use as a database, or is what such a one keeps beside it, as its name says.
fn is_part_of_a_database(to: &Path) -> bool {
    let name = to.to_string_lossy();
    let main = ["-wal", "-shm", "-journal"].iter().find_map(|suffix| name.strip_suffix(suffix));
    beside_database(to, "-wal").exists() || main.is_some_and(|main| Path::new(main).exists())
}

async fn copy_and_check(
    reading: &SqliteConnectOptions,
    from: &Path,
    partial: &Path,
) -> Result<u64, BackupError> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |source| BackupError::File { path: partial.to_owned(), source };
    let database = |source| BackupError::Database { path: from.to_owned(), source };
    // Created before SQLite opens it, so that other users can never read it.
    let file =
        File::options().read(true).write(true).create_new(true).mode(0o600).open(partial).map_err(failed)?;
    let mut connection = reading.connect().await.map_err(database)?;
    let copied = sqlx::query("vacuum into $1")
        .bind(partial.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await;
    let _ = connection.close().await;
    copied.map_err(database)?;
    check(partial).await?;
    file.sync_all().map_err(failed)?;
    Ok(file.metadata().map_err(failed)?.len())
}

async fn check(partial: &Path) -> Result<(), BackupError> {
    let database = |source| BackupError::Database { path: partial.to_owned(), source };
    let unsound = |problem| BackupError::Unsound { path: partial.to_owned(), problem };
    let copy = SqliteConnectOptions::new().filename(partial).read_only(true);
    let mut connection: SqliteConnection = copy.connect().await.map_err(database)?;
    let found: String = sqlx::query_scalar("select integrity_check from pragma_integrity_check limit 1")
        .fetch_one(&mut connection)
        .await
        .map_err(database)?;
    let broken: i64 = sqlx::query_scalar("select count(*) from pragma_foreign_key_check")
        .fetch_one(&mut connection)
        .await
        .map_err(database)?;
    let _ = connection.close().await;
    match (found.as_str(), broken) {
        ("ok", 0) => Ok(()),
        ("ok", broken) => Err(unsound(format!("{broken} rows point to rows that are not there"))),
        _ => Err(unsound(found)),
    }
}

/// Without `force`, a file that another program has put there meanwhile stays.
fn give_name(partial: &Path, to: &Path, force: bool) -> Result<(), BackupError> {
    let named = if force { std::fs::rename(partial, to) } else { std::fs::hard_link(partial, to) };
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let on_disk = named.and_then(|()| File::open(folder)?.sync_all());
    on_disk.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
        _ => BackupError::File { path: to.to_owned(), source },
    })
}
