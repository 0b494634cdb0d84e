//! The list of configuration keys: what exists, how its text in an environment variable is read, and what
//! takes effect without a restart.
//!
//! Everything that must know all keys asks this list: the check for unknown keys and its suggestions, the
//! environment layer, [`changes`](super::changes()). Tests hold it against `config/default.toml`, so a key
//! cannot be in one and not in the other.

/// How the text of an environment variable becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Taken as it stands: `007` and `true` stay text.
    Text,
    Bool,
    Whole,
    List,
}

#[derive(Debug)]
pub(super) struct Key {
    /// The dotted path; `*` stands for an account name.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// Takes effect without a restart.
    pub(super) live: bool,
}

const fn key(path: &'static str, kind: Kind, live: bool) -> Key {
    Key { path, kind, live }
}

pub(super) const KEYS: &[Key] = &[
    key("database", Kind::Text, false),
    key("api.base_url", Kind::Text, false),
    key("api.call_source", Kind::Text, false),
    key("api.timeout", Kind::Text, false),
    key("accounts.*.api_key", Kind::Text, true),
    key("accounts.*.api_key_file", Kind::Text, true),
    key("inbox.watch", Kind::Bool, true),
    key("inbox.interval", Kind::Text, true),
    key("inbox.database", Kind::Text, false),
    key("polling.steps", Kind::List, true),
    key("polling.give_up_after", Kind::Text, true),
    key("submit.batch_size", Kind::Whole, false),
    key("submit.precheck", Kind::Bool, false),
    key("submit.verify_after", Kind::Text, false),
    key("submit.decide_after", Kind::Text, false),
    key("credits.approve_above", Kind::Whole, true),
    key("credits.min_balance", Kind::Whole, true),
    key("credits.daily_limit", Kind::Whole, true),
    key("credits.price.email", Kind::Whole, true),
    key("credits.price.phone", Kind::Whole, true),
    key("credits.price.event", Kind::Whole, true),
    key("credits.price.search", Kind::Whole, true),
    key("rate_limit.per_minute", Kind::Whole, true),
    key("http.listen", Kind::Text, false),
    key("http.token_file", Kind::Text, false),
    key("notify.url", Kind::Text, false),
    key("notify.secret_file", Kind::Text, false),
    key("retention.contacts", Kind::Text, false),
    key("log.format", Kind::Text, false),
    key("log.level", Kind::Text, true),
];

/// What a path names.
#[derive(Debug)]
pub(super) enum Found {
    Key(&'static Key),
    /// A table with keys below it, not a value.
    Group,
    Unknown,
}

pub(super) fn look_up(path: &[&str]) -> Found {
    for key in KEYS {
        let segments: Vec<&str> = key.path.split('.').collect();
        let fits =
            |n: usize| path.iter().zip(&segments[..n]).all(|(given, known)| given == known || *known == "*");
        if segments.len() == path.len() && fits(path.len()) {
            return Found::Key(key);
        }
        if segments.len() > path.len() && fits(path.len()) {
            return Found::Group;
        }
    }
    Found::Unknown
}

/// The known key that was most likely meant, as a path with the account's name in place of `*`.
pub(super) fn nearest(path: &str) -> Option<String> {
    let account = match path.split('.').collect::<Vec<_>>()[..] {
        ["accounts", name, ..] => name,
        _ => "default",
    };
    let last = |p: &str| p.rsplit('.').next().unwrap_or_default().to_owned();
    let (distance, found) = KEYS
        .iter()
        .map(|key| key.path.replace('*', account))
        .map(|known| {
            // The right key in the wrong table is a nearer guess than any misspelling.
            let distance = if last(&known) == last(path) { 1 } else { edit_distance(&known, path) };
            (distance, known)
        })
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 3.max(path.len() / 4)).then_some(found)
}

/// The environment variable of a key.
pub(super) fn env_name(path: &str) -> String {
    format!("UNLOCKD_{}", path.replace('.', "__").to_uppercase())
}

/// Levenshtein's distance, in two rows.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_what_was_meant() {
        for (given, meant) in [
            ("submit.batch_sise", "submit.batch_size"),
            ("submit_batch_size", "submit.batch_size"),
            ("batch_size", "submit.batch_size"),
            ("accounts.crm.apikey", "accounts.crm.api_key"),
            ("api_key", "accounts.default.api_key"),
            ("databse", "database"),
            ("log.levle", "log.level"),
        ] {
            assert_eq!(nearest(given).as_deref(), Some(meant), "{given}");
        }
        assert_eq!(nearest("something.else.altogether"), None);
    }

    #[test]
    fn a_path_is_a_key_a_group_or_unknown() {
        assert!(matches!(look_up(&["submit", "batch_size"]), Found::Key(k) if k.kind == Kind::Whole));
        assert!(matches!(look_up(&["accounts", "x", "api_key"]), Found::Key(_)));
        assert!(matches!(look_up(&["credits", "price"]), Found::Group));
        assert!(matches!(look_up(&["credits", "prices"]), Found::Unknown));
        assert!(matches!(look_up(&["database", "path"]), Found::Unknown));
    }
}
