//! Accounts with unfinished work that the configuration does not name (any more).
//!
//! Nobody polls or settles what they have under way, although it may be paid for. Whoever looks is told,
//! on the command line, on the page and at the end of `run --until-idle`, in the same words.

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
