//! Decides about every request: whether it is answered, refused, delayed or lost.
//!
//! The order is the vendor's as far as it can be seen: key, then rate limit, then the call itself. Scripted
//! faults come after the first two, so a fault is never used up by a call that was refused. A call is decided
//! and carried out in one step under one lock; waiting happens only after that.

use serde_json::{Value, json};

use super::dispatch;
use crate::sandbox::faults::kinds::{self, FaultKind, RateHeaders, RetryAfter};
use crate::sandbox::state::limits::{Admission, seconds_until};
use crate::sandbox::state::owners::owner_of;
use crate::sandbox::state::shared::{Shared, State};
use crate::sandbox::state::slots::Held;
use crate::sandbox::words::answer::{Answer, error_in_200, invalid, named, refuse, refused};
use crate::sandbox::words::asked::Asked;
use crate::sandbox::words::route::Route;

/// The decision about a call. Without an answer the call is lost, or is to be carried out later.
pub(in crate::sandbox) struct Decision {
    pub(in crate::sandbox) answer: Option<Answer>,
    pub(in crate::sandbox) fault: Option<FaultKind>,
    pub(in crate::sandbox) admission: Admission,
    /// The places that it keeps until its answer is sent.
    pub(in crate::sandbox) held: Held,
}

/// Decides about a call and, unless a fault prevents it, carries it out.
pub(in crate::sandbox) fn decide(shared: &Shared, state: &mut State, seq: u64, asked: &Asked) -> Decision {
    let now_ms = shared.clock.now_ms();
    let turned_away = |answer| Decision {
        answer: Some(answer),
        fault: None,
        admission: Admission::Unlimited,
        held: Held::default(),
    };
    let known = |key: &&String| state.api_key.as_ref().is_none_or(|right| right == *key);
    let Some(key) = asked.key.as_ref().filter(known) else {
        return turned_away(refuse(401));
    };
    let admission = state.limiter.admit(key, asked.address, now_ms);
    if let Admission::Refused { ends_ms } = admission {
        let wait = seconds_until(ends_ms, now_ms).to_string();
        return turned_away(refuse(429).with("retry-after", &wait));
    }
    let fault = kinds::take(&mut state.faults, asked);
    state.journal.suffers(seq, fault.as_ref());
    if let Some(FaultKind::RateLimited(_)) = fault {
        state.limiter.give_back(key, asked.address);
    }
    let (answer, held) = match &fault {
        Some(FaultKind::LostRequest { .. } | FaultKind::Late(_)) => (None, Held::default()),
        fault => match fault.as_ref().and_then(|fault| instead(fault, state, asked, admission, now_ms)) {
            Some(answer) => (Some(answer), Held::default()),
            None => {
                let (answer, held) = carry_out(state, seq, asked, now_ms);
                (Some(answer), held)
            }
        },
    };
    Decision { answer, fault, admission, held }
}

/// Carries a call out now. Also returns the places that it keeps.
pub(in crate::sandbox) fn carry_out(
    state: &mut State,
    seq: u64,
    asked: &Asked,
    now_ms: i64,
) -> (Answer, Held) {
    // Only calls with a key are carried out, so there is one.
    let owner = owner_of(asked.key.as_deref().unwrap_or_default());
    let world = state.owners.world(owner, now_ms);
    let Some(route) = &asked.route else {
        return (refuse(404), Held::default());
    };
    let held = match state.slots.enter(owner, route) {
        Ok(held) => held,
        Err(refusal) => return (refused(refusal), Held::default()),
    };
    let answer = dispatch::answer(world, route, asked, now_ms);
    if answer.status < 300 && !answer.is_error() {
        state.journal.carried_out(seq);
    }
    (answer, held)
}

/// The answer of a fault that prevents the call, if it is such a fault.
fn instead(
    fault: &FaultKind,
    state: &mut State,
    asked: &Asked,
    admission: Admission,
    now_ms: i64,
) -> Option<Answer> {
    Some(match fault {
        FaultKind::Status(status) => refuse(*status),
        FaultKind::StatusWithRetryAfter { code, retry_after } => with_each(refuse(*code), retry_after),
        FaultKind::Named { code, error_key } => named(*code, error_key, "The request was refused"),
        FaultKind::Gateway(code) => {
            let body = json!({ "message": "no Route matched with those values" });
            Answer { foreign: true, ..Answer::new(*code, body) }
        }
        FaultKind::ErrorWith200 { code, error_key } => {
            error_in_200(*code, error_key, "The request was refused")
        }
        FaultKind::Redirect(url) => Answer::new(307, Value::Null).with("location", url),
        FaultKind::RefuseId(id) => invalid(&format!("value \"{id}\" is out of range for type bigint")),
        FaultKind::Lagging(length) => return lagging(state, asked, *length, now_ms),
        FaultKind::RateLimited(retry_after) => match (retry_after, admission) {
            (RetryAfter::Absent, _) => refuse(429),
            (RetryAfter::Verbatim(value), _) => with_each(refuse(429), value),
            (RetryAfter::WindowEnd, Admission::Allowed { ends_ms, .. }) => {
                refuse(429).with("retry-after", &seconds_until(ends_ms, now_ms).to_string())
            }
            // Without a limit there is no window whose end could be named.
            (RetryAfter::WindowEnd, _) => refuse(429).with("retry-after", "1"),
        },
        _ => return None,
    })
}

/// One header for each of the values between `|`.
fn with_each(answer: Answer, retry_after: &str) -> Answer {
    retry_after.split('|').fold(answer, |answer, value| answer.with("retry-after", value))
}

/// Acts like a replica that does not know a young task yet.
fn lagging(state: &mut State, asked: &Asked, length: std::time::Duration, now_ms: i64) -> Option<Answer> {
    let Some(Route::Task(channel, id)) = &asked.route else {
        return None;
    };
    let owner = owner_of(asked.key.as_deref().unwrap_or_default());
    let task = state.owners.world(owner, now_ms).task(id.parse().ok()?, *channel)?;
    let age_ms = now_ms - task.accepted_ms();
    (u128::try_from(age_ms).is_ok_and(|age_ms| age_ms < length.as_millis())).then(|| refuse(404))
}

/// The vendor documents these headers only for allowed calls, so a 429 has none.
pub(in crate::sandbox) fn with_limits(
    shared: &Shared,
    answer: Answer,
    admission: Admission,
    fault: Option<&FaultKind>,
) -> Answer {
    let Admission::Allowed { remaining, ends_ms } = admission else {
        return answer;
    };
    if !shared.rate_headers || answer.status == 429 || answer.foreign {
        return answer;
    }
    let on_the_wire = |at_ms: i64| (at_ms + shared.clock_skew_ms + 999).div_euclid(1000);
    let now_ms = shared.clock.now_ms();
    let (limit, remaining, reset) = (shared.rate_limit, remaining, on_the_wire(ends_ms));
    let odd = match fault {
        Some(FaultKind::Rate(odd)) => Some(*odd),
        _ => None,
    };
    let (limit, remaining, reset) = match odd {
        None => (limit.to_string(), remaining.to_string(), reset.to_string()),
        Some(RateHeaders::Absent) => return answer,
        Some(RateHeaders::Milliseconds) => {
            (limit.to_string(), remaining.to_string(), (reset * 1000).to_string())
        }
        Some(RateHeaders::FromNow) => {
            (limit.to_string(), remaining.to_string(), seconds_until(ends_ms, now_ms).to_string())
        }
        Some(RateHeaders::Fraction) => (format!("{limit}.0"), format!("{remaining}.0"), format!("{reset}.0")),
        Some(RateHeaders::Twice) => {
            (format!("{limit}, {limit}"), format!("{remaining}, {remaining}"), format!("{reset}, {reset}"))
        }
        Some(RateHeaders::Contrary) => {
            ("10".to_owned(), "0".to_owned(), on_the_wire(now_ms + 3_600_000).to_string())
        }
    };
    answer
        .with("x-ratelimit-limit", &limit)
        .with("x-ratelimit-remaining", &remaining)
        .with("x-ratelimit-reset", &reset)
}
