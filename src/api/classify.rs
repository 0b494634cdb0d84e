//! The meaning of an error answer: from status and body to a [`Failure`] and its details.
//!
//! A refusal is believed only if the API itself has written it: a status of the error matrix with the API's
//! own error body, which has an `errorKey` or a `traceId`. A gateway, a CDN or a firewall in front of the API
//! answers with the same statuses but does not know what the API has done. Some guarded endpoints answer HTTP
//! 200 with an error body, so the body of a success is always read, too.
//!
//! Source: the vendor's error conventions (`{code, message, errorKey, traceId, details?}`).

use std::num::NonZeroU16;

use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::Caller;
use super::endpoint::{Endpoint, REQUEST_ID};
use super::error::{self, ApiError};
use super::fields::Fields;
use super::json::if_readable;
use super::wire::{named_task, names_task};
use crate::domain::TaskId;
use crate::domain::failure::{Failure, Refusal};

/// The error keys of the two limits that both use the number 429.
pub(crate) const SLOT_TAKEN: &str = "USER_CONCURRENCY_LIMIT_EXCEEDED";
const RATE_LIMITED: &str = "RATE_LIMIT_EXCEEDED";

/// The key of a submission with more contacts than the API allows.
const TOO_MANY_CONTACTS: &str = "LEAD_SELECTION_LIMIT_EXCEEDED";

/// The status that a documented error key stands for, if an answer with HTTP 200 names no other.
fn status_of(error_key: &str) -> Option<u16> {
    Some(match error_key {
        "INVALID_REQUEST" | "USER_HAS_NO_FEATURE" | "EVENT_NOT_UNLOCKED" | "VISITOR_DATA_NOT_AVAILABLE" => {
            400
        }
        "INVALID_API_KEY" => 401,
        "INSUFFICIENT_CREDITS" => 402,
        "NO_ACTIVE_SUBSCRIPTION" => 403,
        "NOT_FOUND" | "EVENT_NOT_FOUND" => 404,
        "STATE_CONFLICT" | "CREDIT_OPERATION_IN_PROGRESS" => 409,
        TOO_MANY_CONTACTS => 422,
        RATE_LIMITED | SLOT_TAKEN => 429,
        _ => return None,
    })
}

/// The meaning of an answer; `None` for a success whose body is to be read.
pub(super) fn classify(
    endpoint: Endpoint,
    status: u16,
    body: Option<&[u8]>,
    retry_after_ms: Option<i64>,
) -> Option<(Failure, Option<ErrorBody>)> {
    let is_success = (200..300).contains(&status);
    let error = match is_success {
        // Some endpoints answer 200 with an error body, so a success is always read.
        true => Some(ErrorBody::behind_success(body?)?),
        false => body.and_then(ErrorBody::of_error_status),
    };
    // For a read this status is enough: slowing down is never wrong. A gateway's 401 says nothing about the key.
    let status_suffices = !endpoint.paid && status == 429;
    let said = match &error {
        // An answer that names a task: the task may have been charged, even if the answer also reports an
        // error.
        Some(error) if endpoint.paid && error.names_task => None,
        Some(error) if error.is_the_apis_own() => match is_success {
            true => {
                error.code().or_else(|| status_of(error.error_key.as_deref()?)).filter(|code| *code >= 400)
            }
            false => Some(status),
        },
        _ if status_suffices => Some(status),
        _ => None,
    };
    let key = error.as_ref().and_then(|error| error.error_key.as_deref());
    let failure = match said {
        Some(429) if key == Some(SLOT_TAKEN) || (is_success && key != Some(RATE_LIMITED)) => {
            Some(Refusal::SlotTaken)
        }
        Some(status) => Refusal::from_status(status, retry_after_ms),
        None => None,
    };
    Some((failure.map_or(Failure::Unknown, Failure::Refused), error))
}

/// The details of an error answer. A text that contains the API key is dropped.
pub(super) fn describe(
    endpoint: Endpoint,
    caller: &Caller<'_>,
    status: u16,
    headers: &HeaderMap,
    body: ErrorBody,
) -> ApiError {
    let key = caller.key.expose_secret();
    let clean = |text: &str| key.is_empty() || !text.contains(key);
    let field = |text: Option<String>| text.filter(|text| clean(text));
    let header = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| clean(text));
    ApiError {
        status: Some(status),
        error_key: field(body.error_key).and_then(|text| error::error_key(&text)),
        trace_id: field(body.trace_id)
            .and_then(|text| error::trace_id(&text))
            .or_else(|| header.and_then(error::trace_id)),
        message: field(body.message).and_then(|text| error::scrub(&text)).map(Into::into),
        most_contacts: body.most_contacts,
        // Only a paid call can have created the named task.
        task_id: body.task_id.filter(|task_id| endpoint.paid && clean(task_id.as_str())).map(Box::new),
        ..ApiError::new(endpoint, Failure::Unknown)
    }
}

/// The limit that `LEAD_SELECTION_LIMIT_EXCEEDED` tells in its details.
fn most_contacts(fields: &Fields<'_>, details: &Fields<'_>) -> Option<NonZeroU16> {
    let is_limit = fields.text(&["errorKey"]).as_deref() == Some(TOO_MANY_CONTACTS);
    is_limit.then(|| if_readable(details.last(&["limit"]))).flatten()
}

/// The readable parts of an error body.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    code: Option<Value>,
    message: Option<String>,
    error_key: Option<String>,
    trace_id: Option<String>,
    task_id: Option<TaskId>,
    most_contacts: Option<NonZeroU16>,
    /// Whether a task is named at all, even with an id that cannot be read.
    names_task: bool,
    has_error: bool,
}

impl ErrorBody {
    fn read(bytes: &[u8]) -> Option<ErrorBody> {
        let fields = Fields::read(bytes).ok()?;
        let details = fields.last(&["details"]).and_then(|raw| Fields::read(raw.get().as_bytes()).ok());
        let word = |names: &[&str]| fields.text(names).filter(|text| !text.is_empty());
        Some(ErrorBody {
            code: if_readable(fields.last(&["code", "statusCode"])),
            message: word(&["message"]),
            error_key: word(&["errorKey"]),
            trace_id: word(&["traceId"]),
            task_id: named_task(&fields).or_else(|| details.as_ref().and_then(named_task)),
            most_contacts: details.as_ref().and_then(|details| most_contacts(&fields, details)),
            names_task: names_task(&fields) || details.as_ref().is_some_and(names_task),
            has_error: fields.last(&["error"]).is_some(),
        })
    }

    /// The error body of an error status; `None` unless it is a JSON object that says something about the
    /// error, or about a task.
    pub(super) fn of_error_status(bytes: &[u8]) -> Option<ErrorBody> {
        let body = ErrorBody::read(bytes)?;
        let says_something = body.code.is_some()
            || body.message.is_some()
            || body.has_error
            || body.names_task
            || body.is_the_apis_own();
        says_something.then_some(body)
    }

    /// The error body behind a success status (the vendor's guarded endpoints do that); `None` if the body is
    /// not an error body.
    pub(super) fn behind_success(bytes: &[u8]) -> Option<ErrorBody> {
        let body = ErrorBody::read(bytes)?;
        let has_code = body.code().is_some_and(|code| code >= 400) && body.message.is_some();
        (body.error_key.is_some() || has_code).then_some(body)
    }

    /// Whether the API itself wrote the body, not a gateway in front of it.
    fn is_the_apis_own(&self) -> bool {
        self.error_key.is_some() || self.trace_id.is_some()
    }

    /// `code`, if it can be a status.
    pub(super) fn code(&self) -> Option<u16> {
        match self.code.as_ref()? {
            Value::String(text) => text.trim().parse().ok(),
            code => u16::try_from(code.as_u64()?).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    const PAID: Endpoint = Endpoint { name: "POST /x", method: &Method::POST, paid: true };
    const READ: Endpoint = Endpoint { name: "GET /x", method: &Method::GET, paid: false };

    fn failure(endpoint: Endpoint, status: u16, body: &str) -> Failure {
        classify(endpoint, status, Some(body.as_bytes()), None).expect("a failure").0
    }

    #[test]
    fn an_error_body_is_told_from_a_success() {
        let behind = |body: &str| ErrorBody::behind_success(body.as_bytes());
        let key = r#"{"code":429,"message":"m","errorKey":"USER_CONCURRENCY_LIMIT_EXCEEDED","traceId":"t"}"#;
        assert_eq!(behind(key).expect("an error").code(), Some(429));
        assert_eq!(behind(r#"{"code":"400","message":"m"}"#).expect("an error").code(), Some(400));
        assert_eq!(behind(r#"{"errorKey":"X"}"#).expect("an error").code(), None);
        for fine in [
            r#"{"status":"accepted","task_id":"321","errorKey":null}"#,
            r#"{"status":"accepted","task_id":"321","errorKey":""}"#,
            r#"{"status":"accepted","task_id":"321","traceId":"t"}"#,
            r#"{"code":0,"message":"ok","status":"accepted"}"#,
            r#"{"code":201,"message":"ok","status":"accepted"}"#,
            r#"{"code":400}"#,
            r#"[{"errorKey":"X"}]"#,
        ] {
            assert!(behind(fine).is_none(), "{fine}");
        }
        for (body, speaks) in [
            (r#"{"code":400}"#, true),
            (r#"{"statusCode":400}"#, true),
            (r#"{"error":"Bad Request"}"#, true),
            (r#"{"task_id":"321"}"#, true),
            (r#"{"code":null}"#, false),
            ("{}", false),
            ("[400]", false),
            ("\"no\"", false),
            ("<html>", false),
        ] {
            assert_eq!(ErrorBody::of_error_status(body.as_bytes()).is_some(), speaks, "{body}");
        }
    }

    #[test]
    fn a_refusal_is_the_apis_own_only_with_an_error_key_or_a_trace_id() {
        let own = [
            r#"{"code":404,"message":"Not found","errorKey":"NOT_FOUND","traceId":"t"}"#,
            r#"{"errorKey":"NOT_FOUND"}"#,
            r#"{"message":"Not found","traceId":"t"}"#,
            "\u{feff}{\"errorKey\":\"NOT_FOUND\",\"errorKey\":\"NOT_FOUND\"}",
        ];
        let gateways = [
            r#"{"message":"no Route matched with those values"}"#,
            r#"{"message":"no Route matched with those values","request_id":"4c1d"}"#,
            r#"{"statusCode":404,"error":"Not Found","message":"Cannot GET /external/x"}"#,
            r#"{"code":404,"message":"Not found","errorKey":"","traceId":null}"#,
            r#"{"code":404,"message":"Not found","errorKey":17}"#,
            r#"{"detail":"Not Found"}"#,
            "<html><h1>403 Forbidden</h1><hr>nginx</html>",
            "default backend - 404",
            "",
        ];
        for status in [400, 401, 402, 403, 404, 409, 422] {
            let refused = Failure::Refused(Refusal::from_status(status, None).expect("in the matrix"));
            for endpoint in [PAID, READ] {
                for body in own {
                    assert_eq!(failure(endpoint, status, body), refused, "{status} {body}");
                }
                for body in gateways {
                    assert_eq!(failure(endpoint, status, body), Failure::Unknown, "{status} {body}");
                }
            }
        }
    }

    #[test]
    fn the_limit_of_a_submission_is_read_from_its_details() {
        let limit = |details: &str, key: &str| {
            let body = format!(
                r#"{{"code":422,"message":"m","errorKey":"{key}","traceId":"t","details":{details}}}"#
            );
            let (failure, error) = classify(PAID, 422, Some(body.as_bytes()), None).expect("an error");
            assert_eq!(failure, Failure::Refused(Refusal::Invalid));
            error.and_then(|error| error.most_contacts).map(NonZeroU16::get)
        };
        let documented = r#"{"requestedCount":2001,"limit":2000,"selectionMode":"ids"}"#;
        assert_eq!(limit(documented, TOO_MANY_CONTACTS), Some(2_000));
        assert_eq!(limit(documented, "SOMETHING_ELSE"), None);
        for odd in ["null", "[]", "7", "{}", r#"{"limit":0}"#, r#"{"limit":-1}"#, r#"{"limit":"20"}"#] {
            assert_eq!(limit(odd, TOO_MANY_CONTACTS), None, "{odd}");
        }
    }

    #[test]
    fn the_slot_of_a_search_is_told_from_the_rate_limit() {
        let limited = Failure::Refused(Refusal::RateLimited { retry_after_ms: None });
        let body = |key: &str| {
            format!(r#"{{"code":429,"message":"m","errorKey":"{key}","traceId":"t","data":null}}"#)
        };
        for (status, key, expected) in [
            (200, SLOT_TAKEN, Failure::Refused(Refusal::SlotTaken)),
            (200, "SOMETHING_NEW", Failure::Refused(Refusal::SlotTaken)),
            (200, RATE_LIMITED, limited),
            (429, SLOT_TAKEN, Failure::Refused(Refusal::SlotTaken)),
            (429, RATE_LIMITED, limited),
            (429, "SOMETHING_NEW", limited),
        ] {
            assert_eq!(failure(PAID, status, &body(key)), expected, "{status} {key}");
        }
    }

    #[test]
    fn an_error_with_http_200_is_known_by_its_key_when_it_has_no_code() {
        let refused = |status| Failure::Refused(Refusal::from_status(status, None).expect("in the matrix"));
        for (body, expected) in [
            (r#"{"errorKey":"USER_HAS_NO_FEATURE"}"#, refused(400)),
            (r#"{"code":"USER_HAS_NO_FEATURE","errorKey":"USER_HAS_NO_FEATURE"}"#, refused(400)),
            (r#"{"errorKey":"EVENT_NOT_UNLOCKED","message":"m"}"#, refused(400)),
            (r#"{"errorKey":"CREDIT_OPERATION_IN_PROGRESS"}"#, refused(409)),
            (r#"{"errorKey":"NO_ACTIVE_SUBSCRIPTION"}"#, refused(403)),
            (r#"{"errorKey":"USER_CONCURRENCY_LIMIT_EXCEEDED"}"#, Failure::Refused(Refusal::SlotTaken)),
            (r#"{"errorKey":"SOMETHING_NEW"}"#, Failure::Unknown),
            (r#"{"code":500,"errorKey":"INVALID_REQUEST"}"#, Failure::Unknown),
        ] {
            assert_eq!(failure(PAID, 200, body), expected, "{body}");
        }
    }

    #[test]
    fn an_error_that_names_a_task_is_no_refusal_of_a_paid_call() {
        for (status, body) in [
            (409, r#"{"code":409,"errorKey":"STATE_CONFLICT","traceId":"t","task_id":"321"}"#),
            (400, r#"{"errorKey":"INVALID_REQUEST","taskId":321}"#),
            (200, r#"{"code":400,"message":"m","errorKey":"X","job_id":"321"}"#),
            (504, r#"{"task_id":"321"}"#),
            (409, r#"{"code":409,"errorKey":"STATE_CONFLICT","traceId":"t","details":{"task_id":"321"}}"#),
            (409, r#"{"errorKey":"STATE_CONFLICT","task_id":null,"details":{"jobId":321,"limit":1}}"#),
        ] {
            let (failure, error) = classify(PAID, status, Some(body.as_bytes()), None).expect("an error");
            assert_eq!(failure, Failure::Unknown, "{body}");
            let task_id = error.and_then(|error| error.task_id).expect("evidence");
            assert_eq!(task_id.as_str(), "321", "{body}");
        }
        let gone = r#"{"code":404,"errorKey":"NOT_FOUND","taskId":"321"}"#;
        assert_eq!(failure(READ, 404, gone), Failure::Refused(Refusal::NotFound), "it is what was asked for");
    }
}
