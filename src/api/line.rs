//! The connection to the API: HTTP, or a test's replacement in the same process.
//!
//! A simulation decides itself when a request arrives and what happens to its answer, without a socket and
//! without real time. A [`Wire`] can be set only in code, not by configuration.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use reqwest::{Method, Request, RequestBuilder, Response, Url};

/// Carries a call to the API and its answer back, instead of HTTP.
pub trait Wire: fmt::Debug + Send + Sync {
    /// Carries one call. The body of a paid call is behind its gate: reading it sends it.
    fn carry(&self, request: Request) -> BoxFuture<'static, Carried>;
}

/// The result of a call on a [`Wire`].
#[derive(Debug)]
pub struct Carried {
    pub answer: Result<Response, Lost>,
    /// How long it took, by the test's clock.
    pub took: Duration,
}

/// Why a call on a [`Wire`] has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The connection was never established.
    NoConnection,
    /// The connection broke, or the time was over: the request may have arrived.
    NoAnswer,
}

/// The way on which calls are sent.
#[derive(Clone, Debug)]
pub(super) struct Line {
    http: reqwest::Client,
    wire: Option<Arc<dyn Wire>>,
    /// Whether a warning about invalid rate headers was already logged.
    has_warned: Arc<AtomicBool>,
}

/// A call without an answer.
pub(super) struct Unanswered {
    /// Whether it failed before the connection was established: no byte was sent.
    pub(super) before_connection: bool,
    pub(super) source: Option<reqwest::Error>,
}

impl Line {
    pub(super) fn new(http: reqwest::Client) -> Line {
        Line { http, wire: None, has_warned: Arc::default() }
    }

    pub(super) fn over(self, wire: Arc<dyn Wire>) -> Line {
        Line { wire: Some(wire), ..self }
    }

    /// Warns once about invalid rate headers: the next answers most likely have the same.
    pub(super) fn warn_of_odd_limits(&self, endpoint: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                endpoint,
                "the X-RateLimit headers of an answer make no sense and are ignored; the configured limit \
                 holds, and a 429 lowers it"
            );
        }
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends one request, once; also returns the time until its answer.
    pub(super) async fn send(&self, request: RequestBuilder) -> (Result<Response, Unanswered>, Duration) {
        let Some(wire) = &self.wire else {
            let started = Instant::now();
            let sent = request.send().await.map_err(Unanswered::from);
            return (sent, started.elapsed());
        };
        match request.build() {
            Ok(request) => {
                let carried = wire.carry(request).await;
                (carried.answer.map_err(Unanswered::from), carried.took)
            }
            Err(error) => (Err(error.into()), Duration::ZERO),
        }
    }
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Unanswered {
        let before_connection = error.is_connect() || error.is_builder();
        Unanswered { before_connection, source: Some(error.without_url()) }
    }
}

impl From<Lost> for Unanswered {
    fn from(lost: Lost) -> Unanswered {
        Unanswered { before_connection: lost == Lost::NoConnection, source: None }
    }
}
