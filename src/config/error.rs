//! What can be wrong with a configuration, in words a person can act on.
//!
//! Every message names the key, where its value came from and what would be right. No message carries a
//! secret: a [`Problem`] is made without the value wherever the value may be one, and the excerpt that the
//! TOML parser prints below a syntax error is left out, since the broken line may be the key's.

use std::{fmt, io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {} ({named_by}): {cause}", path.display())]
    Unreadable {
        path: PathBuf,
        /// What made us look for this file.
        named_by: &'static str,
        cause: io::Error,
    },
    #[error("{}{position}: {message}", path.display())]
    Syntax {
        path: PathBuf,
        /// `, line 3, column 7`, or nothing when the parser does not know.
        position: String,
        message: String,
    },
    /// One line for each mistake; never empty.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key as it is written in the file, or the environment variable when it names no key.
    pub key: String,
    /// The value as far as it may be shown.
    pub shown: Option<String>,
    /// Where it came from; `None` for a key that is missing.
    pub origin: Option<String>,
    /// What is wrong and what would be right.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(shown) = &self.shown {
            write!(f, " = {shown}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " (from {origin})")?;
        }
        write!(f, ": {}", self.remedy)
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl ConfigError {
    /// From what the TOML parser says: its first line has the position, then comes the excerpt that must
    /// not be shown (`3 | api_key = ...`), then the reason.
    pub(super) fn syntax(path: PathBuf, said: &str) -> Self {
        let mut position = String::new();
        let mut reasons = Vec::new();
        for line in said.lines() {
            let after_number =
                line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
            if let Some(at) = line.strip_prefix("TOML parse error at ") {
                position = format!(", {at}");
            } else if !after_number.starts_with('|') && !line.trim().is_empty() {
                reasons.push(line.trim());
            }
        }
        Self::Syntax { path, position, message: reasons.join("; ") }
    }
}
