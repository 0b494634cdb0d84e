//! API keys, the page's token and webhook secrets: from the configuration, or from a file read at the moment
//! of use.
//!
//! The file is read again each time, so a secret can be changed while the program runs. A file that every user
//! of the machine can read is refused, with the command that fixes it. Errors name the file, never its content.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::{Account, rules};

/// Far more than any key needs, so that a large file named by mistake does not fill the memory.
const LARGEST: u64 = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the {what} file {}: {cause}", shown(path))]
    Unreadable { what: &'static str, path: PathBuf, cause: io::Error },
    #[error(
        "the {what} file {} cannot be read by this process, which is user {user} (the file: mode {mode:04o}, owner {owner}): \
         make that user its owner (chown {user}, chmod 0400), or run this as user {owner}",
        shown(path)
    )]
    Denied { what: &'static str, path: PathBuf, user: u32, owner: u32, mode: u32 },
    #[error(
        "the {what} file {} is a directory (a container engine makes one when -v names a file that is missing: use --mount \
         type=bind, which refuses that)",
        shown(path)
    )]
    Directory { what: &'static str, path: PathBuf },
    #[error("the {what} file {} is not a regular file", shown(path))]
    NotAFile { what: &'static str, path: PathBuf },
    // The group may read it: service managers set 0400 or 0440.
    #[error(
        "the {what} file {0} can be read or written by every user of this machine (mode {mode:04o}): run chmod o-rwx {0} \
         (for a secret that Docker or Kubernetes mounts: set its mode to 0440)",
        shown(path)
    )]
    TooOpen { what: &'static str, path: PathBuf, mode: u32 },
    #[error("the {what} file {} is not usable: {reason}", shown(path))]
    BadFile { what: &'static str, path: PathBuf, reason: &'static str },
    #[error("the configured API key is not usable: {reason}")]
    BadValue { reason: &'static str },
}

/// The path of a secret's file, as far as it may be shown: people put the secret itself where its file belongs.
pub(super) fn shown(path: &Path) -> String {
    match looks_like_a_secret(&path.to_string_lossy()) {
        true => "(not shown: it looks like the secret itself, and this key takes the path of a file that holds it)".to_owned(),
        false => path.display().to_string(),
    }
}

/// Whether a text is rather a secret than the path of one. A path that is taken for a secret is only not shown.
pub(super) fn looks_like_a_secret(text: &str) -> bool {
    const BEGINNINGS: [&str; 5] = ["uak_", "lsk_", "whsec_", "sk_", "Bearer "];
    let has = |of: fn(&char) -> bool| text.chars().any(|c| of(&c));
    let is_path = text.starts_with(['/', '.', '~']) || text.contains('.');
    let is_mixed =
        has(char::is_ascii_digit) && has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let is_word = !text.contains('/') && has(char::is_ascii_digit);
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        || (!is_path && text.len() >= 16 && (is_word || is_mixed))
}

/// The account's key as it is now; `None` when none is configured.
pub fn read_key(account: &Account) -> Result<Option<SecretString>, KeyError> {
    if let Some(path) = &account.api_key_file {
        return read_file("API key", path, rules::api_key).map(Some);
    }
    let Some(key) = &account.api_key else {
        return Ok(None);
    };
    let key = key.expose_secret().trim();
    rules::api_key(key).map_err(|reason| KeyError::BadValue { reason })?;
    Ok(Some(SecretString::from(key)))
}

/// The present password of the database's role.
pub fn read_password(path: &Path) -> Result<SecretString, KeyError> {
    read_file("database password", path, rules::password)
}

/// The present token of the status page.
pub fn read_token(path: &Path) -> Result<SecretString, KeyError> {
    read_file("token", path, rules::token)
}

/// The present secrets for signing webhooks: `whsec_` and base64 each. There may be several, one on each
/// line, while a receiver changes from one to the next.
pub fn read_signing_secrets(path: &Path) -> Result<Vec<SecretSlice<u8>>, KeyError> {
    let text = read_file("webhook secret", path, rules::signing_secrets)?;
    let bytes = text.expose_secret().split_ascii_whitespace().filter_map(rules::signing_secret);
    Ok(bytes.map(SecretSlice::from).collect())
}

fn read_file(
    what: &'static str,
    path: &Path,
    rule: fn(&str) -> Result<(), &'static str>,
) -> Result<SecretString, KeyError> {
    let unreadable = |cause| KeyError::Unreadable { what, path: path.to_owned(), cause };
    // Checked before opening: opening a pipe would wait for its writer.
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if found.is_dir() {
        return Err(KeyError::Directory { what, path: path.to_owned() });
    }
    if !found.is_file() {
        return Err(KeyError::NotAFile { what, path: path.to_owned() });
    }
    let file = File::open(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::PermissionDenied => denied(what, path, &found),
        _ => unreadable(cause),
    })?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(KeyError::TooOpen { what, path: path.to_owned(), mode });
    }
    let bad = |reason| KeyError::BadFile { what, path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not text"))?;
    let secret = text.trim();
    rule(secret).map_err(bad)?;
    Ok(SecretString::from(secret))
}

/// Who is asked, and whose the file is: in a container or under a service manager neither is the person's own name.
fn denied(what: &'static str, path: &Path, found: &Metadata) -> KeyError {
    let user = rustix::process::geteuid().as_raw();
    KeyError::Denied { what, path: path.to_owned(), user, owner: found.uid(), mode: found.mode() & 0o7777 }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn account(api_key_file: &Path) -> Account {
        Account { api_key: None, api_key_file: Some(api_key_file.to_owned()), owner: None }
    }

    fn file_with(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn the_file_is_read_each_time_and_trimmed() {
        let (_dir, path) = file_with(b"  lsk_one\n", 0o600);
        let read = || read_key(&account(&path)).unwrap().unwrap();
        assert_eq!(read().expose_secret(), "lsk_one");
        fs::write(&path, "lsk_two\r\n").unwrap();
        assert_eq!(read().expose_secret(), "lsk_two");
    }

    #[test]
    fn a_secret_in_the_place_of_its_file_is_never_shown() {
        for secret in [
            "uak_live_canary",
            "whsec_canary",
            "canary-token-0815-4711",
            "Canary/3f9a+77Qz/abcd1234==",
            "0123456789abcdef0123456789abcdef",
        ] {
            let account = account(Path::new(secret));
            for said in [
                read_key(&account).unwrap_err().to_string(),
                read_token(Path::new(secret)).unwrap_err().to_string(),
                read_signing_secrets(Path::new(secret)).unwrap_err().to_string(),
            ] {
                assert!(!said.contains(secret) && said.contains("takes the path of a file"), "{said}");
            }
        }
        for path in [
            "/etc/unlockd/key",
            "key",
            "keys/lensmor",
            "./uak",
            "lensmor-api-key",
            "/run/secrets/Key123456789012",
        ] {
            assert_eq!(shown(Path::new(path)), path);
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_chmod() {
        for mode in [0o400, 0o440, 0o600, 0o640] {
            let (_dir, path) = file_with(b"lsk_canary", mode);
            assert!(read_key(&account(&path)).is_ok(), "{mode:o}");
        }
        for mode in [0o644, 0o604, 0o602, 0o601] {
            let (_dir, path) = file_with(b"lsk_canary", mode);
            let said = read_key(&account(&path)).unwrap_err().to_string();
            let chmod = format!("chmod o-rwx {}", path.display());
            assert!(said.contains(&chmod) && !said.contains("canary"), "{said}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_a_header_is_refused_without_showing_it() {
        for content in ["", " \n", "canary key", "canary\nkey", "canaryé", "canary\u{0}"] {
            let (_dir, path) = file_with(content.as_bytes(), 0o600);
            let said = format!("{0} {0:?}", read_key(&account(&path)).unwrap_err());
            assert!(said.contains(&path.display().to_string()), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
        let (_dir, path) = file_with(b"canary\xff", 0o600);
        assert!(matches!(read_key(&account(&path)), Err(KeyError::BadFile { .. })));
    }

    #[test]
    fn a_missing_file_and_a_directory_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let said = read_key(&account(&missing)).unwrap_err().to_string();
        assert!(said.contains(&missing.display().to_string()), "{said}");
        assert!(matches!(read_key(&account(dir.path())), Err(KeyError::Directory { .. })));
        assert!(matches!(read_key(&account(Path::new("/dev/null"))), Err(KeyError::NotAFile { .. })));
    }

    #[test]
    fn a_file_that_this_user_may_not_read_is_named_with_its_owner_its_mode_and_the_user() {
        let (_dir, path) = file_with(b"lsk_canary", 0o400);
        let found = fs::metadata(&path).unwrap();
        let said = denied("API key", &path, &found).to_string();
        let user = rustix::process::geteuid().as_raw();
        for part in [format!("user {user}"), format!("mode 0400, owner {user}"), path.display().to_string()] {
            assert!(said.contains(&part) && !said.contains("canary"), "{said}");
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_or_read_by_all_is_refused() {
        for content in ["", " \n", "canary-canary-1", "canary canary canary"] {
            let (_dir, path) = file_with(content.as_bytes(), 0o600);
            let said = read_token(&path).unwrap_err().to_string();
            assert!(said.starts_with("the token file") && !said.contains("canary"), "{said}");
        }
        let (_dir, path) = file_with(b"canary-canary-16\n", 0o600);
        assert_eq!(read_token(&path).unwrap().expose_secret(), "canary-canary-16");
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(read_token(&path), Err(KeyError::TooOpen { .. })));
    }

    #[test]
    fn signing_secrets_are_read_one_from_a_line() {
        let one = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
        let (_dir, path) = file_with(format!("{one}\n{one}\n").as_bytes(), 0o600);
        let read = read_signing_secrets(&path).unwrap();
        assert!(read.len() == 2 && read.iter().all(|s| s.expose_secret() == b"0123456789abcdef01234567"));
        for content in ["", "canary", "whsec_", "whsec_Y2FuYXJ5", "whsec_****canary****canary"] {
            let (_dir, path) = file_with(content.as_bytes(), 0o600);
            let said = read_signing_secrets(&path).unwrap_err().to_string();
            assert!(said.starts_with("the webhook secret file"), "{said}");
            assert!(!said.contains("canary") && !said.contains("Y2FuYXJ5"), "{said}");
        }
    }

    #[test]
    fn no_key_is_not_an_error() {
        let none = Account::default();
        assert!(read_key(&none).unwrap().is_none());
    }
}
