//! The rate limits: calls for each key, and calls for each address, in a fixed window.
//!
//! A window opens with the first call after the last one ended. A refused call counts for neither. Headers
//! show only the key's figures; the address's limit becomes visible when a call is refused although its key
//! has calls left. Tests can use up calls, as other users of a bucket would.

use std::collections::HashMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Copy)]
struct Window {
    ends_ms: i64,
    used: u32,
}

/// The limiter's decision about one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Admission {
    Unlimited,
    /// With the figures of the key's bucket.
    Allowed {
        remaining: u32,
        ends_ms: i64,
    },
    Refused {
        ends_ms: i64,
    },
}

/// One kind of bucket: for keys, or for addresses.
struct Buckets<K> {
    /// 0: no limit.
    limit: u32,
    window_ms: i64,
    windows: HashMap<K, Window>,
    /// Calls used up before any window was open: the next window begins with them.
    used_ahead: u32,
}

impl<K: std::hash::Hash + Eq + Clone> Buckets<K> {
    fn new(limit: u32, window_ms: i64) -> Self {
        Self { limit, window_ms, windows: HashMap::new(), used_ahead: 0 }
    }

    /// The current window, or a new one.
    fn window(&mut self, who: &K, now_ms: i64) -> &mut Window {
        let fresh = |used| Window { ends_ms: now_ms + self.window_ms, used };
        let window = self.windows.entry(who.clone()).or_insert_with(|| Window { ends_ms: now_ms, used: 0 });
        if window.ends_ms <= now_ms {
            *window = fresh(std::mem::take(&mut self.used_ahead));
        }
        window
    }

    /// When a full bucket has room again.
    fn full_until(&mut self, who: &K, now_ms: i64) -> Option<i64> {
        let limit = self.limit;
        let window = self.window(who, now_ms);
        (limit > 0 && window.used >= limit).then_some(window.ends_ms)
    }

    fn give_back(&mut self, who: &K) {
        if let Some(window) = self.windows.get_mut(who) {
            window.used = window.used.saturating_sub(1);
        }
    }

    fn use_up(&mut self, calls: u32, now_ms: i64) {
        let mut running = self.windows.values_mut().filter(|window| window.ends_ms > now_ms).peekable();
        if running.peek().is_none() {
            self.used_ahead = self.used_ahead.saturating_add(calls);
        }
        for window in running {
            window.used = window.used.saturating_add(calls);
        }
    }
}

pub(in crate::sandbox) struct Limiter {
    keys: Buckets<String>,
    addresses: Buckets<IpAddr>,
}

impl Limiter {
    pub(in crate::sandbox) fn new(of_key: u32, of_address: u32, window_ms: i64) -> Self {
        Self { keys: Buckets::new(of_key, window_ms), addresses: Buckets::new(of_address, window_ms) }
    }

    pub(in crate::sandbox) fn admit(&mut self, key: &String, address: IpAddr, now_ms: i64) -> Admission {
        let full = [self.keys.full_until(key, now_ms), self.addresses.full_until(&address, now_ms)];
        if let Some(ends_ms) = full.into_iter().flatten().max() {
            return Admission::Refused { ends_ms };
        }
        self.addresses.window(&address, now_ms).used += 1;
        let limit = self.keys.limit;
        let window = self.keys.window(key, now_ms);
        window.used += 1;
        match limit {
            0 => Admission::Unlimited,
            _ => Admission::Allowed { remaining: limit - window.used, ends_ms: window.ends_ms },
        }
    }

    /// Gives a call back that a scripted 429 refused after all.
    pub(in crate::sandbox) fn give_back(&mut self, key: &String, address: IpAddr) {
        self.keys.give_back(key);
        self.addresses.give_back(&address);
    }

    /// Calls of other users with the keys, counted in every open window; without one, in the next.
    pub(in crate::sandbox) fn use_up(&mut self, calls: u32, now_ms: i64) {
        self.keys.use_up(calls, now_ms);
    }

    /// The same for calls from the same address with other keys.
    pub(in crate::sandbox) fn use_up_address(&mut self, calls: u32, now_ms: i64) {
        self.addresses.use_up(calls, now_ms);
    }
}

/// Whole seconds until then, rounded up, and at least one: the value of `Retry-After`.
pub(in crate::sandbox) fn seconds_until(then_ms: i64, now_ms: i64) -> i64 {
    ((then_ms - now_ms + 999) / 1000).max(1)
}
