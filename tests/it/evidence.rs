//! What is kept as evidence, and what proves nothing: credits that lapse, and what prechecks are asked with.

use std::time::Duration;

use serde_json::{Value, json};
use unlockd::sandbox::{Billing, Channel};

use crate::support::relay::{Altered, Exchange};
use crate::support::{Setup, Town, good_ids, refs};

#[tokio::test]
async fn prechecks_carry_our_job_as_trace_id_and_paid_calls_do_not() {
    let mut town = Setup::default().recorded().build().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    town.insert(Some("7"), &["201"]).await;
    town.finish_all().await;
    let exchanges = town.exchanges();
    let asked: Vec<_> = exchanges.iter().filter(|call| call.path.ends_with("/precheck")).collect();
    let jobs: Vec<_> = asked.iter().map(|call| call.body["trace_id"].as_str().unwrap_or_default()).collect();
    assert_eq!(jobs, ["1", "2"]);
    assert!(
        exchanges
            .iter()
            .filter(|call| call.path.ends_with("/unlock"))
            .all(|call| call.body["trace_id"].is_null())
    );
    town.check().await;
}

/// Reports of people who saw a balance fall with nothing spent: the credits had expired.
#[tokio::test]
async fn credits_that_lapse_during_a_settlement_are_no_overspending_and_no_price() {
    let mut town =
        Setup::default().sandbox(|options| options.addon_lapses_after = Duration::from_secs(5)).build().await;
    let ids = good_ids(101, 4);
    town.insert(None, &refs(&ids)).await;
    town.finish_all().await;
    // 60 were spent, and an add-on of 20,000 lapsed: 5,015 a contact, if it were a price.
    assert_eq!(town.verdicts().await, [(20_060, "lapsed".to_owned())]);
    assert_eq!(town.number("select count(*) from prices").await, 0);
    let kept: (i64, i64) =
        town.one("select max(addon_amount), min(addon_amount) from balance_snapshots").await;
    assert_eq!(kept, (20_000, 0));
    let counted =
        town.number("select value from figures where name = 'settlements' and label = 'lapsed'").await;
    assert_eq!(counted, 1);
    // The next stretch begins from what is left, and is told as ever.
    town.insert(None, &["201"]).await;
    town.finish_all().await;
    assert_eq!(town.verdicts().await[1], (15, "matched".to_owned()));
    town.check().await;
}

/// The next period is like the one before, so that no amount tells; the moment of the reset does.
#[tokio::test]
async fn a_reset_during_a_settlement_is_no_refund() {
    let mut town =
        Setup::default().sandbox(|options| options.reset_after = Duration::from_secs(5)).build().await;
    town.insert(None, &["101", "102"]).await;
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(0, "lapsed".to_owned())]);
    town.check().await;
}

/// Nothing was carried out. As much lapses as the call would have cost, and a colleague unlocks one of its contacts.
#[tokio::test]
async fn a_doubt_never_takes_a_lapse_for_an_effect() {
    let mut town = Setup::default()
        .sandbox(|options| {
            options.balance = 225;
            options.addon_lapses_after = Duration::from_secs(20);
        })
        .build()
        .await;
    town.fault("lost-request@unlock");
    let request = town.insert(None, &["101", "102", "103"]).await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "in_doubt (looking)");
    town.sandbox.mark_unlocked("101", Channel::Email);
    town.finish().await;
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)");
    let evidence: (String,) = town.one("select evidence from jobs").await;
    assert!(evidence.0.contains("so the balance proves nothing"), "{}", evidence.0);
    assert!(evidence.0.contains("1 of 3 sampled profiles are unlocked"), "{}", evidence.0);
    town.resubmit(1).await;
    town.finish_all().await;
    assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
    assert_eq!(town.sandbox.accounting().charged_total, 30, "the colleague's is read");
    town.check().await;
}

/// As costly as it gets: every repeated POST is charged again.
fn hostile() -> Setup {
    Setup::default().config("API__TIMEOUT", "400ms").sandbox(|options| options.billing = Billing::Repeats)
}

/// The answer with some of its fields changed.
fn with(exchange: &Exchange, change: impl FnOnce(&mut Value)) -> Option<Altered> {
    let mut answer = exchange.answer.clone();
    change(&mut answer);
    Altered::new(exchange.status, answer.to_string())
}

/// Nobody was sent again, a person is asked, and the balance is not called evidence.
async fn a_person_is_asked(mut town: Town, name: &str) {
    town.finish().await;
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)", "{name}");
    assert_eq!(town.posts().len(), 1, "{name}: it was paid for, and sent again");
    let evidence: (String,) = town.one("select evidence from jobs").await;
    assert!(evidence.0.contains("so the balance proves nothing"), "{name}: {}", evidence.0);
    town.check().await;
}

/// Found by a stranger: both contacts fail, so that profiles stay locked and the precheck would sell them again. Only
/// the balance tells that they were charged, and as much comes in as they cost.
#[tokio::test]
async fn credits_that_come_in_never_hide_a_charge() {
    for name in ["an add-on", "a gift", "a renewal", "an add-on before the second check"] {
        let mut town = hostile().build().await;
        town.fault("lost-answer@unlock");
        town.insert(None, &["197", "297"]).await;
        town.settle().await;
        town.tick(5_000).await;
        assert_eq!(town.job_state(1).await, "in_doubt (looking)");
        match name {
            "an add-on" => town.sandbox.top_up(30),
            "a gift" => town.sandbox.give(30),
            "a renewal" => town.sandbox.renew(),
            _ => {
                town.tick(40_000).await;
                town.sandbox.top_up(30);
            }
        }
        a_person_is_asked(town, name).await;
    }
}

/// The same, by an API that does not say what was granted: one part of the balance fell while another rose.
#[tokio::test]
async fn a_part_that_rose_while_another_fell_hides_a_charge_even_without_amounts() {
    for name in ["gift", "addon"] {
        let mut town = hostile().recorded().build().await;
        town.change(|exchange| {
            let is_balance = exchange.path.ends_with("/credits/balance");
            let amounts = ["totalAmount", "subscriptionAmount", "addonAmount", "giftAmount"];
            is_balance.then(|| {
                with(exchange, |answer| {
                    let fields = answer.as_object_mut().expect("a balance");
                    fields.retain(|field, _| !amounts.contains(&field.as_str()) && !field.ends_with("At"));
                })
            })?
        });
        town.fault("lost-answer@unlock");
        town.insert(None, &["197", "297"]).await;
        town.settle().await;
        match name {
            "gift" => town.sandbox.give(30),
            _ => town.sandbox.top_up(30),
        }
        a_person_is_asked(town, name).await;
    }
}

/// Found by a stranger: charged when the task ends, by an API whose precheck does not see running tasks. Only the
/// profiles tell.
#[tokio::test]
async fn a_profile_that_says_under_way_is_not_sent_again() {
    let ways = [
        ("unlock_contact_emails", "contactUnlockStatus", "unlocking"),
        ("unlock_contact_emails", "contactUnlockStatus", "unheard_of"),
        ("unlock_contact_phones", "phoneUnlockStatus", "processing"),
    ];
    for (action, field, word) in ways {
        let mut town = hostile()
            .recorded()
            .sandbox(|options| options.charge_lag = std::time::Duration::from_secs(400))
            .build()
            .await;
        town.change(move |exchange| {
            let is_locked =
                exchange.answer.get(field).is_some_and(|word| *word == json!("locked") || word.is_null());
            (exchange.path.contains("/personnel/profile") && is_locked)
                .then(|| with(exchange, |answer| answer[field] = json!(word)))?
        });
        town.fault("lost-answer@unlock");
        town.fault("lost-answer@unlock-phone");
        let request = town.insert_row("action, personnel_ids", &format!("'{action}', '[101, 102]'")).await;
        town.finish_all().await;
        assert_eq!(town.posts().len(), 1, "{word}");
        assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"), "{word}");
        town.check().await;
    }
}

/// A contact whose phone another user has asked for.
#[tokio::test]
async fn what_the_profile_of_a_phone_said_is_kept_and_explained() {
    let mut town = Setup::default().build().await;
    let request = town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[195]'").await;
    town.settle().await;
    let kept: (String,) = town.one("select profile_said from items").await;
    assert_eq!(kept.0, "being unlocked");
    let waits = town.explained(request).await.waits;
    assert!(waits[0].what.ends_with("the profiles said: 1 being unlocked"), "{}", waits[0].what);
    town.finish_all().await;
    assert_eq!(town.outcome(request, "195").await.0, "delivered");
    town.check().await;
}

/// Found by a stranger: both were `lost` after the job was given up, though their values could be read for free.
#[tokio::test]
async fn values_that_profiles_show_are_delivered_before_a_person_is_asked() {
    let good = good_ids(101, 6);
    let ids: Vec<&str> = refs(&good).into_iter().chain(["197", "297", "397"]).collect();
    let mut town = hostile().build().await;
    town.fault("lost-answer@unlock");
    let request = town.insert(None, &ids).await;
    town.settle().await;
    town.sandbox.give(100);
    town.finish().await;
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)");
    let read = ("delivered".to_owned(), Some("profile".to_owned()));
    for id in &good {
        assert_eq!(town.outcome(request, id).await, read, "{id}");
    }
    assert_eq!(town.outcome(request, "197").await.0, "pending");
    let booked = "select sum(credits) from ledger where entry = 'charge'";
    assert_eq!(town.number(booked).await, 90, "the rest is held");
    town.write_off(1).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await, read);
    assert_eq!(town.outcome(request, "197").await.0, "lost");
    assert_eq!((town.posts().len(), town.number(booked).await), (1, 135));
    town.check().await;
}

/// The same, but only one in seven has failed: there is nothing that a person could add. As much as was charged comes in,
/// as if many other submissions had been in doubt.
#[tokio::test]
async fn a_batch_of_which_nearly_everything_is_unlocked_asks_nobody() {
    let good = good_ids(101, 6);
    let ids: Vec<&str> = refs(&good).into_iter().chain(["197"]).collect();
    let mut town = hostile().build().await;
    town.fault("lost-answer@unlock");
    let request = town.insert(None, &ids).await;
    town.settle().await;
    town.sandbox.give(100);
    town.finish_all().await;
    for id in &good {
        assert_eq!(town.outcome(request, id).await.0, "delivered", "{id}");
    }
    let asked = "select count(*) from request_events where event = 'stayed_unclear'";
    assert_eq!((town.number(asked).await, town.status(request).await), (0, "done".to_owned()));
    town.check().await;
}

/// As much as the batch costs comes in, and the precheck does not see that all of it is unlocked.
#[tokio::test]
async fn a_batch_of_which_every_value_was_read_leaves_nothing_to_decide() {
    let mut town = hostile().recorded().build().await;
    town.change(|exchange| {
        let is_precheck = exchange.path.ends_with("/precheck");
        let price = json!({ "allowed": true, "should_charge": true, "credits": 30, "reason_code": "ok" });
        is_precheck.then(|| Altered::new(200, price.to_string()))?
    });
    town.fault("lost-answer@unlock");
    let request = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    town.sandbox.give(30);
    town.finish_all().await;
    assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

/// The documented null of a phone that nobody unlocked must not keep a job in doubt.
#[tokio::test]
async fn phones_whose_state_is_null_are_sent_again_if_the_precheck_agrees() {
    for has_precheck in [true, false] {
        let mut town = hostile().build().await;
        town.fault("lost-request@unlock-phone");
        if !has_precheck {
            town.fault("always:status=400@precheck");
        }
        let phones = ("action, personnel_ids", "'unlock_contact_phones', '[101, 102]'");
        let request = town.insert_row(phones.0, phones.1).await;
        town.finish().await;
        let (posts, state) = if has_precheck { (2, "completed") } else { (1, "in_doubt (needs_decision)") };
        assert_eq!((town.posts().len(), town.job_state(1).await.as_str()), (posts, state));
        if has_precheck {
            assert_eq!(town.outcome(request, "102").await.0, "delivered");
        }
        town.check().await;
    }
}
