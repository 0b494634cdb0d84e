//! Visitor access and full access to events: what is bought, what is refused, and how a lost answer is settled.

use std::time::Duration;

use serde_json::Value;
use unlockd::worker::run::driver::End;

use crate::support::{Setup, Town};

const VISITORS: &str = "/visitors/unlock";
const FULL_ACCESS: &str = "/full-access/unlock";

async fn ask(town: &mut Town, action: &str, event: &str) -> i64 {
    town.insert_row("action, event_id", &format!("'{action}', '{event}'")).await
}

async fn visitors(town: &mut Town) -> i64 {
    town.sandbox.mark_event_unlocked("7");
    ask(town, "unlock_event_visitors", "7").await
}

async fn full_access(town: &mut Town) -> i64 {
    ask(town, "unlock_event_full_access", "7").await
}

/// Outcome, credits used and result of a request.
async fn result(town: &mut Town, request: i64) -> (String, Option<i64>, Value) {
    let sql =
        format!("select outcome, credits_used, result from action_results where request_id = {request}");
    let (outcome, credits, result): (String, Option<i64>, Option<String>) = town.one(&sql).await;
    (outcome, credits, result.map(|text| serde_json::from_str(&text).expect("JSON")).unwrap_or_default())
}

async fn booked(town: &mut Town) -> i64 {
    town.number("select coalesce(sum(credits), 0) from ledger where entry = 'charge'").await
}

async fn credits_are_exact(town: &mut Town, charged: i64, what: &str) {
    assert_eq!((town.sandbox.accounting().charged_total, booked(town).await), (charged, charged), "{what}");
    let verdicts = town.verdicts().await;
    assert!(verdicts.iter().all(|(_, verdict)| verdict == "matched"), "{what}: {verdicts:?}");
}

fn posts(town: &Town, path: &str) -> usize {
    town.calls(path).iter().filter(|call| call.method == "POST").count()
}

/// What is still locked is known when the precheck has said it, so a row is not rejected before.
#[tokio::test]
async fn full_access_costs_what_is_still_locked_and_at_most_max_credits() {
    for (is_open, outcome, charged) in [(true, "unlocked", 3_000), (false, "rejected", 0)] {
        let mut town = Town::new().await;
        if is_open {
            town.sandbox.mark_event_unlocked("7");
        }
        let columns = "action, event_id, max_credits, approved";
        let request = town.insert_row(columns, "'unlock_event_full_access', '7', 3000, 1").await;
        town.finish_all().await;
        assert_eq!(result(&mut town, request).await.0, outcome);
        let (quoted, reason): (i64, Option<String>) =
            town.one("select quoted_credits, reason from inbox where id = 1").await;
        assert_eq!(quoted, 3_000);
        assert_eq!(reason.is_some_and(|reason| reason.contains("max_credits")), !is_open);
        credits_are_exact(&mut town, charged, outcome).await;
        town.check().await;
    }
}

#[tokio::test]
async fn visitors_are_bought_and_confirmed_by_a_precheck() {
    let mut town = Town::new().await;
    let request = visitors(&mut town).await;
    town.finish_all().await;
    let (outcome, credits, result) = result(&mut town, request).await;
    assert_eq!((outcome.as_str(), credits), ("unlocked", Some(3_000)));
    assert_eq!((&result["creditsUsed"], &result["event"]["id"]), (&3_000.into(), &"887".into()), "{result}");
    assert_eq!(result["balanceAfter"]["totalBalance"], 97_000, "{result}");
    assert_eq!((&result["access"]["visitors"], &result["accessMode"]), (&true.into(), &"full".into()));
    assert!(town.calls("/personnel/list").is_empty(), "the access mode of a list speaks of the base alone");
    let causes: Vec<(String, i64)> = town.all("select cause, total from balance_snapshots").await;
    let expected = [("before_submission".to_owned(), 100_000), ("event_unlock".to_owned(), 97_000)];
    assert_eq!(causes, expected, "its answer is a balance");
    credits_are_exact(&mut town, 3_000, "visitors").await;
    town.check().await;
}

#[tokio::test]
async fn full_access_costs_what_is_locked() {
    for (base, visitors, price) in [(false, false, 5_000), (true, false, 3_000), (false, true, 2_000)] {
        let mut town = Town::new().await;
        if base {
            town.sandbox.mark_event_unlocked("7");
        }
        if visitors {
            town.sandbox.mark_visitors_unlocked("7");
        }
        let request = full_access(&mut town).await;
        let other = ask(&mut town, "unlock_event_full_access", "9").await;
        town.finish_all().await;
        let (outcome, credits, found) = result(&mut town, request).await;
        assert_eq!((outcome.as_str(), credits), ("unlocked", Some(price)));
        assert_eq!(
            (&found["eventUnlocked"], &found["visitorUnlocked"]),
            (&(!base).into(), &(!visitors).into())
        );
        assert_eq!(
            found["access"],
            serde_json::json!({
            "base": true, "visitors": true, "visitorDataAvailable": true }),
            "{found}"
        );
        assert_eq!(result(&mut town, other).await.1, Some(5_000));
        assert_eq!(town.number("select count(*) from prices").await, 0, "no price is learned from a part");
        let quoted = town.number(&format!("select quoted_credits from requests where id = {request}")).await;
        assert_eq!(quoted, 5_000, "at most");
        credits_are_exact(&mut town, price + 5_000, "full access").await;
        town.check().await;
    }
}

/// A balance that covers the locked layer is enough, and one that does not parks it with the price that counts.
#[tokio::test]
async fn full_access_waits_for_the_credits_that_it_needs_and_no_more() {
    let mut town = Setup::default().sandbox(|options| options.balance = 3_500).build().await;
    town.sandbox.mark_event_unlocked("7");
    let request = full_access(&mut town).await;
    town.finish_all().await;
    assert_eq!(result(&mut town, request).await.1, Some(3_000));
    town.check().await;

    let mut town = Setup::default().sandbox(|options| options.balance = 3_500).build().await;
    let request = full_access(&mut town).await;
    town.tick(60_000).await;
    assert_eq!(town.job_state(1).await, "queued (insufficient_credits)");
    assert_eq!((posts(&town, FULL_ACCESS), town.calls("/precheck").len()), (0, 1));
    town.sandbox.top_up(1_500);
    town.tick(16_000).await;
    town.finish_all().await;
    assert_eq!(result(&mut town, request).await.1, Some(5_000));
    credits_are_exact(&mut town, 5_000, "after the top-up").await;
    town.check().await;
}

#[tokio::test]
async fn what_is_open_already_costs_nothing() {
    // With a precheck it is not even asked for; without one, the answer says so.
    for (precheck, asked) in [("true", 0), ("false", 1)] {
        let mut town = Setup::default().config("SUBMIT__PRECHECK", precheck).build().await;
        town.sandbox.mark_event_unlocked("7");
        town.sandbox.mark_visitors_unlocked("7");
        let requests = [visitors(&mut town).await, full_access(&mut town).await];
        town.finish_all().await;
        for request in requests {
            let (outcome, credits, result) = result(&mut town, request).await;
            assert_eq!((outcome.as_str(), credits), ("already_unlocked", Some(0)), "{precheck}");
            assert_eq!(result["access"]["visitors"], true, "{result}");
        }
        assert_eq!((posts(&town, VISITORS), posts(&town, FULL_ACCESS)), (asked, asked), "{precheck}");
        credits_are_exact(&mut town, 0, precheck).await;
        town.check().await;
    }
}

/// No precheck says that it is open, so it is sent again: the vendor documents that a repeat charges nothing for what is
/// open (base, visitors and full access alike).
#[tokio::test]
async fn an_event_that_was_bought_and_whose_precheck_cannot_be_read_is_asked_for_again_and_costs_nothing() {
    let table = [
        ("unlock_event_contacts", "/7/unlock", 2_000),
        ("unlock_event_visitors", VISITORS, 3_000),
        ("unlock_event_full_access", FULL_ACCESS, 5_000),
    ];
    for (action, path, price) in table {
        let mut town = Town::new().await;
        if path == VISITORS {
            town.sandbox.mark_event_unlocked("7");
        }
        let bought = ask(&mut town, action, "7").await;
        town.finish_all().await;
        assert_eq!(result(&mut town, bought).await.1, Some(price), "{action}");
        town.fault("3x:status=500@precheck");
        let again = ask(&mut town, action, "7").await;
        town.finish_all().await;
        let (outcome, credits, _) = result(&mut town, again).await;
        assert_eq!((outcome.as_str(), credits), ("already_unlocked", Some(0)), "{action}");
        assert_eq!(posts(&town, path), 2, "{action}");
        credits_are_exact(&mut town, price, action).await;
        town.check().await;
    }
}

/// A precheck's word, and what the request's reason tells a person to do.
#[tokio::test]
async fn what_a_precheck_refuses_is_not_bought_and_the_reason_says_what_to_do() {
    let table = [
        (
            "unlock_event_visitors",
            "7",
            true,
            "(state_conflict): nothing was charged; base access to the event comes first",
        ),
        (
            "unlock_event_visitors",
            "8",
            true,
            "(no_contacts_available): nothing was charged; the event has no visitor data",
        ),
        ("unlock_event_full_access", "8", true, "unlock_event_contacts, --unlock-event"),
        ("unlock_event_contacts", "1000", true, "(no_contacts_available): nothing was charged"),
        (
            "unlock_event_visitors",
            "7",
            false,
            "(forbidden): nothing was charged; it needs an active paid subscription",
        ),
        ("unlock_event_full_access", "7", false, "active paid subscription"),
        ("unlock_event_full_access", "99404", true, "(not_found): nothing was charged"),
    ];
    for (action, event, subscribed, expected) in table {
        let mut town = Town::new().await;
        if event == "8" && action == "unlock_event_visitors" {
            town.sandbox.mark_event_unlocked("8");
        }
        town.sandbox.set_subscribed(subscribed);
        let request = ask(&mut town, action, event).await;
        let other = town.insert(None, &["101"]).await;
        town.finish_all().await;
        assert_eq!(result(&mut town, request).await.0, "rejected", "{action} {event}");
        let (status, reason) = town.inbox(request).await;
        let reason = reason.expect("a reason");
        assert!(status == "done" && reason.contains(expected), "{action} {event}: {reason}");
        assert!(town.calls("/events/").is_empty(), "nothing was sent");
        assert_eq!(town.outcome(other, "101").await.0, "delivered");
        credits_are_exact(&mut town, 15, action).await;
        town.check().await;
    }
}

/// Without a precheck the call itself is refused, in each of the vendor's ways.
#[tokio::test]
async fn what_the_call_refuses_is_recorded_with_its_word() {
    let table = [
        ("unlock_event_visitors", "7", true, "EVENT_NOT_UNLOCKED", "base access to the event comes first"),
        ("unlock_event_visitors", "8", true, "VISITOR_DATA_NOT_AVAILABLE", "no visitor data"),
        // HTTP 200, and no success.
        ("unlock_event_visitors", "7", false, "USER_HAS_NO_FEATURE", "active paid subscription"),
        ("unlock_event_full_access", "7", false, "USER_HAS_NO_FEATURE", "active paid subscription"),
        ("unlock_event_full_access", "99404", true, "EVENT_NOT_FOUND", "put right what it asks for"),
    ];
    for (action, event, subscribed, key, expected) in table {
        let mut town = Setup::default().config("SUBMIT__PRECHECK", "false").build().await;
        if event == "8" {
            town.sandbox.mark_event_unlocked("8");
        }
        town.sandbox.set_subscribed(subscribed);
        let request = ask(&mut town, action, event).await;
        town.finish_all().await;
        let (_, reason) = town.inbox(request).await;
        let reason = reason.expect("a reason");
        assert!(reason.contains(&format!("({key}): nothing was charged; ")), "{reason}");
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(posts(&town, "/events/"), 1, "{action} {event}");
        credits_are_exact(&mut town, 0, key).await;
        town.check().await;
    }
}

#[tokio::test]
async fn full_access_without_visitor_data_is_recorded_as_what_it_was() {
    // Only without a precheck, which refuses it.
    let mut town = Setup::default().config("SUBMIT__PRECHECK", "false").build().await;
    let request = ask(&mut town, "unlock_event_full_access", "8").await;
    town.finish_all().await;
    let (outcome, credits, result) = result(&mut town, request).await;
    assert_eq!((outcome.as_str(), credits), ("unlocked", Some(2_000)));
    assert_eq!(
        (&result["visitorSkipped"], &result["access"]["visitorDataAvailable"]),
        (&true.into(), &false.into())
    );
    credits_are_exact(&mut town, 2_000, "no visitor data").await;
    town.check().await;
}

/// Asked for together: the visitors wait for the base, whatever holds it up.
#[tokio::test]
async fn visitors_wait_for_a_base_that_was_asked_for() {
    let mut town = Setup::default().config("CREDITS__APPROVE_ABOVE", "2500").build().await;
    let base = ask(&mut town, "unlock_event_contacts", "7").await;
    town.fault("3x:status=503@event");
    let visitors = ask(&mut town, "unlock_event_visitors", "7").await;
    town.settle().await;
    town.approve(visitors).await;
    town.finish_all().await;
    assert_eq!(result(&mut town, base).await.0, "unlocked");
    assert_eq!(result(&mut town, visitors).await.0, "unlocked");
    assert_eq!(town.number("select count(*) from prices").await, 0);
    assert_eq!((town.sandbox.accounting().charged_total, booked(&mut town).await), (5_000, 5_000));
    town.check().await;
}

/// Base access that was bought a moment ago may not show yet.
#[tokio::test]
async fn visitors_wait_while_the_base_may_not_show_yet() {
    let mut town =
        Setup::default().sandbox(|options| options.charge_lag = Duration::from_secs(40)).build().await;
    ask(&mut town, "unlock_event_contacts", "7").await;
    let visitors = ask(&mut town, "unlock_event_visitors", "7").await;
    town.tick(20_000).await;
    assert!(town.calls(VISITORS).is_empty());
    town.finish_all().await;
    assert_eq!(result(&mut town, visitors).await.0, "unlocked");
    assert_eq!(town.sandbox.accounting().charged_total, 5_000);
    town.check().await;
}

/// A precheck that is in trouble says nothing for good: it is asked until it speaks.
#[tokio::test]
async fn a_system_error_of_a_precheck_is_asked_again_and_nothing_is_bought_meanwhile() {
    let mut town = Setup::default().recorded().build().await;
    let mut left = 4;
    town.change(move |exchange| {
        let in_trouble = exchange.path.ends_with("/precheck") && left > 0;
        left -= u32::from(in_trouble);
        let body =
            r#"{"ok":true,"allowed":false,"should_charge":false,"credits":0,"reason_code":"system_error"}"#;
        in_trouble.then(|| crate::support::relay::Altered::new(200, body)).flatten()
    });
    let request = full_access(&mut town).await;
    town.tick(2_000).await;
    assert!(town.calls(FULL_ACCESS).is_empty());
    assert_eq!(town.job_state(1).await, "queued (conflict)");
    town.finish_all().await;
    assert_eq!(result(&mut town, request).await.0, "unlocked");
    credits_are_exact(&mut town, 5_000, "system_error").await;
    town.check().await;
}

#[tokio::test]
async fn another_credit_operation_is_waited_for() {
    for (endpoint, path) in [("visitors", VISITORS), ("full-access", FULL_ACCESS)] {
        let mut town = Town::new().await;
        town.fault(&format!("2x:error=409:CREDIT_OPERATION_IN_PROGRESS@{endpoint}"));
        let request = match endpoint {
            "visitors" => visitors(&mut town).await,
            _ => full_access(&mut town).await,
        };
        town.finish_all().await;
        assert_eq!(result(&mut town, request).await.0, "unlocked", "{endpoint}");
        assert_eq!(posts(&town, path), 3, "{endpoint}");
        let attempts: Vec<(String, i64)> = town.all("select result, status from attempts order by id").await;
        assert_eq!(attempts[0], ("refused".to_owned(), 409));
        assert_eq!(attempts[2], ("accepted".to_owned(), 201));
        town.check().await;
    }
}

// ---- lost answers ----

const LOST_ANSWERS: [&str; 5] =
    ["lost-answer=timeout", "lost-answer=reset", "lost-answer=500", "broken=truncated", "broken=empty"];

#[tokio::test]
async fn a_lost_answer_that_took_effect_is_settled_by_a_precheck_and_not_sent_again() {
    for fault in LOST_ANSWERS {
        for (endpoint, path, price) in [("visitors", VISITORS, 3_000), ("full-access", FULL_ACCESS, 5_000)] {
            let mut town = Setup::default().config("API__TIMEOUT", "500ms").build().await;
            town.fault(&format!("{fault}@{endpoint}"));
            let request = match endpoint {
                "visitors" => visitors(&mut town).await,
                _ => full_access(&mut town).await,
            };
            town.tick(1_000).await;
            assert_eq!(town.job_state(1).await, "in_doubt (looking)", "{fault}@{endpoint}");
            town.finish_all().await;
            let (outcome, credits, result) = result(&mut town, request).await;
            assert_eq!((outcome.as_str(), credits), ("unlocked", Some(price)), "{fault}@{endpoint}");
            assert_eq!(result["access"]["visitors"], true, "{result}");
            assert_eq!(posts(&town, path), 1, "{fault}@{endpoint}: it was carried out");
            credits_are_exact(&mut town, price, fault).await;
            town.check().await;
        }
    }
}

#[tokio::test]
async fn a_call_that_never_arrived_is_made_again_once() {
    for fault in ["lost-request", "lost-request=reset", "gateway=504"] {
        for (endpoint, path, price) in [("visitors", VISITORS, 3_000), ("full-access", FULL_ACCESS, 5_000)] {
            let mut town = Town::new().await;
            town.fault(&format!("{fault}@{endpoint}"));
            let request = match endpoint {
                "visitors" => visitors(&mut town).await,
                _ => full_access(&mut town).await,
            };
            town.finish_all().await;
            assert_eq!(result(&mut town, request).await.0, "unlocked", "{fault}@{endpoint}");
            assert_eq!(posts(&town, path), 2, "{fault}@{endpoint}");
            credits_are_exact(&mut town, price, fault).await;
            town.check().await;
        }
    }
}

/// What the precheck and the balance show lags behind what the call did: the repeat is free, and the first call is
/// booked all the same.
#[tokio::test]
async fn an_effect_that_shows_late_is_not_paid_for_again() {
    for lag_s in [31, 60, 100] {
        for (endpoint, price) in [("visitors", 3_000), ("full-access", 5_000)] {
            let mut town = Setup::default()
                .sandbox(|options| options.charge_lag = Duration::from_secs(lag_s))
                .build()
                .await;
            town.fault(&format!("lost-answer=reset@{endpoint}"));
            let request = match endpoint {
                "visitors" => visitors(&mut town).await,
                _ => full_access(&mut town).await,
            };
            town.finish_all().await;
            assert_ne!(result(&mut town, request).await.0, "pending", "{endpoint} {lag_s} s");
            let totals = (town.sandbox.accounting().charged_total, booked(&mut town).await);
            assert_eq!(totals, (price, price), "{endpoint} {lag_s} s");
            town.check().await;
        }
    }
}

#[tokio::test]
async fn what_somebody_else_opened_meanwhile_is_not_booked_as_ours() {
    for endpoint in ["visitors", "full-access"] {
        let mut town = Town::new().await;
        town.fault(&format!("lost-request@{endpoint}"));
        let request = match endpoint {
            "visitors" => visitors(&mut town).await,
            _ => full_access(&mut town).await,
        };
        town.tick(1_000).await;
        town.sandbox.mark_event_unlocked("7");
        town.sandbox.mark_visitors_unlocked("7");
        town.finish_all().await;
        let (outcome, credits, _) = result(&mut town, request).await;
        assert_eq!((outcome.as_str(), credits), ("already_unlocked", Some(0)), "{endpoint}");
        assert_eq!(booked(&mut town).await, 0, "{endpoint}");
        town.check().await;
    }
}

/// A repeat of full access is charged for what is locked by then, so it is never made on a guess.
#[tokio::test]
async fn full_access_is_not_repeated_while_no_precheck_tells_what_is_open() {
    let mut town = Town::new().await;
    town.fault("lost-answer=reset@full-access");
    let request = full_access(&mut town).await;
    town.tick(1_000).await;
    assert_eq!(town.job_state(1).await, "in_doubt (looking)");
    town.fault("always:broken=unknown@precheck");
    town.fault("always:status=500@precheck");
    town.tick(600_000).await;
    assert_eq!(posts(&town, FULL_ACCESS), 1);
    town.sandbox.clear_faults();
    town.finish_all().await;
    assert_eq!(result(&mut town, request).await.0, "unlocked");
    assert_eq!(posts(&town, FULL_ACCESS), 1);
    credits_are_exact(&mut town, 5_000, "no precheck").await;
    town.check().await;
}

#[tokio::test]
async fn full_access_of_which_nothing_is_told_waits_for_a_person() {
    let mut town = Setup::default().recorded().build().await;
    town.change(|exchange| {
        let is_precheck = exchange.path.ends_with("/precheck");
        let body = r#"{"ok":true,"allowed":true,"should_charge":true,"credits":5000,"reason_code":"ok","detail":{}}"#;
        is_precheck.then(|| crate::support::relay::Altered::new(200, body)).flatten()
    });
    town.fault("lost-answer=reset@full-access");
    full_access(&mut town).await;
    let end = town.finish().await;
    assert!(matches!(end, End::WaitsForPerson(_)), "{end:?}");
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)");
    assert_eq!(posts(&town, FULL_ACCESS), 1);
    let (evidence,): (String,) = town.one("select evidence from jobs").await;
    assert!(evidence.contains("it cannot be told whether a repeat would be charged"), "{evidence}");
    town.write_off(1).await;
    town.finish_all().await;
    assert_eq!(booked(&mut town).await, 5_000);
    town.check().await;
}

/// Found by the simulation: an endpoint that never answered kept the request open for ever.
#[tokio::test]
async fn a_precheck_that_never_answers_keeps_no_request_open() {
    for (lost, charged) in [("pass", 5_000), ("lost-answer=reset", 5_000)] {
        for endpoint in ["visitors", "full-access"] {
            let mut town = Town::new().await;
            town.fault("always:status=500@precheck");
            town.fault(&format!("{lost}@{endpoint}"));
            let request = match endpoint {
                "visitors" => visitors(&mut town).await,
                _ => full_access(&mut town).await,
            };
            let charged = if endpoint == "visitors" { 3_000 } else { charged };
            match town.finish().await {
                // A repeat of visitors is free, one of full access is for a person to decide on.
                End::WaitsForPerson(_) => {
                    assert_eq!((lost, endpoint), ("lost-answer=reset", "full-access"));
                    assert_eq!(posts(&town, FULL_ACCESS), 1);
                    town.write_off(1).await;
                    town.finish_all().await;
                }
                _ => assert_ne!(result(&mut town, request).await.0, "pending", "{lost} {endpoint}"),
            }
            let totals = (town.sandbox.accounting().charged_total, booked(&mut town).await);
            assert_eq!(totals, (charged, charged), "{lost} {endpoint}");
            town.check().await;
        }
    }
}

#[tokio::test]
async fn an_unlock_killed_after_any_of_its_calls_ends_the_same() {
    for (action, price) in [("visitors", 3_000), ("full-access", 5_000)] {
        let mut kills = 0;
        for call in 0..20 {
            let mut town = Town::new().await;
            if call > 0 {
                town.fault(&format!("{call}x:pass"));
            }
            town.fault("lost-answer=timeout");
            let request = match action {
                "visitors" => visitors(&mut town).await,
                _ => full_access(&mut town).await,
            };
            let killed = town.killed_when_silent(200_000).await;
            town.sandbox.clear_faults();
            if killed {
                kills += 1;
                town.start().await;
            }
            town.finish_all().await;
            assert_eq!(result(&mut town, request).await.0, "unlocked", "{action} killed at call {call}");
            credits_are_exact(&mut town, price, &format!("{action} killed at call {call}")).await;
            town.check().await;
            if !killed {
                break;
            }
        }
        assert!(kills >= 4, "{action}: only {kills} calls");
    }
}

/// The two ids of an event: either may be asked for.
#[tokio::test]
async fn an_event_may_be_named_by_either_of_its_ids() {
    let mut town = Town::new().await;
    town.fault("lost-answer=reset@full-access");
    let request = ask(&mut town, "unlock_event_full_access", "887").await;
    town.finish_all().await;
    assert_eq!(result(&mut town, request).await.0, "unlocked");
    let again = ask(&mut town, "unlock_event_visitors", "7").await;
    town.finish_all().await;
    assert_eq!(result(&mut town, again).await.0, "already_unlocked");
    credits_are_exact(&mut town, 5_000, "two ids").await;
    town.check().await;
}
