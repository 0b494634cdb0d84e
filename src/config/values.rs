//! From a figment value to a value of ours, one function for each kind of key.
//!
//! Types are strict: a number in quotes is no number. The range or form of a text is checked in
//! [`rules`]; an `Err` is the end of a sentence that begins with the key, without the value.

use std::{path::PathBuf, time::Duration};

use figment::value::Value;
use secrecy::SecretString;

use super::{CallSource, LogFormat, rules};

const NOT_ZERO: Duration = Duration::from_millis(1);
const SHORTEST_STEP: Duration = Duration::from_millis(1);

/// The value for an error message; `None` where it is or may contain a secret.
pub(super) fn shown(key: &str, value: &Value) -> Option<String> {
    let secret = key.starts_with("accounts.") || key == "notify.url";
    let text = match value {
        Value::String(_, text) if key == "api.base_url" && text.contains(['@', '?']) => {
            return None;
        }
        _ if secret => return None,
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Array(_, items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| shown(key, item)).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Num(..) => match (value.to_i128(), value.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, fraction) => fraction.unwrap_or_default().to_string(),
        },
        _ => "a table".to_owned(),
    };
    let short = text.char_indices().nth(80).map_or(text.as_str(), |(end, _)| &text[..end]);
    Some(if short.len() < text.len() { format!("{short}...") } else { text })
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "must be a text in quotes".to_owned())
}

pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    let text = text(value)?;
    // The operating system takes no zero byte in a path, and says so less clearly.
    if text.is_empty() || text.contains('\0') {
        return Err("must be the path of a file".to_owned());
    }
    Ok(PathBuf::from(text))
}

pub(super) fn duration(value: &Value, at_least: Duration) -> Result<Duration, String> {
    // A bare number gets the same words as a text of the wrong form: they name the units.
    rules::duration(value.as_str().unwrap_or_default(), at_least)
}

pub(super) fn longer_than_zero(value: &Value) -> Result<Duration, String> {
    duration(value, NOT_ZERO)
}

pub(super) fn steps(value: &Value) -> Result<Vec<Duration>, String> {
    const FORM: &str = "must be a list of at least one duration, such as [\"3s\", \"5s\", \"10s\"]";
    let items = value.as_array().filter(|items| !items.is_empty()).ok_or(FORM)?;
    let step =
        |(at, item)| duration(item, SHORTEST_STEP).map_err(|remedy| format!("step {} {remedy}", at + 1));
    items.iter().enumerate().map(step).collect()
}

pub(super) fn yes_or_no(value: &Value) -> Result<bool, String> {
    value.to_bool().ok_or_else(|| "must be true or false".to_owned())
}

pub(super) fn whole<T: TryFrom<i128>>(value: &Value, min: i64, max: i64) -> Result<T, String> {
    let range = if max == i64::MAX { format!("{min} or more") } else { format!("between {min} and {max}") };
    let Some(number) = value.to_i128() else {
        return Err(format!("must be a whole number, {range}"));
    };
    let in_range = (i128::from(min)..=i128::from(max)).contains(&number);
    let number = T::try_from(number).ok().filter(|_| in_range);
    number.ok_or_else(|| format!("must be {range}"))
}

pub(super) fn price(value: &Value) -> Result<i64, String> {
    // Ten digits are beyond any price, and keep an estimate for millions of contacts within 64 bits.
    whole(value, 1, 1_000_000_000)
}

pub(super) fn api_key(value: &Value) -> Result<SecretString, String> {
    let text = text(value)?;
    rules::api_key(text.trim()).map_err(|reason| format!("is not usable: {reason}"))?;
    Ok(SecretString::from(text))
}

pub(super) fn call_source(value: &Value) -> Result<CallSource, String> {
    match value.as_str() {
        Some("api") => Ok(CallSource::Api),
        Some("agent") => Ok(CallSource::Agent),
        _ => Err("must be \"api\" or \"agent\"".to_owned()),
    }
}

pub(super) fn log_format(value: &Value) -> Result<LogFormat, String> {
    match value.as_str() {
        Some("auto") => Ok(LogFormat::Auto),
        Some("pretty") => Ok(LogFormat::Pretty),
        Some("json") => Ok(LogFormat::Json),
        _ => Err("must be \"auto\", \"pretty\" or \"json\"".to_owned()),
    }
}
