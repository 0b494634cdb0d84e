//! The database that a command works on.
//!
//! Only `run`, `demo` and `check` create one. Any other command ends with exit code 3 if there is none: if it
//! created one in the wrong directory, no worker would ever see the pause or the request written there.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::Failure;
use crate::config::Config;
use crate::store::{Store, StoreError};

/// Opens the database of the configuration, and creates it if it is missing.
pub(crate) async fn open(config: &Config) -> Result<Store, StoreError> {
    Store::open(&config.database, config.inbox.database.as_deref()).await
}

/// Opens the database, and creates none.
pub(crate) async fn existing(config: &Config) -> Result<Store, Failure> {
    for path in [Some(&config.database), config.inbox.database.as_ref()].into_iter().flatten() {
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) => return Err(not_found(path, &error, config)),
        };
        if File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            return Err(anyhow::Error::msg(denied(path, &found)).into());
        }
    }
    Ok(open(config).await?)
}

fn not_found(path: &Path, error: &io::Error, config: &Config) -> Failure {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
        // This user may not be allowed to read a folder of the path.
        let folder =
            whole.ancestors().skip(1).find_map(|folder| Some((folder, std::fs::metadata(folder).ok()?)));
        let why = match (error.kind(), folder) {
            (ErrorKind::PermissionDenied, Some((folder, found))) => {
                format!("{} is behind a folder: {}", whole.display(), denied(folder, &found))
            }
            _ => format!("cannot look at {}: {error}", whole.display()),
        };
        return anyhow::Error::msg(why).into();
    }
    let configuration = match &config.origin {
        Some(file) => format!("the configuration is {}", file.display()),
        None => "there is no configuration file: ./unlockd.toml and /etc/unlockd/unlockd.toml were tried"
            .to_owned(),
    };
    Failure::missing(format!(
        "there is no database {}; {configuration}. Name the worker's with --database FILE or --config FILE; \
         `unlockd run` makes a new one, this command does not",
        whole.display()
    ))
}

/// The owner of the file, and its mode.
fn denied(path: &Path, found: &Metadata) -> String {
    let (mode, owner) = (found.permissions().mode() & 0o7777, owner(found.uid()));
    let path = path.display();
    format!(
        "permission denied: {path}, mode {mode:04o}, owner {owner}; run this as that user (sudo -u {owner})"
    )
}

fn owner(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}
