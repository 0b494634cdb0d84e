//! A time as people and programs read it: UTC, RFC 3339, in milliseconds, as in the views.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::domain::Millis;

/// A UTC time: a column of milliseconds that is shown as text.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, utoipa::ToSchema, schemars::JsonSchema,
)]
#[schema(value_type = String, format = DateTime)]
#[sqlx(transparent)]
pub struct Time(#[schemars(with = "String")] pub i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            // Any program may write `created_at`; a number beyond the calendar is shown unchanged.
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Millis> for Time {
    fn from(at: Millis) -> Time {
        Time(at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_like_those_of_the_views() {
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time(1_795_000_000_120).to_string(), "2026-11-18T11:06:40.120Z");
        assert_eq!(Time(i64::MAX).to_string(), format!("{} ms", i64::MAX));
    }
}
