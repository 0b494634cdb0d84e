//! Connections that can be cut at a chosen byte.
//!
//! A client must be tested with answers that stop half way, and with connections that close or are reset
//! without an answer. HTTP servers prevent this, so the sandbox gives its server its own sockets: a [`Link`]
//! passes bytes on until its [`Cutter`] says where to stop. From there on every write fails, and the server
//! drops the connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::sandbox::lock::lock;

/// The bytes between the head and the body of an HTTP answer.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Where an answer stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Cut {
    /// Nothing is sent; the connection closes normally.
    Close,
    /// Nothing is sent; the connection is reset (TCP RST).
    Reset,
    /// This many bytes are sent, the head included.
    After(usize),
    /// The head is sent, and this many bytes of the body.
    InBody(usize),
}

#[derive(Default)]
struct Plan {
    cut: Option<Cut>,
    /// How many bytes of [`END_OF_HEAD`] the last written bytes matched.
    matched: usize,
    severed: bool,
}

/// With this a request's handler cuts its own connection.
#[derive(Clone)]
pub(in crate::sandbox) struct Cutter(Arc<Wire>);

struct Wire {
    peer: IpAddr,
    plan: Mutex<Plan>,
    waker: AtomicWaker,
}

impl Cutter {
    pub(in crate::sandbox) fn new(peer: IpAddr) -> Self {
        Self(Arc::new(Wire { peer, plan: Mutex::default(), waker: AtomicWaker::new() }))
    }

    /// The address at the other end.
    pub(in crate::sandbox) fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// Applies from the next written byte on, so call it before the answer is sent.
    pub(in crate::sandbox) fn plan(&self, cut: Cut) {
        lock(&self.0.plan).cut = Some(cut);
    }

    /// Where the answer will be cut.
    pub(in crate::sandbox) fn planned(&self) -> Option<Cut> {
        lock(&self.0.plan).cut
    }

    /// A new request has come on this connection: the plan for the last answer is over.
    pub(in crate::sandbox) fn spare(&self) {
        let mut plan = lock(&self.0.plan);
        plan.cut = None;
        plan.matched = 0;
    }

    /// Ends the connection now, in any state.
    fn sever(&self) {
        lock(&self.0.plan).severed = true;
        self.0.waker.wake();
    }

    fn severed(&self) -> bool {
        lock(&self.0.plan).severed
    }
}

impl Plan {
    /// How many of these bytes may still be sent, and whether the end is a reset.
    fn allowed(&self, bytes: &[u8]) -> (usize, bool) {
        match self.cut {
            None => (bytes.len(), false),
            Some(Cut::Close) => (0, false),
            Some(Cut::Reset) => (0, true),
            Some(Cut::After(left)) => (left.min(bytes.len()), false),
            Some(Cut::InBody(left)) => {
                let head = self.rest_of_head(bytes);
                (head + left.min(bytes.len() - head), false)
            }
        }
    }

    fn rest_of_head(&self, bytes: &[u8]) -> usize {
        let mut matched = self.matched;
        for (at, byte) in bytes.iter().enumerate() {
            if matched == END_OF_HEAD.len() {
                return at;
            }
            matched = next_match(matched, *byte);
        }
        bytes.len()
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let head = self.rest_of_head(bytes);
        if matches!(self.cut, Some(Cut::InBody(_))) {
            for byte in &bytes[..head] {
                self.matched = next_match(self.matched, *byte);
            }
        }
        match &mut self.cut {
            Some(Cut::After(left)) => *left -= bytes.len(),
            Some(Cut::InBody(left)) => *left -= bytes.len() - head,
            _ => {}
        }
    }
}

fn next_match(matched: usize, byte: u8) -> usize {
    if byte == END_OF_HEAD[matched] { matched + 1 } else { usize::from(byte == END_OF_HEAD[0]) }
}

/// A socket for the HTTP server.
pub(in crate::sandbox) struct Link {
    stream: TcpStream,
    cutter: Cutter,
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.cutter.0.waker.register(context.waker());
        if self.cutter.severed() {
            return Poll::Ready(Err(gone()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cutter.0.waker.register(context.waker());
        let wire = self.cutter.0.clone();
        let mut plan = lock(&wire.plan);
        let (allowed, reset) = plan.allowed(bytes);
        if plan.severed || (allowed == 0 && !bytes.is_empty()) {
            if reset {
                // If this fails, the connection closes normally: the answer is lost in both cases.
                self.stream.set_zero_linger().ok();
            }
            return Poll::Ready(Err(gone()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, &bytes[..allowed]);
        if let Poll::Ready(Ok(count)) = &written {
            plan.wrote(&bytes[..*count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Every open connection, so that stopping the sandbox ends them all.
#[derive(Clone, Default)]
pub(in crate::sandbox) struct Links(Arc<Mutex<Vec<Weak<Wire>>>>);

impl Links {
    fn add(&self, cutter: &Cutter) {
        let mut links = lock(&self.0);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&cutter.0));
    }

    pub(in crate::sandbox) fn sever_all(&self) {
        for wire in lock(&self.0).drain(..).filter_map(|link| link.upgrade()) {
            Cutter(wire).sever();
        }
    }
}

/// The listening socket.
pub(in crate::sandbox) struct Door {
    listener: TcpListener,
    links: Links,
}

impl Door {
    pub(in crate::sandbox) fn new(listener: TcpListener, links: &Links) -> Self {
        Self { listener, links: links.clone() }
    }
}

impl Listener for Door {
    type Io = Link;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Link, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // If this fails, the connection is only slower.
        stream.set_nodelay(true).ok();
        let cutter = Cutter::new(address.ip());
        self.links.add(&cutter);
        (Link { stream, cutter }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Cutter {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().cutter.clone()
    }
}
