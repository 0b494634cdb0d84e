//! `unlockd check`: is everything in place? One line for each item, with a fix for each problem.
//!
//! Costs no credits: the one call it makes for each account reads the balance. Never shows a key,
//! only its fingerprint.

mod accounts;
mod network;
mod server;
mod workers;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::findings::{Findings, tell};
use super::{Context, Outcome, open, place};
use crate::config::{self, Config, ConfigError};
use crate::store::disk;
use crate::store::inbox::{self, fault};
use crate::store::place::Place;
use crate::store::{Store, StoreError};

/// As long as a server may take for an answer, and to make the tables.
const OPENS_WITHIN: Duration = Duration::from_secs(60);

/// Below this the disk is about to be full.
const LEAST_FREE_BYTES: u64 = 256 << 20;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd check
  unlockd check --offline --json

Costs no credits: it reads the balance of each account, and nothing else.
Exit code 0: all is well, or there are warnings; 2: the configuration is wrong, or a key is missing or
cannot be read; 4: the database is of another version, or was closed by copy; 1: another problem, such as
a key that the API refuses.")]
pub(super) struct Args {
    /// Make no call
    #[arg(long)]
    offline: bool,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let mut findings = Findings::default();
    match config::load(&context.inputs()) {
        Err(ConfigError::Invalid(problems)) => {
            problems.iter().for_each(|problem| findings.problem("configuration", problem.to_string(), 2));
        }
        Err(error) => findings.problem("configuration", error.to_string(), 2),
        Ok(config) => {
            let origin = match &config.origin {
                Some(file) => format!("read from {}", file.display()),
                None => "no file: defaults and environment".to_owned(),
            };
            findings.ok("configuration", origin);
            config_mode(&mut findings, &config);
            let database = database(&mut findings, &config).await;
            let is_writable = database.as_ref().is_some_and(|(_, is_writable)| *is_writable);
            let store = database.map(|(store, _)| store);
            let usable = accounts::keys(&mut findings, &config, store.as_ref()).await;
            if let Some(store) = &store {
                accounts::unconfigured(&mut findings, &config, store).await;
                accounts::stopped(&mut findings, &config, store).await;
                accounts::distrusted(&mut findings, &config, store).await;
            }
            network::http(&mut findings, &config, store.as_ref()).await;
            network::tokens(&mut findings, &config);
            network::webhook(&mut findings, &config);
            network::proxy(&mut findings, &config);
            match (store, args.offline) {
                (_, true) => {}
                (Some(_), false) if !is_writable => findings.warn(
                    "api",
                    "not checked: a call is recorded in the database first, and the database cannot be written",
                    "see above, then check again",
                ),
                (Some(store), false) => {
                    accounts::api(&mut findings, &config, store.clone(), &usable).await?;
                    accounts::owners(&mut findings, &config, &store, &usable).await;
                }
                (None, false) => findings.problem(
                    "api",
                    "not checked: a call is recorded in the database first, and the database failed",
                    1,
                ),
            }
        }
    }
    tell(&findings.0, args.json)
}

/// A configuration file that holds a key is as secret as the key.
fn config_mode(findings: &mut Findings, config: &Config) {
    let Some(path) = &config.origin else { return };
    let holds_key = config.accounts.values().any(|account| account.api_key.is_some());
    if holds_key
        && std::env::var_os("LENSMOR_API_KEY").is_none_or(|key| key.is_empty())
        && mode(path) & 0o077 != 0
    {
        let path = path.display();
        let detail = format!("{path} holds an API key, and other users can read it");
        findings.warn(
            "file modes",
            detail,
            format!("chmod 600 {path}, or name a key file: accounts.NAME.api_key_file"),
        );
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).map(|found| found.permissions().mode() & 0o777).unwrap_or_default()
}

/// With whether it can be written.
async fn database(findings: &mut Findings, config: &Config) -> Option<(Store, bool)> {
    let path = &config.database;
    let is_on_server = Place::is_server(path);
    let is_new = !is_on_server && !path.exists();
    // Making the tables of a new one ends with a commit.
    let opened = tokio::time::timeout(OPENS_WITHIN, open(config)).await;
    let late = "it did not open in time: a lock is held there, or its commits wait for a standby";
    let store = match opened.unwrap_or_else(|_| Err(StoreError::open(path, late))) {
        Ok(store) => store,
        Err(error @ StoreError::Schema { .. }) => {
            findings.problem("database", error.to_string(), 4);
            return None;
        }
        Err(error) if !is_on_server && Place::obstacle(path).is_some() => {
            findings.problem("database", error.to_string(), 1);
            return None;
        }
        Err(error) => {
            let fix = match is_on_server {
                true => {
                    "make sure that the server runs, that it lets this role in, and that the role may make tables there"
                }
                false => {
                    "make sure that the file is a database of unlockd, and not damaged (unlockd help upgrade: restoring a backup)"
                }
            };
            findings.fail("database", error.to_string(), fix, 1);
            return None;
        }
    };
    // Opening checks the mode, WAL, synchronous=FULL and the schema.
    let made = if is_new { ", just created" } else { "" };
    let shown = path.display();
    let mode_of_file = mode(path);
    let mut is_writable = true;
    match is_on_server {
        true => is_writable = server::server(findings, config, &store).await,
        false => {
            findings.ok(
                "database",
                format!("{shown}{made}: opens, WAL, synchronous=FULL, mode {mode_of_file:04o}"),
            );
            for (what, fix) in place::problems(path) {
                findings.fail("place", what, fix, 1);
            }
        }
    }
    inbox(findings, &store).await;
    if !is_on_server {
        space(findings, path);
    }
    workers::workers(findings, &store).await;
    Some((store, is_writable))
}

/// An inbox with a file of its own, and what the worker has noted about it.
async fn inbox(findings: &mut Findings, store: &Store) {
    const FIX: &str =
        "repair the file, or put a copy back: intake goes on by itself, and nothing else waits for it";
    let faults = fault::read(store).await.unwrap_or_default();
    let path = store.inbox_path();
    match inbox::probe(store).await {
        Err(error) => findings.fail("inbox", error.to_string(), FIX, 1),
        Ok(_) if store.has_inbox_file() => {
            findings.ok("inbox", format!("{}: opens, mode {:04o}", path.display(), mode(path)));
        }
        Ok(_) => {}
    }
    for fault in faults {
        findings.warn(
            "inbox",
            fault.what(),
            "look at the triggers and programs that use it; it is tried again",
        );
    }
}

fn space(findings: &mut Findings, path: &Path) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = directory.display();
    let found = match rustix::fs::statvfs(directory) {
        Ok(found) => found,
        Err(error) => return findings.problem("disk", format!("{shown}: {error}"), 1),
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} MiB free in {shown}", free >> 20);
    if free < disk::NEEDED_BYTES {
        findings.fail("disk", format!("{text}: too little, so nothing is bought"), "make room", 1);
    } else if free < LEAST_FREE_BYTES {
        findings.warn("disk", text, "make room: a full disk stops the worker");
    } else {
        findings.ok("disk", text);
    }
}
