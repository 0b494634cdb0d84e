//! Whether the `unlockd.toml` of the working directory may be read: it names the server that gets the API key.
//!
//! A person who runs a command in somebody else's folder, perhaps as root, has not chosen that file. A file that was
//! named (`--config`, `UNLOCKD_CONFIG`) was chosen, and is not checked here.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Why the file is not to be trusted; `None`: it is the caller's own or root's, and nobody else can change it.
pub(super) fn distrust(file: &Path, found: &Metadata) -> io::Result<Option<String>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A link is its owner's word, too.
    let link = std::fs::symlink_metadata(file)?;
    let of_folder = std::fs::metadata(folder)?;
    let caller = rustix::process::geteuid().as_raw();
    let why = [("it", found), ("it", &link), ("its folder", &of_folder)]
        .into_iter()
        .find_map(|(what, found)| Some(format!("{what} {}", of_others(found, caller)?)));
    Ok(why)
}

/// In which way it is not the caller's alone.
fn of_others(found: &Metadata, caller: u32) -> Option<String> {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    if owner != caller && owner != 0 {
        return Some(format!("belongs to user {owner}, and you are user {caller}"));
    }
    // The mode of a link says nothing. In a sticky folder, such as /tmp, only its owner can replace a file.
    if found.file_type().is_symlink() || (found.is_dir() && mode & 0o1000 != 0) {
        return None;
    }
    // A group of one: many systems give each user a group with the same number.
    let has_private_group = found.gid() == owner;
    let writers = if has_private_group { 0o002 } else { 0o022 };
    (mode & writers != 0).then(|| format!("can be changed by other users (mode {mode:04o})"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn said(file_mode: u32, folder_mode: u32) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("unlockd.toml");
        std::fs::write(&file, "").expect("written");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        set(&file, file_mode);
        set(folder.path(), folder_mode);
        let said = distrust(&file, &std::fs::metadata(&file).expect("there")).expect("readable");
        set(folder.path(), 0o700);
        said
    }

    #[test]
    fn a_file_that_others_may_change_is_not_trusted() {
        for (file, folder) in [(0o600, 0o700), (0o644, 0o755), (0o444, 0o555), (0o600, 0o1777)] {
            assert_eq!(said(file, folder), None, "{file:o} {folder:o}");
        }
        let file = said(0o666, 0o755).expect("not trusted");
        assert!(file.starts_with("it can be changed by other users (mode 0666)"), "{file}");
        let folder = said(0o600, 0o777).expect("not trusted");
        assert!(folder.starts_with("its folder can be changed"), "{folder}");
    }

    #[test]
    fn a_file_of_another_user_is_not_trusted_and_one_of_root_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = std::fs::metadata(folder.path()).expect("there");
        let owner = found.uid();
        assert_eq!(of_others(&found, owner), None);
        match owner {
            0 => assert_eq!(of_others(&found, 1234), None, "root's"),
            _ => assert!(of_others(&found, owner + 1).is_some_and(|why| why.contains("belongs to user"))),
        }
        assert!(
            of_others(&std::fs::metadata("/proc/self").expect("there"), u32::MAX).is_some() || owner == 0
        );
    }
}
