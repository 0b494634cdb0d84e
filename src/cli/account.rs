//! `balance` and `audit`: the credits of an account, and whether the balance dropped as expected.
//!
//! A call goes through the same gate as the worker's: it obeys the rate limit and the refused keys
//! that the database holds, and is recorded there.

use std::io::Write;
use std::sync::Arc;

use secrecy::SecretString;
use serde::Serialize;

use super::show::{self, Columns, cell, grouped};
use super::{Context, Failure, Outcome, existing, verdicts};
use crate::api::ApiError;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::AccountId;
use crate::domain::credits::Balance;
use crate::domain::credits::Purse;
use crate::domain::failure::{Failure as CallFailure, Refusal};
use crate::store::credits::warnings::{self, Told};
use crate::store::report::accounts::with_owner;
use crate::store::report::{self, Time};
use crate::store::{Store, accounts};
use crate::worker::balance::{Asked, ask_balance, purse};
use crate::worker::{Deps, NO_LEASE, SetupError};

/// The named account; otherwise exit code 3 and a list of the configured accounts.
pub(super) fn named(config: &Config, account: &str) -> Result<AccountId, Failure> {
    if config.accounts.contains_key(account) {
        return Ok(AccountId::trusted(account));
    }
    let known: Vec<&str> = config.accounts.keys().map(String::as_str).collect();
    let known = known.join(", ");
    Err(Failure::missing(format!(
        "there is no account {account:?} in the configuration; configured: {known}"
    )))
}

/// Everything that a call needs. Without a lease: the command line writes like any other program.
pub(super) async fn deps(store: Store, config: &Config) -> Result<Deps, SetupError> {
    Deps::new(store, Clock::real(), NO_LEASE, Arc::new(config.clone())).await
}

/// Reads and records an account's balance; also returns how much of it is free to spend.
pub(super) struct Fresh {
    pub(super) balance: Balance,
    pub(super) purse: Purse,
    pub(super) taken_at: Time,
}

/// Asks for the balance. Free of charge.
pub(super) async fn fresh_balance(
    deps: &Deps,
    account: &AccountId,
    cause: &'static str,
) -> Result<Fresh, Failure> {
    key_of(&deps.config(), account)?;
    let balance = match ask_balance(deps, &deps.gate(account), cause).await? {
        Asked::Recorded(balance) => balance,
        Asked::At(at) => {
            let at = Time::from(at);
            return Err(Failure::refused(format!(
                "the rate limit of account {account} allows no call before {at}; no call was made; try again then"
            )));
        }
        Asked::NoKey => return Err(refused_before(&deps.store, account).await?),
        Asked::Failed(error) => return Err(call_failed(account, error)),
    };
    let purse = purse(deps, account).await?.ok_or_else(|| anyhow::anyhow!("the balance was not recorded"))?;
    Ok(Fresh { balance, purse, taken_at: deps.clock.now().into() })
}

/// The account's key as it is configured now; exit code 2 when there is none.
pub(super) fn key_of(config: &Config, account: &AccountId) -> Result<SecretString, Failure> {
    match config::read_key(&config.accounts[account.as_str()]) {
        Err(error) => Err(Failure::usage(error)),
        Ok(None) => Err(Failure::usage(anyhow::anyhow!("{}", no_key(account)))),
        Ok(Some(key)) => Ok(key),
    }
}

/// What to do about a missing key.
pub(super) fn no_key(account: &AccountId) -> String {
    let variable = if account.as_str() == "default" { "set LENSMOR_API_KEY, or " } else { "" };
    format!(
        "account {account} has no API key, so the API cannot be called: {variable}name a file with the key as \
         accounts.{account}.api_key_file in the configuration"
    )
}

/// The key was refused before, and is not tried again.
pub(super) async fn refused_before(store: &Store, account: &AccountId) -> Result<Failure, Failure> {
    let row = accounts::read(store.readers(), account).await?;
    let (fingerprint, at) = (cell(&row.refused_key), cell(&row.key_refused_at.map(Time)));
    if let Some(refused) = row.refused().filter(|refused| refused.why.is_forbidden()) {
        return Ok(anyhow::anyhow!(
            "the API accepts the key {fingerprint} of account {account}, but refused its owner at {at} ({}); nothing was \
             spent. Check the subscription at Lensmor, then: unlockd resume --account {account}",
            refused.why
        )
        .into());
    }
    Ok(anyhow::anyhow!(
        "the API refused the key {fingerprint} of account {account} at {at}; the worker tries it again 1, 5 and 30 \
         minutes after that, and this command does not; nothing was spent. Put a valid key in the configuration; or, \
         if this one is valid again: unlockd resume --account {account}"
    )
    .into())
}

fn call_failed(account: &AccountId, error: ApiError) -> Failure {
    let advice = match error.failure {
        CallFailure::Refused(Refusal::Unauthorized) => {
            "put a valid key in the configuration; unlockd does not use this one any more"
        }
        CallFailure::Refused(Refusal::Forbidden) => {
            "the key has no permission for this (no active subscription?); unlockd does not use this key any more"
        }
        CallFailure::Refused(Refusal::RateLimited { .. }) => "try again later",
        CallFailure::NotSent => "check the network and api.base_url",
        _ => "try again in a few minutes",
    };
    let message = format!("the balance of account {account} was not read, and nothing was spent; {advice}");
    anyhow::Error::new(error).context(message).into()
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd balance --json\n\nOne free call; costs no credits.")]
pub(super) struct BalanceArgs {
    /// The account
    #[arg(long, value_name = "A", default_value = "default")]
    account: String,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

/// What is shown of a balance.
#[derive(Serialize)]
struct Shown {
    account: String,
    taken_at: Time,
    total: i64,
    subscription: i64,
    addon: i64,
    gift: i64,
    /// Reserved for submissions without an answer yet.
    held: i64,
    /// Booked as charged after this balance was asked for.
    booked_since: i64,
    /// Never to be spent: `credits.min_balance`.
    min_balance: i64,
    available: i64,
    /// Parts of limits that are spent, and an hour that costs more than usual.
    warnings: Vec<Told>,
}

pub(super) async fn balance(context: Context, args: BalanceArgs) -> Outcome {
    let config = context.load()?;
    let account = named(&config, &args.account)?;
    let deps = deps(existing(&config).await?, &config).await?;
    let Fresh { balance, purse, taken_at } = fresh_balance(&deps, &account, "asked").await?;
    let shown = Shown {
        account: args.account,
        taken_at,
        total: balance.total.0,
        subscription: balance.subscription.0,
        addon: balance.addon.0,
        gift: balance.gift.0,
        held: purse.held.0,
        booked_since: purse.charged_since.0,
        min_balance: purse.min_balance.0,
        available: purse.available().0,
        warnings: warnings::present(deps.store.readers(), deps.clock.now()).await?,
    };
    if args.json {
        return Ok(show::json(&shown)?);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "account {}: {} credits at {taken_at}", shown.account, grouped(shown.total))?;
    show::facts(
        &mut out,
        &[
            ("subscription", Some(grouped(shown.subscription))),
            ("addon", Some(grouped(shown.addon))),
            ("gift", Some(grouped(shown.gift))),
            ("held", Some(format!("{} for submissions without an answer yet", grouped(shown.held)))),
            (
                "booked since",
                (shown.booked_since != 0)
                    .then(|| format!("{} charged, and not in this balance yet", grouped(shown.booked_since))),
            ),
            ("kept", Some(format!("{} by credits.min_balance", grouped(shown.min_balance)))),
            ("available", Some(grouped(shown.available))),
        ],
    )?;
    for told in &shown.warnings {
        writeln!(out, "  ! {}", show::plain(&told.what()))?;
    }
    Ok(())
}

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  unlockd audit

Jobs that overlap in time share one settlement, since their charges cannot be separated. So do the accounts of one
owner (accounts.NAME.owner), since they spend from one pool.")]
pub(super) struct AuditArgs {
    /// Only this account, with the others of its owner
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn audit(context: Context, args: AuditArgs) -> Outcome {
    let config = context.load()?;
    let mut audits = report::audits(&existing(&config).await?).await?;
    audits.retain(|audit| {
        let is_of = |account: &String| *account == audit.account || config.owner_of(account) == audit.owner;
        args.account.as_ref().is_none_or(is_of)
    });
    // An account that was removed from the configuration keeps its settlements.
    if let (Some(account), true) = (&args.account, audits.is_empty()) {
        named(&config, account)?;
    }
    let empty = "no settlements yet; the first is made when all running jobs have ended";
    show::listing(args.json, &audits, &AUDIT, audit_cells, empty)?;
    if args.json {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    for line in verdicts::meanings(&audits) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

pub(super) const AUDIT: Columns<9> = Columns {
    names: ["account", "opened", "closed", "jobs", "expected", "balance before", "after", "spent", "verdict"],
    may_go: &["opened", "closed", "jobs"],
};

pub(super) fn audit_cells(audit: &report::Audit) -> [String; 9] {
    [
        with_owner(&audit.account, &audit.owner),
        audit.opened_at.to_string(),
        audit.closed_at.to_string(),
        audit.jobs.to_string(),
        format!("{} to {}", audit.expected_min, audit.expected_max),
        cell(&audit.balance_before),
        cell(&audit.balance_after),
        cell(&audit.spent),
        audit.verdict.clone(),
    ]
}
