//! The search for a person's events: a GET that costs. Nothing may repeat it, and what it found is kept.

use serde_json::Value;
use unlockd::worker::run::driver::End;

use crate::support::relay::Altered;
use crate::support::{Setup, Town};

const PATH: &str = "/personnel/events/by-name";

async fn search(town: &mut Town, name: &str, max_pages: u32) -> i64 {
    let values = format!("'search_personnel_events', '{name}', {max_pages}");
    town.insert_row("action, query, max_pages", &values).await
}

async fn found(town: &mut Town, request: i64) -> (String, Option<i64>, Option<usize>) {
    let sql =
        format!("select outcome, credits_used, result from action_results where request_id = {request}");
    let (outcome, credits, result): (String, Option<i64>, Option<String>) = town.one(&sql).await;
    let items = result.map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
    (outcome, credits, items.and_then(|items| items.as_array().map(Vec::len)))
}

async fn booked(town: &mut Town) -> i64 {
    town.number("select coalesce(sum(credits), 0) from ledger where entry = 'charge'").await
}

#[tokio::test]
async fn a_person_is_searched_for_page_by_page_over_a_get_that_no_cache_answers() {
    let mut town = Setup::default().recorded().build().await;
    let request = search(&mut town, "Zoë O''Neil+Smith & many", 2).await;
    town.finish_all().await;
    assert_eq!(found(&mut town, request).await, ("found".to_owned(), Some(100), Some(200)));
    let calls: Vec<_> = town.exchanges().into_iter().filter(|call| call.path.contains(PATH)).collect();
    let name = "person_name=Zo%C3%AB%20O%27Neil%2BSmith%20%26%20many";
    let expected = [1, 2].map(|page| format!("/external{PATH}?{name}&page={page}&pageSize=100"));
    assert_eq!(calls.iter().map(|call| call.path.as_str()).collect::<Vec<_>>(), expected);
    for call in &calls {
        assert_eq!((call.method.as_str(), &call.body), ("GET", &Value::Null));
        assert_eq!(call.headers["cache-control"], "no-cache, no-store");
        assert_eq!(call.headers["x-call-source"], "api");
    }
    let prechecks: Vec<_> = town.calls("/precheck").iter().map(|call| call.body.clone()).collect();
    assert_eq!(prechecks[0]["action_type"], "search_personnel_events_by_name");
    assert_eq!(prechecks[0]["params"], serde_json::json!({ "person_name": "Zoë O'Neil+Smith & many" }));
    let statuses: Vec<(i64,)> = town.all("select status from attempts").await;
    assert_eq!(statuses, [(200,), (200,)], "the status that came");
    assert_eq!((town.sandbox.accounting().charged_total, booked(&mut town).await), (100, 100));
    assert_eq!(town.verdicts().await, [(100, "matched".to_owned())]);
    town.check().await;
}

#[tokio::test]
async fn a_person_whom_nobody_knows_costs_nothing() {
    let mut town = Town::new().await;
    let request = search(&mut town, "nobody", 3).await;
    town.finish_all().await;
    assert_eq!(found(&mut town, request).await.0, "nothing_found");
    assert_eq!(town.calls(PATH).len(), 1);
    assert_eq!((town.sandbox.accounting().charged_total, booked(&mut town).await), (0, 0));
    town.check().await;
}

/// Whatever is done to the answer of the GET, it is made once: a person decides.
#[tokio::test]
async fn a_lost_answer_waits_for_a_person_and_the_get_is_never_made_again() {
    let table = [
        ("lost-answer=timeout", 50, "probably charged"),
        ("lost-answer=reset", 50, "probably charged"),
        ("lost-answer=500", 50, "probably charged"),
        ("broken=truncated", 50, "probably charged"),
        ("lost-request", 0, "nothing left the balance"),
        ("lost-request=reset", 0, "nothing left the balance"),
        ("gateway=502", 0, "nothing left the balance"),
        ("redirect=/external/personnel/events/by-name?person_name=Ada", 0, "nothing left the balance"),
        ("status=304", 0, "nothing left the balance"),
    ];
    for (fault, charged, word) in table {
        let mut town = Setup::default().config("API__TIMEOUT", "500ms").build().await;
        town.fault(&format!("{fault}@by-name"));
        let request = search(&mut town, "Ada Example", 1).await;
        let end = town.finish().await;
        assert!(matches!(end, End::WaitsForPerson(_)), "{fault}: {end:?}");
        assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)", "{fault}");
        assert_eq!(town.calls(PATH).len(), 1, "{fault}: never sent again by itself");
        let (evidence,): (String,) = town.one("select evidence from jobs").await;
        assert!(evidence.contains(word), "{fault}: {evidence}");
        town.restart().await;
        town.finish().await;
        assert_eq!(town.calls(PATH).len(), 1, "{fault}: nor by another worker");

        town.resubmit(1).await;
        town.finish_all().await;
        assert_eq!(found(&mut town, request).await.0, "found", "{fault}");
        assert_eq!(town.sandbox.accounting().charged_total, charged + 50, "{fault}");
        assert_eq!(booked(&mut town).await, charged + 50, "{fault}: the lost answer counts, too");
        town.check().await;
    }
}

#[tokio::test]
async fn a_search_for_a_person_killed_after_any_of_its_calls_is_never_paid_for_twice_by_itself() {
    let mut in_doubt = 0;
    for call in 0..20 {
        let mut town = Town::new().await;
        if call > 0 {
            town.fault(&format!("{call}x:pass"));
        }
        town.fault("lost-answer=timeout");
        let request = search(&mut town, "Ada Example", 1).await;
        let killed = town.killed_when_silent(200_000).await;
        town.sandbox.clear_faults();
        if !killed {
            assert_eq!(in_doubt, 1, "the paid call is one of {call}");
            town.finish_all().await;
            return town.check().await;
        }
        town.start().await;
        match town.finish().await {
            End::WaitsForPerson(_) => in_doubt += 1,
            _ => assert_eq!(found(&mut town, request).await.0, "found", "killed at call {call}"),
        }
        assert_eq!(town.calls(PATH).len(), 1, "killed at call {call}");
        assert_eq!(town.sandbox.accounting().charged_total, 50, "killed at call {call}");
        town.check().await;
    }
    panic!("more calls than expected");
}

#[tokio::test]
async fn what_the_api_refuses_is_rejected_with_its_word() {
    for (precheck, key) in [("true", "forbidden"), ("false", "USER_HAS_NO_FEATURE")] {
        let mut town = Setup::default().config("SUBMIT__PRECHECK", precheck).build().await;
        town.sandbox.set_subscribed(false);
        let request = search(&mut town, "Ada Example", 1).await;
        town.finish_all().await;
        let (status, reason) = town.inbox(request).await;
        let reason = reason.expect("a reason");
        let said = format!(
            "its search was rejected by the API ({key}): nothing was charged; it needs an active paid subscription of \
             the key's owner"
        );
        assert_eq!((status.as_str(), reason), ("done", said));
        assert_eq!(town.calls(PATH).len(), usize::from(precheck == "false"));
        assert_eq!(booked(&mut town).await, 0);
        town.check().await;
    }
}

/// The fallback of the vendor's guard.
#[tokio::test]
async fn a_403_stops_the_account_and_says_why() {
    let mut town = Town::new().await;
    town.fault("403@by-name");
    search(&mut town, "Ada Example", 1).await;
    town.tick(1_000).await;
    assert_eq!(town.job_state(1).await, "queued (invalid_api_key)");
    let attempts: Vec<(i64, String)> = town.all("select status, error_key from attempts").await;
    assert_eq!(attempts, [(403, "NO_ACTIVE_SUBSCRIPTION".to_owned())]);
    assert_eq!(town.calls(PATH).len(), 1);
    town.check().await;
}

/// Public reports: APIs that answer 200 with an error beside, or in the place of, an empty result.
#[tokio::test]
async fn a_200_that_says_an_error_is_not_an_empty_result() {
    for body in [
        r#"{"error":{"errorCode":"4742","errorMessage":"Session expired"}}"#,
        r#"{"success":false,"items":[],"total":0}"#,
        r#"{"items":[],"total":0,"errors":["shard 3 did not answer"]}"#,
        r#"{"status":"error","items":null,"total":0}"#,
        r#"{"errorKey":"SOMETHING_NEW","items":[],"total":0}"#,
        r#"{"code":500,"message":"m","traceId":"t","items":[]}"#,
    ] {
        let mut town = Setup::default().recorded().build().await;
        town.change(move |exchange| exchange.path.contains(PATH).then(|| Altered::new(200, body)).flatten());
        let request = search(&mut town, "nobody", 1).await;
        let end = town.finish().await;
        assert!(matches!(end, End::WaitsForPerson(_)), "{body}: {end:?}");
        assert_eq!(found(&mut town, request).await.0, "pending", "{body}");
        assert_eq!(town.calls(PATH).len(), 1, "{body}");
        town.write_off(1).await;
        town.finish_all().await;
        town.check().await;
    }
}

/// The same keys without a code beside them are refusals all the same.
#[tokio::test]
async fn a_200_with_a_known_error_key_alone_is_that_refusal() {
    for (body, state) in [
        (r#"{"errorKey":"USER_HAS_NO_FEATURE","message":"Not available to free users"}"#, "rejected"),
        (r#"{"code":"USER_HAS_NO_FEATURE","errorKey":"USER_HAS_NO_FEATURE"}"#, "rejected"),
        (r#"{"errorKey":"INSUFFICIENT_CREDITS","traceId":"t"}"#, "queued (insufficient_credits)"),
        (r#"{"errorKey":"CREDIT_OPERATION_IN_PROGRESS","traceId":"t"}"#, "queued (conflict)"),
    ] {
        let mut town = Setup::default().recorded().build().await;
        town.change(move |exchange| exchange.path.contains(PATH).then(|| Altered::new(200, body)).flatten());
        search(&mut town, "nobody", 1).await;
        town.settle().await;
        assert_eq!(town.job_state(1).await, state, "{body}");
        assert_eq!((town.calls(PATH).len(), booked(&mut town).await), (1, 0), "{body}");
        town.check().await;
    }
}

/// A gateway that takes a GET for harmless sends it to the API twice when the first try is slow. Nothing here can
/// keep it from that; the audit shows it.
#[tokio::test]
async fn a_gateway_that_repeats_the_get_shows_in_the_audit() {
    let mut town = Setup::default().recorded().build().await;
    let request = search(&mut town, "Ada Example", 1).await;
    town.tick(0).await;
    town.sandbox.spend(50);
    town.finish_all().await;
    assert_eq!(found(&mut town, request).await, ("found".to_owned(), Some(50), Some(45)));
    assert_eq!(town.calls(PATH).len(), 1, "we sent it once");
    town.check().await;
}
