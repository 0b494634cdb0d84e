//! Whether a call may pass: the way of every request through the sandbox.
//!
//! The order is the vendor's as far as it shows: key, then rate limit, then the call itself.
//! Scripted trouble comes after the two, so a fault is never spent on a call that was turned away.
//! Deciding and carrying out happen in one step under one lock; only then is there any waiting.

use serde_json::Value;

use super::dispatch;
use crate::sandbox::faults::kinds::{self, FaultKind, RetryAfter};
use crate::sandbox::state::limits::{Admission, seconds_until};
use crate::sandbox::state::shared::{Shared, State};
use crate::sandbox::words::answer::{Answer, error, refuse};
use crate::sandbox::words::asked::Asked;
use crate::sandbox::words::route::Route;

/// What was decided about a call. Without an answer it is lost, or is to be carried out late.
pub(in crate::sandbox) struct Decision {
    pub(in crate::sandbox) answer: Option<Answer>,
    pub(in crate::sandbox) fault: Option<FaultKind>,
    pub(in crate::sandbox) admission: Admission,
}

/// Decides a call and, unless a fault forbids, carries it out.
pub(in crate::sandbox) fn decide(shared: &Shared, state: &mut State, seq: u64, asked: &Asked) -> Decision {
    let now_ms = shared.clock.now_ms();
    let turned_away =
        |answer| Decision { answer: Some(answer), fault: None, admission: Admission::Unlimited };
    let known = |key: &&String| state.api_key.as_ref().is_none_or(|right| right == *key);
    let Some(key) = asked.key.as_ref().filter(known) else {
        return turned_away(refuse(401));
    };
    let admission = state.limiter.admit(key, now_ms);
    if let Admission::Refused { ends_ms } = admission {
        let wait = seconds_until(ends_ms, now_ms).to_string();
        return turned_away(refuse(429).with("retry-after", &wait));
    }
    let endpoint = asked.route.as_ref().map(Route::endpoint);
    let fault = kinds::take(&mut state.faults, endpoint);
    state.journal.suffers(seq, fault.as_ref());
    let answer = match &fault {
        Some(fault) if !fault.is_carried_out_first() => instead(fault, state, key, admission, now_ms),
        _ => Some(carry_out(state, seq, asked, now_ms)),
    };
    Decision { answer, fault, admission }
}

/// Carries a call out, now.
pub(in crate::sandbox) fn carry_out(state: &mut State, seq: u64, asked: &Asked, now_ms: i64) -> Answer {
    state.world.settle(now_ms);
    let answer = dispatch::answer(&mut state.world, asked, now_ms);
    if answer.status < 300 && !answer.is_error() {
        state.journal.carried_out(seq);
    }
    answer
}

/// The answer of a fault that keeps the call from being carried out.
fn instead(
    fault: &FaultKind,
    state: &mut State,
    key: &str,
    admission: Admission,
    now_ms: i64,
) -> Option<Answer> {
    match fault {
        FaultKind::Status(status) => Some(refuse(*status)),
        FaultKind::StatusWithRetryAfter { code, retry_after } => {
            Some(refuse(*code).with("retry-after", retry_after))
        }
        FaultKind::ErrorWith200 { code, error_key } => {
            Some(error(200, *code, error_key, "The request was refused"))
        }
        FaultKind::Redirect(url) => Some(Answer::new(307, Value::Null).with("location", url)),
        FaultKind::RateLimited(retry_after) => {
            state.limiter.give_back(key);
            let answer = refuse(429);
            Some(match (retry_after, admission) {
                (RetryAfter::Absent, _) => answer,
                (RetryAfter::Verbatim(value), _) => answer.with("retry-after", value),
                (RetryAfter::WindowEnd, Admission::Allowed { ends_ms, .. }) => {
                    answer.with("retry-after", &seconds_until(ends_ms, now_ms).to_string())
                }
                // Without a limit there is no window to wait for.
                (RetryAfter::WindowEnd, _) => answer.with("retry-after", "1"),
            })
        }
        _ => None,
    }
}

/// The vendor documents these headers for allowed calls only, so a 429 goes without.
pub(in crate::sandbox) fn with_limits(shared: &Shared, answer: Answer, admission: Admission) -> Answer {
    match admission {
        Admission::Allowed { remaining, ends_ms } if shared.rate_headers && answer.status != 429 => {
            let reset = (ends_ms + shared.clock_skew_ms + 999).div_euclid(1000);
            answer
                .with("x-ratelimit-limit", &shared.rate_limit.to_string())
                .with("x-ratelimit-remaining", &remaining.to_string())
                .with("x-ratelimit-reset", &reset.to_string())
        }
        _ => answer,
    }
}
