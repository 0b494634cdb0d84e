//! What is asked before a batch is paid for: few questions, and no contact of which this database knows that it was
//! paid for is sent on a figure that leaves a doubt.

use serde_json::json;
use unlockd::domain::PersonnelId;
use unlockd::sandbox::{Billing, Channel};
use unlockd::store::erase::Which;
use unlockd::worker::erase;

use crate::support::relay::Altered;
use crate::support::{Setup, Town, good_ids, refs};

async fn by_source(town: &mut Town, source: &str) -> i64 {
    let sql =
        format!("select count(*) from contact_outcomes where outcome = 'delivered' and source = '{source}'");
    town.number(&sql).await
}

#[tokio::test]
async fn a_batch_of_a_hundred_takes_one_precheck_however_many_are_unlocked_already() {
    for unlocked in [0, 1, 3, 5, 10] {
        let mut town = Town::new().await;
        let ids = good_ids(1_000, 100);
        ids[..unlocked].iter().for_each(|id| town.sandbox.mark_unlocked(id, Channel::Email));
        town.insert(None, &refs(&ids)).await;
        town.finish_all().await;
        assert_eq!((town.calls("/precheck").len(), town.posts().len()), (1, 1), "{unlocked}");
        let charged = 15 * (100 - unlocked as i64);
        assert_eq!(town.sandbox.accounting().charged_total, charged, "{unlocked}");
        assert_eq!(town.verdicts().await, [(charged, "matched".to_owned())], "{unlocked}");
        assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, charged);
        let sources = (by_source(&mut town, "task").await, by_source(&mut town, "profile").await);
        assert_eq!(sources, (100 - unlocked as i64, unlocked as i64));
        town.check().await;
    }
}

/// The API charges every POST again, for each contact in it. What was bought here and erased is not in one.
#[tokio::test]
async fn what_this_database_has_paid_for_is_never_sent_among_others() {
    let mut town = Setup::default().sandbox(|options| options.billing = Billing::Repeats).build().await;
    let bought = good_ids(1_000, 5);
    town.insert(None, &refs(&bought)).await;
    town.finish_all().await;
    for id in &bought {
        let which = Which::Of(PersonnelId::trusted(id.clone()));
        erase::values(town.store(), &which, || false).await.expect("erased");
    }
    town.allowed.erased.extend(bought.iter().cloned());
    let ids = good_ids(1_000, 60);
    let again = town.insert(None, &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(town.status(again).await, "done");
    let sent: Vec<usize> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!(sent, [5, 55]);
    assert!(town.calls("/precheck").len() <= 4, "{}", town.calls("/precheck").len());
    for id in &ids {
        assert_eq!(town.sandbox.accounting().charge(id, Channel::Email).times, 1, "{id}");
    }
    town.check().await;
}

#[tokio::test]
async fn what_the_api_takes_beyond_its_precheck_is_booked_as_it_is_charged() {
    let mut town = Setup::default().recorded().build().await;
    town.change(|exchange| {
        let mut answer = exchange.answer.clone();
        answer["credits"] = json!(60);
        exchange
            .path
            .contains("precheck")
            .then(|| Altered::new(exchange.status, answer.to_string()))
            .flatten()
    });
    town.insert(None, &refs(&good_ids(1_000, 6))).await;
    town.finish_all().await;
    assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 90);
    assert_eq!(town.verdicts().await, [(90, "matched".to_owned())]);
    let said =
        "select count(*) from request_events where detail like '%6 contacts accepted, 4 by the precheck'";
    assert_eq!(town.number(said).await, 1);
    town.check().await;
}

/// A tenth of the contacts is invalid, missing, unlocked already, failed or without a value.
#[tokio::test]
async fn an_ordinary_list_takes_few_calls_for_each_contact() {
    let mut town = Town::new().await;
    let ids: Vec<String> = (10_000..10_500).map(|id| id.to_string()).collect();
    let request = town.insert(Some("7"), &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    let calls = town.sandbox.journal().len();
    let by_path = |part| town.calls(part).len();
    let parts =
        ["/precheck", "/contacts/unlock", "-tasks/", "/profile", "/list", "/contacts/search", "/balance"];
    // With tasks of 26 s: a precheck, a POST and three polls for each hundred, and the values that are read.
    assert!(calls <= 50, "{calls} calls for 500 contacts: {parts:?} {:?}", parts.map(by_path));
    town.check().await;
}
