//! Credits expected compared with credits spent.

use unlockd::domain::Millis;
use unlockd::sandbox::Channel;
use unlockd::store::credits::settlements;
use unlockd::store::report::audits;
use unlockd::store::report::claims::unfulfilled;
use unlockd::worker::people::claims::Claim;
use unlockd::worker::run::driver::End;

use crate::support::relay::Altered;
use crate::support::{Setup, Town, good_ids, is_on_postgres, refs};

/// `run --until-idle` would never end while the API does not show the balance.
#[tokio::test]
async fn a_settlement_whose_balance_cannot_be_read_is_not_waited_for_and_settled_by_the_next_run() {
    let mut town = Setup::default().recorded().build().await;
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    town.change(|exchange| exchange.path.ends_with("/balance").then(|| Altered::new(500, "{}")).flatten());
    let started = town.clock.now();
    assert_eq!(town.finish().await, End::Idle);
    let waited_ms = town.clock.now().since(started);
    assert!((120_000..300_000).contains(&waited_ms), "{waited_ms}");
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    assert_eq!(town.number("select count(*) from windows where closed_at is null").await, 1);
    town.change(|_| None);
    town.restart().await;
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(15, "matched".to_owned())]);
    town.check().await;
}

#[tokio::test]
async fn jobs_that_overlap_are_settled_together_and_later_ones_apart() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "3").build().await;
    town.insert(None, &refs(&good_ids(101, 9))).await;
    town.finish_all().await;
    town.insert(None, &refs(&good_ids(201, 2))).await;
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(135, "matched".to_owned()), (30, "matched".to_owned())]);
    let jobs: Vec<(i64,)> = town.all("select jobs from credit_audit order by closed_at").await;
    assert_eq!(jobs, [(3,), (1,)]);
    town.check().await;
}

#[tokio::test]
async fn what_somebody_else_spends_shows_as_overspent_and_is_booked_to_no_job() {
    let mut town = Town::new().await;
    town.insert(None, &refs(&good_ids(101, 7))).await;
    town.settle().await;
    town.sandbox.spend(1_000);
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(1_105, "overspent".to_owned())]);
    assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 105);
    assert_eq!(town.number("select count(*) from prices").await, 0, "1105 / 7 is no price");
    town.check().await;
}

#[tokio::test]
async fn credits_bought_meanwhile_show_as_underspent() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.settle().await;
    town.sandbox.top_up(1_000);
    town.finish_all().await;
    assert_eq!(town.verdicts().await[0].1, "underspent");
    town.check().await;
}

/// 197 fails, and may be charged or refunded: only the balance tells, and a top-up of the same size hides it.
#[tokio::test]
async fn a_top_up_that_may_hide_a_charge_matches_nothing() {
    for (topped_up, expected) in [(0, (15, "matched")), (15, (0, "unknown"))] {
        let mut town = Setup::default().sandbox(|options| options.refund_failed = false).build().await;
        town.insert(None, &["197"]).await;
        town.settle().await;
        if topped_up > 0 {
            town.sandbox.top_up(topped_up);
        }
        town.finish_all().await;
        assert_eq!(town.verdicts().await, [(expected.0, expected.1.to_owned())]);
        let claims =
            unfulfilled(town.store(), None, (Millis(0), Millis(i64::MAX)), (0, 9)).await.expect("readable");
        let said = claims.into_iter().map(Claim::from).map(|claim| claim.balance).collect::<Vec<_>>();
        assert_eq!(said, [if topped_up > 0 { "unclear" } else { "charged" }]);
        town.check().await;
    }
}

#[tokio::test]
async fn a_settlement_says_how_many_of_its_jobs_a_person_sent_again() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    town.fault("lost-request@unlock");
    town.insert(None, &["102"]).await;
    town.settle().await;
    town.resubmit(2).await;
    town.sandbox.spend(15);
    town.finish_all().await;
    let audits = audits(town.store()).await.expect("readable");
    let said: Vec<_> = audits.iter().map(|audit| (audit.verdict.as_str(), audit.resubmitted)).collect();
    assert_eq!(said, [("matched", 0), ("overspent", 1)]);
    town.check().await;
}

/// The answer was lost, the profile is open, and somebody else may have paid for it.
#[tokio::test]
async fn a_charge_that_only_reading_found_is_matched_by_a_balance_that_shows_it() {
    for (bought_by_others, expected) in [(false, (15, "matched")), (true, (0, "unknown"))] {
        let mut town = Setup::default().config("API__TIMEOUT", "400ms").build().await;
        town.fault(if bought_by_others { "lost-request@unlock" } else { "lost-answer@unlock" });
        let request = town.insert(None, &["101"]).await;
        town.settle().await;
        if bought_by_others {
            town.sandbox.mark_unlocked("101", Channel::Email);
        }
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered");
        assert_eq!(town.verdicts().await, [(expected.0, expected.1.to_owned())], "{bought_by_others}");
        town.check().await;
    }
}

#[tokio::test]
async fn failures_match_whether_they_are_refunded_or_not() {
    for refund in [false, true] {
        let mut town = Setup::default().sandbox(|options| options.refund_failed = refund).build().await;
        town.insert(None, &["101", "190", "197", "198"]).await;
        town.finish_all().await;
        let verdicts = town.verdicts().await;
        assert_eq!(verdicts, [(if refund { 15 } else { 60 }, "matched".to_owned())], "refund: {refund}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_balance_that_cannot_be_read_delays_the_settlement_and_loses_nothing() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.settle().await;
    town.fault("5x:status=503@balance");
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(15, "matched".to_owned())]);
    town.check().await;
}

#[tokio::test]
async fn another_price_is_noticed_and_used_for_later_estimates() {
    for precheck in ["false", "true"] {
        let mut town = Setup::default()
            .config("SUBMIT__PRECHECK", precheck)
            .sandbox(|options| options.price_email = 20)
            .build()
            .await;
        town.allowed.price_differs = true;
        town.insert(None, &refs(&good_ids(101, 7))).await;
        town.finish_all().await;
        assert_eq!(town.verdicts().await[0].0, 140);
        let later = town.insert(None, &["1201"]).await;
        town.settle().await;
        let quoted = town.number(&format!("select quoted_credits from requests where id = {later}")).await;
        assert_eq!(quoted, 20, "precheck: {precheck}");
        town.finish_all().await;
        assert_eq!(town.verdicts().await[1], (20, "matched".to_owned()));
        town.check().await;
    }
}

/// One contact at 10 and one at 15: the mean is 13, and 13 a contact explains neither 25 nor one of them.
#[tokio::test]
async fn a_batch_with_two_prices_is_settled_by_its_charge() {
    // One precheck a minute, so that the price can change between the two.
    let mut town = Setup::default().sandbox(|options| options.rate_limit = 2).build().await;
    town.allowed.price_differs = true;
    let request = town.insert(None, &["101", "102"]).await;
    for price in [12, 10, 15, 12] {
        town.sandbox.set_price(Channel::Email, price);
        town.tick(60_000).await;
    }
    let (price, lowest_price, cost): (i64, i64, i64) =
        town.one("select price, lowest_price, cost from jobs").await;
    assert_eq!((price, lowest_price, cost), (13, 10, 25), "{}", town.dump().await);
    // The real cost of the two: 10 and 15, not 12 each.
    town.sandbox.spend(1);
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(25, "matched".to_owned())]);
    assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 25);
    let shared = town.number(&format!("select committed_credits from requests where id = {request}")).await;
    assert_eq!(shared, 25, "no more than was held");
    assert_eq!(town.number("select count(*) from prices").await, 0, "two prices are none to learn");
    town.check().await;
}

/// The mean of 10 and 15 is within both limits of 14, and the contact at 15 is not bought: its request has no more.
#[tokio::test]
async fn of_a_batch_with_two_prices_nobody_pays_more_than_their_own_limit() {
    let setup = Setup::default().config("CREDITS__PRICE__EMAIL", "13");
    let mut town = setup.sandbox(|options| options.rate_limit = 2).build().await;
    town.allowed.price_differs = true;
    let row = |id: u32| format!("'[{id}]', 14");
    let first = town.insert_row("personnel_ids, max_credits", &row(101)).await;
    let second = town.insert_row("personnel_ids, max_credits", &row(102)).await;
    for price in [12, 10, 15, 12] {
        town.sandbox.set_price(Channel::Email, price);
        town.tick(60_000).await;
    }
    town.sandbox.set_price(Channel::Email, 10);
    town.finish_all().await;
    let outcomes = [town.outcome(first, "101").await.0, town.outcome(second, "102").await.0];
    assert_eq!(outcomes, ["delivered", "rejected"]);
    assert_eq!(town.number("select sum(credits) from ledger where entry = 'charge'").await, 10);
    town.check().await;
}

/// A call of an older version at two prices: nothing says which one applied, so neither counts as certain.
#[tokio::test]
async fn calls_from_before_the_lowest_price_was_kept_have_one_that_is_never_too_high() {
    // That edition had no PostgreSQL.
    if is_on_postgres() {
        return;
    }
    let mut town = Town::new().await;
    town.insert(None, &["101", "102"]).await;
    town.finish_all().await;
    town.kill();
    town.user("update jobs set price = 13, cost = 25").await;
    town.user(
        "insert into jobs (account, action, state, price, cost, created_at, finished_at)
         select account, action, state, 15, 15, created_at, finished_at from jobs
         union all select account, action, state, null, null, created_at, finished_at from jobs",
    )
    .await;
    town.user("alter table jobs drop column lowest_price").await;
    town.user("delete from _sqlx_migrations where version = 111").await;
    town.start().await;
    let lowest: Vec<(Option<i64>,)> = town.all("select lowest_price from jobs order by id").await;
    assert_eq!(lowest, [(Some(1),), (Some(15),), (None,)]);
    town.check().await;
}

#[tokio::test]
async fn a_late_charge_is_not_called_underspent_for_good() {
    // The vendor's balance may lag; the settlement shows what was read.
    let mut town = Setup::default()
        .sandbox(|options| options.charge_lag = std::time::Duration::from_secs(5))
        .build()
        .await;
    town.insert(None, &["101", "102"]).await;
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(30, "matched".to_owned())]);
    town.check().await;
}

/// A settlement that read the window a moment before a submission joined it.
#[tokio::test]
async fn a_window_that_a_submission_has_joined_is_not_discarded() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.settle().await;
    let id = town.number("select id from windows").await;
    town.store()
        .write(move |connection| Box::pin(settlements::discard_window(connection, id)))
        .await
        .expect("the worker goes on");
    town.finish_all().await;
    assert_eq!(town.verdicts().await, [(15, "matched".to_owned())]);
    town.check().await;
}
