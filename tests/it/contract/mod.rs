//! Client and sandbox compared with the vendor's own description of the API.
//!
//! `tests/fixtures/lensmor-openapi.json` is the vendor's file, unchanged; `jsonschema` reads it. Our requests
//! must match it, without anything additional; the sandbox's answers must match it, errors included. A relay
//! records the real traffic, and that is checked.

mod openapi;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use unlockd::sandbox::{self, Options, Time};

use crate::support::Setup;
use crate::support::relay::{Exchange, Relay};
use openapi::Document;

/// Every outcome that an id can have, and one more.
fn every_fate() -> Vec<String> {
    (0..12).map(|last| (500_088 + last).to_string()).collect()
}

/// All calls and answers of a worker's whole run, with errors of every documented status.
async fn journey() -> Vec<Exchange> {
    let mut town = Setup::default().recorded().build().await;
    let ids = json!(every_fate()).to_string();
    town.insert_row("event_id, personnel_ids", &format!("'139574', '{ids}'")).await;
    town.insert_row("action, personnel_ids", &format!("'unlock_contact_phones', '{ids}'")).await;
    town.insert_row("action, event_id", "'unlock_event_contacts', '7'").await;
    town.insert_row("action, event_id", "'unlock_event_visitors', '7'").await;
    town.insert_row("action, event_id", "'unlock_event_full_access', '9'").await;
    town.insert_row("action, query", "'search_personnel_events', 'Ada Example'").await;
    town.insert_row("action, query, max_pages", "'search_exhibitor_companies', 'Acme many', 2").await;
    town.insert_row("action, query", "'search_exhibitor_events', 'Acme'").await;
    town.finish_all().await;
    let refusals = [
        "429@unlock",
        "409@unlock",
        "429@poll",
        "429@balance",
        "400@unlock",
        "422@unlock-phone",
        "404@unlock",
    ];
    for (number, fault) in refusals.iter().enumerate() {
        town.fault(fault);
        let action = if fault.contains("phone") { "unlock_contact_phones" } else { "unlock_contact_emails" };
        let columns = "action, event_id, personnel_ids";
        town.insert_row(columns, &format!("'{action}', 'event-{number}', '[\"{}\"]'", 600_000 + number))
            .await;
        town.finish().await;
    }
    town.fault("404@poll");
    town.insert(None, &["700001"]).await;
    town.finish_all().await;
    town.fault("402@unlock");
    town.insert(None, &["700002"]).await;
    town.finish().await;
    town.sandbox.set_api_key(Some("uak_other".to_owned()));
    // The balance is read at times, since the refused job waits for credits.
    town.tick(20_000).await;
    let exchanges = town.exchanges();
    town.check().await;
    exchanges
}

#[tokio::test]
async fn what_the_client_sends_and_the_sandbox_answers_is_what_the_vendor_describes() {
    let (document, exchanges) = (Document::of_the_vendor(), journey().await);
    let mut seen = BTreeSet::new();
    for exchange in &exchanges {
        let operation = document.judge(exchange).unwrap_or_else(|problem| panic!("{problem}\n{exchange:#?}"));
        seen.insert((operation, exchange.status));
    }
    let operations: BTreeSet<String> = seen.iter().map(|(operation, _)| operation.clone()).collect();
    let used = document.operations(&["used"]);
    assert_eq!(operations, used, "operations that the journey did not come to");
    let statuses: BTreeSet<u16> = seen.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, BTreeSet::from([200, 201, 400, 401, 402, 404, 409, 422, 429]));
}

/// Calls to every operation, with answers of each documented kind.
fn calls_of_every_operation() -> Vec<(&'static str, &'static str, Value)> {
    let company = |page: u32| json!({ "company_name": "Acme", "page": page, "pageSize": 20 });
    vec![
        ("GET", "/external/credits/balance", Value::Null),
        (
            "POST",
            "/external/actions/precheck",
            json!({ "action_type": "unlock_event_contacts", "params": { "event_id": "7" } }),
        ),
        ("POST", "/external/contacts/unlock", json!({ "personnel_ids": every_fate(), "event_id": "7" })),
        ("POST", "/external/contacts/unlock", json!({ "personnel_ids": ["193"] })),
        ("GET", "/external/contacts/unlock-tasks/321", Value::Null),
        ("POST", "/external/contacts/unlock-phone", json!({ "personnel_ids": every_fate() })),
        ("GET", "/external/contacts/unlock-phone-tasks/322", Value::Null),
        ("POST", "/external/events/7/unlock", Value::Null),
        ("POST", "/external/events/7/unlock", Value::Null),
        ("POST", "/external/events/404/unlock", Value::Null),
        ("POST", "/external/events/887/visitors/unlock", Value::Null),
        ("POST", "/external/events/7/visitors/unlock", Value::Null),
        ("POST", "/external/events/9/visitors/unlock", Value::Null),
        ("POST", "/external/events/9/full-access/unlock", Value::Null),
        ("POST", "/external/events/9/full-access/unlock", Value::Null),
        ("POST", "/external/events/8/full-access/unlock", Value::Null),
        ("GET", "/external/personnel/list?event_id=139250&page=2", Value::Null),
        ("GET", "/external/personnel/list?event_id=7&sourceType=visitors", Value::Null),
        ("GET", "/external/contacts/search?company_name=Example", Value::Null),
        ("GET", "/external/personnel/events/by-name?person_name=Ada", Value::Null),
        ("GET", "/external/personnel/events/by-name?person_name=nobody", Value::Null),
        ("GET", "/external/personnel/events/by-name?person_name=concurrent", Value::Null),
        ("POST", "/external/personnel/unlock-linkedin-activity", json!({ "personnel_ids": every_fate() })),
        ("GET", "/external/personnel/list?event_id=7&level=vp", Value::Null),
        (
            "POST",
            "/external/personnel/generate-outreach-message",
            json!({ "personnel_ids": ["1"], "event_id": "887", "channels": ["email"] }),
        ),
        ("POST", "/external/exhibitors/search-events", json!({ "company_name": "concurrent" })),
        (
            "GET",
            "/external/personnel/events/by-name?person_name=A&attendance_scope=all&pageSize=5",
            Value::Null,
        ),
        ("GET", "/external/personnel/profile?personnel_id=193", Value::Null),
        ("GET", "/external/personnel/list?event_id=7&page=1&pageSize=20", Value::Null),
        ("POST", "/external/exhibitors/search-by-company-name", company(1)),
        ("POST", "/external/exhibitors/search-by-company-name", company(9)),
        ("POST", "/external/exhibitors/search-events", company(1)),
        ("POST", "/external/exhibitors/search-events", company(3)),
    ]
}

#[tokio::test]
async fn what_the_sandbox_answers_to_every_operation_is_what_the_vendor_describes() {
    let options = Options { time: Time::Manual, balance: 50_000, ..Options::default() };
    let sandbox = sandbox::start(options).await.expect("a free port");
    let (document, relay) = (Document::of_the_vendor(), Relay::start(sandbox.base_url()).await);
    for (method, path, body) in calls_of_every_operation() {
        relay.call(method, path, body).await;
        sandbox.advance(Duration::from_secs(5));
    }
    sandbox.set_subscribed(false);
    let by_name = "/external/personnel/events/by-name?person_name=Ada";
    relay.call("GET", by_name, Value::Null).await;
    relay.call("POST", "/external/events/7/visitors/unlock", Value::Null).await;
    relay.call("POST", "/external/events/7/full-access/unlock", Value::Null).await;
    for fault in ["403@by-name", "error=409:CREDIT_OPERATION_IN_PROGRESS@event"] {
        sandbox.inject(fault.parse().expect("a fault"));
    }
    relay.call("GET", by_name, Value::Null).await;
    relay.call("POST", "/external/events/7/unlock", Value::Null).await;
    let mut seen = BTreeSet::new();
    for exchange in &relay.exchanges() {
        seen.insert(document.judge(exchange).unwrap_or_else(|problem| panic!("{problem}\n{exchange:#?}")));
    }
    let mut expected = document.operations(&["used", "missing"]);
    expected.insert("searchContacts".to_owned());
    assert_eq!(seen, expected, "an operation of the vendor's file that nothing tried");
}

/// Tests the checker itself: each of these differs from a correct exchange in one thing.
#[tokio::test]
async fn a_wrong_word_on_either_side_of_the_wire_is_noticed() {
    let document = Document::of_the_vendor();
    let right = Exchange {
        method: "POST".to_owned(),
        path: "/external/contacts/unlock".to_owned(),
        headers: [
            ("authorization", "Bearer uak_x"),
            ("content-type", "application/json"),
            ("x-call-source", "api"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        body: json!({ "personnel_ids": ["1"], "event_id": "7" }),
        status: 201,
        answer_headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        answer: json!({ "status": "accepted", "task_id": "1", "job_id": "1" }),
    };
    assert_eq!(document.judge(&right), Ok("unlockContactEmails".to_owned()));
    type Change = fn(&mut Exchange);
    let wrong: [(&str, Change); 12] = [
        ("no such method", |e| e.method = "PUT".to_owned()),
        ("no such path", |e| e.path = "/external/contacts/unlocks".to_owned()),
        ("a parameter that nobody described", |e| e.path += "?dry_run=1"),
        ("no key", |e| drop(e.headers.remove("authorization"))),
        ("a header with another word", |e| {
            drop(e.headers.insert("x-call-source".to_owned(), "cron".to_owned()))
        }),
        ("not JSON", |e| drop(e.headers.insert("content-type".to_owned(), "text/plain".to_owned()))),
        ("a number for a text", |e| e.body = json!({ "personnel_ids": [1] })),
        ("an empty list", |e| e.body = json!({ "personnel_ids": [] })),
        ("a field that nobody described", |e| e.body["eventId"] = json!("7")),
        ("a status that is not documented", |e| e.status = 418),
        ("a task that is no number", |e| e.answer["task_id"] = json!("task-1")),
        ("accepted without a task", |e| e.answer = json!({ "status": "accepted" })),
    ];
    for (name, change) in wrong {
        let mut exchange = right.clone();
        change(&mut exchange);
        assert!(document.judge(&exchange).is_err(), "{name} was not noticed");
    }
}
