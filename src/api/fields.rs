//! A JSON object as a list of its fields, in their order.
//!
//! For answers that must not be lost because of something odd: a byte order mark before the object, a field
//! that appears twice, an id under another name than documented. Values stay raw until they are used, so an
//! id of 20 digits never passes through a float, and nothing is copied.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Broken, Id, broken, describe, is_object};

/// The bytes without the byte order mark that some servers put before their JSON.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The fields of an object; the same name may appear more than once.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads an object.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Fields<'a>, Broken> {
        let bytes = without_mark(bytes);
        if !is_object(bytes) {
            return broken("the answer is not a JSON object");
        }
        serde_json::from_slice(bytes).map_err(|error| describe(&error))
    }

    /// The value under one of these names: the first name that has a value, and the last one of repeats, as
    /// most JSON parsers do. `null` does not count as a value.
    pub(super) fn last(&self, names: &[&str]) -> Option<&'a RawValue> {
        names.iter().find_map(|name| self.values(name).filter(|raw| raw.get() != "null").last())
    }

    /// The same, but `None` if repeats contradict each other.
    pub(super) fn agreed(&self, names: &[&str]) -> Option<&'a RawValue> {
        let found = self.last(names)?;
        let name = names.iter().find(|name| self.values(name).any(|raw| raw.get() == found.get()))?;
        self.values(name).all(|raw| raw.get() == found.get()).then_some(found)
    }

    /// The text under one of these names, if it is a text.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        serde_json::from_str(self.last(names)?.get()).ok()
    }

    /// The id under one of these names, if it is one.
    pub(super) fn id(&self, names: &[&str]) -> Option<String> {
        let id: Id = serde_json::from_str(self.last(names)?.get()).ok()?;
        Some(id.0)
    }

    /// Name and value of each field.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), *raw))
    }

    /// The object with each name once, or `None` if repeats contradict each other: choosing one would be a
    /// guess.
    pub(super) fn once_each(&self) -> Option<String> {
        let mut kept: Vec<(&str, &RawValue)> = Vec::with_capacity(self.0.len());
        for (name, raw) in self.iter() {
            match kept.iter().find(|(known, _)| *known == name) {
                None => kept.push((name, raw)),
                Some((_, known)) if known.get() == raw.get() => {}
                Some(_) => return None,
            }
        }
        let field = |(name, raw): &(&str, &RawValue)| {
            let name = serde_json::to_string(name).expect("a string is always JSON");
            format!("{name}:{}", raw.get())
        };
        Some(format!("{{{}}}", kept.iter().map(field).collect::<Vec<_>>().join(",")))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a RawValue> {
        self.iter().filter(move |(known, _)| *known == name).map(|(_, raw)| raw)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Fields<'_> {
        Fields::read(text.as_bytes()).expect("an object")
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(read("\u{feff}{\"a\":1}").last(&["a"]).expect("a value").get(), "1");
        for bad in ["", "\u{feff}", "[]", "{\"a\":", "{\"a\":1}}", "null"] {
            assert!(Fields::read(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn of_repeats_the_last_value_counts_and_null_never() {
        let fields = read(r#"{"a":1,"b":2,"a":3,"a":null}"#);
        assert_eq!(fields.last(&["a"]).expect("a value").get(), "3");
        assert_eq!(fields.last(&["c", "b"]).expect("a value").get(), "2");
        assert!(fields.last(&["c"]).is_none());
        assert!(fields.agreed(&["a"]).is_none(), "1, 3 and null are not the same");
        assert_eq!(read(r#"{"a":3,"a":3}"#).agreed(&["a"]).expect("a value").get(), "3");
    }

    #[test]
    fn an_id_is_read_digit_by_digit() {
        let id = |text| read(text).id(&["task_id", "taskId"]);
        assert_eq!(id(r#"{"taskId":12345678901234567890123}"#).as_deref(), Some("12345678901234567890123"));
        assert_eq!(id(r#"{"task_id":null,"taskId":"7"}"#).as_deref(), Some("7"));
        assert_eq!(id(r#"{"task_id":7.5}"#), None);
        assert_eq!(id(r#"{"task_id":["7"]}"#), None);
    }

    #[test]
    fn repeats_that_agree_are_one_and_others_are_a_guess() {
        assert_eq!(read(r#"{"a":1,"b":"x","a":1}"#).once_each().as_deref(), Some(r#"{"a":1,"b":"x"}"#));
        assert_eq!(read(r#"{"a\"":1}"#).once_each().as_deref(), Some(r#"{"a\"":1}"#));
        assert_eq!(read(r#"{"a":1,"a":2}"#).once_each(), None);
    }
}
