//! The gate of a paid POST: the last check before its body goes out.
//!
//! The HTTP library gets the body behind the gate. When the library first asks for bytes, the caller's
//! `proceed` is called. If it says no, the body fails and only an incomplete request can reach the server: a
//! Content-Length without its bytes, which no server carries out.
//!
//! The call and the connection run in different tasks. The body must not be sent after the call has given up
//! (timeout, cancellation). So both sides decide the gate with one atomic exchange: it is either opened, and
//! then the request may take effect, or closed for ever.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};

const SHUT: u8 = 0;
const OPENED: u8 = 1;
const CLOSED: u8 = 2;

/// The caller's side. Dropping it closes the gate, so a cancelled call sends no body later.
pub(super) struct Gate(Arc<AtomicU8>);

impl Gate {
    /// Creates the gate and the body behind it. `proceed` is called at most once.
    pub(super) fn new(
        bytes: Vec<u8>,
        proceed: impl FnOnce() -> bool + Send + Sync + 'static,
    ) -> (Gate, reqwest::Body) {
        let state = Arc::new(AtomicU8::new(SHUT));
        let body = GatedBody {
            proceed: Some(Box::new(proceed)),
            state: Arc::clone(&state),
            inner: reqwest::Body::from(bytes),
        };
        (Gate(state), reqwest::Body::wrap(body))
    }

    /// Closes the gate for ever, unless it was opened. True: no byte of the body was or will be sent.
    pub(super) fn close(&self) -> bool {
        settle(&self.0, CLOSED)
    }

    /// Closes the gate after an answer. True: `proceed` had been asked, and had said no.
    pub(super) fn was_refused(&self) -> bool {
        let refused = self.0.load(Ordering::SeqCst) == CLOSED;
        self.close();
        refused
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}

/// Sets the gate to `wish` unless it is already decided. True: its state is now `wish`.
fn settle(state: &AtomicU8, wish: u8) -> bool {
    match state.compare_exchange(SHUT, wish, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => true,
        Err(settled) => settled == wish,
    }
}

struct GatedBody {
    proceed: Option<Box<dyn FnOnce() -> bool + Send + Sync>>,
    state: Arc<AtomicU8>,
    inner: reqwest::Body,
}

#[derive(Debug, thiserror::Error)]
#[error("the request was withdrawn before its body was sent")]
struct Withdrawn;

impl http_body::Body for GatedBody {
    type Data = <reqwest::Body as http_body::Body>::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(proceed) = self.proceed.take() {
            let wish = if proceed() { OPENED } else { CLOSED };
            settle(&self.state, wish);
        }
        if self.state.load(Ordering::SeqCst) != OPENED {
            return Poll::Ready(Some(Err(Box::new(Withdrawn))));
        }
        Pin::new(&mut self.inner).poll_frame(cx).map_err(Into::into)
    }

    /// Exact, so that the request has a Content-Length and is not chunked.
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body::Body as _;

    use super::*;

    fn first_poll(body: &mut reqwest::Body) -> bool {
        let poll = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        matches!(poll, Poll::Ready(Some(Ok(_))))
    }

    #[test]
    fn a_closed_gate_never_opens_again() {
        let (gate, mut body) = Gate::new(b"{}".to_vec(), || true);
        assert!(gate.close(), "nothing went out");
        assert!(!first_poll(&mut body));
    }

    #[test]
    fn an_opened_gate_cannot_be_closed() {
        let (gate, mut body) = Gate::new(b"{}".to_vec(), || true);
        assert!(first_poll(&mut body));
        assert!(!gate.close(), "the body went out");
    }

    #[test]
    fn a_call_that_was_dropped_sends_no_body_later() {
        let (gate, mut body) = Gate::new(b"{}".to_vec(), || true);
        drop(gate);
        assert!(!first_poll(&mut body));
    }

    #[test]
    fn a_refusal_to_proceed_keeps_the_body_back() {
        let (gate, mut body) = Gate::new(b"{}".to_vec(), || false);
        assert!(!first_poll(&mut body));
        assert!(!first_poll(&mut body), "asked again, it is still withdrawn");
        assert!(gate.close());
    }
}
