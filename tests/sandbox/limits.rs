//! Keys, limits, time.

use std::time::Duration;

use serde_json::json;
use unlockd::sandbox::{Endpoint, Fault, FaultKind, Options};

use crate::{header, read, send, town, town_with};

#[tokio::test]
async fn a_call_without_the_right_key_is_refused_and_not_counted() {
    let town =
        town(Options { api_key: Some("uak_test".to_owned()), rate_limit: 2, ..Options::default() }).await;
    let url = format!("{}/external/credits/balance", town.sandbox.base_url());
    for request in [town.client.get(&url), town.client.get(&url).bearer_auth("wrong")] {
        assert_eq!(read(request, 401).await["errorKey"], "INVALID_API_KEY");
    }
    town.unlock(&["1"]).await;
    town.sandbox.set_api_key(Some("uak_new".to_owned()));
    read(town.get("/external/credits/balance"), 401).await;
    let path = "/external/contacts/unlock-tasks/321";
    let url = format!("{}{path}", town.sandbox.base_url());
    read(town.client.get(url).bearer_auth("uak_new"), 200).await;
}

#[tokio::test]
async fn the_rate_limit_is_announced_and_kept_until_its_window_ends() {
    let town = town(Options { rate_limit: 3, clock_skew: 5_000, ..Options::default() }).await;
    let ends_ms = town.sandbox.now_ms() + 60_000;
    let call = || town.get("/external/credits/balance");
    let first = send(call()).await;
    assert_eq!(header(&first, "x-ratelimit-limit").as_deref(), Some("3"));
    assert_eq!(header(&first, "x-ratelimit-remaining").as_deref(), Some("2"));
    let reset = ((ends_ms + 5_000 + 999) / 1000).to_string();
    assert_eq!(header(&first, "x-ratelimit-reset"), Some(reset));
    town.sandbox.use_up_calls(1);
    let second = send(call()).await;
    assert_eq!(header(&second, "x-ratelimit-remaining").as_deref(), Some("0"));
    town.sandbox.advance(Duration::from_millis(20_500));
    let refused = send(call()).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("40"));
    assert_eq!(header(&refused, "x-ratelimit-limit"), None);
    town.sandbox.advance(Duration::from_millis(39_500));
    assert_eq!(send(call()).await.status(), 200);
}

#[tokio::test]
async fn the_date_header_is_off_by_the_skew() {
    let town = town(Options { clock_skew: -3_600_000, rate_headers: false, ..Options::default() }).await;
    let response = send(town.get("/external/credits/balance")).await;
    let date = httpdate::parse_http_date(&header(&response, "date").expect("a date"));
    let date = date.expect("an HTTP date").duration_since(std::time::UNIX_EPOCH);
    let date = i64::try_from(date.expect("after 1970").as_secs()).expect("not so far off");
    assert_eq!(date, (town.sandbox.now_ms() - 3_600_000) / 1000);
    assert_eq!(header(&response, "x-ratelimit-limit"), None);
}

#[tokio::test]
async fn the_journal_has_every_request_with_what_became_of_it() {
    let town = town(Options {
        faults: vec![Fault::once(FaultKind::Status(503)).at(Endpoint::Unlock)],
        ..Options::default()
    })
    .await;
    let request = || town.unlocking(&["1"]).header("x-request-id", "mine").header("x-call-source", "agent");
    read(request(), 503).await;
    read(request(), 201).await;
    let journal = town.sandbox.journal();
    assert_eq!(journal.len(), 2);
    assert_eq!((journal[0].status, journal[0].carried_out), (Some(503), false));
    assert_eq!(journal[0].fault.as_deref(), Some("status=503"));
    let call = &journal[1];
    assert_eq!((call.status, call.carried_out), (Some(201), true));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/external/contacts/unlock"));
    assert_eq!(call.key.as_deref(), Some("uak_test"));
    assert_eq!(call.request_id.as_deref(), Some("mine"));
    assert_eq!(call.call_source.as_deref(), Some("agent"));
    assert_eq!(call.body, json!({ "personnel_ids": ["1"] }));
    assert_eq!(call.at_ms, town.sandbox.now_ms());
}

#[tokio::test]
async fn a_stopped_sandbox_ends_its_connections_and_frees_its_port() {
    let town = town_with("lost-answer=timeout@balance").await;
    let hanging = tokio::spawn(town.get("/external/credits/balance").send());
    while town.sandbox.journal().is_empty() {
        tokio::task::yield_now().await;
    }
    let address = town.sandbox.address();
    town.sandbox.stop().await;
    assert!(hanging.await.expect("no panic").is_err());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
