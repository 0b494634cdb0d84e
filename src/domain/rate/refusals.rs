//! Learns from a 429: whether the key's limit or the address's was exceeded, and how high the key's limit is if no header
//! says so.

use super::{DOCUMENTED_WINDOW_MS, Rate, RateHeaders};
use crate::domain::ids::Millis;
use crate::domain::pacing::UNTIMED_PAUSE_MS;
use crate::domain::window::{HEADER_ERROR_MS, of_burst, window_of};

impl Rate {
    /// Whether a 429 that asked for a pause of `pause_ms` is about the address and not about this key: the
    /// API says that the key has calls left. `told` are the headers of the 429 itself; the refused call is
    /// already counted.
    pub fn is_refused_for_address(&self, told: Option<RateHeaders>, pause_ms: i64, now: Millis) -> bool {
        pause_ms <= LONGEST_BURST_PAUSE_MS && self.has_calls_left(told, now)
    }

    /// Whether the API says that this key has calls left. If that is unclear, it has none: then only this key
    /// waits.
    fn has_calls_left(&self, told: Option<RateHeaders>, now: Millis) -> bool {
        if let Some(headers) = told {
            return headers.remaining > 0;
        }
        match (self.remaining, self.last_reset) {
            (Some((remaining, resets_at)), _) if resets_at > now => remaining > 0,
            // A new window, which nobody else uses. By the API's clock it may not have begun yet.
            (_, Some(ended)) => {
                let has_begun = now.since(ended) >= HEADER_ERROR_MS;
                has_begun && now >= self.shared_until && self.left(now) > 0
            }
            // The API has sent no figures.
            (_, None) => false,
        }
    }

    /// Learns from a 429 that asked for a pause. If no header gives the limit, the 429 shows it: the number
    /// of calls sent before it, in the time until the next call is allowed.
    pub fn refused(&mut self, pause_ms: i64, now: Millis) {
        let burst: Vec<Millis> = self.sent.iter().copied().filter(|at| *at > self.burst_after).collect();
        self.burst_after = now;
        if self.told.is_some() || self.remaining.is_some() || pause_ms > LONGEST_BURST_PAUSE_MS {
            return;
        }
        let Some(first) = burst.first() else { return };
        // The refused call is one of them.
        let sent = burst.len().saturating_sub(1);
        if sent < FEWEST_IN_A_BURST {
            return;
        }
        let (limit, window_ms) = of_burst(sent, *first, now, pause_ms);
        // Never faster than configured; and after the limit was lowered, only a slower one explains another
        // 429.
        let window_ms = window_ms.max(i64::from(limit) * DOCUMENTED_WINDOW_MS / i64::from(self.configured));
        let is_slower = i64::from(limit).saturating_mul(self.window_ms)
            <= i64::from(self.limit).saturating_mul(window_ms);
        if self.lowered_at.is_none() || is_slower {
            (self.limit, self.window_ms, self.lowered_at) = (limit, window_ms, Some(now));
        }
    }
}

impl Rate {
    /// The same for a 429 that names no time; returns the pause to try. Each refusal in a row shows that the window is
    /// longer, and what it is taken for doubles, up to the documented length.
    pub fn refused_untimed(&mut self, now: Millis) -> i64 {
        let burst: Vec<Millis> = self.sent.iter().copied().filter(|at| *at > self.burst_after).collect();
        let is_again = self.untimed_from.is_some() && burst.len() <= FEWEST_IN_A_BURST;
        if !is_again {
            self.untimed_from = burst.first().copied();
        }
        let passed_ms = self.untimed_from.map_or(0, |first| now.since(first));
        let window_ms = window_of(2 * passed_ms).clamp(UNTIMED_PAUSE_MS, DOCUMENTED_WINDOW_MS);
        let pause_ms = (window_ms - passed_ms).max(UNTIMED_PAUSE_MS);
        self.refused(pause_ms, now);
        if is_again && self.lowered_at.is_some() {
            self.window_ms = self.window_ms.max(window_ms);
        }
        pause_ms
    }
}

/// How long a limit shown by a 429 is kept, in milliseconds: it may have been temporary.
pub(super) const LOWERED_FOR_MS: i64 = 6 * 3_600_000;

/// A 429 after fewer calls does not show our limit: others use the bucket, or it was temporary. If it
/// counted, a limit of one call a minute could never buy: reading the balance would take every call.
pub(in crate::domain) const FEWEST_IN_A_BURST: usize = 5;

/// A 429 that asks for a longer pause is about another limit than that of a window, in milliseconds.
const LONGEST_BURST_PAUSE_MS: i64 = 120_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate::Permission;
    use crate::domain::rate::tests::told;
    use crate::domain::turns::Class;

    #[test]
    fn a_429_tells_of_the_address_only_while_the_api_leaves_the_key_calls() {
        const PAUSE_MS: i64 = 9_000;
        let rate = Rate::new(120);
        assert!(!rate.is_refused_for_address(None, PAUSE_MS, Millis(0)), "no header ever told anything");
        let mut rate = Rate::new(20);
        rate.learn(told(20, 2, 10_000, 1_000), 0, Millis(1_000));
        rate.book(Millis(1_001));
        assert!(rate.is_refused_for_address(None, PAUSE_MS, Millis(1_100)), "one is left");
        assert!(
            !rate.is_refused_for_address(None, 86_400_000, Millis(1_100)),
            "no window of an address is a day"
        );
        let headers = |remaining| Some(told(20, remaining, 10_000, 1_100));
        assert!(!rate.is_refused_for_address(headers(0), PAUSE_MS, Millis(1_100)), "the 429 itself says it");
        rate.book(Millis(1_101));
        assert!(!rate.is_refused_for_address(None, PAUSE_MS, Millis(1_200)), "perhaps it was one too many");
        assert!(rate.is_refused_for_address(headers(3), PAUSE_MS, Millis(1_200)), "the 429 itself says it");
        // The next window: clocks differ by two seconds at most.
        rate.book(Millis(11_000));
        assert!(!rate.is_refused_for_address(None, PAUSE_MS, Millis(11_900)));
        assert!(rate.is_refused_for_address(None, PAUSE_MS, Millis(12_100)));
        rate.shared_until = Millis(20_000);
        assert!(!rate.is_refused_for_address(None, PAUSE_MS, Millis(12_100)), "others use the key");
    }

    /// An hour of calls of 100 ms each to an API that allows so many in fixed windows, the first of which is joined at
    /// this moment; `refuse` learns from a 429 and says how long to pause. Returns when it refused.
    fn an_hour(
        rate: &mut Rate,
        (most, window_ms): (u32, i64),
        joined: i64,
        refuse: impl Fn(&mut Rate, Millis) -> i64,
    ) -> Vec<i64> {
        let (mut now, mut refused) = (Millis(joined), Vec::new());
        let mut counts = std::collections::BTreeMap::new();
        while now.0 < 3_600_000 {
            if let Permission::At(at) = rate.permission(now) {
                now = at;
                continue;
            }
            rate.book(now);
            let count: &mut u32 = counts.entry(now.0 / window_ms).or_default();
            *count += 1;
            if *count > most {
                refused.push(now.0);
                let pause_ms = refuse(rate, now);
                rate.block(pause_ms, now);
            }
            now = now.plus(100);
        }
        refused
    }

    #[test]
    fn without_headers_the_limit_is_learned_from_at_most_two_429s() {
        for joined in [0, 3_000, 7_000, 9_000] {
            let mut rate = Rate::new(120);
            let refused = an_hour(&mut rate, (20, 10_000), joined, |rate, now| {
                let pause_ms = (10_000 - now.0 % 10_000 + 999) / 1_000 * 1_000;
                rate.refused(pause_ms, now);
                pause_ms
            });
            assert!(refused.len() <= 2, "{joined}: {refused:?}");
            assert_eq!((rate.limit(), rate.window_ms()), (20, 10_000), "{joined}");
        }
    }

    /// A report of five calls in a minute, whose 429 has neither headers nor a `Retry-After`.
    #[test]
    fn without_headers_and_without_a_time_the_limit_is_learned_from_a_few_429s() {
        for joined in [0, 20_000, 50_000, 59_000] {
            let mut rate = Rate::new(120);
            let refused = an_hour(&mut rate, (5, 60_000), joined, Rate::refused_untimed);
            assert!(refused.len() <= 5, "{joined}: {refused:?}");
            assert!(refused.last().is_none_or(|last| *last < 300_000), "{joined}: {refused:?}");
            assert_eq!((rate.limit(), rate.window_ms()), (5, 60_000), "{joined}");
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
}
