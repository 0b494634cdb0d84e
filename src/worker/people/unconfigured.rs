//! Accounts with unfinished work that the configuration does not name (any more).
//!
//! Their running tasks are neither polled nor settled, although they may be paid for. The command line, the page
//! and `run --until-idle` report this in the same words.

use crate::config::Config;
use crate::domain::AccountId;
use crate::domain::needs::Need;
use crate::store::{Store, StoreError, report};

/// Accounts with unfinished work that the configuration does not name (any more): nobody polls their
/// tasks, although those are paid for.
pub async fn unconfigured(store: &Store, config: &Config) -> Result<Vec<AccountId>, StoreError> {
    let mut accounts = report::accounts_at_work(store).await?;
    accounts.retain(|account| !config.accounts.contains_key(account.as_str()));
    Ok(accounts)
}

/// What is the matter with an unconfigured account.
pub fn is_unconfigured(account: &AccountId) -> String {
    Need::NotConfigured { account: account.clone() }.what()
}

/// What helps an unconfigured account.
pub fn configure_again(account: &AccountId) -> String {
    Need::NotConfigured { account: account.clone() }.to_do()
}
