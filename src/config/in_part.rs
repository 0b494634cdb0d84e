//! Reads what it can of a configuration with mistakes, for commands that need little more than the database.
//!
//! A person who wants to stop a worker may have broken its file a moment ago. What must not happen: a command that finds
//! another database than the worker's, and says that it has paused something. So nothing is guessed where a mistake may
//! hide the database's name.

use std::path::Path;

use figment::value::Dict;

use super::layers::{self, Layers};
use super::{Config, ConfigError, Inputs, Problem, read, sources};

/// More broken lines than a person makes in one edit.
const MOST_LINES: usize = 20;

/// `error`: why it cannot be loaded. `None` where it is not sure which database is meant.
pub(super) fn load(inputs: &Inputs, error: &ConfigError) -> Option<Config> {
    if !matches!(error, ConfigError::Syntax { .. } | ConfigError::Invalid(_)) {
        return None;
    }
    let is_named = inputs.overrides.database.is_some();
    let mut above = false;
    let file = match sources::read_file(inputs, None).ok()? {
        Some((path, text)) => {
            let read = match legible(&path, &text) {
                None if is_named => Dict::new(),
                read => {
                    let (values, lost_above) = read?;
                    above = lost_above;
                    values
                }
            };
            Some((read, path, text))
        }
        None => None,
    };
    let (config, problems) = read::read_in_part(Layers::over(inputs, file).ok()?);
    let config = config?;
    above |= problems.iter().any(is_above);
    let is_given = config.database != layers::defaults().database;
    let is_sure = !problems.iter().any(may_name_it) && (is_given || !above);
    (is_named || is_sure).then_some(config)
}

/// Whether the mistake is about a database, or may be a misspelled name of it.
fn may_name_it(problem: &Problem) -> bool {
    [&problem.key, &problem.remedy].iter().any(|text| text.to_lowercase().contains("database"))
}

/// Whether the key is of no table, as the database's is.
fn is_above(problem: &Problem) -> bool {
    !problem.key.contains('.') && !problem.key.contains("__")
}

/// The values of a file without its broken lines, and whether one of those stood above the first table. `None` when a
/// broken line may be a table's or a database's name: the keys below it would be read as others.
fn legible(path: &Path, text: &str) -> Option<(Dict, bool)> {
    let mut lines: Vec<&str> = text.lines().collect();
    let opens_table = |line: &&str| line.trim_start().starts_with('[');
    let mut above = false;
    for _ in 0..=MOST_LINES {
        let place = match layers::parse(path, &lines.join("\n")) {
            Ok(values) => return Some((values, above)),
            Err(ConfigError::Syntax { place, .. }) => place,
            Err(_) => return None,
        };
        let at = place.line() - 1;
        let line = lines.get(at)?;
        if line.trim().is_empty() || opens_table(line) || line.contains("database") {
            return None;
        }
        above |= !lines[..at].iter().any(opens_table);
        lines[at] = "";
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, load_in_part};
    use super::*;

    /// The database and whether a mistake was left out; `None`: refused.
    fn found(text: &str, overrides: Overrides) -> Option<(String, bool)> {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("unlockd.toml"), text).expect("written");
        let inputs = Inputs { cwd: dir.path().to_owned(), overrides, ..Inputs::default() };
        let (config, error) = load_in_part(&inputs).ok()?;
        Some((config.database.display().to_string(), error.is_some()))
    }

    #[test]
    fn the_database_is_found_beside_another_mistake() {
        for (text, database) in [
            ("database = \"a.db\"\n[credits]\napprove_above = 10k\n", "a.db"),
            ("[credits]\napprove_above = 10k\n", "unlockd.db"),
            ("[credits]\napprove_above = \"many\"\n", "unlockd.db"),
            ("database = \"a.db\"\napprove_above = 5\nx = y\n", "a.db"),
            ("[credits]\naprove_above = 5\ndaily_limit = 1.5.3\n[api]\ntimeout = 5 s\n", "unlockd.db"),
        ] {
            assert_eq!(found(text, Overrides::default()), Some((database.to_owned(), true)), "{text}");
        }
    }

    #[test]
    fn what_may_hide_the_name_of_the_database_is_refused() {
        for text in [
            "database = a.db\n",
            "databse = \"a.db\"\n",
            "db = \"a.db\"\n",
            "db = a.db\n",
            "database = 5\n[credits\napprove_above = 5\n",
            // Its key would become the main database's.
            "[inbox\ndatabase = \"inbox.db\"\n",
            "x = y\n[inbox]\ndatabase = inbox.db\n",
            "[inbox]\ndatabse = \"inbox.db\"\n",
            "[credits]\ndatabase = \"a.db\"\n",
            "[polling]\nsteps = [\"3s\",\n[accounts.spare]\napi_key = \"k\"\n",
        ] {
            assert_eq!(found(text, Overrides::default()), None, "{text}");
            let named = Overrides { database: Some("named.db".into()), ..Overrides::default() };
            assert_eq!(found(text, named), Some(("named.db".to_owned(), true)), "{text}");
        }
    }

    #[test]
    fn a_file_without_mistakes_is_read_as_ever() {
        let text = "database = \"a.db\"\n";
        assert_eq!(found(text, Overrides::default()), Some(("a.db".to_owned(), false)));
    }
}
