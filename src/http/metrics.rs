//! `/metrics`, in the classic text format of Prometheus.
//!
//! Three sources are combined: the counters of this process ([`Metrics`](crate::metrics::Metrics)), the
//! present figures of the database ([`figures`]), and the state of the gates. Times are in seconds, sizes in
//! bytes, credits in credits. All label values come from the program, except account names, whose number the
//! configuration limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Site;
use crate::domain::credits::{Balance, Purse};
use crate::domain::job::WaitReason;
use crate::domain::needs::{Need, Needs};
use crate::domain::reconcile::Verdict;
use crate::domain::{AccountId, Millis, job};
use crate::metrics::Scrape;
use crate::store::credits::balances;
use crate::store::report::metrics::{self as figures, Figure, Open, Waiting};
use crate::store::report::{AccountWork, account_work};
use crate::store::{Store, StoreError};
use crate::worker::gate::Gate;
use crate::worker::people::needs;
use crate::worker::{Deps, balance};

/// The classic text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn answer(State(site): State<Arc<Site>>) -> Response {
    match render(&site.store, site.worker().as_deref(), site.started_at).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => super::unreadable(&error),
    }
}

/// All present figures. A process without `worker` is on standby, and leaves the figures to the one that has
/// the database.
pub async fn render(store: &Store, worker: Option<&Deps>, started_at: Millis) -> Result<String, StoreError> {
    let scrape = Scrape::default();
    let version = [env!("CARGO_PKG_VERSION").to_owned()];
    scrape.gauges(("unlockd_build_info", "The running version; always 1."), ["version"], [(version, 1)]);
    let started = ("unlockd_started_timestamp_seconds", "When this process started.");
    scrape.moments(started, [], [([], started_at)]);
    let active = ("unlockd_active", "1: this process has the database; 0: it is on standby.");
    scrape.gauges(active, [], [([], i64::from(worker.is_some()))]);
    if let Some(deps) = worker {
        let heartbeat =
            "The last sign of life of the pass that has been silent for longest; absent when none runs.";
        let beat = deps.heartbeat.oldest().map(|at| ([], at));
        scrape.moments(("unlockd_loop_heartbeat_timestamp_seconds", heartbeat), [], beat);
        whole(&scrape, &figures::waiting(store).await?);
        history(&scrape, deps, &figures::figures(store).await?);
        let works = needs::works(store, &deps.config()).await?;
        let mut views = Vec::new();
        for (account, gate) in &deps.gates() {
            let work = match works.iter().find(|work| work.account == *account) {
                Some(work) => work.clone(),
                None => account_work(store, account).await?,
            };
            views.push(View::read(store, deps, work, gate).await?);
        }
        show_open(&scrape, &views);
        show_needs(&scrape, &views, &needs::of_worker(deps, &works).await?);
        show_credits(&scrape, &views);
        show_api(&scrape, &views);
        show_room(&scrape, store)?;
    }
    Ok(scrape.text(store.metrics()).expect("a text can always be written to"))
}

fn whole(scrape: &Scrape, waiting: &Waiting) {
    let one = |name, help, value| scrape.gauges((name, help), [], [([], value)]);
    one("unlockd_inbox_rows", "Rows of the inbox that were not taken yet.", waiting.inbox);
    one(
        "unlockd_inbox_faults",
        "Parts of the inbox work that cannot go on: taking rows, showing statuses.",
        waiting.inbox_faults,
    );
    one("unlockd_requests_open", "Requests that are not finished.", waiting.requests_open);
    one("unlockd_approvals_waiting", "Requests that wait for a person's approval.", waiting.approvals);
    one(
        "unlockd_notifications_waiting",
        "Webhook messages that are not delivered yet.",
        waiting.notifications,
    );
    let since = |name, help, at: Option<i64>| scrape.moments((name, help), [], at.map(|at| ([], Millis(at))));
    since(
        "unlockd_inbox_oldest_timestamp_seconds",
        "When the oldest row that was not taken was written; absent when there is none.",
        waiting.inbox_oldest,
    );
    since(
        "unlockd_notifications_oldest_timestamp_seconds",
        "When the event of the oldest undelivered message happened; absent when there is none.",
        waiting.notifications_oldest,
    );
}

fn history(scrape: &Scrape, deps: &Deps, figures: &[Figure]) {
    let gates = deps.gates();
    let accounts = || gates.keys().map(ToString::to_string);
    // Accounts that were removed from the configuration keep their history in the database, but not here.
    let is_known = |figure: &&Figure| gates.contains_key(&AccountId::trusted(figure.account.clone()));
    let of = |name: &'static str| figures.iter().filter(is_known).filter(move |figure| figure.name == name);
    let by_label = |name, labels: &[&str]| {
        let mut samples: BTreeMap<[String; 2], i64> = accounts()
            .flat_map(|account| labels.iter().map(move |label| ([account.clone(), (*label).to_owned()], 0)))
            .collect();
        samples.extend(of(name).map(|figure| ([figure.account.clone(), figure.label.clone()], figure.value)));
        samples
    };
    let by_account = |name| {
        let mut samples: BTreeMap<[String; 1], i64> = accounts().map(|account| ([account], 0)).collect();
        samples.extend(of(name).map(|figure| ([figure.account.clone()], figure.value)));
        samples
    };
    let moments = |name| of(name).map(|figure| ([figure.account.clone()], Millis(figure.value)));
    let outcomes: Vec<&str> =
        crate::domain::outcome::Outcome::NAMES.into_iter().filter(|name| *name != "pending").collect();
    let jobs = ("unlockd_jobs", "Jobs by state, over all time.");
    scrape.gauges(jobs, ["account", "state"], by_label("jobs", &job::State::NAMES));
    let items = (
        "unlockd_items_total",
        "Items (contacts, events, pages of a search) that got an outcome, over all time.",
    );
    scrape.counters(items, ["account", "outcome"], by_label("items", &outcomes));
    let spent = ("unlockd_credits_spent_total", "Credits booked as spent, over all time.");
    scrape.counters(spent, ["account"], by_account("spent"));
    // Shown even when they never occurred, as every state and outcome is.
    let verdicts = Verdict::ALL.map(Verdict::as_str);
    let settlements = ("unlockd_settlements_total", "Comparisons of credits expected and gone, by verdict.");
    scrape.counters(settlements, ["account", "verdict"], by_label("settlements", &verdicts));
    let unexplained =
        "Credits that left the balance beyond those expected, in the last settlement; negative: fewer.";
    scrape.gauges(("unlockd_credits_unexplained", unexplained), ["account"], by_account("unexplained"));
    let settled = ("unlockd_last_settled_timestamp_seconds", "When the last settlement was made.");
    scrape.moments(settled, ["account"], moments("settled_at"));
    let ended = ("unlockd_last_job_ended_timestamp_seconds", "When the last job came to its end.");
    scrape.moments(ended, ["account"], moments("ended_at"));
}

/// One account at one moment.
struct View {
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
    async fn read(store: &Store, deps: &Deps, work: AccountWork, gate: &Gate) -> Result<View, StoreError> {
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

fn show_open(scrape: &Scrape, views: &[View]) {
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

/// The same list that the page, `watch` and `explain` show.
fn show_needs(scrape: &Scrape, views: &[View], needs: &Needs) {
    let mut samples: BTreeMap<[String; 2], i64> =
        views.iter().flat_map(|view| view.labelled(Need::REASONS.map(|reason| (reason, 0)))).collect();
    for need in &needs.list {
        // The configuration limits the number of account names; all unknown accounts share one label.
        let is_configured = views.iter().any(|view| view.account == need.account().as_str());
        let account = if is_configured { need.account().as_str() } else { "" };
        *samples.entry([account.to_owned(), need.reason().to_owned()]).or_default() += 1;
    }
    let help = "Things that wait for a person to act, by reason; at most 100 of a kind are counted. \
                The account is empty for those that are not configured.";
    scrape.gauges(("unlockd_needs_person", help), ["account", "reason"], samples);
}

fn show_credits(scrape: &Scrape, views: &[View]) {
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

fn show_api(scrape: &Scrape, views: &[View]) {
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

fn show_room(scrape: &Scrape, store: &Store) -> Result<(), StoreError> {
    let room = figures::room(store)?;
    let bytes = |name, help, value: u64| {
        scrape.gauges((name, help), [], [([], i64::try_from(value).unwrap_or(i64::MAX))]);
    };
    bytes("unlockd_db_size_bytes", "Size of the database file.", room.database);
    bytes("unlockd_db_wal_size_bytes", "Size of its write-ahead log.", room.log);
    bytes(
        "unlockd_state_free_bytes",
        "Bytes free where the database is; nothing is bought below 8 MiB.",
        room.free,
    );
    Ok(())
}
