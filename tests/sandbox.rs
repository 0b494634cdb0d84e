//! The sandbox, tried over real HTTP.
//!
//! What is expected is written out by hand from the vendor's pages and from the rules the sandbox
//! prints, so that a mistake in it does not go unseen. Time is moved by hand: nothing here waits.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use unlockd::sandbox::{self, Billing, Channel, Endpoint, Fault, FaultKind, Options, Sandbox, Time};

struct Town {
    sandbox: Sandbox,
    client: Client,
}

fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .expect("these settings are valid")
}

async fn town(options: Options) -> Town {
    let options = Options { time: Time::Manual, ..options };
    Town { sandbox: sandbox::start(options).await.expect("a port is free"), client: client() }
}

async fn quiet_town() -> Town {
    town(Options::default()).await
}

/// A town in which this goes wrong first.
async fn town_with(fault: &str) -> Town {
    let fault = fault.parse().expect("the grammar has this fault");
    town(Options { faults: vec![fault], ..Options::default() }).await
}

impl Town {
    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.client.get(url).bearer_auth("uak_test")
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.client.post(url).bearer_auth("uak_test").json(body)
    }

    fn unlocking(&self, ids: &[&str]) -> reqwest::RequestBuilder {
        self.post("/external/contacts/unlock", &json!({ "personnel_ids": ids }))
    }

    async fn unlock(&self, ids: &[&str]) -> Value {
        read(self.unlocking(ids), 201).await
    }

    async fn task(&self, id: &str) -> Value {
        read(self.get(&format!("/external/contacts/unlock-tasks/{id}")), 200).await
    }

    async fn balance(&self) -> i64 {
        let balance = read(self.get("/external/credits/balance"), 200).await;
        balance["totalBalance"].as_i64().expect("a whole number")
    }

    async fn profile(&self, id: &str) -> Value {
        let path = format!("/external/personnel/profile?personnel_id={id}");
        read(self.get(&path), 200).await
    }

    async fn precheck(&self, action: &str, params: Value) -> Value {
        let body = json!({ "action_type": action, "params": params });
        read(self.post("/external/actions/precheck", &body), 200).await
    }

    fn advance(&self, seconds: u64) {
        self.sandbox.advance(Duration::from_secs(seconds));
    }

    fn charged(&self, id: &str) -> u32 {
        self.sandbox.accounting().charge(id, Channel::Email).times
    }

    /// A client that gives up as soon as its call was received.
    async fn abandon(&self, request: reqwest::RequestBuilder) {
        let waiting = tokio::spawn(request.send());
        while self.sandbox.journal().is_empty() {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        let ended = waiting.await.expect_err("it never had an answer");
        assert!(ended.is_cancelled());
    }

    /// What becomes of one contact: its item when the task has ended, `Null` when it is not named.
    async fn fate(&self, id: &str) -> Value {
        let accepted = self.unlock(&[id]).await;
        self.advance(12);
        let task = self.task(accepted["task_id"].as_str().expect("a task")).await;
        assert_eq!(task["taskStatus"], "completed");
        task["items"][0].clone()
    }
}

async fn send(request: reqwest::RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn read(request: reqwest::RequestBuilder, status: u16) -> Value {
    let response = send(request).await;
    assert_eq!(response.status().as_u16(), status);
    response.json().await.expect("JSON")
}

fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(value.to_str().expect("text").to_owned())
}

// ---- What becomes of a contact ----

#[tokio::test]
async fn an_ordinary_contact_is_unlocked_with_an_email() {
    let town = quiet_town().await;
    assert_eq!(
        town.unlock(&["789"]).await,
        json!({ "status": "accepted", "task_id": "321", "job_id": "321" })
    );
    town.advance(12);
    assert_eq!(
        town.task("321").await,
        json!({
            "taskId": "321",
            "taskStatus": "completed",
            "items": [
                { "personnelId": "789", "status": "unlocked", "email": "contact-789@example.com" }
            ],
        })
    );
    assert_eq!(town.balance().await, 9_985);
}

#[tokio::test]
async fn a_contact_ending_in_90_is_charged_and_not_named() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1090").await, Value::Null);
    assert_eq!(town.charged("1090"), 1);
    assert_eq!(town.profile("1090").await["contactUnlockStatus"], "locked");
}

#[tokio::test]
async fn contacts_that_cannot_be_bought_are_skipped_by_group() {
    let town = quiet_town().await;
    let body = json!({
        "personnel_ids": ["1091", "1092", "1093", "1094", "1095", "abc", "1001", "1001"],
        "event_id": "139574",
    });
    let answer = read(town.post("/external/contacts/unlock", &body), 201).await;
    assert_eq!(
        answer["skipped_detail"],
        json!({
            "invalid_personnel_ids": ["1094", "abc"],
            "missing_personnel_ids": ["1091"],
            "unlinked_personnel_ids": ["1092"],
            "already_unlocked_personnel_ids": ["1093"],
            "unlocking_personnel_ids": ["1095"],
        })
    );
    assert_eq!(answer["skipped_personnel_ids"], json!(["1094", "abc", "1091", "1092", "1093", "1095"]));
    assert_eq!(town.balance().await, 9_985);
}

#[tokio::test]
async fn a_contact_ending_in_92_is_sold_without_an_event() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1092").await["status"], "unlocked");
}

#[tokio::test]
async fn a_contact_ending_in_93_is_read_and_not_bought() {
    let town = quiet_town().await;
    assert_eq!(
        town.unlock(&["1093"]).await,
        json!({
            "status": "success",
            "skipped_personnel_ids": ["1093"],
            "skipped_detail": { "already_unlocked_personnel_ids": ["1093"] },
        })
    );
    let profile = town.profile("1093").await;
    assert_eq!(profile["email"], "contact-1093@example.com");
    assert_eq!(profile["contactUnlockStatus"], "unlocked");
    assert_eq!(town.balance().await, 10_000);
}

#[tokio::test]
async fn a_contact_ending_in_95_appears_ten_seconds_after_it_was_asked_for() {
    let town = quiet_town().await;
    town.unlock(&["1095"]).await;
    town.advance(9);
    let profile = town.profile("1095").await;
    assert_eq!(profile["contactUnlockStatus"], "processing");
    assert_eq!(profile["email"], Value::Null);
    town.advance(1);
    let profile = town.profile("1095").await;
    assert_eq!(profile["contactUnlockStatus"], "unlocked");
    assert_eq!(profile["email"], "contact-1095@example.com");
}

#[tokio::test]
async fn a_contact_ending_in_96_is_unlocked_with_a_blank_email() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1096").await, json!({ "personnelId": "1096", "status": "unlocked", "email": "" }));
}

#[tokio::test]
async fn a_contact_ending_in_97_fails_with_a_code() {
    let town = quiet_town().await;
    assert_eq!(
        town.fate("1097").await,
        json!({ "personnelId": "1097", "status": "failed", "errorCode": "NO_EMAIL_FOUND" })
    );
    assert_eq!(town.balance().await, 9_985);
}

#[tokio::test]
async fn a_contact_ending_in_98_is_still_processing_at_the_end() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1098").await, json!({ "personnelId": "1098", "status": "processing" }));
    let profile = town.profile("1098").await;
    assert_eq!(profile["contactUnlockStatus"], "processing");
}

#[tokio::test]
async fn a_contact_ending_in_99_is_unlocked_without_an_email() {
    let town = quiet_town().await;
    assert_eq!(town.fate("1099").await, json!({ "personnelId": "1099", "status": "unlocked" }));
}

#[tokio::test]
async fn failures_are_paid_back_only_when_told() {
    let town = town(Options { refund_failed: true, ..Options::default() }).await;
    town.unlock(&["1090", "1097", "1098", "1001"]).await;
    assert_eq!(town.balance().await, 9_940);
    town.advance(12);
    assert_eq!(town.balance().await, 9_985);
    let accounting = town.sandbox.accounting();
    assert_eq!(accounting.refunded_total, 45);
    assert_eq!(accounting.charged_total, 60);
}

// ---- Tasks ----

#[tokio::test]
async fn a_task_is_pending_then_its_items_end_one_by_one() {
    let town = quiet_town().await;
    town.unlock(&["1", "2", "3"]).await;
    let statuses = |task: Value| {
        let items = task["items"].as_array().expect("items").clone();
        let items: Vec<_> = items.iter().map(|item| item["status"].clone()).collect();
        (task["taskStatus"].clone(), json!(items))
    };
    let pending = json!(["pending", "pending", "pending"]);
    assert_eq!(statuses(town.task("321").await), (json!("pending"), pending));
    town.advance(6);
    let some = json!(["unlocked", "processing", "processing"]);
    assert_eq!(statuses(town.task("321").await), (json!("processing"), some));
    town.advance(6);
    let all = json!(["unlocked", "unlocked", "unlocked"]);
    assert_eq!(statuses(town.task("321").await), (json!("completed"), all));
}

#[tokio::test]
async fn time_moves_by_itself_unless_told_otherwise() {
    let sandbox = sandbox::start(Options { task_seconds: 0.0, ..Options::default() });
    let town = Town { sandbox: sandbox.await.expect("a port is free"), client: client() };
    town.unlock(&["1"]).await;
    assert_eq!(town.task("321").await["taskStatus"], "completed");
}

#[tokio::test]
async fn a_task_is_seen_only_by_its_key_and_on_its_own_endpoint() {
    let town = quiet_town().await;
    town.unlock(&["1"]).await;
    let path = "/external/contacts/unlock-tasks/321";
    let url = format!("{}{path}", town.sandbox.base_url());
    let stranger = town.client.get(url).bearer_auth("another");
    read(stranger, 404).await;
    read(town.get("/external/contacts/unlock-phone-tasks/321"), 404).await;
    read(town.get("/external/contacts/unlock-tasks/99"), 404).await;
    read(town.get(path), 200).await;
}

#[tokio::test]
async fn phones_have_their_own_price_task_and_status() {
    let town = quiet_town().await;
    let body = json!({ "personnel_ids": ["789", "1097"] });
    let accepted = read(town.post("/external/contacts/unlock-phone", &body), 201).await;
    assert_eq!(accepted["task_id"], "321");
    assert_eq!(town.balance().await, 9_700);
    assert_eq!(town.profile("789").await["phoneUnlockStatus"], "processing");
    town.advance(12);
    let task = read(town.get("/external/contacts/unlock-phone-tasks/321"), 200).await;
    assert_eq!(
        task["items"],
        json!([
            { "personnelId": "789", "status": "unlocked", "phone": "+1-555-01789" },
            { "personnelId": "1097", "status": "failed", "errorCode": "NO_PHONE_FOUND" },
        ])
    );
    let profile = town.profile("789").await;
    assert_eq!(profile["phone"], "+1-555-01789");
    assert_eq!(profile["phoneUnlockStatus"], "ready");
    assert_eq!(profile["contactUnlockStatus"], "locked");
    assert_eq!(town.profile("1097").await["phoneUnlockStatus"], "failed");
}

#[tokio::test]
async fn the_event_decides_how_a_task_ends() {
    let town = quiet_town().await;
    for (event_id, status) in [("1404", 404), ("1500", 201), ("1999", 201)] {
        let body = json!({ "personnel_ids": [event_id], "event_id": event_id });
        read(town.post("/external/contacts/unlock", &body), status).await;
    }
    town.advance(100_000);
    let failed = town.task("321").await;
    assert_eq!(failed["taskStatus"], "failed");
    assert_eq!(failed["items"][0]["errorCode"], "TASK_FAILED");
    assert_eq!(town.task("322").await["taskStatus"], "processing");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_costs_nothing() {
    let town = quiet_town().await;
    let many: Vec<String> = (0..2001).map(|id| id.to_string()).collect();
    for (body, status, error_key) in [
        (json!({}), 400, "INVALID_REQUEST"),
        (json!([]), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": [] }), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": [789] }), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": ["1"], "event_id": 5 }), 400, "INVALID_REQUEST"),
        (json!({ "personnel_ids": many }), 422, "LEAD_SELECTION_LIMIT_EXCEEDED"),
        (json!({ "personnel_ids": many[..700] }), 402, "INSUFFICIENT_CREDITS"),
    ] {
        let error = read(town.post("/external/contacts/unlock", &body), status).await;
        assert_eq!(error["errorKey"], error_key);
    }
    assert_eq!(town.sandbox.accounting().tasks_created, 0);
    assert_eq!(town.balance().await, 10_000);
}

#[tokio::test]
async fn an_error_has_the_documented_shape_and_its_trace_id_in_a_header() {
    let town = quiet_town().await;
    let response = send(town.get("/external/nothing")).await;
    let trace_id = header(&response, "x-request-id").expect("a trace id");
    let error: Value = response.json().await.expect("JSON");
    assert_eq!(
        error,
        json!({
            "code": 404,
            "message": "Resource not found",
            "errorKey": "NOT_FOUND",
            "traceId": trace_id,
        })
    );
}

// ---- Billing ----

#[tokio::test]
async fn a_repeated_unlock_is_charged_once_as_documented() {
    let town = quiet_town().await;
    town.unlock(&["1"]).await;
    let repeated = town.unlock(&["1"]).await;
    assert_eq!(repeated["skipped_detail"], json!({ "unlocking_personnel_ids": ["1"] }));
    town.advance(12);
    let repeated = town.unlock(&["1", "2"]).await;
    assert_eq!(repeated["task_id"], "322");
    assert_eq!(repeated["skipped_detail"], json!({ "already_unlocked_personnel_ids": ["1"] }));
    assert_eq!((town.charged("1"), town.charged("2")), (1, 1));
}

#[tokio::test]
async fn hostile_billing_charges_every_post_and_prechecks_truly() {
    let town = town(Options { billing: Billing::Repeats, ..Options::default() }).await;
    for _ in 0..3 {
        assert_eq!(town.unlock(&["1", "1093"]).await["status"], "accepted");
    }
    assert_eq!((town.charged("1"), town.charged("1093")), (3, 3));
    assert_eq!(town.sandbox.accounting().charged_total, 90);
    town.advance(12);
    let params = json!({ "personnel_ids": ["1"] });
    let precheck = town.precheck("unlock_contact_emails", params).await;
    assert_eq!(precheck["reason_code"], "already_unlocked");
    assert_eq!(precheck["credits"], 0);
}

#[tokio::test]
async fn a_lagging_charge_is_seen_later_and_does_not_protect_before() {
    let town = town(Options { charge_lag: Duration::from_secs(30), ..Options::default() }).await;
    town.unlock(&["1"]).await;
    let params = json!({ "personnel_ids": ["1"] });
    assert_eq!(town.balance().await, 10_000);
    assert_eq!(town.sandbox.accounting().balance, 9_985);
    let precheck = town.precheck("unlock_contact_emails", params.clone()).await;
    assert_eq!(precheck["credits"], 15);
    assert_eq!(town.profile("1").await["contactUnlockStatus"], "locked");
    assert_eq!(town.unlock(&["1"]).await["status"], "accepted");
    town.advance(30);
    assert_eq!(town.balance().await, 9_970);
    let precheck = town.precheck("unlock_contact_emails", params).await;
    assert_eq!(precheck["reason_code"], "already_unlocked");
    assert_eq!(town.profile("1").await["email"], "contact-1@example.com");
}

#[tokio::test]
async fn the_pool_is_shared_with_others() {
    let town = quiet_town().await;
    town.sandbox.spend(9_990);
    read(town.unlocking(&["1"]), 402).await;
    town.sandbox.top_up(5);
    town.unlock(&["1"]).await;
    assert_eq!(town.balance().await, 0);
    town.sandbox.mark_unlocked("2", Channel::Email);
    assert_eq!(town.unlock(&["2"]).await["status"], "success");
    assert_eq!(town.profile("2").await["email"], "contact-2@example.com");
}

#[tokio::test]
async fn the_balance_has_every_documented_field_and_spends_the_subscription_first() {
    let town = quiet_town().await;
    town.sandbox.spend(7_100);
    let balance = read(town.get("/external/credits/balance"), 200).await;
    let mut names: Vec<&String> = balance.as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "addonAmount",
            "addonBalance",
            "addonExpireAt",
            "giftAmount",
            "giftBalance",
            "resetAt",
            "subscriptionAmount",
            "subscriptionBalance",
            "totalAmount",
            "totalBalance",
        ]
    );
    assert_eq!(balance["subscriptionAmount"], 7_000);
    assert_eq!(balance["subscriptionBalance"], 0);
    assert_eq!(balance["addonBalance"], 1_900);
    assert_eq!(balance["giftBalance"], 1_000);
    assert_eq!(balance["totalBalance"], 2_900);
}

// ---- The other endpoints ----

#[tokio::test]
async fn precheck_says_what_a_batch_would_cost() {
    let town = quiet_town().await;
    let params = json!({ "personnel_ids": ["1", "2", "1093", "1095"], "event_id": "26855" });
    assert_eq!(
        town.precheck("unlock_contact_phones", params).await,
        json!({
            "ok": true,
            "action_type": "unlock_contact_phones",
            "allowed": true,
            "should_charge": true,
            "credits": 300,
            "reason_code": "ok",
            "biz_code": "",
            "detail": { "chargeable_count": 2, "already_unlocked_count": 1, "unlocking_count": 1 },
        })
    );
}

/// Each with what precheck is to say: allowed, credits, reason.
async fn expect_prechecks(action: &str, cases: Vec<(Value, bool, i64, &str)>) {
    let town = quiet_town().await;
    for (params, allowed, credits, reason) in cases {
        let answer = town.precheck(action, params).await;
        assert_eq!(answer["reason_code"], reason);
        assert_eq!(answer["allowed"], allowed, "{action} {reason}");
        assert_eq!(answer["credits"], credits, "{action} {reason}");
        assert_eq!(answer["should_charge"], credits > 0);
    }
}

#[tokio::test]
async fn precheck_gives_a_reason_for_every_batch_it_would_not_sell() {
    let ids = |ids: &[&str]| json!({ "personnel_ids": ids });
    let many: Vec<String> = (100..2101).map(|id| format!("{id}00")).collect();
    let unknown_event = json!({ "personnel_ids": ["1"], "event_id": "404" });
    let unlinked = json!({ "personnel_ids": ["92"], "event_id": "1" });
    let cases = vec![
        (ids(&["1093"]), true, 0, "already_unlocked"),
        (ids(&["1095", "1093"]), false, 0, "unlock_in_progress"),
        (ids(&["1091"]), false, 0, "not_found"),
        (ids(&["x"]), false, 0, "invalid_subject"),
        (json!({}), false, 0, "invalid_subject"),
        (unknown_event, false, 0, "not_found"),
        (unlinked, false, 0, "no_contacts_available"),
        (json!({ "personnel_ids": many }), false, 0, "exceed_max_unlock_limit"),
        (json!({ "personnel_ids": many[..700] }), false, 10_500, "insufficient_balance"),
    ];
    expect_prechecks("unlock_contact_emails", cases).await;
}

#[tokio::test]
async fn precheck_knows_the_other_actions() {
    let event = || json!({ "event_id": "26855" });
    let events = vec![
        (event(), true, 2_000, "ok"),
        (json!({ "event_id": "404" }), false, 0, "not_found"),
        (json!({}), false, 0, "invalid_subject"),
    ];
    expect_prechecks("unlock_event_contacts", events).await;
    expect_prechecks("search_exhibitor_events", vec![(json!({}), true, 50, "ok")]).await;
    expect_prechecks("query_event_personnel", vec![(event(), true, 0, "ok")]).await;
    expect_prechecks("others", vec![(json!({}), true, 0, "ok")]).await;
    expect_prechecks("dance", vec![(json!({}), false, 0, "unsupported_action")]).await;
}

#[tokio::test]
async fn precheck_accepts_only_the_documented_fields() {
    let town = quiet_town().await;
    for body in [
        json!({ "action_type": "others", "params": {}, "actionType": "x" }),
        json!({ "action_type": "others" }),
        json!({ "action_type": "", "params": {} }),
    ] {
        read(town.post("/external/actions/precheck", &body), 400).await;
    }
}

#[tokio::test]
async fn an_event_is_charged_once_and_opens_its_list() {
    let town = quiet_town().await;
    let list = "/external/personnel/list?event_id=26855&page=1&pageSize=50";
    let preview = read(town.get(list), 200).await;
    assert_eq!(preview["semantics"]["accessMode"], "preview");
    assert_eq!(preview["semantics"]["previewLimit"], 5);
    assert_eq!(preview["semantics"]["counts"]["remainingLockedCount"], 40);
    let unlock = || town.post("/external/events/26855/unlock", &Value::Null);
    assert_eq!(
        read(unlock(), 201).await,
        json!({
            "success": true,
            "alreadyUnlocked": false,
            "creditsUsed": 2000,
            "balanceAfter": {
                "subscriptionBalance": 5000,
                "permanentBalance": 3000,
                "totalBalance": 8000,
                "unlimited": false,
            },
            "event": { "id": "26855", "eventId": "26855", "name": "Sandbox Event 26855" },
        })
    );
    let again = read(unlock(), 201).await;
    assert_eq!(again["alreadyUnlocked"], true);
    assert_eq!(again["creditsUsed"], 0);
    assert_eq!(again["balanceAfter"], Value::Null);
    let full = read(town.get(list), 200).await;
    assert_eq!(full["semantics"]["accessMode"], "full");
    assert_eq!((&full["total"], &full["hasMore"]), (&json!(45), &json!(false)));
    assert_eq!(full["items"][0]["id"], "2685555");
    assert_eq!(town.balance().await, 8_000);
    read(town.post("/external/events/404/unlock", &Value::Null), 404).await;
}

#[tokio::test]
async fn an_event_that_ends_in_250_has_250_people_on_three_pages_of_100() {
    let town = quiet_town().await;
    let page =
        |page: i64| town.get(&format!("/external/personnel/list?event_id=139250&page={page}&pageSize=100"));
    assert_eq!(read(page(1), 200).await["semantics"]["counts"]["remainingLockedCount"], 245);
    read(town.post("/external/events/139250/unlock", &Value::Null), 201).await;
    let mut ids = std::collections::BTreeSet::new();
    for (number, people, has_more) in [(1, 100, true), (2, 100, true), (3, 50, false), (4, 0, false)] {
        let page = read(page(number), 200).await;
        let items = page["items"].as_array().expect("an array");
        assert_eq!((items.len(), &page["hasMore"]), (people, &json!(has_more)), "page {number}");
        ids.extend(items.iter().map(|person| person["id"].to_string()));
    }
    assert_eq!(ids.len(), 250);
    assert_eq!(
        (ids.first().unwrap().as_str(), ids.last().unwrap().as_str()),
        (r#""139250001""#, r#""139250250""#)
    );
}

#[tokio::test]
async fn a_profile_has_the_documented_fields() {
    let town = quiet_town().await;
    assert_eq!(
        town.profile("789").await,
        json!({
            "id": "789",
            "fullName": "Sandbox Person 789",
            "title": "Head of Examples",
            "companyName": "Example Works",
            "sourceType": ["exhibitor"],
            "email": null,
            "phone": null,
            "contactUnlockStatus": "locked",
            "phoneUnlockStatus": null,
        })
    );
    read(town.get("/external/personnel/profile?personnel_id=1091"), 404).await;
    read(town.get("/external/personnel/profile"), 400).await;
}

#[tokio::test]
async fn a_search_costs_50_for_each_page_that_is_not_empty() {
    let town = quiet_town().await;
    let search = |path: &str, name: &str, page: i64| {
        let body = json!({ "company_name": name, "page": page, "pageSize": 20 });
        town.post(&format!("/external/exhibitors/{path}"), &body)
    };
    let first = read(search("search-by-company-name", "Acme", 1), 201).await;
    assert_eq!(
        first["items"][0],
        json!({ "id": "4001", "companyName": "Acme 1", "matched_event_ids": ["139001"] })
    );
    assert_eq!(
        (&first["total"], &first["totalPages"], &first["hasMore"]),
        (&json!(45), &json!(3), &json!(true))
    );
    let last = read(search("search-events", "Acme", 3), 201).await;
    assert_eq!(
        last["items"][4],
        json!({ "id": "139045", "eventId": "139045", "name": "Acme at Sandbox Expo 45" })
    );
    assert_eq!(last["hasMore"], false);
    assert_eq!(town.balance().await, 9_900);
    let beyond = read(search("search-events", "Acme", 4), 201).await;
    assert_eq!(beyond["items"], json!([]));
    let nothing = read(search("search-by-company-name", "nobody", 1), 201).await;
    assert_eq!(nothing["total"], 0);
    assert_eq!(town.balance().await, 9_900);
    read(search("search-events", "Acme", 0), 400).await;
}

#[tokio::test]
async fn a_search_for_many_finds_250_on_three_pages_of_100() {
    let town = quiet_town().await;
    for path in ["search-by-company-name", "search-events"] {
        for (page, found, has_more) in [(1, 100, true), (2, 100, true), (3, 50, false)] {
            let body = json!({ "company_name": "many", "page": page, "pageSize": 100 });
            let answer = read(town.post(&format!("/external/exhibitors/{path}"), &body), 201).await;
            assert_eq!(answer["items"].as_array().map(Vec::len), Some(found), "{path} page {page}");
            assert_eq!((&answer["total"], &answer["hasMore"]), (&json!(250), &json!(has_more)));
        }
    }
    assert_eq!(town.balance().await, 9_700, "six pages");
}

#[tokio::test]
async fn a_busy_search_answers_200_with_an_error_in_its_body() {
    let town = quiet_town().await;
    let body = json!({ "company_name": "concurrent" });
    let error = read(town.post("/external/exhibitors/search-events", &body), 200).await;
    assert_eq!(error["code"], 429);
    assert_eq!(error["errorKey"], "USER_CONCURRENCY_LIMIT_EXCEEDED");
    assert_eq!(town.balance().await, 10_000);
}

// ---- Keys, limits, time ----

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

// ---- Faults ----

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
        "200-error=429:BUSY",
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
            "there is no endpoint `moon`; there are unlock, unlock-phone, poll, balance, precheck, profile, event, search, list, any",
        ),
        ("slow", "`slow` needs an argument, as in `slow=…`"),
        ("slow=5", "`5` is not a duration: write 250ms, 3s, 5m or 24h"),
        ("0x:500", "`0x` is not a number of times"),
        ("drip=2", "there is no `drip` with `2`"),
    ] {
        let error = text.parse::<Fault>().expect_err("not in the grammar");
        assert_eq!(error.to_string(), format!("`{text}` is not a fault: {why}"));
    }
}
