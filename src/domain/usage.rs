//! How much of the rate limit was used recently: calls in each ten seconds of the last hour.

use std::collections::VecDeque;

use super::ids::Millis;

/// The length of one count, in milliseconds.
pub const STEP_MS: i64 = 10_000;

/// How many counts are kept: one hour.
pub const STEPS: usize = 360;

/// Calls by the time they were sent. Only in memory: empty after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Start of each ten seconds and the calls in it, oldest first; intervals without calls are left out.
    counts: VecDeque<(Millis, u32)>,
}

impl Usage {
    /// Counts a call.
    pub fn note(&mut self, now: Millis) {
        let step = Millis(now.0 - now.0.rem_euclid(STEP_MS));
        match self.counts.back_mut() {
            Some((at, calls)) if *at >= step => *calls = calls.saturating_add(1),
            _ => self.counts.push_back((step, 1)),
        }
        let oldest = step.plus(-(STEPS as i64) * STEP_MS);
        while self.counts.front().is_some_and(|(at, _)| *at <= oldest) {
            self.counts.pop_front();
        }
    }

    /// The intervals of the last hour with calls, oldest first.
    pub fn last_hour(&self, now: Millis) -> Vec<(Millis, u32)> {
        let oldest = now.plus(-(STEPS as i64) * STEP_MS);
        self.counts.iter().copied().filter(|(at, _)| *at > oldest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_ten_seconds_and_forgotten_after_an_hour() {
        let mut usage = Usage::default();
        for at in [0, 1, 9_999, 10_000, 3_599_999] {
            usage.note(Millis(at));
        }
        let counts =
            |now| usage.last_hour(Millis(now)).into_iter().map(|(at, n)| (at.0, n)).collect::<Vec<_>>();
        assert_eq!(counts(3_599_999), [(0, 3), (10_000, 1), (3_590_000, 1)]);
        assert_eq!(counts(3_600_000), [(10_000, 1), (3_590_000, 1)]);
        assert_eq!(counts(3_610_000), [(3_590_000, 1)]);
    }

    #[test]
    fn memory_stays_bounded_however_long_it_counts() {
        let mut usage = Usage::default();
        for at in 0..2_000 {
            usage.note(Millis(at * STEP_MS));
        }
        assert_eq!(usage.counts.len(), STEPS);
    }
}
