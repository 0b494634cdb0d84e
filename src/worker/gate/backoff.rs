//! Failures in a row, and the growing pause after them.

use crate::domain::{Millis, pacing};

/// The first pause and the longest, in milliseconds; half of each is jitter.
const FIRST_PAUSE_MS: i64 = 1_000;
const LONGEST_PAUSE_MS: i64 = 60_000;

/// How often something has failed in a row, and how long to wait. The wait is only in memory: a restart tries again at
/// once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// When the first of them was, also before a restart.
    pub(super) since: Option<Millis>,
    /// Not to be tried before this moment.
    pub(super) until: Millis,
}

impl Backoff {
    /// Failures that an earlier process saw. They may be over, so there is no wait.
    pub(super) fn before_start(since: Option<Millis>) -> Backoff {
        Backoff { since, ..Backoff::default() }
    }

    /// It failed once more.
    pub(super) fn failed(&mut self, now: Millis) {
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert(now);
        let pause_ms =
            pacing::retry_delay_ms(self.failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, fastrand::f64());
        self.until = now.plus(pause_ms);
    }

    /// Notes a success.
    pub(super) fn over(&mut self) {
        *self = Backoff::default();
    }
}
