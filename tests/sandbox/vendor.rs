//! The vendor's newest pages, one behaviour after another.

use std::time::Duration;

use serde_json::{Value, json};
use unlockd::sandbox::Options;

use crate::{Town, header, quiet_town, read, send, town, town_with};

const DAY: u64 = 86_400;

impl Town {
    async fn list(&self, query: &str) -> Value {
        read(self.get(&format!("/external/personnel/list?{query}")), 200).await
    }

    /// The three unlocks of an event: `unlock`, `visitors/unlock`, `full-access/unlock`.
    fn open(&self, event: &str, what: &str) -> reqwest::RequestBuilder {
        self.post(&format!("/external/events/{event}/{what}"), &Value::Null)
    }

    async fn error_key(&self, request: reqwest::RequestBuilder, status: u16) -> Value {
        read(request, status).await["errorKey"].clone()
    }
}

// ---- Lists ----

#[tokio::test]
async fn a_page_of_people_holds_50_at_most_and_by_default() {
    let town = quiet_town().await;
    let error = read(town.get("/external/personnel/list?event_id=139250&pageSize=51"), 400).await;
    assert_eq!((&error["errorKey"], &error["code"]), (&json!("INVALID_REQUEST"), &json!(400)));
    let page = town.list("event_id=139250").await;
    assert_eq!((&page["pageSize"], page["items"].as_array().map(Vec::len)), (&json!(50), Some(50)));
}

#[tokio::test]
async fn a_preview_shows_the_first_50_on_page_1_and_nothing_beyond() {
    let town = quiet_town().await;
    let page = town.list("event_id=139250&page=1&pageSize=20").await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(20));
    assert_eq!((&page["total"], &page["hasMore"]), (&json!(250), &json!(true)), "the hidden ones count");
    assert_eq!(page["semantics"]["counts"]["visibleTotal"], 50);
    assert_eq!(page["semantics"]["guidance"]["code"], "preview_results_truncated");
    assert_eq!(page["semantics"]["unlock"]["actionType"], "unlock_event_personnel");
    let beyond = town.list("event_id=139250&page=2&pageSize=20").await;
    assert_eq!(beyond["items"], json!([]));
    let figures = ["total", "totalPages", "hasMore"].map(|name| beyond[name].clone());
    assert_eq!(figures, [json!(0), json!(0), json!(false)]);
    let semantics = &beyond["semantics"];
    let state = json!({ "requestedPage": 2, "accessible": false, "maxAccessiblePage": 1 });
    assert_eq!(semantics["pageState"], state);
    assert_eq!(semantics["counts"]["actualTotal"], 250);
    assert_eq!(semantics["guidance"]["code"], "preview_page_inaccessible");
}

#[tokio::test]
async fn a_list_is_narrowed_by_the_documented_filters_and_ignores_others() {
    let town = quiet_town().await;
    for (filter, found) in [
        ("department=marketing", 22),
        ("level=vp", 9),
        ("department=sales&level=vp", 5),
        ("search_query=person%20755", 1),
        ("search_query=HEAD", 45),
        ("exhibitor_id=1", 0),
        ("sourceType=exhibitor", 45),
        ("sourceType=social,visitors", 0),
        ("title=VP", 45),
    ] {
        assert_eq!(town.list(&format!("event_id=7&{filter}")).await["total"], found, "{filter}");
    }
}

#[tokio::test]
async fn unlocked_values_are_in_an_events_list_and_in_the_contact_search() {
    let town = quiet_town().await;
    town.unlock(&["755"]).await;
    town.advance(12);
    let item = town.list("event_id=7").await["items"][0].clone();
    assert_eq!((&item["id"], &item["email"]), (&json!("755"), &json!("contact-755@example.com")));
    assert_eq!((&item["contactUnlockStatus"], &item["phone"]), (&json!("unlocked"), &Value::Null));
    let search = |company: &str| town.get(&format!("/external/contacts/search?company_name={company}"));
    let found = read(search("example"), 200).await;
    assert_eq!(found["items"][0]["email"], item["email"]);
    assert_eq!(read(search("Acme"), 200).await["items"], json!([]));
    assert_eq!(town.error_key(search(""), 400).await, "INVALID_REQUEST");
    let large = town.get("/external/contacts/search?company_name=e&pageSize=101");
    assert_eq!(town.error_key(large, 400).await, "INVALID_REQUEST");
}

// ---- Events ----

#[tokio::test]
async fn an_event_has_two_ids_and_an_answer_names_both() {
    let town = quiet_town().await;
    let first = read(town.open("7", "unlock"), 201).await;
    assert_eq!(first["event"], json!({ "id": "887", "eventId": "7", "name": "Sandbox Event 7" }));
    let again = read(town.open("887", "unlock"), 201).await;
    assert_eq!((&again["alreadyUnlocked"], &again["event"]), (&json!(true), &first["event"]));
    let list = town.list("event_id=887").await;
    assert_eq!((&list["semantics"]["accessMode"], &list["items"][0]["id"]), (&json!("full"), &json!("755")));
    assert_eq!(town.precheck("unlock_event_contacts", json!({ "event_id": "887" })).await["credits"], 0);
    assert_eq!(town.error_key(town.open("88404", "unlock"), 404).await, "EVENT_NOT_FOUND");
}

#[tokio::test]
async fn an_event_without_people_has_nothing_to_unlock() {
    let town = quiet_town().await;
    assert_eq!(town.error_key(town.open("1000", "unlock"), 400).await, "INVALID_REQUEST");
    let precheck = town.precheck("unlock_event_contacts", json!({ "event_id": "1000" })).await;
    assert_eq!(
        (&precheck["allowed"], &precheck["reason_code"]),
        (&json!(false), &json!("no_contacts_available"))
    );
    assert_eq!(town.balance().await, 10_000);
}

#[tokio::test]
async fn visitors_come_after_the_event_once_and_only_where_there_are_any() {
    let town = quiet_town().await;
    let precheck = |event: &'static str| town.precheck("unlock_event_visitors", json!({ "event_id": event }));
    assert_eq!(precheck("7").await["reason_code"], "state_conflict");
    assert_eq!(town.error_key(town.open("7", "visitors/unlock"), 400).await, "EVENT_NOT_UNLOCKED");
    read(town.open("7", "unlock"), 201).await;
    read(town.open("8", "unlock"), 201).await;
    assert_eq!(precheck("8").await["reason_code"], "no_contacts_available");
    assert_eq!(town.error_key(town.open("8", "visitors/unlock"), 400).await, "VISITOR_DATA_NOT_AVAILABLE");
    let quote = precheck("7").await;
    assert_eq!((&quote["credits"], &quote["biz_code"]), (&json!(3_000), &json!("Visitor Unlock - API")));
    assert_eq!(quote["detail"]["available_balance"], 6_000);
    let bought = read(town.open("7", "visitors/unlock"), 201).await;
    assert_eq!((&bought["alreadyUnlocked"], &bought["creditsSpent"]), (&json!(false), &json!(3_000)));
    let balance = read(town.get("/external/credits/balance"), 200).await;
    assert_eq!(bought["balanceAfter"], balance, "the balance endpoint's object");
    let again = read(town.open("7", "visitors/unlock"), 201).await;
    assert_eq!((&again["alreadyUnlocked"], &again["creditsSpent"]), (&json!(true), &json!(0)));
    assert_eq!(again["balanceAfter"], Value::Null);
    assert_eq!(precheck("7").await["detail"]["visitor_unlocked"], true);
    let visitors = town.list("event_id=7&sourceType=visitors").await;
    assert_eq!((&visitors["total"], &visitors["items"][0]["sourceType"]), (&json!(10), &json!(["visitors"])));
    assert_eq!(town.balance().await, 3_000);
}

#[tokio::test]
async fn full_access_charges_for_the_layers_that_are_missing() {
    // Unlocked before, the event, the charge, and what it opens.
    for (before, event, credits, opened) in [
        (vec![], "7", 5_000, (true, true, false)),
        (vec!["unlock"], "7", 3_000, (false, true, false)),
        (vec!["full-access/unlock"], "7", 0, (false, false, false)),
        (vec![], "8", 2_000, (true, false, true)),
    ] {
        let town = quiet_town().await;
        for what in before {
            read(town.open(event, what), 201).await;
        }
        let left = town.balance().await;
        let quote = town.precheck("unlock_event_full_access", json!({ "event_id": event })).await;
        let expected = if event == "8" {
            "no_contacts_available"
        } else if credits == 0 {
            "already_unlocked"
        } else {
            "ok"
        };
        assert_eq!(quote["reason_code"], expected);
        let answer = read(town.open(event, "full-access/unlock"), 201).await;
        assert_eq!(answer["totalCreditsUsed"], credits);
        assert_eq!(answer["alreadyUnlocked"], credits == 0);
        let (base, visitors, skipped) = opened;
        assert_eq!(
            [&answer["eventUnlocked"], &answer["visitorUnlocked"], &answer["visitorSkipped"]],
            [&json!(base), &json!(visitors), &json!(skipped)]
        );
        assert_eq!(answer["balanceAfter"].is_null(), credits == 0);
        assert_eq!(town.balance().await, left - credits);
    }
}

#[tokio::test]
async fn full_access_takes_both_layers_or_none() {
    let town = town(Options { balance: 4_000, ..Options::default() }).await;
    assert_eq!(town.error_key(town.open("7", "full-access/unlock"), 402).await, "INSUFFICIENT_CREDITS");
    assert_eq!(town.list("event_id=7").await["semantics"]["accessMode"], "preview");
    assert_eq!(town.balance().await, 4_000);
}

// ---- The search by name ----

#[tokio::test]
async fn the_events_of_a_person_are_paid_by_the_page_although_it_is_a_get() {
    let town = quiet_town().await;
    let by_name = |query: &str| town.get(&format!("/external/personnel/events/by-name?{query}"));
    let first = read(by_name("person_name=Ada%20Example&pageSize=2"), 200).await;
    assert_eq!((&first["total"], first["items"].as_array().map(Vec::len)), (&json!(45), Some(2)));
    assert_eq!(first["items"][1]["attendance_identity"], json!(["exhibitor_employee", "visitor"]));
    assert_eq!(town.balance().await, 9_950);
    let scope = read(by_name("person_name=Ada&attendance_scope=visitor"), 200).await;
    assert_eq!(scope["total"], 15);
    let late =
        read(by_name("person_name=Ada&date_start_from=2029-06-01&date_start_to=2029-07-31"), 200).await;
    assert_eq!(late["total"], 2);
    assert_eq!(town.balance().await, 9_850);
    assert_eq!(read(by_name("person_name=nobody"), 200).await["items"], json!([]));
    for bad in
        ["", "person_name=", "person_name=A&attendance_scope=exhibitor", "person_name=A&date_start_to=soon"]
    {
        assert_eq!(town.error_key(by_name(bad), 400).await, "INVALID_REQUEST", "{bad}");
    }
    assert_eq!(town.balance().await, 9_850);
    let quote = town.precheck("search_personnel_events_by_name", json!({ "person_name": "nobody" })).await;
    assert_eq!(quote["credits"], 50, "it looks nothing up");
}

#[tokio::test]
async fn a_search_of_events_can_be_narrowed_to_a_scope() {
    let town = quiet_town().await;
    let search = |more: Value| {
        let mut body = json!({ "company_name": "Acme" });
        body.as_object_mut().expect("fields").append(&mut more.as_object().expect("fields").clone());
        town.post("/external/exhibitors/search-events", &body)
    };
    let visitor = read(search(json!({ "attendance_scope": "visitor" })), 201).await;
    assert_eq!((&visitor["total"], &visitor["items"][0]["matchedExhibitors"]), (&json!(15), &json!([])));
    let starred = read(search(json!({ "sponsor_match_starred": 0 })), 201).await;
    assert_eq!(starred["total"], 22);
    for bad in [json!({ "attendance_scope": null }), json!({ "attendance_scope": "exhibitor_employee" })] {
        assert_eq!(town.error_key(search(bad), 400).await, "INVALID_REQUEST");
    }
}

// ---- Subscription, errors, headers ----

#[tokio::test]
async fn a_free_user_has_no_visitors_and_no_search_by_name() {
    let town = town(Options { subscribed: false, ..Options::default() }).await;
    let by_name = || town.get("/external/personnel/events/by-name?person_name=Ada");
    for request in [by_name(), town.open("7", "visitors/unlock"), town.open("7", "full-access/unlock")] {
        let error = read(request, 200).await;
        assert_eq!((&error["code"], &error["errorKey"]), (&json!(400), &json!("USER_HAS_NO_FEATURE")));
    }
    for action in ["unlock_event_visitors", "unlock_event_full_access"] {
        assert_eq!(town.precheck(action, json!({ "event_id": "7" })).await["reason_code"], "forbidden");
    }
    town.sandbox.set_subscribed(true);
    town.sandbox.inject("403@by-name".parse().expect("the grammar has it"));
    assert_eq!(town.error_key(by_name(), 403).await, "NO_ACTIVE_SUBSCRIPTION");
    read(by_name(), 200).await;
}

#[tokio::test]
async fn too_many_contacts_are_refused_with_figures() {
    let town = quiet_town().await;
    let ids: Vec<String> = (0..2001).map(|id| id.to_string()).collect();
    for path in ["contacts/unlock", "contacts/unlock-phone", "personnel/unlock-linkedin-activity"] {
        let body = json!({ "personnel_ids": ids });
        let error = read(town.post(&format!("/external/{path}"), &body), 422).await;
        assert_eq!(error["errorKey"], "LEAD_SELECTION_LIMIT_EXCEEDED");
        let details = json!({ "requestedCount": 2001, "limit": 2000, "selectionMode": "selected" });
        assert_eq!(error["details"], details);
    }
}

#[tokio::test]
async fn a_call_source_that_is_unknown_is_no_error_and_bearer_is_read_in_any_case() {
    let town = quiet_town().await;
    let url = format!("{}/external/credits/balance", town.sandbox.base_url());
    let call = |scheme: &str| town.client.get(&url).header("authorization", format!("{scheme} sk_x"));
    read(call("bearer").header("x-call-source", "cron"), 200).await;
    read(call("BEARER"), 200).await;
    read(call("Basic"), 401).await;
}

#[tokio::test]
async fn a_precheck_takes_a_trace_id_and_speaks_of_a_preview() {
    let town = quiet_town().await;
    let body = json!({
        "action_type": "query_event_personnel",
        "params": { "event_id": "26855" },
        "trace_id": "unlockd-job-7",
    });
    let answer = read(town.post("/external/actions/precheck", &body), 200).await;
    assert_eq!(
        answer["detail"],
        json!({
            "event_id": "26855",
            "access_mode": "preview",
            "preview_limit": 50,
            "unlock_action_type": "unlock_event_contacts",
            "unlock_credits": 2000,
        })
    );
    assert_eq!(town.sandbox.journal()[0].body["trace_id"], "unlockd-job-7");
}

// ---- Credits that lapse ----

#[tokio::test]
async fn add_on_credits_lapse_one_purchase_after_the_other() {
    let lapses = Duration::from_secs(10 * DAY);
    let town = town(Options { addon_lapses_after: lapses, ..Options::default() }).await;
    let figures = async || {
        let balance = read(town.get("/external/credits/balance"), 200).await;
        ["totalBalance", "addonAmount", "addonBalance", "addonExpireAt"].map(|name| balance[name].clone())
    };
    let start_ms = town.sandbox.now_ms();
    let at = |days: u64| json!(start_ms + (days * DAY * 1_000) as i64);
    assert_eq!(figures().await, [json!(10_000), json!(2_000), json!(2_000), at(10)]);
    town.advance(5 * DAY);
    town.sandbox.top_up(500);
    town.sandbox.spend(7_300);
    assert_eq!(figures().await, [json!(3_200), json!(2_500), json!(2_200), at(15)]);
    town.advance(5 * DAY);
    assert_eq!(figures().await, [json!(1_500), json!(500), json!(500), at(15)], "nothing had told of day 10");
    town.advance(5 * DAY);
    assert_eq!(figures().await, [json!(1_000), json!(0), json!(0), Value::Null]);
}

#[tokio::test]
async fn a_subscription_is_reset_at_its_time() {
    let town = quiet_town().await;
    town.sandbox.spend(6_000);
    let figures = async || {
        let balance = read(town.get("/external/credits/balance"), 200).await;
        ["subscriptionAmount", "subscriptionBalance", "resetAt"].map(|name| balance[name].clone())
    };
    let before = figures().await;
    assert_eq!(before[..2], [json!(7_000), json!(1_000)]);
    town.advance(30 * DAY);
    let after = figures().await;
    assert_eq!(after[..2], [json!(7_000), json!(7_000)]);
    let month = (30 * DAY * 1_000) as i64;
    assert_eq!(after[2].as_i64(), before[2].as_i64().map(|at| at + month));
}

// ---- Work without a price ----

#[tokio::test]
async fn linkedin_activity_is_analysed_once_and_shows_in_the_list() {
    let town = quiet_town().await;
    let body = json!({ "personnel_ids": ["755", "1091"], "event_id": "7" });
    let analyse = || town.post("/external/personnel/unlock-linkedin-activity", &body);
    let status = async || town.list("event_id=7").await["items"][0]["linkedinActivityStatus"].clone();
    let first = read(analyse(), 201).await;
    assert_eq!(first["items"][0]["taskId"], Value::Null);
    assert_eq!(
        (&first["items"][1]["success"], &first["items"][1]["error"]),
        (&json!(false), &json!("NOT_FOUND"))
    );
    assert_eq!(status().await, "processing");
    assert!(read(analyse(), 201).await["items"][0]["taskId"].is_string(), "it runs already");
    town.advance(12);
    assert_eq!(read(analyse(), 201).await["items"][0]["alreadyUnlocked"], true);
    assert_eq!(status().await, "ready");
    assert_eq!(town.balance().await, 10_000);
}

#[tokio::test]
async fn drafts_of_one_event_are_written_one_batch_at_a_time() {
    let town = quiet_town().await;
    let draft = |event: &str| {
        let body = json!({ "personnel_ids": ["755"], "event_id": event, "channels": ["email"] });
        town.post("/external/personnel/generate-outreach-message", &body)
    };
    assert_eq!(town.error_key(draft("7"), 400).await, "INVALID_REQUEST", "not an eventId");
    assert!(read(draft("887"), 201).await["taskCenterId"].is_string());
    assert_eq!(town.error_key(draft("887"), 409).await, "STATE_CONFLICT");
    read(draft("889"), 201).await;
    town.advance(12);
    read(draft("887"), 201).await;
}

#[tokio::test]
async fn a_429_of_an_address_comes_while_the_key_has_calls_left() {
    let town = town(Options { rate_limit: 3, address_limit: 4, ..Options::default() }).await;
    let url = format!("{}/external/credits/balance", town.sandbox.base_url());
    let call = |key: &str| send(town.client.get(&url).bearer_auth(key));
    for key in ["sk_a", "sk_a", "sk_b"] {
        assert_eq!(call(key).await.status(), 200);
    }
    let last = call("sk_b").await;
    assert_eq!(header(&last, "x-ratelimit-remaining").as_deref(), Some("1"));
    for key in ["sk_b", "sk_c"] {
        let refused = call(key).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(header(&refused, "retry-after").as_deref(), Some("60"));
        assert_eq!(header(&refused, "x-ratelimit-remaining"), None);
    }
    town.advance(60);
    let fresh = call("sk_b").await;
    assert_eq!(
        header(&fresh, "x-ratelimit-remaining").as_deref(),
        Some("2"),
        "a refused call is not counted"
    );
    town.sandbox.use_up_calls_of_address(3);
    assert_eq!(call("sk_c").await.status(), 429, "others call from the same address");
}

#[tokio::test]
async fn no_limit_of_the_key_is_no_limit_at_all() {
    let town = town(Options { rate_limit: 0, address_limit: 1, ..Options::default() }).await;
    for _ in 0..3 {
        assert_eq!(town.balance().await, 10_000);
    }
}

#[tokio::test]
async fn an_error_key_can_be_scripted() {
    let town = town_with("error=404:EVENT_NOT_FOUND@event").await;
    assert_eq!(town.error_key(town.open("7", "unlock"), 404).await, "EVENT_NOT_FOUND");
}
