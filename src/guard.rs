//! Guards that can be taken away: compiled into debug builds only.
//!
//! `UNLOCKD_WITHOUT=fence,precheck` runs the worker without them. A guard that no test misses is not
//! known to guard anything; `tests/negative-controls` takes each away in turn and expects a test to fail.
//! In a release build every guard holds, and the variable is not even read.

/// What keeps money and people safe, one name for each place that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The intent is committed before the POST.
    Intent,
    /// A submission without an answer is looked up, not sent again.
    Verify,
    /// So is one that an earlier process was sending when it ended.
    VerifyAtStart,
    /// A paid POST is sent once, whatever becomes of it.
    SentOnce,
    /// A POST that was held up after its intent is withdrawn.
    PauseRule,
    /// A worker that was replaced cannot write.
    Fence,
    /// One worker works.
    Lease,
    /// Every commit is synced.
    Synchronous,
    /// What was learned about the rate limit survives a restart.
    LimitKept,
    /// A Retry-After is waited for.
    RetryAfter,
    /// A refused key is not used again.
    KeyStop,
    /// No poll before its step.
    Schedule,
    /// What a precheck says is had already is not bought.
    Precheck,
    /// What was erased is not bought on a price list.
    Erased,
    /// What was paid for a moment ago and brought nothing is not bought again at once.
    InVain,
    /// A cost above the limit waits for a person.
    Approval,
    /// The cost is held from the intent on.
    Hold,
    /// Only what is unlocked and has a value is delivered.
    Value,
    /// Redirects are not followed.
    Redirect,
    /// A proxy in the environment is not handed the key.
    Proxy,
    /// Erased values are overwritten in the file.
    SecureDelete,
}

/// Whether a guard is in its place. Always so, but for the negative controls.
#[inline]
pub fn holds(_guard: Guard) -> bool {
    #[cfg(debug_assertions)]
    return !removed::contains(_guard);
    #[cfg(not(debug_assertions))]
    true
}

#[cfg(debug_assertions)]
mod removed {
    use std::sync::OnceLock;

    use super::Guard;

    /// The name of a guard, as the variable has it: `SentOnce` is `sent-once`.
    fn name(guard: Guard) -> String {
        let mut name = String::new();
        for letter in format!("{guard:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    pub(super) fn contains(guard: Guard) -> bool {
        static REMOVED: OnceLock<Vec<String>> = OnceLock::new();
        let removed = REMOVED.get_or_init(|| {
            let names = std::env::var("UNLOCKD_WITHOUT").unwrap_or_default();
            names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        });
        !removed.is_empty() && removed.contains(&name(guard))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_guard_is_named_in_small_letters() {
            assert_eq!(name(Guard::VerifyAtStart), "verify-at-start");
        }
    }
}
