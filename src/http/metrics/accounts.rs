//! The metrics of each account: its open work, its needs, its credits and its rate limit.

use std::collections::BTreeMap;

use crate::domain::AccountId;
use crate::domain::Millis;
use crate::domain::credits::{Balance, Purse};
use crate::domain::job::WaitReason;
use crate::domain::needs::{Need, Needs};
use crate::metrics::Scrape;
use crate::store::credits::balances;
use crate::store::report::AccountWork;
use crate::store::report::metrics::{self as figures, Open};
use crate::store::{Store, StoreError};
use crate::worker::gate::Gate;
use crate::worker::{Deps, balance};

/// One account at one moment.
pub(super) struct View {
    account: String,
    open: Open,
    work: AccountWork,
    has_key: bool,
    key_is_usable: bool,
    in_trouble: bool,
    blocked: bool,
    calls: (u32, u32),
    tasks_limit: u32,
    purse: Option<Purse>,
    balance: Option<(Millis, Balance)>,
}

impl View {
    pub(super) async fn read(
        store: &Store,
        deps: &Deps,
        work: AccountWork,
        gate: &Gate,
    ) -> Result<View, StoreError> {
        let (now, account) = (deps.clock.now(), &gate.account);
        let purse = figures::purse(store, account, now).await?;
        Ok(View {
            account: account.to_string(),
            open: figures::open(store, account).await?,
            work,
            has_key: gate.has_key(),
            key_is_usable: gate.has_usable_key(),
            in_trouble: gate.trouble_until().max(gate.no_balance_until()) > now,
            blocked: gate.blocked_until().is_some_and(|until| until > now),
            calls: gate.calls_left(now),
            tasks_limit: gate.tasks_in_flight(&deps.ladder()),
            purse: purse.map(|purse| balance::with_limits(purse, &deps.config())),
            balance: balances::last_balance(store.readers(), account).await?,
        })
    }

    fn sample(&self, value: i64) -> ([String; 1], i64) {
        ([self.account.clone()], value)
    }

    fn labelled<const N: usize>(&self, samples: [(&str, i64); N]) -> Vec<([String; 2], i64)> {
        samples.map(|(label, value)| ([self.account.clone(), label.to_owned()], value)).into()
    }
}

pub(super) fn show_open(scrape: &Scrape, views: &[View]) {
    let items = views.iter().flat_map(|view| {
        view.labelled([("waiting", view.work.waiting), ("reading", view.open.items_reading)])
    });
    let help = "Items without an outcome: waiting for a call, or read from their profile.";
    scrape.gauges(("unlockd_items_open", help), ["account", "state"], items);
    let undecided = ("unlockd_jobs_undecided", "Submissions in doubt that wait for a person's decision.");
    scrape.gauges(undecided, ["account"], views.iter().map(|view| view.sample(view.work.undecided)));
    let oldest =
        views.iter().filter_map(|view| Some(([view.account.clone()], Millis(view.open.doubt_oldest?))));
    let help = "Since when the oldest submission is in doubt; absent when there is none.";
    scrape.moments(("unlockd_in_doubt_oldest_timestamp_seconds", help), ["account"], oldest);
    let paused = views.iter().flat_map(|view| {
        let row = &view.work.row;
        let (by_restore, by_price) = (row.is_paused_by_restore(), row.overcharged().is_some());
        let others = [
            ("person", row.paused_at.is_some() && !by_restore && !by_price),
            ("restored", by_restore),
            ("overcharged", by_price),
            ("no_api_key", !view.has_key),
        ];
        let waits = WaitReason::ALL.into_iter().filter_map(|reason| {
            let is_waiting = match reason {
                WaitReason::InvalidApiKey => view.has_key && !view.key_is_usable,
                WaitReason::InsufficientCredits | WaitReason::Budget => view.work.waits_for(reason),
                // It stops nothing else, and the worker ends it.
                WaitReason::Conflict => return None,
            };
            Some((reason.as_str(), is_waiting))
        });
        let reasons = others.into_iter().chain(waits);
        let samples =
            reasons.map(|(reason, waits)| ([view.account.clone(), reason.to_owned()], i64::from(waits)));
        samples.collect::<Vec<_>>()
    });
    let help =
        "1: work of the account waits for this reason, until a person acts (budget: until the next day).";
    scrape.gauges(("unlockd_paused", help), ["account", "reason"], paused);
}

/// Accounts whose database may lack what was bought last.
pub(super) fn show_distrust(scrape: &Scrape, views: &[View]) {
    let since = |view: &View| Some(([view.account.clone()], Millis(view.work.row.restored_at?)));
    let help = "When the database was found to be an older copy, or a failover to have lost commits, perhaps: since then \
                each batch is prechecked. Absent when it never was.";
    scrape.moments(
        ("unlockd_distrusted_timestamp_seconds", help),
        ["account"],
        views.iter().filter_map(since),
    );
}

/// The same list that the page, `watch` and `explain` show.
pub(super) fn show_needs(scrape: &Scrape, views: &[View], needs: &Needs) {
    let mut samples: BTreeMap<[String; 2], i64> =
        views.iter().flat_map(|view| view.labelled(Need::REASONS.map(|reason| (reason, 0)))).collect();
    for need in &needs.list {
        // The configuration limits the number of account names; all unknown accounts share one label.
        let named = need.account().map_or("", AccountId::as_str);
        let account = if views.iter().any(|view| view.account == named) { named } else { "" };
        *samples.entry([account.to_owned(), need.reason().to_owned()]).or_default() += 1;
    }
    let help = "Things that wait for a person to act, by reason; at most 100 of a kind are counted. \
                The account is empty for those that are not configured, and for what stops all of them.";
    scrape.gauges(("unlockd_needs_person", help), ["account", "reason"], samples);
}

pub(super) fn show_credits(scrape: &Scrape, views: &[View]) {
    let balance =
        views.iter().filter_map(|view| Some((view, view.balance?.1))).flat_map(|(view, balance)| {
            view.labelled([
                ("total", balance.total.0),
                ("subscription", balance.subscription.0),
                ("addon", balance.addon.0),
                ("gift", balance.gift.0),
            ])
        });
    let help = "The balance as last read, by kind; total is their sum.";
    scrape.gauges(("unlockd_credits_balance", help), ["account", "kind"], balance);
    let read = views.iter().filter_map(|view| Some(([view.account.clone()], view.balance?.0)));
    let observed = ("unlockd_credits_balance_observed_timestamp_seconds", "When the balance was last read.");
    scrape.moments(observed, ["account"], read);
    let purses = || views.iter().filter_map(|view| Some((view, view.purse?)));
    let held = ("unlockd_credits_held", "Credits held for submissions whose effect is not known yet.");
    scrape.gauges(held, ["account"], purses().map(|(view, purse)| view.sample(purse.held.0)));
    let free = (
        "unlockd_credits_available",
        "Credits free to spend: balance minus charges, holds and credits.min_balance.",
    );
    scrape.gauges(free, ["account"], purses().map(|(view, purse)| view.sample(purse.available().0)));
    let of_day = purses().filter_map(|(view, purse)| Some(view.sample(purse.left_today()?.0)));
    let help = "Credits that credits.daily_limit still allows today; absent without a limit.";
    scrape.gauges(("unlockd_daily_limit_remaining", help), ["account"], of_day);
    let of_month = purses().filter_map(|(view, purse)| Some(view.sample(purse.left_this_month()?.0)));
    let help = "Credits that credits.monthly_limit still allows this month; absent without a limit.";
    scrape.gauges(("unlockd_monthly_limit_remaining", help), ["account"], of_month);
}

pub(super) fn show_api(scrape: &Scrape, views: &[View]) {
    let calls = ("unlockd_rate_limit", "Calls that the rate limit allows in one of its windows.");
    scrape.gauges(calls, ["account"], views.iter().map(|view| view.sample(view.calls.0.into())));
    let left = ("unlockd_rate_limit_remaining", "Calls of the current window that are left.");
    scrape.gauges(left, ["account"], views.iter().map(|view| view.sample(view.calls.1.into())));
    let tasks =
        ("unlockd_tasks_in_flight_limit", "Tasks that may run at once, so that each can be polled in time.");
    scrape.gauges(tasks, ["account"], views.iter().map(|view| view.sample(view.tasks_limit.into())));
    let breaker = views.iter().flat_map(|view| {
        view.labelled([("api_trouble", i64::from(view.in_trouble)), ("retry_after", i64::from(view.blocked))])
    });
    let help = "1: unlockd holds calls back, since the API fails or asked for a pause.";
    scrape.gauges(("unlockd_breaker_open", help), ["account", "reason"], breaker);
}
