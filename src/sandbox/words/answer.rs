//! An answer before it is sent: a status, a JSON body, headers.
//!
//! The errors are the vendor's, with its texts.

use serde_json::{Value, json};

use super::results::Refusal;

/// An answer before it is sent.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Answer {
    pub(in crate::sandbox) status: u16,
    pub(in crate::sandbox) body: Value,
    pub(in crate::sandbox) headers: Vec<(&'static str, String)>,
    /// From a gateway: it has none of the API's own headers.
    pub(in crate::sandbox) foreign: bool,
}

impl Answer {
    pub(in crate::sandbox) fn new(status: u16, body: Value) -> Self {
        Self { status, body, headers: Vec::new(), foreign: false }
    }

    /// Adds a header; the same name may be added more than once.
    pub(in crate::sandbox) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Also true for an error that is answered with HTTP 200.
    pub(in crate::sandbox) fn is_error(&self) -> bool {
        self.body.get("errorKey").is_some()
    }
}

/// The documented form of an error; `traceId` is added when it is sent.
pub(in crate::sandbox) fn error(status: u16, code: i64, error_key: &str, message: &str) -> Answer {
    Answer::new(status, json!({ "code": code, "message": message, "errorKey": error_key }))
}

/// An error whose code is its status.
pub(in crate::sandbox) fn named(status: u16, error_key: &str, message: &str) -> Answer {
    error(status, i64::from(status), error_key, message)
}

/// The error that the vendor documents for a status, or a plausible one.
pub(in crate::sandbox) fn refuse(status: u16) -> Answer {
    let (error_key, message) = match status {
        400 => ("INVALID_REQUEST", "Invalid request"),
        401 => ("INVALID_API_KEY", "Invalid API key"),
        402 => ("INSUFFICIENT_CREDITS", "Insufficient credits"),
        403 => ("NO_ACTIVE_SUBSCRIPTION", "An active subscription is required"),
        404 => ("NOT_FOUND", "Resource not found"),
        409 => ("STATE_CONFLICT", "Conflict"),
        422 => ("LEAD_SELECTION_LIMIT_EXCEEDED", "Limit exceeded"),
        429 => ("RATE_LIMIT_EXCEEDED", "Rate limit exceeded"),
        500..=599 => ("INTERNAL_ERROR", "Internal server error"),
        _ => ("REQUEST_REFUSED", "The request was refused"),
    };
    named(status, error_key, message)
}

pub(in crate::sandbox) fn invalid(message: &str) -> Answer {
    named(400, "INVALID_REQUEST", message)
}

/// More ids than a call may have.
pub(in crate::sandbox) fn too_many(requested: usize, limit: usize) -> Answer {
    let mut answer = refuse(422);
    answer.body["details"] =
        json!({ "requestedCount": requested, "limit": limit, "selectionMode": "selected" });
    answer
}

/// An error that the vendor answers with HTTP 200.
pub(in crate::sandbox) fn error_in_200(code: i64, error_key: &str, message: &str) -> Answer {
    let mut answer = error(200, code, error_key, message);
    if error_key == "USER_CONCURRENCY_LIMIT_EXCEEDED" {
        answer.body["data"] = Value::Null;
        answer.body["details"] = Value::Null;
    }
    answer
}

pub(in crate::sandbox) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::EventNotFound => named(404, "EVENT_NOT_FOUND", "Event not found"),
        Refusal::NothingToUnlock => invalid("The event has no contacts to charge for"),
        Refusal::EventNotUnlocked => named(400, "EVENT_NOT_UNLOCKED", "Base access comes first"),
        Refusal::NoVisitorData => {
            named(400, "VISITOR_DATA_NOT_AVAILABLE", "No visitors are known for this event")
        }
        Refusal::NoSubscription => error_in_200(400, "USER_HAS_NO_FEATURE", "Not available to free users"),
        Refusal::InsufficientCredits => refuse(402),
        Refusal::CreditsInUse => {
            named(409, "CREDIT_OPERATION_IN_PROGRESS", "Another credit operation is under way")
        }
        Refusal::TooManyAtOnce => {
            error_in_200(429, "USER_CONCURRENCY_LIMIT_EXCEEDED", "Too many calls at once")
        }
        Refusal::BeingPrepared => refuse(409),
    }
}
