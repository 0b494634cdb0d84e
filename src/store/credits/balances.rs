//! Recorded balances: the table `balance_snapshots`.

use crate::store::{Reads, StoreError, Tx, sql};
use sqlx::FromRow;

use crate::domain::credits::Balance;
use crate::domain::granted::{Granted, Reading, Seen};
use crate::domain::{AccountId, Credits, Millis};

/// A recorded balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Snapshot {
    pub id: i64,
    pub total: i64,
    pub asked_at: i64,
    pub taken_at: i64,
}

/// When a balance was asked for: the time, and the newest entry of the ledger then.
///
/// What was booked before or after it is told by the entries: times cannot be compared once the clock was set.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub at: Millis,
    pub ledger: i64,
}

/// Notes with which key a balance was read, as far as a key may be shown.
pub async fn note_key(connection: &mut Tx, snapshot: i64, key: Option<&str>) -> Result<(), StoreError> {
    sql::query("update balance_snapshots set read_with = $2 where id = $1")
        .bind(snapshot)
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

/// The key with which a balance was read; `None` where an older version read it.
pub async fn read_with(readers: &Reads, snapshot: i64) -> Result<Option<String>, StoreError> {
    let key: Option<Option<String>> =
        sql::query_scalar("select read_with from balance_snapshots where id = $1")
            .bind(snapshot)
            .fetch_optional(readers)
            .await?;
    Ok(key.flatten())
}

/// Records a balance.
pub async fn add_snapshot(
    connection: &mut Tx,
    account: &AccountId,
    balance: Balance,
    cause: &str,
    asked: Asked,
    taken_at: Millis,
) -> Result<i64, StoreError> {
    Ok(sql::query_scalar(
        "insert into balance_snapshots (account, taken_at, cause, total, subscription, addon, gift, asked_at,
                subscription_amount, addon_amount, gift_amount, reset_at, addon_expire_at, owner,
                ledger_when_asked, attempt_when_taken)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                 coalesce((select owner from accounts where account = $1), $1),
                 $14, (select coalesce(max(id), 0) from attempts)) returning id",
    )
    .bind(account.as_str())
    .bind(taken_at.0)
    .bind(cause)
    .bind(balance.total.0)
    .bind(balance.subscription.0)
    .bind(balance.addon.0)
    .bind(balance.gift.0)
    .bind(asked.at.0)
    .bind(balance.granted.subscription.map(|credits| credits.0))
    .bind(balance.granted.addon.map(|credits| credits.0))
    .bind(balance.granted.gift.map(|credits| credits.0))
    .bind(balance.granted.reset_at.map(|at| at.0))
    .bind(balance.granted.addon_expire_at.map(|at| at.0))
    .bind(asked.ledger)
    .fetch_one(connection)
    .await?)
}

/// The newest balance of an account up to this one that says what was granted, if there is any: the answer to the unlock
/// of an event does not, and later readings are compared with it. Otherwise the newest.
pub async fn granted_by(
    readers: &Reads,
    account: &AccountId,
    newest: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(sql::query_scalar(
        "select coalesce(
             (select id from balance_snapshots
              where owner = (select owner from accounts where account = $1) and id <= $2
                and coalesce(subscription_amount, addon_amount, gift_amount, reset_at, addon_expire_at) is not null
              order by id desc limit 1),
             (select id from balance_snapshots
              where owner = (select owner from accounts where account = $1) and id <= $2
              order by id desc limit 1))",
    )
    .bind(account.as_str())
    .bind(newest)
    .fetch_one(readers)
    .await?)
}

/// The balances of an account from one to another with their parts, in the order in which they were asked for.
pub async fn readings_between(
    readers: &Reads,
    account: &AccountId,
    (from, to): (i64, i64),
) -> Result<Vec<Reading>, StoreError> {
    let rows: Vec<ReadingRow> = sql::query_as(
        "select taken_at, total, subscription, addon, gift, subscription_amount, addon_amount, gift_amount,
                reset_at, addon_expire_at
         from balance_snapshots where owner = (select owner from accounts where account = $1) and id between $2 and $3
         order by coalesce(ledger_when_asked, 0), asked_at, id",
    )
    .bind(account.as_str())
    .bind(from)
    .bind(to)
    .fetch_all(readers)
    .await?;
    Ok(rows.into_iter().map(ReadingRow::reading).collect())
}

#[derive(FromRow)]
struct ReadingRow {
    taken_at: i64,
    total: i64,
    subscription: i64,
    addon: i64,
    gift: i64,
    subscription_amount: Option<i64>,
    addon_amount: Option<i64>,
    gift_amount: Option<i64>,
    reset_at: Option<i64>,
    addon_expire_at: Option<i64>,
}

impl ReadingRow {
    fn reading(self) -> Reading {
        let granted = Granted {
            subscription: self.subscription_amount.map(Credits),
            addon: self.addon_amount.map(Credits),
            gift: self.gift_amount.map(Credits),
            reset_at: self.reset_at.map(Millis),
            addon_expire_at: self.addon_expire_at.map(Millis),
        };
        Reading {
            seen: Seen { at: Millis(self.taken_at), granted },
            total: Credits(self.total),
            parts: [self.subscription, self.addon, self.gift].map(Credits),
        }
    }
}

/// The newest balance of an account.
pub async fn last_snapshot(readers: &Reads, account: &AccountId) -> Result<Option<Snapshot>, StoreError> {
    Ok(sql::query_as(
        "select id, total, asked_at, taken_at from balance_snapshots
         where owner = (select owner from accounts where account = $1) order by id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?)
}

/// The newest balances that an account's own key has read, oldest first.
pub async fn read_by(readers: &Reads, account: &AccountId) -> Result<Vec<(Millis, Balance)>, StoreError> {
    let mut rows: Vec<(i64, i64, i64, i64, i64)> = sql::query_as(
        "select taken_at, total, subscription, addon, gift from balance_snapshots
         where owner = (select owner from accounts where account = $1) and account = $1 order by id desc limit 50",
    )
    .bind(account.as_str())
    .fetch_all(readers)
    .await?;
    rows.reverse();
    Ok(rows.into_iter().map(balance).collect())
}

fn balance((taken_at, total, subscription, addon, gift): (i64, i64, i64, i64, i64)) -> (Millis, Balance) {
    let [total, subscription, addon, gift] = [total, subscription, addon, gift].map(Credits);
    (Millis(taken_at), Balance { total, subscription, addon, gift, granted: Granted::default() })
}

/// The newest balance of an account, with its parts.
pub async fn last_balance(
    readers: &Reads,
    account: &AccountId,
) -> Result<Option<(Millis, Balance)>, StoreError> {
    let row: Option<(i64, i64, i64, i64, i64)> = sql::query_as(
        "select taken_at, total, subscription, addon, gift from balance_snapshots
         where owner = (select owner from accounts where account = $1) order by id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?;
    Ok(row.map(balance))
}
