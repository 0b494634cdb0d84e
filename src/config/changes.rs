//! Which keys differ between two configurations, and which of those take effect without a restart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Config, Http, Inbox, Log};

/// The dotted keys that differ, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub live: Vec<String>,
    pub needs_restart: Vec<String>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.needs_restart.is_empty()
    }
}

/// The configuration to use after `new` was read: the live keys of `new`, and all other keys of `running`.
/// Only this function says which keys are live. A difference in the others is reported at each read.
pub fn in_force(running: &Config, new: Config) -> Config {
    Config {
        accounts: new.accounts,
        inbox: Inbox { database: running.inbox.database.clone(), ..new.inbox },
        polling: new.polling,
        credits: new.credits,
        rate_limit: new.rate_limit,
        http: Http { tokens: new.http.tokens, ..running.http.clone() },
        log: Log { level: new.log.level, ..running.log.clone() },
        origin: new.origin,
        ..running.clone()
    }
}

/// Compares values only: the same value from another file is not a change, nor is new content of a key
/// file; [`read_key`](super::read_key) notices that.
pub fn changes(running: &Config, new: &Config) -> Changes {
    let needs_restart = differences(&in_force(running, new.clone()), new);
    let mut live = differences(running, new);
    live.retain(|key| !needs_restart.contains(key));
    Changes { live, needs_restart }
}

/// The dotted paths of all keys.
pub(super) fn keys(config: &Config) -> Vec<String> {
    flat(config).into_keys().collect()
}

fn differences(one: &Config, other: &Config) -> Vec<String> {
    let (one, other) = (flat(one), flat(other));
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    keys.into_iter().filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

/// Each key's path, with a text that differs if the value differs.
fn flat(config: &Config) -> BTreeMap<String, Value> {
    fn walk(path: String, value: Value, found: &mut BTreeMap<String, Value>) {
        let Value::Object(below) = value else {
            found.insert(path, value);
            return;
        };
        let prefix = if path.is_empty() { path } else { path + "." };
        below.into_iter().for_each(|(name, value)| walk(format!("{prefix}{name}"), value, found));
    }
    let tree = serde_json::to_value(config).expect("texts, truth values, and tables with texts as keys");
    let mut found = BTreeMap::new();
    walk(String::new(), tree, &mut found);
    found
}
