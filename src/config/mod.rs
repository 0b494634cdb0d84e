//! Configuration: typed, layered, checked before anything else runs.
//!
//! [`load`] merges the built-in defaults, the file, the environment and the command line, and either hands
//! out a [`Config`] in which every value makes sense, or says everything that does not, each with its key,
//! its origin and what would be right. An unknown key is a mistake like any other. The environment is
//! handed in, so a test can have its own.
//!
//! Secrets are [`SecretString`]s: no `Debug`, error or change report shows them. [`read_key`] reads key files.

mod changes;
mod error;
mod keys;
mod layers;
mod read;
mod rules;
mod secret;
mod sources;
mod values;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;

pub use changes::{Changes, changes};
pub use error::{ConfigError, Problem};
pub use secret::{KeyError, read_key, read_signing_secrets, read_token};

#[derive(Debug, Clone)]
pub struct Config {
    pub database: PathBuf,
    pub api: Api,
    /// By name; `default` is always there.
    pub accounts: BTreeMap<String, Account>,
    pub inbox: Inbox,
    pub polling: Polling,
    pub submit: Submit,
    pub credits: Credits,
    pub rate_limit: RateLimit,
    pub http: Http,
    pub notify: Notify,
    pub retention: Retention,
    pub log: Log,
    /// The file that was read, if any: the one to watch.
    pub origin: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Api {
    /// Without a trailing slash.
    pub base_url: String,
    pub call_source: CallSource,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallSource {
    #[default]
    Api,
    Agent,
}

impl CallSource {
    /// The value of the `x-call-source` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Agent => "agent",
        }
    }
}

/// At most one of the two is set; [`read_key`] reads whichever it is.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub api_key: Option<SecretString>,
    pub api_key_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Inbox {
    pub watch: bool,
    pub interval: Duration,
    /// `None`: a table of the main database.
    pub database: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Polling {
    /// Never empty.
    pub steps: Vec<Duration>,
    pub give_up_after: Duration,
}

#[derive(Debug, Clone)]
pub struct Submit {
    pub batch_size: u32,
    pub precheck: bool,
    pub verify_after: Duration,
    pub decide_after: Duration,
}

#[derive(Debug, Clone)]
pub struct Credits {
    pub approve_above: i64,
    pub min_balance: i64,
    pub daily_limit: Option<i64>,
    pub price: Price,
}

#[derive(Debug, Clone)]
pub struct Price {
    pub email: i64,
    pub phone: i64,
    pub event: i64,
    pub search: i64,
}

#[derive(Debug, Clone)]
pub struct RateLimit {
    pub per_minute: u32,
}

#[derive(Debug, Clone)]
pub struct Http {
    /// A socket address, or "" for off.
    pub listen: String,
    pub token_file: Option<PathBuf>,
}

impl Http {
    /// Where to listen; `None` when it is off.
    pub fn address(&self) -> Option<SocketAddr> {
        rules::listen(&self.listen).ok().flatten()
    }
}

#[derive(Clone)]
pub struct Notify {
    pub url: Option<String>,
    pub secret_file: Option<PathBuf>,
}

/// Many receivers put their secret into the path of the address, so it is not shown.
impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("url", &self.url.as_ref().map(|_| "[REDACTED]"))
            .field("secret_file", &self.secret_file)
            .finish()
    }
}

#[derive(Debug, Clone)]
pub struct Retention {
    pub contacts: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Auto,
    Pretty,
    Json,
}

/// Everything a configuration is made from.
#[derive(Clone)]
pub struct Inputs {
    /// `--config`: must exist when given.
    pub file: Option<PathBuf>,
    /// All environment variables, also those that are not ours.
    pub env: Vec<(String, String)>,
    /// Where `unlockd.toml` is looked for, and what a relative `--config` counts from.
    pub cwd: PathBuf,
    /// Read when nothing was named and `cwd` has no `unlockd.toml`.
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

/// The environment holds keys: only how much of it there is can be shown.
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

/// Merges the layers and checks them. The configuration is complete and sound, or there is none.
pub fn load(inputs: &Inputs) -> Result<Config, ConfigError> {
    let layers = layers::Layers::collect(inputs)?;
    let mut config = read::read(layers).map_err(ConfigError::Invalid)?;
    // The layer holds it as text, which a path need not be.
    if let Some(database) = &inputs.overrides.database {
        config.database = database.clone();
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
