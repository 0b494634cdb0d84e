//! `unlockd check`: is everything in place? One line for each item, with a fix for each problem.
//!
//! Costs no credits: the one call it makes for each account reads the balance. Never shows a key,
//! only its fingerprint.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::account::{Fresh, deps, fresh_balance, no_key};
use super::findings::{Findings, tell};
use super::{Context, Failure, Outcome, open, show};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::one_pool::looks_like_one_pool;
use crate::domain::{AccountId, natural};
use crate::store::credits::balances;
use crate::store::inbox::{self, fault};
use crate::store::{Store, StoreError};
use crate::store::{disk, lease};
use crate::worker::gate::Key;
use crate::worker::people::needs;

/// Below this the disk is about to be full.
const LEAST_FREE_BYTES: u64 = 256 << 20;

/// A larger difference between the clocks is reported. The API's `Date` has whole seconds, and a call takes time.
const CLOCKS_APART_MS: i64 = 30_000;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd check
  unlockd check --offline --json

Costs no credits: it reads the balance of each account, and nothing else.
Exit code 0: all is well, or there are warnings; 2: the configuration is wrong, or a key is missing or
cannot be read; 1: another problem, such as a key that the API refuses.")]
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
        Err(error) => findings.problem("configuration", error.to_string(), 2),
        Ok(config) => {
            let origin = match &config.origin {
                Some(file) => format!("read from {}", file.display()),
                None => "no file: defaults and environment".to_owned(),
            };
            findings.ok("configuration", origin);
            config_mode(&mut findings, &config);
            let store = database(&mut findings, &config).await;
            let usable = keys(&mut findings, &config);
            if let Some(store) = &store {
                unconfigured(&mut findings, &config, store).await;
            }
            http(&mut findings, &config, store.as_ref()).await;
            webhook(&mut findings, &config);
            match (store, args.offline) {
                (_, true) => {}
                (Some(store), false) => {
                    api(&mut findings, &config, store.clone(), &usable).await?;
                    owners(&mut findings, &config, &store, &usable).await;
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

async fn database(findings: &mut Findings, config: &Config) -> Option<Store> {
    let path = &config.database;
    let is_new = !path.exists();
    let store = match open(config).await {
        Ok(store) => store,
        Err(error @ StoreError::Schema { .. }) => {
            findings.problem("database", error.to_string(), 4);
            return None;
        }
        Err(error) => {
            let fix = "make sure that the directory exists and is writable, and that the file is a database of this version";
            findings.fail("database", error.to_string(), fix, 1);
            return None;
        }
    };
    // Opening checks the mode, WAL, synchronous=FULL and the schema.
    let made = if is_new { ", just created" } else { "" };
    let shown = path.display();
    let mode_of_file = mode(path);
    findings.ok("database", format!("{shown}{made}: opens, WAL, synchronous=FULL, mode {mode_of_file:04o}"));
    inbox(findings, &store).await;
    space(findings, path);
    match lease::read(&store).await {
        Ok(row) if row.is_alive(Clock::real().now()) => {
            findings.ok("worker", format!("running, process {}", row.pid));
        }
        Ok(_) => findings.warn("worker", "none is running, so nothing is bought", "unlockd run"),
        Err(error) => findings.problem("worker", error.to_string(), 1),
    }
    Some(store)
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

/// The status page's address and token.
async fn http(findings: &mut Findings, config: &Config, store: Option<&Store>) {
    let Some(listen) = config.http.address() else {
        return findings.ok("http", "off (http.listen is empty)");
    };
    let buttons = match &config.http.token_file {
        None => "; without http.token_file it shows counts and has no buttons".to_owned(),
        Some(path) => match config::read_token(path) {
            Ok(_) => format!("; the token in {} is readable", path.display()),
            Err(error) => return findings.problem("http", error.to_string(), 2),
        },
    };
    let is_alive = match store {
        Some(store) => lease::read(store).await.is_ok_and(|row| row.is_alive(Clock::real().now())),
        None => false,
    };
    let answers = tokio::net::TcpStream::connect(listen).await.is_ok();
    match (is_alive, answers) {
        (true, true) => findings.ok("http", format!("something answers at {listen}{buttons}")),
        (true, false) => {
            let detail = format!("a worker is running, but nothing answers at {listen}");
            findings.warn("http", detail, "see the worker's log for the reason");
        }
        (false, true) => {
            let detail = format!("another program listens at {listen}, so the status page cannot");
            findings.warn("http", detail, "choose another http.listen, or stop that program");
        }
        (false, false) => findings.ok("http", format!("{listen} is free{buttons}")),
    }
}

/// Returns the accounts with a key that can be read.
fn keys(findings: &mut Findings, config: &Config) -> Vec<AccountId> {
    let mut usable = Vec::new();
    let several = config.accounts.len() > 1;
    let mut accounts: Vec<_> = config.accounts.iter().collect();
    accounts.sort_by(|(one, _), (other, _)| natural::compare(one, other));
    for (name, account) in accounts {
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

/// Accounts that were removed from the configuration while they had unfinished work.
async fn unconfigured(findings: &mut Findings, config: &Config, store: &Store) {
    match needs::unconfigured(store, config).await {
        Ok(unconfigured) => {
            for need in &unconfigured {
                findings.fail(format!("account {}", need.account()), need.what(), need.to_do(), 2);
            }
        }
        Err(error) => findings.problem("accounts", error.to_string(), 1),
    }
}

/// Sends nothing: the receiver would take a test message for a real one.
fn webhook(findings: &mut Findings, config: &Config) {
    let (Some(url), Some(secret_file)) = (&config.notify.url, &config.notify.secret_file) else { return };
    // The path may be a secret of the receiver's.
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_default();
    match config::read_signing_secrets(secret_file) {
        Ok(secrets) => {
            let signed = show::plural(secrets.len() as i64, "secret");
            findings.ok(
                "webhook",
                format!("messages go to {host}, signed with {signed}; no test message is sent"),
            );
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
                clock(findings, account, deps.gate(account).ahead_ms());
            }
            Err(failure) => findings.problem(check, format!("{:#}", failure.error), 1),
        }
    }
    Ok(())
}

/// Accounts of different owners whose balances are equal and move together: floors and limits would count twice.
async fn owners(findings: &mut Findings, config: &Config, store: &Store, usable: &[AccountId]) {
    let mut read = Vec::new();
    for account in usable {
        match balances::read_by(store.readers(), account).await {
            Ok(balances) => read.push((account.as_str(), balances)),
            Err(error) => return findings.problem("owners", error.to_string(), 1),
        }
    }
    for (index, (account, balances)) in read.iter().enumerate() {
        for (other, other_balances) in &read[index + 1..] {
            let owner = config.owner_of(account);
            if owner == config.owner_of(other) || !looks_like_one_pool(balances, other_balances) {
                continue;
            }
            let detail = format!(
                "{account} and {other} look like keys of one Lensmor user: their balances are equal and move together, \
                 but limits and audits count them apart"
            );
            findings.warn("owners", detail, format!("if they are: accounts.{other}.owner = \"{owner}\""));
        }
    }
}

/// The daily limit counts UTC days by our clock, and people compare our times with the vendor's.
fn clock(findings: &mut Findings, account: &AccountId, ahead_ms: Option<i64>) {
    let Some(ahead_ms) = ahead_ms else { return };
    let check = format!("clock by {account}");
    let apart = show::span(ahead_ms.abs());
    if ahead_ms.abs() < CLOCKS_APART_MS {
        return findings.ok(check, "within a few seconds of the API's");
    }
    let direction = if ahead_ms > 0 { "behind" } else { "ahead of" };
    let detail = format!("this machine's clock is {apart} {direction} the API's");
    findings.warn(check, detail, "set it by the network: timedatectl set-ntp true");
}
