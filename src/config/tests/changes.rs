//! What a change of each key does: it applies at once, or at the next start.

use super::super::suggest::{keys, variable};
use super::*;

/// One other value for each key.
fn another(path: &str) -> &'static str {
    match path {
        "api.base_url" => "http://localhost:1",
        "api.call_source" => "agent",
        "postgres.durability" => "verify",
        "inbox.watch" | "submit.precheck" | "credits.approve_from_inbox" => "false",
        "http.allowed_hosts" => "[\"unlockd\"]",
        "polling.steps" => "[\"1s\"]",
        "http.listen" => "127.0.0.1:1",
        "notify.url" => "https://example.com/",
        "notify.events" => "[\"job.in_doubt\"]",
        "notify.allow_http" => "true",
        "api.proxy" => "http://proxy:3128",
        "log.format" => "json",
        "log.level" => "debug",
        "database" | "inbox.database" | "http.token_file" | "notify.secret_file" => "/other",
        p if p.starts_with("accounts") => "other",
        p if p.ends_with("size") || p.starts_with("credits") || p.starts_with("rate") => "42",
        _ => "42s",
    }
}

#[test]
fn every_key_is_settable_from_the_environment_and_its_change_is_live_as_the_contract_says() {
    for key in keys() {
        let env = [("UNLOCKD_NOTIFY__SECRET_FILE", "/secret")];
        let old = place("").env(&env);
        let mut new = place("").env(&env);
        new.inputs.env.retain(|(name, _)| *name != variable(&key));
        let new = new.env(&[(&variable(&key), another(&key))]);
        let seen = changes(&old.load(), &new.load());
        let (named, other) =
            if is_live(&key) { (seen.live, seen.needs_restart) } else { (seen.needs_restart, seen.live) };
        assert_eq!(named, std::slice::from_ref(&key));
        assert!(other.is_empty(), "{key}: {other:?}");
    }
}

/// Whether the contract says that the key applies at once.
pub(super) fn is_live(key: &str) -> bool {
    let groups = ["inbox.", "polling.", "credits.", "rate_limit.", "accounts."];
    key == "log.level" || (key != "inbox.database" && groups.iter().any(|group| key.starts_with(group)))
}

/// A change that waits for a restart is not forgotten when a live key changes.
#[test]
fn a_key_that_is_not_live_keeps_its_value_and_differs_at_each_look() {
    let (running, new) = (
        place("").load(),
        place("submit.batch_size = 7\ncredits.min_balance = 7\ncredits.monthly_limit = 8").load(),
    );
    let now = in_force(&running, new.clone());
    assert_eq!((now.submit.batch_size, now.credits.min_balance), (100, 7));
    assert_eq!(now.credits.monthly_limit, Some(8), "live");
    assert_eq!(now.origin, new.origin);
    let again = changes(&now, &new);
    assert_eq!((again.live, again.needs_restart), (vec![], vec!["submit.batch_size".to_owned()]));
}

#[test]
fn an_account_that_comes_or_goes_is_a_live_change() {
    let (without, with) = (place("").load(), place("[accounts.crm]").load());
    let keys = ["accounts.crm.api_key", "accounts.crm.api_key_file", "accounts.crm.owner"];
    assert_eq!(
        (changes(&without, &with).live, changes(&with, &without).live),
        (keys.map(String::from).into(), keys.map(String::from).into())
    );
    let (one, two) = (place("accounts.a.api_key = '1'").load(), place("accounts.a.api_key = '2'").load());
    assert_eq!(changes(&one, &two).live, ["accounts.a.api_key"]);
    assert!(changes(&one, &one.clone()).is_empty());
}

#[test]
fn tokens_of_the_http_api_are_live_and_the_rest_of_its_table_is_not() {
    let running = place("").load();
    let tokens = "http.tokens.crm = { token_file = '/t', scopes = ['read'] }";
    let new = place(&format!("http.allowed_hosts = ['unlockd']\n{tokens}")).load();
    let now = in_force(&running, new.clone());
    assert!(now.http.tokens.contains_key("crm") && now.http.allowed_hosts.is_empty());
    let seen = changes(&running, &new);
    assert_eq!(seen.needs_restart, ["http.allowed_hosts"]);
    assert!(
        !seen.live.is_empty() && seen.live.iter().all(|key| key.starts_with("http.tokens.crm.")),
        "{seen:?}"
    );
}
