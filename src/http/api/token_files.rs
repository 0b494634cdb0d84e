//! The token files, as digests. A file is read again only when it may have changed, so a call costs a look at each file
//! and no read of it.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::config::{self, KeyError};
use crate::domain::Millis;

/// A change within the same tick of the file system's clock leaves no trace, so a file this young is read again.
const SETTLED_AFTER_MS: i64 = 1_000;

/// Files that are remembered; far more than any configuration names.
const MOST_FILES: usize = 1_000;

/// What changes with a file: contents and mode change the time of its last change, a new file is another inode.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    size: u64,
    changed_at: (i64, i64),
}

#[derive(Default)]
pub(super) struct TokenFiles {
    read: Mutex<HashMap<PathBuf, (Look, [u8; 32])>>,
}

impl TokenFiles {
    /// The digest of the token that the file holds now.
    pub(super) fn digest(&self, path: &Path, now: Millis) -> Result<[u8; 32], KeyError> {
        // Before it is read: a change while it is read is seen at the next look.
        let look = look(path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(look), Some((seen, digest))) = (look, read.get(path))
            && look == *seen
        {
            return Ok(*digest);
        }
        let token = config::read_token(path).inspect_err(|_| {
            read.remove(path);
        })?;
        let digest: [u8; 32] = Sha256::digest(token.expose_secret().as_bytes()).into();
        match look.filter(|look| is_settled(look, now)) {
            Some(look) if read.len() < MOST_FILES || read.contains_key(path) => {
                read.insert(path.to_owned(), (look, digest));
            }
            _ => {
                read.remove(path);
            }
        }
        Ok(digest)
    }
}

fn is_settled(look: &Look, now: Millis) -> bool {
    let (seconds, nanoseconds) = look.changed_at;
    let changed_at = Millis(seconds.saturating_mul(1_000).saturating_add(nanoseconds / 1_000_000));
    now.since(changed_at) > SETTLED_AFTER_MS
}

fn look(path: &Path) -> Option<Look> {
    let found = std::fs::metadata(path).ok()?;
    Some(Look {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        changed_at: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Millis = Millis(i64::MAX / 2);

    #[test]
    fn a_file_is_read_again_when_it_changed_and_only_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        let private = |path: &Path| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("set");
        };
        let files = TokenFiles::default();
        assert!(files.digest(&path, LATER).is_err(), "no file");
        write("the-token-of-16-letters");
        private(&path);
        let first = files.digest(&path, LATER).expect("readable");
        assert_eq!(files.read.lock().expect("free").len(), 1);
        // The remembered digest is replaced: if it comes back, the file was not read again.
        files.read.lock().expect("free").get_mut(&path).expect("remembered").1 = [7; 32];
        assert_eq!(files.digest(&path, LATER).expect("readable"), [7; 32]);
        // Of the same size; the file system's clock may stand still for so short a time.
        let next = folder.path().join("next");
        std::fs::write(&next, "the-token-of-16-lettert").expect("written");
        private(&next);
        std::fs::rename(&next, &path).expect("replaced");
        let second = files.digest(&path, LATER).expect("readable");
        assert!(second != first && second != [7; 32]);
        std::fs::remove_file(&path).expect("removed");
        assert!(files.digest(&path, LATER).is_err());
        assert!(files.read.lock().expect("free").is_empty(), "a token of a file that is gone is not kept");
    }

    #[test]
    fn a_file_that_has_just_changed_is_not_remembered() {
        let look = |seconds| Look { device: 1, inode: 1, size: 1, changed_at: (seconds, 999_000_000) };
        assert!(!is_settled(&look(10), Millis(11_500)) && !is_settled(&look(10), Millis(9_000)));
        assert!(is_settled(&look(10), Millis(12_000)));
    }
}
