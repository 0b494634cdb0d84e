//! From request to response: reads the request, and applies faults to the answer.
//!
//! `routes` has already decided what takes effect; from here on only the transport can fail. The journal gets
//! the status just before the answer is sent, so a client that has read an answer finds it there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Query, Request, State as Held};
use axum::http::StatusCode;
use axum::http::request::Parts as RequestHead;
use axum::http::response::Parts;
use axum::response::Response;
use serde_json::{Value, json};

use super::link::{Cut, Cutter};
use crate::sandbox::faults::alter::alter;
use crate::sandbox::faults::breakage::{damage, drip, page};
use crate::sandbox::faults::kinds::{FaultKind, Loss};
use crate::sandbox::lock::lock;
use crate::sandbox::routes::decide;
use crate::sandbox::state::clock::millis;
use crate::sandbox::state::journal::Call;
use crate::sandbox::state::shared::Shared;
use crate::sandbox::state::slots::Held as Places;
use crate::sandbox::words::answer::{Answer, refuse};
use crate::sandbox::words::asked::Asked;
use crate::sandbox::words::headers::{add, bearer, header, set};
use crate::sandbox::words::route::Route;

/// Larger than any request of the API: 2000 ids of 20 digits are 46 kB.
const MOST_REQUEST_BYTES: usize = 1 << 20;

/// Handles every request.
pub(in crate::sandbox) async fn serve(
    Held(shared): Held<Arc<Shared>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    request: Request,
) -> Response {
    cutter.spare();
    let (head, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MOST_REQUEST_BYTES).await else {
        // Too large, or cut off by its sender: in both cases it was not received completely.
        let (head, bytes) = dress(&shared, &refuse(413));
        return Response::from_parts(head, Body::from(bytes));
    };
    let asked = Arc::new(read(&head, &bytes, cutter.peer()));
    let call = journal_entry(&shared, &head, &asked);
    let seq = lock(&shared.state).journal.open(call);
    let decision = decide::decide(&shared, &mut lock(&shared.state), seq, &asked);
    let under_way = UnderWay { shared: &shared, places: Some(decision.held) };
    let answer = match (decision.answer, &decision.fault) {
        (Some(answer), _) => answer,
        (None, Some(FaultKind::Late(wait))) => carry_out_late(&shared, seq, asked, *wait).await,
        (None, _) => {
            let reset = decision.fault == Some(FaultKind::LostRequest { reset: true });
            cutter.plan(if reset { Cut::Reset } else { Cut::Close });
            return Response::default();
        }
    };
    let fault = decision.fault.as_ref();
    let answer = decide::with_limits(&shared, alter(answer, fault), decision.admission, fault);
    // A call whose answer is lost has ended; only its answer is missing.
    let _under_way = (!matches!(fault, Some(FaultKind::LostAnswer(_)))).then_some(under_way);
    Wire { shared: &shared, cutter: &cutter, seq }.send(&answer, fault).await
}

/// A call that keeps its places until its answer is sent, or its client has gone.
struct UnderWay<'a> {
    shared: &'a Shared,
    places: Option<Places>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            lock(&self.shared.state).slots.leave(places);
        }
    }
}

fn journal_entry(shared: &Shared, head: &RequestHead, asked: &Asked) -> Call {
    let path = head.uri.path_and_query();
    Call {
        at_ms: shared.clock.now_ms(),
        real_at: Instant::now(),
        method: head.method.to_string(),
        path: path.map_or_else(String::new, ToString::to_string),
        key: asked.key.clone(),
        request_id: header(&head.headers, "x-request-id"),
        call_source: asked.call_source.clone(),
        body: asked.body.clone().unwrap_or(Value::Null),
        carried_out: false,
        status: None,
        fault: None,
    }
}

fn read(head: &RequestHead, bytes: &[u8], address: IpAddr) -> Asked {
    let content_type = header(&head.headers, "content-type").unwrap_or_default();
    let is_json = content_type.starts_with("application/json");
    let query = Query::try_from_uri(&head.uri).map(|Query(pairs)| pairs);
    Asked {
        route: Route::of(&head.method, head.uri.path()),
        query: query.unwrap_or_default(),
        key: bearer(&head.headers),
        call_source: header(&head.headers, "x-call-source"),
        address,
        body: is_json.then(|| serde_json::from_slice(bytes).ok()).flatten(),
    }
}

/// On its own task, so that it happens even if the client gives up first.
async fn carry_out_late(shared: &Arc<Shared>, seq: u64, asked: Arc<Asked>, wait: Duration) -> Answer {
    let shared = Arc::clone(shared);
    let due_ms = shared.clock.now_ms() + millis(wait);
    let work = tokio::spawn(async move {
        shared.clock.wait_until(due_ms).await;
        let mut state = lock(&shared.state);
        let (answer, places) = decide::carry_out(&mut state, seq, &asked, shared.clock.now_ms());
        state.slots.leave(places);
        answer
    });
    // It fails only by a panic, which the server answers in its own way.
    work.await.unwrap_or_else(|_| refuse(500))
}

/// The head and body of an answer without a fault.
fn dress(shared: &Shared, answer: &Answer) -> (Parts, Bytes) {
    let trace_id = uuid::Uuid::new_v4().to_string();
    let mut body = answer.body.clone();
    if answer.is_error() {
        body["traceId"] = json!(trace_id);
    }
    let bytes = match body {
        Value::Null => Bytes::new(),
        body => Bytes::from(body.to_string()),
    };
    let (mut head, ()) = axum::http::Response::new(()).into_parts();
    head.status = status(answer.status);
    let date_ms = u64::try_from(shared.clock.now_ms() + shared.clock_skew_ms).unwrap_or_default();
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(date_ms));
    set(&mut head, "content-type", "application/json; charset=utf-8");
    if !answer.foreign {
        set(&mut head, "x-request-id", &trace_id);
    }
    set(&mut head, "date", &date);
    for (name, value) in &answer.headers {
        add(&mut head, name, value);
    }
    (head, bytes)
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The connection back to one client.
struct Wire<'a> {
    shared: &'a Shared,
    cutter: &'a Cutter,
    seq: u64,
}

impl Wire<'_> {
    async fn send(&self, answer: &Answer, fault: Option<&FaultKind>) -> Response {
        let (mut head, bytes) = dress(self.shared, answer);
        let body = match fault {
            Some(FaultKind::LostAnswer(loss)) => match self.lose(&mut head, bytes, *loss).await {
                Some(body) => body,
                None => return Response::default(),
            },
            Some(FaultKind::Slow(wait)) => {
                tokio::time::sleep(*wait).await;
                Body::from(bytes)
            }
            Some(FaultKind::Drip) => drip(bytes),
            Some(FaultKind::Broken(breakage)) => damage(&mut head, bytes, answer, *breakage),
            _ => Body::from(bytes),
        };
        self.answered(head.status);
        Response::from_parts(head, body)
    }

    fn answered(&self, status: StatusCode) {
        lock(&self.shared.state).journal.answered(self.seq, status.as_u16());
    }

    /// `None` if so little of the answer is sent that its content does not matter.
    async fn lose(&self, head: &mut Parts, bytes: Bytes, loss: Loss) -> Option<Body> {
        match loss {
            Loss::Close => self.cutter.plan(Cut::Close),
            Loss::Reset => self.cutter.plan(Cut::Reset),
            Loss::Timeout => std::future::pending().await,
            Loss::Cut(most) => {
                self.cutter.plan(Cut::After(most));
                return Some(Body::from(bytes));
            }
            Loss::Truncate => {
                self.cutter.plan(Cut::InBody(bytes.len() / 2));
                return Some(Body::from(bytes));
            }
            Loss::Page(code) => {
                head.status = status(code);
                return Some(page(head));
            }
        }
        None
    }
}
