//! A request that was read, and functions to read its parts.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::answer::{Answer, invalid, too_many};
use super::route::Route;

/// A request that was read completely.
pub(in crate::sandbox) struct Asked {
    pub(in crate::sandbox) route: Option<Route>,
    pub(in crate::sandbox) query: Vec<(String, String)>,
    pub(in crate::sandbox) key: Option<String>,
    pub(in crate::sandbox) call_source: Option<String>,
    /// The client's address.
    pub(in crate::sandbox) address: IpAddr,
    /// `None` if there is no readable JSON.
    pub(in crate::sandbox) body: Option<Value>,
}

impl Asked {
    /// Whether it names this contact; `*13` is any contact whose id ends in 13.
    pub(in crate::sandbox) fn names(&self, id: &str) -> bool {
        let is_meant = |named: &str| match id.strip_prefix('*') {
            Some(ending) => named.ends_with(ending),
            None => named == id,
        };
        let ids = self.body.as_ref().and_then(|body| body.get("personnel_ids")).and_then(Value::as_array);
        let mut in_body = ids.into_iter().flatten().filter_map(Value::as_str);
        in_body.any(is_meant) || query(self, "personnel_id").is_some_and(is_meant)
    }
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

/// A parameter of 1 to `most` characters; an optional one may be missing.
pub(in crate::sandbox) fn query_text<'a>(
    asked: &'a Asked,
    name: &str,
    most: usize,
) -> Result<Option<&'a str>, Answer> {
    match query(asked, name) {
        Some(text) if !(1..=most).contains(&text.trim().chars().count()) => {
            Err(invalid(&format!("{name} is text of 1 to {most} characters")))
        }
        found => Ok(found),
    }
}

/// How many contacts one call may name.
pub(in crate::sandbox) const MOST_CONTACTS: usize = 2_000;

/// The contacts of a call, up to [`MOST_CONTACTS`].
pub(in crate::sandbox) fn personnel_ids(object: &Map<String, Value>) -> Result<Vec<String>, Answer> {
    let ids = listed_ids(object)?;
    if ids.len() > MOST_CONTACTS {
        return Err(too_many(ids.len(), MOST_CONTACTS));
    }
    Ok(ids)
}

/// The contacts of a call, any number.
pub(in crate::sandbox) fn listed_ids(object: &Map<String, Value>) -> Result<Vec<String>, Answer> {
    let wrong = || invalid("personnel_ids is a list of at least one text");
    let ids = object.get("personnel_ids").and_then(Value::as_array);
    let ids = ids.filter(|ids| !ids.is_empty()).ok_or_else(wrong)?;
    let texts = ids.iter().map(|id| id.as_str().map(str::to_owned));
    texts.collect::<Option<Vec<_>>>().ok_or_else(wrong)
}
