//! The database that a command works on.
//!
//! Only `run`, `demo`, `check` and `migrate` create it. Any other command ends with exit code 3 if there is none: a
//! database in the wrong directory would take the pause or the request, and no worker would ever see it. Only `run` and
//! `migrate` change an old schema, since that would stop a worker of another version that uses the database.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::clock::Clock;
use crate::config::{Config, read_password};
use crate::store::inbox::served::{self, Served};
use crate::store::lease;
use crate::store::place::Place;
use crate::store::{Store, StoreError};

/// Opens the database that the configuration names, and makes it when it is not there. One of an older schema
/// stays as it is.
pub(crate) async fn open_as_it_is(config: &Config) -> Result<Store, StoreError> {
    Store::open_as_it_is(place(config)?, config.inbox.database.as_deref()).await
}

/// The same, with the inbox that the last worker has noted.
pub(crate) async fn open_noted(config: &Config) -> Result<Store, StoreError> {
    let (inbox, _) = inbox(config).await;
    Store::open_as_it_is(place(config)?, inbox.as_deref()).await
}

/// The same, and its schema must be this version's.
pub(crate) async fn open(config: &Config) -> Result<Store, StoreError> {
    let store = open_noted(config).await?;
    store.expect_current().await?;
    Ok(store)
}

/// Opens the database, and creates none. One that was copied to another is closed.
pub(crate) async fn existing(config: &Config) -> Result<Store, Failure> {
    let store = existing_even_closed(config).await?;
    store.expect_open().await?;
    Ok(store)
}

/// The same, for commands that read or erase what is there.
pub(crate) async fn existing_even_closed(config: &Config) -> Result<Store, Failure> {
    there(config, async |path, inbox| Store::open_existing(path, inbox).await).await
}

/// The same, whatever version's schema it has: a backup before an upgrade is often made with the new program.
pub(crate) async fn existing_to_copy(config: &Config) -> Result<Store, Failure> {
    there(config, async |path, inbox| Store::open_to_copy(path, inbox).await).await
}

/// `open`: how a file is opened; a server is opened in one way.
async fn there(
    config: &Config,
    open: impl AsyncFnOnce(&Path, Option<&Path>) -> Result<Store, StoreError>,
) -> Result<Store, Failure> {
    if Place::is_server(&config.database) {
        return on_server(config).await;
    }
    let (inbox, differs) = inbox(config).await;
    let path = &config.database;
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return Err(not_found(path, &error, config)),
    };
    if File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        return Err(anyhow::Error::msg(denied(path, &found)).into());
    }
    if let (Some(Served::Own(served)), None) = (&differs, &inbox)
        && !served.exists()
    {
        return Err(unmounted(served));
    }
    let store = open(path, inbox.as_deref()).await?;
    match differs {
        Some(served) if lease::read(&store).await?.is_alive(Clock::real().now()) => Err(another(&served)),
        _ => Ok(store),
    }
}

/// A database of a server: without our tables it is none yet.
async fn on_server(config: &Config) -> Result<Store, Failure> {
    let opened = Store::open_existing(place(config)?, config.inbox.database.as_deref()).await;
    match opened {
        Err(StoreError::NoTables { path }) => Err(Failure::missing(format!(
            "there is no database of unlockd at {path}: createdb makes an empty one, and `unlockd run` its tables; this \
             command makes nothing. Or name another one with --database URL or --config FILE"
        ))),
        opened => Ok(opened?),
    }
}

/// Where the database is, and the file of the inbox if it has one.
pub(super) async fn parts(config: &Config) -> Result<(Place, Option<PathBuf>), StoreError> {
    let (inbox, _) = inbox(config).await;
    Ok((place(config)?, inbox))
}

/// Where the database is, with the password if it is in a file of its own.
pub(super) fn place(config: &Config) -> Result<Place, StoreError> {
    let path = config.database.clone();
    let password = config
        .database_password_file
        .as_deref()
        .map(read_password)
        .transpose()
        .map_err(|error| StoreError::open(&path, error))?;
    Ok(Place { path, password })
}

/// The file of the inbox, if it has one of its own: as configured, or else as the last worker has noted. With it what
/// that worker serves, when the configuration names another one.
async fn inbox(config: &Config) -> (Option<PathBuf>, Option<Served>) {
    let configured = config.inbox.database.clone();
    match (served::read(&config.database).await, configured) {
        // The service alone may know it, by a variable of its unit.
        (Some(Served::Own(path)), None) if path.exists() => (Some(path), None),
        (Some(served), configured) if !served.is(configured.as_deref()) => (configured, Some(served)),
        (_, configured) => (configured, None),
    }
}

/// In a container, say, that lacks the volume of the inbox.
fn unmounted(served: &Path) -> Failure {
    Failure::missing(format!(
        "the last worker of this database served the inbox {}, and there is no such file here, so nothing was done: use the \
         worker's configuration and volumes, or start the worker with this configuration first",
        served.display()
    ))
}

/// A row that is written elsewhere would never be taken.
fn another(served: &Served) -> Failure {
    let serves = match served {
        Served::Shared => "the inbox table of the database itself".to_owned(),
        Served::Own(path) => format!("the inbox {}", path.display()),
    };
    Failure::refused(format!(
        "the worker that is running serves {serves}, and this command is configured for another one (inbox.database), \
         so nothing was done: use the worker's configuration (--config FILE), or restart the worker with this one"
    ))
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
