//! What an error answer means: from status and body to a [`Failure`] and the facts around it.
//!
//! A refusal is believed only when the API says it in its own words: a status of the error matrix
//! with a readable error body. Some guarded endpoints answer HTTP 200 with an error body, so that
//! no success is taken unread.
//!
//! Source: the vendor's error conventions (`{code, message, errorKey, traceId, details?}`).

use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use super::Caller;
use super::error::{self, ApiError};
use super::transport::{Endpoint, REQUEST_ID};
use super::wire::is_object;
use crate::domain::failure::{Failure, Refusal};

/// What an answer means; `None` for a success whose body is to be read.
pub(super) fn classify(
    endpoint: Endpoint,
    status: u16,
    body: Option<&[u8]>,
    retry_after_ms: Option<i64>,
) -> Option<(Failure, Option<ErrorBody>)> {
    let refused = |status| Refusal::from_status(status, retry_after_ms).map(Failure::Refused);
    if status == 200 || status == 201 {
        // Some endpoints answer 200 with an error body: a success is never taken unread.
        let error = ErrorBody::behind_success(body?)?;
        let failure = error.status().and_then(refused).unwrap_or(Failure::Unknown);
        return Some((failure, Some(error)));
    }
    let error = body.and_then(ErrorBody::of_error_status);
    // A read may trust these two statuses alone: to stop or to slow down is never wrong.
    let status_suffices = !endpoint.paid && (status == 401 || status == 429);
    let failure = match refused(status) {
        Some(failure) if error.is_some() || status_suffices => failure,
        _ => Failure::Unknown,
    };
    Some((failure, error))
}

/// The facts of an error answer. A text that holds the very key is dropped whole.
pub(super) fn describe(
    endpoint: Endpoint,
    caller: &Caller<'_>,
    status: u16,
    headers: &HeaderMap,
    body: ErrorBody,
) -> ApiError {
    let key = caller.key.expose_secret();
    let clean = |text: &str| key.is_empty() || !text.contains(key);
    let field = |value: &Option<Value>| {
        value.as_ref().and_then(|value| value.as_str()).filter(|text| clean(text)).map(str::to_owned)
    };
    let header = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| clean(text));
    ApiError {
        status: Some(status),
        error_key: field(&body.error_key).and_then(|text| error::error_key(&text)),
        trace_id: field(&body.trace_id)
            .and_then(|text| error::trace_id(&text))
            .or_else(|| header.and_then(error::trace_id)),
        message: field(&body.message).and_then(|text| error::scrub(&text)),
        ..ApiError::new(endpoint, Failure::Unknown)
    }
}

/// The parts of an error body; each is whatever JSON it is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) code: Option<Value>,
    pub(super) message: Option<Value>,
    #[serde(rename = "errorKey")]
    pub(super) error_key: Option<Value>,
    #[serde(rename = "traceId")]
    pub(super) trace_id: Option<Value>,
    error: Option<Value>,
    #[serde(rename = "statusCode")]
    status_code: Option<Value>,
    task_id: Option<Value>,
}

impl ErrorBody {
    /// The error body of an error status; `None` unless it is a JSON object that says at least
    /// something about the error.
    pub(super) fn of_error_status(bytes: &[u8]) -> Option<ErrorBody> {
        let body = object(bytes)?;
        let parts = [&body.code, &body.message, &body.error_key, &body.error, &body.status_code];
        let says_something = parts.iter().any(|part| part.is_some());
        says_something.then_some(body)
    }

    /// The error body behind a success status (the vendor's guarded endpoints do that); `None` when
    /// the body is no error body.
    pub(super) fn behind_success(bytes: &[u8]) -> Option<ErrorBody> {
        let body = object(bytes)?;
        let has_key = body.error_key.as_ref().is_some_and(|key| *key != Value::String(String::new()));
        let has_code = body.code_number().is_some_and(|code| code >= 400) && body.message.is_some();
        (has_key || has_code).then_some(body)
    }

    /// `code`, when it can be a status. A body that names a task is never read as a refusal: the
    /// task may have been charged.
    pub(super) fn status(&self) -> Option<u16> {
        if self.task_id.is_some() {
            return None;
        }
        u16::try_from(self.code_number()?).ok()
    }

    fn code_number(&self) -> Option<u64> {
        self.code.as_ref().and_then(Value::as_u64)
    }
}

fn object(bytes: &[u8]) -> Option<ErrorBody> {
    is_object(bytes).then(|| serde_json::from_slice(bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_is_told_from_a_success() {
        let behind = |body: &str| ErrorBody::behind_success(body.as_bytes());
        let key = r#"{"code":429,"message":"m","errorKey":"USER_CONCURRENCY_LIMIT_EXCEEDED","traceId":"t"}"#;
        assert_eq!(behind(key).expect("an error").status(), Some(429));
        assert_eq!(behind(r#"{"code":400,"message":"m"}"#).expect("an error").status(), Some(400));
        assert_eq!(behind(r#"{"errorKey":"X"}"#).expect("an error").status(), None);
        let with_task = r#"{"code":400,"message":"m","task_id":"321"}"#;
        assert_eq!(behind(with_task).expect("an error").status(), None, "the task may have been charged");
        for fine in [
            r#"{"status":"accepted","task_id":"321","errorKey":null}"#,
            r#"{"code":0,"message":"ok","status":"accepted"}"#,
            r#"{"code":400}"#,
            r#"[{"errorKey":"X"}]"#,
        ] {
            assert!(behind(fine).is_none(), "{fine}");
        }
        for (body, speaks) in [
            (r#"{"code":400}"#, true),
            (r#"{"statusCode":400}"#, true),
            (r#"{"error":"Bad Request"}"#, true),
            (r#"{"code":null}"#, false),
            ("{}", false),
            ("[400]", false),
            ("\"no\"", false),
            ("<html>", false),
        ] {
            assert_eq!(ErrorBody::of_error_status(body.as_bytes()).is_some(), speaks, "{body}");
        }
    }
}
