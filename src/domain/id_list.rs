//! The text of `personnel_ids` → the contacts that it names.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::ids::PersonnelId;

/// The distinct contacts of a row, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    pub valid: Vec<PersonnelId>,
    /// What stood in the place of an id, cut to 100 characters.
    pub invalid: Vec<String>,
}

/// Why a text is no list of ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("personnel_ids is not JSON: give an array of ids, such as [\"789\",\"790\"]")]
    NotJson,
    #[error("personnel_ids is {found}, not an array: give ids like [\"789\",\"790\"]")]
    NotAnArray { found: &'static str },
}

/// Reads the array of ids: strings or whole numbers, repeats once. Read as raw text, since a
/// number of twenty digits must not pass through a float.
pub fn read(text: &str) -> Result<Contacts, Unreadable> {
    let array: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| not_an_array(text))?;
    let (mut contacts, mut seen) = (Contacts::default(), HashSet::with_capacity(array.len()));
    for element in array {
        let raw = element.get();
        let text = match raw.as_bytes()[0] {
            b'"' => serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned()),
            _ => raw.to_owned(),
        };
        let id: String = text.trim().chars().take(100).collect();
        if !seen.insert(id.clone()) {
            continue;
        }
        match PersonnelId::parse(&id) {
            Some(personnel_id) => contacts.valid.push(personnel_id),
            None => contacts.invalid.push(id),
        }
    }
    Ok(contacts)
}

fn not_an_array(text: &str) -> Unreadable {
    match serde_json::from_str::<serde_json::Value>(text) {
        Err(_) => Unreadable::NotJson,
        Ok(value) => Unreadable::NotAnArray {
            found: match value {
                serde_json::Value::Null => "null",
                serde_json::Value::Bool(_) => "a truth value",
                serde_json::Value::Number(_) => "a number",
                serde_json::Value::String(_) => "a string",
                serde_json::Value::Object(_) => "an object",
                serde_json::Value::Array(_) => "nested too deeply",
            },
        },
    }
}
