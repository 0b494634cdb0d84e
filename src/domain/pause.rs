//! A time in which nothing is sent, since the API asked for it (`Retry-After`).
//!
//! It is kept with its beginning: one that has not begun yet was written by a clock that was set back since. It lasts
//! as long as the API asked from now on, and not until that clock's time comes again.

use super::ids::Millis;
use super::pacing::LONGEST_RETRY_AFTER_MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    since: Millis,
    until: Millis,
}

impl Pause {
    /// A pause of so many milliseconds that begins now.
    pub fn new(now: Millis, length_ms: i64) -> Pause {
        Pause { since: now, until: now.plus(length_ms) }
    }

    /// One that was stored. `since`: unknown if it was stored by a version before 0.2.0.
    pub fn restored(since: Option<Millis>, until: Millis, now: Millis) -> Pause {
        let longest = now.plus(LONGEST_RETRY_AFTER_MS);
        match since {
            Some(since) if since > now => Pause::new(now, until.since(since)),
            Some(since) => Pause { since, until: until.min(longest) },
            None => Pause { since: now.min(until), until: until.min(longest) },
        }
    }

    /// The one that ends later.
    pub fn or(self, other: Option<Pause>) -> Pause {
        other.filter(|other| other.until > self.until).unwrap_or(self)
    }

    pub fn since(self) -> Millis {
        self.since
    }

    pub fn until(self) -> Millis {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_from_the_future_begins_now_and_keeps_its_length() {
        const HOUR_MS: i64 = 3_600_000;
        let (now, ends) = (Millis(HOUR_MS), |pause: Pause| (pause.since.0, pause.until.0));
        for (since, until, expected) in [
            (Some(HOUR_MS - 1_000), HOUR_MS + 9_000, (HOUR_MS - 1_000, HOUR_MS + 9_000)),
            (Some(2 * HOUR_MS), 2 * HOUR_MS + 60_000, (HOUR_MS, HOUR_MS + 60_000)),
            (Some(0), 100 * HOUR_MS, (0, 25 * HOUR_MS)),
            (None, 100 * HOUR_MS, (HOUR_MS, 25 * HOUR_MS)),
            (None, HOUR_MS - 1, (HOUR_MS - 1, HOUR_MS - 1)),
        ] {
            let pause = Pause::restored(since.map(Millis), Millis(until), now);
            assert_eq!(ends(pause), expected, "{since:?}, {until}");
        }
    }

    #[test]
    fn of_two_pauses_the_one_that_ends_later_counts() {
        let (short, long) = (Pause::new(Millis(5), 10), Pause::new(Millis(0), 32));
        assert_eq!((short.or(Some(long)), long.or(Some(short)), short.or(None)), (long, long, short));
    }
}
