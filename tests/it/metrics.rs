//! `/metrics`: its figures, Prometheus' conventions, and its cost.

use std::collections::{BTreeMap, BTreeSet};

use unlockd::domain::Millis;
use unlockd::http::metrics::render;

use crate::support::{Setup, Town, is_on_postgres};

/// One line that is not a comment: name, labels as written, value.
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

fn samples(text: &str) -> Vec<Sample> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect("closed").to_owned();
            Sample { name: name.to_owned(), labels, value: value.parse().expect("a number") }
        })
        .collect()
}

async fn scrape(town: &Town) -> String {
    render(town.store(), Some(town.deps()), Millis(0)).await.expect("readable")
}

#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(found, _)| found == series));
    let line = line.unwrap_or_else(|| panic!("{series} is not in\n{text}"));
    line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
}

/// A town in which every event with a figure has happened.
async fn eventful() -> Town {
    let mut setup = Setup::default().config("CREDITS__DAILY_LIMIT", "90000");
    setup.env.insert("UNLOCKD_CREDITS__APPROVE_ABOVE".to_owned(), "1000".to_owned());
    let mut town = setup.build().await;
    let many: Vec<String> = (0..80).map(|place| (100_000 + place).to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    town.insert(Some("7"), &many).await;
    town.insert(Some("7"), &["101", "102", "197"]).await;
    town.fault("status=429@balance");
    town.fault("lost-answer=truncate@unlock");
    town.finish().await;
    town
}

#[tokio::test]
async fn a_scrape_shows_what_happened() {
    let town = eventful().await;
    let text = scrape(&town).await;
    assert_eq!(value(&text, "unlockd_active"), 1.0);
    assert_eq!(value(&text, r#"unlockd_jobs{account="default",state="completed"}"#), 1.0);
    assert_eq!(value(&text, r#"unlockd_items_total{account="default",outcome="delivered"}"#), 2.0);
    assert_eq!(value(&text, "unlockd_approvals_waiting"), 1.0);
    assert_eq!(value(&text, r#"unlockd_attempts_total{outcome="unknown"}"#), 1.0);
    assert_eq!(value(&text, r#"unlockd_rate_limited_total{account="default"}"#), 1.0);
    assert_eq!(value(&text, r#"unlockd_paused{account="default",reason="person"}"#), 0.0);
    let charged = town.sandbox.accounting().charged_total as f64;
    let balance = value(&text, r#"unlockd_credits_balance{account="default",kind="total"}"#);
    assert_eq!(balance, 100_000.0 - charged);
    assert!(value(&text, r#"unlockd_credits_spent_total{account="default"}"#) >= charged);
    assert!(value(&text, "unlockd_db_size_bytes") > 0.0);
    town.check().await;
}

#[tokio::test]
async fn totals_survive_a_restart() {
    let mut town = eventful().await;
    let series = r#"unlockd_items_total{account="default",outcome="delivered"}"#;
    let before = value(&scrape(&town).await, series);
    town.restart().await;
    let text = scrape(&town).await;
    assert_eq!(value(&text, series), before);
    assert_eq!(value(&text, r#"unlockd_attempts_total{outcome="unknown"}"#), 0.0, "of this process");
    town.check().await;
}

#[tokio::test]
async fn names_and_labels_follow_the_conventions() {
    let town = eventful().await;
    let text = scrape(&town).await;
    let comments = |kind: &str| -> BTreeMap<String, String> {
        let prefix = format!("# {kind} ");
        let rest = text.lines().filter_map(|line| line.strip_prefix(&prefix));
        rest.filter_map(|rest| rest.split_once(' '))
            .map(|(name, of)| (name.to_owned(), of.to_owned()))
            .collect()
    };
    let (help, types) = (comments("HELP"), comments("TYPE"));
    assert!(types.len() > 35, "{} metrics", types.len());
    for (name, kind) in &types {
        assert!(help.get(name).is_some_and(|help| help.ends_with('.')), "{name} has no HELP");
        assert!(name.starts_with("unlockd_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let known = ["_ms", "_millis", "_minutes", "_kb", "_count", "_sum", "_bucket"];
        assert!(!known.iter().any(|suffix| name.ends_with(suffix)), "{name}");
        assert!(!name.contains("timestamp") || name.ends_with("_timestamp_seconds"), "{name}");
    }
    let allowed = [
        "account",
        "kind",
        "le",
        "limit",
        "operation",
        "outcome",
        "reason",
        "state",
        "status",
        "subject",
        "verdict",
        "version",
    ];
    for sample in samples(&text) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| sample.name.strip_suffix(end));
        let known = |name: &str| types.contains_key(name);
        assert!(known(&sample.name) || family.is_some_and(known), "{} has no TYPE", sample.name);
        let labels = sample.labels.split("\",").filter_map(|label| label.split_once('='));
        for (label, _) in labels {
            assert!(allowed.contains(&label), "{label} in {}", sample.name);
        }
        assert!(sample.value.is_finite());
    }
    town.check().await;
}

#[tokio::test]
async fn the_number_of_series_does_not_grow_with_the_work() {
    let mut town = eventful().await;
    let series = |text: &str| -> BTreeSet<String> {
        samples(text).into_iter().map(|sample| format!("{}{{{}", sample.name, sample.labels)).collect()
    };
    town.insert(Some("9"), &["200101", "200194", "200196"]).await;
    town.finish().await;
    let before = series(&scrape(&town).await);
    for event in 0..20 {
        town.insert(Some(&event.to_string()), &[&(300_000 + event * 100).to_string()]).await;
    }
    town.finish().await;
    let after = series(&scrape(&town).await);
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(after.len() < 300, "{} series", after.len());
    town.check().await;
}

#[tokio::test]
async fn a_process_that_waits_to_take_over_shows_no_figures_of_the_database() {
    let town = eventful().await;
    let text = render(town.store(), None, Millis(0)).await.expect("readable");
    assert_eq!(value(&text, "unlockd_active"), 0.0);
    assert!(!text.contains("unlockd_jobs") && !text.contains("unlockd_credits"), "{text}");
    town.check().await;
}

fn config_file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    std::fs::read_to_string(path).expect("readable")
}

/// The metrics that a text of queries uses.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    words.filter(|word| word.starts_with("unlockd_")).collect()
}

/// The metrics of a scrape of that town, suffixes of histograms included.
async fn scraped() -> BTreeSet<String> {
    let mut setup = Setup::default().sandbox(|options| options.balance = 3_000);
    setup.env.insert("UNLOCKD_CREDITS__APPROVE_ABOVE".to_owned(), "1000".to_owned());
    setup.env.insert("UNLOCKD_CREDITS__DAILY_LIMIT".to_owned(), "90000".to_owned());
    setup.env.insert("UNLOCKD_CREDITS__MONTHLY_LIMIT".to_owned(), "900000".to_owned());
    let mut town = setup.build().await;
    town.insert(Some("7"), &["101", "102", "197"]).await;
    town.finish_all().await;
    // Something that waits at each place.
    town.fault("lost-answer@unlock");
    town.insert(Some("8"), &["201"]).await;
    town.settle().await;
    town.insert(None, &["301"]).await;
    // Without a receiver no message is written.
    town.meddle("insert into outbox_is_open (id) values (1)").await.expect("written");
    town.meddle("insert into outbox (type, at, data) values ('account.paused', 1, '{}')")
        .await
        .expect("written");
    town.meddle("update accounts set restored_at = 1").await.expect("written");
    let deps = town.deps().clone();
    let found = deps.heartbeat.clone().follow("poll".to_owned(), scrape(&town)).await;
    town.meddle("update accounts set restored_at = null").await.expect("written");
    town.meddle("delete from outbox_is_open").await.expect("written");
    town.meddle("delete from outbox").await.expect("written");
    let names = samples(&found).into_iter().map(|sample| sample.name).collect();
    town.finish_all().await;
    town.check().await;
    names
}

#[tokio::test]
async fn alerts_and_dashboard_name_only_metrics_that_a_scrape_has() {
    let mut scraped = scraped().await;
    // What only workers that share a database tell.
    let of_a_fleet = ["unlockd_owner_served", "unlockd_lease_left_seconds", "unlockd_lease_seconds"];
    scraped.extend(of_a_fleet.map(str::to_owned));
    // What only one of the engines tells.
    let of_the_other = match is_on_postgres() {
        true => ["unlockd_state_free_bytes", "unlockd_db_wal_size_bytes"],
        false => ["unlockd_postgres_info", "unlockd_postgres_connections"],
    };
    scraped.extend(of_the_other.map(str::to_owned));
    let (alerts, dashboard) = (config_file("alerts.yml"), config_file("grafana-dashboard.json"));
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = parsed["panels"].as_array().expect("panels");
    let ids: BTreeSet<i64> = panels.iter().filter_map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    assert!(
        panels.iter().all(|panel| panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()))
    );
    for (file, text) in [("alerts.yml", &alerts), ("grafana-dashboard.json", &dashboard)] {
        let named = named(text);
        assert!(named.len() > 10, "{file} names {} metrics", named.len());
        let unknown: Vec<_> = named.iter().filter(|name| !scraped.contains(**name)).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    // A metric that no dashboard or alert uses is not worth its place.
    let bare = |name: &str| !["_sum", "_count"].iter().any(|end| name.ends_with(end));
    let unused: Vec<_> = scraped
        .iter()
        .filter(|name| bare(name) && !dashboard.contains(name.as_str()) && !alerts.contains(name.as_str()))
        .filter(|name| !name.ends_with("_timestamp_seconds") && *name != "unlockd_daily_limit_remaining")
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn every_alert_has_a_summary_a_runbook_and_a_test() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts/alerts_test.yml");
    let tests = std::fs::read_to_string(path).expect("readable");
    let alerts = config_file("alerts.yml");
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() >= 12, "{}", rules.len());
    for rule in rules {
        let name = rule.lines().next().expect("a name");
        for part in ["severity: ", "summary: ", "description: ", "runbook: "] {
            assert_eq!(rule.matches(part).count(), 1, "{name}: {part}");
        }
        assert!(tests.contains(&format!("- name: \"{name}: ")), "{name} has no test");
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is never seen to fire");
    }
}
