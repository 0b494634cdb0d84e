//! The sandbox's own clock.
//!
//! Tasks end, windows close and charges become visible only by this clock, so a test that moves it by hand
//! can predict every answer. It starts at the real time unless told otherwise, and never goes back: with
//! [`Time::Auto`] it is the start plus what a steady clock has measured since.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::sandbox::lock::lock;
use crate::sandbox::options::Time;

pub(in crate::sandbox) struct Clock {
    time: Time,
    started_ms: i64,
    started: Instant,
    advanced: Mutex<Duration>,
    moved: Notify,
}

impl Clock {
    pub(in crate::sandbox) fn start(time: Time) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            time,
            started_ms: match time {
                Time::ManualFrom(moment) => moment,
                Time::Auto | Time::Manual => millis(since_epoch),
            },
            started: Instant::now(),
            advanced: Mutex::new(Duration::ZERO),
            moved: Notify::new(),
        }
    }

    pub(in crate::sandbox) fn now_ms(&self) -> i64 {
        let passed = match self.time {
            Time::Auto => self.started.elapsed(),
            Time::Manual | Time::ManualFrom(_) => *lock(&self.advanced),
        };
        self.started_ms + millis(passed)
    }

    /// Does nothing with [`Time::Auto`]: that clock cannot be moved.
    pub(in crate::sandbox) fn advance(&self, by: Duration) {
        *lock(&self.advanced) += by;
        self.moved.notify_waiters();
    }

    pub(in crate::sandbox) async fn wait_until(&self, due_ms: i64) {
        loop {
            // Starts listening before it checks, or a move in between would be missed.
            let moved = self.moved.notified();
            let left_ms = due_ms - self.now_ms();
            if left_ms <= 0 {
                return;
            }
            match self.time {
                Time::Auto => tokio::time::sleep(Duration::from_millis(left_ms.unsigned_abs())).await,
                Time::Manual | Time::ManualFrom(_) => moved.await,
            }
        }
    }
}

/// A duration in whole milliseconds; a duration that is too long becomes the maximum.
pub(in crate::sandbox) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4)
}
