//! `unlockd check`: is everything in place? One line for each thing, with the mend for what is wrong.
//!
//! Costs no credits: the one call it makes for each account reads the balance. Never shows a key,
//! only its fingerprint.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;

use super::account::{Fresh, deps, fresh_balance, no_key};
use super::{Context, Failure, Outcome, open, show};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::AccountId;
use crate::store::{Store, lease};
use crate::worker::gate::Key;

/// Below this the disk is about to be full.
const LEAST_FREE_BYTES: u64 = 256 << 20;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd check
  unlockd check --offline --json

Exit code 0: all is well; 2: the configuration or a key is wrong; 1: something else is.")]
pub(super) struct Args {
    /// Make no call
    #[arg(long)]
    offline: bool,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Finding {
    check: String,
    ok: bool,
    detail: String,
    #[serde(skip)]
    code: u8,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Finding { check: check.into(), ok: true, detail: detail.into(), code: 0 });
    }

    fn problem(&mut self, check: impl Into<String>, detail: impl Into<String>, code: u8) {
        self.0.push(Finding { check: check.into(), ok: false, detail: detail.into(), code });
    }
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let mut findings = Findings::default();
    match config::load(&context.inputs()) {
        Err(error) => findings.problem("configuration", error.to_string(), 2),
        Ok(config) => {
            let origin = match &config.origin {
                Some(file) => format!("read from {}", file.display()),
                None => "no file: defaults and environment".to_owned(),
            };
            findings.ok("configuration", origin);
            let store = database(&mut findings, &config).await;
            let usable = keys(&mut findings, &config);
            webhook(&mut findings, &config);
            match (store, args.offline) {
                (_, true) => {}
                (Some(store), false) => api(&mut findings, &config, store, &usable).await?,
                (None, false) => {
                    findings.problem("api", "not asked: a call is booked in the database first", 1)
                }
            }
        }
    }
    tell(&findings.0, args.json)
}

async fn database(findings: &mut Findings, config: &Config) -> Option<Store> {
    let path = &config.database;
    let is_new = !path.exists();
    let store = match open(config).await {
        Ok(store) => store,
        Err(error) => {
            let mend = "see that the directory exists and is writable, and that the file is a database of this version";
            findings.problem("database", format!("{error}; {mend}"), 1);
            return None;
        }
    };
    // Opening checks the mode, WAL and synchronous=FULL, and brings the schema up to date.
    let mode = std::fs::metadata(path).map(|found| found.permissions().mode() & 0o777).unwrap_or_default();
    let made = if is_new { ", made just now" } else { "" };
    findings
        .ok("database", format!("{}{made}: opens, WAL, synchronous=FULL, mode {mode:04o}", path.display()));
    space(findings, path);
    match lease::read(&store).await {
        Ok(row) if row.is_alive(Clock::real().now()) => {
            findings.ok("worker", format!("running, process {}", row.pid));
        }
        Ok(_) => findings.ok("worker", "none is running; start one: unlockd run"),
        Err(error) => findings.problem("worker", error.to_string(), 1),
    }
    Some(store)
}

fn space(findings: &mut Findings, path: &Path) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(directory) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let text = format!("{} MiB free in {}", free >> 20, directory.display());
            if free < LEAST_FREE_BYTES {
                findings.problem("disk", format!("{text}: make room; a full disk stops the worker"), 1);
            } else {
                findings.ok("disk", text);
            }
        }
        Err(error) => findings.problem("disk", format!("{}: {error}", directory.display()), 1),
    }
}

/// Returns the accounts with a key that can be read.
fn keys(findings: &mut Findings, config: &Config) -> Vec<AccountId> {
    let mut usable = Vec::new();
    let several = config.accounts.len() > 1;
    for (name, account) in &config.accounts {
        let (id, check) = (AccountId::trusted(name.clone()), format!("key of {name}"));
        match config::read_key(account) {
            Ok(Some(secret)) => {
                findings.ok(check, format!("readable, fingerprint {}", Key::new(secret).fingerprint));
                usable.push(id);
            }
            Ok(None) if several && name == "default" => findings.ok(check, "none; the account is not used"),
            Ok(None) => findings.problem(check, no_key(&id), 2),
            Err(error) => findings.problem(check, error.to_string(), 2),
        }
    }
    usable
}

/// Nobody is told anything here: a receiver would take a trial for news.
fn webhook(findings: &mut Findings, config: &Config) {
    let (Some(url), Some(secret_file)) = (&config.notify.url, &config.notify.secret_file) else { return };
    // The path may be a secret of the receiver's.
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_default();
    match config::read_signing_secrets(secret_file) {
        Ok(secrets) => {
            let signed = show::plural(secrets.len() as i64, "secret");
            findings.ok("webhook", format!("messages go to {host}, signed with {signed}; not asked"));
        }
        Err(error) => findings.problem("webhook", error.to_string(), 2),
    }
}

async fn api(
    findings: &mut Findings,
    config: &Config,
    store: Store,
    usable: &[AccountId],
) -> Result<(), Failure> {
    let deps = deps(store, config).await?;
    for account in usable {
        let check = format!("api as {account}");
        match fresh_balance(&deps, account, "check").await {
            Ok(Fresh { balance, purse, .. }) => {
                let (total, available) = (balance.total, purse.available());
                let text = format!("{} answers; balance {total}, available {available}", config.api.base_url);
                findings.ok(check, text);
            }
            Err(failure) => findings.problem(check, format!("{:#}", failure.error), 1),
        }
    }
    Ok(())
}

fn tell(findings: &[Finding], json: bool) -> Outcome {
    if json {
        show::json(&findings)?;
    } else {
        let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut out = std::io::stdout().lock();
        for finding in findings {
            let word = if finding.ok { "ok" } else { "problem" };
            writeln!(out, "{word:7}  {:width$}  {}", finding.check, finding.detail)?;
        }
    }
    match findings.iter().map(|finding| finding.code).max() {
        None | Some(0) => Ok(()),
        Some(code) => {
            let count = findings.iter().filter(|finding| !finding.ok).count() as i64;
            Err(Failure { code, error: anyhow::anyhow!("{} found", show::plural(count, "problem")) })
        }
    }
}
