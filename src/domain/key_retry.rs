//! A key that the API has refused: why, and when it is tried again automatically.
//!
//! A 401 may be a temporary fault (a cache, a replica, a deployment of the vendor's), and perhaps no person
//! is there to resume the account. So the same key is tried a few times with a free call, and then the
//! account waits for a person or for another key. After a 403 the key is not tried again: it is good, and its owner
//! has to change something at the vendor first.

use std::fmt;

use super::ids::Millis;

/// A key that the API has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    /// What may be shown of it.
    pub fingerprint: String,
    pub at: Millis,
    pub why: Why,
}

/// Why it was refused, as the API has said it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Why {
    /// 401: the key is not accepted. 403: it is, and its owner may not do this. `None`: an older version has not
    /// kept it.
    pub status: Option<u16>,
    /// The API's own word, such as `NO_ACTIVE_SUBSCRIPTION`.
    pub error_key: Option<String>,
}

impl Why {
    /// Whether the key is good, and its owner may not do what was asked: trying it again would not help, nor
    /// would another key of the same owner.
    pub fn is_forbidden(&self) -> bool {
        self.status == Some(403)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => f.write_str("401 or 403")?,
        }
        match &self.error_key {
            Some(error_key) => write!(f, " {error_key}"),
            None => Ok(()),
        }
    }
}

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
    fn a_refusal_says_its_status_and_the_apis_own_word() {
        let why = |status, key: Option<&str>| Why { status, error_key: key.map(str::to_owned) };
        assert_eq!(why(Some(403), Some("NO_ACTIVE_SUBSCRIPTION")).to_string(), "403 NO_ACTIVE_SUBSCRIPTION");
        assert_eq!(why(Some(401), None).to_string(), "401");
        assert_eq!(why(None, None).to_string(), "401 or 403");
        assert!(why(Some(403), None).is_forbidden() && !why(Some(401), None).is_forbidden());
    }

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
