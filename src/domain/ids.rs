//! Basic types: ids, times and the values that were bought.
//!
//! Each is a separate type, so that a job id cannot be used as a request id, nor seconds as milliseconds.
//! [`ContactValue`] is the only type that holds an email or a phone number; it has no `Display` and its
//! `Debug` shows nothing, so neither can reach a log line by accident.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::natural;

/// A request: one row of the inbox table; both have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub i64);

/// A job: one remote task, or the submission that will create it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// A moment, in milliseconds since the Unix epoch (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

/// Of a UTC day.
pub const DAY_MS: i64 = 86_400_000;

impl Millis {
    /// The moment `ms` milliseconds later; saturates instead of wrapping.
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; never negative, even if a clock was set back.
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// The start of this moment's UTC day: the daily limit counts from there.
    pub fn start_of_day(self) -> Millis {
        Millis(self.0.saturating_sub(self.0.rem_euclid(DAY_MS)))
    }

    /// The start of this moment's UTC month: the monthly limit counts from there.
    pub fn start_of_month(self) -> Millis {
        let first_day =
            |at: jiff::Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).first_of_month()?.start_of_day();
        match jiff::Timestamp::from_millisecond(self.0).and_then(first_day) {
            Ok(start) => Millis(start.timestamp().as_millisecond()),
            // The calendar ends before the numbers do.
            Err(_) => self.start_of_day(),
        }
    }
}

macro_rules! integer_display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
integer_display!(RequestId, JobId, Millis);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &$name) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        /// The order in which people expect names: `client-2` before `client-10`.
        impl Ord for $name {
            fn cmp(&self, other: &$name) -> Ordering {
                natural::compare(&self.0, &other.0)
            }
        }

        impl $name {
            /// The id as the API writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// An id that was already checked, for example one read from the database.
            pub fn trusted(text: impl Into<String>) -> $name {
                $name(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id! {
    /// An account: one API key with its own rate limit, balance and pause state.
    AccountId
}
text_id! {
    /// A task of the vendor's. Documented as digits (`^[0-9]+$`), but accepted in any form that fits into a
    /// path, since a task id that is not stored is a lost purchase.
    TaskId
}
text_id! {
    /// A contact of the vendor's.
    PersonnelId
}
text_id! {
    /// An event of the vendor's.
    EventId
}

impl TaskId {
    /// Reads a task id from outside; `None` unless it is 1 to 128 letters, digits and `-._~:=`, since it
    /// becomes part of a path. A text that looks like an API key is refused: ids are logged.
    pub fn parse(text: &str) -> Option<TaskId> {
        let fits = (1..=128).contains(&text.len());
        let safe = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:=".contains(&byte));
        let is_key = ["sk_", "uak_"].iter().any(|start| text.starts_with(start));
        // `.` and `..` would change the path.
        let is_step = text.bytes().all(|byte| byte == b'.');
        (fits && safe && !is_key && !is_step).then(|| TaskId(text.to_owned()))
    }
}

impl PersonnelId {
    /// Reads a contact id; `None` unless it is 1 to 20 digits (the profile endpoint's limit). Leading zeros
    /// are dropped: `0789` and `789` are one contact, which is bought once.
    pub fn parse(text: &str) -> Option<PersonnelId> {
        let short = text.trim_start_matches('0');
        let id = if short.is_empty() { "0" } else { short };
        is_digits(text, 20).then(|| PersonnelId(id.to_owned()))
    }
}

impl EventId {
    /// Reads an event id; `None` unless it is 1 to 100 visible ASCII characters without `/?#%\`, since it
    /// becomes part of a path.
    pub fn parse(text: &str) -> Option<EventId> {
        let fits = (1..=100).contains(&text.len());
        let safe = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#%\\\"".contains(&byte));
        // `.` and `..` would change the path.
        (fits && safe && !text.bytes().all(|byte| byte == b'.')).then(|| EventId(text.to_owned()))
    }
}

fn is_digits(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a request asks for. The words are those of the inbox table's `action` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    UnlockContactEmails,
    UnlockContactPhones,
    UnlockEventContacts,
    UnlockEventVisitors,
    UnlockEventFullAccess,
    SearchExhibitorCompanies,
    SearchExhibitorEvents,
    SearchPersonnelEvents,
}

impl Action {
    pub const ALL: [Action; 8] = [
        Action::UnlockContactEmails,
        Action::UnlockContactPhones,
        Action::UnlockEventContacts,
        Action::UnlockEventVisitors,
        Action::UnlockEventFullAccess,
        Action::SearchExhibitorCompanies,
        Action::SearchExhibitorEvents,
        Action::SearchPersonnelEvents,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Action::UnlockContactEmails => "unlock_contact_emails",
            Action::UnlockContactPhones => "unlock_contact_phones",
            Action::UnlockEventContacts => "unlock_event_contacts",
            Action::UnlockEventVisitors => "unlock_event_visitors",
            Action::UnlockEventFullAccess => "unlock_event_full_access",
            Action::SearchExhibitorCompanies => "search_exhibitor_companies",
            Action::SearchExhibitorEvents => "search_exhibitor_events",
            Action::SearchPersonnelEvents => "search_personnel_events",
        }
    }

    pub fn parse(text: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Whether every call is paid, even for something bought before.
    pub fn is_search(self) -> bool {
        matches!(
            self,
            Action::SearchExhibitorCompanies | Action::SearchExhibitorEvents | Action::SearchPersonnelEvents
        )
    }

    /// What the action opens of an event; `None` for the actions that open none.
    pub fn layers(self) -> Option<Layers> {
        match self {
            Action::UnlockEventContacts => Some(Layers::Base),
            Action::UnlockEventVisitors => Some(Layers::Visitors),
            Action::UnlockEventFullAccess => Some(Layers::Both),
            _ => None,
        }
    }

    /// The value that the action buys for each contact; `None` for actions without contacts.
    pub fn channel(self) -> Option<Channel> {
        match self {
            Action::UnlockContactEmails => Some(Channel::Email),
            Action::UnlockContactPhones => Some(Channel::Phone),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an unlock opens of an event. The vendor keeps two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layers {
    /// Exhibitors and their staff.
    Base,
    /// Registered attendees. Only some events have any, and the base comes first.
    Visitors,
    /// Both, of which only those that are still locked are charged.
    Both,
}

impl Layers {
    pub const ALL: [Layers; 3] = [Layers::Base, Layers::Visitors, Layers::Both];

    /// The action that opens them.
    pub fn action(self) -> Action {
        match self {
            Layers::Base => Action::UnlockEventContacts,
            Layers::Visitors => Action::UnlockEventVisitors,
            Layers::Both => Action::UnlockEventFullAccess,
        }
    }
}

/// The value bought for a contact: its email or its phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Email,
    Phone,
}

impl Channel {
    /// The action that buys it.
    pub fn action(self) -> Action {
        match self {
            Channel::Email => Action::UnlockContactEmails,
            Channel::Phone => Action::UnlockContactPhones,
        }
    }
}

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
    fn ids_that_could_change_a_path_are_refused() {
        for bad in
            ["", "../credits/balance", "1/2", "//evil", "12\r\n34", "1?x", "１２", "..", ".", "a b", "a%2f"]
        {
            assert!(TaskId::parse(bad).is_none(), "task {bad:?}");
            assert!(PersonnelId::parse(bad).is_none(), "personnel {bad:?}");
        }
        for bad in ["sk_live_1", "uak_live_1", "jane@acme.example", &"1".repeat(129)] {
            assert!(TaskId::parse(bad).is_none(), "task {bad:?}");
        }
        for good in
            ["321", "task_321", "2be6d7f4-3b2d-4d11-8e2d-7a2e4c3e9a10", "..1", "a:b=", &"1".repeat(128)]
        {
            assert!(TaskId::parse(good).is_some(), "task {good:?}");
        }
        for bad in ["", "..", "a/b", "a?b", "a#b", "a b", "a%2f", &"x".repeat(101)] {
            assert!(EventId::parse(bad).is_none(), "event {bad:?}");
        }
        assert!(PersonnelId::parse("12345678901234567890").is_some());
        assert!(PersonnelId::parse("123456789012345678901").is_none());
        assert!(EventId::parse("139574").is_some());
    }

    #[test]
    fn each_action_knows_what_it_buys() {
        let kinds = [
            ("unlock_contact_emails", Some(Channel::Email), false),
            ("unlock_contact_phones", Some(Channel::Phone), false),
            ("unlock_event_contacts", None, false),
            ("unlock_event_visitors", None, false),
            ("unlock_event_full_access", None, false),
            ("search_exhibitor_companies", None, true),
            ("search_exhibitor_events", None, true),
            ("search_personnel_events", None, true),
        ];
        for (name, channel, is_search) in kinds {
            let action = Action::parse(name).expect("an action");
            assert_eq!((action.channel(), action.is_search()), (channel, is_search), "{name}");
            assert_eq!(action.to_string(), name);
            let kinds = [action.channel().is_some(), action.is_search(), action.layers().is_some()];
            assert_eq!(kinds.iter().filter(|is_one| **is_one).count(), 1, "{name} is of one kind");
        }
        assert_eq!(kinds.map(|(name, ..)| Action::parse(name)), Action::ALL.map(Some));
        for layers in Layers::ALL {
            assert_eq!(layers.action().layers(), Some(layers));
        }
        assert_eq!(Action::parse("unlock"), None);
    }

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

    #[test]
    fn times_neither_wrap_nor_run_backwards() {
        assert_eq!(Millis(i64::MAX).plus(1), Millis(i64::MAX));
        assert_eq!(Millis(5).since(Millis(9)), 0);
        assert_eq!(Millis(86_400_001).start_of_day(), Millis(86_400_000));
    }

    #[test]
    fn a_month_begins_at_midnight_utc_of_its_first_day() {
        // 1 January 1970, 29 February 2024, 31 December 2026, 1 March 2100 (no leap year).
        for (within, start) in [
            (0, 0),
            (1_709_251_199_999, 1_706_745_600_000),
            (1_709_251_200_000, 1_709_251_200_000),
            (1_798_761_599_999, 1_796_083_200_000),
            (4_107_542_400_000, 4_107_542_400_000),
            (4_107_542_399_999, 4_105_123_200_000),
            (-1, -2_678_400_000),
        ] {
            assert_eq!(Millis(within).start_of_month(), Millis(start), "{within}");
        }
        assert!(Millis(i64::MAX).start_of_month() > Millis(4_107_542_400_000));
        assert!(Millis(i64::MIN).start_of_month() < Millis(0));
    }
}
