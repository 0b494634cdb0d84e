//! When the next call for something is due: functions of `now`.
//!
//! The poll steps (3 s, 5 s, 10 s, the last repeats) are the vendor's advice for unlock tasks ("Rate-limit
//! friendly polling"). A poll never comes before its step; when few calls are left it comes later, and its
//! number stays the same.
//!
//! Pauses between retries grow exponentially with jitter. `backoff` only calculates that growth: it is not
//! maintained (RUSTSEC-2025-0012), keeps its state in memory and draws its own random numbers, which does not
//! suit rows that survive a restart.

use std::iter;
use std::time::Duration;

use backoff::{ExponentialBackoff, backoff::Backoff};

use super::ids::Millis;
use super::profile_wait;

/// Limits of the pause between two runs that remove what was kept long enough, in milliseconds.
pub const SHORTEST_RETENTION_PAUSE_MS: i64 = 60_000;
const LONGEST_RETENTION_PAUSE_MS: i64 = 3_600_000;

/// The pause between two such runs: 1/24 of the time that it is kept.
pub fn retention_pause_ms(keep: Duration) -> i64 {
    (duration_ms(keep) / 24).clamp(SHORTEST_RETENTION_PAUSE_MS, LONGEST_RETENTION_PAUSE_MS)
}

/// The waits before each poll, and when to give up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    steps_ms: Vec<i64>,
    give_up_after_ms: i64,
}

impl Ladder {
    /// A ladder of at least one step; waits in milliseconds.
    pub fn new(steps: &[Duration], give_up_after: Duration) -> Ladder {
        let mut steps_ms: Vec<i64> = steps.iter().map(|step| duration_ms(*step)).collect();
        if steps_ms.is_empty() {
            steps_ms.push(10_000);
        }
        Ladder { steps_ms, give_up_after_ms: duration_ms(give_up_after) }
    }

    /// When to poll next after `polls` polls; the last poll (or the acceptance) was at `last`.
    pub fn next_poll(&self, polls: u32, last: Millis) -> Millis {
        let step = (polls as usize).min(self.steps_ms.len() - 1);
        last.plus(self.steps_ms[step])
    }

    /// When to poll a task again that was accepted at `accepted`. A task that is old and was polled often is
    /// polled more rarely: calls are kept for tasks that are about to end.
    pub fn next_poll_of(&self, polls: u32, accepted: Millis, last: Millis) -> Millis {
        let age_ms = last.since(accepted);
        let slower =
            SLOWER.iter().rev().find(|slower| polls >= SLOWER_FROM_POLLS && age_ms >= slower.from_age_ms);
        let step_ms = slower.map_or(0, |slower| slower.step_ms);
        self.next_poll(polls, last).max(last.plus(step_ms))
    }

    /// Whether the time of a task accepted at `accepted`, and polled so often, is over. A clock that was set ahead, or
    /// days in which nobody polled, are no time in which the task was seen not to end.
    pub fn is_over(&self, accepted: Millis, now: Millis, polls: u32) -> bool {
        let polls_of_its_time = self.give_up_after_ms / self.last_step_ms().max(1);
        now.since(accepted) >= self.give_up_after_ms
            && i64::from(polls) >= polls_of_its_time.min(FEWEST_POLLS_TO_GIVE_UP)
    }

    fn last_step_ms(&self) -> i64 {
        self.steps_ms[self.steps_ms.len() - 1]
    }

    /// The time after which a wait for a value is given up, in milliseconds.
    pub fn give_up_after_ms(&self) -> i64 {
        self.give_up_after_ms
    }
}

/// A task is polled at least so often before it is given up, unless its time is shorter than these polls take.
const FEWEST_POLLS_TO_GIVE_UP: i64 = 10;

/// From this age on a task is polled this rarely, unless the last poll step is longer.
struct Slower {
    from_age_ms: i64,
    step_ms: i64,
}

const SLOWER: [Slower; 2] = [
    Slower { from_age_ms: 10 * 60_000, step_ms: 60_000 },
    Slower { from_age_ms: 60 * 60_000, step_ms: 5 * 60_000 },
];

/// A task is polled more rarely only after this many polls: a task that is polled again after a resume or a
/// long stop may have ended meanwhile.
pub const SLOWER_FROM_POLLS: u32 = 30;

/// The ages from which a task is polled more rarely, in milliseconds.
pub const OLDER_FROM_MS: [i64; 2] = [SLOWER[0].from_age_ms, SLOWER[1].from_age_ms];

/// How many places of [`tasks_in_flight`] running tasks take. `by_age`: tasks on the normal steps or younger
/// than the first age of [`OLDER_FROM_MS`], those younger than the second, and older ones. A task that is
/// polled more rarely takes less than one place.
pub fn places_taken(by_age: [u32; 3], ladder: &Ladder) -> u32 {
    let last_step_ms = ladder.last_step_ms().max(1);
    let steps_ms = [last_step_ms, SLOWER[0].step_ms.max(last_step_ms), SLOWER[1].step_ms.max(last_step_ms)];
    let thousandths = by_age.iter().zip(steps_ms).map(|(tasks, step_ms)| {
        u128::from(*tasks) * 1_000 * last_step_ms.unsigned_abs() as u128 / step_ms.unsigned_abs() as u128
    });
    u32::try_from(thousandths.sum::<u128>() / 1_000).unwrap_or(u32::MAX)
}

/// How many tasks may run so that the limit allows to poll each of them on the last step, which begins at the
/// answer of the poll before: `latency_ms` after that was sent. More tasks would only delay the polls of all, and
/// meanwhile waiting contacts gather into full batches.
///
/// Rounded up: with one task less, a part of the calls could not be used. Example: 20 calls in 10 s, a last step of
/// 100 ms, and answers that take 800 ms. One task is polled 11 times in 10 s, so 1.8 tasks would use all 20 calls: two may run.
pub fn tasks_in_flight(limit: u32, window_ms: i64, latency_ms: i64, ladder: &Ladder) -> u32 {
    let (window_ms, between_polls_ms) =
        (window_ms.max(1), ladder.last_step_ms().saturating_add(latency_ms).max(0));
    let polls_in_a_step =
        i64::from(limit).saturating_mul(between_polls_ms).saturating_add(window_ms - 1) / window_ms;
    u32::try_from(polls_in_a_step).unwrap_or(u32::MAX).max(1)
}

/// The pause before try number `failures + 1`, in milliseconds: doubles from `first_ms` to at most `most_ms`,
/// then half of it is varied by `jitter`, a number from 0 to 1. Never more than `most_ms`, since the maximum
/// is applied after the jitter.
pub fn retry_delay_ms(failures: u32, first_ms: i64, most_ms: i64, jitter: f64) -> i64 {
    let most = Duration::from_millis(most_ms.max(1) as u64);
    let mut growth = ExponentialBackoff {
        current_interval: Duration::from_millis(first_ms.max(1) as u64).min(most),
        randomization_factor: 0.0,
        multiplier: 2.0,
        max_interval: most,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let mut steps = iter::from_fn(|| growth.next_backoff());
    let delay = duration_ms(steps.nth(failures.saturating_sub(1).min(30) as usize).unwrap_or(most));
    let spread = (delay as f64 * 0.5 * jitter.clamp(0.0, 1.0)) as i64;
    delay / 2 + spread
}

/// The longest `Retry-After` that is followed, in milliseconds.
pub const LONGEST_RETRY_AFTER_MS: i64 = 24 * 3_600_000;

/// The first pause after a 429 that names no time, in milliseconds.
pub const UNTIMED_PAUSE_MS: i64 = 10_000;

/// How long to wait after a 429, or another failure with a `Retry-After`: the full time that was asked for. A
/// time above one day is taken for a mistake, and the next try comes after an hour; without a time it comes
/// after ten seconds.
pub fn rate_limit_pause_ms(retry_after_ms: Option<i64>) -> i64 {
    match retry_after_ms {
        Some(asked) if asked > LONGEST_RETRY_AFTER_MS => 3_600_000,
        Some(asked) if asked > 0 => asked,
        // "0" or less: not now, but soon.
        Some(_) => 1_000,
        None => UNTIMED_PAUSE_MS,
    }
}

/// The longest waits that the worker ever stores, in milliseconds: a time further ahead was written by a clock that
/// was set back since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongestWaits {
    pub poll_ms: i64,
    pub look_ms: i64,
    pub read_ms: i64,
    pub retry_after_ms: i64,
    pub message_ms: i64,
}

impl LongestWaits {
    /// `decide_after_ms`: no check of a job in doubt waits for longer.
    pub fn new(ladder: &Ladder, decide_after_ms: i64) -> LongestWaits {
        let slowest = SLOWER[SLOWER.len() - 1].step_ms;
        LongestWaits {
            poll_ms: ladder.steps_ms.iter().copied().fold(slowest, i64::max),
            look_ms: decide_after_ms.max(slowest),
            read_ms: profile_wait::pause_ms(u32::MAX),
            retry_after_ms: LONGEST_RETRY_AFTER_MS,
            message_ms: redelivery_delay_ms(REDELIVER_AFTER_S.len() as u32, 1.0).unwrap_or_default(),
        }
    }
}

/// Pauses after each failed delivery of a webhook message, in seconds: a little more than three days in all,
/// as Standard Webhooks proposes.
const REDELIVER_AFTER_S: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// How long to wait after `attempts` failed deliveries of a message; `None`: it is given up. `jitter`, a
/// number from 0 to 1, adds at most a tenth.
pub fn redelivery_delay_ms(attempts: u32, jitter: f64) -> Option<i64> {
    let index = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let delay = REDELIVER_AFTER_S.get(index)? * 1_000;
    Some(delay + (delay as f64 * 0.1 * jitter.clamp(0.0, 1.0)) as i64)
}

/// A configured duration in milliseconds.
pub fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ladder() -> Ladder {
        let seconds = [3, 5, 10].map(Duration::from_secs);
        Ladder::new(&seconds, Duration::from_secs(86_400))
    }

    #[test]
    fn a_task_of_26_seconds_is_polled_at_3_8_18_and_28() {
        let (mut at, mut polls, mut seen) = (Millis(0), 0, Vec::new());
        while at.0 < 26_000 {
            at = ladder().next_poll(polls, at);
            polls += 1;
            seen.push(at.0);
        }
        assert_eq!(seen, [3_000, 8_000, 18_000, 28_000]);
    }

    #[test]
    fn twenty_tasks_may_be_alive_at_120_calls_a_minute() {
        assert_eq!(tasks_in_flight(120, 60_000, 0, &ladder()), 20);
        assert_eq!(tasks_in_flight(60, 10_000, 0, &ladder()), 60);
        assert_eq!(tasks_in_flight(1, 60_000, 0, &ladder()), 1, "never none");
        assert_eq!(tasks_in_flight(120, 60_000, 5_000, &ladder()), 30, "each is polled every 15 s");
    }

    /// With one task less than needed, five keys of one address used two thirds of their calls.
    #[test]
    fn as_many_tasks_run_as_use_all_calls_and_one_less_would_not() {
        for (step_ms, limit, window_ms) in [(100, 20, 10_000), (10_000, 120, 60_000), (10_000, 10, 60_000)] {
            let ladder = Ladder::new(&[Duration::from_millis(step_ms)], Duration::from_secs(86_400));
            for latency_ms in (0..5_000).step_by(100) {
                let tasks = tasks_in_flight(limit, window_ms, latency_ms, &ladder);
                let polls = |tasks: u32| i64::from(tasks) * window_ms / (step_ms as i64 + latency_ms);
                assert!(polls(tasks) >= i64::from(limit), "{tasks} of {step_ms} ms at {latency_ms} ms");
                assert!(tasks == 1 || polls(tasks - 1) < i64::from(limit), "{tasks} at {latency_ms} ms");
            }
        }
    }

    #[test]
    fn a_task_that_runs_for_long_is_polled_every_minute_and_then_every_five() {
        let step_ms = |age_ms| ladder().next_poll_of(30, Millis(0), Millis(age_ms)).0 - age_ms;
        let table = [
            (599_999, 10_000),
            (600_000, 60_000),
            (3_599_999, 60_000),
            (3_600_000, 300_000),
            (80_000_000, 300_000),
        ];
        for (age_ms, expected_ms) in table {
            assert_eq!(step_ms(age_ms), expected_ms, "{age_ms}");
        }
        let patient = Ladder::new(&[Duration::from_secs(600)], Duration::from_secs(86_400));
        assert_eq!(patient.next_poll_of(30, Millis(0), Millis(700_000)), Millis(1_300_000), "its own step");
        assert_eq!(ladder().next_poll_of(29, Millis(0), Millis(700_000)), Millis(710_000), "a fresh start");
    }

    #[test]
    fn a_task_that_is_polled_more_rarely_leaves_room_for_others() {
        let table =
            [([20, 0, 0], 20), ([0, 22, 0], 3), ([0, 0, 22], 0), ([0, 0, 600], 20), ([12, 6, 30], 14)];
        for (by_age, expected) in table {
            assert_eq!(places_taken(by_age, &ladder()), expected, "{by_age:?}");
        }
        let patient = Ladder::new(&[Duration::from_secs(600)], Duration::from_secs(86_400));
        assert_eq!(places_taken([1, 1, 1], &patient), 3, "all are polled alike");
    }

    #[test]
    fn the_last_step_repeats() {
        assert_eq!(ladder().next_poll(2, Millis(0)), Millis(10_000));
        assert_eq!(ladder().next_poll(4_000_000_000, Millis(0)), Millis(10_000));
    }

    #[test]
    fn a_task_has_had_its_time_after_give_up_after() {
        assert!(!ladder().is_over(Millis(0), Millis(86_399_999), 500));
        assert!(ladder().is_over(Millis(0), Millis(86_400_000), 500));
        assert!(!ladder().is_over(Millis(0), Millis(86_400_000), 9), "the clock was set, or nobody polled");
        assert!(ladder().is_over(Millis(0), Millis(86_400_000), 10));
        assert_eq!(ladder().give_up_after_ms(), 86_400_000);
    }

    #[test]
    fn a_retry_after_is_obeyed_in_full_unless_absurd() {
        assert_eq!(rate_limit_pause_ms(Some(32_000)), 32_000);
        assert_eq!(rate_limit_pause_ms(Some(86_400_000)), 86_400_000, "a day");
        assert_eq!(rate_limit_pause_ms(Some(86_400_001)), 3_600_000, "more than a day");
        assert_eq!(rate_limit_pause_ms(Some(1_000_000_000_000_000)), 3_600_000);
        assert_eq!(rate_limit_pause_ms(Some(0)), 1_000);
        assert_eq!(rate_limit_pause_ms(Some(-7)), 1_000);
        assert_eq!(rate_limit_pause_ms(None), 10_000);
    }

    #[test]
    fn a_message_is_tried_ten_times_in_three_days_and_given_up() {
        let delays: Vec<i64> = (1..20).map_while(|attempts| redelivery_delay_ms(attempts, 0.0)).collect();
        assert_eq!((delays.len(), delays[0]), (9, 5_000));
        assert!((72..=80).contains(&(delays.iter().sum::<i64>() / 3_600_000)));
        assert_eq!(redelivery_delay_ms(1, 1.0), Some(5_500));
    }

    #[test]
    fn a_retry_pause_doubles_and_half_of_it_is_jitter() {
        let table = [
            (0, 1_000, 60_000, 1.0, 1_000),
            (1, 1_000, 60_000, 0.0, 500),
            (1, 1_000, 60_000, 1.0, 1_000),
            (3, 1_000, 60_000, 0.5, 3_000),
            (6, 1_000, 60_000, 1.0, 32_000),
            (4, 500, 8_000, 1.0, 4_000),
            (u32::MAX, 500, 8_000, 1.0, 8_000),
            (2, 1_200_000, 7_200_000, 0.0, 1_200_000),
        ];
        for (failures, first_ms, most_ms, jitter, expected) in table {
            let delay = retry_delay_ms(failures, first_ms, most_ms, jitter);
            assert_eq!(delay, expected, "{failures} failures from {first_ms} to {most_ms}, jitter {jitter}");
        }
    }

    proptest! {
        #[test]
        fn a_retry_pause_grows_to_its_cap_and_never_beyond(failures in 1_u32..100, jitter in 0.0..=1.0_f64) {
            let delay = retry_delay_ms(failures, 1_000, 60_000, jitter);
            prop_assert!((500..=60_000).contains(&delay), "{delay}");
            prop_assert!(retry_delay_ms(failures + 1, 1_000, 60_000, jitter) >= delay);
        }
    }
}
