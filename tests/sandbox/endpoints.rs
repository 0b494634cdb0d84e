//! The other endpoints.

use serde_json::{Value, json};

use crate::{quiet_town, read};

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

/// Each with the expected precheck: allowed, credits, reason.
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
    let company = json!({ "company_name": "Acme" });
    let unsupported = vec![(company, false, 0, "unsupported_action")];
    expect_prechecks("search_exhibitor_companies", unsupported).await;
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
    assert_eq!(preview["semantics"]["previewLimit"], 50);
    assert_eq!(preview["semantics"]["counts"]["remainingLockedCount"], 0);
    assert_eq!(preview["semantics"]["guidance"]["code"], "preview_complete_for_query");
    let unlock = || town.post("/external/events/26855/unlock", &Value::Null);
    assert_eq!(
        read(unlock(), 201).await,
        json!({
            "success": true,
            "alreadyUnlocked": false,
            "creditsUsed": 2000,
            "balanceAfter": {
                "subscriptionBalance": 5000,
                "permanentBalance": 1000,
                "totalBalance": 8000,
                "unlimited": false,
            },
            "event": { "id": "8826855", "eventId": "26855", "name": "Sandbox Event 26855" },
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
async fn an_event_that_ends_in_250_has_250_people_on_five_pages_of_50() {
    let town = quiet_town().await;
    let page = |page: i64| town.get(&format!("/external/personnel/list?event_id=139250&page={page}"));
    assert_eq!(read(page(1), 200).await["semantics"]["counts"]["remainingLockedCount"], 200);
    read(town.post("/external/events/139250/unlock", &Value::Null), 201).await;
    let mut ids = std::collections::BTreeSet::new();
    for (number, people, has_more) in [(1, 50, true), (2, 50, true), (5, 50, false), (6, 0, false)] {
        let page = read(page(number), 200).await;
        let items = page["items"].as_array().expect("an array");
        assert_eq!((items.len(), &page["hasMore"]), (people, &json!(has_more)), "page {number}");
        ids.extend(items.iter().map(|person| person["id"].to_string()));
    }
    assert_eq!(ids.len(), 150);
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
            "department": "sales",
            "seniorityLevel": "manager",
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
        json!({
            "id": "88139001",
            "eventId": "139001",
            "name": "Acme at Sandbox Expo 1",
            "dateStart": "2026-01-15",
            "dateEnd": "2026-01-18",
            "hasVisitors": true,
            "sponsorMatchStarred": 1,
            "attendance_identity": ["exhibitor"],
            "matchedExhibitors": [{ "id": "4001", "companyName": "Acme" }],
            "dataSource": "Lensmor",
        })
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
