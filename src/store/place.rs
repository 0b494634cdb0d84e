//! Where a database is: a file of SQLite, or a database of a PostgreSQL server.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::store::sqlite::obstacle::{led_to, obstacle};

/// The value of the configuration's `database`, with the password if it is in a file of its own.
#[derive(Clone, Debug)]
pub struct Place {
    /// A path, or a URL without a password: it may be shown.
    pub path: PathBuf,
    /// Only for PostgreSQL. Otherwise it comes from `PGPASSWORD` or `PGPASSFILE`.
    pub password: Option<SecretString>,
}

impl Place {
    /// Whether it is on a PostgreSQL server.
    pub fn is_server(path: &Path) -> bool {
        server_url(path).is_some()
    }

    /// What keeps a database file from being opened, if that is plain to see: then the error of opening it says this.
    pub fn obstacle(path: &Path) -> Option<String> {
        obstacle(path, 0o600)
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Place {
    fn from(path: &P) -> Place {
        Place { path: path.as_ref().to_owned(), password: None }
    }
}

/// The URL, if the path is one of PostgreSQL.
pub(in crate::store) fn server_url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.starts_with("postgres://") || text.starts_with("postgresql://"))
}

/// The file that goes with a database: beside the one that a link leads to, as SQLite's own, so that a database has one
/// lock by whatever name it is opened.
pub fn beside_database(path: &Path, suffix: &str) -> PathBuf {
    with_suffix(led_to(path).as_deref().unwrap_or(path), suffix)
}

/// The file beside another one whose name goes on with `suffix`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
