//! `/healthz`, `/readyz`, and the start and stop of the server.

use std::time::Duration;

use reqwest::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use unlockd::store::Store;
use unlockd::store::lease;
use unlockd::worker::run::driver::End;

use crate::place::{Place, read, site};
use crate::support::{Setup, Town};

#[tokio::test]
async fn a_worker_that_can_work_is_ready() {
    let place = Place::new().await;
    assert_eq!((place.get("/healthz").await.status, place.get("/readyz").await.status), (200, 200));
    let metrics = place.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text.contains("unlockd_build_info{"), "{}", metrics.text);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    place.end().await;
}

#[tokio::test]
async fn missing_credits_a_refused_key_and_a_pause_leave_the_worker_ready() {
    let mut place = Place::of(Setup::default().sandbox(|options| options.balance = 20)).await;
    place.town.insert(None, &["101", "102"]).await;
    assert!(matches!(place.town.finish().await, End::WaitsForPerson(_)));
    place.town.pause(true).await;
    assert_eq!(place.get("/readyz").await.status, 200);
    place.town.pause(false).await;
    place.town.sandbox.set_api_key(Some("another".to_owned()));
    place.town.insert(None, &["103"]).await;
    assert!(matches!(place.town.finish().await, End::WaitsForPerson(_)));
    let answer = place.get("/readyz").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "ready\n"));
    place.end().await;
}

#[tokio::test]
async fn a_worker_whose_lease_is_old_or_gone_is_not_ready_and_says_why() {
    let mut place = Place::new().await;
    // Not by the test's clock: on PostgreSQL the server's counts.
    let old = format!("update worker_lease set renewed_at = renewed_at - {}", lease::EXPIRES_AFTER_MS);
    place.town.meddle(&old).await.expect("written");
    let answer = place.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.starts_with("database: not written for a while"), "{}", answer.text);
    assert_eq!(place.get("/healthz").await.status, 200, "it lives all the same");

    let other = Store::open(&place.town.database(), None).await.expect("opens");
    let taken = lease::try_take(&other, place.town.clock.now()).await.expect("readable");
    let answer = place.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("has taken over the database"), "{}", answer.text);
    drop((taken, other));
    place.end().await;
}

#[tokio::test]
async fn a_pass_that_hangs_makes_the_worker_unready_and_is_named() {
    let place = Place::new().await;
    let (heartbeat, clock) = (place.town.deps().heartbeat.clone(), place.town.clock.clone());
    let hangs = async {
        clock.advance(place.town.deps().config().api.timeout + Duration::from_secs(11));
        place.get("/readyz").await
    };
    let answer = heartbeat.follow("poll of default".to_owned(), hangs).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("the pass poll of default has shown no sign of life"), "{}", answer.text);
    place.end().await;
}

#[tokio::test]
async fn a_standby_is_alive_and_not_ready() {
    let town = Town::new().await;
    let site = site(&town, town.deps().config()).await;
    let place = Place::serve(town, site, ([127, 0, 0, 1], 0).into()).await;
    assert_eq!(place.get("/healthz").await.status, 200);
    let answer = place.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("waiting to take over"), "{}", answer.text);
    place.end().await;
}

#[tokio::test]
async fn a_taken_port_is_tried_again_until_it_is_free() {
    let town = Town::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let listen = taken.local_addr().expect("bound");
    let site = site(&town, town.deps().config()).await;
    let serving = tokio::spawn(Place::serve(town, site, listen));
    // It finds the port taken once it is polled; it waits until the port is free.
    tokio::task::yield_now().await;
    drop(taken);
    let serving = tokio::time::timeout(Duration::from_secs(30), serving).await.expect("it is tried again");
    let place = serving.expect("it serves");
    assert_eq!(place.address, listen);
    assert_eq!(place.get("/healthz").await.status, 200);
    place.end().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_requests_that_never_end() {
    let place = Place::new().await;
    let mut halfway = TcpStream::connect(place.address).await.expect("connected");
    let head =
        b"POST /session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                 content-length: 999\r\n\r\ntoken=";
    halfway.write_all(head).await.expect("sent");
    // The other one is answered, so the server has seen both.
    assert_eq!(read(place.request(Method::GET, "/healthz")).await.status, 200);
    let stopped = tokio::time::timeout(Duration::from_secs(8), place.end()).await;
    assert!(stopped.is_ok(), "the stop took longer than a worker has");
}

/// Silent ones, halves of heads, halves of bodies, and answered ones that stay open: for a minute a probe found nobody, and killed a well worker.
#[tokio::test]
async fn three_hundred_slow_connections_keep_nobody_from_health_and_metrics() {
    let head =
        b"POST /session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                 content-length: 999\r\n\r\ntoken=";
    let idle = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for beginning in [&b""[..], b"GET / HTTP/1.1\r\nx-slow: ", head, idle] {
        let place = Place::new().await;
        let mut slow = Vec::new();
        for _ in 0..300 {
            let mut stream = TcpStream::connect(place.address).await.expect("connected");
            stream.write_all(beginning).await.expect("sent");
            slow.push(stream);
        }
        for path in ["/healthz", "/readyz", "/metrics"] {
            let asked = read(place.request(Method::GET, path));
            let answer = tokio::time::timeout(Duration::from_secs(5), asked).await;
            assert_eq!(answer.expect("answered at once").status, 200, "{path}");
        }
        drop(slow);
        place.end().await;
    }
}
