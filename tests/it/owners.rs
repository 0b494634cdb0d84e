//! Accounts whose keys belong to one owner: one pool of credits, one paid call at a time, one settlement.

use std::sync::Arc;

use unlockd::domain::AccountId;
use unlockd::sandbox::Billing;
use unlockd::store::StoreError;
use unlockd::worker::run::driver::End;
use unlockd::worker::{Deps, intake, submit};

use crate::support::{Setup, Town};

/// Two keys of one owner, as the API sees it; the configuration says it or not.
fn two_keys(is_said: bool) -> Setup {
    let setup = Setup::default().config("ACCOUNTS__SECOND__API_KEY", "uak_test_2");
    match is_said {
        true => setup.config("ACCOUNTS__DEFAULT__OWNER", "acme").config("ACCOUNTS__SECOND__OWNER", "acme"),
        false => setup,
    }
}

async fn insert(town: &mut Town, account: &str, ids: &str) -> i64 {
    town.insert_row("account, personnel_ids", &format!("'{account}', '{ids}'")).await
}

/// The submit pass of an account, until it rests. Whether a step is due again makes no difference.
async fn submit_until_it_rests(deps: Arc<Deps>, account: &str) -> Result<(), StoreError> {
    let account = AccountId::trusted(account);
    while submit::run(&deps, &account).await?.did > 0 {}
    Ok(())
}

/// How many calls a second key makes while a paid call of the first one has no answer yet.
async fn paid_calls_at_once(setup: Setup) -> usize {
    let mut town = setup.build().await;
    let requests = [insert(&mut town, "default", "[101]").await, insert(&mut town, "second", "[201]").await];
    intake::run(town.deps()).await.expect("the database is well");
    town.fault("slow=1h@unlock");
    let first = tokio::spawn(submit_until_it_rests(town.deps().clone(), "default"));
    while town.posts().is_empty() {
        tokio::task::yield_now().await;
    }
    submit_until_it_rests(town.deps().clone(), "second").await.expect("the database is well");
    let at_once = town.posts().len();
    first.abort();
    town.restart().await;
    town.finish_all().await;
    for (request, id) in requests.into_iter().zip(["101", "201"]) {
        assert_eq!(town.outcome(request, id).await.0, "delivered");
    }
    let refused = town.posts().iter().filter(|post| post.status == Some(409)).count();
    assert_eq!(refused, 0, "credit operation in progress");
    town.check().await;
    at_once
}

#[tokio::test]
async fn two_keys_of_one_owner_never_have_paid_posts_in_flight_together() {
    assert_eq!(paid_calls_at_once(two_keys(true)).await, 1);
}

#[tokio::test]
async fn keys_of_different_owners_buy_in_parallel() {
    let setup = Setup::default().config("ACCOUNTS__SECOND__API_KEY", "uak_test_2@other");
    assert_eq!(paid_calls_at_once(setup).await, 2);
}

/// An unlocked contact belongs to the owner: his other keys see its value.
#[tokio::test]
async fn what_one_account_of_an_owner_has_or_is_buying_is_not_bought_by_another() {
    // At the same time, and when the value is stored already.
    for is_stored in [false, true] {
        let mut town = two_keys(true).sandbox(|options| options.billing = Billing::Repeats).build().await;
        let first = insert(&mut town, "default", "[101, 102]").await;
        if is_stored {
            town.finish_all().await;
        }
        let second = insert(&mut town, "second", "[101, 102, 103]").await;
        town.finish_all().await;
        for (request, ids) in [(first, vec!["101", "102"]), (second, vec!["101", "102", "103"])] {
            for id in ids {
                assert_eq!(town.outcome(request, id).await.0, "delivered", "{id} of request {request}");
            }
        }
        assert_eq!(town.sandbox.accounting().charged_total, 45, "stored: {is_stored}");
        let undated = "select count(*) from items where source = 'store' and obtained_at is null";
        assert_eq!(town.number(undated).await, 0, "stored: {is_stored}");
        town.check().await;
    }
}

/// Found by the simulation, seed 161: each key had made its batch before the other one's was sent, and the precheck
/// showed the purchase late. Paid twice.
#[tokio::test]
async fn what_another_key_has_bought_since_a_batch_was_made_leaves_the_batch() {
    let setup = two_keys(true).sandbox(|options| {
        options.billing = Billing::Repeats;
        options.charge_lag = std::time::Duration::from_secs(40);
    });
    let mut town = setup.build().await;
    // Its batch is made, and waits for the API.
    town.fault("status=503@precheck");
    let second = insert(&mut town, "second", "[101, 102]").await;
    town.settle().await;
    assert_eq!((town.posts().len(), town.number("select count(*) from jobs").await), (0, 1));
    let first = insert(&mut town, "default", "[101]").await;
    town.finish_all().await;
    let sent: Vec<_> = town.posts().iter().map(Town::sent).collect();
    assert_eq!(sent, [vec!["101"], vec!["102"]], "{}", town.dump().await);
    for (request, id) in [(first, "101"), (second, "101"), (second, "102")] {
        assert_eq!(town.outcome(request, id).await.0, "delivered", "{id} of request {request}");
    }
    town.check().await;
}

/// Found by the simulation, seeds 694 and 717: it was put back, and into the same batch again, for ever, with a precheck
/// each time.
#[tokio::test]
async fn what_another_key_has_bought_in_vain_is_put_back_once() {
    let mut town = two_keys(true).sandbox(|options| options.billing = Billing::Repeats).build().await;
    town.fault("status=503@precheck");
    let second = insert(&mut town, "second", "[197, 102]").await;
    town.settle().await;
    let first = insert(&mut town, "default", "[197]").await;
    town.finish_all().await;
    for (request, id, outcome) in
        [(first, "197", "failed"), (second, "197", "failed"), (second, "102", "delivered")]
    {
        assert_eq!(town.outcome(request, id).await.0, outcome, "{id} of request {request}");
    }
    let prechecks = town.calls("/precheck").len();
    assert!(prechecks <= 8, "{prechecks} prechecks for two contacts");
    town.check().await;
}

#[tokio::test]
async fn one_settlement_and_one_audit_are_over_all_keys_of_an_owner() {
    for (is_said, expected) in [(true, vec![("acme".to_owned(), 45, "matched".to_owned())]), (false, vec![])]
    {
        let mut town = two_keys(is_said).build().await;
        let first = insert(&mut town, "default", "[101, 102]").await;
        let second = insert(&mut town, "second", "[201]").await;
        town.finish_all().await;
        assert_eq!(town.outcome(first, "101").await.0, "delivered");
        assert_eq!(town.outcome(second, "201").await.0, "delivered");
        let audits: Vec<(String, i64, String)> =
            town.all("select owner, spent, verdict from credit_audit").await;
        match is_said {
            true => assert_eq!(audits, expected),
            false => assert!(audits.iter().any(|(.., verdict)| verdict == "overspent"), "{audits:?}"),
        }
        if is_said {
            let balances = town.calls("credits/balance").len();
            assert_eq!(balances, 2, "one before and one after serve both keys");
        }
        town.check().await;
    }
}

#[tokio::test]
async fn a_floor_holds_over_all_keys_of_an_owner_with_one_balance() {
    let setup = two_keys(true).config("CREDITS__MIN_BALANCE", "70");
    let mut town = setup.sandbox(|options| options.balance = 100).build().await;
    insert(&mut town, "default", "[101, 102]").await;
    let second = insert(&mut town, "second", "[201, 202]").await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits[0].contains("waits for credits"), "{waits:?}");
    assert_eq!(town.sandbox.accounting().balance, 70);
    town.sandbox.top_up(30);
    town.tick(20_000).await;
    town.finish_all().await;
    assert_eq!(town.outcome(second, "202").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn a_daily_limit_holds_over_all_keys_of_an_owner_and_each_owner_has_its_own() {
    for (is_said, spent) in [(true, 30), (false, 60)] {
        let mut town = two_keys(is_said).config("CREDITS__DAILY_LIMIT", "30").build().await;
        insert(&mut town, "default", "[101, 102]").await;
        town.finish_all().await;
        insert(&mut town, "second", "[201, 202]").await;
        let end = town.finish().await;
        assert_eq!(matches!(end, End::WaitsForPerson(_)), is_said, "{end:?}");
        assert_eq!(town.sandbox.accounting().charged_total, spent);
        town.check().await;
    }
}

#[tokio::test]
async fn an_account_changes_its_owner_when_its_open_settlement_is_closed() {
    let mut town = two_keys(false).build().await;
    let first = insert(&mut town, "default", "[101]").await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "polling");
    town.configure("ACCOUNTS__DEFAULT__OWNER", "acme").await;
    town.configure("ACCOUNTS__SECOND__OWNER", "acme").await;
    let owners = "select account, owner from accounts order by account";
    let said =
        |owner: &str| [("default".to_owned(), owner.to_owned()), ("second".to_owned(), "acme".to_owned())];
    assert_eq!(town.all::<(String, String)>(owners).await, said("default"));
    let second = insert(&mut town, "default", "[102]").await;
    town.settle().await;
    assert_eq!(town.posts().len(), 1, "nothing joins the settlement");
    let waits = town.explained(second).await.waits;
    assert!(
        waits.iter().any(|wait| wait.reason == "owner_changes"),
        "{:?}",
        waits.iter().map(|w| &w.what).collect::<Vec<_>>()
    );
    // A restart finds the same.
    town.restart().await;
    assert_eq!(town.all::<(String, String)>(owners).await, said("default"));
    town.finish_all().await;
    assert_eq!(town.outcome(first, "101").await.0, "delivered");
    assert_eq!(town.outcome(second, "102").await.0, "delivered");
    assert_eq!(town.all::<(String, String)>(owners).await, said("acme"));
    let audits: Vec<(String, i64, String)> = town.all("select owner, spent, verdict from credit_audit").await;
    let matched = |owner: &str| (owner.to_owned(), 15, "matched".to_owned());
    assert_eq!(audits, [matched("default"), matched("acme")]);
    town.check().await;
}

/// The new key reads another pool: while the worker runs, the account keeps its old key until it is settled; after a
/// restart only the new key is known, and the settlement says that nothing is known.
#[tokio::test]
async fn an_owner_and_a_key_that_change_together_do_not_settle_with_the_new_keys_balance() {
    for restarts in [false, true] {
        let mut town = two_keys(false).build().await;
        let first = insert(&mut town, "default", "[101]").await;
        town.tick(10_000).await;
        town.settle().await;
        if restarts {
            // Its task ends before, and only the settlement is open.
            town.fault("always:status=500@balance");
            town.tick(60_000).await;
            assert_eq!(town.job_state(1).await, "completed");
        }
        town.configure("ACCOUNTS__DEFAULT__OWNER", "acme").await;
        town.configure("LENSMOR_API_KEY", "uak_test_3@other").await;
        if restarts {
            town.restart().await;
        }
        town.finish_all().await;
        assert_eq!(town.outcome(first, "101").await.0, "delivered");
        let audits: Vec<(String, Option<i64>, String)> =
            town.all("select owner, spent, verdict from credit_audit").await;
        let expected = if restarts { (None, "unknown") } else { (Some(15), "matched") };
        assert_eq!(audits, [("default".to_owned(), expected.0, expected.1.to_owned())]);
        let second = insert(&mut town, "default", "[102]").await;
        town.tick(1_000).await;
        if !restarts {
            town.finish_all().await;
            assert_eq!(town.outcome(second, "102").await.0, "delivered");
            let audits: Vec<(String, i64)> = town.all("select owner, spent from credit_audit").await;
            assert_eq!(audits, [("default".to_owned(), 15), ("acme".to_owned(), 15)]);
        }
        town.check().await;
    }
}

#[tokio::test]
async fn an_owner_goes_on_with_the_key_that_works() {
    let mut town = two_keys(true).build().await;
    town.fault("status=401@balance");
    let first = insert(&mut town, "default", "[101]").await;
    let second = insert(&mut town, "second", "[201]").await;
    town.tick(30_000).await;
    assert_eq!(town.outcome(second, "201").await.0, "delivered");
    assert_eq!(town.number("select count(*) from credit_audit").await, 1, "the other key settles");
    // The refused key is tried again after a minute.
    town.tick(60_000).await;
    town.finish_all().await;
    assert_eq!(town.outcome(first, "101").await.0, "delivered");
    town.check().await;
}
