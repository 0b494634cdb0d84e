//! An email or a phone number that was bought, and why it reaches no log line.
//!
//! [`ContactValue`] has no `Display`, and its `Debug` shows nothing. From the API's answer to the database a value
//! is always one of these.

use std::fmt;

use super::action::Channel;

/// An email or a phone number: personal data that was paid for.
///
/// It goes from the API's answer into the database, and from there to the person or program that asks for
/// results, and nowhere else: no `Display`, no `Serialize`, and a `Debug` that shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactValue(String);

/// The longest accepted email or phone number, in bytes.
const LONGEST_VALUE: usize = 16_384;

impl ContactValue {
    /// Reads a value from the API; `None` if it is blank, masked, too long or cannot be a value, since only a
    /// usable value counts as delivered.
    ///
    /// Control characters are removed at both ends but kept inside, since the value was paid for; code that
    /// shows it escapes them. Only NUL is removed everywhere: some databases cannot store it.
    pub fn parse(channel: Channel, text: &str) -> Option<ContactValue> {
        let text = text.trim_matches(|char: char| char.is_whitespace() || char.is_control());
        let usable = match channel {
            Channel::Email => {
                text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
            }
            Channel::Phone => text.bytes().any(|byte| byte.is_ascii_digit()),
        };
        let fits = text.len() <= LONGEST_VALUE && !text.contains('*');
        (usable && fits).then(|| ContactValue(text.replace('\0', "")))
    }

    /// The value itself, for the database and for results. Never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ContactValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactValue([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_usable_value_is_a_value() {
        let long = format!("{}@acme.example", "j".repeat(LONGEST_VALUE));
        for bad in ["", "  ", "nobody", "@x", "x@", "j***@acme.example", "\0\u{7}", "\u{1b}@x", &long] {
            assert!(ContactValue::parse(Channel::Email, bad).is_none(), "{bad:?}");
        }
        assert!(ContactValue::parse(Channel::Phone, "n/a").is_none());
        assert_eq!(
            ContactValue::parse(Channel::Email, " a@b.example ").expect("usable").expose(),
            "a@b.example"
        );
        assert!(ContactValue::parse(Channel::Phone, "+1 555 0100").is_some());
    }

    #[test]
    fn a_value_with_control_characters_in_it_is_kept() {
        let kept = |text| {
            let value = ContactValue::parse(Channel::Email, text);
            value.map(|value| value.expose().to_owned()).unwrap_or_default()
        };
        assert_eq!(kept("jane\u{7}@acme.example"), "jane\u{7}@acme.example");
        assert_eq!(kept("\u{1b}jane@acme.example\r\n"), "jane@acme.example", "cut off at the ends");
        assert_eq!(kept("ja\0ne@acme.example"), "jane@acme.example", "NUL is left out");
    }

    #[test]
    fn a_contact_value_cannot_be_printed() {
        let value = ContactValue::parse(Channel::Email, "jane@acme.example").expect("usable");
        assert_eq!(format!("{value:?}"), "ContactValue([redacted])");
    }
}
