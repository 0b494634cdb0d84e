//! Many callers of the HTTP API at once: how long an answer takes.
//!
//! All callers connect and ask at the same moment, so the last one waits for all the others: its time is that of the
//! whole queue. Half of them then repeat their call on the same connection; the others are cut off in the middle of the
//! answer, connect again and repeat it. A time is that from before the call, and before its connection if it has a new
//! one, to the last byte of the answer, or to the byte where it is cut off. The client shares the machine with the worker, so it
//! speaks HTTP by itself: a client library would need as much of the processors as the worker. Rows are not taken
//! meanwhile (`inbox.watch = false`), so that nothing but the answers is measured.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Place, cpu_seconds_of, number, quantile, unlimited};

const TOKEN: &str = "token-of-the-callers-bench";
/// Where an answer is cut off: its status is there.
const CUT_AT: usize = 12;

/// `callers [NUMBER] [ROUNDS]`.
pub(crate) async fn run(arguments: &[String]) {
    let (callers, rounds) = (number(arguments, 0, 200), number(arguments, 1, 10));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = "[http]\nlisten = \"127.0.0.1:0\"\ntokens.many = { token_file = \"token\", scopes = [\"read\", \"enqueue\"] }\n\
                  [log]\nformat = \"json\"\n[inbox]\nwatch = false\n";
    let place = Place::new(unlimited(), config).await;
    let token = place.path("token");
    std::fs::write(&token, TOKEN).expect("written");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("set");
    // The run that made the database has its lines there.
    let before = place.log().len();
    let worker = place.start();
    let url = place.page_url(&worker, before).await;
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (cpu_before, own_before, mut all) = (worker.cpu_seconds(), cpu_seconds_of("self"), Vec::new());
    for round in 0..rounds {
        let mut took = at_once(&address, round * callers, callers).await;
        took.sort_by(f64::total_cmp);
        println!(
            "  round {}: p50 {:.0} ms, p99 {:.0} ms",
            round + 1,
            quantile(&took, 0.5),
            quantile(&took, 0.99)
        );
        all.extend(took);
    }
    all.sort_by(f64::total_cmp);
    let calls = all.len() as f64;
    let mut connection = place.connect().await;
    let rows = place.number(&mut connection, "select count(*) from inbox").await;
    assert_eq!(rows as u64, callers * rounds, "each request exists once");
    println!(
        "callers: {callers} at once, {rounds} times, {calls} calls: p50 {:.0} ms, p99 {:.0} ms (goal 100), most {:.0} ms; \
         CPU for each call: worker {:.2} ms, client {:.2} ms; {rows} requests",
        quantile(&all, 0.5),
        quantile(&all, 0.99),
        quantile(&all, 1.0),
        (worker.cpu_seconds() - cpu_before) * 1_000.0 / calls,
        (cpu_seconds_of("self") - own_before) * 1_000.0 / calls,
    );
}

/// The callers numbered from `first`, all at once; the times of their calls, in milliseconds.
async fn at_once(address: &str, first: u64, callers: u64) -> Vec<f64> {
    let asking: Vec<_> = (first..first + callers)
        .map(|caller| tokio::spawn(ask_twice(address.to_owned(), caller, caller % 2 == 1)))
        .collect();
    let mut took = Vec::new();
    for asked in asking {
        took.extend(asked.await.expect("it was answered"));
    }
    took.iter().map(|took: &Duration| took.as_secs_f64() * 1_000.0).collect()
}

/// Asks for something new, and again with the same key.
async fn ask_twice(address: String, caller: u64, is_cut_off: bool) -> [Duration; 2] {
    let body = format!("{{\"personnel_ids\": [\"{}\"]}}", 1_000_000 + caller * 100);
    let call = format!(
        "POST /api/v1/requests HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\nidempotency-key: k{caller}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let began = Instant::now();
    let mut stream = TcpStream::connect(&address).await.expect("connected");
    let status = if is_cut_off { begin(&mut stream, &call).await } else { ask(&mut stream, &call).await };
    let new = began.elapsed();
    assert_eq!(status, "201");
    let began = Instant::now();
    if is_cut_off {
        stream = TcpStream::connect(&address).await.expect("connected");
    }
    assert_eq!(ask(&mut stream, &call).await, "200");
    [new, began.elapsed()]
}

/// The status of the answer, of which nothing more is read.
async fn begin(stream: &mut TcpStream, call: &str) -> String {
    stream.write_all(call.as_bytes()).await.expect("written");
    let mut begun = [0; CUT_AT];
    stream.read_exact(&mut begun).await.expect("the answer begins");
    status(&begun)
}

/// The status of the answer, which is read to its end.
async fn ask(stream: &mut TcpStream, call: &str) -> String {
    stream.write_all(call.as_bytes()).await.expect("written");
    let mut answer = Vec::with_capacity(2_048);
    loop {
        let read = stream.read_buf(&mut answer).await.expect("an answer");
        assert!(read > 0, "cut off after {:?}", String::from_utf8_lossy(&answer));
        if is_whole(&answer) {
            return status(&answer);
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|text| text.parse().ok()).expect("an answer says its length");
    body.len() >= length
}

fn status(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[9..CUT_AT]).into_owned()
}
