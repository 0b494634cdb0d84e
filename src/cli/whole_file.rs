//! A file that gets its name only when it is complete.
//!
//! It is written next to the file that it replaces, and renamed at the end: a failure midway leaves the old
//! file unchanged. A path whose file must not be replaced is refused before anything is written.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Failure;
use crate::config::Config;
use crate::store::place::beside_database;

/// A file that is being written. If it is dropped before the end, it is removed.
pub(super) struct WholeFile {
    path: PathBuf,
    /// The file being written; `None` for a device or a pipe, which is written directly.
    partial: Option<PathBuf>,
    file: File,
}

impl WholeFile {
    /// Begins a file that only its owner can read, since it holds personal data. Exit code 4 if writing it
    /// would damage another file.
    pub(super) fn begin(path: &Path, config: &Config) -> Result<WholeFile, Failure> {
        let cannot = || format!("cannot write {}", path.display());
        let found = match std::fs::symlink_metadata(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(anyhow::Error::new(error).context(cannot()).into()),
        };
        // /dev/stdout is a link to a pipe or a terminal: there is nothing to replace.
        if let Ok(target) = std::fs::metadata(path)
            && is_stream(&target)
        {
            let file = OpenOptions::new().write(true).open(path).with_context(cannot)?;
            return Ok(WholeFile { path: path.to_owned(), partial: None, file });
        }
        if let Some(problem) = found.and_then(|found| damage(path, &found, config)) {
            return Err(Failure::refused(format!("{}: {problem}; name another file", cannot())));
        }
        let partial = beside(path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.with_context(cannot)?;
        let whole = WholeFile { path: path.to_owned(), partial: Some(partial), file };
        whole.file.set_permissions(Permissions::from_mode(0o600)).with_context(cannot)?;
        Ok(whole)
    }

    /// The file to write to; flush it before the end.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its name, once it is on disk.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let Some(partial) = &self.partial else { return Ok(()) };
        let cannot = || format!("cannot write {}", self.path.display());
        self.file.sync_all().with_context(cannot)?;
        std::fs::rename(partial, &self.path).with_context(cannot)?;
        self.partial = None;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Some file systems cannot sync a folder; the file itself is safe.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            let _ = std::fs::remove_file(partial);
        }
    }
}

/// Hidden, and with the process id: two exports do not write into the same file.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".partial-{}", std::process::id()));
    path.with_file_name(name)
}

fn is_stream(found: &Metadata) -> bool {
    let kind = found.file_type();
    kind.is_char_device() || kind.is_fifo() || kind.is_socket()
}

/// The damage that replacing this file would do.
fn damage(path: &Path, found: &Metadata, config: &Config) -> Option<&'static str> {
    if found.file_type().is_symlink() {
        return Some("it is a link to another file");
    }
    if !found.is_file() {
        return Some("it is not a file");
    }
    if found.nlink() > 1 {
        return Some("it has another name as well (a hard link)");
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Some("it belongs to another user");
    }
    if found.permissions().readonly() {
        return Some("it is read-only");
    }
    let is_this = |own: &PathBuf| {
        std::fs::metadata(own).is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
    };
    if own_files(config).iter().any(is_this) || is_part_of_a_database(path) {
        return Some("unlockd itself uses it");
    }
    None
}

fn own_files(config: &Config) -> Vec<PathBuf> {
    let databases = [Some(&config.database), config.inbox.database.as_ref()];
    let suffixes = ["", "-wal", "-shm", "-journal", ".lock"];
    let of_databases =
        databases.into_iter().flatten().flat_map(|path| suffixes.map(|suffix| beside_database(path, suffix)));
    let keys = config.accounts.values().filter_map(|account| account.api_key_file.clone());
    let secrets =
        [&config.origin, &config.http.token_file, &config.notify.secret_file, &config.database_password_file];
    of_databases.chain(keys).chain(secrets.into_iter().flatten().cloned()).collect()
}

/// Whether it is any SQLite database, or the write-ahead log of one, by its first bytes.
fn is_part_of_a_database(path: &Path) -> bool {
    let mut start = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && (start == *b"SQLite format 3\0" || matches!(start, [0x37, 0x7f, 0x06, 0x82 | 0x83, ..]))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::{self, Inputs, Overrides};

    fn config(dir: &Path) -> Config {
        let (file, env, system_file) = (None, vec![], dir.join("none"));
        let inputs = Inputs { file, env, cwd: dir.to_owned(), system_file, overrides: Overrides::default() };
        let config = config::load(&inputs).expect("the defaults");
        Config { database: dir.join("unlockd.db"), ..config }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let (config, path) = (config(dir.path()), dir.path().join("leads.csv"));
        std::fs::write(&path, "yesterday").expect("written");
        let failed = WholeFile::begin(&path, &config).expect("begun");
        failed.writer().expect("open").write_all(b"half").expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"yesterday");
        drop(failed);
        assert_eq!(names(dir.path()), ["leads.csv"]);
        let whole = WholeFile::begin(&path, &config).expect("begun");
        whole.writer().expect("open").write_all(b"today").expect("written");
        whole.finish().expect("renamed");
        assert_eq!(std::fs::read(&path).expect("there"), b"today");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()), ["leads.csv"]);
    }

    #[test]
    fn what_it_would_damage_is_refused_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let mut config = config(dir.path());
        config.http.token_file = Some(at("token"));
        for name in ["target", "unlockd.db", "unlockd.db-wal", "unlockd.db.lock", "token", "locked"] {
            std::fs::write(at(name), name).expect("written");
        }
        std::fs::write(at("other.db"), b"SQLite format 3\0rest").expect("written");
        std::fs::write(at("other.db-wal"), b"\x37\x7f\x06\x82 and twelve more").expect("written");
        std::os::unix::fs::symlink(at("target"), at("link")).expect("linked");
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).expect("linked");
        std::fs::hard_link(at("target"), at("second name")).expect("linked");
        std::fs::create_dir(at("folder")).expect("made");
        std::fs::set_permissions(at("locked"), Permissions::from_mode(0o400)).expect("set");
        let before = names(dir.path());
        for (name, why) in [
            ("link", "a link"),
            ("dangling", "a link"),
            ("target", "hard link"),
            ("folder", "not a file"),
            ("locked", "read-only"),
            ("unlockd.db", "itself uses"),
            ("unlockd.db-wal", "itself uses"),
            ("unlockd.db.lock", "itself uses"),
            ("token", "itself uses"),
            ("other.db", "itself uses"),
            ("other.db-wal", "itself uses"),
        ] {
            let refused = WholeFile::begin(&at(name), &config).map(|_| ()).expect_err(name);
            assert_eq!(refused.code, 4, "{name}");
            assert!(refused.error.to_string().contains(why), "{name}: {}", refused.error);
        }
        assert_eq!(names(dir.path()), before);
        assert!(WholeFile::begin(Path::new("/dev/null"), &config).expect("a device").finish().is_ok());
        assert!(WholeFile::begin(&at("no/such/folder"), &config).is_err());
    }
}
