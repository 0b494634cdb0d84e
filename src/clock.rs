//! The time, for everything that decides or records something.
//!
//! Only log lines, timeouts of sockets and the sandbox read their own clocks.
//!
//! The real clock reads the wall clock once and then follows the system's boot clock, which continues during
//! suspend and does not jump when the time is set: so polls come neither early nor late. When the wall clock was set
//! (a machine without a battery, a person), [`Clock::step_ms`] shows by how much, and [`Clock::follow`] takes that
//! over. A test clock moves only on command.
//!
//! Hosts that share a database tell the time of its server ([`Clock::refer`]), however their own wall clocks are set: else
//! a `Retry-After` that one of them has written would end early on another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::Millis;

/// A smaller difference between the two clocks is not followed: a leap second, a reading that took long.
pub const LEAST_STEP_MS: i64 = 10_000;

/// Tells the time; cheap to clone, and all clones follow together.
#[derive(Clone, Debug)]
pub struct Clock {
    /// What the boot clock lacks to the time.
    offset_ms: Arc<AtomicI64>,
    source: Source,
    /// The time of a server, when it counts and not this machine's.
    reference: Arc<Reference>,
}

#[derive(Debug, Default)]
struct Reference {
    counts: AtomicBool,
    /// What it is ahead of the time that the clock tells.
    ahead_ms: AtomicI64,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Its boot clock, and what its wall clock is ahead of the time that the clock tells.
    Test {
        boot_ms: Arc<AtomicI64>,
        set_by_ms: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The real clock.
    pub fn real() -> Clock {
        let offset_ms = Arc::new(AtomicI64::new(wall_ms() - boot_ms()));
        Clock { offset_ms, source: Source::System, reference: Arc::default() }
    }

    /// A clock that stands at the real time until it is moved.
    pub fn test() -> Clock {
        Clock::test_at(Clock::real().now())
    }

    /// A clock that stands at this time until it is moved.
    pub fn test_at(now: Millis) -> Clock {
        let source = Source::Test { boot_ms: Arc::new(AtomicI64::new(now.0)), set_by_ms: Arc::default() };
        Clock { offset_ms: Arc::default(), source, reference: Arc::default() }
    }

    pub fn now(&self) -> Millis {
        Millis(self.steady_ms() + self.offset_ms.load(Ordering::SeqCst))
    }

    /// Milliseconds that never go back, suspend included: shows how long the process was stopped.
    pub fn steady_ms(&self) -> i64 {
        match &self.source {
            Source::System => boot_ms(),
            Source::Test { boot_ms, .. } => boot_ms.load(Ordering::SeqCst),
        }
    }

    /// Lets this much time pass. That of a test clock passes on command only, so it never ends there.
    pub async fn pass(&self, time: Duration) {
        match self.source {
            Source::System => tokio::time::sleep(time).await,
            Source::Test { .. } => std::future::pending().await,
        }
    }

    /// From now on the clock tells the time of a server, which is `time` now. Later calls show only whether that was set:
    /// see [`Clock::step_ms`].
    pub fn refer(&self, time: Millis) {
        let ahead_ms = time.0 - self.now().0;
        match self.reference.counts.swap(true, Ordering::SeqCst) {
            true => self.reference.ahead_ms.store(ahead_ms, Ordering::SeqCst),
            false => drop(self.offset_ms.fetch_add(ahead_ms, Ordering::SeqCst)),
        }
    }

    /// How far the wall clock was set ahead of this clock, or back (negative), in milliseconds; 0 for less than
    /// [`LEAST_STEP_MS`].
    pub fn step_ms(&self) -> i64 {
        let step_ms = match &self.source {
            _ if self.reference.counts.load(Ordering::SeqCst) => {
                self.reference.ahead_ms.load(Ordering::SeqCst)
            }
            Source::System => wall_ms() - self.now().0,
            Source::Test { set_by_ms, .. } => set_by_ms.load(Ordering::SeqCst),
        };
        if step_ms.abs() < LEAST_STEP_MS { 0 } else { step_ms }
    }

    /// Takes over the wall clock's time if it was set. Times that were read before and times that are read now cannot
    /// be compared: the caller's passes must have ended.
    pub fn follow(&self) {
        let step_ms = self.step_ms();
        self.offset_ms.fetch_add(step_ms, Ordering::SeqCst);
        if self.reference.counts.load(Ordering::SeqCst) {
            self.reference.ahead_ms.fetch_sub(step_ms, Ordering::SeqCst);
            return;
        }
        if let Source::Test { set_by_ms, .. } = &self.source {
            set_by_ms.fetch_sub(step_ms, Ordering::SeqCst);
        }
    }

    /// Moves a test clock.
    ///
    /// # Panics
    /// On the real clock: only a bug in the program can move it.
    pub fn advance(&self, by: Duration) {
        match &self.source {
            Source::System => panic!("the real clock cannot be moved"),
            Source::Test { boot_ms, .. } => {
                boot_ms.fetch_add(crate::domain::pacing::duration_ms(by), Ordering::SeqCst);
            }
        }
    }

    /// Sets a test clock's wall clock ahead, or back.
    ///
    /// # Panics
    /// On the real clock.
    pub fn set_by(&self, ms: i64) {
        match &self.source {
            Source::System => panic!("the real clock cannot be moved"),
            Source::Test { set_by_ms, .. } => drop(set_by_ms.fetch_add(ms, Ordering::SeqCst)),
        }
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
fn wall_ms() -> i64 {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    crate::domain::pacing::duration_ms(wall) + set_by_a_test()
}

/// What a test has set the wall clock of this process by: the seconds in the file of `UNLOCKD_FAIL_CLOCK`.
#[cfg(debug_assertions)]
fn set_by_a_test() -> i64 {
    let text = std::env::var_os("UNLOCKD_FAIL_CLOCK").and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or_default() * 1_000
}

#[cfg(not(debug_assertions))]
fn set_by_a_test() -> i64 {
    0
}

/// Milliseconds since boot, suspend included.
fn boot_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_followed_on_command_by_all_clones() {
        let clock = Clock::test_at(Millis(1_000_000));
        let other = clock.clone();
        for set_by_ms in [3_600_000, -7_200_000] {
            let before = clock.now();
            clock.set_by(set_by_ms);
            assert_eq!((clock.now(), clock.step_ms()), (before, set_by_ms), "schedules do not jump");
            clock.follow();
            assert_eq!((other.now(), other.step_ms()), (before.plus(set_by_ms), 0));
        }
        let refers = Clock::test_at(Millis(1_000_000));
        refers.refer(Millis(1_300_000));
        assert_eq!(
            (refers.now(), refers.step_ms()),
            (Millis(1_300_000), 0),
            "five minutes ahead from the start"
        );
        refers.set_by(3_600_000);
        assert_eq!(refers.step_ms(), 0, "the machine's own clock does not count");
        refers.refer(Millis(1_320_000));
        assert_eq!((refers.now(), refers.step_ms()), (Millis(1_300_000), 20_000), "the server's was set");
        refers.follow();
        assert_eq!((refers.now(), refers.step_ms()), (Millis(1_320_000), 0));
        let is_ahead = Clock::test_at(Millis(1_300_000));
        is_ahead.refer(Millis(1_000_000));
        assert_eq!((is_ahead.now(), is_ahead.step_ms()), (Millis(1_000_000), 0), "five minutes behind it");
        clock.set_by(LEAST_STEP_MS - 1);
        assert_eq!(clock.step_ms(), 0, "not worth a word");
        assert_eq!(Clock::real().step_ms(), 0);
    }
}
