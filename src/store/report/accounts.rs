//! Accounts as people read them: credits free to spend, calls left in the rate limit, and what blocks them.

use serde::{Serialize, Serializer};

use crate::domain::credits::Purse;
use crate::domain::job::WaitReason;
use crate::domain::{Credits, Millis};
use crate::store::accounts::AccountRow;
use crate::store::credits::ledger;
use crate::store::report::{AccountWork, Time};
use crate::store::{Store, StoreError, address, rate, sql};

/// The configured limits that an account's figures depend on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub per_minute: u32,
    pub min_balance: Credits,
    pub daily_limit: Option<Credits>,
    pub monthly_limit: Option<Credits>,
}

/// An account at one moment. All amounts are credits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    pub account: String,
    /// Whose credits it spends: the account's own name, unless several accounts share a pool.
    pub owner: String,
    /// The last balance read; `None`: none was read yet.
    pub balance: Option<i64>,
    pub balance_at: Option<Time>,
    /// Held for submissions without an answer.
    pub held: i64,
    /// Booked as charged since that balance was asked for, so that it does not show it yet.
    pub booked_since: i64,
    /// Free to spend: the balance without later charges, holds and the configured minimum.
    pub free: Option<i64>,
    /// Booked in this UTC day, and what left the balance beyond that.
    pub spent_today: i64,
    pub daily_limit: Option<i64>,
    /// The same in this UTC month.
    pub spent_this_month: i64,
    pub monthly_limit: Option<i64>,
    /// Possibly spent: the cost of submissions in doubt.
    pub in_doubt: i64,
    /// Calls used in the current window, and calls allowed in it.
    pub rate_used: u32,
    pub rate_limit: u32,
    /// No call before this time: the API asked to wait.
    pub blocked_until: Option<Time>,
    pub paused_at: Option<Time>,
    /// Paused because the database is an older copy, not by a person.
    pub paused_by_restore: bool,
    /// The fingerprint of a key that the API refused, and when.
    pub refused_key: Option<String>,
    pub key_refused_at: Option<Time>,
    /// Why, as the API has said it: `403 NO_ACTIVE_SUBSCRIPTION`.
    pub key_refused_why: Option<String>,
    /// Why its items that are in no job wait (the same words as for a queued job), and since when.
    #[serde(serialize_with = "word")]
    pub waits_for: Option<WaitReason>,
    pub waits_since: Option<Time>,
    /// The API does not answer as it should.
    pub api_trouble: Option<ApiTrouble>,
    /// Expired jobs: a resume polls them again.
    pub expired_jobs: i64,
}

impl Account {
    /// The account's name, with its owner if that is another one.
    pub fn title(&self) -> String {
        with_owner(&self.account, &self.owner)
    }
}

/// The name of an account, with its owner if that has another name: the one way in which people see owners.
pub fn with_owner(account: &str, owner: &str) -> String {
    if account == owner { account.to_owned() } else { format!("{account} (owner {owner})") }
}

fn word<S: Serializer>(reason: &Option<WaitReason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(WaitReason::as_str).serialize(serializer)
}

/// The API does not answer as it should, so nothing new is sent: the same words in every place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiTrouble {
    pub since: Time,
    /// What it does instead of answering: "answers 503".
    pub answer: String,
    pub next_try_at: Time,
}

impl ApiTrouble {
    /// From the account's row; `None` while the API answers.
    pub fn of(row: &AccountRow) -> Option<ApiTrouble> {
        Some(ApiTrouble {
            since: Time(row.trouble_since?),
            answer: row.trouble_answer.clone()?,
            next_try_at: Time(row.trouble_next_at?),
        })
    }

    /// "the API answers 503 since ...".
    pub fn what(&self) -> String {
        format!("the API {} since {}", self.answer, self.since)
    }

    /// When it is tried next.
    pub fn next_try(&self, now: Millis) -> String {
        match self.next_try_at.0 > now.0 {
            true => format!("next try at {}", self.next_try_at),
            false => "it is tried again with the next call".to_owned(),
        }
    }
}

/// Reads an account, whose row was read with its work.
pub async fn read(
    store: &Store,
    AccountWork { account, row, .. }: &AccountWork,
    limits: Limits,
    now: Millis,
) -> Result<Account, StoreError> {
    let rate = rate::read_rate(store.readers(), account, limits.per_minute, now).await?;
    let blocked_until = rate.blocked_until().max(address::held_until(store.readers(), now).await?);
    let purse = ledger::purse(store.readers(), account, now).await?;
    let purse = purse.map(|purse| Purse { min_balance: limits.min_balance, ..purse });
    let api_trouble = ApiTrouble::of(row);
    let (in_doubt, expired_jobs): (i64, i64) = sql::query_as(
        "select (select cast(coalesce(sum(cost), 0) as bigint) from jobs where state = 'in_doubt' and account = $1
                   and state_reason <> 'carried_out'),
                (select count(*) from jobs where state = 'expired' and account = $1)",
    )
    .bind(account.as_str())
    .fetch_one(store.readers())
    .await?;
    Ok(Account {
        owner: row.owner.clone().unwrap_or_else(|| account.to_string()),
        account: account.to_string(),
        balance: purse.map(|purse| purse.balance.0),
        balance_at: purse.map(|purse| purse.balance_at.into()),
        held: purse.map_or(0, |purse| purse.held.0),
        booked_since: purse.map_or(0, |purse| purse.charged_since.0),
        free: purse.map(|purse| purse.available().0),
        spent_today: purse.map_or(0, |purse| purse.spent_today.0),
        daily_limit: limits.daily_limit.map(|credits| credits.0),
        spent_this_month: purse.map_or(0, |purse| purse.spent_this_month.0),
        monthly_limit: limits.monthly_limit.map(|credits| credits.0),
        in_doubt,
        rate_used: rate.used(now),
        rate_limit: rate.limit(),
        blocked_until: blocked_until.filter(|until| *until > now).map(Time::from),
        paused_at: row.paused_at.map(Time),
        paused_by_restore: row.is_paused_by_restore(),
        key_refused_why: row.refused().map(|refused| refused.why.to_string()),
        waits_for: row.waits_for(),
        refused_key: row.refused_key.clone(),
        waits_since: row.waits_since.map(Time),
        key_refused_at: row.key_refused_at.map(Time),
        api_trouble,
        expired_jobs,
    })
}
