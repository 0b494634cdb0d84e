//! `/metrics`, in the classic text format of Prometheus.
//!
//! Three sources are combined: the counters of this process ([`Metrics`](crate::metrics::Metrics)), the
//! present figures of the database ([`figures`]), and, in `accounts`, the state of each account and its gate. Times are in seconds, sizes in
//! bytes, credits in credits. All label values come from the program, except account names, whose number the
//! configuration limits.

mod accounts;
mod owners;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use self::accounts::View;
use super::{Site, budget};
use crate::config::Config;
use crate::domain::durability::lack;
use crate::domain::reconcile::Verdict;
use crate::domain::{AccountId, Millis, job};
use crate::metrics::Scrape;
use crate::store::postgres::{server, state};
use crate::store::report::account_work;
use crate::store::report::metrics::{self as figures, Figure, Waiting};
use crate::store::{Store, StoreError};
use crate::worker::people::needs;
use crate::worker::{Deps, durability};

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
        accounts::show_open(&scrape, &views);
        accounts::show_distrust(&scrape, &views);
        accounts::show_needs(&scrape, &views, &needs::of_worker(deps, &works).await?);
        accounts::show_credits(&scrape, &views);
        budget::show(&scrape, store, &deps.config(), deps.clock.now()).await?;
        accounts::show_api(&scrape, &views);
        owners::show(&scrape, store, deps).await?;
        show_room(&scrape, store).await?;
        show_server(&scrape, store, &deps.config()).await?;
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

async fn show_room(scrape: &Scrape, store: &Store) -> Result<(), StoreError> {
    let room = figures::room(store).await?;
    let bytes = |name, help, value: u64| {
        scrape.gauges((name, help), [], [([], i64::try_from(value).unwrap_or(i64::MAX))]);
    };
    bytes("unlockd_db_size_bytes", "Size of the database.", room.database);
    if let Some(log) = room.log {
        bytes("unlockd_db_wal_size_bytes", "Size of its write-ahead log.", log);
    }
    if let Some(free) = room.free {
        let help = "Bytes free where the database is; nothing is bought below 8 MiB.";
        bytes("unlockd_state_free_bytes", help, free);
    }
    Ok(())
}

/// A database of a PostgreSQL server.
async fn show_server(scrape: &Scrape, store: &Store, config: &Config) -> Result<(), StoreError> {
    if let Some(server) = state::read(store).await? {
        let version = [server.version];
        scrape.gauges(
            ("unlockd_postgres_info", "The server's version; always 1."),
            ["version"],
            [(version, 1)],
        );
        let help = "Connections to the database, of all programs.";
        scrape.gauges(("unlockd_postgres_connections", help), [], [([], server.connections)]);
    }
    let seen = server::read(store).await?;
    let lack = seen.as_ref().and_then(|seen| lack(durability::of(config), &seen.server));
    let help = "1: commits are kept as postgres.durability says (SQLite: always); 0: they are not, and nothing is bought.";
    scrape.gauges(("unlockd_durable", help), [], [([], i64::from(lack.is_none()))]);
    if let Some(seen) = seen {
        let help = "Standbys that are connected to the server.";
        scrape.gauges(("unlockd_postgres_standbys", help), [], [([], seen.server.standbys)]);
    }
    Ok(())
}
