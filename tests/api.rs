//! The API client against a peer that misbehaves: real TCP, scripted answers.
//!
//! The peer is a bare socket, since an HTTP server could not send what is needed here: broken bodies, endless
//! bodies, silence. It shows every request that it received, byte for byte.

#[path = "api/paid_get.rs"]
mod paid_get;
#[path = "api/proxy.rs"]
mod proxy;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use unlockd::api::{
    Answer, ApiBuildError, ApiError, Caller, Client, Settings, Subject, UnlockBody, unlock_body,
};
use unlockd::domain::division::Submission;
use unlockd::domain::failure::{Failure, Refusal};
use unlockd::domain::rate::RateHeaders;
use unlockd::domain::task::TaskView;
use unlockd::domain::{AccountId, Channel, EventId, JobId, Millis, PersonnelId, TaskId};

const KEY: &str = "uak_live_canary_4711";
const NOW: Millis = Millis(5_000);
const INVALID: Failure = Failure::Refused(Refusal::Invalid);
const ACCEPTED: &str = r#"{"status":"accepted","task_id":"321","job_id":"321"}"#;

// ---- the peer ------------------------------------------------------------------------------

/// What the peer does with each request.
#[derive(Clone)]
enum Script {
    /// Writes these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Writes these bytes, over and over, until the caller goes away.
    Flood(Vec<u8>),
    /// Writes these bytes, then one more every 20 ms.
    Drip(Vec<u8>),
    /// Reads, and never answers.
    Stall,
    /// Reads, and closes the connection.
    Close,
}

/// One request as the peer got it.
struct Seen {
    connection: usize,
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

struct Peer {
    base: String,
    seen: mpsc::UnboundedReceiver<Seen>,
    /// Bytes of answers that the sockets took.
    written: Arc<Mutex<u64>>,
}

impl Peer {
    async fn new(script: Script) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, seen) = mpsc::unbounded_channel();
        let written = Arc::new(Mutex::new(0));
        let count = Arc::clone(&written);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(serve(stream, connection, script.clone(), sender.clone(), Arc::clone(&count)));
            }
        });
        Peer { base, seen, written }
    }

    async fn answering(status: u16, headers: &str, body: &str) -> Peer {
        Peer::new(Script::Answer(answer(status, headers, body))).await
    }

    async fn next(&mut self) -> Seen {
        self.seen.recv().await.expect("a request")
    }

    /// How many more requests came.
    fn others(&mut self) -> usize {
        std::iter::from_fn(|| self.seen.try_recv().ok()).count()
    }
}

fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

/// Reads requests until the caller goes away, and plays the script for each.
async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: Script,
    seen: mpsc::UnboundedSender<Seen>,
    written: Arc<Mutex<u64>>,
) {
    while let Some((head, body, whole)) = read_request(&mut stream).await {
        seen.send(Seen { connection, head, body }).ok();
        if !whole {
            return;
        }
        match &script {
            Script::Answer(bytes) => stream.write_all(bytes).await.unwrap_or_default(),
            Script::Flood(bytes) => {
                while stream.write_all(bytes).await.is_ok() {
                    *written.lock().expect("not poisoned") += bytes.len() as u64;
                }
            }
            Script::Drip(bytes) => {
                let mut tick = tokio::time::interval(Duration::from_millis(20));
                stream.write_all(bytes).await.unwrap_or_default();
                while stream.write_all(b" ").await.is_ok() {
                    tick.tick().await;
                }
            }
            Script::Stall => std::future::pending().await,
            Script::Close => return,
        }
    }
}

/// One request: its head, the body as far as it came, and whether it is complete.
async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let body = bytes.split_off(end);
    let mut seen = Seen { connection: 0, head: String::from_utf8(bytes).expect("ascii"), body };
    let length = seen.header("content-length").map_or(0, |text| text.parse().expect("a length"));
    while seen.body.len() < length {
        if stream.read_buf(&mut seen.body).await.unwrap_or(0) == 0 {
            return Some((seen.head, seen.body, false));
        }
    }
    Some((seen.head, seen.body, true))
}

// ---- the caller ----------------------------------------------------------------------------

struct Desk {
    account: AccountId,
    key: SecretString,
    event: EventId,
    request_id: uuid::Uuid,
}

impl Desk {
    fn new() -> Desk {
        Desk {
            account: AccountId::trusted("default"),
            key: SecretString::from(KEY),
            event: EventId::parse("139574").expect("an event"),
            request_id: uuid::Uuid::new_v4(),
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            account: &self.account,
            key: &self.key,
            request_id: self.request_id,
            job_id: Some(JobId(41)),
            event_id: Some(&self.event),
        }
    }
}

fn client_within(base: &str, timeout: Duration) -> Client {
    client_by(base, timeout, None)
}

fn client_by(base: &str, timeout: Duration, proxy: Option<String>) -> Client {
    let settings = Settings { base_url: base.to_owned(), call_source: "agent", timeout, proxy };
    Client::new(&settings).expect("a client")
}

fn client(base: &str) -> Client {
    client_within(base, Duration::from_secs(10))
}

fn hasty(base: &str) -> Client {
    client_within(base, Duration::from_millis(300))
}

fn contacts() -> Vec<PersonnelId> {
    ["789", "790"].map(|id| PersonnelId::parse(id).expect("digits")).into()
}

fn body() -> UnlockBody {
    unlock_body(&contacts(), Some(&Desk::new().event))
}

async fn submit(client: &Client) -> Answer<Submission> {
    client.submit_unlock(Desk::new().caller(), NOW, Channel::Email, &body(), || true).await
}

async fn poll(client: &Client) -> Answer<TaskView> {
    let task_id = TaskId::parse("321").expect("digits");
    client.task(Desk::new().caller(), NOW, Channel::Email, &task_id).await
}

fn error<T: std::fmt::Debug>(answer: Answer<T>) -> ApiError {
    answer.result.expect_err("a failure")
}

/// Everything of an error that can reach a log.
fn spoken(error: &ApiError) -> String {
    let mut text = format!("{error:?} {error:#?}");
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = next {
        text.push_str(&format!(" {cause} {cause:?}"));
        next = cause.source();
    }
    text
}

// ---- the paid POST -------------------------------------------------------------------------

#[tokio::test]
async fn a_paid_post_arrives_whole_with_its_length_and_not_chunked() {
    let mut peer = Peer::answering(201, "", ACCEPTED).await;
    let (desk, client, body) = (Desk::new(), client(&peer.base), body());
    let answer = client.submit_unlock(desk.caller(), NOW, Channel::Phone, &body, || true).await;
    assert!(matches!(answer.result, Ok(Submission::Accepted { task_id, .. }) if task_id.as_str() == "321"));

    let seen = peer.next().await;
    assert!(seen.head.starts_with("POST /external/contacts/unlock-phone HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.body, body.bytes());
    assert_eq!(seen.header("content-length"), Some(body.bytes().len().to_string().as_str()));
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(seen.header("x-request-id"), Some(desk.request_id.to_string().as_str()));
    assert_eq!(seen.header("x-call-source"), Some("agent"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"), "what is packed all the same is unpacked");
    assert_eq!(seen.header("user-agent"), Some(concat!("unlockd/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(peer.others(), 0, "sent once");
}

#[tokio::test]
async fn a_large_paid_post_arrives_whole_and_asks_to_proceed_once() {
    let mut peer = Peer::answering(201, "", ACCEPTED).await;
    let many: Vec<_> = (0..2_000).map(|id| PersonnelId::trusted(format!("{id:020}"))).collect();
    let (desk, body, asked) = (Desk::new(), unlock_body(&many, None), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&asked);
    let proceed = move || {
        *count.lock().expect("not poisoned") += 1;
        true
    };
    let client = client(&peer.base);
    let answer = client.submit_unlock(desk.caller(), NOW, Channel::Email, &body, proceed).await;
    assert!(answer.result.is_ok());
    assert!(peer.next().await.body == body.bytes());
    assert_eq!(*asked.lock().expect("not poisoned"), 1);
}

#[tokio::test]
async fn a_withdrawn_post_sends_no_byte_of_its_body_and_counts_as_not_sent() {
    let mut peer = Peer::answering(201, "", ACCEPTED).await;
    let (desk, client) = (Desk::new(), client(&peer.base));
    let answer = client.submit_unlock(desk.caller(), NOW, Channel::Email, &body(), || false).await;
    let error = error(answer);
    assert_eq!((error.failure, error.status), (Failure::NotSent, None));
    drop(client);
    // The head may have been sent or not; if it was, nothing followed it.
    if let Ok(Some(seen)) = tokio::time::timeout(Duration::from_millis(200), peer.seen.recv()).await {
        assert_eq!(seen.body, b"");
    }
}

#[tokio::test]
async fn each_paid_post_has_a_connection_of_its_own() {
    let mut peer = Peer::answering(201, "", ACCEPTED).await;
    let client = client(&peer.base);
    for connection in 0..3 {
        assert!(submit(&client).await.result.is_ok());
        assert_eq!(peer.next().await.connection, connection);
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_is_not_sent_again() {
    for script in [Script::Stall, Script::Close] {
        let mut peer = Peer::new(script).await;
        let answer = submit(&hasty(&peer.base)).await;
        let error = error(answer);
        assert_eq!((error.failure, error.status), (Failure::Unknown, None));
        assert!(error.to_string().contains("the request may have taken effect"), "{error}");
        assert_eq!(peer.next().await.body, body().bytes());
        assert_eq!(peer.others(), 0);
    }
}

#[tokio::test]
async fn what_never_had_a_connection_was_not_sent() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let client = client(&format!("http://{unused}"));
    assert_eq!(error(submit(&client).await).failure, Failure::NotSent);
    assert_eq!(error(poll(&client).await).failure, Failure::NotSent);
}

#[tokio::test]
async fn a_failed_tls_handshake_was_not_sent() {
    let mut peer = Peer::new(Script::Close).await;
    let base = peer.base.replace("http://", "https://");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let garbage = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        std::future::pending::<()>().await;
    });
    // The first peer never ends the handshake, the second does not speak TLS.
    for base in [base, garbage] {
        let error = error(submit(&hasty(&base)).await);
        assert_eq!(error.failure, Failure::NotSent, "{}", spoken(&error));
    }
    assert_eq!(peer.others(), 0);
}

#[tokio::test]
async fn a_key_that_cannot_be_a_header_was_not_sent_and_is_not_shown() {
    let mut peer = Peer::answering(201, "", ACCEPTED).await;
    let desk = Desk { key: SecretString::from("uak_a\nb"), ..Desk::new() };
    let client = client(&peer.base);
    let answer = client.submit_unlock(desk.caller(), NOW, Channel::Email, &body(), || true).await;
    let error = error(answer);
    assert_eq!(error.failure, Failure::NotSent);
    assert!(!spoken(&error).contains("uak_a"));
    assert_eq!(peer.others(), 0);
}

// ---- classification ------------------------------------------------------------------------

fn error_body(code: u16) -> String {
    format!(r#"{{"code":{code},"message":"no","errorKey":"SOME_KEY","traceId":"trace-1"}}"#)
}

#[tokio::test]
async fn every_status_of_the_matrix_is_a_refusal_with_its_facts() {
    for status in [400, 401, 402, 403, 404, 409, 422, 429] {
        let peer = Peer::answering(status, "", &error_body(status)).await;
        let client = client(&peer.base);
        let expected = Failure::Refused(Refusal::from_status(status, None).expect("in the matrix"));
        for error in [error(submit(&client).await), error(poll(&client).await)] {
            assert_eq!((error.failure, error.status), (expected, Some(status)));
            assert_eq!(error.error_key.as_deref(), Some("SOME_KEY"));
            assert_eq!(error.trace_id.as_deref(), Some("trace-1"));
            assert_eq!(error.message.as_deref(), Some("no"));
        }
    }
}

#[tokio::test]
async fn an_unreadable_refusal_of_a_paid_post_is_unknown() {
    for (status, body) in
        [(400, ""), (401, "<html>no</html>"), (402, "[]"), (404, "{}"), (429, "{\"co"), (409, "null")]
    {
        let peer = Peer::answering(status, "", body).await;
        let client = client(&peer.base);
        assert_eq!(error(submit(&client).await).failure, Failure::Unknown, "{status} {body}");
        let read = error(poll(&client).await).failure;
        let expected = match status {
            429 => Failure::Refused(Refusal::RateLimited { retry_after_ms: None }),
            _ => Failure::Unknown,
        };
        assert_eq!(read, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_status_outside_the_matrix_is_unknown_whatever_its_body_says() {
    for status in [204, 300, 304, 408, 418, 500, 502, 503, 504] {
        let body = if status == 204 || status == 304 { String::new() } else { error_body(400) };
        let peer = Peer::answering(status, "", &body).await;
        let client = client(&peer.base);
        assert_eq!(error(submit(&client).await).failure, Failure::Unknown, "{status}");
        assert_eq!(error(poll(&client).await).failure, Failure::Unknown, "{status}");
    }
}

/// A gateway in front of the API uses the same statuses but knows nothing of the API.
#[tokio::test]
async fn a_gateways_refusal_is_no_refusal_of_the_api() {
    for (status, body) in [
        (404, r#"{"message":"no Route matched with those values"}"#),
        (404, r#"{"statusCode":404,"error":"Not Found","message":"Cannot GET /external"}"#),
        (403, "<html><head><title>403 Forbidden</title></head></html>"),
        (400, "<html><h1>400 Bad Request</h1><p>Request Header Or Cookie Too Large</p></html>"),
        (402, r#"{"code":402,"message":"Payment Required"}"#),
        (409, r#"{"detail":"conflict"}"#),
    ] {
        let peer = Peer::answering(status, "Content-Type: application/json\r\n", body).await;
        let client = client(&peer.base);
        assert_eq!(error(submit(&client).await).failure, Failure::Unknown, "{status} {body}");
        assert_eq!(error(poll(&client).await).failure, Failure::Unknown, "{status} {body}");
    }
}

#[tokio::test]
async fn any_success_that_names_a_task_is_an_acceptance() {
    for (status, body, expected) in [
        (202, r#"{"status":"accepted","task_id":"321"}"#, "321"),
        (200, r#"{"status":"accepted","taskId":321}"#, "321"),
        (203, r#"{"job_id":"321"}"#, "321"),
        (201, "\u{feff}{\"status\":\"accepted\",\"task_id\":\"321\"}", "321"),
        (201, r#"{"status":"accepted","task_id":"321","task_id":"321"}"#, "321"),
        (
            201,
            r#"{"task_id":"2be6d7f4-3b2d-4d11-8e2d-7a2e4c3e9a10"}"#,
            "2be6d7f4-3b2d-4d11-8e2d-7a2e4c3e9a10",
        ),
        (201, r#"{"status":"accepted","task_id":"321","traceId":"t","message":"ok","code":0}"#, "321"),
    ] {
        let peer = Peer::answering(status, "", body).await;
        let answer = submit(&client(&peer.base)).await;
        let Ok(Submission::Accepted { task_id, .. }) = answer.result else { panic!("{status} {body}") };
        assert_eq!(task_id.as_str(), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_task_that_an_error_names_is_kept_as_evidence() {
    for (status, body) in [
        (409, r#"{"code":409,"message":"m","errorKey":"STATE_CONFLICT","traceId":"t","task_id":"321"}"#),
        (504, r#"{"message":"upstream timed out","taskId":"321"}"#),
        (201, r#"{"code":400,"message":"no","errorKey":"X","task_id":"321"}"#),
    ] {
        let peer = Peer::answering(status, "", body).await;
        let client = client(&peer.base);
        let error = error(submit(&client).await);
        assert_eq!((error.failure, error.status), (Failure::Unknown, Some(status)));
        assert_eq!(error.task_id.as_deref().map(TaskId::as_str), Some("321"), "{body}");
        assert!(error.to_string().contains("task 321"), "{error}");
    }
    let echo = format!(r#"{{"message":"m","task_id":"{KEY}"}}"#);
    let peer = Peer::answering(504, "", &echo).await;
    let error = error(submit(&client(&peer.base)).await);
    assert!(error.task_id.is_none() && !spoken(&error).contains(KEY), "{}", spoken(&error));
}

fn gzip(body: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(body.as_bytes()).expect("in memory");
    packer.finish().expect("in memory")
}

#[tokio::test]
async fn an_answer_that_is_packed_unasked_is_understood() {
    for headers in ["Content-Encoding: gzip\r\n", "content-encoding: x-gzip\r\n", ""] {
        let body = gzip(ACCEPTED);
        let head = format!("HTTP/1.1 201 X\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        let mut peer = Peer::new(Script::Answer([head.into_bytes(), body].concat())).await;
        let answer = submit(&client(&peer.base)).await;
        assert!(matches!(answer.result, Ok(Submission::Accepted { .. })), "{headers:?}: {:?}", answer.result);
        let seen = peer.next().await;
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert_eq!(
            (seen.body.as_slice(), peer.others()),
            (body_bytes().as_slice(), 0),
            "sent once, as it is"
        );
    }
}

fn body_bytes() -> Vec<u8> {
    body().bytes().to_vec()
}

#[tokio::test]
async fn an_answer_that_unpacks_into_too_much_is_unknown() {
    let bomb = gzip(&" ".repeat(64 << 20));
    let head = format!("HTTP/1.1 201 X\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let peer = Peer::new(Script::Answer([head.into_bytes(), bomb].concat())).await;
    let client = client(&peer.base);
    let posted = error(submit(&client).await);
    assert_eq!(posted.failure, Failure::Unknown);
    assert!(posted.to_string().contains("larger than 8 MiB"), "{posted}");
    let polled = error(poll(&client).await);
    assert!(polled.to_string().contains("larger than 32 MiB"), "{polled}");
}

#[tokio::test]
async fn a_task_with_an_item_of_7_mb_is_read() {
    let long = "x".repeat(7_000_000);
    let body = format!(
        r#"{{"taskId":"321","taskStatus":"completed","items":[
        {{"personnelId":"789","status":"failed","errorCode":"{long}","note":"{long}"}},
        {{"personnelId":"790","status":"unlocked","email":"jane@acme.example"}}]}}"#
    );
    let peer = Peer::answering(200, "", &body).await;
    let view = poll(&client(&peer.base)).await.result.expect("readable");
    let items = view.items.expect("some");
    assert_eq!(items[1].value.as_ref().map(|value| value.expose()), Some("jane@acme.example"));
    assert!(items[0].error_code.as_ref().is_some_and(|code| code.len() <= 200));
}

#[tokio::test]
async fn a_success_is_never_taken_unread() {
    for (status, body, expected) in [
        (200, error_body(400), INVALID),
        (201, error_body(402), Failure::Refused(Refusal::PaymentRequired)),
        (200, error_body(429), Failure::Refused(Refusal::SlotTaken)),
        (
            200,
            error_body(429).replace("SOME_KEY", "RATE_LIMIT_EXCEEDED"),
            Failure::Refused(Refusal::RateLimited { retry_after_ms: Some(7_000) }),
        ),
        (202, error_body(403), Failure::Refused(Refusal::Forbidden)),
        (200, error_body(500), Failure::Unknown),
        (200, r#"{"errorKey":"USER_HAS_NO_FEATURE"}"#.into(), INVALID),
        (200, r#"{"errorKey":"SOMETHING_NEW"}"#.into(), Failure::Unknown),
        (200, r#"{"code":400,"message":"no"}"#.into(), Failure::Unknown),
        (203, r#"{"code":400,"message":"no","traceId":"t"}"#.into(), INVALID),
        (201, r#"{"code":400,"message":"no","task_id":"321"}"#.into(), Failure::Unknown),
        (200, "<html>welcome</html>".into(), Failure::Unknown),
        (201, String::new(), Failure::Unknown),
        (201, r#"{"status":"accepted","task_id":"../credits/balance"}"#.into(), Failure::Unknown),
        (201, r#"{"status":"accepted"}"#.into(), Failure::Unknown),
        (201, "[".repeat(100_000), Failure::Unknown),
    ] {
        let peer = Peer::answering(status, "Retry-After: 7\r\n", &body).await;
        let head: String = body.chars().take(80).collect();
        let error = error(submit(&client(&peer.base)).await);
        assert_eq!((error.failure, error.status), (expected, Some(status)), "{head}");
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_unknown() {
    let peer = Peer::answering(200, "", r#"{"taskId":"322","taskStatus":"completed","items":[]}"#).await;
    assert_eq!(error(poll(&client(&peer.base)).await).failure, Failure::Unknown);

    let peer = Peer::answering(200, "", r#"{"id":"790","contactUnlockStatus":"locked"}"#).await;
    let client = client(&peer.base);
    let desk = Desk::new();
    let asked = PersonnelId::parse("789").expect("digits");
    let answer = client.profile(desk.caller(), NOW, Channel::Email, &asked).await;
    assert_eq!(error(answer).failure, Failure::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Peer::answering(201, "", ACCEPTED).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/external/contacts/unlock\r\n", elsewhere.base);
        let mut peer = Peer::answering(status, &location, &error_body(400)).await;
        let client = client(&peer.base);
        assert_eq!(error(submit(&client).await).failure, Failure::Unknown, "{status}");
        assert_eq!(error(poll(&client).await).failure, Failure::Unknown, "{status}");
        assert_eq!(peer.others(), 2, "each was sent once");
    }
    assert_eq!(elsewhere.others(), 0);
}

// ---- limits --------------------------------------------------------------------------------

#[tokio::test]
async fn an_answer_without_end_is_cut_off_at_8_mib() {
    let mut flood = b"HTTP/1.1 200 OK\r\n\r\n{\"task_id\":\"".to_vec();
    flood.resize(64 * 1024, b'1');
    let peer = Peer::new(Script::Flood(flood)).await;
    let error = error(submit(&client(&peer.base)).await);
    assert_eq!(error.failure, Failure::Unknown);
    assert!(error.to_string().contains("larger than 8 MiB"), "{error}");
    let written = *peer.written.lock().expect("not poisoned");
    assert!(written < 24 * 1024 * 1024, "{written} bytes were taken");
}

#[tokio::test]
async fn an_answer_that_announces_50_mb_is_not_read() {
    let mut flood = b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n".to_vec();
    flood.resize(64 * 1024, b' ');
    let peer = Peer::new(Script::Flood(flood)).await;
    assert_eq!(error(submit(&client(&peer.base)).await).failure, Failure::Unknown);
    let written = *peer.written.lock().expect("not poisoned");
    assert!(written < 16 * 1024 * 1024, "{written} bytes were taken");
}

#[tokio::test]
async fn an_answer_that_drips_ends_at_the_timeout() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{".to_vec();
    let peer = Peer::new(Script::Drip(head)).await;
    let started = Instant::now();
    let error = error(submit(&hasty(&peer.base)).await);
    assert_eq!((error.failure, error.status), (Failure::Unknown, Some(200)));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unknown() {
    let cut = answer(201, "", ACCEPTED);
    let peer = Peer::new(Script::Answer(cut[..cut.len() - 1].to_vec())).await;
    assert_eq!(error(submit(&hasty(&peer.base)).await).failure, Failure::Unknown);
}

// ---- rate limit ----------------------------------------------------------------------------

/// Thu, 01 Jan 2026 00:00:00 GMT is 1767225600.
const DATE: &str = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";

#[tokio::test]
async fn rate_headers_are_brought_to_our_clock_and_read_from_failures_too() {
    let limits = "X-RateLimit-Limit: 120\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 1767225630\r\n";
    for (status, body) in [(200, ACCEPTED), (500, "oops"), (429, "")] {
        let peer = Peer::answering(status, &format!("{DATE}{limits}"), body).await;
        let rate = submit(&client(&peer.base)).await.rate.expect("rate headers");
        let RateHeaders { limit, remaining, resets_at, left_ms, .. } = rate;
        assert_eq!((limit, remaining, left_ms), (120, 7, 30_000));
        // 30 s after the answer, which came a little after `NOW`.
        assert!((35_000..40_000).contains(&resets_at.0), "{resets_at}");
    }
    let peer = Peer::answering(200, "X-RateLimit-Limit: 0\r\n", ACCEPTED).await;
    assert_eq!(submit(&client(&peer.base)).await.rate, None);
}

#[tokio::test]
async fn rate_headers_that_make_no_sense_are_said_once() {
    let (log, _guard) = Log::catch();
    let odd = "X-RateLimit-Limit: many\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: soon\r\n";
    let peer = Peer::answering(200, odd, ACCEPTED).await;
    let first = client(&peer.base);
    for _ in 0..3 {
        assert_eq!(submit(&first).await.rate, None);
    }
    assert_eq!(log.text().matches("make no sense").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn a_retry_after_may_be_seconds_a_date_absurd_or_absent() {
    let table = [
        ("Retry-After: 32\r\n", Some(32_000)),
        ("Retry-After: Thu, 01 Jan 2026 00:01:00 GMT\r\n", Some(60_000)),
        ("Retry-After: 99999999999999999999\r\n", Some(i64::MAX)),
        ("Retry-After: 45.5\r\n", Some(46_000)),
        ("Retry-After:   60.0  \r\n", Some(60_000)),
        ("Retry-After: 4\r\nRetry-After: 9.1\r\n", Some(10_000)),
        ("Retry-After: -1\r\n", Some(0)),
        ("Retry-After: soon\r\n", None),
        ("", None),
    ];
    for (header, retry_after_ms) in table {
        let peer = Peer::answering(429, &format!("{DATE}{header}"), &error_body(429)).await;
        let expected = Failure::Refused(Refusal::RateLimited { retry_after_ms });
        assert_eq!(error(submit(&client(&peer.base)).await).failure, expected, "{header:?}");
    }
}

#[tokio::test]
async fn every_failure_carries_its_retry_after_and_a_success_none() {
    for (status, body, carried) in [
        (503, "<html>back soon</html>".to_owned(), Some(9_000)),
        (500, error_body(500), Some(9_000)),
        (429, "<html>slow down</html>".to_owned(), Some(9_000)),
        (400, error_body(400), Some(9_000)),
        (307, String::new(), Some(9_000)),
        (200, error_body(429), Some(9_000)),
        (202, error_body(429), Some(9_000)),
        (201, ACCEPTED.to_owned(), None),
    ] {
        let peer = Peer::answering(status, "Retry-After: 4\r\nRetry-After: 9\r\n", &body).await;
        let client = client(&peer.base);
        let answer = submit(&client).await;
        assert_eq!(answer.retry_after_ms, carried, "{status} {body}");
        assert_eq!(answer.result.is_ok(), carried.is_none(), "{status} {body}");
    }
}

// ---- paths and settings --------------------------------------------------------------------

#[tokio::test]
async fn ids_cannot_change_the_path_or_the_query() {
    let mut peer = Peer::answering(404, "", &error_body(404)).await;
    let (desk, client) = (Desk::new(), client(&format!("{}/prefix/", peer.base)));
    let task_id = TaskId::trusted("../credits/balance?x#y\r\nX: 1");
    client.task(desk.caller(), NOW, Channel::Phone, &task_id).await.result.expect_err("404");
    let head = peer.next().await.head;
    let path = "/prefix/external/contacts/unlock-phone-tasks/..%2Fcredits%2Fbalance%3Fx%23yX:%201";
    assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");

    let contact = PersonnelId::trusted("7&a=b c/é\r\n#");
    client.profile(desk.caller(), NOW, Channel::Email, &contact).await.result.expect_err("404");
    let head = peer.next().await.head;
    let path = "/prefix/external/personnel/profile?personnel_id=7%26a%3Db+c%2F%C3%A9%0D%0A%23";
    assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
}

#[tokio::test]
async fn a_precheck_names_contacts_event_and_call_source() {
    let answer = r#"{"allowed":true,"should_charge":true,"credits":30,"reason_code":"ok"}"#;
    let mut peer = Peer::answering(200, "", answer).await;
    let (desk, client) = (Desk::new(), client(&peer.base));
    let quote =
        client.precheck(desk.caller(), NOW, Subject::Contacts(Channel::Email, &contacts())).await.result;
    assert_eq!(quote.expect("a quote"), unlockd::domain::sorting::Quote::Costs(unlockd::domain::Credits(30)));
    let seen = peer.next().await;
    assert!(seen.head.starts_with("POST /external/actions/precheck HTTP/1.1\r\n"));
    let expected = r#"{"action_type":"unlock_contact_emails","call_source":"agent","params":{"personnel_ids":["789","790"],"event_id":"139574"},"trace_id":"41"}"#;
    assert_eq!(String::from_utf8(seen.body).expect("utf-8"), expected);
}

#[test]
fn a_base_url_that_would_give_the_key_away_is_refused() {
    let build = |base: &str| {
        let base_url = base.to_owned();
        Client::new(&Settings { base_url, call_source: "api", timeout: Duration::from_secs(1), proxy: None })
    };
    for base in ["http://platform.example", "http://10.0.0.1:80", "http://127.0.0.1.evil.example"] {
        assert!(matches!(build(base), Err(ApiBuildError::NotLoopback)), "{base}");
    }
    for base in ["", "platform.example", "ftp://127.0.0.1", "https://a:b@h", "https://h?x=1", "https://h#x"] {
        let error = build(base).expect_err(base);
        assert!(matches!(error, ApiBuildError::BaseUrl), "{base}");
        assert!(!format!("{error} {error:?}").contains("a:b"));
    }
    for base in ["http://127.0.0.1:1", "http://[::1]:1/x", "http://localhost", "http://127.9.9.9/"] {
        assert!(build(base).is_ok(), "{base}");
    }
}

#[test]
fn an_http_proxy_in_the_environment_is_ignored() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    // The environment of this process must not change under the other tests.
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test"));
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, &address);
    }
    child.args(["--exact", "a_paid_post_arrives_whole_with_its_length_and_not_chunked"]);
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().expect("it ran");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    proxy.set_nonblocking(true).expect("a socket");
    assert!(proxy.accept().is_err(), "the proxy was asked");
}

// ---- logs ----------------------------------------------------------------------------------

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Captures what this thread logs, at every level, until the guard is dropped.
    fn catch() -> (Log, tracing::subscriber::DefaultGuard) {
        // A silent subscriber that is interested in everything. Without it, an event in another test without
        // a subscriber would be cached as one that nobody listens to.
        static LISTENS: std::sync::Once = std::sync::Once::new();
        LISTENS.call_once(|| {
            tracing::subscriber::set_global_default(tracing_subscriber::registry()).expect("the first");
        });
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("utf-8")
    }

    fn calls(&self) -> Vec<serde_json::Value> {
        let lines: Vec<serde_json::Value> =
            self.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.into_iter().filter(|line| line["message"] == "call to the API").collect()
    }
}

#[tokio::test]
async fn each_call_is_one_event_with_the_fields_that_apply() {
    let (log, _guard) = Log::catch();
    let peer = Peer::answering(201, "", ACCEPTED).await;
    let (desk, first) = (Desk::new(), client(&peer.base));
    first.submit_unlock(desk.caller(), NOW, Channel::Email, &body(), || true).await.result.expect("accepted");
    let peer = Peer::answering(404, "", &error_body(404)).await;
    poll(&client(&peer.base)).await.result.expect_err("404");
    let peer = Peer::new(Script::Close).await;
    let caller = Caller { job_id: None, event_id: None, ..desk.caller() };
    client(&peer.base).balance(caller, NOW).await.result.expect_err("no answer");

    let calls = log.calls();
    assert_eq!(calls.len(), 3, "{}", log.text());
    let submit = &calls[0];
    assert_eq!(submit["level"], "INFO");
    assert_eq!(submit["method"], "POST");
    assert_eq!(submit["path"], "/external/contacts/unlock");
    assert_eq!(submit["status"], 201);
    assert_eq!(submit["request_id"], desk.request_id.to_string());
    assert_eq!(submit["account"], "default");
    assert_eq!(submit["job_id"], 41);
    assert_eq!(submit["task_id"], "321");
    assert_eq!(submit["event_id"], "139574");
    assert!(submit["duration_ms"].is_u64());
    assert!(submit.get("trace_id").is_none(), "{submit}");
    let poll = &calls[1];
    assert_eq!((&poll["level"], &poll["status"]), (&"WARN".into(), &404.into()));
    assert_eq!(poll["path"], "/external/contacts/unlock-tasks/321");
    assert_eq!((&poll["task_id"], &poll["trace_id"]), (&"321".into(), &"trace-1".into()));
    let balance = &calls[2];
    for absent in ["status", "trace_id", "job_id", "task_id", "event_id"] {
        assert!(balance.get(absent).is_none(), "{balance}");
    }
}

#[tokio::test]
async fn neither_key_nor_contact_reaches_an_error_or_a_log() {
    let (log, _guard) = Log::catch();
    let echo = format!(
        r#"{{"code":400,"message":"{KEY} jane@acme.example +44 7700 900123 refused","errorKey":"{KEY}",
        "traceId":"{KEY}","details":{{"email":"jane@acme.example"}}}}"#
    );
    let profile = r#"{"id":"789","email":{"jane@acme.example":1},"phone":"+44 7700 900123"}"#;
    let mut said = String::new();
    for (status, body) in
        [(400, echo.as_str()), (200, echo.as_str()), (200, profile), (500, "jane@acme.example")]
    {
        let id_header = format!("X-Request-ID: {KEY}\r\n");
        let peer = Peer::answering(status, &id_header, body).await;
        let (desk, client) = (Desk::new(), client(&peer.base));
        let contact = PersonnelId::parse("789").expect("digits");
        let answer = client.profile(desk.caller(), NOW, Channel::Email, &contact).await;
        said.push_str(&spoken(&error(answer)));
        said.push_str(&spoken(&error(submit(&client).await)));
        said.push_str(&format!("{:?} {client:?}", desk.caller()));
    }
    for script in [Script::Stall, Script::Close] {
        let peer = Peer::new(script).await;
        let (desk, client) = (Desk::new(), hasty(&peer.base));
        let contact = PersonnelId::trusted("415555010077");
        let error = error(client.profile(desk.caller(), NOW, Channel::Email, &contact).await);
        assert!(!spoken(&error).contains("415555010077"), "a query value: {}", spoken(&error));
    }
    let all = format!("{said}{}", log.text());
    for secret in [KEY, "canary", "jane", "acme.example", "7700 900", "900123", "personnel_id="] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[tokio::test]
async fn a_key_of_any_shape_is_not_repeated() {
    let desk = Desk { key: SecretString::from("CANARY_4711"), ..Desk::new() };
    let echo =
        r#"{"code":401,"message":"bad key CANARY_4711.","errorKey":"CANARY_4711","traceId":"x-CANARY_4711"}"#;
    let peer = Peer::answering(401, "X-Request-ID: CANARY_4711\r\n", echo).await;
    let answer = client(&peer.base).balance(desk.caller(), NOW).await;
    let error = error(answer);
    assert_eq!(error.failure, Failure::Refused(Refusal::Unauthorized));
    assert!(!spoken(&error).contains("CANARY"), "{}", spoken(&error));
}
