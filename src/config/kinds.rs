//! The kinds of values that keys accept: each reads one value, or says which form is right.
//!
//! Types are strict: a number in quotes is no number. The form of a text is checked in [`rules`]; an `Err`
//! is the end of a sentence that begins with the key, and does not repeat the value.

use std::{fmt::Debug, marker::PhantomData, path::PathBuf, time::Duration};

use figment::{error::Kind as ErrorKind, value::Value};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serializer, de, de::DeserializeOwned, de::IntoDeserializer};
use sha2::{Digest, Sha256};

use super::rules;
use super::scope::Scope;

/// A kind of value, stored as a `T`.
pub(super) trait Kind<T: Debug> {
    fn read(value: &Value) -> Result<T, String>;

    /// A text that differs if the value differs.
    fn mark(value: &T) -> String {
        format!("{value:?}")
    }
}

/// Lets a field name the rule for its value: `#[serde(with = "Is::<KIND>")]`.
pub(super) struct Is<K>(PhantomData<K>);

impl<K> Is<K> {
    pub(super) fn deserialize<'de, T: Debug, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>
    where
        K: Kind<T>,
    {
        K::read(&<Value as Deserialize>::deserialize(from)?).map_err(de::Error::custom)
    }

    pub(super) fn serialize<T: Debug, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error>
    where
        K: Kind<T>,
    {
        to.serialize_str(&K::mark(value))
    }
}

/// Not set, or of kind `K`. An empty text unsets what an earlier layer set.
impl<T: Debug, K: Kind<T>> Kind<Option<T>> for Option<K> {
    fn read(value: &Value) -> Result<Option<T>, String> {
        if value.as_str() == Some("") {
            return Ok(None);
        }
        K::read(value).map(Some)
    }

    fn mark(value: &Option<T>) -> String {
        format!("{:?}", value.as_ref().map(K::mark))
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "must be a text in quotes".to_owned())
}

pub(super) struct FilePath;

impl Kind<PathBuf> for FilePath {
    fn read(value: &Value) -> Result<PathBuf, String> {
        let text = text(value)?;
        // The operating system refuses a zero byte in a path with a less clear message.
        if text.is_empty() || text.contains('\0') {
            return Err("must be the path of a file".to_owned());
        }
        Ok(PathBuf::from(text))
    }
}

/// A path, or the URL of a database of PostgreSQL.
pub(super) struct Database;

impl Kind<PathBuf> for Database {
    fn read(value: &Value) -> Result<PathBuf, String> {
        let path = FilePath::read(value)?;
        rules::database(&path.to_string_lossy())?;
        Ok(path)
    }
}

/// A duration longer than zero.
pub(super) struct Length;

impl Kind<Duration> for Length {
    fn read(value: &Value) -> Result<Duration, String> {
        // A bare number gets the same message as a text of the wrong form: it names the units.
        rules::length(value.as_str().unwrap_or_default())
    }
}

/// The name of a machine.
pub(super) struct HostName;

impl Kind<String> for HostName {
    fn read(value: &Value) -> Result<String, String> {
        let text = text(value)?;
        rules::host_name(text).map(|()| text.to_owned())
    }
}

/// At least one duration.
pub(super) struct Steps;

impl Kind<Vec<Duration>> for Steps {
    fn read(value: &Value) -> Result<Vec<Duration>, String> {
        const FORM: &str = "must be a list of at least one duration, such as [\"3s\", \"5s\", \"10s\"]";
        let items = value.as_array().filter(|items| !items.is_empty()).ok_or(FORM)?;
        let step = |(at, item)| Length::read(item).map_err(|remedy| format!("step {} {remedy}", at + 1));
        items.iter().enumerate().map(step).collect()
    }
}

/// A whole number in this range.
pub(super) struct Whole<const MIN: i64, const MAX: i64>;

/// Ten digits are above any real price, and an estimate for millions of contacts still fits into 64 bits.
pub(super) type Cost = Whole<1, 1_000_000_000>;

impl<T: Debug + TryFrom<i128>, const MIN: i64, const MAX: i64> Kind<T> for Whole<MIN, MAX> {
    fn read(value: &Value) -> Result<T, String> {
        let range = match MAX {
            i64::MAX => format!("{MIN} or more"),
            _ => format!("between {MIN} and {MAX}"),
        };
        let Some(number) = value.to_i128() else {
            let point =
                if value.to_f64().is_some() { ", without a point, also between thousands" } else { "" };
            return Err(format!("must be a whole number, {range}{point}"));
        };
        let in_range = (i128::from(MIN)..=i128::from(MAX)).contains(&number);
        T::try_from(number).ok().filter(|_| in_range).ok_or_else(|| format!("must be {range}"))
    }
}

/// One of the words that are the variants of an enum.
pub(super) struct Word;

impl<T: Debug + DeserializeOwned> Kind<T> for Word {
    fn read(value: &Value) -> Result<T, String> {
        let word = value.as_str().unwrap_or_default();
        T::deserialize(word.into_deserializer()).map_err(|error: figment::Error| match error.kind {
            ErrorKind::UnknownVariant(_, [first @ .., last]) => {
                let first: Vec<String> = first.iter().map(|word| format!("{word:?}")).collect();
                format!("must be {} or {last:?}", first.join(", "))
            }
            _ => "must be one of the words that this key knows".to_owned(),
        })
    }
}

pub(super) struct ApiKey;

impl Kind<SecretString> for ApiKey {
    fn read(value: &Value) -> Result<SecretString, String> {
        let text = text(value)?;
        rules::api_key(text.trim()).map_err(|reason| format!("is not usable: {reason}"))?;
        Ok(SecretString::from(text))
    }

    fn mark(value: &SecretString) -> String {
        hex::encode(Sha256::digest(value.expose_secret()))
    }
}

/// The name of an owner: of the form that accounts have.
pub(super) struct Name;

impl Kind<String> for Name {
    fn read(value: &Value) -> Result<String, String> {
        let text = text(value)?;
        rules::account_name(text)
            .map(|()| text.to_owned())
            .map_err(|_| "must be a name of 1 to 64 letters, digits, \"_\" or \"-\"".to_owned())
    }
}

pub(super) struct BaseUrl;

impl Kind<String> for BaseUrl {
    fn read(value: &Value) -> Result<String, String> {
        rules::base_url(text(value)?)
    }
}

pub(super) struct ProxyUrl;

impl Kind<String> for ProxyUrl {
    fn read(value: &Value) -> Result<String, String> {
        rules::proxy_url(text(value)?)
    }
}

/// Types of messages to `notify.url`.
pub(super) struct Messages;

impl Kind<Vec<String>> for Messages {
    fn read(value: &Value) -> Result<Vec<String>, String> {
        let known = rules::MESSAGES;
        let form = || format!("must be a list of: {}", known.map(|name| format!("\"{name}\"")).join(", "));
        let items = value.as_array().ok_or_else(form)?;
        let names = items.iter().map(|item| text(item).ok().filter(|name| known.contains(name)));
        names.map(|name| name.map(str::to_owned).ok_or_else(form)).collect()
    }
}

pub(super) struct WebhookUrl;

impl Kind<String> for WebhookUrl {
    fn read(value: &Value) -> Result<String, String> {
        rules::webhook_url(text(value)?)
    }
}

/// A socket address, or "" for none.
pub(super) struct Listen;

impl Kind<String> for Listen {
    fn read(value: &Value) -> Result<String, String> {
        // A port alone is a number, in a variable too: then "a text in quotes" would not help.
        let text = value.as_str().unwrap_or("no text");
        rules::listen(text).map(|_| text.to_owned())
    }
}

/// Names of hosts, perhaps none.
pub(super) struct Hosts;

impl Kind<Vec<String>> for Hosts {
    fn read(value: &Value) -> Result<Vec<String>, String> {
        const FORM: &str =
            "must be a list of host names without a port, such as [\"unlockd\", \"unlockd.example.com\"]";
        let items = value.as_array().ok_or(FORM)?;
        items.iter().map(|item| rules::host(text(item)?).ok_or_else(|| FORM.to_owned())).collect()
    }
}

/// At least one word of what a token may do.
pub(super) struct Scopes;

impl Kind<Vec<Scope>> for Scopes {
    fn read(value: &Value) -> Result<Vec<Scope>, String> {
        let form = || {
            let words = Scope::ALL.map(|scope| format!("{:?}", scope.as_str())).join(", ");
            format!("must be a list of at least one of {words}")
        };
        let items = value.as_array().filter(|items| !items.is_empty()).ok_or_else(form)?;
        let scope = |item: &Value| Scope::ALL.into_iter().find(|scope| item.as_str() == Some(scope.as_str()));
        let mut scopes: Vec<Scope> = items.iter().map(scope).collect::<Option<_>>().ok_or_else(form)?;
        scopes.sort_unstable();
        scopes.dedup();
        Ok(scopes)
    }
}

/// At least one name of an account.
pub(super) struct Names;

impl Kind<Vec<String>> for Names {
    fn read(value: &Value) -> Result<Vec<String>, String> {
        const FORM: &str = "must be a list of at least one account, such as [\"default\"]";
        let items = value.as_array().filter(|items| !items.is_empty()).ok_or(FORM)?;
        items.iter().map(|item| Name::read(item).map_err(|_| FORM.to_owned())).collect()
    }
}

pub(super) struct LogLevel;

impl Kind<String> for LogLevel {
    fn read(value: &Value) -> Result<String, String> {
        let text = text(value)?;
        rules::log_level(text).map(|()| text.to_owned())
    }
}
