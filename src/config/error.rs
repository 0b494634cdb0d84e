//! Mistakes in a configuration, in words that a person can act on.
//!
//! Every message names the key, the origin of its value and the fix. No message carries a
//! secret: a [`Problem`] is made without the value wherever the value may be one, and the excerpt that the
//! TOML parser prints below a syntax error is left out, since the broken line may be the key's.

use std::{fmt, io, path::PathBuf};

use super::rules;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {} ({why_this}): {cause}", path.display())]
    Unreadable {
        path: PathBuf,
        /// The reason why this file is read.
        why_this: &'static str,
        cause: io::Error,
    },
    /// Only for a running configuration: at the start an empty file is simply one without keys.
    #[error("the configuration file {} is empty now", path.display())]
    Empty { path: PathBuf },
    /// It names the server that gets the key.
    #[error(
        "the configuration file {0} of the working directory is not used: {why}. If it is meant, name it: --config {0}; \
         else run this in another folder", path.display()
    )]
    Untrusted { path: PathBuf, why: String },
    #[error("{}, {place}: {message}", path.display())]
    Syntax { path: PathBuf, place: Place, message: String },
    /// One line for each mistake; never empty.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

/// A place in a file, as editors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    line: usize,
    /// In characters.
    column: usize,
}

impl Place {
    /// `before`: the text up to it.
    pub(super) fn after(before: &str) -> Place {
        let begun = before.rsplit('\n').next().unwrap_or_default();
        Place { line: before.matches('\n').count() + 1, column: begun.chars().count() + 1 }
    }

    /// Counted from 1.
    pub(super) fn line(self) -> usize {
        self.line
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key as written in the file, or the environment variable if it names no key.
    pub key: String,
    /// The value, if it may be shown.
    pub shown: Option<String>,
    /// Its origin; `None` for a missing key.
    pub origin: Option<String>,
    /// The mistake and the fix.
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

impl Problem {
    /// A variable that names no key, or whose value cannot be used.
    pub(super) fn of_variable(name: &str, remedy: String) -> Self {
        let origin = Some("the environment".to_owned());
        Self { key: name.escape_debug().to_string(), shown: None, origin, remedy }
    }
}

/// A path as written in a file: unusual names in quotes, and nothing that could break a line.
pub(super) fn written(path: &[String]) -> String {
    let quoted = |name: &String| match rules::account_name(name) {
        Ok(()) => name.clone(),
        Err(_) => format!("{name:?}"),
    };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}
