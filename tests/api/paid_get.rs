//! The GET that costs, and the unlocks of an event: each is sent once, whatever the peer does.

use std::sync::atomic::{AtomicUsize, Ordering};

use unlockd::api::direct_body;
use unlockd::domain::direct::{Delivery, Direct};
use unlockd::domain::{Action, Layers};

use super::*;

const PATH: &str =
    "GET /external/personnel/events/by-name?person_name=Ada%20Canary&page=1&pageSize=100 HTTP/1.1";
const FOUND: &str = r#"{"items":[{"id":"501"}],"total":1,"page":1,"pageSize":100,"hasMore":false}"#;

async fn search_if(client: &Client, proceed: bool) -> Answer<Delivery> {
    let action = Action::SearchPersonnelEvents;
    let body = direct_body(&Direct::Search { action, query: "Ada Canary".to_owned(), page: 1 });
    client.search(Desk::new().caller(), NOW, action, &body, move || proceed).await
}

async fn search(client: &Client) -> Answer<Delivery> {
    search_if(client, true).await
}

#[tokio::test]
async fn it_goes_out_with_its_query_without_a_body_and_past_caches() {
    let mut peer = Peer::answering(200, "", FOUND).await;
    let answer = search(&client(&peer.base)).await;
    assert_eq!(answer.status, Some(200));
    assert!(matches!(answer.result, Ok(Delivery::Page(page)) if page.found == 1));
    let seen = peer.next().await;
    assert!(seen.head.starts_with(PATH), "{}", seen.head);
    assert_eq!(seen.header("cache-control"), Some("no-cache, no-store"));
    assert_eq!((seen.header("x-call-source"), seen.body.as_slice()), (Some("agent"), &b""[..]));
}

#[tokio::test]
async fn each_has_a_connection_of_its_own() {
    let mut peer = Peer::answering(200, "", FOUND).await;
    let client = client(&peer.base);
    for connection in 0..3 {
        assert!(search(&client).await.result.is_ok());
        assert_eq!(peer.next().await.connection, connection);
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_it_is_not_sent_again() {
    for script in [Script::Stall, Script::Close] {
        let mut peer = Peer::new(script).await;
        let error = error(search(&hasty(&peer.base)).await);
        assert_eq!((error.failure, error.status), (Failure::Unknown, None));
        assert!(error.to_string().contains("may have taken effect"), "{error}");
        assert!(!spoken(&error).contains("Canary"), "the name is nobody's business");
        assert!(peer.next().await.head.starts_with(PATH));
        assert_eq!(peer.others(), 0);
    }
}

/// Reported of the connection pool below the client (hyper-util, pull request 150): a server that closes each new
/// connection at once was connected to again and again.
#[tokio::test]
async fn a_server_that_closes_each_connection_at_once_is_tried_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let failed = error(search(&client(&base)).await);
    assert_eq!((failed.failure, connections.load(Ordering::SeqCst)), (Failure::Unknown, 1));
    let event = EventId::parse("7").expect("an event");
    let unlocked = client(&base).unlock_event(Desk::new().caller(), NOW, Layers::Both, &event, || true).await;
    assert_eq!((error(unlocked).failure, connections.load(Ordering::SeqCst)), (Failure::Unknown, 2));
}

#[tokio::test]
async fn a_withdrawn_call_reaches_nobody() {
    let mut peer = Peer::answering(200, "", FOUND).await;
    let answer = search_if(&client(&peer.base), false).await;
    assert_eq!((error(answer).failure, peer.others()), (Failure::NotSent, 0));
}

#[tokio::test]
async fn neither_a_redirect_nor_a_caches_answer_leads_to_a_second_call() {
    let mut elsewhere = Peer::answering(200, "", FOUND).await;
    for (status, headers) in [
        (301, format!("Location: {}/external/x\r\n", elsewhere.base)),
        (307, format!("Location: {}/external/x\r\n", elsewhere.base)),
        (304, "ETag: \"1\"\r\n".to_owned()),
        (412, String::new()),
        (425, "Retry-After: 0\r\n".to_owned()),
        (503, "Retry-After: 0\r\n".to_owned()),
    ] {
        let mut peer = Peer::answering(status, &headers, "").await;
        assert_eq!(error(search(&client(&peer.base)).await).failure, Failure::Unknown, "{status}");
        assert_eq!(peer.others(), 1, "{status}");
    }
    assert_eq!(elsewhere.others(), 0);
}

#[tokio::test]
async fn each_unlock_of_an_event_has_its_path_and_no_body() {
    let body = r#"{"success":true,"alreadyUnlocked":true,"creditsUsed":0,"balanceAfter":null,
        "event":{"id":"8458","eventId":"26855","name":null}}"#;
    let mut peer = Peer::answering(201, "", body).await;
    let event = EventId::parse("26855").expect("an event");
    for (layers, path) in [
        (Layers::Base, "unlock"),
        (Layers::Visitors, "visitors/unlock"),
        (Layers::Both, "full-access/unlock"),
    ] {
        let client = client(&peer.base);
        let answer = client.unlock_event(Desk::new().caller(), NOW, layers, &event, || true).await;
        assert!(answer.result.is_ok(), "{path}");
        let seen = peer.next().await;
        let line = format!("POST /external/events/26855/{path} HTTP/1.1");
        assert!(seen.head.starts_with(&line), "{}", seen.head);
        assert_eq!((seen.header("x-call-source"), seen.body.len()), (Some("agent"), 0));
    }
}
