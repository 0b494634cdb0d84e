//! Every paid action in the same situations: approval, success, already unlocked, 402, 404, a lost answer, a
//! crash at any call. The credits must be exact each time.

use serde_json::json;
use unlockd::domain::Action;
use unlockd::sandbox::{Billing, Call};
use unlockd::worker::run::driver::End;

use crate::support::relay::Altered;
use crate::support::{Setup, Town};

/// How each action is requested, and its cost.
struct Case {
    action: Action,
    columns: &'static str,
    values: &'static str,
    price: i64,
    /// The endpoint that faults are set for.
    endpoint: &'static str,
    /// The method and the path of its paid call.
    method: &'static str,
    path: &'static str,
    /// The outcome after a purchase.
    bought: &'static str,
}

const EVENT: Case = Case {
    action: Action::UnlockEventContacts,
    columns: "event_id",
    values: "'7'",
    price: 2_000,
    endpoint: "event",
    method: "POST",
    path: "/events/7/unlock",
    bought: "unlocked",
};

const COMPANIES: Case = Case {
    action: Action::SearchExhibitorCompanies,
    columns: "query",
    values: "'Acme'",
    price: 50,
    endpoint: "search",
    method: "POST",
    path: "/search-by-company-name",
    bought: "found",
};

const VISITORS: Case = Case {
    action: Action::UnlockEventVisitors,
    columns: "event_id",
    values: "'7'",
    price: 3_000,
    endpoint: "visitors",
    method: "POST",
    path: "/events/7/visitors/unlock",
    bought: "unlocked",
};

const FULL_ACCESS: Case = Case {
    action: Action::UnlockEventFullAccess,
    columns: "event_id",
    values: "'7'",
    price: 5_000,
    endpoint: "full-access",
    method: "POST",
    path: "/events/7/full-access/unlock",
    bought: "unlocked",
};

const PERSON: Case = Case {
    action: Action::SearchPersonnelEvents,
    columns: "query",
    values: "' Ada Example '",
    price: 50,
    endpoint: "by-name",
    method: "GET",
    path: "/personnel/events/by-name",
    bought: "found",
};

const CASES: [Case; 8] = [
    Case {
        action: Action::UnlockContactEmails,
        columns: "personnel_ids",
        values: "'[\"101\"]'",
        price: 15,
        endpoint: "unlock",
        method: "POST",
        path: "/contacts/unlock",
        bought: "delivered",
    },
    Case {
        action: Action::UnlockContactPhones,
        columns: "personnel_ids",
        values: "'[\"101\"]'",
        price: 150,
        endpoint: "unlock-phone",
        method: "POST",
        path: "/contacts/unlock-phone",
        bought: "delivered",
    },
    EVENT,
    VISITORS,
    FULL_ACCESS,
    COMPANIES,
    PERSON,
    Case {
        action: Action::SearchExhibitorEvents,
        columns: "query",
        values: "' Acme '",
        price: 50,
        endpoint: "search",
        method: "POST",
        path: "/search-events",
        bought: "found",
    },
];

impl Case {
    /// The search of companies has none; the vendor answers `unsupported_action`.
    fn has_precheck(&self) -> bool {
        self.action != Action::SearchExhibitorCompanies
    }

    async fn insert(&self, town: &mut Town) -> i64 {
        if self.action == Action::UnlockEventVisitors {
            // Visitors come after the base.
            town.sandbox.mark_event_unlocked("7");
        }
        let columns = format!("action, {}", self.columns);
        town.insert_row(&columns, &format!("'{}', {}", self.action, self.values)).await
    }

    fn posts(&self, town: &Town) -> usize {
        let path = |call: &Call| call.path.split('?').next().is_some_and(|path| path.ends_with(self.path));
        town.calls(self.path).iter().filter(|call| call.method == self.method && path(call)).count()
    }

    async fn outcome(&self, town: &mut Town, request: i64) -> String {
        let view = if self.action.channel().is_some() { "contact_outcomes" } else { "action_results" };
        town.one::<(String,)>(&format!("select outcome from {view} where request_id = {request}")).await.0
    }
}

/// Credits used and result of a request of a direct action.
async fn result(town: &mut Town, request: i64) -> (Option<i64>, serde_json::Value) {
    let sql = format!("select credits_used, result from action_results where request_id = {request}");
    let (credits, result): (Option<i64>, Option<String>) = town.one(&sql).await;
    (credits, result.map(|text| serde_json::from_str(&text).expect("JSON")).unwrap_or_default())
}

async fn booked(town: &mut Town) -> i64 {
    town.number("select coalesce(sum(credits), 0) from ledger where entry = 'charge'").await
}

/// The charges equal the bookings, and the audit says so.
async fn credits_are_exact(town: &mut Town, charged: i64, what: &str) {
    assert_eq!(town.sandbox.accounting().charged_total, charged, "{what}");
    assert_eq!(booked(town).await, charged, "{what}");
    let verdicts = town.verdicts().await;
    let total: i64 = verdicts.iter().map(|(spent, _)| spent).sum();
    assert_eq!(total, charged, "{what}: {verdicts:?}");
    assert!(verdicts.iter().all(|(_, verdict)| verdict == "matched"), "{what}: {verdicts:?}");
}

#[tokio::test]
async fn every_action_is_bought_once_at_its_price_and_recorded() {
    for case in CASES {
        let mut town = Town::new().await;
        let request = case.insert(&mut town).await;
        town.finish_all().await;
        assert_eq!(town.status(request).await, "done", "{}", case.action);
        assert_eq!(case.outcome(&mut town, request).await, case.bought, "{}", case.action);
        assert_eq!(case.posts(&town), 1, "{}", case.action);
        assert_eq!(town.number("select quoted_credits from requests").await, case.price, "{}", case.action);
        credits_are_exact(&mut town, case.price, case.action.as_str()).await;
        town.check().await;
    }
}

/// Found in review: it was taken for an event, made jobs without an item, and stopped its account for ever.
#[tokio::test]
async fn a_search_with_an_event_id_is_the_same_search() {
    let mut town = Town::new().await;
    let columns = "action, event_id, query";
    let companies = "'search_exhibitor_companies', '139574', 'Acme'";
    let request = town.insert_row(columns, companies).await;
    let odd = town.insert_row(columns, "'search_exhibitor_events', 'a/b?c', 'Acme'").await;
    let other = town.insert(None, &["101"]).await;
    town.finish_all().await;
    for (request, outcome) in [(request, "found"), (odd, "found")] {
        assert_eq!(COMPANIES.outcome(&mut town, request).await, outcome);
    }
    assert_eq!(COMPANIES.posts(&town), 1);
    assert_eq!(town.outcome(other, "101").await.0, "delivered");
    credits_are_exact(&mut town, 115, "two searches and a contact").await;
    town.check().await;
}

/// As an earlier version stored it: its item has the event.
#[tokio::test]
async fn a_search_that_was_taken_with_an_event_id_is_sent_all_the_same() {
    let mut town = Town::new().await;
    town.pause(true).await;
    let request = COMPANIES.insert(&mut town).await;
    unlockd::worker::intake::run(town.deps()).await.expect("the database is well");
    town.meddle("update items set event_id = '139574'").await.expect("as it was");
    town.pause(false).await;
    town.finish_all().await;
    assert_eq!(COMPANIES.outcome(&mut town, request).await, "found");
    credits_are_exact(&mut town, 50, "one search").await;
    town.check().await;
}

#[tokio::test]
async fn a_job_without_an_item_ends_without_a_post() {
    let mut town = Town::new().await;
    town.meddle(
        "insert into jobs (account, action, event_id, state, created_at, contacts)
         values ('default', 'search_exhibitor_companies', '139574', 'queued', 1, 1)",
    )
    .await
    .expect("as an earlier version made it");
    let request = COMPANIES.insert(&mut town).await;
    town.finish_all().await;
    assert_eq!(town.job_state(1).await, "completed");
    assert_eq!(town.timeline(1).await, [""; 0], "no intent was committed");
    assert_eq!(COMPANIES.outcome(&mut town, request).await, "found");
    assert!(!town.deps().gate(&town.deps().accounts()[0]).is_calling(), "its permit is given back");
    credits_are_exact(&mut town, 50, "one search").await;
    town.check().await;
}

#[tokio::test]
async fn every_action_above_the_limit_waits_for_a_person_and_spends_nothing_before() {
    for case in CASES {
        let limit = (case.price - 1).to_string();
        let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", &limit).build().await;
        let request = case.insert(&mut town).await;
        let end = town.finish().await;
        assert!(matches!(end, End::WaitsForPerson(_)), "{end:?}");
        assert_eq!(town.status(request).await, "awaiting_approval", "{}", case.action);
        assert_eq!(case.posts(&town), 0, "{}", case.action);
        town.approve(request).await;
        town.finish_all().await;
        assert_eq!(case.outcome(&mut town, request).await, case.bought, "{}", case.action);
        credits_are_exact(&mut town, case.price, case.action.as_str()).await;
        town.check().await;
    }
}

#[tokio::test]
async fn every_action_is_refused_when_it_would_cost_more_than_max_credits() {
    // Full access costs what is still locked: `layers` tells.
    for case in CASES.into_iter().filter(|case| case.action != Action::UnlockEventFullAccess) {
        let mut town = Town::new().await;
        let columns = format!("action, max_credits, {}", case.columns);
        let values = format!("'{}', {}, {}", case.action, case.price - 1, case.values);
        let request = town.insert_row(&columns, &values).await;
        town.finish_all().await;
        assert_eq!(town.status(request).await, "rejected", "{}", case.action);
        assert_eq!(town.sandbox.journal().len(), 0, "{}", case.action);
        town.check().await;
    }
}

#[tokio::test]
async fn a_402_parks_every_action_after_one_post_and_a_top_up_frees_it() {
    for case in CASES {
        let mut town = Town::new().await;
        town.fault(&format!("status=402@{}", case.endpoint));
        let request = case.insert(&mut town).await;
        town.tick(60_000).await;
        assert_eq!(town.job_state(1).await, "queued (insufficient_credits)", "{}", case.action);
        assert_eq!(case.posts(&town), 1, "{}", case.action);
        town.sandbox.top_up(3_000);
        town.tick(16_000).await;
        town.finish_all().await;
        assert_eq!(case.outcome(&mut town, request).await, case.bought, "{}", case.action);
        assert_eq!(case.posts(&town), 2, "{}", case.action);
        town.check().await;
    }
}

#[tokio::test]
async fn a_precheck_that_says_too_little_parks_without_a_post() {
    // Another user spends right after the balance was read.
    for case in CASES.into_iter().filter(Case::has_precheck) {
        let mut town = Setup::default().sandbox(|options| options.balance = case.price + 5).build().await;
        let request = case.insert(&mut town).await;
        town.fault("pass@balance");
        town.step_until_called("/balance").await;
        town.sandbox.spend(10);
        town.tick(60_000).await;
        assert_eq!(case.posts(&town), 0, "{}", case.action);
        assert_eq!(town.job_state(1).await, "queued (insufficient_credits)", "{}", case.action);
        town.sandbox.top_up(3_000);
        town.tick(16_000).await;
        town.finish_all().await;
        assert_eq!(case.outcome(&mut town, request).await, case.bought, "{}", case.action);
        town.check().await;
    }
}

#[tokio::test]
async fn a_404_ends_every_action_without_a_retry() {
    for case in CASES {
        let mut town = Town::new().await;
        town.fault(&format!("status=404@{}", case.endpoint));
        let request = case.insert(&mut town).await;
        town.finish_all().await;
        assert_eq!(case.outcome(&mut town, request).await, "rejected", "{}", case.action);
        assert_eq!(case.posts(&town), 1, "{}", case.action);
        assert_eq!((town.sandbox.accounting().charged_total, booked(&mut town).await), (0, 0));
        let (status, reason) = town.inbox(request).await;
        let reason = reason.expect("a reason");
        assert!(status == "done" && reason.contains("NOT_FOUND): nothing was charged"), "{status}: {reason}");
        town.check().await;
    }
}

#[tokio::test]
async fn an_event_that_does_not_exist_is_rejected_by_the_precheck_without_a_post() {
    let mut town = Town::new().await;
    let request = town.insert_row("action, event_id", "'unlock_event_contacts', '99404'").await;
    town.finish_all().await;
    assert_eq!(EVENT.outcome(&mut town, request).await, "rejected");
    assert!(town.calls("/unlock").is_empty());
    let reason = town.inbox(request).await.1.expect("a reason");
    assert!(
        reason.starts_with("its event was rejected by the API (not_found): nothing was charged"),
        "{reason}"
    );
    let timeline = town.timeline(1).await;
    assert!(timeline.contains(&"refused".to_owned()), "{timeline:?}");
    town.check().await;
}

#[tokio::test]
async fn a_precheck_that_does_not_help_leaves_the_price_list_and_is_noted() {
    for case in CASES.into_iter().filter(Case::has_precheck) {
        let mut town = Town::new().await;
        town.fault("3x:status=500@precheck");
        let request = case.insert(&mut town).await;
        town.finish_all().await;
        assert_eq!(case.outcome(&mut town, request).await, case.bought, "{}", case.action);
        let timeline = town.timeline(1).await;
        assert!(timeline.contains(&"precheck_unhelpful".to_owned()), "{}: {timeline:?}", case.action);
        credits_are_exact(&mut town, case.price, case.action.as_str()).await;
        town.check().await;
    }
}

/// A report of a gate that let through what it could not read: an unknown word, or a value of another type.
#[tokio::test]
async fn an_event_is_not_bought_on_a_precheck_whose_yes_or_no_cannot_be_read() {
    for allowed in [json!("unsure"), json!({ "value": false }), json!([false])] {
        let mut town = Setup::default().recorded().build().await;
        let odd = allowed.clone();
        town.change(move |exchange| {
            let mut answer = exchange.answer.clone();
            answer["allowed"] = odd.clone();
            exchange.path.ends_with("/precheck").then(|| Altered::new(200, answer.to_string())).flatten()
        });
        let request = EVENT.insert(&mut town).await;
        town.tick(600_000).await;
        assert_eq!(EVENT.posts(&town), 0, "{allowed}");
        town.change(|_| None);
        town.finish_all().await;
        assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked", "{allowed}");
        town.check().await;
    }
    for refused in [json!("false"), json!(0)] {
        let mut town = Setup::default().recorded().build().await;
        town.change(move |exchange| {
            let mut answer = exchange.answer.clone();
            (answer["allowed"], answer["reason_code"]) = (refused.clone(), json!("over_budget"));
            exchange.path.ends_with("/precheck").then(|| Altered::new(200, answer.to_string())).flatten()
        });
        let request = EVENT.insert(&mut town).await;
        town.finish_all().await;
        assert_eq!((EVENT.posts(&town), EVENT.outcome(&mut town, request).await.as_str()), (0, "rejected"));
        town.check().await;
    }
}

/// Reports of actions that no dry run supports although they work: the batch is bought by the price list.
#[tokio::test]
async fn contacts_whose_precheck_is_not_supported_are_bought_by_the_price_list() {
    for (status, body) in [
        (400, json!({ "code": 400, "message": "does not support dry run", "errorKey": "INVALID_REQUEST" })),
        (
            200,
            json!({ "ok": true, "allowed": false, "should_charge": false, "credits": 0,
                      "reason_code": "unsupported_action" }),
        ),
    ] {
        let mut town = Setup::default().recorded().build().await;
        let answer = body.to_string();
        town.change(move |exchange| {
            exchange.path.ends_with("/precheck").then(|| Altered::new(status, answer.clone())).flatten()
        });
        let request = town.insert(None, &["101", "102"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "102").await.0, "delivered", "{status}");
        assert_eq!((town.calls("/precheck").len(), town.posts().len()), (1, 1), "{status}");
        assert_eq!(town.sandbox.accounting().charged_total, 30);
        town.check().await;
    }
}

#[tokio::test]
async fn a_search_of_companies_is_not_prechecked_and_one_that_is_too_dear_is_parked_by_its_402() {
    let mut town = Setup::default().sandbox(|options| options.balance = 55).build().await;
    let request = COMPANIES.insert(&mut town).await;
    town.fault("pass@balance");
    town.step_until_called("/balance").await;
    town.sandbox.spend(10);
    town.tick(60_000).await;
    assert_eq!((COMPANIES.posts(&town), town.calls("/precheck").len()), (1, 0));
    assert_eq!(town.job_state(1).await, "queued (insufficient_credits)");
    town.sandbox.top_up(3_000);
    town.tick(16_000).await;
    town.finish_all().await;
    assert_eq!(COMPANIES.outcome(&mut town, request).await, "found");
    town.check().await;
}

#[tokio::test]
async fn an_event_is_confirmed_by_its_list_and_its_answer_is_a_balance() {
    let mut town = Town::new().await;
    let request = EVENT.insert(&mut town).await;
    town.finish_all().await;
    let (credits, result) = result(&mut town, request).await;
    assert_eq!(credits, Some(2_000));
    assert_eq!(result["accessMode"], "full", "{result}");
    assert_eq!(result["event"]["eventId"], "7");
    assert_eq!(result["balanceAfter"]["totalBalance"], 98_000);
    let lists = town.calls("/personnel/list");
    assert_eq!(lists.len(), 1);
    assert!(lists[0].path.ends_with("page=1&pageSize=1"), "{}", lists[0].path);
    let bounds: (i64, i64) = town.one("select expected_min, expected_max from credit_audit").await;
    assert_eq!(bounds, (2_000, 2_000), "its price is known by its own word");
    let causes: Vec<(String, i64)> = town.all("select cause, total from balance_snapshots").await;
    let expected = [("before_submission".to_owned(), 100_000), ("event_unlock".to_owned(), 98_000)];
    assert_eq!(causes, expected, "no further balance call is needed");
    town.check().await;
}

#[tokio::test]
async fn an_event_that_was_unlocked_before_costs_nothing() {
    // With a precheck it is not even sent; without one, the answer says so.
    for (precheck, posts) in [("true", 1), ("false", 2)] {
        let mut town = Setup::default().config("SUBMIT__PRECHECK", precheck).build().await;
        let first = EVENT.insert(&mut town).await;
        town.finish_all().await;
        let again = EVENT.insert(&mut town).await;
        town.finish_all().await;
        assert_eq!(EVENT.outcome(&mut town, first).await, "unlocked");
        assert_eq!(EVENT.outcome(&mut town, again).await, "already_unlocked");
        let (credits, result) = result(&mut town, again).await;
        assert_eq!((credits, &result["accessMode"]), (Some(0), &"full".into()), "{result}");
        assert_eq!(EVENT.posts(&town), posts);
        credits_are_exact(&mut town, 2_000, precheck).await;
        town.check().await;
    }
}

#[tokio::test]
async fn two_requests_for_one_event_share_its_call() {
    let mut town = Town::new().await;
    let first = EVENT.insert(&mut town).await;
    let second = EVENT.insert(&mut town).await;
    town.finish_all().await;
    assert_eq!(EVENT.posts(&town), 1);
    assert_eq!(result(&mut town, first).await.0, Some(2_000));
    assert_eq!(result(&mut town, second).await.0, Some(0));
    credits_are_exact(&mut town, 2_000, "two requests").await;
    town.check().await;
}

#[tokio::test]
async fn a_lost_answer_to_an_event_unlock_is_settled_by_its_list() {
    for fault in ["lost-answer=timeout", "lost-answer=reset", "lost-answer=500", "broken=truncated"] {
        let mut town = Town::new().await;
        town.fault(&format!("{fault}@event"));
        let request = EVENT.insert(&mut town).await;
        town.tick(1_000).await;
        assert_eq!(town.job_state(1).await, "in_doubt (looking)", "{fault}");
        town.finish_all().await;
        assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked", "{fault}");
        assert_eq!(EVENT.posts(&town), 1, "{fault}: it was carried out");
        let (credits, result) = result(&mut town, request).await;
        assert_eq!((credits, &result["accessMode"]), (Some(2_000), &"full".into()), "{fault}: {result}");
        credits_are_exact(&mut town, 2_000, fault).await;
        town.check().await;
    }
}

/// Found by the soak: the charge of the contacts was taken off twice from the balance before the event's
/// call, since it was booked after that balance was read, but made before.
#[tokio::test]
async fn a_charge_that_was_proven_late_does_not_hide_that_of_an_event() {
    let mut town = Town::new().await;
    town.fault("lost-answer@unlock");
    town.fault("lost-answer@event");
    town.insert(None, &["101", "102"]).await;
    town.tick(29_000).await;
    town.pause(true).await;
    let request = EVENT.insert(&mut town).await;
    town.tick(2_000).await;
    town.pause(false).await;
    town.finish_all().await;
    assert_eq!(EVENT.posts(&town), 1);
    assert_eq!(result(&mut town, request).await.0, Some(2_000));
    credits_are_exact(&mut town, 2_030, "a late proof").await;
    town.check().await;
}

#[tokio::test]
async fn an_event_unlock_that_never_arrived_is_asked_for_again() {
    let mut town = Town::new().await;
    town.fault("lost-request@event");
    let request = EVENT.insert(&mut town).await;
    town.finish_all().await;
    assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked");
    assert_eq!(EVENT.posts(&town), 2);
    credits_are_exact(&mut town, 2_000, "lost request").await;
    town.check().await;
}

#[tokio::test]
async fn an_event_that_somebody_else_unlocked_meanwhile_is_not_booked_as_ours() {
    let mut town = Town::new().await;
    town.fault("lost-request@event");
    let request = EVENT.insert(&mut town).await;
    town.tick(1_000).await;
    town.sandbox.mark_event_unlocked("7");
    town.finish_all().await;
    assert_eq!(EVENT.outcome(&mut town, request).await, "already_unlocked");
    assert_eq!(result(&mut town, request).await.0, Some(0));
    assert_eq!(booked(&mut town).await, 0);
    town.check().await;
}

#[tokio::test]
async fn answers_that_are_lost_again_and_again_call_for_a_person() {
    let mut town = Town::new().await;
    town.fault("always:lost-request@event");
    let request = EVENT.insert(&mut town).await;
    let end = town.finish().await;
    assert!(matches!(end, End::WaitsForPerson(_)), "{end:?}");
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)");
    assert_eq!(EVENT.posts(&town), 5);
    town.sandbox.clear_faults();
    town.resubmit(1).await;
    town.finish_all().await;
    assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked");
    town.check().await;
}

/// Found in review: 2,000 credits were gone, and neither the ledger nor the audit showed them.
#[tokio::test]
async fn a_lost_event_unlock_that_is_taken_back_and_not_sent_again_is_booked() {
    for cancelled in [true, false] {
        let mut town = Setup::default().config("SUBMIT__PRECHECK", "false").build().await;
        town.fault("lost-answer=reset@event");
        let request = EVENT.insert(&mut town).await;
        town.tick(1_000).await;
        town.pause(true).await;
        town.resubmit(1).await;
        if cancelled {
            town.cancel(request).await;
            town.pause(false).await;
            town.finish_all().await;
            assert_eq!(town.job_state(1).await, "cancelled");
        } else {
            // When it is to be sent, the approval no longer covers its cost: a person is asked.
            town.configure("CREDITS__APPROVE_ABOVE", "1000").await;
            town.pause(false).await;
            assert!(matches!(town.finish().await, End::WaitsForPerson(_)));
            assert_eq!(town.job_state(1).await, "completed");
            town.approve(request).await;
            town.finish_all().await;
        }
        assert_eq!(EVENT.posts(&town), if cancelled { 1 } else { 2 });
        credits_are_exact(&mut town, 2_000, "taken back").await;
        town.check().await;
    }
}

#[tokio::test]
async fn a_lost_search_waits_for_a_person_whatever_the_balance_says() {
    for (fault, charged, word) in
        [("lost-answer=timeout", 50, "probably charged"), ("lost-request", 0, "nothing left the balance")]
    {
        let mut town = Town::new().await;
        town.fault(&format!("{fault}@search"));
        let request = COMPANIES.insert(&mut town).await;
        let end = town.finish().await;
        assert!(matches!(end, End::WaitsForPerson(_)), "{fault}: {end:?}");
        assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)", "{fault}");
        assert_eq!(COMPANIES.posts(&town), 1, "{fault}: never sent again by itself");
        let (evidence,): (String,) = town.one("select evidence from jobs").await;
        assert!(evidence.contains(word), "{fault}: {evidence}");
        assert_eq!(COMPANIES.outcome(&mut town, request).await, "pending");

        town.resubmit(1).await;
        town.finish_all().await;
        assert_eq!(COMPANIES.outcome(&mut town, request).await, "found", "{fault}");
        assert_eq!(town.sandbox.accounting().charged_total, charged + 50, "{fault}");
        assert_eq!(booked(&mut town).await, charged + 50, "{fault}: the lost answer counts, too");
        town.check().await;
    }
}

#[tokio::test]
async fn a_search_that_was_given_up_ends_its_request_and_stays_booked() {
    let mut town = Town::new().await;
    town.fault("lost-answer=timeout@search");
    let request = COMPANIES.insert(&mut town).await;
    town.finish().await;
    town.write_off(1).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    assert_eq!(COMPANIES.outcome(&mut town, request).await, "cancelled");
    assert_eq!(booked(&mut town).await, 50);
    town.check().await;
}

#[tokio::test]
async fn one_page_of_a_search_is_bought_unless_more_are_asked_for() {
    for (max_pages, found, charged) in [(1, 100, 50), (2, 200, 100), (9, 250, 150)] {
        let mut town = Town::new().await;
        let values = format!("'search_exhibitor_companies', 'Acme many', {max_pages}");
        let request = town.insert_row("action, query, max_pages", &values).await;
        town.finish_all().await;
        let quoted = town.number("select quoted_credits from requests").await;
        assert_eq!(quoted, 50 * max_pages, "quoted for all pages that were asked for");
        let (credits, result) = result(&mut town, request).await;
        assert_eq!(result.as_array().map(Vec::len), Some(found), "{max_pages} pages");
        assert_eq!(credits, Some(charged));
        let pages: Vec<i64> =
            town.calls("/search-by").iter().filter_map(|call| call.body["page"].as_i64()).collect();
        assert_eq!(pages, (1..=charged / 50).collect::<Vec<_>>());
        assert!(town.calls("/search-by").iter().all(|call| call.body["pageSize"] == 100));
        credits_are_exact(&mut town, charged, "pages").await;
        town.check().await;
    }
}

#[tokio::test]
async fn a_search_that_finds_nothing_costs_nothing() {
    let mut town = Town::new().await;
    let request = town.insert_row("action, query", "'search_exhibitor_events', 'nobody'").await;
    town.finish_all().await;
    assert_eq!(COMPANIES.outcome(&mut town, request).await, "nothing_found");
    assert_eq!(result(&mut town, request).await.0, Some(0));
    assert_eq!((town.sandbox.accounting().charged_total, booked(&mut town).await), (0, 0));
    town.check().await;
}

#[tokio::test]
async fn a_search_that_is_cancelled_keeps_its_pages_and_buys_no_more() {
    let mut town = Town::new().await;
    let values = "'search_exhibitor_companies', 'Acme many', 9";
    let request = town.insert_row("action, query, max_pages", values).await;
    while town.number("select count(*) from direct_results").await == 0 {
        unlockd::worker::run::driver::step(town.deps()).await.expect("well");
    }
    town.cancel(request).await;
    town.finish_all().await;
    let bought = COMPANIES.posts(&town);
    assert!(bought < 3, "{bought} pages");
    assert_eq!(COMPANIES.outcome(&mut town, request).await, "found");
    credits_are_exact(&mut town, 50 * bought as i64, "cancelled").await;
    town.check().await;
}

#[tokio::test]
async fn an_approval_covers_all_pages_and_not_one_more() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "60").build().await;
    let values = "'search_exhibitor_companies', 'Acme many', 2";
    let request = town.insert_row("action, query, max_pages", values).await;
    town.finish().await;
    assert_eq!(town.status(request).await, "awaiting_approval");
    town.approve(request).await;
    town.finish_all().await;
    assert_eq!(COMPANIES.posts(&town), 2);
    assert_eq!(town.number("select committed_credits from requests").await, 100);
    credits_are_exact(&mut town, 100, "approved pages").await;
    town.check().await;
}

#[tokio::test]
async fn a_concurrency_error_with_http_200_of_a_search_waits_and_goes_on() {
    let mut town = Town::new().await;
    town.fault("200-error=429:USER_CONCURRENCY_LIMIT_EXCEEDED@search");
    let request = town.insert_row("action, query", "'search_exhibitor_events', 'Acme'").await;
    town.finish_all().await;
    assert_eq!(COMPANIES.outcome(&mut town, request).await, "found");
    assert_eq!(town.calls("/search-events").len(), 2);
    credits_are_exact(&mut town, 50, "after the wait").await;
    town.check().await;
}

#[tokio::test]
async fn an_event_killed_after_any_of_its_calls_ends_the_same() {
    for call in 0..20 {
        let mut town = Setup::default().sandbox(|options| options.billing = Billing::Repeats).build().await;
        if call > 0 {
            town.fault(&format!("{call}x:pass"));
        }
        town.fault("lost-answer=timeout");
        let request = EVENT.insert(&mut town).await;
        let killed = town.killed_when_silent(200_000).await;
        town.sandbox.clear_faults();
        if !killed {
            assert!(call >= 4, "only {call} calls");
            town.finish_all().await;
            return town.check().await;
        }
        town.start().await;
        town.finish_all().await;
        assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked", "killed at call {call}");
        credits_are_exact(&mut town, 2_000, &format!("killed at call {call}")).await;
        town.check().await;
    }
    panic!("more calls than expected");
}

#[tokio::test]
async fn a_search_killed_after_any_of_its_calls_is_never_paid_for_twice_by_itself() {
    let mut in_doubt = 0;
    for call in 0..20 {
        let mut town = Town::new().await;
        if call > 0 {
            town.fault(&format!("{call}x:pass"));
        }
        town.fault("lost-answer=timeout");
        let request = COMPANIES.insert(&mut town).await;
        let killed = town.killed_when_silent(200_000).await;
        town.sandbox.clear_faults();
        if !killed {
            assert_eq!(in_doubt, 1, "the paid call is one of {call}");
            town.finish_all().await;
            return town.check().await;
        }
        town.start().await;
        if let End::WaitsForPerson(waits) = town.finish().await {
            assert_eq!(COMPANIES.posts(&town), 1);
            assert!(waits[0].contains("in doubt"), "{waits:?}");
            in_doubt += 1;
        } else {
            assert_eq!(COMPANIES.outcome(&mut town, request).await, "found", "killed at call {call}");
        }
        assert_eq!(town.sandbox.accounting().charged_total, 50, "killed at call {call}");
        town.check().await;
    }
    panic!("more calls than expected");
}

#[tokio::test]
async fn the_same_person_may_be_asked_for_both_channels() {
    let mut town = Town::new().await;
    let email = CASES[0].insert(&mut town).await;
    let phone = CASES[1].insert(&mut town).await;
    town.finish_all().await;
    let rows: Vec<(i64, Option<String>, Option<String>)> =
        town.all("select request_id, email, phone from contact_outcomes order by request_id").await;
    assert_eq!(rows[0], (email, Some("contact-101@example.com".to_owned()), None));
    assert_eq!(rows[1], (phone, None, Some("+1-555-01101".to_owned())));
    credits_are_exact(&mut town, 165, "both").await;
    town.check().await;
}

/// The vendor refuses a search while another one of the user runs, for example in its app.
#[tokio::test]
async fn a_search_that_is_refused_for_now_holds_up_nothing_else() {
    let mut town = Town::new().await;
    let search = town.insert_row("action, query", "'search_exhibitor_events', 'concurrent'").await;
    town.settle().await;
    let contacts = town.insert(None, &["101"]).await;
    town.tick(60_000).await;
    let ends = (town.status(search).await, town.status(contacts).await);
    assert_eq!(ends, ("accepted".into(), "done".into()), "{}", town.dump().await);
    town.check().await;
}

#[tokio::test]
async fn a_call_that_nobody_answered_is_booked_although_the_list_showed_its_effect_late() {
    let mut town = Setup::default()
        .sandbox(|options| options.charge_lag = std::time::Duration::from_millis(30_200))
        .build()
        .await;
    town.fault("lost-answer=reset@event");
    let request = EVENT.insert(&mut town).await;
    town.finish_all().await;
    let timeline = town.timeline(1).await;
    assert!(timeline.contains(&"proven_not_carried_out".to_owned()), "it was asked for again: {timeline:?}");
    assert_eq!(EVENT.posts(&town), 1, "the precheck saw it in time");
    assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked", "by the call that was lost");
    assert_eq!(result(&mut town, request).await.0, Some(2_000), "what is booked");
    credits_are_exact(&mut town, 2_000, "its settlement begins before the first call").await;
    town.check().await;
}

/// The event's list never shows that it is unlocked.
async fn town_with_a_stale_list() -> Town {
    let town = Setup::default().recorded().build().await;
    town.change(|exchange| {
        let mut answer = exchange.answer.clone();
        let is_list = exchange.path.contains("/personnel/list");
        is_list.then(|| {
            answer["semantics"]["accessMode"] = "preview".into();
            Altered::new(200, answer.to_string())
        })?
    });
    town
}

/// Found by a stranger: each round made a job and booked 2,000 credits, and the audit matched.
#[tokio::test]
async fn a_list_that_lags_behind_the_precheck_buys_and_books_nothing_more() {
    for fault in ["lost-answer=reset@event", "always:lost-answer=reset@event"] {
        let mut town = town_with_a_stale_list().await;
        town.fault(fault);
        let request = EVENT.insert(&mut town).await;
        town.finish_all().await;
        assert_eq!(EVENT.posts(&town), 1, "{fault}");
        assert_eq!(town.number("select count(*) from jobs").await, 1, "{fault}");
        assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked", "{fault}");
        let (credits, result) = result(&mut town, request).await;
        assert_eq!((credits, &result["accessMode"]), (Some(2_000), &"preview".into()), "{fault}: {result}");
        credits_are_exact(&mut town, 2_000, fault).await;
        town.check().await;
    }
}

#[tokio::test]
async fn a_contradiction_that_the_balance_does_not_settle_is_for_a_person() {
    let mut town = town_with_a_stale_list().await;
    town.fault("lost-request@event");
    EVENT.insert(&mut town).await;
    town.tick(1_000).await;
    town.sandbox.mark_event_unlocked("7");
    let end = town.finish().await;
    assert!(matches!(end, End::WaitsForPerson(_)), "{end:?}");
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)");
    let (evidence,): (String,) = town.one("select evidence from jobs").await;
    assert!(evidence.contains("a precheck says that it is unlocked already"), "{evidence}");
    let looks = town.number("select looks from jobs").await;
    assert!((4..9).contains(&looks), "the pauses grow: {looks}");
    assert_eq!((EVENT.posts(&town), booked(&mut town).await), (1, 0));
    town.write_off(1).await;
    town.finish_all().await;
    assert_eq!((EVENT.posts(&town), booked(&mut town).await), (1, 2_000));
    town.check().await;
}

#[tokio::test]
async fn an_event_that_only_the_precheck_calls_unlocked_is_not_sent() {
    let mut town = town_with_a_stale_list().await;
    town.sandbox.mark_event_unlocked("7");
    let request = EVENT.insert(&mut town).await;
    town.finish_all().await;
    assert_eq!(EVENT.outcome(&mut town, request).await, "already_unlocked");
    let (credits, result) = result(&mut town, request).await;
    assert_eq!((credits, &result["accessMode"]), (Some(0), &"preview".into()), "{result}");
    assert_eq!((EVENT.posts(&town), town.number("select count(*) from jobs").await), (0, 1));
    assert!(town.calls("/personnel/list").len() < 16, "{}", town.calls("/personnel/list").len());
    town.check().await;
}

/// The precheck that set it aside was wrong, and the next one says so: five lost answers in two jobs are five.
#[tokio::test]
async fn answers_that_were_lost_in_another_job_count_for_the_request() {
    let mut town = Setup::default().recorded().build().await;
    let mut prechecks = 0;
    town.change(move |exchange| {
        let is_precheck = exchange.path.ends_with("/precheck");
        prechecks += u32::from(is_precheck);
        let had = r#"{"ok":true,"allowed":true,"should_charge":false,"credits":0,"reason_code":"already_unlocked"}"#;
        // Before the first call, at the check after it, and before the second.
        (is_precheck && prechecks == 3).then(|| Altered::new(200, had))?
    });
    town.fault("always:lost-request@event");
    EVENT.insert(&mut town).await;
    let end = town.finish().await;
    assert!(matches!(end, End::WaitsForPerson(_)), "{end:?}");
    assert_eq!(town.number("select count(*) from jobs").await, 2, "{}", town.dump().await);
    assert_eq!(EVENT.posts(&town), 5);
    town.sandbox.clear_faults();
    town.write_off(2).await;
    town.finish_all().await;
    town.check().await;
}

#[tokio::test]
async fn what_was_cancelled_is_not_sent_again_when_its_first_call_proves_lost() {
    for (case, fault) in [(&CASES[0], "lost-request@unlock"), (&EVENT, "lost-request@event")] {
        let mut town = Town::new().await;
        town.fault(fault);
        let request = case.insert(&mut town).await;
        town.tick(1_000).await;
        assert_eq!(town.job_state(1).await, "in_doubt (looking)", "{fault}");
        town.cancel(request).await;
        town.finish_all().await;
        assert_eq!(case.posts(&town), 1, "{fault}");
        assert_eq!(case.outcome(&mut town, request).await, "cancelled", "{fault}");
        assert_eq!(town.status(request).await, "cancelled", "{fault}");
        assert_eq!((town.sandbox.accounting().charged_total, booked(&mut town).await), (0, 0), "{fault}");
        town.check().await;
    }
}

#[tokio::test]
async fn many_lost_searches_do_not_keep_others_from_being_looked_at() {
    let mut town = Town::new().await;
    town.fault("70x:lost-request@search");
    for _ in 0..70 {
        COMPANIES.insert(&mut town).await;
    }
    let end = town.finish().await;
    assert!(matches!(end, End::WaitsForPerson(_)), "{end:?}");
    let undecided = "select count(*) from jobs where state_reason = 'needs_decision'";
    assert_eq!(town.number(undecided).await, 70, "each was looked at");
    town.fault("lost-answer=reset@event");
    let request = EVENT.insert(&mut town).await;
    town.finish().await;
    assert_eq!(EVENT.outcome(&mut town, request).await, "unlocked");
    town.check().await;
}

/// The answer to it says what is left, and nothing of what was granted.
#[tokio::test]
async fn an_event_that_is_unlocked_beside_a_lost_call_leaves_no_decision_to_a_person() {
    let mut town = Town::new().await;
    for (event, ids) in [("1701", ["101", "102"]), ("1801", ["103", "104"])] {
        town.fault("lost-request@unlock");
        town.insert(None, &ids).await;
        town.step_until_called("/contacts/unlock").await;
        // Before it is looked up, and, for the second call, also the newest balance of before.
        town.insert_row("action, event_id", &format!("'unlock_event_contacts', '{event}'")).await;
        town.finish_all().await;
    }
    let delivered = "select count(*) from contact_outcomes where outcome = 'delivered'";
    assert_eq!((town.number(delivered).await, town.posts().len()), (4, 4));
    town.check().await;
}
