//! A relay before the sandbox that records the traffic, independent of both sides. It may also change
//! answers, as a gateway or another version of the API would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

/// One call and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// `Null` if there is none.
    pub(crate) body: Value,
    pub(crate) status: u16,
    pub(crate) answer_headers: BTreeMap<String, String>,
    pub(crate) answer: Value,
}

/// How an answer is changed; `None` leaves it unchanged.
pub(crate) type Change = dyn FnMut(&Exchange) -> Option<Altered> + Send;

/// An answer instead of the API's own.
pub(crate) struct Altered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Altered {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Option<Altered> {
        Some(Altered { status, headers: Vec::new(), body: body.into() })
    }
}

#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) base_url: String,
    sandbox: String,
    http: reqwest::Client,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    change: Arc<Mutex<Option<Box<Change>>>>,
}

impl Relay {
    /// Serves on a free port, as long as the runtime lives.
    pub(crate) async fn start(sandbox: String) -> Relay {
        // Fails if one is already installed, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        let http = http.build().expect("a client");
        let relay = Relay { base_url, sandbox, http, exchanges: Arc::default(), change: Arc::default() };
        let router = Router::new().fallback(pass).with_state(relay.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        relay
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes answers from now on.
    pub(crate) fn change(&self, change: impl FnMut(&Exchange) -> Option<Altered> + Send + 'static) {
        *self.change.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(change));
    }

    /// A call of the test's own.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth("uak_test_1");
        let request = if body.is_null() { request } else { request.json(&body) };
        request.send().await.expect("an answer");
    }
}

async fn pass(State(relay): State<Relay>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("the whole request");
    let path = head.uri.to_string();
    let mut headers = head.headers.clone();
    headers.remove("host");
    let onward = relay.http.request(head.method.clone(), format!("{}{path}", relay.sandbox));
    let answer = onward.headers(headers).body(bytes.clone()).send().await.expect("the sandbox answers");
    let (status, answer_headers) = (answer.status(), answer.headers().clone());
    let answer_bytes = answer.bytes().await.expect("the whole answer");
    let exchange = Exchange {
        method: head.method.to_string(),
        path,
        headers: texts(&head.headers),
        body: json(&bytes),
        status: status.as_u16(),
        answer_headers: texts(&answer_headers),
        answer: json(&answer_bytes),
    };
    let altered = relay
        .change
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_mut()
        .and_then(|change| change(&exchange));
    relay.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    if let Some(altered) = altered {
        let mut response = Response::new(Body::from(altered.body));
        *response.status_mut() = altered.status.try_into().expect("a status");
        for (name, value) in altered.headers {
            response.headers_mut().append(name, value.parse().expect("a header value"));
        }
        return response;
    }
    let mut response = Response::new(Body::from(answer_bytes));
    *response.status_mut() = status;
    *response.headers_mut() = answer_headers;
    response
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

/// `Null` if there is nothing; other text becomes a JSON string that no schema accepts.
fn json(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}
