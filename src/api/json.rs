//! The parts that every reader of an answer uses: the error for a broken answer, and ids.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;

/// An answer that differs from the documentation; the text is ours, for the error message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

/// The problem with a figure of credits that no account can have and no call can cost.
pub(super) const ABSURD: &str = "a figure of credits makes no sense";

pub(super) fn broken<T>(reason: &str) -> Result<T, Broken> {
    Err(Broken(reason.to_owned()))
}

/// Checked first, since serde also reads an array as a struct.
pub(super) fn is_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// The problem in a JSON text, without quoting it.
pub(super) fn describe(error: &serde_json::Error) -> Broken {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "the answer has another shape than documented",
        _ => "the answer is not JSON",
    };
    Broken(format!("{kind} (line {}, column {})", error.line(), error.column()))
}

/// A part that may be any JSON: `None` if it cannot be read as a `T`.
pub(super) fn if_readable<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
}

/// An id: documented as a string; a whole number is accepted, too, digit by digit (20 digits must not pass
/// through a float).
#[derive(Debug)]
pub(super) struct Id(pub(super) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Id(text.to_owned()));
        }
        serde_json::from_str(text).map(Id).map_err(|_| D::Error::custom("not an id"))
    }
}

/// A contact's value: documented as a string. A number or a boolean counts as the text that was sent, since a number
/// that passes through a float may become another one; a list as all that it holds, since all of it was paid for.
#[derive(Debug)]
pub(super) struct Held(pub(super) String);

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Held, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Held).map_err(|_| D::Error::custom("not a text")),
            Some(b'[') => {
                let parts: Vec<Option<Held>> =
                    serde_json::from_str(text).map_err(|_| D::Error::custom("not a list of values"))?;
                let parts: Vec<String> = parts.into_iter().flatten().map(|held| held.0).collect();
                Ok(Held(parts.join(", ")))
            }
            Some(b'{') | None => Err(D::Error::custom("not a value")),
            Some(_) => Ok(Held(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_a_number_keeps_the_digits_that_were_sent() {
        let held = |text| serde_json::from_str::<Held>(text).map(|held| held.0);
        for digits in ["15551234567", "1.5551234567E10", "155512345671555123456715551234567", "-0.10", "0"] {
            assert_eq!(held(digits).expect("a number"), digits);
        }
        assert_eq!(held(r#""+1 555\u00200100""#).expect("a text"), "+1 555 0100");
        for (list, all) in [
            ("[]", ""),
            (r#"["a@b.example"]"#, "a@b.example"),
            (r#"["a@b.example", null, "c@d.example"]"#, "a@b.example, c@d.example"),
            ("[1.50, [2]]", "1.50, 2"),
        ] {
            assert_eq!(held(list).expect("a list"), all);
        }
        for bad in ["{}", r#"{"e164":"1"}"#, r#"[{"e164":"1"}]"#, r#""\ud800""#] {
            assert!(held(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Option<Held>>("null").expect("null").is_none());
    }
}
