//! The configuration tree: every key once, with its type and its rule.
//!
//! A key is a field here and a commented line in `config/default.toml`, which holds its default; tests
//! compare the two. Everything else follows from the tree: what is read, which keys are unknown, which key
//! was probably meant, and which keys differ between two configurations.
//!
//! `Serialize` exists for those comparisons only: what it writes is not a configuration file.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::kinds::{
    ApiKey, BaseUrl, Cost, Database, FilePath, HostName, Hosts, Is, Length, Listen, LogLevel, Messages, Name,
    Names, ProxyUrl, Scopes, Steps, WebhookUrl, Whole, Word,
};
use super::rules;
use super::scope::Scope;

/// What an amount of credits can be.
type Amount = Whole<0, { i64::MAX }>;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file of SQLite, or the URL of a database of PostgreSQL; never with a password, so it may be shown.
    #[serde(with = "Is::<Database>")]
    pub database: PathBuf,
    #[serde(default, with = "Is::<Option<FilePath>>")]
    pub database_password_file: Option<PathBuf>,
    pub postgres: Postgres,
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
    pub fleet: Fleet,
    pub log: Log,
    /// Not a key: the file that was read, if any; it is the one to watch.
    #[serde(skip)]
    pub origin: Option<PathBuf>,
}

impl Config {
    /// Whose credits an account spends.
    pub fn owner_of<'a>(&'a self, account: &'a str) -> &'a str {
        self.accounts.get(account).and_then(|account| account.owner.as_deref()).unwrap_or(account)
    }
}

/// For a database of PostgreSQL.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    #[serde(with = "Is::<Word>")]
    pub durability: Durability,
}

/// What keeps a commit when the server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    Synchronous,
    Single,
    Storage,
    Verify,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Without a trailing slash.
    #[serde(with = "Is::<BaseUrl>")]
    pub base_url: String,
    #[serde(with = "Is::<Word>")]
    pub call_source: CallSource,
    #[serde(with = "Is::<Length>")]
    pub timeout: Duration,
    /// `http://host:port`.
    #[serde(default, with = "Is::<Option<ProxyUrl>>")]
    pub proxy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallSource {
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

/// At most one of the two keys is set; [`read_key`](super::read_key) reads whichever it is.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Account {
    #[serde(with = "Is::<Option<ApiKey>>")]
    pub api_key: Option<SecretString>,
    #[serde(with = "Is::<Option<FilePath>>")]
    pub api_key_file: Option<PathBuf>,
    /// `None`: an owner of the account's name.
    #[serde(with = "Is::<Option<Name>>")]
    pub owner: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    pub watch: bool,
    #[serde(with = "Is::<Length>")]
    pub interval: Duration,
    /// `None`: a table of the main database.
    #[serde(default, with = "Is::<Option<FilePath>>")]
    pub database: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Polling {
    /// Never empty.
    #[serde(with = "Is::<Steps>")]
    pub steps: Vec<Duration>,
    #[serde(with = "Is::<Length>")]
    pub give_up_after: Duration,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    #[serde(with = "Is::<Whole<1, 2000>>")]
    pub batch_size: u32,
    pub precheck: bool,
    #[serde(with = "Is::<Length>")]
    pub verify_after: Duration,
    #[serde(with = "Is::<Length>")]
    pub decide_after: Duration,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credits {
    #[serde(with = "Is::<Amount>")]
    pub approve_above: i64,
    pub approve_from_inbox: bool,
    #[serde(with = "Is::<Amount>")]
    pub min_balance: i64,
    #[serde(default, with = "Is::<Option<Amount>>")]
    pub daily_limit: Option<i64>,
    #[serde(default, with = "Is::<Option<Amount>>")]
    pub monthly_limit: Option<i64>,
    pub price: Price,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    #[serde(with = "Is::<Cost>")]
    pub email: i64,
    #[serde(with = "Is::<Cost>")]
    pub phone: i64,
    #[serde(with = "Is::<Cost>")]
    pub event: i64,
    #[serde(with = "Is::<Cost>")]
    pub visitors: i64,
    #[serde(with = "Is::<Cost>")]
    pub full_access: i64,
    #[serde(with = "Is::<Cost>")]
    pub search: i64,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    #[serde(with = "Is::<Whole<1, 100_000>>")]
    pub per_minute: u32,
    #[serde(with = "Is::<Whole<1, 100_000>>")]
    pub per_address: u32,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// A socket address, or "" for off.
    #[serde(with = "Is::<Listen>")]
    pub listen: String,
    #[serde(default, with = "Is::<Option<FilePath>>")]
    pub token_file: Option<PathBuf>,
    /// Without ports.
    #[serde(with = "Is::<Hosts>")]
    pub allowed_hosts: Vec<String>,
    /// Callers of the HTTP API, by name.
    #[serde(default)]
    pub tokens: BTreeMap<String, Token>,
}

/// What the holder of a token may do.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// This and the scopes are there: checked when everything is read, so that one mistake is one message.
    #[serde(default, with = "Is::<FilePath>")]
    pub token_file: PathBuf,
    /// Never empty.
    #[serde(default, with = "Is::<Scopes>")]
    pub scopes: Vec<Scope>,
    /// `None`: all accounts.
    #[serde(default, with = "Is::<Option<Names>>")]
    pub accounts: Option<Vec<String>>,
    /// Credits that it may ask for and approve in a UTC day.
    #[serde(default, with = "Is::<Option<Amount>>")]
    pub daily_credits: Option<i64>,
}

impl Http {
    /// Where to listen; `None` when it is off.
    pub fn address(&self) -> Option<SocketAddr> {
        rules::listen(&self.listen).ok().flatten()
    }
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    #[serde(default, with = "Is::<Option<WebhookUrl>>")]
    pub url: Option<String>,
    #[serde(default, with = "Is::<Option<FilePath>>")]
    pub secret_file: Option<PathBuf>,
    #[serde(with = "Is::<Messages>")]
    pub events: Vec<String>,
    pub allow_http: bool,
}

/// Many receivers have their secret in the path of the address, so it is not shown.
impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("url", &self.url.as_ref().map(|_| "[REDACTED]"))
            .field("secret_file", &self.secret_file)
            .field("events", &self.events)
            .field("allow_http", &self.allow_http)
            .finish()
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    #[serde(default, with = "Is::<Option<Length>>")]
    pub contacts: Option<Duration>,
    #[serde(default, with = "Is::<Option<Length>>")]
    pub history: Option<Duration>,
}

/// Several workers on one database of PostgreSQL.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// `None`: the name of this machine.
    #[serde(default, with = "Is::<Option<HostName>>")]
    pub host: Option<String>,
    #[serde(with = "Is::<Length>")]
    pub lease: Duration,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    #[serde(with = "Is::<Word>")]
    pub format: LogFormat,
    #[serde(with = "Is::<LogLevel>")]
    pub level: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Auto,
    Pretty,
    Json,
}
