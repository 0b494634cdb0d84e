//! One free call: gets a permit, calls, and records what the answer says about limit, key and health.
//!
//! Paid calls do not use this: their intent is committed between the permit and the call, and their answer
//! before the state of limit and key.

use crate::api::{Answer, ApiError, Caller};
use crate::domain::turns::Class;
use crate::domain::{EventId, JobId, Millis};
use crate::store::StoreError;
use crate::worker::Report;
use crate::worker::gate::{Entry, Gate};

/// The result of a free call.
pub enum Called<T> {
    Answered {
        /// When the call was sent.
        at: Millis,
        result: Result<T, ApiError>,
    },
    /// Not made: the rate limit or a pause allows no call before this moment.
    At(Millis),
    /// Not made: the account has no usable key.
    NoKey,
}

impl<T> Called<T> {
    /// The answer; or, if no call was made, when the pass runs next. Without a usable key the pass waits until it is
    /// woken.
    pub fn or_report(self) -> Result<Result<T, ApiError>, Report> {
        match self {
            Called::Answered { result, .. } => Ok(result),
            Called::At(at) => Err(Report::at(at)),
            Called::NoKey => Err(Report::idle()),
        }
    }
}

impl Gate {
    /// Makes a free call if the limit has room and it is the turn of `class`. The gate learns from the
    /// answer.
    ///
    /// # Errors
    /// If the database cannot book the call, or cannot store what its answer says.
    pub async fn call<T>(
        &self,
        class: Class,
        (job_id, event_id): (Option<JobId>, Option<&EventId>),
        ask: impl AsyncFnOnce(Caller<'_>, Millis) -> Answer<T>,
    ) -> Result<Called<T>, StoreError> {
        let permit = match self.enter(class).await? {
            Entry::Open(permit) => permit,
            Entry::At(at) => return Ok(Called::At(at)),
            Entry::NoKey => return Ok(Called::NoKey),
        };
        let at = permit.entered_at;
        let answer = ask(permit.caller(job_id, event_id), at).await;
        permit.leave(&answer).await?;
        Ok(Called::Answered { at, result: answer.result })
    }
}
