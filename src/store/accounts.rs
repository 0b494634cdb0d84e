//! The facts about an account that survive a restart: pause, refused key, trouble. Its rate limit is in
//! [`super::rate`].

use std::collections::BTreeMap;

use crate::store::ownership::Ownership;
use crate::store::{On, Reads, StoreError, Tx, sql};
use sqlx::FromRow;

use crate::domain::job::WaitReason;
use crate::domain::key_retry::{RefusedKey, Why};
use crate::domain::{AccountId, Credits, Millis};

/// An account's row; an account without a row has the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct AccountRow {
    pub paused_at: Option<i64>,
    pub key_refused_at: Option<i64>,
    /// Fingerprint of the refused key.
    pub refused_key: Option<String>,
    refused_status: Option<i64>,
    refused_error_key: Option<String>,
    pub resumed_at: Option<i64>,
    /// When the worker found that the database is an older copy that replaced a newer one.
    pub restored_at: Option<i64>,
    /// When the worker paused it because a price was exceeded, and the last settlement that showed it.
    pub overcharged_at: Option<i64>,
    overcharged_expected: Option<i64>,
    overcharged_spent: Option<i64>,
    waits_for: Option<String>,
    /// Since when its items that are in no job wait: see [`AccountRow::waits_for`].
    pub waits_since: Option<i64>,
    /// The API does not answer as it should: since when, with which answer, and when it is tried next.
    pub trouble_since: Option<i64>,
    pub trouble_answer: Option<String>,
    pub trouble_next_at: Option<i64>,
    /// Whose credits it spends; `None`: it has no row yet.
    pub owner: Option<String>,
    pub(super) rate_limit: Option<i64>,
    pub(super) rate_window_ms: Option<i64>,
    pub(super) rate_remaining: Option<i64>,
    pub(super) rate_resets_at: Option<i64>,
    pub(super) latency_ms: Option<i64>,
    most_contacts: Option<i64>,
    /// No call with its key from one moment to the other (`Retry-After`).
    pub(super) blocked_since: Option<i64>,
    pub(super) blocked_until: Option<i64>,
}

impl AccountRow {
    /// Why its items that are in no job wait.
    pub fn waits_for(&self) -> Option<WaitReason> {
        self.waits_for.as_deref().and_then(WaitReason::parse)
    }

    /// The most contacts of one call, if the API has said so.
    pub fn most_contacts(&self) -> Option<u32> {
        self.most_contacts.and_then(|most| u32::try_from(most).ok()).filter(|most| *most > 0)
    }

    /// True if it is paused because the database was restored; false if a person paused it.
    pub fn is_paused_by_restore(&self) -> bool {
        self.paused_at.is_some() && self.paused_at == self.restored_at
    }

    /// What was expected at most and what left the balance, if it is paused because a price was exceeded.
    pub fn overcharged(&self) -> Option<(Credits, Credits)> {
        let is_reason = self.paused_at.is_some() && self.paused_at == self.overcharged_at;
        let figures = self.overcharged_expected.zip(self.overcharged_spent);
        figures.filter(|_| is_reason).map(|(expected, spent)| (Credits(expected), Credits(spent)))
    }

    /// The key that the API has refused, and why.
    pub fn refused(&self) -> Option<RefusedKey> {
        Some(RefusedKey {
            fingerprint: self.refused_key.clone()?,
            at: Millis(self.key_refused_at?),
            why: Why {
                status: self.refused_status.and_then(|status| u16::try_from(status).ok()),
                error_key: self.refused_error_key.clone(),
            },
        })
    }
}

/// Reads an account's row.
pub async fn read(executor: impl Into<On<'_>>, account: &AccountId) -> Result<AccountRow, StoreError> {
    let row = sql::query_as(
        "select paused_at, key_refused_at, refused_key, refused_status, refused_error_key, resumed_at, restored_at, waits_for,
                overcharged_at, overcharged_expected, overcharged_spent, waits_since, trouble_since, trouble_answer, trouble_next_at, owner, rate_limit, rate_window_ms, rate_remaining,
                rate_resets_at, blocked_since, blocked_until, latency_ms, most_contacts
         from accounts where account = $1",
    )
    .bind(account.as_str())
    .fetch_optional(executor)
    .await?;
    Ok(row.unwrap_or_default())
}

/// Whether a person has stopped submitting, as this transaction sees it.
pub async fn is_paused(connection: &mut Tx, account: &AccountId) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from accounts where account = $1 and paused_at is not null)",
    )
    .bind(account.as_str())
    .fetch_one(connection)
    .await?)
}

/// The accounts of an account's owner, itself included, in the order of their names.
pub async fn members(readers: &Reads, account: &AccountId) -> Result<Vec<AccountId>, StoreError> {
    let names: Vec<String> = sql::query_scalar("select member from pools where account = $1 order by member")
        .bind(account.as_str())
        .fetch_all(readers)
        .await?;
    Ok(names.into_iter().map(AccountId::trusted).collect())
}

/// Whether this process holds the owner of an account.
pub async fn is_served(tx: &mut Tx, account: &AccountId, ownership: &Ownership) -> Result<bool, StoreError> {
    if !ownership.is_shared() {
        return Ok(true);
    }
    Ok(read(tx, account).await?.owner.is_some_and(|owner| ownership.holds(&owner)))
}

/// The owner of each account.
pub async fn owners(readers: &Reads) -> Result<BTreeMap<AccountId, String>, StoreError> {
    let rows: Vec<(String, String)> =
        sql::query_as("select account, owner from accounts where owner is not null")
            .fetch_all(readers)
            .await?;
    Ok(rows.into_iter().map(|(account, owner)| (AccountId::trusted(account), owner)).collect())
}

/// Gives an account to an owner, unless an open settlement of another one has a job of it. Whether it is the owner's now.
pub async fn set_owner(tx: &mut Tx, account: &AccountId, owner: &str) -> Result<bool, StoreError> {
    ensure(tx, account).await?;
    let done = sql::query(
        "update accounts set owner = $2
         where account = $1
           and not exists (select 1 from windows w where w.closed_at is null and w.owner <> $2
                             and exists (select 1 from jobs j where j.window_id = w.id and j.account = $1))",
    )
    .bind(account.as_str())
    .bind(owner)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn ensure(connection: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    // In an older copy of the database a new account may have bought something after the copy, as the others may.
    sql::query(
        "insert into accounts (account, restored_at) select $1, max(restored_at) from accounts
         where true on conflict do nothing",
    )
    .bind(account.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes for all accounts, configured or not, that the database is an older copy.
pub async fn distrust_all(connection: &mut Tx, now: Millis) -> Result<(), StoreError> {
    sql::query("update accounts set restored_at = $1").bind(now.0).execute(connection).await?;
    Ok(())
}

/// Stops (`Some`) or continues (`None`) submitting, on a person's command.
pub async fn set_paused(
    connection: &mut Tx,
    account: &AccountId,
    paused_at: Option<Millis>,
) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query("update accounts set paused_at = $2 where account = $1")
        .bind(account.as_str())
        .bind(paused_at.map(|at| at.0))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that the database is an older copy (`Some`), or that a person accepts what the copy does not know
/// (`None`).
pub async fn set_restored(
    connection: &mut Tx,
    account: &AccountId,
    restored_at: Option<Millis>,
) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query("update accounts set restored_at = $2 where account = $1")
        .bind(account.as_str())
        .bind(restored_at.map(|at| at.0))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes why the account's items that are in no job wait.
pub async fn set_waits_for(
    connection: &mut Tx,
    account: &AccountId,
    waits_for: Option<WaitReason>,
    now: Millis,
) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query("update accounts set waits_for = $2, waits_since = $3 where account = $1")
        .bind(account.as_str())
        .bind(waits_for.map(WaitReason::as_str))
        .bind(waits_for.map(|_| now.0))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a person wants parked and expired work to be tried again.
pub async fn set_resumed(
    connection: &mut Tx,
    account: &AccountId,
    resumed_at: Millis,
) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query("update accounts set resumed_at = case when resumed_at = $2 then $2 + 1 else $2 end where account = $1")
        .bind(account.as_str())
        .bind(resumed_at.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that this key was refused, or that no key is (`None`).
pub async fn set_refused_key(
    connection: &mut Tx,
    account: &AccountId,
    refused: Option<&RefusedKey>,
) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query(
        "update accounts set refused_key = $2, key_refused_at = $3, refused_status = $4, refused_error_key = $5
         where account = $1",
    )
    .bind(account.as_str())
    .bind(refused.map(|refused| refused.fingerprint.as_str()))
    .bind(refused.map(|refused| refused.at.0))
    .bind(refused.and_then(|refused| refused.why.status).map(i64::from))
    .bind(refused.and_then(|refused| refused.why.error_key.as_deref()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes the most contacts of one call, as the API has said.
pub async fn set_most_contacts(
    connection: &mut Tx,
    account: &AccountId,
    most: u32,
) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query("update accounts set most_contacts = $2 where account = $1")
        .bind(account.as_str())
        .bind(i64::from(most))
        .execute(connection)
        .await?;
    Ok(())
}

/// The API does not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub since: Millis,
    /// What it does instead: "answers 503".
    pub answer: String,
    pub next_at: Millis,
}

/// Notes that the API is in trouble, or that it answers again (`None`).
pub async fn set_trouble(
    connection: &mut Tx,
    account: &AccountId,
    trouble: Option<&Trouble>,
) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query(
        "update accounts set trouble_since = $2, trouble_answer = $3, trouble_next_at = $4 where account = $1",
    )
    .bind(account.as_str())
    .bind(trouble.map(|trouble| trouble.since.0))
    .bind(trouble.map(|trouble| trouble.answer.as_str()))
    .bind(trouble.map(|trouble| trouble.next_at.0))
    .execute(connection)
    .await?;
    Ok(())
}
