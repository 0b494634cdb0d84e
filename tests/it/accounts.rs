//! Accounts that are added to and removed from the configuration.

use unlockd::worker::run::driver::End;

use crate::support::Setup;

const KEY: &str = "ACCOUNTS__SECOND__API_KEY";

#[tokio::test]
async fn what_an_account_has_under_way_waits_visibly_while_it_is_not_configured() {
    let mut town = Setup::default().config(KEY, "uak_test_2").build().await;
    let request = town.insert_row("account, personnel_ids", "'second', '[101]'").await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "polling");
    town.unset_env(KEY);
    town.restart().await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits[0].contains("account second is not configured"), "{waits:?}");
    let explained = town.explained(request).await;
    assert_eq!(explained.waits[0].reason, "not_configured");
    assert!(explained.needs_person(), "{:?}", explained.waits.iter().map(|w| &w.what).collect::<Vec<_>>());
    assert!(explained.waits.iter().all(|wait| wait.next_try_at.is_none()), "nothing is tried");
    town.set_env(KEY, "uak_test_2");
    town.restart().await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn an_account_that_is_taken_out_of_the_configuration_makes_no_more_calls() {
    let mut town = Setup::default().config(KEY, "uak_test_2").build().await;
    let first = town.insert_row("account, personnel_ids", "'second', '[101]'").await;
    town.settle().await;
    let calls = town.sandbox.journal().len();
    town.unset_env(KEY);
    town.configure("POLLING__GIVE_UP_AFTER", "23h").await;
    town.insert_row("account, personnel_ids", "'second', '[102]'").await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits[0].contains("account second is not configured"), "{waits:?}");
    town.tick(60_000).await;
    assert_eq!(town.sandbox.journal().len(), calls);
    town.configure(KEY, "uak_test_2").await;
    town.finish_all().await;
    assert_eq!(town.outcome(first, "101").await.0, "delivered");
    town.check().await;
}

/// The vendor counts for each key and for each IP.
#[tokio::test]
async fn accounts_of_one_address_share_its_rate_limit() {
    let setup = Setup::default().config(KEY, "uak_test_2").config("SUBMIT__BATCH_SIZE", "1");
    let mut town = setup.sandbox(|options| options.rate_limit = 20).build().await;
    for id in 101..113 {
        let account = if id % 2 == 0 { "default" } else { "second" };
        town.insert_row("account, event_id, personnel_ids", &format!("'{account}', '{id}', '[{id}]'")).await;
    }
    town.restart().await;
    town.tick(10_000).await;
    town.restart().await;
    town.finish_all().await;
    assert_eq!(town.number("select count(*) from inbox where status = 'done'").await, 12);
    let at: Vec<i64> = town.sandbox.journal().iter().map(|call| call.at_ms).collect();
    let crowded = at.windows(21).find(|window| window[20] - window[0] < 60_000);
    assert_eq!(crowded, None, "more than 20 calls in a minute");
    town.check().await;
}

#[tokio::test]
async fn a_retry_after_that_one_account_is_told_holds_the_others_too() {
    let mut town = Setup::default().config(KEY, "uak_test_2").build().await;
    town.fault("429=90@balance");
    town.insert(None, &["101"]).await;
    let other = town.insert_row("account, personnel_ids", "'second', '[201]'").await;
    town.settle().await;
    for _ in 0..8 {
        town.restart().await;
        town.tick(10_000).await;
    }
    assert_eq!(town.sandbox.journal().len(), 1);
    let waits = town.explained(other).await.waits;
    assert!(waits.iter().any(|wait| wait.reason == "rate_limit" && wait.next_try_at.is_some()));
    town.finish_all().await;
    assert_eq!(town.outcome(other, "201").await.0, "delivered");
    town.check().await;
}
