//! How many calls are worth having in flight.
//!
//! By Little's law, a rate of calls needs as many in flight as are sent while one answer is awaited: 2 calls a
//! second and answers after 5 s need 10. Twice as many are allowed, since calls are not sent evenly: a window's
//! calls may all go out at its beginning.
//!
//! Example: 20 calls in 10 s, answers after 2 s: 2 × 2 × 2 s + 1 = 9 calls in flight.

use super::Rate;

/// With quick answers a few are plenty, and a refused key is noticed after one more call.
pub const FEWEST_IN_FLIGHT: usize = 2;

/// The bound for the slowest API: 10 calls a second with answers after 3 s. Each call in flight takes memory and a
/// connection.
pub const MOST_IN_FLIGHT: usize = 64;

/// The longest answer that is counted, in milliseconds. If one takes longer, the process or the network was stopped, and
/// the next answer will not take as long.
const LONGEST_ANSWER_MS: i64 = 60_000;

impl Rate {
    /// Learns how long an answer took. The mean counts, and newer answers count more.
    pub fn answered_in(&mut self, took_ms: i64) {
        let took_ms = took_ms.clamp(0, LONGEST_ANSWER_MS);
        self.latency_ms = match self.latency_ms {
            0 => took_ms,
            known => known + (took_ms - known) / 4,
        };
    }

    /// How long an answer takes, as far as it is known, in milliseconds.
    pub fn latency_ms(&self) -> i64 {
        self.latency_ms
    }

    /// Restores what was known before a restart.
    pub fn with_latency(self, latency_ms: i64) -> Rate {
        Rate { latency_ms: latency_ms.clamp(0, LONGEST_ANSWER_MS), ..self }
    }

    /// How many calls are worth having in flight. `part`: this key's part of the address's limit, as calls in a
    /// window of so many milliseconds.
    pub fn worth_in_flight(&self, part: (u32, i64)) -> usize {
        let sent_meanwhile = |(calls, window_ms): (u32, i64)| {
            i64::from(calls).saturating_mul(self.latency_ms) * 2 / window_ms.max(1)
        };
        let needed = sent_meanwhile((self.limit, self.window_ms)).min(sent_meanwhile(part)) + 1;
        usize::try_from(needed).unwrap_or(MOST_IN_FLIGHT).clamp(FEWEST_IN_FLIGHT, MOST_IN_FLIGHT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Millis;
    use crate::domain::rate::{Permission, RateHeaders};

    const WINDOW_MS: i64 = 10_000;
    const LIMIT: u32 = 20;

    #[test]
    fn slow_answers_need_more_calls_in_flight_up_to_a_bound() {
        let in_flight = |limit, window_ms, latency_ms| {
            let rate = Rate::restored(limit, window_ms, [], None, None, Millis(0)).with_latency(latency_ms);
            rate.worth_in_flight((600, 60_000))
        };
        let table = [
            (20, 10_000, 0, 2),
            (20, 10_000, 30, 2),
            (20, 10_000, 2_000, 9),
            (20, 10_000, 5_000, 21),
            (120, 60_000, 5_000, 21),
            (u32::MAX, 60_000, i64::MAX, MOST_IN_FLIGHT),
            // The address allows 10 calls a second.
            (6_000, 60_000, 1_000, 21),
        ];
        for (limit, window_ms, latency_ms, expected) in table {
            assert_eq!(in_flight(limit, window_ms, latency_ms), expected, "{limit} {window_ms} {latency_ms}");
        }
    }

    #[test]
    fn the_mean_of_the_answers_counts_and_a_stopped_process_is_no_slow_api() {
        let mut rate = Rate::new(120);
        for took_ms in [2_000, 2_000, 6_000] {
            rate.answered_in(took_ms);
        }
        assert_eq!(rate.latency_ms(), 3_000);
        for _ in 0..40 {
            rate.answered_in(40);
        }
        assert!(rate.latency_ms() < 50, "{}", rate.latency_ms());
        rate.answered_in(86_400_000);
        assert!(rate.latency_ms() <= 15_050);
    }

    /// The API counts a call when it arrives, in fixed windows, and answers `latency_ms` later. There is always
    /// something to ask. How many calls passed in ten minutes, and how many were refused.
    fn ten_minutes(latency_ms: i64) -> (u32, u32) {
        let mut rate = Rate::new(120);
        let (mut used, mut window, mut passed, mut refused) = (0, 0, 0, 0);
        let mut flights: std::collections::VecDeque<(i64, Option<RateHeaders>)> = Default::default();
        for now in 0..600_000_i64 {
            while flights.front().is_some_and(|(sent, _)| sent + latency_ms <= now) {
                let Some((sent, headers)) = flights.pop_front() else { break };
                rate.answered_in(now - sent);
                match headers {
                    Some(headers) => {
                        let late = RateHeaders { resets_at: Millis(now + headers.left_ms), ..headers };
                        rate.learn(late, flights.len() as u32, Millis(now));
                    }
                    None => rate.block(WINDOW_MS, Millis(now)),
                }
            }
            if now / WINDOW_MS != window {
                (window, used) = (now / WINDOW_MS, 0);
            }
            let in_flight = rate.worth_in_flight((600, 60_000));
            if flights.len() < in_flight && rate.permission(Millis(now)) == Permission::Now {
                rate.book(Millis(now));
                used += 1;
                // In whole seconds, as on the wire.
                let left_ms = ((window + 1) * WINDOW_MS + 999) / 1_000 * 1_000 - now / 1_000 * 1_000;
                let remaining = LIMIT.saturating_sub(used);
                let headers = RateHeaders {
                    limit: LIMIT,
                    remaining,
                    resets_at: Millis(now + left_ms),
                    left_ms,
                    took_ms: latency_ms,
                };
                if used > LIMIT {
                    refused += 1
                } else {
                    passed += 1
                }
                flights.push_back((now, (used <= LIMIT).then_some(headers)));
            }
        }
        (passed, refused)
    }

    #[test]
    fn nine_tenths_of_the_allowance_are_used_whatever_an_answer_takes() {
        for latency_ms in [30, 1_500, 2_000, 5_000] {
            let (passed, refused) = ten_minutes(latency_ms);
            assert!(passed >= 1_080, "{latency_ms} ms: {passed} of 1200");
            assert!(refused <= 10, "{latency_ms} ms: {refused} refused");
        }
    }
}
