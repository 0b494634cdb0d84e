//! The rate limit of one account, as arithmetic: what was sent, what the API said, when the next
//! call may go.
//!
//! Two counts hold at once. Our own: never more calls than the limit in any stretch of time as long
//! as the window, whatever the API's windows are aligned to. And the API's: others may share the
//! bucket, so `X-RateLimit-Remaining` and `-Reset` beat our own count when they allow less. A
//! `Retry-After` stands above both. Times of the API's clock are brought to ours with the answer's
//! own `Date`.
//!
//! Source: the vendor's rate-limit page (120 requests a minute for each key; `X-RateLimit-*` on
//! allowed calls "when available"; 429 carries `Retry-After`).

use std::collections::VecDeque;

use super::ids::Millis;

/// What is known about an account's limit. Kept in the database, so that a restart brings no burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    limit: u32,
    window_ms: i64,
    /// When our calls of the last window were sent, oldest first.
    sent: VecDeque<Millis>,
    /// What the API's current window still allows, and when that window ends.
    remaining: Option<(u32, Millis)>,
    /// No call before this moment (`Retry-After`).
    blocked_until: Option<Millis>,
}

/// May a call go out now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Now,
    At(Millis),
}

/// The rate headers of one answer, brought to our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateHeaders {
    pub limit: u32,
    pub remaining: u32,
    pub resets_at: Millis,
}

/// The window while the API has not shown its own: a minute, as documented.
pub const DOCUMENTED_WINDOW_MS: i64 = 60_000;

impl Rate {
    /// Nothing known yet but the configured limit.
    pub fn new(per_minute: u32) -> Rate {
        Rate {
            limit: per_minute.max(1),
            window_ms: DOCUMENTED_WINDOW_MS,
            sent: VecDeque::new(),
            remaining: None,
            blocked_until: None,
        }
    }

    /// What was known before a restart.
    pub fn restored(
        limit: u32,
        window_ms: i64,
        sent: impl IntoIterator<Item = Millis>,
        remaining: Option<(u32, Millis)>,
        blocked_until: Option<Millis>,
    ) -> Rate {
        let mut sent: Vec<Millis> = sent.into_iter().collect();
        sent.sort_unstable();
        Rate {
            limit: limit.max(1),
            window_ms: window_ms.max(1_000),
            sent: sent.into(),
            remaining,
            blocked_until,
        }
    }

    /// When the next call may go.
    pub fn permission(&self, now: Millis) -> Permission {
        let mut earliest = now;
        if let Some(until) = self.blocked_until {
            earliest = earliest.max(until);
        }
        if let Some((0, resets_at)) = self.remaining {
            earliest = earliest.max(resets_at);
        }
        let limit = self.limit as usize;
        if self.sent.len() >= limit {
            let leaves = self.sent[self.sent.len() - limit].plus(self.window_ms);
            earliest = earliest.max(leaves);
        }
        if earliest > now { Permission::At(earliest) } else { Permission::Now }
    }

    /// Books a call that is about to be sent.
    pub fn book(&mut self, now: Millis) {
        while self.sent.front().is_some_and(|at| now.since(*at) >= self.window_ms) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        match &mut self.remaining {
            Some((_, resets_at)) if *resets_at <= now => self.remaining = None,
            Some((remaining, _)) => *remaining = remaining.saturating_sub(1),
            None => {}
        }
    }

    /// Learns from an answer's headers. `in_flight` calls of ours are not in its figure yet.
    pub fn learn(&mut self, headers: RateHeaders, in_flight: u32, now: Millis) {
        self.limit = headers.limit.max(1);
        let left = headers.resets_at.since(now);
        // The first call of a window shows the window's length; a longer rest always does.
        let first_of_window = headers.remaining.saturating_add(1) >= headers.limit;
        if (first_of_window || left > self.window_ms) && left >= 1_000 {
            self.window_ms = (left + 500) / 1_000 * 1_000;
        }
        let free = headers.remaining.saturating_sub(in_flight);
        self.remaining = match self.remaining {
            // Answers of one window may overtake each other: the smaller figure is the newer one.
            Some((known, resets_at)) if same_window(resets_at, headers.resets_at) => {
                Some((known.min(free), resets_at.max(headers.resets_at)))
            }
            _ => Some((free, headers.resets_at)),
        };
    }

    /// Sends nothing before `until`.
    pub fn block(&mut self, until: Millis) {
        self.blocked_until = Some(self.blocked_until.map_or(until, |known| known.max(until)));
    }

    /// Takes the configured limit, which holds until the API's own headers say otherwise.
    pub fn configure(&mut self, per_minute: u32) {
        if self.remaining.is_none() {
            self.limit = per_minute.max(1);
        }
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    pub fn window_ms(&self) -> i64 {
        self.window_ms
    }

    pub fn remaining(&self) -> Option<(u32, Millis)> {
        self.remaining
    }

    pub fn blocked_until(&self) -> Option<Millis> {
        self.blocked_until
    }
}

/// The API gives whole seconds, and `Date` may be a second off.
fn same_window(a: Millis, b: Millis) -> bool {
    (a.0 - b.0).abs() <= 1_500
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_own_count_holds_without_headers() {
        let mut rate = Rate::new(2);
        rate.book(Millis(0));
        rate.book(Millis(10));
        assert_eq!(rate.permission(Millis(20)), Permission::At(Millis(60_000)));
        assert_eq!(rate.permission(Millis(60_000)), Permission::Now);
    }

    #[test]
    fn the_apis_remaining_beats_our_count() {
        let mut rate = Rate::new(120);
        rate.book(Millis(0));
        rate.learn(RateHeaders { limit: 120, remaining: 1, resets_at: Millis(9_000) }, 0, Millis(1));
        assert_eq!(rate.permission(Millis(2)), Permission::Now);
        rate.book(Millis(2));
        assert_eq!(rate.permission(Millis(3)), Permission::At(Millis(9_000)));
        assert_eq!(rate.permission(Millis(9_000)), Permission::Now);
    }

    #[test]
    fn a_retry_after_stands_above_everything() {
        let mut rate = Rate::new(120);
        rate.block(Millis(32_000));
        rate.block(Millis(5_000));
        assert_eq!(rate.permission(Millis(1)), Permission::At(Millis(32_000)));
    }

    #[test]
    fn the_first_call_of_a_window_shows_its_length() {
        let mut rate = Rate::new(120);
        rate.book(Millis(0));
        rate.learn(RateHeaders { limit: 60, remaining: 59, resets_at: Millis(10_000) }, 0, Millis(20));
        assert_eq!((rate.limit(), rate.window_ms()), (60, 10_000));
    }

    #[test]
    fn calls_in_flight_are_taken_from_what_remains() {
        let mut rate = Rate::new(120);
        rate.learn(RateHeaders { limit: 120, remaining: 2, resets_at: Millis(9_000) }, 2, Millis(1));
        assert_eq!(rate.permission(Millis(2)), Permission::At(Millis(9_000)));
    }

    proptest! {
        #[test]
        fn no_stretch_of_a_window_holds_more_than_the_limit(
            limit in 1..20_u32, pauses in prop::collection::vec(0..9_000_i64, 1..200),
        ) {
            let (mut rate, mut now, mut sent) = (Rate::new(limit), Millis(0), Vec::new());
            for pause in pauses {
                now = now.plus(pause);
                if let Permission::At(at) = rate.permission(now) {
                    now = at;
                }
                rate.book(now);
                sent.push(now);
            }
            for (index, first) in sent.iter().enumerate() {
                let within = sent[index..].iter().take_while(|at| at.since(*first) < 60_000).count();
                prop_assert!(within <= limit as usize, "{within} calls from {first}");
            }
        }
    }
}
