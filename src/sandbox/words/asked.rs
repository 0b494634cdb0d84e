//! A request that was read, and how its parts are looked up.

use serde_json::{Map, Value};

use super::answer::{Answer, invalid};
use super::route::Route;

/// A request that was read whole.
pub(in crate::sandbox) struct Asked {
    pub(in crate::sandbox) route: Option<Route>,
    pub(in crate::sandbox) query: Vec<(String, String)>,
    pub(in crate::sandbox) key: Option<String>,
    pub(in crate::sandbox) call_source: Option<String>,
    /// `None` when there is no readable JSON.
    pub(in crate::sandbox) body: Option<Value>,
}

/// An optional text of 1 to `most` characters.
pub(in crate::sandbox) fn text<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    most: usize,
) -> Result<Option<&'a str>, Answer> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=most).contains(&text.chars().count()) => Ok(Some(text)),
        Some(_) => Err(invalid(&format!("{name} is text of 1 to {most} characters"))),
    }
}

pub(in crate::sandbox) fn object(body: Option<&Value>) -> Result<&Map<String, Value>, Answer> {
    body.and_then(Value::as_object)
        .ok_or_else(|| invalid("The body is a JSON object, sent as application/json"))
}

pub(in crate::sandbox) fn query<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let found = asked.query.iter().find(|(known, _)| known == name)?;
    Some(found.1.as_str())
}

/// How many contacts one call may name.
pub(in crate::sandbox) const MOST_CONTACTS: usize = 2_000;

pub(in crate::sandbox) fn personnel_ids(object: &Map<String, Value>) -> Result<Vec<String>, Answer> {
    let wrong = || invalid("personnel_ids is a list of at least one text");
    let ids = object.get("personnel_ids").and_then(Value::as_array);
    let ids = ids.filter(|ids| !ids.is_empty()).ok_or_else(wrong)?;
    let texts = ids.iter().map(|id| id.as_str().map(str::to_owned));
    texts.collect::<Option<Vec<_>>>().ok_or_else(wrong)
}
