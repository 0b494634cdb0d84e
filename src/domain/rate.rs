//! The rate limit of one account, or of all that call from one address, as arithmetic: what was sent,
//! what the API said, when the next call may go.
//!
//! Two counts hold at once. Our own: never more calls than the limit in any stretch of time as long
//! as the window, whatever the API's windows are aligned to. And the API's: others may share the
//! bucket, so `X-RateLimit-Remaining` and `-Reset` beat our own count when they allow less. A
//! `Retry-After` stands above both. Times of the API's clock are brought to ours with the answer's
//! own `Date`.
//!
//! Source: the vendor's rate-limit page (120 requests a minute for each key, and for each IP;
//! `X-RateLimit-*` on allowed calls "when available"; 429 carries `Retry-After`).

use std::collections::VecDeque;

use super::ids::Millis;
use super::turns::Class;
pub use super::window::{DOCUMENTED_WINDOW_MS, RateHeaders};
use super::window::{HEADER_ERROR_MS, of_burst, window_of};

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
    /// When the window before the current one ended.
    last_reset: Option<Millis>,
    /// Others were seen to use the bucket, and are taken to until this moment.
    shared_until: Millis,
    /// The configured limit.
    configured: u32,
    /// Whose call was told the API's figures last. `None`: nobody's, since the start.
    told: Option<Class>,
    /// When a 429 last lowered the limit, since no header tells it.
    lowered_at: Option<Millis>,
    /// Calls up to this moment have ended in a 429, and show nothing any more.
    burst_after: Millis,
}

/// May a call go out now? The later is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    Now,
    At(Millis),
}

impl Rate {
    /// Nothing known yet but the configured limit.
    pub fn new(per_minute: u32) -> Rate {
        Rate {
            limit: per_minute.max(1),
            window_ms: DOCUMENTED_WINDOW_MS,
            sent: VecDeque::new(),
            remaining: None,
            blocked_until: None,
            last_reset: None,
            shared_until: Millis(0),
            configured: per_minute.max(1),
            told: None,
            lowered_at: None,
            burst_after: Millis(i64::MIN),
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
            window_ms: window_ms.max(1_000),
            sent: sent.into(),
            // The end of the last window shows, with the next one, how long a window is.
            last_reset: remaining.map(|(_, resets_at)| resets_at),
            remaining,
            blocked_until,
            ..Rate::new(limit)
        }
    }

    /// With the configured limit. What was lowered before the restart is so since the newest call.
    pub fn with_configured(self, per_minute: u32) -> Rate {
        let configured = per_minute.max(1);
        let lowered_at = self.sent.back().copied().filter(|_| self.limit < configured);
        Rate { configured, lowered_at, ..self }
    }

    /// When the next call may go.
    pub fn permission(&self, now: Millis) -> Permission {
        let mut earliest = now;
        if let Some(until) = self.blocked_until {
            earliest = earliest.max(until);
        }
        if let Some((remaining, resets_at)) = self.remaining
            && remaining <= self.left_to_others(now)
        {
            earliest = earliest.max(resets_at);
        }
        let limit = self.limit as usize;
        if self.sent.len() >= limit {
            // A hundredth more: what counts is when calls arrive, and they do not all take as long.
            let leaves = self.sent[self.sent.len() - limit].plus(self.window_ms + self.window_ms / 100);
            earliest = earliest.max(self.first_of_next_window().map_or(leaves, |first| first.min(leaves)));
        }
        if earliest > now { Permission::At(earliest) } else { Permission::Now }
    }

    /// When one call may go out after the window that the API told of has ended, whatever our own count
    /// says: its answer tells of the next window, and so how long a window is.
    fn first_of_next_window(&self) -> Option<Millis> {
        let (ended, newest) = (self.last_reset?, self.sent.back()?);
        let first = ended.plus(HEADER_ERROR_MS);
        (*newest < ended).then_some(first)
    }

    /// When a poll may go out although the window is spent. Figures of one endpoint may tell of a bucket of
    /// its own, such as ten searches an hour; as long as no poll was told the same, one may ask now and then.
    pub fn poll_may_go(&self, class: Class, now: Millis) -> Option<Permission> {
        let (remaining, resets_at) = self.remaining?;
        let far_away = resets_at.since(now) > DOCUMENTED_WINDOW_MS && remaining <= self.left_to_others(now);
        if class != Class::Poll || self.told == Some(Class::Poll) || !far_away {
            return None;
        }
        let rested = self.sent.back().map_or(now, |newest| newest.plus(DOCUMENTED_WINDOW_MS));
        let at = rested.max(self.blocked_until.unwrap_or(now));
        Some(if at > now { Permission::At(at) } else { Permission::Now })
    }

    /// How many calls our own count and the API's both still allow at this moment.
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

    /// Calls of a window that are left unused while others share the bucket: between an answer and
    /// our next call they may take the last ones.
    fn left_to_others(&self, now: Millis) -> u32 {
        if now < self.shared_until { (self.limit / 30).min(2) } else { 0 }
    }

    /// Learns from a 429 that asked for a pause. Where no header tells the limit, this shows it: as many calls
    /// as went out before it, in the time until the next may go.
    pub fn refused(&mut self, pause_ms: i64, now: Millis) {
        let burst: Vec<Millis> = self.sent.iter().copied().filter(|at| *at > self.burst_after).collect();
        self.burst_after = now;
        if self.told.is_some() || self.remaining.is_some() || pause_ms > LONGEST_BURST_PAUSE_MS {
            return;
        }
        let Some(first) = burst.first() else { return };
        // The one that was refused is among them.
        let sent = burst.len().saturating_sub(1);
        if sent < FEWEST_IN_A_BURST {
            return;
        }
        let (limit, window_ms) = of_burst(sent, *first, now, pause_ms);
        // Never faster than configured; and once it is lowered, only what is slower still explains a 429.
        let window_ms = window_ms.max(i64::from(limit) * DOCUMENTED_WINDOW_MS / i64::from(self.configured));
        let is_slower = i64::from(limit).saturating_mul(self.window_ms)
            <= i64::from(self.limit).saturating_mul(window_ms);
        if self.lowered_at.is_none() || is_slower {
            (self.limit, self.window_ms, self.lowered_at) = (limit, window_ms, Some(now));
        }
    }

    /// Notes whose call was told the figures that were learned last.
    pub fn told_to(&mut self, class: Class) {
        self.told = Some(class);
    }

    /// Learns from an answer's headers. `in_flight` calls of ours are not in its figure yet.
    pub fn learn(&mut self, headers: RateHeaders, in_flight: u32, now: Millis) {
        // Figures of another limit are of another bucket, and say nothing about the known one.
        let is_same_bucket = self.limit == headers.limit;
        self.limit = headers.limit.max(1);
        let left = headers.left_ms;
        let first_of_window = headers.remaining.saturating_add(1) >= headers.limit;
        // Longer than known it certainly is. That it is shorter, one answer does not show: the window may
        // have been joined in its middle, before anybody's first call.
        if left > self.window_ms + HEADER_ERROR_MS {
            self.window_ms = window_of(left);
        }
        self.lowered_at = None;
        // The window began no later than its first answer, which is more exact than whole seconds.
        let resets_at = match first_of_window {
            true => headers.resets_at.min(now.plus(self.window_ms)),
            false => headers.resets_at,
        };
        let free = headers.remaining.saturating_sub(in_flight);
        self.remaining = match self.remaining {
            Some((known, known_reset)) if is_same_bucket && headers.may_tell_of(known_reset) => {
                if free < known {
                    self.shared_until = now.plus(SHARED_FOR_MS);
                }
                // Answers of one window may overtake each other: the smaller figure is the newer
                // one, and each time is an upper bound.
                Some((known.min(free), known_reset.min(resets_at)))
            }
            _ => {
                self.learn_from_distance(headers, resets_at, now);
                Some((free, resets_at))
            }
        };
    }

    /// Windows that follow each other show their length even if others always make the first call.
    fn learn_from_distance(&mut self, headers: RateHeaders, resets_at: Millis, now: Millis) {
        let has_ended = |last: &Millis| *last <= now.plus(HEADER_ERROR_MS) && !headers.may_tell_of(*last);
        let last = self.last_reset.filter(has_ended);
        if last.is_none() && self.last_reset.is_some() {
            // The window before has not ended, so this is the same one: a slow answer places its end late.
            self.last_reset = self.last_reset.map(|known| known.min(resets_at));
            return;
        }
        self.last_reset = Some(resets_at);
        if let Some(last) = last {
            let distance = resets_at.since(last);
            if distance >= 1_000 && distance + HEADER_ERROR_MS < self.window_ms {
                self.window_ms = window_of(distance);
            }
        }
    }

    /// Sends nothing before `until`.
    pub fn block(&mut self, until: Millis) {
        self.blocked_until = Some(self.blocked_until.map_or(until, |known| known.max(until)));
    }

    /// Takes what somebody else has learned from the API: a limit, a window in milliseconds, and when the last
    /// window that it told of ends.
    pub fn measure(&mut self, limit: u32, window_ms: i64, last_reset: Option<Millis>) {
        (self.limit, self.window_ms, self.last_reset) = (limit, window_ms, last_reset);
    }

    /// When the last window that the API told of ends.
    pub fn last_reset(&self) -> Option<Millis> {
        self.last_reset
    }

    /// Takes the configured limit, which holds until the API's own headers, or a 429, say otherwise.
    pub fn configure(&mut self, per_minute: u32) {
        let is_news = per_minute.max(1) != self.configured;
        self.configured = per_minute.max(1);
        if self.remaining.is_none() && (is_news || self.lowered_at.is_none()) {
            (self.limit, self.lowered_at) = (self.configured, None);
        }
    }

    /// Calls of the current window that are gone: ours, and what the API says of everybody's.
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

    pub fn blocked_until(&self) -> Option<Millis> {
        self.blocked_until
    }
}

/// How long a limit holds that a 429 has shown, in milliseconds: it may have been a passing one.
const LOWERED_FOR_MS: i64 = 6 * 3_600_000;

/// A 429 after fewer calls shows no limit of ours: others use the bucket, or it is a passing one. Learned from
/// it, a limit of one call a minute could never buy: reading the balance would take every call.
const FEWEST_IN_A_BURST: usize = 5;

/// A 429 that asks for a longer pause tells of another limit than that of a window, in milliseconds.
const LONGEST_BURST_PAUSE_MS: i64 = 120_000;

/// How long others are taken to share the bucket after they were seen to, in milliseconds.
const SHARED_FOR_MS: i64 = 300_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Headers of an answer at `now`.
    fn told(limit: u32, remaining: u32, resets_at: i64, now: i64) -> RateHeaders {
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
        rate.block(Millis(32_000));
        rate.block(Millis(5_000));
        assert_eq!(rate.permission(Millis(1)), Permission::At(Millis(32_000)));
        assert_eq!(rate.blocked_until(), Some(Millis(32_000)), "for after a restart");
    }

    #[test]
    fn what_is_left_and_used_is_the_worse_of_our_count_and_the_apis_while_their_windows_last() {
        let mut rate = Rate::restored(120, 60_000, [0, 0, 0].map(Millis), Some((90, Millis(20_000))), None);
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
            let mut rate = Rate::restored(120, 60_000, [], Some((90, Millis(20_000))), None);
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
    fn a_window_that_is_joined_in_its_middle_teaches_no_length_from_its_first_answer_alone() {
        let mut rate = Rate::new(120);
        rate.book(Millis(40_000));
        rate.learn(told(120, 119, 60_000, 40_000), 0, Millis(40_000));
        assert_eq!((rate.window_ms(), rate.remaining()), (60_000, Some((119, Millis(60_000)))));
        rate.book(Millis(61_000));
        rate.learn(told(120, 119, 120_000, 61_000), 0, Millis(61_000));
        assert_eq!(rate.window_ms(), 60_000);
    }

    /// Without a call that goes ahead of our own count, a shorter window would never show itself.
    #[test]
    fn the_first_answers_of_two_windows_show_their_length() {
        let mut rate = Rate::new(60);
        for at in 0..60 {
            rate.book(Millis(at));
        }
        rate.learn(told(60, 0, 10_000, 60), 0, Millis(60));
        assert_eq!(
            rate.permission(Millis(100)),
            Permission::At(Millis(10_000 + HEADER_ERROR_MS)),
            "one call"
        );
        rate.book(Millis(12_050));
        assert_eq!(rate.permission(Millis(12_060)), Permission::At(Millis(60_601)), "and not another");
        rate.learn(told(60, 59, 22_050, 12_060), 0, Millis(12_060));
        assert_eq!((rate.window_ms(), rate.permission(Millis(12_070))), (10_000, Permission::Now));
    }

    #[test]
    fn without_headers_the_limit_is_learned_from_at_most_two_429s() {
        // 20 calls in fixed windows of 10 s, the first of which is joined at second 7; a call takes 100 ms.
        for joined in [0, 3_000, 7_000, 9_000] {
            let (mut rate, mut now, mut refused) = (Rate::new(120), Millis(joined), Vec::new());
            let mut counts = std::collections::BTreeMap::new();
            while now.0 < 3_600_000 {
                if let Permission::At(at) = rate.permission(now) {
                    now = at;
                    continue;
                }
                rate.book(now);
                let count: &mut u32 = counts.entry(now.0 / 10_000).or_default();
                *count += 1;
                if *count > 20 {
                    let pause_ms = (10_000 - now.0 % 10_000 + 999) / 1_000 * 1_000;
                    refused.push(now.0);
                    rate.refused(pause_ms, now);
                    rate.block(now.plus(pause_ms));
                }
                now = now.plus(100);
            }
            assert!(refused.len() <= 2, "{joined}: {refused:?}");
            assert_eq!((rate.limit(), rate.window_ms()), (20, 10_000), "{joined}");
        }
    }

    #[test]
    fn a_limit_that_a_429_has_shown_is_forgotten_in_time_and_headers_are_above_it() {
        let lowered = || {
            let mut rate = Rate::new(120);
            for at in 0..21 {
                rate.book(Millis(at));
            }
            rate.refused(10_000, Millis(21));
            assert_eq!((rate.limit(), rate.window_ms()), (20, 10_000));
            rate
        };
        let mut rate = lowered();
        rate.configure(120);
        assert_eq!(rate.limit(), 20, "the same configuration, read again");
        rate.book(Millis(20 + LOWERED_FOR_MS));
        assert_eq!(rate.limit(), 20);
        rate.book(Millis(21 + LOWERED_FOR_MS));
        assert_eq!((rate.limit(), rate.window_ms()), (120, 60_000));
        let mut rate = lowered();
        rate.configure(60);
        assert_eq!(rate.limit(), 60, "a person has changed it");
        let mut rate = Rate::new(120);
        rate.book(Millis(0));
        rate.learn(told(120, 50, 50_000, 1), 0, Millis(1));
        rate.told_to(Class::Paid);
        rate.refused(10_000, Millis(2));
        assert_eq!(rate.limit(), 120, "the headers tell it");
        let mut rate = Rate::new(120);
        rate.book(Millis(0));
        rate.refused(3_600_000, Millis(1));
        assert_eq!(rate.limit(), 120, "that is no window's");
    }

    #[test]
    fn figures_that_no_poll_was_told_let_a_poll_go_now_and_then() {
        const HOUR_MS: i64 = 3_600_000;
        let mut rate = Rate::new(120);
        rate.book(Millis(0));
        rate.learn(told(10, 0, HOUR_MS, 1), 0, Millis(1));
        rate.told_to(Class::Paid);
        assert_eq!(rate.poll_may_go(Class::Paid, Millis(2)), None);
        assert_eq!(rate.poll_may_go(Class::Poll, Millis(2)), Some(Permission::At(Millis(60_000))));
        assert_eq!(rate.poll_may_go(Class::Poll, Millis(60_000)), Some(Permission::Now));
        rate.book(Millis(60_000));
        assert_eq!(rate.poll_may_go(Class::Poll, Millis(60_001)), Some(Permission::At(Millis(120_000))));
        let mut other = rate.clone();
        rate.block(Millis(500_000));
        assert_eq!(rate.poll_may_go(Class::Poll, Millis(60_001)), Some(Permission::At(Millis(500_000))));
        // A poll was told otherwise: the figures contradict each other, and polls go on.
        other.learn(told(120, 100, 90_000, 60_001), 0, Millis(60_001));
        other.told_to(Class::Poll);
        assert_eq!(
            (other.poll_may_go(Class::Poll, Millis(60_002)), other.permission(Millis(60_002))),
            (None, Permission::Now)
        );
        // A poll was told the same: they hold for all.
        let mut same = Rate::new(120);
        same.learn(told(10, 0, HOUR_MS, 1), 0, Millis(1));
        same.told_to(Class::Poll);
        assert_eq!(same.poll_may_go(Class::Poll, Millis(100_000)), None);
    }

    #[test]
    fn windows_show_their_length_by_their_distance_too() {
        let mut rate = Rate::new(120);
        for start in [0, 10_000] {
            let headers = told(60, 30, start + 11_000, start + 5_000);
            rate.learn(headers, 0, Millis(start + 5_000));
        }
        assert_eq!(rate.window_ms(), 10_000);
    }

    /// A window that is no usual length, which more than an hour is: whatever is learned about it shows.
    const UNUSUAL_MS: i64 = 4_000_000;

    #[test]
    fn only_an_end_farther_off_than_a_window_and_its_error_shows_a_longer_one() {
        let table = [
            (UNUSUAL_MS - 1_000, UNUSUAL_MS),
            (UNUSUAL_MS + 2_050, UNUSUAL_MS),
            (UNUSUAL_MS + 2_051, UNUSUAL_MS + 2_051),
        ];
        for (left, window) in table {
            let mut rate = Rate::new(60);
            rate.measure(60, UNUSUAL_MS, None);
            rate.learn(told(60, 30, left, 0), 0, Millis(0));
            assert_eq!((rate.limit(), rate.window_ms()), (60, window), "{left}");
        }
    }

    #[test]
    fn only_ends_closer_than_a_window_and_its_error_show_a_shorter_one() {
        let table = [
            // The same end twice, by clocks that differ.
            (999, UNUSUAL_MS),
            (9_000, 10_000),
            (UNUSUAL_MS - 2_051, UNUSUAL_MS - 2_051),
            (UNUSUAL_MS - 2_050, UNUSUAL_MS),
            (UNUSUAL_MS, UNUSUAL_MS),
            // Nobody called in the window between.
            (2 * UNUSUAL_MS, UNUSUAL_MS),
        ];
        for (distance, window) in table {
            let mut rate = Rate::new(60);
            rate.measure(60, UNUSUAL_MS, None);
            for resets_at in [40_000, 40_000 + distance] {
                let now = Millis(resets_at - 500);
                rate.book(now);
                rate.learn(told(60, 30, resets_at, now.0), 0, now);
            }
            assert_eq!(rate.window_ms(), window, "{distance}");
        }
    }

    /// Found by the simulation: the process stood still between an answer and what it teaches.
    #[test]
    fn an_answer_that_is_looked_at_late_is_not_taken_for_a_shorter_window() {
        let mut rate = Rate::new(60);
        rate.learn(told(60, 59, 60_000, 0), 0, Millis(53_000));
        assert_eq!((rate.window_ms(), rate.remaining()), (60_000, Some((59, Millis(60_000)))));
    }

    /// Found by the simulation: answers of a window that has ended, or is about to, were long under way.
    #[test]
    fn a_slow_answer_about_an_old_window_is_not_taken_for_a_new_one() {
        for arrives in [79_600, 85_000] {
            let mut rate = Rate::new(60);
            rate.learn(told(60, 50, 80_000, 20_000), 0, Millis(20_000));
            rate.book(Millis(70_000));
            rate.book(Millis(arrives));
            let late = RateHeaders { took_ms: arrives - 70_000, ..told(60, 45, arrives + 10_000, arrives) };
            rate.learn(late, 0, Millis(arrives));
            assert_eq!(rate.window_ms(), 60_000, "{arrives}");
        }
    }

    /// Six seconds on its way, an answer names an end six seconds late: no window of six seconds.
    #[test]
    fn a_slow_answer_is_not_taken_for_a_shorter_window() {
        let mut rate = Rate::new(60);
        rate.learn(told(60, 30, 60_000, 20_000), 0, Millis(20_000));
        rate.learn(told(60, 29, 66_000, 35_000), 0, Millis(35_000));
        rate.learn(told(60, 28, 60_000, 36_000), 0, Millis(36_000));
        assert_eq!(rate.window_ms(), 60_000);
        rate.learn(told(60, 50, 90_000, 70_000), 0, Millis(70_000));
        assert_eq!(rate.window_ms(), 30_000, "the end of the window before is the earliest that was named");
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

    #[test]
    fn calls_in_flight_are_taken_from_what_remains() {
        let mut rate = Rate::new(120);
        rate.learn(told(120, 2, 9_000, 1), 2, Millis(1));
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
                let within = sent[index..].iter().take_while(|at| at.since(*first) <= 60_500).count();
                prop_assert!(within <= limit as usize, "{within} calls from {first}");
            }
        }
    }
}
