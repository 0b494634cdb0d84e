//! Whether this process was stopped for a while, as SIGSTOP, a debugger or a paused virtual machine do.
//!
//! Between the intent and the first byte of the paid call lies what may rightly take seconds: a name to resolve, a
//! connection, a proxy. So time alone shows nothing. Meanwhile the clock is looked at again and again, and a look that
//! comes late shows that nothing ran.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks at the boot clock; clones share what they saw.
#[derive(Clone)]
pub(super) struct Awake {
    clock: Clock,
    seen: Arc<Seen>,
}

struct Seen {
    /// By the boot clock, in milliseconds.
    last: AtomicI64,
    longest_gap: AtomicI64,
}

impl Awake {
    pub(super) fn now(clock: &Clock) -> Awake {
        let seen = Seen { last: AtomicI64::new(clock.steady_ms()), longest_gap: AtomicI64::new(0) };
        Awake { clock: clock.clone(), seen: Arc::new(seen) }
    }

    /// Goes on looking until it is dropped.
    pub(super) async fn watch(&self) -> Infallible {
        loop {
            self.clock.pass(LOOK_EVERY).await;
            self.look();
        }
    }

    /// The longest time between two looks, this one included, in milliseconds.
    pub(super) fn longest_gap_ms(&self) -> i64 {
        self.look();
        self.seen.longest_gap.load(Ordering::SeqCst)
    }

    fn look(&self) {
        let now = self.clock.steady_ms();
        let gap = now - self.seen.last.swap(now, Ordering::SeqCst);
        self.seen.longest_gap.fetch_max(gap, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_connection_is_no_stop_and_a_stop_is_one_whoever_looks_first() {
        let clock = Clock::test();
        let second = |awake: &Awake| {
            clock.advance(Duration::from_secs(1));
            awake.look();
        };
        let slow = Awake::now(&clock);
        (0..9).for_each(|_| second(&slow));
        assert_eq!(slow.longest_gap_ms(), 1_000);

        let stopped = Awake::now(&clock);
        clock.advance(Duration::from_secs(3));
        assert_eq!(stopped.longest_gap_ms(), 3_000);
        second(&stopped);
        assert_eq!(stopped.longest_gap_ms(), 3_000, "it is not forgotten");

        let watched = Awake::now(&Clock::real());
        let since = watched.seen.last.load(Ordering::SeqCst);
        let looked = tokio::time::timeout(LOOK_EVERY + LOOK_EVERY / 2, watched.watch()).await;
        let seen = watched.seen.last.load(Ordering::SeqCst);
        assert!(looked.is_err() && seen - since >= LOOK_EVERY.as_millis() as i64);
    }
}
