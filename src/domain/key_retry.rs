//! When a key that the API has refused is tried again automatically.
//!
//! A 401 may be a temporary fault (a cache, a replica, a deployment of the vendor's), and perhaps no person
//! is there to resume the account. So the same key is tried a few times with a free call, and then the
//! account waits for a person or for another key.

use super::ids::Millis;

/// The times of the tries after the refusal, in milliseconds.
const TRIES_AFTER_MS: [i64; 3] = [60_000, 5 * 60_000, 30 * 60_000];

/// When a key that was refused at `refused_at` is tried next; `tried_at`: when it was tried last. `None`: it
/// is not tried any more.
pub fn next_try(refused_at: Millis, tried_at: Option<Millis>) -> Option<Millis> {
    let tries = TRIES_AFTER_MS.into_iter().map(|after_ms| refused_at.plus(after_ms));
    tries.into_iter().find(|at| tried_at.is_none_or(|tried| *at > tried))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_key_is_tried_after_1_5_and_30_minutes() {
        let minutes = |minutes: i64| Millis(minutes * 60_000);
        assert_eq!(next_try(minutes(0), None), Some(minutes(1)));
        assert_eq!(next_try(minutes(0), Some(minutes(1))), Some(minutes(5)));
        assert_eq!(next_try(minutes(0), Some(minutes(6))), Some(minutes(30)), "a try that came late");
        assert_eq!(next_try(minutes(0), Some(minutes(30))), None);
        assert_eq!(next_try(minutes(0), Some(minutes(999))), None, "a long stop is one try");
    }
}
