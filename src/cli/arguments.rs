//! How arguments of several commands are parsed.

use crate::domain::moment::Moment;
use crate::domain::{Millis, PersonnelId};

/// A duration such as 90m, 24h or 7d, in milliseconds.
pub(super) fn length_ms(text: &str) -> Option<i64> {
    i64::try_from(crate::config::duration(text)?.as_millis()).ok()
}

/// A contact's id.
pub(super) fn personnel(text: &str) -> Result<PersonnelId, String> {
    PersonnelId::parse(text).ok_or_else(|| "a contact id is 1 to 20 digits".to_owned())
}

/// A moment that a person names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Named(Moment),
    Ago { ms: i64 },
}

impl When {
    /// The moment itself; the start of a day.
    pub(super) fn from(self, now: Millis) -> Millis {
        match self {
            When::Named(moment) => moment.start(),
            When::Ago { ms } => now.plus(-ms),
        }
    }

    /// The first moment after it: a day is meant whole.
    pub(super) fn until(self, now: Millis) -> Millis {
        match self {
            When::Named(moment) => moment.end(),
            ago => ago.from(now),
        }
    }
}

/// A time, a day, or a duration ago.
pub(super) fn when(text: &str) -> Result<When, String> {
    let ago = || length_ms(text).map(|ms| When::Ago { ms });
    Moment::parse(text).map(When::Named).or_else(ago).ok_or_else(|| {
        "write a time such as 2026-11-21T08:00:00Z, a day such as 2026-11-21, or 90m, 24h, 7d".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_so_long_ago() {
        let at = When::Named(Moment::At(Millis(1_795_000_000_000)));
        assert_eq!(when("2026-11-18T11:06:40Z"), Ok(at));
        assert_eq!(when("2026-11-18T12:06:40+01:00"), Ok(at));
        assert_eq!(when("1970-01-02"), Ok(When::Named(Moment::Day(Millis(86_400_000)))));
        assert_eq!(when("24h"), Ok(When::Ago { ms: 86_400_000 }));
        assert_eq!(when("7d"), Ok(When::Ago { ms: 7 * 86_400_000 }));
        for bad in ["", "h", "24", "-3h", "yesterday", "24x", "é"] {
            assert!(when(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn until_a_day_is_until_its_end() {
        let (day, now) = (When::Named(Moment::Day(Millis(86_400_000))), Millis(900_000_000));
        assert_eq!((day.from(now), day.until(now)), (Millis(86_400_000), Millis(2 * 86_400_000)));
        assert_eq!(When::Ago { ms: 60_000 }.until(now), Millis(899_940_000));
    }
}
