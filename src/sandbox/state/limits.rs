//! The rate limit: so many calls for each key in a fixed window.
//!
//! A window opens with the first call after the last one ended. A call that is turned away does not
//! count. Calls can be used up from outside, since other clients share a key's bucket.

use std::collections::HashMap;

#[derive(Debug, Clone, Copy)]
struct Window {
    ends_ms: i64,
    used: u32,
}

/// What the limiter says to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Admission {
    Unlimited,
    Allowed { remaining: u32, ends_ms: i64 },
    Refused { ends_ms: i64 },
}

pub(in crate::sandbox) struct Limiter {
    limit: u32,
    window_ms: i64,
    windows: HashMap<String, Window>,
    /// Used up before any key had a window: the next window begins with them.
    used_ahead: u32,
}

impl Limiter {
    pub(in crate::sandbox) fn new(limit: u32, window_ms: i64) -> Self {
        Self { limit, window_ms, windows: HashMap::new(), used_ahead: 0 }
    }

    pub(in crate::sandbox) fn admit(&mut self, key: &str, now_ms: i64) -> Admission {
        if self.limit == 0 {
            return Admission::Unlimited;
        }
        let used_ahead = &mut self.used_ahead;
        let fresh = |used_ahead: &mut u32| Window {
            ends_ms: now_ms + self.window_ms,
            used: std::mem::take(used_ahead),
        };
        let window = self.windows.entry(key.to_owned()).or_insert_with(|| fresh(used_ahead));
        if window.ends_ms <= now_ms {
            *window = fresh(used_ahead);
        }
        if window.used >= self.limit {
            return Admission::Refused { ends_ms: window.ends_ms };
        }
        window.used += 1;
        Admission::Allowed { remaining: self.limit - window.used, ends_ms: window.ends_ms }
    }

    /// A call that a scripted 429 turned away after all.
    pub(in crate::sandbox) fn give_back(&mut self, key: &str) {
        if let Some(window) = self.windows.get_mut(key) {
            window.used = window.used.saturating_sub(1);
        }
    }

    /// Somebody else's calls, counted in every window that runs; without one, in the next.
    pub(in crate::sandbox) fn use_up(&mut self, calls: u32, now_ms: i64) {
        let mut running = self.windows.values_mut().filter(|window| window.ends_ms > now_ms).peekable();
        if running.peek().is_none() {
            self.used_ahead = self.used_ahead.saturating_add(calls);
        }
        for window in running {
            window.used = window.used.saturating_add(calls);
        }
    }
}

/// Whole seconds until then, rounded up, and at least one: what `Retry-After` carries.
pub(in crate::sandbox) fn seconds_until(then_ms: i64, now_ms: i64) -> i64 {
    ((then_ms - now_ms + 999) / 1000).max(1)
}
