//! What keeps a database file from being opened, in words that say what to do. SQLite and the operating system name
//! neither the folder nor the file that a link leads to.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

/// Links that lead to links, at most, as on Linux.
const MOST_LINKS: usize = 40;

/// The file that a link leads to, also when it is not there yet. `None`: the links lead back to themselves.
pub(in crate::store) fn led_to(path: &Path) -> Option<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(next) = std::fs::read_link(&at) else { return Some(at) };
        at = at.parent().unwrap_or(Path::new("")).join(next);
    }
    None
}

/// What is in the way of a database at `path` whose file should have `mode`; `None` when nothing of this kind is.
pub(in crate::store) fn obstacle(path: &Path, mode: u32) -> Option<String> {
    let Some(file) = led_to(path) else {
        return Some("it is a link that leads back to itself: remove it".to_owned());
    };
    let link = if file == path { String::new() } else { format!("it is a link to {}, and ", file.display()) };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let shown = shown.display();
    let in_the_way = match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("the folder {shown} does not exist: make it, as the user that runs unlockd"))
        }
        Ok(found) => of_file(&file, mode)
            .or_else(|| of_access(&file))
            .or_else(|| of_folder(folder, &found).map(|why| format!("the folder {shown} {why}"))),
        Err(_) => None,
    };
    in_the_way.map(|why| format!("{link}{why}"))
}

/// SQLite makes files beside the database, also to read it.
fn of_folder(folder: &Path, found: &Metadata) -> Option<String> {
    let (mode, owner) = (found.permissions().mode() & 0o7777, found.uid());
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Err(Errno::ROFS) => Some(
            "is on a file system that is read-only: name a database elsewhere, or make it writable"
                .to_owned(),
        ),
        Err(Errno::ACCESS | Errno::PERM) => Some(format!(
            "cannot be written by this user (mode {mode:04o}, owner #{owner}), and files are made beside the database: run this as its owner, or name a database elsewhere"
        )),
        _ => None,
    }
}

/// It must be a file, closed to the users that are neither its owner nor of its group: to open it to a group is an
/// operator's decision.
pub(super) fn of_file(path: &Path, mode: u32) -> Option<String> {
    let found = std::fs::metadata(path).ok()?;
    if !found.is_file() {
        return Some("it is not a file, so nothing can be stored in it; move it away".to_owned());
    }
    let has = found.permissions().mode() & 0o777;
    (has & 0o007 != 0).then(|| {
        let shown = path.display();
        format!("its mode is {has:o}, which lets every user of this machine in; run: chmod {mode:o} {shown}")
    })
}

fn of_access(path: &Path) -> Option<String> {
    let found = std::fs::metadata(path).ok()?;
    let (mode, owner, shown) = (found.permissions().mode() & 0o7777, found.uid(), path.display());
    match access(path, Access::READ_OK | Access::WRITE_OK) {
        Err(Errno::ACCESS | Errno::PERM) => Some(format!(
            "{shown} cannot be written by this user (mode {mode:04o}, owner #{owner}): run this as its owner"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_in_the_way_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("real/unlockd.db", at("early.db")).unwrap();
        symlink("round.db", at("round.db")).unwrap();
        std::fs::create_dir(at("folder.db")).unwrap();
        let in_the_way = |name: &str| obstacle(&at(name), 0o600).unwrap_or_default();
        let missing = in_the_way("early.db");
        assert!(
            missing.starts_with("it is a link to ") && missing.contains("real does not exist: make it"),
            "{missing}"
        );
        assert!(
            in_the_way("none/unlockd.db").starts_with("the folder "),
            "{}",
            in_the_way("none/unlockd.db")
        );
        assert!(in_the_way("round.db").contains("back to itself"));
        assert!(in_the_way("folder.db").contains("not a file"));
        assert_eq!(in_the_way("new.db"), "");
        std::fs::create_dir(at("real")).unwrap();
        assert_eq!(in_the_way("early.db"), "");
    }
}
