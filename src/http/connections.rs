//! Limits on connections, so that slow or many clients keep nobody from `/healthz` and `/metrics`.
//!
//! A head must be whole within 5 s, and an answer must begin within 75 s of it, which is longer than the longest poll of
//! `GET /changes`. When all places are taken, the
//! connection that has waited longest for a request makes room for a new one: a probe, which sends its request at
//! once, is let in however many others wait. Requests for health and metrics have places of their own, since the
//! others have fewer places than there are connections ([`MOST_PAGES`]).
//!
//! Each open connection costs a file descriptor, which the database and the API need too.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Sleep};

/// A person's browser keeps six open, and a scraper one; two hundred callers of the HTTP API may come at once.
const MOST_CONNECTIONS: usize = 256;

/// Connections that are made and not accepted yet. The standard library allows 128; one more waits for a second, until
/// its system asks again.
const BACKLOG: u32 = 1_024;

/// Requests, other than those for health and metrics, that are answered at the same time.
pub(super) const MOST_PAGES: usize = 64;

/// Longer than any pause between two refreshes of the page.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// From the connection, or the first byte of a later request, to the end of its head. Clients send it at once.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// Requests of the HTTP API that are answered at the same time, and those that wait for a change. With the pages
/// they are fewer than the connections.
pub(super) const MOST_CALLS: usize = 16;
pub(super) const MOST_WAITING: usize = 32;

/// From the end of a request's head to the first byte of its answer. What may take a while is "Read now", which
/// asks the API, and a call that waits for a change, a minute at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);

#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    head_within: Duration,
    answer_within: Duration,
}

/// The address that a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

pub(super) struct BoundedListener {
    listener: TcpListener,
    room: Arc<Room>,
    limits: Limits,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> BoundedListener {
        let limits =
            Limits { connections: MOST_CONNECTIONS, head_within: HEAD_WITHIN, answer_within: ANSWER_WITHIN };
        BoundedListener { listener, room: Arc::default(), limits }
    }
}

impl Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (id, ended) = self.room.enter(self.limits.connections).await;
                    let seat = Seat { room: self.room.clone(), id };
                    return (Connection::new(stream, seat, ended, self.limits), peer);
                }
                // No file descriptor is free, or the client left before it was accepted.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Listens on an address, also when connections of an earlier process to it are still closing.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The connections that are open.
#[derive(Default)]
struct Room {
    open: Mutex<Open>,
    left: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Entry>,
}

struct Entry {
    /// Since when it waits for the whole head of a request; `None` while one is answered.
    waits_since: Option<Instant>,
    /// Dropped to end the connection.
    _end: oneshot::Sender<()>,
}

impl Room {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if need be that of the connection that has waited longest. The receiver tells when it is lost.
    async fn enter(&self, most: usize) -> (u64, oneshot::Receiver<()>) {
        loop {
            let left = self.left.notified();
            if let Some(entered) = self.open().enter(most) {
                return entered;
            }
            left.await;
        }
    }
}

impl Open {
    fn enter(&mut self, most: usize) -> Option<(u64, oneshot::Receiver<()>)> {
        if self.connections.len() >= most {
            let waiting = self.connections.iter().filter_map(|(id, entry)| Some((entry.waits_since?, *id)));
            let (_, longest) = waiting.min()?;
            self.connections.remove(&longest);
        }
        let (end, ended) = oneshot::channel();
        self.next += 1;
        self.connections.insert(self.next, Entry { waits_since: Some(Instant::now()), _end: end });
        Some((self.next, ended))
    }
}

/// A place in the room, until it is dropped.
struct Seat {
    room: Arc<Room>,
    id: u64,
}

impl Seat {
    fn waits(&self, since: Option<Instant>) {
        if let Some(entry) = self.room.open().connections.get_mut(&self.id) {
            entry.waits_since = since;
        }
        self.room.left.notify_one();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.open().connections.remove(&self.id);
        self.room.left.notify_one();
    }
}

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of the next request was read.
    Idle,
    /// A part of its head was read; these are the last bytes.
    Head(u32),
    /// Its head is whole, and nothing of its answer is written.
    Asked,
}

/// A connection that ends at its deadline, or when another one needs its place.
pub(super) struct Connection {
    stream: TcpStream,
    seat: Seat,
    ended: oneshot::Receiver<()>,
    deadline: Pin<Box<Sleep>>,
    limits: Limits,
    stage: Stage,
}

impl Connection {
    fn new(stream: TcpStream, seat: Seat, ended: oneshot::Receiver<()>, limits: Limits) -> Connection {
        // The first head is due at once: a client connects in order to ask.
        let deadline = Box::pin(tokio::time::sleep(limits.head_within));
        Connection { stream, seat, ended, deadline, limits, stage: Stage::Head(0) }
    }

    fn has_read(&mut self, bytes: &[u8]) {
        let last = match self.stage {
            Stage::Asked => return,
            Stage::Idle if bytes.is_empty() => return,
            // Only its first byte gives a request time; those after it do not.
            Stage::Idle => {
                self.deadline.as_mut().reset(Instant::now() + self.limits.head_within);
                0
            }
            Stage::Head(last) => last,
        };
        self.stage = match end_of_head(last, bytes) {
            Ok(last) => Stage::Head(last),
            Err(HeadIsWhole) => {
                self.seat.waits(None);
                self.deadline.as_mut().reset(Instant::now() + self.limits.answer_within);
                Stage::Asked
            }
        };
    }

    fn has_written(&mut self) {
        self.stage = Stage::Idle;
        self.seat.waits(Some(Instant::now()));
        self.deadline.as_mut().reset(Instant::now() + IDLE_FOR);
    }
}

struct HeadIsWhole;

/// Looks for the empty line after `last`, the bytes before; returns the last bytes when there is none.
fn end_of_head(last: u32, bytes: &[u8]) -> Result<u32, HeadIsWhole> {
    bytes.iter().try_fold(last, |last, byte| {
        let last = last << 8 | u32::from(*byte);
        let is_empty_line = last == 0x0d0a_0d0a || last & 0xffff == 0x0a0a || last & 0x00ff_ffff == 0x0a_0d0a;
        if is_empty_line { Err(HeadIsWhole) } else { Ok(last) }
    })
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            self.has_read(buffer.filled().get(before..).unwrap_or_default());
            return Poll::Ready(read);
        }
        if Pin::new(&mut self.ended).poll(context).is_pending() {
            ready!(self.deadline.as_mut().poll(context));
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.has_written();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A connection that finds no place in the queue waits until another one is accepted, and here none is.
    #[tokio::test]
    async fn all_callers_can_connect_at_once_while_none_is_accepted_yet() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = listener.local_addr().expect("bound");
        let connecting = (0..MOST_CONNECTIONS).map(|_| TcpStream::connect(address));
        let all = futures_util::future::try_join_all(connecting);
        let connected = tokio::time::timeout(Duration::from_secs(20), all).await;
        assert_eq!(connected.expect("none waits").expect("connected").len(), MOST_CONNECTIONS);
    }

    /// A server with a short time limit for requests, and this many places.
    async fn open(places: usize) -> SocketAddr {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = listener.local_addr().expect("bound");
        let within = Duration::from_millis(300);
        let limits = Limits { connections: places, head_within: within, answer_within: within };
        let door = BoundedListener { listener, room: Arc::default(), limits };
        let router = Router::new().route("/", get(|| async { "here" }).post(|body: String| async { body }));
        tokio::spawn(async move { axum::serve(door, router).await });
        address
    }

    /// Sends the beginning, then byte by byte until the server closes the connection.
    async fn trickle(stream: TcpStream, beginning: String) {
        let (mut read, mut write) = stream.into_split();
        write.write_all(beginning.as_bytes()).await.expect("sent");
        let sending = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while write.write_all(b"a").await.is_ok() {
                pace.tick().await;
            }
        });
        // The end of the answer, or a reset because of unread bytes.
        let _ = read.read_to_end(&mut Vec::new()).await;
        sending.abort();
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.expect("let in");
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[test]
    fn the_end_of_a_head_is_seen_however_its_bytes_arrive() {
        for head in ["GET / HTTP/1.1\r\na: b\r\n\r\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\n\r\n"] {
            for size in 1..=head.len() {
                let mut pieces = head.as_bytes().chunks(size);
                let all = pieces.try_fold(0, end_of_head);
                assert!(all.is_err(), "{head:?} in pieces of {size}");
                let (but_one, _) = head.as_bytes().split_at(head.len() - 1);
                assert!(
                    but_one.chunks(size).try_fold(0, end_of_head).is_ok(),
                    "{head:?} in pieces of {size}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_trickles_in_is_cut_off_and_others_are_served_meanwhile() {
        let head = "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
        let body = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n";
        let second = format!("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n{head}");
        for beginning in [head, body, &second] {
            let address = open(2).await;
            let first = TcpStream::connect(address).await.expect("let in");
            let slow = tokio::spawn(trickle(first, beginning.to_owned()));
            assert!(ask(address).await.ends_with("here"));
            let cut = tokio::time::timeout(Duration::from_secs(30), slow).await;
            cut.expect("cut off, and not waited for").expect("no panic");
        }
    }

    #[tokio::test]
    async fn whoever_waits_longest_for_a_request_makes_room() {
        let address = open(3).await;
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(TcpStream::connect(address).await.expect("let in"));
        }
        assert!(ask(address).await.ends_with("here"));
        // The first ones were cut off at once, and not at their deadline.
        let mut byte = [0];
        let ended = tokio::time::timeout(Duration::from_millis(200), silent[0].read(&mut byte)).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_place_that_a_slow_client_had_is_free_again() {
        let address = open(1).await;
        let first = TcpStream::connect(address).await.expect("let in");
        let slow = tokio::spawn(trickle(first, "GET / HTTP/1.1\r\nx-slow: ".to_owned()));
        let answer = tokio::time::timeout(Duration::from_secs(30), ask(address)).await;
        assert!(answer.expect("its turn comes").ends_with("here"));
        slow.await.expect("no panic");
    }

    #[tokio::test]
    async fn the_pause_between_two_requests_is_not_the_time_of_either() {
        let address = open(1).await;
        let mut stream = TcpStream::connect(address).await.expect("let in");
        let mut pace = tokio::time::interval(Duration::from_millis(400));
        for _ in 0..4 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
            let (mut answer, mut bytes) = (String::new(), [0; 512]);
            while !answer.ends_with("here") {
                let count = stream.read(&mut bytes).await.expect("an answer");
                assert!(count > 0, "cut off after {answer:?}");
                answer.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            pace.tick().await;
        }
    }
}
