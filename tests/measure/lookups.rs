//! How long one request, its export, and lists take with many requests in the database.

use std::time::Instant;

use crate::resume::history;
use crate::support::{Place, number, quantile, unlimited};

const TRIES: usize = 30;

pub(crate) async fn run(arguments: &[String]) {
    let requests = number(arguments, 0, 1_000_000) as i64;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = "[http]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n";
    let place = Place::new(unlimited(), config).await;
    // A tenth is open.
    history(&mut place.connect().await, requests - requests / 10, requests / 10, 3_600_000).await;
    let before = place.log().len();
    let worker = place.start();
    let url = place.page_url(&worker, before).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let middle = requests / 2;
    let one = format!("requests/{middle}");
    for path in [
        one.as_str(),
        "",
        "requests",
        "requests?status=done",
        "requests?status=accepted",
        "requests?status=rejected",
        "jobs",
        "jobs?state=completed",
        "jobs?state=polling",
        "jobs?state=lost",
    ] {
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let began = Instant::now();
            let answer = client.get(format!("{url}{path}")).send().await.expect("an answer");
            assert!(answer.status().is_success(), "{path}");
            answer.bytes().await.expect("a page");
            took.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        report(&format!("GET /{path}"), took);
    }
    let id = middle.to_string();
    for command in [
        vec!["--version"],
        vec!["request", &id],
        vec!["export", "--request", &id],
        vec!["requests", "--status", "done", "--json"],
        vec!["jobs", "--state", "polling", "--json"],
    ] {
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let began = Instant::now();
            assert!(place.command().args(&command).status().expect("it runs").success(), "{command:?}");
            took.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        report(&format!("unlockd {}", command.join(" ")), took);
    }
}

fn report(what: &str, mut took: Vec<f64>) {
    took.sort_by(f64::total_cmp);
    println!(
        "lookups: {what}: median {:.1} ms, most {:.1} ms (goal 20)",
        quantile(&took, 0.5),
        quantile(&took, 1.0)
    );
}
