//! The default file: it explains every key, and its values are valid by themselves.

use std::time::Duration;

use super::super::layers::DEFAULTS;
use super::super::suggest::keys;
use super::changes::is_live;
use super::*;

#[test]
fn the_defaults_are_those_of_the_contract() {
    let c = place("").load();
    let s = Duration::from_secs;
    assert_eq!(c.database, PathBuf::from("unlockd.db"));
    assert_eq!(c.postgres.durability, Durability::Synchronous);
    assert_eq!(c.api.base_url, "https://platform.lensmor.com");
    assert_eq!((c.api.call_source, c.api.timeout), (CallSource::Api, s(30)));
    assert_eq!(c.accounts.keys().collect::<Vec<_>>(), ["default"]);
    assert!(read_key(&c.accounts["default"]).unwrap().is_none());
    assert_eq!((c.inbox.watch, c.inbox.interval, c.inbox.database), (true, s(1), None));
    assert_eq!(c.polling.steps, [s(3), s(5), s(10)]);
    assert_eq!(c.polling.give_up_after, s(24 * 3600));
    assert_eq!((c.submit.batch_size, c.submit.precheck), (100, true));
    assert_eq!((c.submit.verify_after, c.submit.decide_after), (s(30), s(15 * 60)));
    assert_eq!((c.credits.approve_above, c.credits.min_balance, c.credits.daily_limit), (1500, 0, None));
    assert_eq!(c.credits.monthly_limit, None);
    let p = &c.credits.price;
    assert_eq!((p.email, p.phone, p.search), (15, 150, 50));
    assert_eq!((p.event, p.visitors, p.full_access), (2000, 3000, 5000));
    assert_eq!((c.rate_limit.per_minute, c.rate_limit.per_address), (120, 600));
    assert_eq!((c.http.listen.as_str(), c.http.token_file), ("127.0.0.1:8787", None));
    assert_eq!((c.notify.url, c.notify.secret_file, c.notify.allow_http), (None, None, false));
    let all_but_contacts =
        ["request.finished", "request.awaiting_approval", "job.in_doubt", "account.paused", "budget.warning"];
    assert_eq!(c.notify.events, all_but_contacts);
    assert_eq!(c.api.proxy, None);
    assert_eq!(c.retention.contacts, None);
    assert_eq!((c.log.format, c.log.level.as_str()), (LogFormat::Auto, "info"));
}

/// `default.toml` with its commented-out keys made real.
pub(super) fn defaults_uncommented() -> String {
    let is_key = |rest: &str| {
        let name = rest.split(" = ").next().unwrap_or_default();
        rest.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    DEFAULTS.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Each key of `default.toml` with the comment above it.
pub(super) fn documented() -> Vec<(String, String)> {
    let (mut group, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in defaults_uncommented().lines() {
        if let Some(name) = line.strip_prefix('[') {
            group = format!("{}.", name.trim_end_matches(']'));
        } else if line.starts_with('#') {
            comment += line;
            continue;
        } else if let Some((name, _)) = line.split_once(" = ") {
            found.push((format!("{group}{name}"), std::mem::take(&mut comment)));
        }
        comment.clear();
    }
    found
}

#[test]
fn the_default_file_explains_every_key_and_no_other() {
    let documented = documented();
    let mut names: Vec<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
    let mut known = keys();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
    for (name, comment) in &documented {
        assert!(comment.len() > 10, "{name} has no comment");
        assert_eq!(comment.contains("(live)"), is_live(name), "{name}");
    }
}

#[test]
fn the_examples_in_the_default_file_are_valid() {
    let said = place(&defaults_uncommented()).error();
    // Both ways to give a key are shown, and nothing else is wrong.
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("keep one of the two"), "{said}");
}

#[test]
fn a_copy_of_the_default_file_changes_nothing() {
    let (ours, copy) = (place("").load(), place(DEFAULTS).load());
    assert!(changes(&ours, &copy).is_empty());
}
