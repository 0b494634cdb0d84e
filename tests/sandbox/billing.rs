//! Billing.

use std::time::Duration;

use serde_json::json;
use unlockd::sandbox::{Billing, Channel, Options};

use crate::{quiet_town, read, town};

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
