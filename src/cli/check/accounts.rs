//! The accounts: their keys, what the API says to each, and whether two of them spend from one pool.

use std::io::ErrorKind;
use std::path::Path;

use super::super::account::{Fresh, deps, fresh_balance, no_key};
use super::super::findings::Findings;
use super::super::{Failure, show};
use crate::clock::Clock;
use crate::config::{self, Account, Config};
use crate::domain::job::WaitReason;
use crate::domain::needs::Need;
use crate::domain::one_pool::looks_like_one_pool;
use crate::domain::{AccountId, natural};
use crate::store::credits::balances;
use crate::store::lease::LeaseRow;
use crate::store::{Store, accounts, lease};
use crate::worker::gate::Key;
use crate::worker::people::needs;

/// A larger difference between the clocks is reported. The API's `Date` has whole seconds, and a call takes time.
const CLOCKS_APART_MS: i64 = 30_000;

/// Returns the accounts with a key that can be read. A running worker has its own environment, so it may have a key that
/// is missing here; its rows show whether it lacks one, too.
pub(super) async fn keys(findings: &mut Findings, config: &Config, store: Option<&Store>) -> Vec<AccountId> {
    let worker = match store {
        Some(store) => lease::read(store).await.ok().filter(|row| row.is_alive(Clock::real().now())),
        None => None,
    };
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
            Ok(None) => match (worker, store) {
                (Some(worker), Some(store)) if !lacks_key(store, &id).await => {
                    let detail = format!(
                        "none in this environment; the running worker (process {}) has its own, and shows no lack of it",
                        worker.pid
                    );
                    findings.ok(check, detail);
                }
                _ => findings.problem(check, no_key(&id), 2),
            },
            Err(error) if worker.is_some() && !shares_the_lack(worker, account) => {
                let fix = "run this command as the worker's user to check its key";
                findings.warn(check, format!("not readable here: {error}"), fix);
            }
            Err(error) => findings.problem(check, error.to_string(), 2),
        }
    }
    usable
}

/// Whether the worker is a process of this user that misses its key file, too. In another user's place, in a container or
/// under a service manager, the file may be there for the worker alone.
fn shares_the_lack(worker: Option<LeaseRow>, account: &Account) -> bool {
    let (Some(worker), Some(path)) = (worker, &account.api_key_file) else { return false };
    let process = Path::new("/proc").join(worker.pid.to_string());
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let seen = match path.strip_prefix("/") {
        Ok(inner) => process.join("root").join(inner),
        Err(_) => process.join("cwd").join(path),
    };
    let is_missing = std::fs::metadata(seen).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    // The links of another user's process cannot be followed.
    name.trim() == "unlockd" && process.join("root").read_link().is_ok() && is_missing
}

/// Whether the worker's rows show that an account has work and no key that may be used.
async fn lacks_key(store: &Store, account: &AccountId) -> bool {
    let row = accounts::read(store.readers(), account).await;
    row.is_ok_and(|row| row.waits_for() == Some(WaitReason::InvalidApiKey) || row.refused_key.is_some())
}

/// Accounts that were removed from the configuration while they had unfinished work.
pub(super) async fn unconfigured(findings: &mut Findings, config: &Config, store: &Store) {
    match needs::unconfigured(store, config).await {
        Ok(unconfigured) => {
            for need in &unconfigured {
                findings.fail(
                    format!("account {}", need.account().map_or("", AccountId::as_str)),
                    need.what(),
                    need.to_do(),
                    2,
                );
            }
        }
        Err(error) => findings.problem("accounts", error.to_string(), 1),
    }
}

/// Accounts for which nothing new is bought until a person acts, or a day ends.
pub(super) async fn stopped(findings: &mut Findings, config: &Config, store: &Store) {
    let needs = async {
        let works = needs::works(store, config).await?;
        needs::read(store, config, &works, |_| true).await
    };
    match needs.await {
        Ok(needs) => {
            let stops = |need: &&Need| {
                matches!(need, Need::Paused { .. } | Need::Credits { .. } | Need::Budget { .. })
            };
            for need in needs.list.iter().filter(stops) {
                let account = need.account().map_or("", AccountId::as_str);
                findings.warn(format!("account {account}"), need.what(), need.to_do());
            }
        }
        Err(error) => findings.problem("accounts", error.to_string(), 1),
    }
}

/// Accounts that are bought for with care, since the database may lack purchases.
pub(super) async fn distrusted(findings: &mut Findings, config: &Config, store: &Store) {
    const FIX: &str = "nothing is needed: it costs calls and time. An account whose work no precheck can clear is paused, and \
                       needs you then";
    match needs::works(store, config).await {
        Ok(works) => {
            needs::distrust(&works).into_iter().for_each(|what| findings.warn("older copy", what, FIX))
        }
        Err(error) => findings.problem("older copy", error.to_string(), 1),
    }
}

pub(super) async fn api(
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
pub(super) async fn owners(findings: &mut Findings, config: &Config, store: &Store, usable: &[AccountId]) {
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
