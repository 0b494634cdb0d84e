//! The right to make one call, and what the gate learns from the answer.
//!
//! An answer says something about the rate limit (headers, 429), the key (401) and the health of the API; any
//! failed answer may say how long to wait (`Retry-After`). The gate applies this at once, and records it in the
//! database for the next start.

use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::api::{Answer, ApiError, Caller};
use crate::domain::address::Address;
use crate::domain::failure::{Failure, Refusal};
use crate::domain::key_retry::{RefusedKey, Why};
use crate::domain::rate::{Permission, Rate, RateHeaders};
use crate::domain::turns::Class;
use crate::domain::{EventId, JobId, Millis, pacing};
use crate::failpoint::{self, Place};
use crate::store::StoreError;
use crate::store::accounts::Trouble;
use crate::worker::gate::host::Calls;
use crate::worker::gate::{Gate, Key, Knowledge};
use crate::worker::run::heartbeat;

/// What an answer says, to be stored for the next start.
pub struct Lesson {
    /// Figures that allow no call now. Others are stored together with the next call, which saves a commit for each call:
    /// without them a start knows the calls that were sent, and an older figure of the API.
    pub(super) rate: Option<Rate>,
    /// What a 429 said about this machine's address.
    pub(super) address: Option<Address>,
    /// `Some(Some(…))`: the key that was refused. `Some(None)`: no key is refused any more.
    pub(super) refused: Option<Option<RefusedKey>>,
    /// That the API is in trouble, or that it is over.
    pub(super) trouble: Option<Option<Trouble>>,
}

/// The right to make one call. If it is dropped unused, the call stays counted: that may waste one call, and
/// never sends one too many.
pub struct Permit<'a> {
    pub(super) gate: &'a Gate,
    pub(super) class: Class,
    pub(super) key: Key,
    pub request_id: Uuid,
    pub entered_at: Millis,
    pub(super) in_flight: InFlight<'a>,
    pub(super) _slot: OwnedSemaphorePermit,
}

/// Counts a call as in flight until dropped.
pub(super) struct InFlight<'a>(pub(super) &'a Gate);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.knowledge().in_flight -= 1;
    }
}

impl Permit<'_> {
    /// Who calls, for the client.
    pub fn caller<'a>(&'a self, job_id: Option<JobId>, event_id: Option<&'a EventId>) -> Caller<'a> {
        Caller {
            account: &self.gate.account,
            key: &self.key.secret,
            request_id: self.request_id,
            job_id,
            event_id,
        }
    }

    /// Ends the call: learns what its answer says about limit, key and health of the API, and stores it.
    pub async fn leave<T>(self, answer: &Answer<T>) -> Result<(), StoreError> {
        let gate = self.gate;
        let lesson = self.learn(answer);
        gate.keep(lesson).await
    }

    /// The part of [`Permit::leave`] that works in memory, for a caller that must commit something more
    /// urgent first.
    pub fn learn<T>(self, answer: &Answer<T>) -> Lesson {
        failpoint::pass(Place::AfterCall);
        heartbeat::beat();
        let now = self.gate.clock.now();
        let failure = answer.result.as_ref().err().map(|error| error.failure);
        let pause_ms = asked_to_pause_ms(answer.retry_after_ms, failure);
        let metrics = self.gate.store.metrics();
        metrics.called(answer.endpoint, answer.status, answer.took);
        if is_limited(failure) {
            metrics.rate_limited(&self.gate.account);
        }
        drop(self.in_flight);
        let (mut of_all, mut knowledge) = (self.gate.host.calls(), self.gate.knowledge());
        let in_flight = knowledge.in_flight;
        knowledge.ahead_ms = answer.ahead_ms.or(knowledge.ahead_ms);
        if answer.status.is_some() {
            knowledge.rate.answered_in(now.since(self.entered_at));
        }
        if let Some(headers) = answer.rate {
            knowledge.rate.learn(headers, in_flight, now);
            knowledge.rate.told_to(self.class);
        }
        let refused = match stops_account(failure) {
            Some(status) => {
                let error_key = answer.result.as_ref().err().and_then(|error| error.error_key.clone());
                let why = Why { status: Some(status), error_key };
                let refused = RefusedKey { fingerprint: self.key.fingerprint.clone(), at: now, why };
                self.gate.refuse(&mut knowledge, refused)
            }
            None if answer.result.is_ok() => {
                self.gate.accept(&mut knowledge, &self.key.fingerprint, self.entered_at)
            }
            None => None,
        };
        let is_read = answer.result.as_ref().is_err_and(|error| !error.paid);
        let trouble = note_trouble(&mut knowledge, answer.result.as_ref().err(), is_read, now);
        let address = pause_ms.and_then(|pause_ms| {
            let is_timed = answer.retry_after_ms.is_some();
            let limited = is_limited(failure).then_some((answer.rate, self.entered_at, is_timed));
            pause(&mut of_all, &mut knowledge.rate, limited, (pause_ms, now))
        });
        of_all.measure(&self.gate.account, &knowledge.rate);
        let waits = pause_ms.is_some() || knowledge.rate.permission(now) != Permission::Now;
        knowledge.is_rate_unstored |= answer.rate.is_some() || waits;
        let rate = waits.then(|| knowledge.take_unstored()).flatten();
        Lesson { rate, address, refused, trouble }
    }
}

/// The refusal to store for the next start: the key and the time, or none any more.
type Kept = Option<Option<RefusedKey>>;

impl Gate {
    /// Stops the account. A key that is refused again keeps the time of its first refusal.
    fn refuse(&self, knowledge: &mut Knowledge, refused: RefusedKey) -> Kept {
        let known = knowledge.refused.as_ref();
        if known.is_some_and(|known| known.fingerprint == refused.fingerprint) {
            return None;
        }
        let help = match refused.why.is_forbidden() {
            true => {
                "its owner may not do this (no active subscription?); when that is put right: unlockd resume"
            }
            false => "it is tried again after 1, 5 and 30 minutes; another key is used at once",
        };
        let (status, error_key) = (refused.why.status, refused.why.error_key.as_deref());
        tracing::error!(account = %self.account, key_fingerprint = %refused.fingerprint, status, error_key,
            "the API refused the account's key, and nothing more is bought with it: {help}");
        knowledge.refused = Some(refused.clone());
        Some(Some(refused))
    }

    /// The API accepts a key that it had refused.
    fn accept(&self, knowledge: &mut Knowledge, key: &str, entered_at: Millis) -> Kept {
        // A call that was sent before the refusal says nothing about the key now.
        let is_forgiven = |refused: &RefusedKey| {
            refused.fingerprint == key
                && entered_at > refused.at
                && knowledge.key_tried_at >= Some(entered_at)
        };
        if !knowledge.refused.as_ref().is_some_and(is_forgiven) {
            return None;
        }
        knowledge.forgive();
        tracing::info!(account = %self.account, "the API takes the account's key again; going on");
        Some(None)
    }
}

/// Starts the pause that an answer asked for: for all accounts if a 429 means the address, otherwise for this
/// one. `limited`: the headers of a 429, when its call was sent, and whether it names a time. Returns the address if
/// the 429 was about it.
fn pause(
    of_all: &mut Calls,
    own: &mut Rate,
    limited: Option<(Option<RateHeaders>, Millis, bool)>,
    (mut pause_ms, now): (i64, Millis),
) -> Option<Address> {
    if let Some((headers, sent_at, is_timed)) = limited {
        if own.is_refused_for_address(headers, pause_ms, now) {
            if of_all.address.refused(sent_at, pause_ms, now) {
                say_lowered(&of_all.address, now);
            }
            return Some(of_all.address.clone());
        }
        match is_timed {
            true => own.refused(pause_ms, now),
            false => pause_ms = own.refused_untimed(now),
        }
    }
    own.block(pause_ms, now);
    None
}

fn is_limited(failure: Option<Failure>) -> bool {
    matches!(failure, Some(Failure::Refused(Refusal::RateLimited { .. })))
}

fn say_lowered(address: &Address, now: Millis) {
    let (calls, window_ms) = (address.limit(now), address.window_ms());
    tracing::info!(
        calls,
        window_ms,
        "a 429 although the key has calls left: the API limits this machine's address, and \
        all accounts together send fewer calls from now on; a higher limit is tried later"
    );
}

/// The status that a refusal of the key stands for, which an HTTP 200 may carry in its body.
fn stops_account(failure: Option<Failure>) -> Option<u16> {
    match failure {
        Some(Failure::Refused(Refusal::Unauthorized)) => Some(401),
        Some(Failure::Refused(Refusal::Forbidden)) => Some(403),
        _ => None,
    }
}

/// How long nothing may be sent, in milliseconds. A `Retry-After` counts for every kind of failure: a
/// gateway's 503 or an error page carries one, too. A search that waits for its slot blocks nothing else.
fn asked_to_pause_ms(retry_after_ms: Option<i64>, failure: Option<Failure>) -> Option<i64> {
    if failure == Some(Failure::Refused(Refusal::SlotTaken)) {
        return None;
    }
    (is_limited(failure) || retry_after_ms.is_some()).then(|| pacing::rate_limit_pause_ms(retry_after_ms))
}

/// Learns about the health of the API; what is to be kept of that.
fn note_trouble(
    knowledge: &mut Knowledge,
    error: Option<&ApiError>,
    is_read: bool,
    now: Millis,
) -> Option<Option<Trouble>> {
    let was_on = knowledge.trouble.since.is_some();
    match error.map(|error| error.failure) {
        // The rate limit says when to go on.
        Some(Failure::Refused(Refusal::RateLimited { .. })) => return None,
        Some(Failure::NotSent | Failure::Unknown) => knowledge.trouble.failed(now),
        // These make no sense for a read. A read is repeated, as after a lost answer.
        Some(Failure::Refused(Refusal::PaymentRequired | Refusal::Conflict)) if is_read => {
            knowledge.trouble.failed(now);
        }
        Some(Failure::Refused(_)) | None => knowledge.trouble.over(),
    }
    let (since, answer) = (knowledge.trouble.since, error.map(ApiError::in_short));
    match since.zip(answer) {
        Some((since, answer)) => Some(Some(Trouble { since, answer, next_at: knowledge.trouble.until })),
        None => was_on.then_some(None),
    }
}
