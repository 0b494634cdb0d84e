//! Faults.

use std::time::Duration;

use serde_json::json;
use unlockd::sandbox::Fault;

use crate::{header, quiet_town, read, send, town_with};

#[tokio::test]
async fn a_lost_request_is_not_carried_out() {
    for fault in ["lost-request@unlock", "lost-request=reset@unlock"] {
        let town = town_with(fault).await;
        assert!(town.unlocking(&["1"]).send().await.is_err(), "{fault}");
        let call = &town.sandbox.journal()[0];
        assert_eq!((call.status, call.carried_out), (None, false));
        assert_eq!(town.charged("1"), 0);
        assert_eq!(town.unlock(&["1"]).await["status"], "accepted");
    }
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_once() {
    for fault in ["lost-answer@unlock", "lost-answer=reset", "lost-answer=cut:40@unlock"] {
        let town = town_with(fault).await;
        assert!(town.unlocking(&["1"]).send().await.is_err(), "{fault}");
        let call = &town.sandbox.journal()[0];
        assert!(call.carried_out);
        assert_eq!(town.charged("1"), 1);
        assert_eq!(town.sandbox.journal().len(), 1);
        assert_eq!(town.balance().await, 9_985);
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_on_the_wire() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (fault, end) in [("lost-answer=reset", None), ("lost-answer", Some(0))] {
        let town = town_with(fault).await;
        let address = town.sandbox.address();
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let call = "GET /external/credits/balance HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n\r\n";
        stream.write_all(call.as_bytes()).await.expect("it reads");
        assert_eq!(stream.read(&mut [0; 9]).await.ok(), end, "{fault}");
    }
}

#[tokio::test]
async fn a_truncated_answer_ends_in_the_middle_of_its_body() {
    let town = town_with("lost-answer=truncate@unlock").await;
    let response = send(town.unlocking(&["1"])).await;
    assert_eq!(response.status(), 201);
    assert!(response.bytes().await.is_err());
    assert_eq!(town.charged("1"), 1);
    assert_eq!(town.sandbox.journal()[0].status, Some(201));
}

#[tokio::test]
async fn an_answer_can_be_cut_at_every_byte() {
    let town = quiet_town().await;
    let whole = send(town.get("/external/credits/balance")).await;
    assert_eq!(whole.status(), 200);
    for bytes in 0..300 {
        let fault = format!("lost-answer=cut:{bytes}@balance");
        town.sandbox.inject(fault.parse().expect("the grammar has it"));
        let body = match town.get("/external/credits/balance").send().await {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        assert!(body.is_err(), "{bytes}");
        town.sandbox.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn a_cut_behind_the_end_of_an_answer_spares_the_next() {
    let town = town_with("lost-answer=cut:2000@balance").await;
    for _ in 0..5 {
        assert_eq!(town.balance().await, 10_000);
    }
}

#[tokio::test]
async fn an_answer_can_be_lost_behind_an_error_page() {
    for status in [500, 502] {
        let town = town_with(&format!("lost-answer={status}@unlock")).await;
        let response = send(town.unlocking(&["1"])).await;
        assert_eq!(response.status().as_u16(), status);
        assert!(response.text().await.expect("a body").contains("<html>"));
        assert_eq!(town.charged("1"), 1);
    }
}

#[tokio::test]
async fn an_answer_can_stay_away() {
    for fault in ["lost-answer=timeout@unlock", "slow=1h@unlock"] {
        let town = town_with(fault).await;
        town.abandon(town.unlocking(&["1"])).await;
        assert_eq!(town.charged("1"), 1);
        assert_eq!(town.sandbox.journal()[0].status, None);
    }
}

#[tokio::test]
async fn a_late_call_takes_effect_after_its_client_has_gone() {
    let town = town_with("late=5m@unlock").await;
    town.abandon(town.unlocking(&["1"])).await;
    assert_eq!(town.charged("1"), 0);
    town.advance(300);
    while town.charged("1") == 0 {
        tokio::task::yield_now().await;
    }
    assert!(town.sandbox.journal()[0].carried_out);
}

#[tokio::test]
async fn a_dripping_answer_comes_byte_by_byte() {
    let town = town_with("drip@unlock").await;
    let mut response = send(town.unlocking(&["1"])).await;
    let first = response.chunk().await.expect("a piece").expect("not the end");
    assert_eq!(&first[..], b"{");
    assert_eq!(town.charged("1"), 1);
}

#[tokio::test]
async fn a_broken_body_comes_with_the_right_status_and_the_effect() {
    for (how, body) in [
        ("html", "<html>"),
        ("empty", ""),
        ("truncated", "{\"job_id\":\"321\",\"status\":\""),
        ("types", "{\"job_id\":{},\"status\":{},\"task_id\":{}}"),
    ] {
        let town = town_with(&format!("broken={how}@unlock")).await;
        let response = send(town.unlocking(&["1"])).await;
        assert_eq!(response.status(), 201);
        let text = response.text().await.expect("all of it");
        assert!(text.starts_with(body) && (how == "html" || text == body), "{text}");
        assert_eq!(town.charged("1"), 1);
    }
}

#[tokio::test]
async fn a_task_can_name_strangers_and_what_is_no_item_and_speak_of_what_nobody_knows() {
    let town = quiet_town().await;
    town.unlock(&["1"]).await;
    for fault in ["broken=strangers@poll", "broken=unknown@poll", "broken=odd@poll", "broken=unlisted@poll"] {
        town.sandbox.inject(fault.parse().expect("the grammar has it"));
    }
    let strangers = town.task("321").await;
    let ids: Vec<_> = (0..3).map(|place| &strangers["items"][place]["personnelId"]).collect();
    assert_eq!(ids, ["1", "1", "777777777777"]);
    let unknown = town.task("321").await;
    assert_eq!(unknown["taskStatus"], "unheard_of");
    assert_eq!(unknown["items"][0]["status"], "unheard_of");
    let odd = town.task("321").await;
    assert_eq!(odd["items"][0], serde_json::Value::Null);
    assert_eq!(odd["items"][4]["personnelId"], serde_json::json!({}));
    assert_eq!(odd["items"][5]["personnelId"], "1");
    let unlisted = town.task("321").await;
    assert_eq!((unlisted["taskId"].as_str(), unlisted.get("items")), (Some("321"), None));
}

#[tokio::test]
async fn a_deep_body_is_nested_beyond_reading() {
    let town = town_with("broken=deep@balance").await;
    let response = send(town.get("/external/credits/balance")).await;
    assert_eq!(response.text().await.expect("all of it").len(), 500_000);
}

#[tokio::test]
async fn a_huge_body_goes_on_beyond_any_sensible_limit() {
    let town = town_with("broken=huge@balance").await;
    let mut response = send(town.get("/external/credits/balance")).await;
    let mut length = 0;
    while length < 4 << 20 {
        let piece = response.chunk().await.expect("a piece").expect("not the end");
        length += piece.len();
    }
}

#[tokio::test]
async fn a_scripted_429_carries_the_retry_after_as_written() {
    for (fault, retry_after) in [
        ("429=7", Some("7")),
        ("429=Wed, 21 Oct 2026 07:28:00 GMT@balance", Some("Wed, 21 Oct 2026 07:28:00 GMT")),
        ("429=-99999999999999999999", Some("-99999999999999999999")),
        ("429=none", None),
        ("429", Some("60")),
    ] {
        let town = town_with(fault).await;
        let response = send(town.get("/external/credits/balance")).await;
        assert_eq!(response.status(), 429);
        assert_eq!(header(&response, "retry-after").as_deref(), retry_after, "{fault}");
        let next = send(town.get("/external/credits/balance")).await;
        assert_eq!(header(&next, "x-ratelimit-remaining").as_deref(), Some("119"));
    }
}

#[tokio::test]
async fn a_scripted_status_carries_the_retry_after_as_written() {
    for (fault, status, written) in [
        ("status=503:7", 503, "status=503:7"),
        ("status=500:Wed, 21 Oct 2026 07:28:00 GMT@balance", 500, "status=500:Wed, 21 Oct 2026 07:28:00 GMT"),
        ("status=429:7", 429, "429=7"),
    ] {
        let town = town_with(fault).await;
        let response = send(town.get("/external/credits/balance")).await;
        assert_eq!(response.status(), status, "{fault}");
        let carried = header(&response, "retry-after").expect("a Retry-After");
        assert!(fault.contains(&carried), "{fault}: {carried}");
        let suffered = town.sandbox.journal().remove(0).fault.expect("it is in the journal");
        assert!(suffered.to_string().starts_with(written), "{fault}: {suffered}");
    }
}

#[tokio::test]
async fn an_error_status_is_answered_instead_of_the_call() {
    for (status, error_key) in [
        (401, "INVALID_API_KEY"),
        (402, "INSUFFICIENT_CREDITS"),
        (404, "NOT_FOUND"),
        (409, "STATE_CONFLICT"),
        (422, "LEAD_SELECTION_LIMIT_EXCEEDED"),
        (500, "INTERNAL_ERROR"),
    ] {
        let town = town_with(&status.to_string()).await;
        let error = read(town.unlocking(&["1"]), status).await;
        assert_eq!(error["errorKey"], error_key);
        assert_eq!(town.charged("1"), 0);
    }
}

#[tokio::test]
async fn a_200_can_hold_an_error_and_a_redirect_leads_away() {
    let town = town_with("200-error=400:USER_HAS_NO_FEATURE").await;
    town.sandbox.inject("redirect=http://127.0.0.1:9/x".parse().expect("the grammar has it"));
    let error = read(town.unlocking(&["1"]), 200).await;
    assert_eq!((&error["code"], &error["errorKey"]), (&json!(400), &json!("USER_HAS_NO_FEATURE")));
    let redirect = send(town.unlocking(&["1"])).await;
    assert_eq!(redirect.status(), 307);
    assert_eq!(header(&redirect, "location").as_deref(), Some("http://127.0.0.1:9/x"));
    assert_eq!(town.charged("1"), 0);
}

#[tokio::test]
async fn faults_come_in_order_for_their_endpoint_and_as_often_as_said() {
    let town = town_with("2x:pass@balance").await;
    for fault in ["2x:503@balance", "500@any", "always:502@balance"] {
        town.sandbox.inject(fault.parse().expect("the grammar has it"));
    }
    let mut statuses = Vec::new();
    for path in [
        "credits/balance",
        "credits/balance",
        "personnel/profile?personnel_id=1",
        "credits/balance",
        "credits/balance",
        "credits/balance",
        "credits/balance",
    ] {
        statuses.push(send(town.get(&format!("/external/{path}"))).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 500, 503, 503, 502, 502]);
    town.sandbox.clear_faults();
    assert_eq!(town.balance().await, 10_000);
}

#[test]
fn every_fault_is_written_as_it_was_read() {
    for text in [
        "status=500",
        "429",
        "429=none",
        "429=12",
        "error=409:CREDIT_OPERATION_IN_PROGRESS",
        "gateway=404",
        "429=45.5",
        "429=7|9",
        "200-error=429:BUSY",
        "refuse-id=*13",
        "lagging=5000ms",
        "names-task=504",
        "accepted=202",
        "accepted=203:job_id",
        "task=canceled",
        "rate=absent",
        "rate=milliseconds",
        "rate=from-now",
        "rate=fraction",
        "rate=twice",
        "rate=contrary",
        "redirect=http://h/p",
        "lost-request",
        "lost-request=reset",
        "lost-answer=close",
        "lost-answer=reset",
        "lost-answer=truncate",
        "lost-answer=cut:17",
        "lost-answer=502",
        "lost-answer=timeout",
        "slow=250ms",
        "late=3000ms",
        "drip",
        "broken=html",
        "broken=strangers",
        "broken=odd",
        "broken=unlisted",
        "broken=unknown",
        "broken=null-items",
        "broken=groups",
        "broken=word-id",
        "broken=twice",
        "broken=bom",
        "broken=gzip",
        "broken=deflate",
        "broken=deep",
        "broken=empty",
        "broken=types",
        "broken=truncated",
        "broken=huge",
        "pass",
    ] {
        let fault: Fault = text.parse().expect("the grammar has it");
        assert_eq!(fault.to_string(), text);
        let aimed = format!("always:{text}@poll");
        assert_eq!(aimed.parse::<Fault>().expect("so has it").to_string(), aimed);
    }
}

#[test]
fn what_is_not_a_fault_is_told_why() {
    for (text, why) in [
        ("explode", "there is no kind `explode`"),
        ("status=99", "`99` is not a status from 300 to 599"),
        (
            "500@moon",
            "there is no endpoint `moon`; there are unlock, unlock-phone, poll, balance, precheck, profile, event, visitors, full-access, search, by-name, list, contacts, linkedin, outreach, any",
        ),
        ("gateway=200", "`200` is not a status from 400 to 599"),
        ("accepted=404", "`404` is not a status from 200 to 299"),
        ("error=409", "error is written error=CODE:ERRORKEY"),
        ("rate=odd", "rate headers are absent, milliseconds, from-now, fraction, twice, contrary, not `odd`"),
        ("slow", "`slow` needs an argument, as in `slow=…`"),
        ("slow=5", "`5` is not a duration: write 250ms, 3s, 5m or 24h"),
        ("0x:500", "`0x` is not a number of times"),
        ("drip=2", "there is no `drip` with `2`"),
    ] {
        let error = text.parse::<Fault>().expect_err("not in the grammar");
        assert_eq!(error.to_string(), format!("`{text}` is not a fault: {why}"));
    }
}
