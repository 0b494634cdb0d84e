//! Which keys differ between two configurations, and which of those take effect without a restart.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::{Account, Config, keys::KEYS};

/// The dotted keys that differ, in the order of `config/default.toml`; `accounts.*` stands for any account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub live: Vec<&'static str>,
    pub needs_restart: Vec<&'static str>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.needs_restart.is_empty()
    }
}

/// Compares values only: the same value from another file is no change. A key file whose content changed
/// is none either; [`read_key`](super::read_key) sees that.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let mut changes = Changes::default();
    for key in KEYS {
        if !differs(key.path, old, new) {
            continue;
        }
        if key.live {
            changes.live.push(key.path);
        } else {
            changes.needs_restart.push(key.path);
        }
    }
    changes
}

fn differs(path: &str, old: &Config, new: &Config) -> bool {
    match path {
        "database" => old.database != new.database,
        "api.base_url" => old.api.base_url != new.api.base_url,
        "api.call_source" => old.api.call_source != new.api.call_source,
        "api.timeout" => old.api.timeout != new.api.timeout,
        // An account without any key is seen here too: its name is in one map only.
        "accounts.*.api_key" => inline_keys(&old.accounts) != inline_keys(&new.accounts),
        "accounts.*.api_key_file" => key_files(&old.accounts) != key_files(&new.accounts),
        "inbox.watch" => old.inbox.watch != new.inbox.watch,
        "inbox.interval" => old.inbox.interval != new.inbox.interval,
        "inbox.database" => old.inbox.database != new.inbox.database,
        "polling.steps" => old.polling.steps != new.polling.steps,
        "polling.give_up_after" => old.polling.give_up_after != new.polling.give_up_after,
        "submit.batch_size" => old.submit.batch_size != new.submit.batch_size,
        "submit.precheck" => old.submit.precheck != new.submit.precheck,
        "submit.verify_after" => old.submit.verify_after != new.submit.verify_after,
        "submit.decide_after" => old.submit.decide_after != new.submit.decide_after,
        "credits.approve_above" => old.credits.approve_above != new.credits.approve_above,
        "credits.min_balance" => old.credits.min_balance != new.credits.min_balance,
        "credits.daily_limit" => old.credits.daily_limit != new.credits.daily_limit,
        "credits.price.email" => old.credits.price.email != new.credits.price.email,
        "credits.price.phone" => old.credits.price.phone != new.credits.price.phone,
        "credits.price.event" => old.credits.price.event != new.credits.price.event,
        "credits.price.search" => old.credits.price.search != new.credits.price.search,
        "rate_limit.per_minute" => old.rate_limit.per_minute != new.rate_limit.per_minute,
        "http.listen" => old.http.listen != new.http.listen,
        "http.token_file" => old.http.token_file != new.http.token_file,
        "notify.url" => old.notify.url != new.notify.url,
        "notify.secret_file" => old.notify.secret_file != new.notify.secret_file,
        "retention.contacts" => old.retention.contacts != new.retention.contacts,
        "log.format" => old.log.format != new.log.format,
        "log.level" => old.log.level != new.log.level,
        other => unreachable!("the key {other} is compared nowhere: a test walks all keys"),
    }
}

fn inline_keys(accounts: &BTreeMap<String, Account>) -> Vec<(&String, Option<&str>)> {
    let inline = |account: &'_ Account| account.api_key.is_some() || account.api_key_file.is_none();
    accounts
        .iter()
        .filter(|(_, account)| inline(account))
        .map(|(name, account)| (name, account.api_key.as_ref().map(ExposeSecret::expose_secret)))
        .collect()
}

fn key_files(accounts: &BTreeMap<String, Account>) -> Vec<(&String, &std::path::PathBuf)> {
    accounts
        .iter()
        .filter_map(|(name, account)| account.api_key_file.as_ref().map(|file| (name, file)))
        .collect()
}
