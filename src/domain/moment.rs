//! A moment as a person or a program names it: a time, or a UTC day.

use super::ids::{DAY_MS, Millis};

/// A named moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Millis),
    /// A UTC day, by its start.
    Day(Millis),
}

impl Moment {
    /// Reads a time such as 2026-11-21T08:00:00Z or a day such as 2026-11-21.
    pub fn parse(text: &str) -> Option<Moment> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Some(Moment::At(Millis(at.as_millisecond())));
        }
        let start = text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Moment::Day(Millis(start.timestamp().as_millisecond())))
    }

    /// The moment itself; the start of a day.
    pub fn start(self) -> Millis {
        match self {
            Moment::At(at) | Moment::Day(at) => at,
        }
    }

    /// The first moment after it: a day is meant whole.
    pub fn end(self) -> Millis {
        match self {
            Moment::At(at) => at,
            Moment::Day(start) => start.plus(DAY_MS),
        }
    }
}
