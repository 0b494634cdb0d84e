//! The text of `personnel_ids` → the contacts in it.

use std::collections::HashSet;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::id_text::{self, Point, Written, trimmed};
use super::ids::PersonnelId;
use super::rounded::Rounded;

/// The distinct contacts of a row, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    pub valid: Vec<PersonnelId>,
    /// The elements that are no ids, cut to 100 characters.
    pub invalid: Vec<String>,
    /// Of texts, too: a spreadsheet may have rounded what it exports as text.
    pub rounded: Rounded,
}

/// Why a text is not a list of ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("personnel_ids is not JSON: give an array of ids, such as [\"789\",\"790\"]")]
    NotJson,
    #[error("personnel_ids is {found}, not an array: give ids like [\"789\",\"790\"]")]
    NotAnArray { found: &'static str },
    #[error("personnel_ids holds more than 100,000 ids: divide them into several requests")]
    TooMany,
}

/// Ids allowed in one row. Such a row has about 2 MB of text, which limits the cost of taking it.
pub const MOST: usize = 100_000;

/// Reads the array of ids: strings or whole numbers, repeats once. Reads the raw text, since a number of
/// twenty digits must not pass through a float.
pub fn read(text: &str) -> Result<Contacts, Unreadable> {
    let text = trimmed(text);
    match elements(text) {
        Err(Unreadable::NotJson) => match elements(&with_words_quoted(text)) {
            Err(Unreadable::NotJson) => Err(not_an_array(text)),
            read => read,
        },
        read => read,
    }
}

/// Reads the elements one by one, and stops at the first id above the limit.
fn elements(text: &str) -> Result<Contacts, Unreadable> {
    let mut ids = Ids::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = ids.deserialize(&mut json).and_then(|()| json.end());
    match read {
        _ if ids.seen.len() > MOST => Err(Unreadable::TooMany),
        Ok(()) => Ok(ids.contacts),
        Err(_) => Err(Unreadable::NotJson),
    }
}

#[derive(Default)]
struct Ids {
    contacts: Contacts,
    seen: HashSet<String>,
}

impl Ids {
    fn take(&mut self, raw: &str) {
        let written = match raw.starts_with('"') {
            true => serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned()),
            false => raw.to_owned(),
        };
        let point = if raw.starts_with('"') { Point::DecimalOrThousands } else { Point::Decimal };
        match id_text::read(&written, point) {
            Written::Id(id) => {
                if self.seen.insert(id.as_str().to_owned()) {
                    self.contacts.rounded.note(id.as_str(), self.seen.len());
                    self.contacts.valid.push(id);
                }
            }
            _ => {
                let text: String = written.trim().chars().take(100).collect();
                if self.seen.insert(text.clone()) {
                    self.contacts.invalid.push(text);
                }
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Ids {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Ids {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element::<&RawValue>()? {
            self.take(element.get());
            if self.seen.len() > MOST {
                return Err(A::Error::custom("too many"));
            }
        }
        Ok(())
    }
}

/// Programs write `NaN` and `None` into text that they call JSON: these words become strings, so they are
/// invalid elements and the good ids stay usable.
fn with_words_quoted(text: &str) -> String {
    const WORDS: [&str; 6] = ["NaN", "nan", "Infinity", "None", "undefined", "NA"];
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => end_of_string(rest),
            'A'..='Z' | 'a'..='z' => {
                rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(end);
        if WORDS.contains(&piece) {
            // `-Infinity` is one word.
            let sign = if quoted.ends_with('-') { quoted.pop().map_or("", |_| "-") } else { "" };
            quoted.push_str(&format!("\"{sign}{piece}\""));
        } else {
            quoted.push_str(piece);
        }
        rest = after;
    }
    quoted
}

/// The end of the string that `text` begins with; an escaped quote does not end it.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> (Vec<String>, Vec<String>) {
        let contacts = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (contacts.valid.iter().map(ToString::to_string).collect(), contacts.invalid)
    }

    #[test]
    fn one_contact_is_one_contact_however_it_is_spelled() {
        for text in [
            "[789]",
            "[789.0]",
            "[789.000]",
            "[\"789\",\"0789\"]",
            "[\"789.0\", 789, \"=\\\"00789\\\"\"]",
            "\u{feff}[\"789\"]",
            " \r\n[7.89e+02]\n",
            "[\"\\ufeff789\"]",
            "[789.0,\"789.0\",789]",
        ] {
            assert_eq!(ids(text), (vec!["789".to_owned()], vec![]), "{text}");
        }
    }

    /// The words that Python's json, JavaScript and R write for a missing value.
    #[test]
    fn good_ids_are_taken_beside_words_that_are_not_json() {
        let (good, bad) = ids("[789.0, NaN, null, None, -Infinity, \"NaN \\\" None\", 1.23457E+11, 790]");
        assert_eq!(good, ["789", "790"]);
        assert_eq!(bad, ["NaN", "null", "None", "-Infinity", "NaN \" None", "1.23457E+11"]);
        for text in ["[NaN", "NaN", "[789 NaN]", "[\"NaN]", "None", "[789,]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_and_texts_may_have_been_rounded() {
        let rounded = |text: &str| read(text).expect(text).rounded.found();
        assert_eq!(rounded("[789,20251000000000000000]"), Some((1, 2)));
        assert_eq!(rounded("[789,\"20251000000000000000\"]"), Some((1, 2)));
        assert_eq!(rounded("[20251000000000001401]"), None);
    }

    #[test]
    fn a_hundred_thousand_ids_are_taken_and_one_more_is_not() {
        let list = |count: usize| serde_json::json!((0..count).collect::<Vec<_>>()).to_string();
        assert_eq!(read(&list(MOST)).expect("taken").valid.len(), MOST);
        assert_eq!(read(&list(MOST + 1)), Err(Unreadable::TooMany));
        let repeated = format!("[{}789]", "789,\"0789\",".repeat(MOST));
        assert_eq!(ids(&repeated).0, ["789"], "repeats count once");
        let all_wrong = serde_json::json!((0..=MOST).map(|at| format!("x{at}")).collect::<Vec<_>>());
        assert_eq!(read(&all_wrong.to_string()), Err(Unreadable::TooMany), "bad ones are kept, too");
    }
}
