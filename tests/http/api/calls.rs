//! What each call does.

use serde_json::{Value, json};

use super::{Api, ok, problem, wanted};
use crate::support::Setup;

#[tokio::test]
async fn a_request_is_planned_written_bought_and_read() {
    let mut api = Api::new().await;
    let plan = ok(&api.post("all", "/plans", &wanted(&["101", "102", "101", "x"])).await, 200);
    assert_eq!(
        (&plan["given"], &plan["new"], &plan["repeated"], &plan["invalid"]),
        (&json!(4), &json!(2), &json!(1), &json!(1))
    );
    assert_eq!((&plan["quoted_credits"], &plan["status"]), (&json!(30), &json!("accepted")));
    assert_eq!(api.place.town.number("select count(*) from inbox").await, 0, "a plan writes nothing");

    let answer = api.post("all", "/requests", &wanted(&["101", "102"])).await;
    let written = ok(&answer, 201);
    assert_eq!(answer.header("location"), "/api/v1/requests/1");
    assert_eq!(
        (&written["id"], &written["status"], &written["caller"]),
        (&json!(1), &json!("new"), &json!("all"))
    );
    // A caller that waits for the last one must not stop before a worker has taken the row.
    for shown in [&written, &ok(&api.get("read", "/requests").await, 200)["requests"][0]] {
        assert_eq!((&shown["contacts"], &shown["pending"]), (&json!(2), &json!(2)), "{shown}");
    }
    api.place.town.finish().await;
    let done = ok(&api.get("read", "/requests/1").await, 200);
    assert_eq!(
        (&done["status"], &done["delivered"], &done["caller"]),
        (&json!("done"), &json!(2), &json!("all"))
    );
    let contacts = ok(&api.get("all", "/requests/1/contacts").await, 200);
    let emails: Vec<&Value> =
        contacts["contacts"].as_array().expect("a list").iter().map(|one| &one["email"]).collect();
    assert!(
        emails.len() == 2 && emails.iter().all(|email| email.as_str().is_some_and(|text| text.contains('@')))
    );
    let without = api.get("read", "/requests/1/contacts").await;
    assert_eq!(ok(&without, 200)["contacts"][0]["outcome"], "delivered");
    assert!(!without.text.contains('@') && !without.text.contains("email\":"), "{}", without.text);
    let events = ok(&api.get("read", "/requests/1/events").await, 200);
    assert_eq!(events["events"][0]["event"], "accepted");
    let spend = ok(&api.get("read", "/spend?by=reference&since=2000-01-01").await, 200);
    assert_eq!(
        spend["spend"],
        json!([{"day": null, "account": null, "action": null, "reference": "crm-17",
                                       "jobs": 1, "contacts": 2, "credits": 30}])
    );
    assert_eq!(ok(&api.get("read", "/balance").await, 200)["accounts"][0]["spent_today"], 30);
    assert_eq!(ok(&api.get("read", "/claims").await, 200)["claims"], json!([]));
    api.end().await;
}

#[tokio::test]
async fn a_row_without_contacts_that_no_worker_has_taken_is_one_open_call() {
    let api = Api::new().await;
    for body in [
        json!({"action": "unlock_event_contacts", "event_id": "7"}),
        json!({"action": "search_exhibitor_companies", "query": "Acme, Inc, and many, many more"}),
    ] {
        let written = ok(&api.post("enqueue", "/requests", &body).await, 201);
        assert_eq!((&written["contacts"], &written["pending"]), (&json!(1), &json!(1)), "{written}");
    }
    api.place.end().await;
}

#[tokio::test]
async fn a_plan_counts_what_was_paid_for_and_brought_nothing() {
    let mut api = Api::new().await;
    ok(&api.post("enqueue", "/requests", &wanted(&["101", "197"])).await, 201);
    api.place.town.finish().await;
    let plan = ok(&api.post("read", "/plans", &wanted(&["101", "102", "197"])).await, 200);
    assert_eq!(
        (&plan["new"], &plan["paid_without_value"], &plan["already_had"], &plan["quoted_credits"]),
        (&json!(2), &json!(1), &json!(1), &json!(30))
    );
    api.end().await;
}

#[tokio::test]
async fn the_same_key_writes_one_request() {
    let mut api = Api::new().await;
    let body = wanted(&["101", "102"]);
    assert_eq!(ok(&api.post_once("enqueue", "k", &body).await, 201)["id"], 1);
    assert_eq!(ok(&api.post_once("enqueue", "k", &body).await, 200)["id"], 1);
    // Spelled otherwise, and by another caller: the key is of the account.
    let same = json!({"personnel_ids": [102, "0101"], "reference": "crm-17", "dedupe_key": "k"});
    assert_eq!(ok(&api.post("all", "/requests", &same).await, 200)["id"], 1);
    let detail = problem(&api.post_once("enqueue", "k", &wanted(&["103"])).await, 409, "another-content");
    assert!(detail.contains("request 1") && detail.contains("personnel_ids"), "{detail}");
    problem(&api.post_once("enqueue", "other", &same).await, 422, "invalid");
    let at_once =
        futures_util::future::join_all((0..8).map(|_| api.post_once("enqueue", "once", &body))).await;
    let mut statuses: Vec<u16> = at_once.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    assert_eq!(api.place.town.number("select count(*) from inbox").await, 2);
    api.place.town.finish_all().await;
    assert_eq!(ok(&api.post_once("enqueue", "k", &body).await, 200)["status"], "done");
    api.end().await;
}

#[tokio::test]
async fn what_may_only_be_proposed_waits_for_a_person_whatever_it_costs() {
    let mut api = Api::new().await;
    let plan = ok(&api.post("proposer", "/plans", &wanted(&["101"])).await, 200);
    assert_eq!(
        (&plan["status"], &plan["reason"]),
        (&json!("awaiting_approval"), &json!("the token may only propose"))
    );
    ok(&api.post("proposer", "/requests", &wanted(&["101"])).await, 201);
    ok(&api.post("enqueue", "/requests", &wanted(&["201"])).await, 201);
    api.place.town.settle().await;
    assert_eq!(api.place.town.status(1).await, "awaiting_approval");
    let reason = ok(&api.get("read", "/requests/1").await, 200)["reason"].to_string();
    assert!(reason.contains("may only propose") && reason.contains("15 credits"), "{reason}");
    problem(
        &api.post("proposer", "/requests/1/approve", &json!({"credits": 15})).await,
        403,
        "missing-scope",
    );
    let detail = problem(
        &api.post("approve", "/requests/1/approve", &json!({"credits": 14})).await,
        409,
        "another-figure",
    );
    assert!(detail.contains("15"), "{detail}");
    api.place.town.finish().await;
    assert_eq!(api.place.town.status(1).await, "awaiting_approval");
    assert_eq!(api.place.town.status(2).await, "done", "the innocent one");
    let approved = ok(&api.post("approve", "/requests/1/approve", &json!({"credits": 15})).await, 200);
    assert_eq!((&approved["status"], &approved["approved_credits"]), (&json!("accepted"), &json!(15)));
    problem(&api.post("approve", "/requests/1/approve", &json!({"credits": 15})).await, 409, "another-state");
    api.place.town.finish_all().await;
    assert_eq!(api.place.town.status(1).await, "done");
    let events = api.get("read", "/requests/1/events").await.text;
    assert!(events.contains("approved_by"), "{events}");
    api.end().await;
}

#[tokio::test]
async fn a_quote_approves_what_was_planned_and_nothing_else() {
    let mut api = Api::of(Setup::default().config("CREDITS__APPROVE_ABOVE", "15")).await;
    let quote = |plan: Value| plan["quote"].as_str().expect("a quote").to_owned();
    let body = wanted(&["101", "102"]);
    let good = quote(ok(&api.post("read", "/plans", &body).await, 200));
    let of_others = quote(ok(&api.post("read", "/plans", &wanted(&["103", "104"])).await, 200));
    ok(&api.post("enqueue", "/requests", &body).await, 201);
    api.place.town.settle().await;
    let approve = "/requests/1/approve";
    problem(&api.post("approve", approve, &json!({"quote": of_others})).await, 409, "another-content");
    let mut forged = good.clone();
    forged.replace_range(5..6, if &good[5..6] == "A" { "B" } else { "A" });
    problem(&api.post("approve", approve, &json!({"quote": forged})).await, 409, "no-quote");
    problem(&api.post("approve", approve, &json!({"quote": good, "credits": 30})).await, 422, "invalid");
    api.place.town.clock.advance(std::time::Duration::from_mins(15));
    problem(&api.post("approve", approve, &json!({"quote": good})).await, 409, "quote-expired");
    let good = quote(ok(&api.post("read", "/plans", &body).await, 200));
    assert_eq!(ok(&api.post("approve", approve, &json!({"quote": good})).await, 200)["approved_credits"], 30);
    api.place.town.finish().await;
    assert_eq!(api.place.town.status(1).await, "done");
    api.end().await;
}

#[tokio::test]
async fn a_token_cancels_its_own_requests_only() {
    let mut api = Api::of(Setup::default().config("CREDITS__APPROVE_ABOVE", "0")).await;
    for name in ["proposer", "enqueue", "enqueue"] {
        ok(&api.post(name, "/requests", &wanted(&["101"])).await, 201);
    }
    // The third one before any worker has taken it.
    assert_eq!(ok(&api.post("enqueue", "/requests/3/cancel", &json!({})).await, 200)["status"], "cancelled");
    api.place.town.settle().await;
    problem(&api.post("proposer", "/requests/2/cancel", &json!({})).await, 403, "missing-scope");
    assert_eq!(ok(&api.post("proposer", "/requests/1/cancel", &json!({})).await, 200)["contacts"], 1);
    problem(&api.post("proposer", "/requests/1/cancel", &json!({})).await, 409, "another-state");
    assert_eq!(api.place.town.status(2).await, "awaiting_approval");
    assert_eq!(ok(&api.post("approve", "/requests/2/cancel", &json!({})).await, 200)["id"], 2);
    api.end().await;
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let mut api = Api::new().await;
    for id in 101..106 {
        ok(&api.post("enqueue", "/requests", &wanted(&[&id.to_string()])).await, 201);
    }
    api.place.town.settle().await;
    ok(&api.post("enqueue", "/requests", &wanted(&["201", "202", "203"])).await, 201);
    let (mut seen, mut path) = (Vec::new(), "/requests?limit=4".to_owned());
    loop {
        let page = ok(&api.get("read", &path).await, 200);
        seen.extend(
            page["requests"].as_array().expect("a list").iter().map(|one| one["id"].as_i64().expect("an id")),
        );
        let Some(next) = page["next_cursor"].as_i64() else { break };
        path = format!("/requests?limit=4&cursor={next}");
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1]);
    api.place.town.finish_all().await;
    let first = ok(&api.get("read", "/requests/6/contacts?limit=2").await, 200);
    let next = format!("/requests/6/contacts?limit=2&cursor={}", first["next_cursor"]);
    let last = ok(&api.get("read", &next).await, 200);
    assert_eq!((&last["contacts"][0]["personnel_id"], &last["next_cursor"]), (&json!("203"), &Value::Null));
    let all = ok(&api.get("read", "/requests/6/events").await, 200);
    let first = ok(&api.get("read", "/requests/6/events?limit=1").await, 200);
    let next = format!("/requests/6/events?limit=1000&cursor={}", first["next_cursor"]);
    let rest = ok(&api.get("read", &next).await, 200);
    assert_eq!(
        all["events"].as_array().expect("a list")[1..],
        rest["events"].as_array().expect("a list")[..]
    );
    api.end().await;
}
