//! The only file that reads the time.
//!
//! The real clock reads the wall clock once and then follows the system's boot clock, which continues during
//! suspend and does not jump when the time is set: so polls come neither early nor late. A test clock moves
//! only on command.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::Millis;

/// Tells the time; cheap to clone.
#[derive(Clone, Debug)]
pub enum Clock {
    Real { anchor_ms: i64, boot_ms: i64 },
    Test(Arc<AtomicI64>),
}

impl Clock {
    /// The real clock.
    pub fn real() -> Clock {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Clock::Real { anchor_ms: crate::domain::pacing::duration_ms(wall), boot_ms: boot_ms() }
    }

    /// A clock that stands at the real time until it is moved.
    pub fn test() -> Clock {
        Clock::Test(Arc::new(AtomicI64::new(Clock::real().now().0)))
    }

    pub fn now(&self) -> Millis {
        match self {
            Clock::Real { anchor_ms, boot_ms: since } => Millis(anchor_ms + (boot_ms() - since)),
            Clock::Test(now) => Millis(now.load(Ordering::SeqCst)),
        }
    }

    /// Milliseconds that never go back, suspend included: shows how long the process was stopped.
    pub fn steady_ms(&self) -> i64 {
        match self {
            Clock::Real { .. } => boot_ms(),
            Clock::Test(_) => self.now().0,
        }
    }

    /// Moves a test clock.
    ///
    /// # Panics
    /// On the real clock: only a bug in the program can move it.
    pub fn advance(&self, by: Duration) {
        match self {
            Clock::Real { .. } => panic!("the real clock cannot be moved"),
            Clock::Test(now) => {
                now.fetch_add(crate::domain::pacing::duration_ms(by), Ordering::SeqCst);
            }
        }
    }
}

/// Milliseconds since boot, suspend included.
fn boot_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}
