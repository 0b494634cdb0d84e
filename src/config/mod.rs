//! Configuration: typed, layered, checked before anything else runs.
//!
//! [`load`] merges the built-in defaults, the file, the environment and the command line. It returns a valid
//! [`Config`], or all mistakes, each with its key, its origin and the fix. An unknown key is a mistake too.
//! The environment is a parameter, so a test can have its own.
//!
//! `tree` holds every key: a field with its rule there, and its default and description in
//! `config/default.toml`. Nothing else names a key.
//!
//! Secrets are [`SecretString`](secrecy::SecretString)s: no `Debug`, error or change report shows them.
//! [`read_key`] reads key files.

mod changes;
mod error;
mod in_part;
mod kinds;
mod layers;
mod read;
mod rules;
mod scope;
mod secret;
mod sources;
mod suggest;
mod tree;
mod trust;

use std::{fmt, path::PathBuf};

pub use changes::{Changes, changes, in_force};
pub use error::{ConfigError, Problem};
pub use rules::duration;
pub use scope::Scope;
pub use secret::{KeyError, read_key, read_password, read_signing_secrets, read_token};
pub use tree::{
    Account, Api, CallSource, Config, Credits, Durability, Fleet, Http, Inbox, Log, LogFormat, Notify,
    Polling, Postgres, Price, RateLimit, Retention, Submit, Token,
};

/// The sources of a configuration.
#[derive(Clone)]
pub struct Inputs {
    /// `--config`: must exist when given.
    pub file: Option<PathBuf>,
    /// All environment variables, even those that are not ours.
    pub env: Vec<(String, String)>,
    /// Where `unlockd.toml` is searched, and the base of a relative `--config`.
    pub cwd: PathBuf,
    /// Read if no file was named and `cwd` has no `unlockd.toml`.
    pub system_file: PathBuf,
    pub overrides: Overrides,
}

/// What the command line sets directly.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub database: Option<PathBuf>,
    pub log_level: Option<String>,
}

impl Inputs {
    /// From the real environment and working directory.
    pub fn from_process(file: Option<PathBuf>, overrides: Overrides) -> Self {
        // `vars()` would panic on a variable that is not text, even on one that is not ours. A replacement
        // character marks it, and the layer that needs the variable refuses it.
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        Self {
            file,
            env: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
            cwd: std::env::current_dir().unwrap_or_default(),
            overrides,
            ..Self::default()
        }
    }
}

/// Built-in defaults and the system's file only.
impl Default for Inputs {
    fn default() -> Self {
        Self {
            file: None,
            env: Vec::new(),
            cwd: PathBuf::new(),
            system_file: PathBuf::from("/etc/unlockd/unlockd.toml"),
            overrides: Overrides::default(),
        }
    }
}

/// The environment holds keys: only its size is shown.
impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("file", &self.file)
            .field("env", &format_args!("{} variables", self.env.len()))
            .field("cwd", &self.cwd)
            .field("system_file", &self.system_file)
            .field("overrides", &self.overrides)
            .finish()
    }
}

/// Merges the layers and checks them. Returns a complete and valid configuration, or an error.
pub fn load(inputs: &Inputs) -> Result<Config, ConfigError> {
    load_for(inputs, None)
}

/// For a command that needs little more than the database: a configuration with mistakes is read without them, and
/// comes with the error. The defaults stand for what was left out, so nothing may be bought by it.
///
/// # Errors
/// No configuration, or one that does not surely say where the database is.
pub fn load_in_part(inputs: &Inputs) -> Result<(Config, Option<ConfigError>), ConfigError> {
    let error = match load(inputs) {
        Ok(config) => return Ok((config, None)),
        Err(error) => error,
    };
    match in_part::load(inputs, &error) {
        Some(config) => Ok((finished(config, inputs), Some(error))),
        None => Err(error),
    }
}

/// Loads again for a program that runs with `running`. Its file must still exist and must not
/// be empty: programs replace a file in several steps, and a read in between would replace every limit in it
/// by the default.
pub fn reload(inputs: &Inputs, running: &Config) -> Result<Config, ConfigError> {
    load_for(inputs, Some(running))
}

fn load_for(inputs: &Inputs, running: Option<&Config>) -> Result<Config, ConfigError> {
    let layers = layers::Layers::collect(inputs, running.and_then(|running| running.origin.as_deref()))?;
    let empty = layers
        .file
        .as_ref()
        .filter(|(_, text)| text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty())
        .map(|(path, _)| path.clone());
    let config = finished(read::read(layers).map_err(ConfigError::Invalid)?, inputs);
    match (running, empty) {
        (Some(running), Some(path)) if !changes(running, &config).is_empty() => {
            Err(ConfigError::Empty { path })
        }
        _ => Ok(config),
    }
}

/// What no layer can say.
fn finished(mut config: Config, inputs: &Inputs) -> Config {
    // The layer holds it as text, but a path may contain other bytes.
    if let Some(database) = &inputs.overrides.database {
        config.database = database.clone();
    }
    // The same file twice would be opened twice, and wait for its own lock.
    config.inbox.database = config.inbox.database.filter(|inbox| *inbox != config.database);
    config
}

#[cfg(test)]
mod tests;
