//! Sends one call and reads its answer: headers, size limit, log event.
//!
//! Every call ends in one of three ways that differ in what is *known*: certainly not sent, refused by the
//! API itself, or unknown. For a paid POST everything unproven counts as unknown, since it may have been
//! charged. A call is sent once: nothing here retries.
//!
//! Each call writes one log event. It contains ids and figures, and nothing from a body.

use std::time::Instant;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, Response, Url};
use secrecy::ExposeSecret;

use super::classify::{classify, describe};
use super::endpoint::{Endpoint, REQUEST_ID};
use super::error::ApiError;
use super::gate::Gate;
use super::json::{ABSURD, Broken};
use super::line::{Line, Unanswered};
use super::{Answer, Caller, encoding, headers};
use crate::domain::failure::Failure;
use crate::domain::rate::RateHeaders;
use crate::domain::{Millis, TaskId};

/// The largest answer that is read, packed or unpacked: a task of 2000 items is well below 1 MiB.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// The same for a task. A task with a huge item is still read: the other items are paid for.
const LARGEST_TASK: usize = 32 * 1024 * 1024;

/// One call, ready to be sent.
pub(super) struct Call<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) url: Url,
    pub(super) caller: Caller<'a>,
    /// Our clock at the start of the call.
    pub(super) now: Millis,
    pub(super) task_id: Option<&'a TaskId>,
    /// `x-call-source`, for calls that spend.
    pub(super) call_source: Option<&'static str>,
    /// The JSON body, and its gate if the call spends.
    pub(super) body: Option<reqwest::Body>,
    pub(super) gate: Option<Gate>,
}

/// A call that has ended. [`Exchange::conclude`] turns it into an [`Answer`] and logs it.
pub(super) struct Exchange<'a> {
    endpoint: Endpoint,
    path: String,
    caller: Caller<'a>,
    task_id: Option<&'a TaskId>,
    started: Instant,
    status: Option<u16>,
    rate: Option<RateHeaders>,
    ahead_ms: Option<i64>,
    retry_after_ms: Option<i64>,
    body: Result<Vec<u8>, ApiError>,
}

/// Sends the call, once, and reads its whole answer.
pub(super) async fn exchange<'a>(line: &Line, call: Call<'a>) -> Exchange<'a> {
    let started = Instant::now();
    let mut exchange = Exchange {
        endpoint: call.endpoint,
        path: call.url.path().to_owned(),
        caller: call.caller,
        task_id: call.task_id,
        started,
        status: None,
        rate: None,
        ahead_ms: None,
        retry_after_ms: None,
        body: Ok(Vec::new()),
    };
    let request = request(line, call.endpoint, &call.caller, call.url, call.call_source, call.body);
    let (sent, took) = line.send(request).await;
    let took_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let now = call.now.plus(took_ms);

    let withheld = match (&call.gate, &sent) {
        // The body stayed behind the gate, so the call had no effect. If there is an answer, the gate is only
        // asked: an answer that came before the body is still an answer.
        (Some(gate), Err(_)) => gate.close(),
        (Some(gate), Ok(_)) => gate.was_refused(),
        (None, _) => false,
    };
    match sent {
        Err(error) => {
            exchange.body = Err(unanswered(call.endpoint, withheld, error));
        }
        Ok(_) if withheld => {
            exchange.body = Err(ApiError::new(call.endpoint, Failure::NotSent));
        }
        Ok(response) => {
            exchange.status = Some(response.status().as_u16());
            exchange.rate = match headers::rate(response.headers(), now, took_ms) {
                headers::Limit::Told(rate) => Some(rate),
                headers::Limit::Untold => None,
                headers::Limit::Odd => {
                    line.warn_of_odd_limits(call.endpoint.name);
                    None
                }
            };
            exchange.ahead_ms = headers::ahead_ms(response.headers(), now);
            exchange.retry_after_ms = headers::retry_after_ms(response.headers(), now);
            let most = if call.task_id.is_some() { LARGEST_TASK } else { LARGEST_ANSWER };
            let waits = exchange.retry_after_ms;
            exchange.body = read(call.endpoint, &call.caller, response, (waits, most)).await;
        }
    }
    exchange
}

fn request(
    line: &Line,
    endpoint: Endpoint,
    caller: &Caller<'_>,
    url: Url,
    call_source: Option<&'static str>,
    body: Option<reqwest::Body>,
) -> reqwest::RequestBuilder {
    // `bearer_auth` marks the header sensitive, so that no library prints it.
    let mut request = line
        .request(endpoint.method.clone(), url)
        .bearer_auth(caller.key.expose_secret())
        .header(REQUEST_ID, caller.request_id.to_string())
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "identity");
    if endpoint.paid && *endpoint.method == Method::GET {
        // Whatever is in between neither keeps the answer nor gives an old one.
        request = request.header(CACHE_CONTROL, "no-cache, no-store");
    }
    if let Some(source) = call_source {
        request = request.header("x-call-source", source);
    }
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, "application/json").body(body);
    }
    request
}

/// A call without an answer. It was certainly not sent if it failed before the connection was established, or
/// if its body stayed behind the gate; a timeout proves nothing.
fn unanswered(endpoint: Endpoint, withheld: bool, sent: Unanswered) -> ApiError {
    let not_sent = withheld || sent.before_connection;
    let failure = if not_sent { Failure::NotSent } else { Failure::Unknown };
    ApiError { source: sent.source, ..ApiError::new(endpoint, failure) }
}

/// Reads an answer to its end and classifies it; returns the bytes of a success.
async fn read(
    endpoint: Endpoint,
    caller: &Caller<'_>,
    response: Response,
    (retry_after_ms, most): (Option<i64>, usize),
) -> Result<Vec<u8>, ApiError> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = read_capped(response, most).await;
    let body =
        body.and_then(|bytes| encoding::plain(bytes, encoding.trim(), most).map_err(BodyFault::Packed));
    let bytes = body.as_deref().ok();
    let Some((failure, error_body)) = classify(endpoint, status, bytes, retry_after_ms) else {
        return body.map_err(|fault| fault.into_error(endpoint, status, most));
    };
    let mut error = describe(endpoint, caller, status, &headers, error_body.unwrap_or_default());
    error.failure = failure;
    if let Err(fault) = body {
        let fault = fault.into_error(endpoint, status, most);
        error.message = error.message.or(fault.message);
        error.source = fault.source;
    }
    Err(error)
}

/// Why a body was not read completely.
enum BodyFault {
    TooLarge,
    Lost(reqwest::Error),
    Packed(encoding::Fault),
}

impl BodyFault {
    fn into_error(self, endpoint: Endpoint, status: u16, most: usize) -> ApiError {
        let error = ApiError { status: Some(status), ..ApiError::new(endpoint, Failure::Unknown) };
        let (message, source) = match self {
            BodyFault::TooLarge | BodyFault::Packed(encoding::Fault::TooLarge) => {
                (format!("the answer is larger than {} MiB", most >> 20), None)
            }
            BodyFault::Packed(encoding::Fault::Unreadable) => {
                ("the answer is compressed, and cannot be unpacked".to_owned(), None)
            }
            BodyFault::Lost(source) => ("the answer broke off".to_owned(), Some(source.without_url())),
        };
        ApiError { message: Some(message.into()), source, ..error }
    }
}

/// Reads the body; if it is too large, it is dropped together with its connection.
async fn read_capped(mut response: Response, most: usize) -> Result<Vec<u8>, BodyFault> {
    let mut bytes = Vec::new();
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(BodyFault::TooLarge);
    }
    while let Some(chunk) = response.chunk().await.map_err(BodyFault::Lost)? {
        if bytes.len() + chunk.len() > most {
            return Err(BodyFault::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

impl ApiError {
    pub(super) fn new(endpoint: Endpoint, failure: Failure) -> ApiError {
        ApiError {
            endpoint: endpoint.name,
            failure,
            status: None,
            error_key: None,
            trace_id: None,
            task_id: None,
            most_contacts: None,
            message: None,
            absurd: false,
            paid: endpoint.paid,
            source: None,
        }
    }
}

impl Exchange<'_> {
    /// Reads the body of a success with `read`, logs the call, and returns the answer. `task_of` returns the
    /// task of the answer, if the call itself did not name one.
    pub(super) fn conclude<T>(
        self,
        read: impl FnOnce(&[u8]) -> Result<T, Broken>,
        task_of: impl FnOnce(&T) -> Option<&TaskId>,
    ) -> Answer<T> {
        let (endpoint, status) = (self.endpoint, self.status);
        let mut log = self;
        let body = std::mem::replace(&mut log.body, Ok(Vec::new()));
        let result = body.and_then(|bytes| {
            read(&bytes).map_err(|Broken(reason)| ApiError {
                status,
                absurd: reason == ABSURD,
                message: Some(reason.into()),
                ..ApiError::new(endpoint, Failure::Unknown)
            })
        });
        let task_id = result.as_ref().ok().and_then(task_of).or(log.task_id);
        log.write(task_id, result.as_ref().err());
        Answer {
            // A success needs no retry.
            retry_after_ms: log.retry_after_ms.filter(|_| result.is_err()),
            result,
            rate: log.rate,
            ahead_ms: log.ahead_ms,
            endpoint: endpoint.name,
            status,
            took: log.started.elapsed(),
        }
    }

    fn write(&self, task_id: Option<&TaskId>, error: Option<&ApiError>) {
        // A log level must be known at compile time, so this is a macro.
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    method = self.endpoint.method.as_str(),
                    path = self.path,
                    status = self.status,
                    request_id = %self.caller.request_id,
                    trace_id = error.and_then(|error| error.trace_id.as_deref()),
                    error_key = error.and_then(|error| error.error_key.as_deref()),
                    account = self.caller.account.as_str(),
                    job_id = self.caller.job_id.map(|id| id.0),
                    task_id = task_id.map(TaskId::as_str),
                    event_id = self.caller.event_id.map(|id| id.as_str()),
                    duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "call to the API"
                )
            };
        }
        match error {
            None => event!(tracing::Level::INFO),
            Some(_) => event!(tracing::Level::WARN),
        }
    }
}
