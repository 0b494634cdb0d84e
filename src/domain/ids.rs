//! Ids and times.
//!
//! Each is a separate type, so that a job id cannot be used as a request id, nor seconds as milliseconds.

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

    /// The start of this moment's hour.
    pub fn start_of_hour(self) -> Millis {
        Millis(self.0.saturating_sub(self.0.rem_euclid(3_600_000)))
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
