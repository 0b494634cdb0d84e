//! An API that charges more than it says: limits count what left the balance, and the owner's accounts stop.

use unlockd::worker::people::pause;
use unlockd::worker::run::driver::End;

use crate::support::relay::{Altered, Exchange};
use crate::support::{Setup, Town};

/// The precheck of any batch says 1 credit; each contact is charged 15.
async fn town(setup: Setup) -> Town {
    let mut town = setup.recorded().build().await;
    town.allowed.price_differs = true;
    town.change(|exchange: &Exchange| {
        let mut answer = exchange.answer.clone();
        answer["credits"] = 1.into();
        let is_quote = exchange.path.ends_with("/precheck") && exchange.answer["should_charge"] == true;
        is_quote.then(|| Altered::new(200, answer.to_string())).flatten()
    });
    town
}

async fn waits(town: &mut Town) -> String {
    match town.finish().await {
        End::WaitsForPerson(waits) => waits.join("; "),
        end => panic!("{end:?}\n{}", town.dump().await),
    }
}

async fn resume(town: &Town) {
    let (deps, account) = (town.deps(), town.deps().accounts().remove(0));
    pause::resume(&deps.store, &account, &deps.ladder(), town.clock.now()).await.expect("resumed");
}

#[tokio::test]
async fn a_limit_counts_what_left_the_balance_beyond_what_was_booked() {
    for (key, limit, period) in [("DAILY", "daily", "today"), ("MONTHLY", "monthly", "this month")] {
        let mut town = town(Setup::default().config(&format!("CREDITS__{key}_LIMIT"), "30")).await;
        town.insert(None, &["101", "102"]).await;
        town.finish_all().await;
        assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 2);
        let second = town.insert(None, &["103"]).await;
        let waits = waits(&mut town).await;
        let expected = format!("more than credits.{limit}_limit leaves for {period}");
        assert!(waits.contains(&expected), "{waits}");
        assert_eq!(town.sandbox.accounting().charged_total, 30);
        town.tick(31 * 24 * 3_600_000).await;
        town.finish().await;
        assert_eq!(town.outcome(second, "103").await.0, "delivered");
        town.check().await;
    }
}

/// The settlement does not close while a task runs.
#[tokio::test]
async fn a_limit_counts_what_left_the_balance_in_an_open_settlement() {
    let setup = Setup::default().config("CREDITS__DAILY_LIMIT", "30").sandbox(|o| o.task_seconds = 600.0);
    let mut town = town(setup).await;
    town.insert(None, &["101", "102"]).await;
    town.settle().await;
    town.tick(61_000).await;
    town.insert(None, &["103"]).await;
    town.settle().await;
    town.tick(61_000).await;
    assert_eq!((town.posts().len(), town.sandbox.accounting().charged_total), (1, 30));
    assert_eq!(town.number("select count(*) from windows where closed_at is null").await, 1);
    town.tick(24 * 3_600_000).await;
    town.finish().await;
    town.check().await;
}

#[tokio::test]
async fn a_price_that_is_exceeded_twice_in_succession_stops_the_account_until_a_person_resumes() {
    let mut town = town(Setup::default()).await;
    for id in ["101", "102"] {
        town.insert(None, &[id]).await;
        town.finish_all().await;
    }
    let third = town.insert(None, &["103"]).await;
    let said = waits(&mut town).await;
    assert!(
        said.contains("the API charged more than it said, twice in succession (last 15 credits for"),
        "{said}"
    );
    assert!(said.contains("unlockd resume --account default"), "{said}");
    assert_eq!(town.sandbox.accounting().charged_total, 30);
    let explained = town.explained(third).await;
    assert!(explained.waits.iter().any(|wait| wait.reason == "overcharged" && wait.needs_person));
    let metrics = unlockd::http::metrics::render(town.store(), Some(town.deps()), town.clock.now())
        .await
        .expect("readable");
    for line in [
        "unlockd_needs_person{account=\"default\",reason=\"overcharged\"} 1",
        "unlockd_paused{account=\"default\",reason=\"overcharged\"} 1",
        "unlockd_paused{account=\"default\",reason=\"person\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    resume(&town).await;
    town.finish_all().await;
    assert_eq!(town.outcome(third, "103").await.0, "delivered");
    town.check().await;
}

/// A colleague who spends from the same credits is seen as such once, and a price that holds ends the count.
#[tokio::test]
async fn a_price_that_is_exceeded_now_and_then_stops_nothing() {
    let mut town = Setup::default().build().await;
    for id in ["101", "102", "103", "104"] {
        town.insert(None, &[id]).await;
        town.settle().await;
        if ["101", "103"].contains(&id) {
            town.sandbox.spend(45);
        }
        town.finish_all().await;
    }
    let verdicts: Vec<_> = town.verdicts().await.into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(verdicts, ["overspent", "matched", "overspent", "matched"]);
    town.check().await;
}
