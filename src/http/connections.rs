//! Limits on connections: the number of open ones, one minute without data, and one minute for a whole
//! request (head and body), even if its bytes arrive slowly.
//!
//! Each open connection costs a file descriptor, which the database and the API need too.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// A person's browser keeps six open, and a scraper one.
const MOST_CONNECTIONS: usize = 64;

/// Longer than any pause between two refreshes of the page.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// From the first byte of a request to the first of its answer. A browser sends all of it at once; only "Read
/// now" takes longer, since it calls the API.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);

pub(super) struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    request_within: Duration,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> BoundedListener {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        BoundedListener { listener, places, request_within: REQUEST_WITHIN }
    }
}

impl Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // Never closed, so a place is always granted in the end.
            let Ok(place) = self.places.clone().acquire_owned().await else { std::future::pending().await };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        stream,
                        deadline: Box::pin(tokio::time::sleep(IDLE_FOR)),
                        request_within: self.request_within,
                        is_asked: false,
                        _place: place,
                    };
                    return (connection, peer);
                }
                // No file descriptor is free, or the peer was gone before it was accepted.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends at its deadline: for the next request, or for the answer to the present one.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    request_within: Duration,
    /// A request has begun, and no byte of its answer is written.
    is_asked: bool,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Only the first byte of a request extends the deadline; later ones do not.
    fn has_read(&mut self) {
        if !self.is_asked {
            self.is_asked = true;
            self.deadline.as_mut().reset(Instant::now() + self.request_within);
        }
    }

    fn has_written(&mut self) {
        self.is_asked = false;
        self.deadline.as_mut().reset(Instant::now() + IDLE_FOR);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            self.has_read();
            return Poll::Ready(read);
        }
        ready!(self.deadline.as_mut().poll(context));
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

    /// A server with a short time limit for requests, and this many places.
    async fn open(places: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let places = Arc::new(Semaphore::new(places));
        let door = BoundedListener { listener, places, request_within: Duration::from_millis(300) };
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
