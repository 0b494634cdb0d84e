//! Where the database lies: on which file system, and in whose folder.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// File systems of other machines. SQLite's write-ahead log needs memory that all who open the file share.
const REMOTE: [(u64, &str); 7] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "CephFS"),
    (0x6b41_4653, "AFS"),
];

fn remote(kind: u64) -> Option<&'static str> {
    REMOTE.iter().find(|(known, _)| *known == kind & 0xffff_ffff).map(|(_, name)| *name)
}

fn folder(database: &Path) -> &Path {
    database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What is wrong with the place of a database, and what to do about it.
pub(super) fn problems(database: &Path) -> Vec<(String, &'static str)> {
    let folder = folder(database);
    let shown = folder.display();
    let mut found = Vec::new();
    if let Some(name) = rustix::fs::statfs(folder).ok().and_then(|found| remote(found.f_type as u64)) {
        found.push((
            format!("{shown} is on {name}, where SQLite's write-ahead log does not work: the database may be damaged"),
            "move the database to a local disk",
        ));
    }
    let mode = std::fs::metadata(folder).map(|found| found.permissions().mode()).unwrap_or_default();
    if mode & 0o1002 == 0o002 {
        found.push((
            format!(
                "every user of this machine can replace the database: its folder {shown} has mode {:04o}",
                mode & 0o7777
            ),
            "run chmod o-w on the folder",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_known_by_their_numbers() {
        // As the kernel gives them, with the sign of a 32-bit number.
        assert_eq!(remote(0xffff_ffff_ff53_4d42), Some("SMB"));
        assert_eq!((remote(0x6969), remote(0xef53), remote(0x0102_1994)), (Some("NFS"), None, None));
    }

    #[test]
    fn a_folder_that_every_user_may_change_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let database = dir.path().join("unlockd.db");
        let said = |mode| {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).expect("set");
            problems(&database).into_iter().map(|(what, _)| what).collect::<Vec<_>>().join(" ")
        };
        assert!(said(0o777).contains("mode 0777"));
        assert_eq!((said(0o755), said(0o1777), said(0o770)), Default::default());
    }
}
