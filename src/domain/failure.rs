//! What a failed call means: the error matrix, as data, in one place.
//!
//! The API client sorts every failed call into a [`Failure`]; [`submission`] and [`read`] say what the caller
//! must do. They differ when the effect is unknown: a read is simply repeated, but a paid POST whose answer
//! is missing or unreadable may have taken effect, and is never resent without checking first.
//!
//! Sources: the vendor's production-readiness page (error handling matrix), its error conventions
//! (HTTP 200 with an error body), and the OpenAPI responses (422).

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No byte of the request was written (name not resolved, connection or TLS refused).
    NotSent,
    /// The API answered with an error of its matrix and its own error body.
    Refused(Refusal),
    /// Everything else: timeout, reset, 5xx, redirect, unreadable or oversized answer, or an error of a
    /// gateway in front of the API. A POST may have taken effect.
    Unknown,
}

/// A status of the error matrix, from the HTTP status line or from an HTTP-200 error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400 or 422: the request itself is wrong.
    Invalid,
    /// 401
    Unauthorized,
    /// 402
    PaymentRequired,
    /// 403: the key is valid, but its owner may not do this (no subscription).
    Forbidden,
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 429, with the requested wait in milliseconds, if any.
    RateLimited { retry_after_ms: Option<i64> },
    /// HTTP 200 with `code` 429: this user already runs as many of these calls as are allowed. It ends when
    /// one of them ends, and says nothing about the rate limit.
    SlotTaken,
}

impl Refusal {
    /// The refusal for a status (or for the `code` of an HTTP-200 error body); `None` for a status that the
    /// matrix does not contain.
    pub fn from_status(status: u16, retry_after_ms: Option<i64>) -> Option<Refusal> {
        Some(match status {
            400 | 422 => Refusal::Invalid,
            401 => Refusal::Unauthorized,
            402 => Refusal::PaymentRequired,
            403 => Refusal::Forbidden,
            404 => Refusal::NotFound,
            409 => Refusal::Conflict,
            429 => Refusal::RateLimited { retry_after_ms },
            _ => return None,
        })
    }
}

/// The consequence of a failed submission for its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmissionFailure {
    /// It certainly had no effect; try again after a backoff.
    TryAgain,
    /// It certainly had no effect; try again when the rate limit allows.
    WaitForRateLimit { retry_after_ms: Option<i64> },
    /// The call cannot be carried out as it is. It is divided if some of its contacts may be the reason
    /// ([`super::division::after_refusal`]); otherwise its job is rejected.
    Reject,
    /// The key was refused, or its owner may not do this: the account stops. [`super::key_retry`] says when the key is
    /// tried again; another key, or a person's resume, ends the stop at once.
    StopAccount,
    /// Not enough credits: the job is parked.
    Park,
    /// The API's state differs from ours: read it again before a retry.
    ReadStateFirst,
    /// It may have taken effect: in doubt.
    Doubt,
}

/// The consequence of a paid POST that did not succeed.
pub fn submission(failure: Failure) -> SubmissionFailure {
    match failure {
        Failure::NotSent | Failure::Refused(Refusal::SlotTaken) => SubmissionFailure::TryAgain,
        Failure::Refused(Refusal::Invalid | Refusal::NotFound) => SubmissionFailure::Reject,
        Failure::Refused(Refusal::Unauthorized | Refusal::Forbidden) => SubmissionFailure::StopAccount,
        Failure::Refused(Refusal::PaymentRequired) => SubmissionFailure::Park,
        Failure::Refused(Refusal::Conflict) => SubmissionFailure::ReadStateFirst,
        Failure::Refused(Refusal::RateLimited { retry_after_ms }) => {
            SubmissionFailure::WaitForRateLimit { retry_after_ms }
        }
        Failure::Unknown => SubmissionFailure::Doubt,
    }
}

/// The consequence of a failed read (poll, balance, precheck, profile).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFailure {
    /// Read again after a backoff with jitter.
    TryAgain,
    /// Read again when the rate limit allows.
    WaitForRateLimit { retry_after_ms: Option<i64> },
    /// The same as [`SubmissionFailure::StopAccount`].
    StopAccount,
    /// The thing does not exist for this key, or the question is invalid: do not ask again.
    Gone,
}

/// The consequence of a failed read.
pub fn read(failure: Failure) -> ReadFailure {
    match failure {
        Failure::Refused(Refusal::Unauthorized | Refusal::Forbidden) => ReadFailure::StopAccount,
        Failure::Refused(Refusal::NotFound | Refusal::Invalid) => ReadFailure::Gone,
        Failure::Refused(Refusal::RateLimited { retry_after_ms }) => {
            ReadFailure::WaitForRateLimit { retry_after_ms }
        }
        Failure::NotSent
        | Failure::Unknown
        | Failure::Refused(Refusal::PaymentRequired | Refusal::Conflict | Refusal::SlotTaken) => {
            ReadFailure::TryAgain
        }
    }
}

/// For this long after acceptance a 404 about the task is not believed, in milliseconds: the API may read
/// from a database that lags behind the one it writes to.
pub const UNBELIEVED_FOR_MS: i64 = 60_000;

/// The consequence of a failed poll. `accepted_ms_ago`: how long ago the API accepted the task; `None` if
/// another program created the task.
pub fn poll(failure: Failure, accepted_ms_ago: Option<i64>) -> ReadFailure {
    match read(failure) {
        ReadFailure::Gone if accepted_ms_ago.is_some_and(|ago| ago < UNBELIEVED_FOR_MS) => {
            ReadFailure::TryAgain
        }
        failure => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_matrix_is_this_table() {
        let wait = Some(32_000);
        let table = [
            (400, SubmissionFailure::Reject, ReadFailure::Gone),
            (401, SubmissionFailure::StopAccount, ReadFailure::StopAccount),
            (402, SubmissionFailure::Park, ReadFailure::TryAgain),
            (403, SubmissionFailure::StopAccount, ReadFailure::StopAccount),
            (404, SubmissionFailure::Reject, ReadFailure::Gone),
            (409, SubmissionFailure::ReadStateFirst, ReadFailure::TryAgain),
            (422, SubmissionFailure::Reject, ReadFailure::Gone),
            (
                429,
                SubmissionFailure::WaitForRateLimit { retry_after_ms: wait },
                ReadFailure::WaitForRateLimit { retry_after_ms: wait },
            ),
        ];
        for (status, posted, polled) in table {
            let failure = Failure::Refused(Refusal::from_status(status, wait).expect("in the matrix"));
            assert_eq!(submission(failure), posted, "{status}");
            assert_eq!(read(failure), polled, "{status}");
        }
    }

    #[test]
    fn a_status_outside_the_matrix_never_proves_that_a_post_took_no_effect() {
        for status in (100..600).filter(|status| ![400, 401, 402, 403, 404, 409, 422, 429].contains(status)) {
            assert_eq!(Refusal::from_status(status, None), None, "{status}");
        }
        assert_eq!(submission(Failure::Unknown), SubmissionFailure::Doubt);
        assert_eq!(read(Failure::Unknown), ReadFailure::TryAgain);
        assert_eq!(submission(Failure::NotSent), SubmissionFailure::TryAgain);
    }

    #[test]
    fn a_taken_search_slot_is_tried_again_and_is_no_rate_limit() {
        let failure = Failure::Refused(Refusal::SlotTaken);
        assert_eq!(submission(failure), SubmissionFailure::TryAgain);
        assert_eq!(read(failure), ReadFailure::TryAgain);
    }

    #[test]
    fn a_404_about_a_task_that_was_just_accepted_is_believed_after_a_minute() {
        for refusal in [Refusal::NotFound, Refusal::Invalid] {
            let failure = Failure::Refused(refusal);
            assert_eq!(poll(failure, Some(0)), ReadFailure::TryAgain);
            assert_eq!(poll(failure, Some(59_999)), ReadFailure::TryAgain);
            assert_eq!(poll(failure, Some(60_000)), ReadFailure::Gone);
            assert_eq!(poll(failure, None), ReadFailure::Gone, "an adopted task may never have existed");
        }
        let stopped = Failure::Refused(Refusal::Unauthorized);
        assert_eq!(poll(stopped, Some(0)), ReadFailure::StopAccount);
    }
}
