//! Recorded balances: the table `balance_snapshots`.

use crate::store::{Reads, StoreError, Tx, sql};
use sqlx::FromRow;

use crate::domain::credits::Balance;
use crate::domain::{AccountId, Credits, Millis};

/// A recorded balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Snapshot {
    pub id: i64,
    pub total: i64,
    pub asked_at: i64,
    pub taken_at: i64,
}

/// Records a balance.
pub async fn add_snapshot(
    connection: &mut Tx,
    account: &AccountId,
    balance: Balance,
    cause: &str,
    asked_at: Millis,
    taken_at: Millis,
) -> Result<i64, StoreError> {
    Ok(sql::query_scalar(
        "insert into balance_snapshots (account, taken_at, cause, total, subscription, addon, gift, asked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) returning id",
    )
    .bind(account.as_str())
    .bind(taken_at.0)
    .bind(cause)
    .bind(balance.total.0)
    .bind(balance.subscription.0)
    .bind(balance.addon.0)
    .bind(balance.gift.0)
    .bind(asked_at.0)
    .fetch_one(connection)
    .await?)
}

/// The newest balance of an account.
pub async fn last_snapshot(readers: &Reads, account: &AccountId) -> Result<Option<Snapshot>, StoreError> {
    Ok(sql::query_as(
        "select id, total, asked_at, taken_at from balance_snapshots where account = $1 order by id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?)
}

/// The newest balance of an account, with its parts.
pub async fn last_balance(
    readers: &Reads,
    account: &AccountId,
) -> Result<Option<(Millis, Balance)>, StoreError> {
    let row: Option<(i64, i64, i64, i64, i64)> = sql::query_as(
        "select taken_at, total, subscription, addon, gift from balance_snapshots where account = $1
         order by id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?;
    Ok(row.map(|(taken_at, total, subscription, addon, gift)| {
        let [total, subscription, addon, gift] = [total, subscription, addon, gift].map(Credits);
        (Millis(taken_at), Balance { total, subscription, addon, gift })
    }))
}
