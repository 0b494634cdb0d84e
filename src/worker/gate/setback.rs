//! Failures in a row, and the growing pause after them.

use crate::domain::{Millis, pacing};

/// The first pause and the longest, in milliseconds; half of each is jitter.
const FIRST_PAUSE_MS: i64 = 1_000;
const LONGEST_PAUSE_MS: i64 = 60_000;

/// Something that keeps failing, and how often it has. Only in memory: a restart tries again at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setback {
    failures: u32,
    /// No new try before this moment.
    pub(super) until: Millis,
}

impl Setback {
    /// Notes one more failure.
    pub(super) fn failed(&mut self, now: Millis) {
        self.failures = self.failures.saturating_add(1);
        let pause_ms =
            pacing::retry_delay_ms(self.failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, fastrand::f64());
        self.until = now.plus(pause_ms);
    }

    /// Notes a success.
    pub(super) fn over(&mut self) {
        *self = Setback::default();
    }
}
