//! An email or a phone number that was bought, and why it reaches no log line.
//!
//! [`ContactValue`] has no `Display`, and its `Debug` shows nothing. From the API's answer to the database a value
//! is always one of these.

use std::fmt;

/// An email or a phone number: personal data that was paid for.
///
/// It goes from the API's answer into the database, and from there to the person or program that asks for
/// results, and nowhere else: no `Display`, no `Serialize`, and a `Debug` that shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactValue(String);

/// The longest accepted email or phone number, in bytes.
const LONGEST_VALUE: usize = 16_384;

impl ContactValue {
    /// Reads a value from the API; `None` if it is blank, masked, too long or says that there is none.
    ///
    /// Anything else is kept as the API gave it, however odd an email or a phone it is: it was paid for, and a wrong `None`
    /// would lose it.
    ///
    /// Control characters are removed at both ends but kept inside; code that shows a value escapes them. Only NUL
    /// is removed everywhere: some databases cannot store it.
    pub fn parse(text: &str) -> Option<ContactValue> {
        let text = text.trim_matches(|char: char| char.is_whitespace() || char.is_control());
        let fits = text.len() <= LONGEST_VALUE && !text.contains('*');
        (fits && !says_nothing(text)).then(|| ContactValue(text.replace('\0', "")))
    }

    /// The value itself, for the database and for results. Never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Whether a text holds no value: it has neither a digit nor an `@`, nor an "at" instead, as "n/a", "none" and "no email
/// was found".
fn says_nothing(text: &str) -> bool {
    let is_written_out = text.to_lowercase().contains(" at ");
    !text.contains(char::is_alphanumeric)
        || !(is_written_out || text.contains('@') || text.contains(char::is_numeric))
}

impl fmt::Debug for ContactValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactValue([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Option<String> {
        ContactValue::parse(text).map(|value| value.expose().to_owned())
    }

    #[test]
    fn what_says_that_there_is_no_value_is_none() {
        let long = format!("{}@acme.example", "j".repeat(LONGEST_VALUE));
        for bad in ["", "  ", "-", " -- ", "@", "+", "\0\u{7}", "j***@acme.example", "+1 415 *** 00", &long] {
            assert_eq!(kept(bad), None, "{bad:?}");
        }
        for bad in ["n/a", " N/A ", "none", "NULL", "true", "undefined", "no email was found", "nobody"] {
            assert_eq!(kept(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_value_that_was_paid_for_is_kept_however_it_looks() {
        for odd in [
            "@x.example",
            "x@",
            "jane at acme.example",
            "jane@localhost",
            "mailto:jane@acme.example",
            "Jane <jane@acme.example>",
            "+1 555 0100",
            "15551234567",
            "1.5551234567E10",
            "call 112",
            "\u{661}\u{662}\u{663}",
        ] {
            assert_eq!(kept(odd).as_deref(), Some(odd));
        }
        assert_eq!(kept(" a@b.example ").as_deref(), Some("a@b.example"));
    }

    #[test]
    fn a_value_with_control_characters_in_it_is_kept() {
        let kept = |text| kept(text).unwrap_or_default();
        assert_eq!(kept("jane\u{7}@acme.example"), "jane\u{7}@acme.example");
        assert_eq!(kept("\u{1b}jane@acme.example\r\n"), "jane@acme.example", "cut off at the ends");
        assert_eq!(kept("ja\0ne@acme.example"), "jane@acme.example", "NUL is left out");
    }

    #[test]
    fn a_contact_value_cannot_be_printed() {
        let value = ContactValue::parse("jane@acme.example").expect("usable");
        assert_eq!(format!("{value:?}"), "ContactValue([redacted])");
    }
}
