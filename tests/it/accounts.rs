//! Accounts that come and go in the configuration.

use unlockd::store::report::requests;
use unlockd::worker::driver::End;
use unlockd::worker::explain::{self, Explanation};

use crate::support::{Setup, Town};

const KEY: &str = "ACCOUNTS__SECOND__API_KEY";

async fn explained(town: &Town, id: i64) -> Explanation {
    let request = requests::read(town.store(), id).await.expect("readable").expect("the request");
    explain::of(town.store(), &town.deps().config(), &request, town.clock.now()).await.expect("readable")
}

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
    let explained = explained(&town, request).await;
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
