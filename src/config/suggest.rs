//! All keys, and a suggestion for a key that does not exist.

use super::{changes, layers};

/// The dotted paths of all keys. Of the accounts, `default` stands for each.
pub(super) fn keys() -> Vec<String> {
    changes::keys(&layers::defaults())
}

/// The most similar key, with the account's name that was given.
pub(super) fn nearest(path: &str) -> Option<String> {
    let account = match path.split('.').collect::<Vec<_>>()[..] {
        ["accounts", name, ..] => name,
        _ => "default",
    };
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let of_tokens = match path.split('.').collect::<Vec<_>>()[..] {
        ["http", "tokens", name, ..] => ["token_file", "scopes", "accounts", "daily_credits"]
            .map(|key| format!("http.tokens.{name}.{key}"))
            .into(),
        _ => vec![],
    };
    let (distance, found) = keys()
        .iter()
        .chain(&of_tokens)
        .map(|key| key.replace("accounts.default.", &format!("accounts.{account}.")))
        .map(|known| {
            // The right key in the wrong table is a better guess than any misspelling.
            let distance = if last(&known) == last(path) { 1 } else { strsim::levenshtein(&known, path) };
            (distance, known)
        })
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 3.max(path.len() / 4)).then_some(found)
}

pub(super) fn unknown(nearest: Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("there is no such key; did you mean {nearest}?"),
        None => "there is no such key; see config/default.toml for all keys".to_owned(),
    }
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("UNLOCKD_{}", key.replace('.', "__").to_uppercase())
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
            ("http.tokens.crm.scope", "http.tokens.crm.scopes"),
            ("databse", "database"),
            ("log.levle", "log.level"),
        ] {
            assert_eq!(nearest(given).as_deref(), Some(meant), "{given}");
        }
        assert_eq!(nearest("something.else.altogether"), None);
    }
}
