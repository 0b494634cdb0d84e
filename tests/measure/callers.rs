//! Many callers of the HTTP API at once: how long an answer takes.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use crate::support::{Place, number, unlimited};

const TOKEN: &str = "token-of-the-callers-bench";

/// Each caller asks for something new, and then again with the same key.
pub(crate) async fn run(arguments: &[String]) {
    let callers = number(arguments, 0, 200);
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
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let one = |caller: u64, url: String, client: reqwest::Client| async move {
        let mut took = Vec::new();
        for status in [201, 200] {
            let body = format!("{{\"personnel_ids\": [\"{}\"]}}", 1_000_000 + caller * 100);
            let request = client.post(format!("{url}api/v1/requests")).bearer_auth(TOKEN).body(body);
            let request = request.header("idempotency-key", format!("k{caller}"));
            let began = Instant::now();
            let answer = request.header("content-type", "application/json").send().await.expect("an answer");
            let found = answer.status().as_u16();
            answer.bytes().await.expect("a whole answer");
            took.push(began.elapsed());
            assert_eq!(found, status);
        }
        took
    };
    let began = Instant::now();
    let asking: Vec<_> =
        (0..callers).map(|caller| tokio::spawn(one(caller, url.clone(), client.clone()))).collect();
    let mut took = Vec::new();
    for asked in asking {
        took.extend(asked.await.expect("it was answered"));
    }
    let all = began.elapsed();
    took.sort_unstable();
    let quantile = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    let mut connection = place.connect().await;
    let rows = place.number(&mut connection, "select count(*) from inbox").await;
    println!(
        "callers: {callers} at once, {} calls in {:.2} s: p50 {:.0} ms, p99 {:.0} ms (goal 100), most {:.0} ms; {rows} requests",
        took.len(),
        all.as_secs_f64(),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
}
