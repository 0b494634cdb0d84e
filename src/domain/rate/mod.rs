//! The rate limit of one account's key, as arithmetic: the calls sent, the figures of the API, and the time
//! of the next call.
//!
//! Two counts are used together. Our own count allows no more calls than the limit in any period as long as a
//! window, since we do not know when the API's windows begin. The API's count includes the calls of others, so
//! `X-RateLimit-Remaining` and `-Reset` decide if they allow less. A `Retry-After` is stronger than both. Times of the
//! API's clock are converted to ours with the answer's own `Date`.
//!
//! The limit of the address that all keys call from is in [`super::address`].
//!
//! Source: the vendor's rate-limit page (120 requests a minute for each key; `X-RateLimit-*` on allowed calls
//! "when available"; 429 carries `Retry-After`).

mod headers;
mod in_flight;
mod refusals;

use std::collections::VecDeque;

use super::ids::Millis;
use super::pause::Pause;
use super::turns::Class;
use super::window::HEADER_ERROR_MS;
pub use super::window::{DOCUMENTED_WINDOW_MS, RateHeaders};
pub use in_flight::{FEWEST_IN_FLIGHT, MOST_IN_FLIGHT};
pub(super) use refusals::FEWEST_IN_A_BURST;
use refusals::LOWERED_FOR_MS;

/// What is known about an account's limit. Kept in the database, so that a restart brings no burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    limit: u32,
    window_ms: i64,
    /// When our calls of the last window were sent, oldest first.
    sent: VecDeque<Millis>,
    /// The calls that the API's current window still allows, and when that window ends.
    remaining: Option<(u32, Millis)>,
    /// No call before its end (`Retry-After`).
    pause: Option<Pause>,
    /// When the window before the current one ended.
    last_reset: Option<Millis>,
    /// Others were seen to use the bucket; it is assumed that they do until this time.
    shared_until: Millis,
    /// The configured limit.
    configured: u32,
    /// The class of the call that last got figures from the API. `None`: none since the start.
    told: Option<Class>,
    /// When a 429 last lowered the limit because no header gives it.
    lowered_at: Option<Millis>,
    /// Calls up to this time led to a 429, and prove nothing more.
    burst_after: Millis,
    /// The first of the calls that led to a 429 without a time, which the next refusals are about, too.
    untimed_from: Option<Millis>,
    /// How long an answer takes; 0: not known.
    latency_ms: i64,
}

/// May a call be sent now? A later variant is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    Now,
    At(Millis),
}

impl Rate {
    /// Knows only the configured limit.
    pub fn new(per_minute: u32) -> Rate {
        Rate {
            limit: per_minute.max(1),
            window_ms: DOCUMENTED_WINDOW_MS,
            sent: VecDeque::new(),
            remaining: None,
            pause: None,
            last_reset: None,
            shared_until: Millis(0),
            configured: per_minute.max(1),
            told: None,
            lowered_at: None,
            burst_after: Millis(i64::MIN),
            untimed_from: None,
            latency_ms: 0,
        }
    }

    /// Restores what was known before a restart. Times from the future are of a clock that was set back since: what has
    /// happened happened by now, and a window lasts no longer than windows do.
    pub fn restored(
        limit: u32,
        window_ms: i64,
        sent: impl IntoIterator<Item = Millis>,
        remaining: Option<(u32, Millis)>,
        pause: Option<Pause>,
        now: Millis,
    ) -> Rate {
        let mut sent: Vec<Millis> = sent.into_iter().map(|at| at.min(now)).collect();
        sent.sort_unstable();
        let window_ms = window_ms.max(1_000);
        let latest_end = now.plus(window_ms + HEADER_ERROR_MS);
        let remaining = remaining.map(|(remaining, resets_at)| (remaining, resets_at.min(latest_end)));
        Rate {
            window_ms,
            sent: sent.into(),
            // Together with the next one, the end of the last window shows how long a window is.
            last_reset: remaining.map(|(_, resets_at)| resets_at),
            remaining,
            pause,
            ..Rate::new(limit)
        }
    }

    /// Sets the configured limit. A limit lowered before the restart counts as lowered at the newest call.
    pub fn with_configured(self, per_minute: u32) -> Rate {
        let configured = per_minute.max(1);
        let lowered_at = self.sent.back().copied().filter(|_| self.limit < configured);
        Rate { configured, lowered_at, ..self }
    }

    /// When the next call may be sent.
    pub fn permission(&self, now: Millis) -> Permission {
        let mut earliest = now;
        if let Some(pause) = self.pause {
            earliest = earliest.max(pause.until());
        }
        if let Some((remaining, resets_at)) = self.remaining
            && remaining <= self.left_to_others(now)
        {
            earliest = earliest.max(resets_at);
        }
        let limit = self.limit as usize;
        if self.sent.len() >= limit {
            // One hundredth more: the arrival counts, and not every call takes equally long.
            let leaves = self.sent[self.sent.len() - limit].plus(self.window_ms + self.window_ms / 100);
            earliest = earliest.max(self.first_of_next_window().map_or(leaves, |first| first.min(leaves)));
        }
        if earliest > now { Permission::At(earliest) } else { Permission::Now }
    }

    /// How many calls both counts still allow now.
    pub fn left(&self, now: Millis) -> u32 {
        let sent = self.sent.iter().filter(|at| now.since(**at) < self.window_ms).count();
        let own = self.limit.saturating_sub(u32::try_from(sent).unwrap_or(u32::MAX));
        match self.remaining {
            Some((remaining, resets_at)) if resets_at > now => own.min(remaining),
            _ => own,
        }
    }

    /// Books a call that is about to be sent.
    pub fn book(&mut self, now: Millis) {
        if self.lowered_at.is_some_and(|at| now.since(at) >= LOWERED_FOR_MS) {
            (self.limit, self.window_ms, self.lowered_at) = (self.configured, DOCUMENTED_WINDOW_MS, None);
        }
        while self.sent.front().is_some_and(|at| now.since(*at) >= 2 * self.window_ms) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        match &mut self.remaining {
            Some((_, resets_at)) if *resets_at <= now => self.remaining = None,
            Some((remaining, _)) => *remaining = remaining.saturating_sub(1),
            None => {}
        }
    }

    /// Calls of a window that are left unused while others share the bucket: between an answer and our next
    /// call they may use the last ones.
    fn left_to_others(&self, now: Millis) -> u32 {
        if now < self.shared_until { (self.limit / 30).min(2) } else { 0 }
    }

    /// Sends nothing for so many milliseconds.
    pub fn block(&mut self, pause_ms: i64, now: Millis) {
        self.pause = Some(Pause::new(now, pause_ms).or(self.pause));
    }

    /// Forgets a `Retry-After`, on a person's word.
    pub fn unblock(&mut self) {
        self.pause = None;
    }

    /// Sets the configured limit, which is valid until the API's own headers, or a 429, say otherwise.
    pub fn configure(&mut self, per_minute: u32) {
        let is_news = per_minute.max(1) != self.configured;
        self.configured = per_minute.max(1);
        if self.remaining.is_none() && (is_news || self.lowered_at.is_none()) {
            (self.limit, self.lowered_at) = (self.configured, None);
        }
    }

    /// Used calls of the current window: ours, and all calls by the API's figures.
    pub fn used(&self, now: Millis) -> u32 {
        self.limit - self.left(now)
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

    /// The last pause that the API has asked for.
    pub fn pause(&self) -> Option<Pause> {
        self.pause
    }

    pub fn blocked_until(&self) -> Option<Millis> {
        self.pause.map(Pause::until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Headers of an answer at `now`.
    pub(super) fn told(limit: u32, remaining: u32, resets_at: i64, now: i64) -> RateHeaders {
        RateHeaders { limit, remaining, resets_at: Millis(resets_at), left_ms: resets_at - now, took_ms: 0 }
    }

    #[test]
    fn our_own_count_holds_without_headers() {
        let mut rate = Rate::new(2);
        rate.book(Millis(0));
        rate.book(Millis(10));
        assert_eq!(rate.permission(Millis(20)), Permission::At(Millis(60_600)));
        assert_eq!(rate.permission(Millis(60_600)), Permission::Now);
    }

    #[test]
    fn the_apis_remaining_beats_our_count() {
        let mut rate = Rate::new(120);
        rate.book(Millis(0));
        rate.learn(told(120, 1, 9_000, 1), 0, Millis(1));
        assert_eq!(rate.permission(Millis(2)), Permission::Now);
        rate.book(Millis(2));
        assert_eq!(rate.permission(Millis(3)), Permission::At(Millis(9_000)));
        assert_eq!(rate.permission(Millis(9_000)), Permission::Now);
    }

    #[test]
    fn a_retry_after_stands_above_everything() {
        let mut rate = Rate::new(120);
        rate.block(32_000, Millis(0));
        rate.block(5_000, Millis(0));
        assert_eq!(rate.permission(Millis(1)), Permission::At(Millis(32_000)));
        assert_eq!(rate.blocked_until(), Some(Millis(32_000)), "for after a restart");
    }

    /// A soak that set the clock an hour ahead and back stood still for that hour.
    #[test]
    fn what_a_clock_an_hour_ahead_has_stored_stops_nothing_for_an_hour() {
        let (now, ahead) = (Millis(0), Millis(3_600_000));
        let asked = Pause::restored(Some(ahead), ahead.plus(30_000), now);
        let (sent, used) = ([ahead; 120], Some((0, ahead.plus(50_000))));
        for (pause, sent, used, next) in [
            (Some(asked), &sent[..0], None, 30_000),
            (None, &sent[..], None, 60_600),
            (None, &sent[..0], used, 60_000 + HEADER_ERROR_MS),
        ] {
            let rate = Rate::restored(120, 60_000, sent.iter().copied(), used, pause, now);
            assert_eq!(rate.permission(now), Permission::At(Millis(next)));
        }
    }

    #[test]
    fn what_is_left_and_used_is_the_worse_of_our_count_and_the_apis_while_their_windows_last() {
        let used = Some((90, Millis(20_000)));
        let mut rate = Rate::restored(120, 60_000, [0, 0, 0].map(Millis), used, None, Millis(0));
        for (now, left) in [(1, 90), (19_999, 90), (20_000, 117), (59_999, 117), (60_000, 120)] {
            assert_eq!((rate.left(Millis(now)), rate.used(Millis(now))), (left, 120 - left), "{now}");
        }
        for at in 0..40 {
            rate.book(Millis(at));
        }
        assert_eq!((rate.left(Millis(50)), rate.used(Millis(50))), (50, 70), "each call counts in both");
    }

    #[test]
    fn a_window_of_the_api_that_has_ended_says_nothing_more() {
        let known = |now| {
            let mut rate = Rate::restored(120, 60_000, [], Some((90, Millis(20_000))), None, Millis(0));
            rate.book(Millis(now));
            rate.remaining()
        };
        assert_eq!(known(19_999), Some((89, Millis(20_000))));
        assert_eq!(known(20_000), None);
    }

    #[test]
    fn the_configured_limit_holds_until_the_api_says_otherwise() {
        let mut rate = Rate::new(120);
        rate.configure(60);
        assert_eq!(rate.limit(), 60);
        rate.learn(told(100, 50, 9_000, 1), 0, Millis(1));
        rate.configure(60);
        assert_eq!(rate.limit(), 100);
    }

    #[test]
    fn while_others_share_the_bucket_the_last_calls_are_left_to_them() {
        let mut rate = Rate::new(120);
        let headers = |remaining| told(120, remaining, 50_000, 1);
        rate.learn(headers(10), 0, Millis(1));
        rate.book(Millis(2));
        rate.learn(headers(2), 0, Millis(3));
        assert_eq!(rate.permission(Millis(4)), Permission::At(Millis(50_000)));
    }

    #[test]
    fn others_are_left_a_thirtieth_at_most_two_calls_for_five_minutes() {
        for (limit, left) in [(29, 0), (30, 1), (59, 1), (60, 2), (3_000, 2)] {
            let mut rate = Rate::new(limit);
            for remaining in [10, 8] {
                rate.learn(told(limit, remaining, 50_000, 1), 0, Millis(1));
            }
            let left_at = |now| rate.left_to_others(Millis(now));
            assert_eq!((left_at(300_000), left_at(300_001)), (left, 0), "{limit}");
        }
    }

    #[test]
    fn alone_in_the_bucket_every_call_is_used() {
        let mut rate = Rate::new(120);
        for remaining in (0..3).rev() {
            let headers = told(120, remaining, 50_000, 1);
            rate.learn(headers, 0, Millis(1));
            let expected = if remaining > 0 { Permission::Now } else { Permission::At(Millis(50_000)) };
            assert_eq!(rate.permission(Millis(2)), expected);
            rate.book(Millis(2));
        }
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
                let within = sent[index..].iter().take_while(|at| at.since(*first) <= 60_500).count();
                prop_assert!(within <= limit as usize, "{within} calls from {first}");
            }
        }
    }
}
