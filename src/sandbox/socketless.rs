//! A sandbox that is called directly, for simulations: no socket, no real time.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use futures_util::stream;

use super::options::Options;
use super::server::Sandbox;
use super::state::shared::Shared;
use super::wire::link::{Cut, Cutter, Links};
use super::wire::serve;

/// A sandbox without a socket: only [`Sandbox::call`] reaches it.
pub fn without_socket(options: Options) -> Sandbox {
    let address = options.listen;
    Sandbox { address, shared: Arc::new(Shared::new(options)), links: Links::default(), server: None }
}

impl Sandbox {
    /// Answers one call without a socket. `None`: the connection ends without an answer. A truncated answer
    /// ends in an error; an answer that never comes keeps the caller waiting.
    pub async fn call(&self, request: Request) -> Option<Response> {
        let cutter = Cutter::new(self.address().ip());
        let connection = ConnectInfo(cutter.clone());
        let response = serve::serve(State(Arc::clone(&self.shared)), connection, request).await;
        match cutter.planned() {
            None => Some(response),
            Some(Cut::InBody(left)) => Some(cut_short(response, left).await),
            Some(Cut::Close | Cut::Reset | Cut::After(_)) => None,
        }
    }
}

async fn cut_short(response: Response, left: usize) -> Response {
    let (head, body) = response.into_parts();
    // The sandbox built the body itself, from bytes in memory.
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let part: Result<Bytes, io::Error> = Ok(bytes.slice(..left.min(bytes.len())));
    let broken = Err(io::ErrorKind::ConnectionReset.into());
    Response::from_parts(head, Body::from_stream(stream::iter([part, broken])))
}
