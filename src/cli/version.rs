//! What `unlockd --version` says: enough for a report to name exactly what runs.

use std::io::Write;
use std::process::ExitCode;

use super::block_on;
use crate::store::{postgres, sqlite};

/// The commit that a release was built from; empty where it is not known.
const COMMIT: &str = env!("BUILD_COMMIT");

/// Prints the program's version, its commit and its engines, a line each.
pub(super) fn print() -> ExitCode {
    let printed = block_on(async {
        let commit = if COMMIT.is_empty() { "not known: this is no release build" } else { COMMIT };
        write!(
            std::io::stdout(),
            "unlockd {}\ncommit: {commit}\nSQLite: {} (built in)\nPostgreSQL: a server of version {} or newer\n",
            env!("CARGO_PKG_VERSION"),
            sqlite::version().await?,
            postgres::OLDEST
        )?;
        Ok(())
    });
    if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
