//! What a change of each key comes to: in force at once, or with the next start.

use super::super::keys::{self, KEYS};
use super::*;

/// One other value for each key.
fn another(path: &str) -> &'static str {
    match path {
        "api.base_url" => "http://localhost:1",
        "api.call_source" => "agent",
        "inbox.watch" | "submit.precheck" => "false",
        "polling.steps" => "[\"1s\"]",
        "http.listen" => "127.0.0.1:1",
        "notify.url" => "https://example.com/",
        "log.format" => "json",
        "log.level" => "debug",
        "database" | "inbox.database" | "http.token_file" | "notify.secret_file" => "/other",
        p if p.starts_with("accounts") => "other",
        p if p.ends_with("size") || p.starts_with("credits") || p.starts_with("rate") => "42",
        _ => "42s",
    }
}

#[test]
fn every_key_is_settable_from_the_environment_and_its_change_is_seen() {
    for key in KEYS {
        let path = key.path.replace('*', "default");
        let env = [("UNLOCKD_NOTIFY__SECRET_FILE", "/secret")];
        let old = place("").env(&env);
        let mut new = place("").env(&env);
        new.inputs.env.retain(|(name, _)| *name != keys::env_name(&path));
        let new = new.env(&[(&keys::env_name(&path), another(key.path))]);
        let seen = changes(&old.load(), &new.load());
        let (named, other) =
            if key.live { (seen.live, seen.needs_restart) } else { (seen.needs_restart, seen.live) };
        // A key file takes the place of a key: both are keys, and both are live.
        assert!(named.contains(&key.path), "{path}: {named:?}");
        assert!(other.is_empty(), "{path}: {other:?}");
    }
}

#[test]
fn what_is_live_is_what_the_contract_says() {
    let live = |path: &str| {
        let groups = ["inbox.", "polling.", "credits.", "rate_limit.", "accounts."];
        path == "log.level" || (path != "inbox.database" && groups.iter().any(|g| path.starts_with(g)))
    };
    for key in KEYS {
        assert_eq!(key.live, live(key.path), "{}", key.path);
    }
}

#[test]
fn an_account_that_comes_or_goes_is_a_live_change() {
    let (without, with) = (place("").load(), place("[accounts.crm]").load());
    assert_eq!(changes(&without, &with).live, ["accounts.*.api_key"]);
    let (one, two) = (place("accounts.a.api_key = '1'").load(), place("accounts.a.api_key = '2'").load());
    assert_eq!(changes(&one, &two).live, ["accounts.*.api_key"]);
    assert!(changes(&one, &one.clone()).is_empty());
}
