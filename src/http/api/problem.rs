//! Errors of the HTTP API: RFC 9457 problems, each with what it means for the credits.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::StoreError;
use crate::worker::people::decide::Refusal;

const NOTHING: &str = "nothing was written, and nothing is spent";
const SENT: &str = "what was sent before may be paid for; nothing more is sent because of this call";
const UNKNOWN: &str = "the database failed in the middle: look at the request before you ask again; \
     with the same Idempotency-Key it is safe to ask again";

/// An error, as RFC 9457 has it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Problem {
    /// Says what is wrong, for programs: `urn:unlockd:problem:NAME`.
    #[schema(value_type = String, examples("urn:unlockd:problem:another-figure"))]
    r#type: String,
    #[schema(value_type = String)]
    pub(in crate::http) title: &'static str,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    pub(in crate::http) detail: String,
    /// What it means for the credits.
    #[schema(value_type = String)]
    pub(in crate::http) credits: &'static str,
    /// Seconds after which it makes sense to ask again.
    #[serde(skip)]
    retry_after: Option<i64>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, name: &str, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: format!("urn:unlockd:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            credits: NOTHING,
            retry_after: None,
            challenge: None,
        }
    }

    pub(super) fn no_token() -> Problem {
        let detail = "send the token of http.tokens.NAME: Authorization: Bearer TOKEN";
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "no-token", "No token", detail);
        Problem { challenge: Some("Bearer realm=\"unlockd\""), ..problem }
    }

    pub(super) fn wrong_token() -> Problem {
        let detail = "no http.tokens.NAME has this token";
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "wrong-token", "Wrong token", detail);
        Problem { challenge: Some("Bearer realm=\"unlockd\", error=\"invalid_token\""), ..problem }
    }

    pub(super) fn locked_out(seconds: i64) -> Problem {
        let detail = format!("too many wrong tokens from this address: no token is accepted for {seconds} s");
        let (status, name) = (StatusCode::TOO_MANY_REQUESTS, "too-many-wrong-tokens");
        let problem = Problem::new(status, name, "Too many wrong tokens", detail);
        Problem { retry_after: Some(seconds), ..problem }
    }

    pub(super) fn missing_scope(detail: String) -> Problem {
        let problem = Problem::new(StatusCode::FORBIDDEN, "missing-scope", "Missing scope", detail);
        Problem { challenge: Some("Bearer realm=\"unlockd\", error=\"insufficient_scope\""), ..problem }
    }

    pub(in crate::http) fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "not-allowed", "Not allowed", detail)
    }

    pub(super) fn over_daily_credits(detail: String) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "daily-credits", "Over the token's daily credits", detail)
    }

    pub(in crate::http) fn foreign_host(detail: &str) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "foreign-host", "Foreign host", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(super) fn method() -> Problem {
        let detail = "this address has no such method; see /api/v1/openapi.json";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    pub(super) fn too_large(most: usize) -> Problem {
        let detail = format!("the body holds more than {most} bytes: ask for fewer contacts in one request");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large", detail)
    }

    pub(super) fn not_json() -> Problem {
        let detail = "send the body as Content-Type: application/json";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "Not JSON", detail)
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed", "Not understood", detail)
    }

    /// It can be read, and makes no sense.
    pub(in crate::http) fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request", detail)
    }

    pub(super) fn conflict(name: &str, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, name, title, detail)
    }

    pub(in crate::http) fn busy() -> Problem {
        let detail = "too many requests at the same time; try again";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", detail);
        Problem { retry_after: Some(1), ..problem }
    }

    fn unavailable(credits: &'static str) -> Problem {
        let detail = "the database cannot be used at this moment; try again";
        let problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database", "Database unavailable", detail);
        Problem { retry_after: Some(5), credits, ..problem }
    }

    pub(super) fn outcome_unknown() -> Problem {
        Problem::unavailable(UNKNOWN)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        if let StoreError::Stale { .. } = error {
            return Problem::conflict("changed", "Changed in the meantime", error.to_string());
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "a call of the HTTP API failed");
        // Only what was read, or rolled back.
        let unknown = matches!(
            error,
            StoreError::Stopped | StoreError::Unconfirmed | StoreError::Database { step: "commit", .. }
        );
        Problem::unavailable(if unknown { UNKNOWN } else { NOTHING })
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Store(error) => error.into(),
            Refusal::Missing { .. } => Problem::not_found(detail),
            Refusal::AnotherQuote { .. } | Refusal::AnotherCost { .. } => {
                Problem::conflict("another-figure", "Another figure", detail)
            }
            Refusal::AllSent { .. } => {
                Problem { credits: SENT, ..Problem::conflict("all-sent", "Everything was sent", detail) }
            }
            Refusal::NotEstimated { .. } => Problem::conflict("not-estimated", "Not estimated yet", detail),
            _ => Problem::conflict("another-state", "Not in this state", detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
