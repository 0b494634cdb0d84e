//! What is put on the wire, before it is: a status, a JSON body, headers.
//!
//! The errors are the vendor's, with its words.

use serde_json::{Value, json};

use super::standing::Refusal;

/// An answer before it is put on the wire.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Answer {
    pub(in crate::sandbox) status: u16,
    pub(in crate::sandbox) body: Value,
    pub(in crate::sandbox) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(in crate::sandbox) fn new(status: u16, body: Value) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    pub(in crate::sandbox) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Also true of an error that is answered with HTTP 200.
    pub(in crate::sandbox) fn is_error(&self) -> bool {
        self.body.get("errorKey").is_some()
    }
}

/// The documented error shape; `traceId` is added on the way out, when it is known.
pub(in crate::sandbox) fn error(status: u16, code: i64, error_key: &str, message: &str) -> Answer {
    Answer::new(status, json!({ "code": code, "message": message, "errorKey": error_key }))
}

/// The error that the vendor documents for a status, or a plausible one.
pub(in crate::sandbox) fn refuse(status: u16) -> Answer {
    let (error_key, message) = match status {
        400 => ("INVALID_REQUEST", "Invalid request"),
        401 => ("INVALID_API_KEY", "Invalid API key"),
        402 => ("INSUFFICIENT_CREDITS", "Insufficient credits"),
        404 => ("NOT_FOUND", "Resource not found"),
        409 => ("STATE_CONFLICT", "Conflict"),
        422 => ("LEAD_SELECTION_LIMIT_EXCEEDED", "Limit exceeded"),
        429 => ("RATE_LIMIT_EXCEEDED", "Rate limit exceeded"),
        500..=599 => ("INTERNAL_ERROR", "Internal server error"),
        _ => ("REQUEST_REFUSED", "The request was refused"),
    };
    error(status, i64::from(status), error_key, message)
}

pub(in crate::sandbox) fn invalid(message: &str) -> Answer {
    error(400, 400, "INVALID_REQUEST", message)
}

pub(in crate::sandbox) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::EventNotFound => refuse(404),
        Refusal::InsufficientCredits => refuse(402),
    }
}
