//! Which accounts belong to one owner, and so share one pool of credits.
//!
//! The configuration names the owner (`accounts.NAME.owner`), and the database keeps it: every figure about credits is
//! counted over all accounts of an owner.
//!
//! A settlement never mixes two owners. So an account changes its owner only when no open settlement has a job of it.
//! Until then the accounts of its old owner send nothing new, so the settlement closes when the running tasks have
//! ended. The account keeps its old key meanwhile, as long as the API accepts it: the new key may belong to another
//! pool.

use crate::config::Config;
use crate::domain::AccountId;
use crate::store::{Store, StoreError, accounts};

/// Copies the owners from the configuration to the database; an account with an open settlement keeps its old one for
/// now. `is_worker`: false for commands, whose environment may differ from the worker's; they only add new accounts.
/// `is_news`: logs which accounts have to wait.
pub(in crate::worker) async fn take_configured(
    store: &Store,
    config: &Config,
    is_worker: bool,
    is_news: bool,
) -> Result<(), StoreError> {
    let known = accounts::owners(store.readers()).await?;
    let is_known = |account: &AccountId, owner: &str| match known.get(account) {
        Some(known) => known == owner || !is_worker,
        None => false,
    };
    for name in config.accounts.keys() {
        let (account, owner) = (AccountId::trusted(name.clone()), config.owner_of(name).to_owned());
        if is_known(&account, &owner) {
            continue;
        }
        let before = known.get(&account).cloned();
        let (of, to) = (account.clone(), owner.clone());
        let changed =
            store.write(move |tx| Box::pin(async move { accounts::set_owner(tx, &of, &to).await })).await?;
        let Some(before) = before else { continue };
        match changed {
            true => {
                tracing::info!(account = %account, before, owner, "the account belongs to another owner now")
            }
            false if is_news => tracing::warn!(account = %account, before, owner,
                "the account gets its new owner when its open settlement is closed; until then the accounts of the \
                 owner before send nothing new"),
            false => {}
        }
    }
    Ok(())
}

/// Takes the configured owner of an account when its open settlement has been closed. Whether it changed.
pub(in crate::worker) async fn change(
    store: &Store,
    config: &Config,
    account: &AccountId,
) -> Result<bool, StoreError> {
    if !config.accounts.contains_key(account.as_str()) {
        return Ok(false);
    }
    let owner = config.owner_of(account.as_str()).to_owned();
    let row = accounts::read(store.readers(), account).await?;
    if row.owner.as_ref() == Some(&owner) {
        return Ok(false);
    }
    let of = account.clone();
    let to = owner.clone();
    let changed =
        store.write(move |tx| Box::pin(async move { accounts::set_owner(tx, &of, &to).await })).await?;
    if changed {
        tracing::info!(account = %account, before = row.owner, owner, "the account belongs to another owner now");
    }
    Ok(changed)
}

/// Whether an account is to get another owner than the one that it has.
pub(in crate::worker) fn waits_for_owner(config: &Config, account: &AccountId, owner: Option<&str>) -> bool {
    let is_configured = config.accounts.contains_key(account.as_str());
    is_configured && owner.is_some_and(|owner| owner != config.owner_of(account.as_str()))
}

/// Whether an account of this owner is to get another one, and waits for the open settlement.
pub(in crate::worker) fn is_changing(config: &Config, owner: Option<&str>, members: &[AccountId]) -> bool {
    let configured = members.iter().filter(|account| config.accounts.contains_key(account.as_str()));
    configured.into_iter().any(|account| Some(config.owner_of(account.as_str())) != owner)
}
