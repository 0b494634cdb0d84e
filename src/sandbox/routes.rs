//! Which call is meant, and whether it may pass: the way of every request through the sandbox.
//!
//! The order is the vendor's as far as it shows: key, then rate limit, then the call itself.
//! Scripted trouble comes after the two, so a fault is never spent on a call that was turned away.
//! Deciding and carrying out happen in one step under one lock; only then is there any waiting.

use std::fmt;

use axum::http::{HeaderMap, Method};
use serde_json::Value;

use super::answers::{self, Answer};
use super::contacts::Channel;
use super::faults::{self, FaultKind, RetryAfter};
use super::limits::{Admission, seconds_until};
use super::{Shared, State};

/// The calls that a fault can be aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Unlock,
    UnlockPhone,
    Poll,
    Balance,
    Precheck,
    Profile,
    Event,
    Search,
    List,
}

const NAMES: [(&str, Endpoint); 9] = [
    ("unlock", Endpoint::Unlock),
    ("unlock-phone", Endpoint::UnlockPhone),
    ("poll", Endpoint::Poll),
    ("balance", Endpoint::Balance),
    ("precheck", Endpoint::Precheck),
    ("profile", Endpoint::Profile),
    ("event", Endpoint::Event),
    ("search", Endpoint::Search),
    ("list", Endpoint::List),
];

impl Endpoint {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(found.1)
    }

    pub(super) fn names() -> String {
        let names = NAMES.map(|(name, _)| name);
        format!("{}, any", names.join(", "))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = NAMES.iter().find(|(_, endpoint)| endpoint == self);
        f.write_str(found.map_or("any", |(name, _)| name))
    }
}

/// One call with what its path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Unlock(Channel),
    Task(Channel, String),
    Balance,
    Precheck,
    Profile,
    UnlockEvent(String),
    List,
    SearchCompanies,
    SearchEvents,
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix("/external/")?.split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["contacts", "unlock"]) => Some(Self::Unlock(Channel::Email)),
            ("POST", ["contacts", "unlock-phone"]) => Some(Self::Unlock(Channel::Phone)),
            ("GET", ["contacts", "unlock-tasks", id]) => Some(Self::Task(Channel::Email, (*id).to_owned())),
            ("GET", ["contacts", "unlock-phone-tasks", id]) => {
                Some(Self::Task(Channel::Phone, (*id).to_owned()))
            }
            ("GET", ["credits", "balance"]) => Some(Self::Balance),
            ("POST", ["actions", "precheck"]) => Some(Self::Precheck),
            ("GET", ["personnel", "profile"]) => Some(Self::Profile),
            ("GET", ["personnel", "list"]) => Some(Self::List),
            ("POST", ["events", id, "unlock"]) => Some(Self::UnlockEvent((*id).to_owned())),
            ("POST", ["exhibitors", "search-by-company-name"]) => Some(Self::SearchCompanies),
            ("POST", ["exhibitors", "search-events"]) => Some(Self::SearchEvents),
            _ => None,
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Unlock(Channel::Email) => Endpoint::Unlock,
            Self::Unlock(Channel::Phone) => Endpoint::UnlockPhone,
            Self::Task(..) => Endpoint::Poll,
            Self::Balance => Endpoint::Balance,
            Self::Precheck => Endpoint::Precheck,
            Self::Profile => Endpoint::Profile,
            Self::UnlockEvent(_) => Endpoint::Event,
            Self::List => Endpoint::List,
            Self::SearchCompanies | Self::SearchEvents => Endpoint::Search,
        }
    }
}

/// A request that was read whole.
pub(super) struct Asked {
    pub(super) route: Option<Route>,
    pub(super) query: Vec<(String, String)>,
    pub(super) key: Option<String>,
    pub(super) call_source: Option<String>,
    /// `None` when there is no readable JSON.
    pub(super) body: Option<Value>,
}

/// What was decided about a call. Without an answer it is lost, or is to be carried out late.
pub(super) struct Decision {
    pub(super) answer: Option<Answer>,
    pub(super) fault: Option<FaultKind>,
    pub(super) admission: Admission,
}

pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The key of an `Authorization: Bearer` header, if there is one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = header(headers, "authorization")?;
    let key = value.strip_prefix("Bearer ")?.trim();
    (!key.is_empty()).then(|| key.to_owned())
}

/// Decides a call and, unless a fault forbids, carries it out.
pub(super) fn decide(shared: &Shared, state: &mut State, seq: u64, asked: &Asked) -> Decision {
    let now_ms = shared.clock.now_ms();
    let turned_away =
        |answer| Decision { answer: Some(answer), fault: None, admission: Admission::Unlimited };
    let known = |key: &&String| state.api_key.as_ref().is_none_or(|right| right == *key);
    let Some(key) = asked.key.as_ref().filter(known) else {
        return turned_away(answers::refuse(401));
    };
    let admission = state.limiter.admit(key, now_ms);
    if let Admission::Refused { ends_ms } = admission {
        let wait = seconds_until(ends_ms, now_ms).to_string();
        return turned_away(answers::refuse(429).with("retry-after", &wait));
    }
    let endpoint = asked.route.as_ref().map(Route::endpoint);
    let fault = faults::take(&mut state.faults, endpoint);
    state.journal.suffers(seq, fault.as_ref());
    let answer = match &fault {
        Some(fault) if !fault.is_carried_out_first() => instead(fault, state, key, admission, now_ms),
        _ => Some(carry_out(state, seq, asked, now_ms)),
    };
    Decision { answer, fault, admission }
}

/// Carries a call out, now.
pub(super) fn carry_out(state: &mut State, seq: u64, asked: &Asked, now_ms: i64) -> Answer {
    state.world.settle(now_ms);
    let answer = answers::answer(&mut state.world, asked, now_ms);
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
        FaultKind::Status(status) => Some(answers::refuse(*status)),
        FaultKind::StatusWithRetryAfter { code, retry_after } => {
            Some(answers::refuse(*code).with("retry-after", retry_after))
        }
        FaultKind::ErrorWith200 { code, error_key } => {
            Some(answers::error(200, *code, error_key, "The request was refused"))
        }
        FaultKind::Redirect(url) => Some(Answer::new(307, Value::Null).with("location", url)),
        FaultKind::RateLimited(retry_after) => {
            state.limiter.give_back(key);
            let answer = answers::refuse(429);
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
pub(super) fn with_limits(shared: &Shared, answer: Answer, admission: Admission) -> Answer {
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
