//! Learns from the headers of answers: the limit, the calls left, and the length of a window.
//!
//! The distance between the ends of two windows shows their length. A single window shows nothing, since our
//! first call may come in its middle.

use super::{DOCUMENTED_WINDOW_MS, Permission, Rate, RateHeaders};
use crate::domain::ids::Millis;
use crate::domain::turns::Class;
use crate::domain::window::{HEADER_ERROR_MS, window_of};

impl Rate {
    /// When one call may be sent after the end of the window that the API named, even if our own count allows
    /// none: its answer names the next window, and so shows how long a window is.
    pub fn first_of_next_window(&self) -> Option<Millis> {
        let (ended, newest) = (self.last_reset?, self.sent.back()?);
        let first = ended.plus(HEADER_ERROR_MS);
        (*newest < ended).then_some(first)
    }

    /// When a poll may be sent although the window is used up. The figures of one endpoint may belong to a
    /// bucket of its own, for example ten searches an hour; until a poll gets the same figures, one poll may
    /// be sent now and then.
    pub fn poll_may_go(&self, class: Class, now: Millis) -> Option<Permission> {
        let (remaining, resets_at) = self.remaining?;
        let far_away = resets_at.since(now) > DOCUMENTED_WINDOW_MS && remaining <= self.left_to_others(now);
        if class != Class::Poll || self.told == Some(Class::Poll) || !far_away {
            return None;
        }
        let rested = self.sent.back().map_or(now, |newest| newest.plus(DOCUMENTED_WINDOW_MS));
        let at = rested.max(self.blocked_until().unwrap_or(now));
        Some(if at > now { Permission::At(at) } else { Permission::Now })
    }

    /// Notes the class of the call that got the last figures.
    pub fn told_to(&mut self, class: Class) {
        self.told = Some(class);
    }

    /// Learns from an answer's headers. `in_flight` calls of ours are not in its figure yet.
    pub fn learn(&mut self, headers: RateHeaders, in_flight: u32, now: Millis) {
        // Figures with another limit belong to another bucket, and say nothing about the known one.
        let is_same_bucket = self.limit == headers.limit;
        self.limit = headers.limit.max(1);
        let left = headers.left_ms;
        let first_of_window = headers.remaining.saturating_add(1) >= headers.limit;
        // The window is certainly longer than known. One answer cannot show that it is shorter: the first
        // call may have come in the middle of the window.
        if left > self.window_ms + HEADER_ERROR_MS {
            self.window_ms = window_of(left);
        }
        self.lowered_at = None;
        // The window began before its first answer, whose time is more exact than whole seconds.
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

    /// Consecutive windows show their length even if others always make the first call.
    fn learn_from_distance(&mut self, headers: RateHeaders, resets_at: Millis, now: Millis) {
        let has_ended = |last: &Millis| *last <= now.plus(HEADER_ERROR_MS) && !headers.may_tell_of(*last);
        let last = self.last_reset.filter(has_ended);
        if last.is_none() && self.last_reset.is_some() {
            // The last window has not ended, so this is the same one: a slow answer gives its end too late.
            self.last_reset = self.last_reset.map(|known| known.min(resets_at));
            return;
        }
        self.last_reset = Some(resets_at);
        if let Some(last) = last {
            let distance = resets_at.since(last);
            if distance >= 1_000 && distance + HEADER_ERROR_MS < self.window_ms {
                // A window that opens with a call ends that much later than the one before it: by the time until
                // the call came, and by the error of the first end. What is left of it is nearer the truth.
                let of_left = window_of(headers.left_ms);
                let is_first = headers.remaining.saturating_add(1) >= headers.limit;
                let is_next = distance <= of_left + 2 * HEADER_ERROR_MS;
                self.window_ms =
                    if is_first && is_next { of_left.min(window_of(distance)) } else { window_of(distance) };
            }
        }
    }
}

/// After others were seen to share the bucket, it is assumed for this long, in milliseconds.
const SHARED_FOR_MS: i64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate::tests::told;

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

    /// A report of windows that begin with each minute of the clock, and of a limit of one call.
    #[test]
    fn a_window_of_the_clock_that_is_joined_in_its_last_second_is_not_taken_for_a_short_one() {
        let mut rate = Rate::new(120);
        for minute in 1..4 {
            let at = Millis(minute * 60_000 - 1_000);
            rate.book(at);
            rate.learn(told(1, 0, minute * 60_000, at.0), 0, at);
            assert_eq!((rate.limit(), rate.window_ms()), (1, 60_000), "{minute}");
            assert!(
                matches!(rate.permission(at.plus(500)), Permission::At(next) if next.0 >= minute * 60_000)
            );
        }
    }

    /// Without one call beyond our own count, a shorter window would never be noticed.
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

    /// The API gives whole seconds, and the window opens with the call that looks for it.
    #[test]
    fn the_time_until_a_window_is_opened_is_not_taken_for_a_part_of_it() {
        let mut rate = Rate::new(20);
        rate.book(Millis(300));
        rate.learn(told(20, 19, 11_300, 300), 0, Millis(300));
        rate.book(Millis(13_350));
        rate.learn(told(20, 19, 24_350, 13_350), 0, Millis(13_350));
        assert_eq!(rate.window_ms(), 10_000, "the ends are 13 s apart");
        // Windows of 20 s by the clock: a first call that comes late in one shows less of it.
        let mut rate = Rate::new(20);
        rate.learn(told(20, 10, 20_000, 5_000), 0, Millis(5_000));
        rate.learn(told(20, 19, 40_000, 24_000), 0, Millis(24_000));
        assert_eq!(rate.window_ms(), 20_000);
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
        rate.block(500_000, Millis(0));
        assert_eq!(rate.poll_may_go(Class::Poll, Millis(60_001)), Some(Permission::At(Millis(500_000))));
        // A poll got other figures: they contradict each other, and polls continue.
        other.learn(told(120, 100, 90_000, 60_001), 0, Millis(60_001));
        other.told_to(Class::Poll);
        assert_eq!(
            (other.poll_may_go(Class::Poll, Millis(60_002)), other.permission(Millis(60_002))),
            (None, Permission::Now)
        );
        // A poll got the same figures: they apply to all calls.
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

    /// A window of unusual length (more than an hour), so that every change of it is visible.
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
            rate.window_ms = UNUSUAL_MS;
            rate.learn(told(60, 30, left, 0), 0, Millis(0));
            assert_eq!((rate.limit(), rate.window_ms()), (60, window), "{left}");
        }
    }

    #[test]
    fn only_ends_closer_than_a_window_and_its_error_show_a_shorter_one() {
        let table = [
            // The same end twice, by different clocks.
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
            rate.window_ms = UNUSUAL_MS;
            for resets_at in [40_000, 40_000 + distance] {
                let now = Millis(resets_at - 500);
                rate.book(now);
                rate.learn(told(60, 30, resets_at, now.0), 0, now);
            }
            assert_eq!(rate.window_ms(), window, "{distance}");
        }
    }

    /// Found by the simulation: the process was stopped between an answer and reading it.
    #[test]
    fn an_answer_that_is_looked_at_late_is_not_taken_for_a_shorter_window() {
        let mut rate = Rate::new(60);
        rate.learn(told(60, 59, 60_000, 0), 0, Millis(53_000));
        assert_eq!((rate.window_ms(), rate.remaining()), (60_000, Some((59, Millis(60_000)))));
    }

    /// Found by the simulation: answers about a window that has ended, or is about to end, took long to
    /// arrive.
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

    /// An answer that took six seconds names an end that is six seconds too late: this is not a window of six
    /// seconds.
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
    fn calls_in_flight_are_taken_from_what_remains() {
        let mut rate = Rate::new(120);
        rate.learn(told(120, 2, 9_000, 1), 2, Millis(1));
        assert_eq!(rate.permission(Millis(2)), Permission::At(Millis(9_000)));
    }
}
