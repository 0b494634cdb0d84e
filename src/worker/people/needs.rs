//! Reads everything that needs a person, for every place that shows it; see [`domain::needs`](crate::domain::needs).

use std::collections::BTreeSet;

use crate::config::Config;
use crate::domain::job::WaitReason;
use crate::domain::needs::{Limits, Need, Needs, Parked, Stop};
use crate::domain::{AccountId, Credits, JobId, Millis, RequestId};
use crate::store::accounts::AccountRow;
use crate::store::inbox::fault::{self, Fault};
use crate::store::report::accounts::Account;
use crate::store::report::{AccountWork, Time, needs as rows};
use crate::store::{Store, StoreError, disk, report};
use crate::worker::people::lack;
use crate::worker::{Deps, durability};

/// The unfinished work of each configured account, in the order in which people expect their names.
pub async fn works(store: &Store, config: &Config) -> Result<Vec<AccountWork>, StoreError> {
    let accounts: BTreeSet<AccountId> = config.accounts.keys().map(AccountId::trusted).collect();
    let mut works = Vec::with_capacity(accounts.len());
    for account in &accounts {
        works.push(report::account_work(store, account).await?);
    }
    Ok(works)
}

/// Puts the accounts first for which something is in the list, or that cannot go on by themselves now.
pub fn urgent_first(accounts: &mut [Account], list: &[Need]) {
    let is_named = |account: &Account| {
        list.iter().filter_map(Need::account).any(|named| named.as_str() == account.account)
    };
    accounts.sort_by_key(|account| {
        (
            !is_named(account),
            account.api_trouble.is_none() && account.blocked_until.is_none() && account.in_doubt == 0,
        )
    });
}

/// Everything that needs a person. `works` is that of each configured account: most readers show it, too.
/// `has_key` says whether the worker has a key for an account; outside the
/// worker, its rows must answer that.
pub async fn read(
    store: &Store,
    config: &Config,
    works: &[AccountWork],
    has_key: impl Fn(&AccountId) -> bool,
) -> Result<Needs, StoreError> {
    let stops = stops(store, config).await?.into_iter();
    let (mut list, mut not_listed) = (stops.map(|stop| Need::Stopped { stop }).collect::<Vec<_>>(), 0);
    let faults = fault::read(store).await?.into_iter().filter(Fault::lasts);
    list.extend(faults.map(|fault| Need::Inbox { since: Millis(fault.since.0), what: fault.what() }));
    let (approvals, total) = rows::approvals(store).await?;
    not_listed += left_out(&approvals, total);
    list.extend(approvals.into_iter().map(|row| Need::Approval {
        account: AccountId::trusted(row.account),
        request: RequestId(row.id),
        credits: Credits(row.credits),
    }));
    list.extend(unconfigured(store, config).await?);
    for work in works {
        not_listed += of_account((store, config), work, has_key(&work.account), &mut list).await?;
    }
    Ok(Needs::new(list, not_listed))
}

/// What keeps anything from being bought.
pub async fn stops(store: &Store, config: &Config) -> Result<Vec<Stop>, StoreError> {
    let lack = durability::lacks(store, config).await?.map(Stop::NotReplicated);
    // What cannot be read is told where the disk is looked at.
    let full = disk::too_few_bytes(store)
        .ok()
        .flatten()
        .map(|free| Stop::DiskFull { free, needed: disk::NEEDED_BYTES });
    Ok(lack.into_iter().chain(full).collect())
}

/// That the database may lack purchases, if a worker has found that: no reason to act, but one to know.
pub fn distrust(works: &[AccountWork]) -> Option<String> {
    let since = works.iter().filter_map(|work| work.row.restored_at).max()?;
    let distrusted = works.iter().filter(|work| work.row.restored_at.is_some());
    let accounts: Vec<&str> = distrusted.map(|work| work.account.as_str()).collect();
    let (word, accounts) = (if accounts.len() == 1 { "account" } else { "accounts" }, accounts.join(", "));
    Some(format!(
        "since {} the database counts as an older copy: each batch of {word} {accounts} is prechecked before it is bought",
        Time(since)
    ))
}

/// Accounts with unfinished work that the configuration does not name, or no longer names. What such an account has
/// running may be paid for. A worker that started with the account polls it to its end; the next start does not.
pub async fn unconfigured(store: &Store, config: &Config) -> Result<Vec<Need>, StoreError> {
    let mut accounts = report::accounts_at_work(store).await?;
    accounts.retain(|account| !config.accounts.contains_key(account.as_str()));
    Ok(accounts.into_iter().map(|account| Need::NotConfigured { account }).collect())
}

/// The same inside a running worker, which knows its keys.
pub async fn of_worker(deps: &Deps, works: &[AccountWork]) -> Result<Needs, StoreError> {
    let gates = deps.gates();
    let has_key = |account: &AccountId| gates.get(account).is_some_and(|gate| gate.has_key());
    read(&deps.store, &deps.config(), works, has_key).await
}

/// What needs a person for one account. Returns how many needs are not listed.
async fn of_account(
    (store, config): (&Store, &Config),
    work: &AccountWork,
    has_key: bool,
    list: &mut Vec<Need>,
) -> Result<u64, StoreError> {
    let account = &work.account;
    let (decisions, total) = rows::decisions(store, account).await?;
    let not_listed = left_out(&decisions, total);
    list.extend(decisions.into_iter().map(|row| Need::Decision {
        account: account.clone(),
        job: JobId(row.id),
        credits: Credits(row.credits),
    }));
    let mut lacks_key = !has_key && work.any();
    for reason in WaitReason::ALL {
        let Some(parked) = parked(work, reason) else { continue };
        match reason {
            WaitReason::InsufficientCredits => {
                let lack = lack::of(store, config, account, parked.oldest).await?;
                let parked = Parked { lack, ..parked };
                list.push(Need::Credits { account: account.clone(), work: parked });
            }
            WaitReason::Budget => {
                let limits = limits(config);
                list.push(Need::Budget { account: account.clone(), work: parked, limits });
            }
            WaitReason::InvalidApiKey => lacks_key = true,
            // The worker ends it.
            WaitReason::Conflict => {}
        }
    }
    let row = &work.row;
    if let Some(refused) = row.refused() {
        list.push(Need::key_refused(account.clone(), refused));
    } else if lacks_key {
        list.push(Need::NoKey { account: account.clone() });
    }
    list.extend(pause(account, row, count(work.to_send())));
    let expired = rows::expired(store, account).await?;
    if expired > 0 {
        list.push(Need::Expired { account: account.clone(), jobs: count(expired) });
    }
    Ok(not_listed)
}

/// Why the account is paused, if it is. `waiting`: how many jobs and items wait for its end.
pub(in crate::worker) fn pause(account: &AccountId, row: &AccountRow, waiting: u64) -> Option<Need> {
    let (account, since) = (account.clone(), Millis(row.paused_at?));
    Some(match row.overcharged() {
        Some((expected, spent)) => Need::Overcharged { account, since, expected, spent, waiting },
        None => Need::Paused { account, since, restored: row.is_paused_by_restore(), waiting },
    })
}

/// The limits that are configured, for a need that is about them.
pub(crate) fn limits(config: &Config) -> Limits {
    Limits::of(config.credits.daily_limit.is_some(), config.credits.monthly_limit.is_some())
}

/// The work of an account that waits for one reason, if there is any.
fn parked(work: &AccountWork, reason: WaitReason) -> Option<Parked> {
    let group = work.queued.iter().find(|group| group.waits_for == Some(reason));
    let items = if work.items_wait_for() == Some(reason) { count(work.waiting) } else { 0 };
    let jobs = group.map_or(0, |group| count(group.jobs));
    (jobs + items > 0).then(|| Parked { jobs, oldest: group.map(|group| group.oldest), items, lack: None })
}

fn left_out(list: &[rows::Open], total: i64) -> u64 {
    count(total).saturating_sub(list.len() as u64)
}

/// Counts of rows are never negative.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}
