//! The counters and timers of this process for `/metrics`, in their own registry.
//!
//! One value, held by the [`Store`](crate::store::Store) and shared with all code that records something;
//! each method is named after the event. Labels are bounded: accounts come from the configuration, endpoints
//! and outcomes from the program, statuses from HTTP. No label ever contains an id, a reference or a contact.
//! Figures that must survive a restart are not kept here: each scrape reads them from the database, see
//! [`crate::store::report::metrics`].

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::domain::{AccountId, Millis};

/// How a submission can end; `unknown` is a lost answer.
pub const ATTEMPT_RESULTS: [&str; 5] = ["accepted", "nothing_chargeable", "refused", "not_sent", "unknown"];
/// Steps at which the database can fail; `busy` is a wait for another program's lock, not a failure.
pub const DATABASE_STEPS: [&str; 4] = ["begin", "statement", "commit", "busy"];
/// How the delivery of a webhook message can end.
pub const NOTIFICATION_OUTCOMES: [&str; 3] = ["delivered", "failed", "given_up"];

/// The counters and histograms; cheap to clone, and every clone counts in the same place.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    api_requests: IntCounterVec,
    api_seconds: HistogramVec,
    rate_limited: IntCounterVec,
    attempts: IntCounterVec,
    task_seconds: Histogram,
    commit_seconds: Histogram,
    database_errors: IntCounterVec,
    notifications: IntCounterVec,
}

const CALL_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const TASK_SECONDS: &[f64] = &[5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 7_200.0, 86_400.0];
const COMMIT_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let count = |name, help, labels: &[&str]| counters(&registry, (name, help), labels);
        let timer = |name, help, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let api = "Calls to the API, by endpoint and HTTP status (none: no answer came).";
        let calls =
            timer("unlockd_api_request_duration_seconds", "How long a call to the API took.", CALL_SECONDS);
        let tasks = "From a task's acceptance until its end was read.";
        let tasks = timer("unlockd_task_duration_seconds", tasks, TASK_SECONDS);
        let commits = "How long a commit took, its fsync included.";
        let commits = timer("unlockd_db_commit_duration_seconds", commits, COMMIT_SECONDS);
        let attempts = "Paid submissions, by how they ended (unknown: the answer was lost).";
        let errors = "Database errors by step; all but busy (a lock was waited for) end the worker.";
        let notifications = "Deliveries of webhook messages, by how they ended.";
        let metrics = Metrics {
            api_requests: count("unlockd_api_requests_total", api, &["operation", "status"]),
            api_seconds: add(&registry, HistogramVec::new(calls, &["operation"])),
            rate_limited: count(
                "unlockd_rate_limited_total",
                "Calls that the API refused with 429.",
                &["account"],
            ),
            attempts: count("unlockd_attempts_total", attempts, &["outcome"]),
            task_seconds: add(&registry, Histogram::with_opts(tasks)),
            commit_seconds: add(&registry, Histogram::with_opts(commits)),
            database_errors: count("unlockd_db_errors_total", errors, &["kind"]),
            notifications: count("unlockd_notifications_total", notifications, &["outcome"]),
            registry,
        };
        metrics.show_zeros();
        metrics
    }
}

impl Metrics {
    /// Otherwise a counter would appear with its first event, and `increase()` would miss that event.
    fn show_zeros(&self) {
        ATTEMPT_RESULTS.iter().for_each(|result| drop(self.attempts.with_label_values(&[result])));
        DATABASE_STEPS.iter().for_each(|step| drop(self.database_errors.with_label_values(&[step])));
        NOTIFICATION_OUTCOMES
            .iter()
            .for_each(|outcome| drop(self.notifications.with_label_values(&[outcome])));
    }

    /// Shows the account's counters from the start.
    pub fn account_opened(&self, account: &AccountId) {
        drop(self.rate_limited.with_label_values(&[account.as_str()]));
    }

    /// A call to the API has ended; `status` is `None` if there was no answer.
    pub fn called(&self, operation: &str, status: Option<u16>, took: Duration) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.api_requests.with_label_values(&[operation, &status]).inc();
        self.api_seconds.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// The API answered 429.
    pub fn rate_limited(&self, account: &AccountId) {
        self.rate_limited.with_label_values(&[account.as_str()]).inc();
    }

    /// A submission has ended and is recorded: one of [`ATTEMPT_RESULTS`].
    pub fn attempt_ended(&self, result: &'static str) {
        self.attempts.with_label_values(&[result]).inc();
    }

    /// A task's end was read this long after it was accepted.
    pub fn task_ended(&self, accepted: Millis, now: Millis) {
        self.task_seconds.observe(now.since(accepted).max(0) as f64 / 1_000.0);
    }

    /// Times a commit until the guard is dropped.
    pub fn time_commit(&self) -> prometheus::HistogramTimer {
        self.commit_seconds.start_timer()
    }

    /// The database failed at one of [`DATABASE_STEPS`].
    pub fn database_failed(&self, step: &'static str) {
        self.database_errors.with_label_values(&[step]).inc();
    }

    /// A delivery has ended: one of [`NOTIFICATION_OUTCOMES`].
    pub fn notified(&self, outcome: &'static str) {
        self.notifications.with_label_values(&[outcome]).inc();
    }

    /// All current figures.
    pub fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

fn counters(registry: &Registry, (name, help): (&str, &str), labels: &[&str]) -> IntCounterVec {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    // Names and labels are constants, so an error would make every test of a scrape fail.
    let collector = collector.expect("a valid name and valid labels");
    registry.register(Box::new(collector.clone())).expect("a name of its own");
    collector
}

/// Figures that are read for one scrape, in their own registry.
#[derive(Default)]
pub struct Scrape(Registry);

impl Scrape {
    /// A figure that can rise and fall; one sample for each row of label values.
    pub fn gauges<const N: usize>(
        &self,
        (name, help): (&str, &str),
        labels: [&str; N],
        samples: impl IntoIterator<Item = ([String; N], i64)>,
    ) {
        let gauges = add(&self.0, IntGaugeVec::new(Opts::new(name, help), &labels));
        for (values, value) in samples {
            gauges.with_label_values(&values).set(value);
        }
    }

    /// Times, which are stored in milliseconds and shown in seconds.
    pub fn moments<const N: usize>(
        &self,
        (name, help): (&str, &str),
        labels: [&str; N],
        samples: impl IntoIterator<Item = ([String; N], Millis)>,
    ) {
        let gauges = add(&self.0, prometheus::GaugeVec::new(Opts::new(name, help), &labels));
        for (values, at) in samples {
            gauges.with_label_values(&values).set(at.0 as f64 / 1_000.0);
        }
    }

    /// A figure that only rises.
    pub fn counters<const N: usize>(
        &self,
        metric: (&str, &str),
        labels: [&str; N],
        samples: impl IntoIterator<Item = ([String; N], i64)>,
    ) {
        let counters = counters(&self.0, metric, &labels);
        for (values, value) in samples {
            counters.with_label_values(&values).inc_by(u64::try_from(value).unwrap_or(0));
        }
    }

    /// The figures of this scrape together with those of the process, as Prometheus reads them.
    pub fn text(self, metrics: &Metrics) -> Result<String, prometheus::Error> {
        let mut families = self.0.gather();
        families.append(&mut metrics.families());
        families.sort_by(|one, other| one.name().cmp(other.name()));
        prometheus::TextEncoder::new().encode_to_string(&families)
    }
}
