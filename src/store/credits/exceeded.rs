//! Prices that the balance shows to be exceeded: how often in succession, by owner and action, and the accounts
//! that stopped for it.

use crate::domain::reconcile::Settlement;
use crate::domain::{AccountId, Action, Credits, Millis};
use crate::store::{StoreError, Tx, sql};

/// Counts a settlement in which the price of an action was exceeded. Returns how many there were in succession.
pub async fn count(connection: &mut Tx, account: &AccountId, action: Action) -> Result<i64, StoreError> {
    Ok(sql::query_scalar(
        "insert into exceeded_prices (owner, action, times)
         values (coalesce((select owner from accounts where account = $1), $1), $2, 1)
         on conflict (owner, action) do update set times = exceeded_prices.times + 1
         returning times",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .fetch_one(connection)
    .await?)
}

/// A settlement shows that the price holds: the count begins again.
pub async fn forget(connection: &mut Tx, account: &AccountId, action: Action) -> Result<(), StoreError> {
    sql::query(
        "delete from exceeded_prices
         where owner = coalesce((select owner from accounts where account = $1), $1) and action = $2",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// A person has resumed the account: earlier settlements of its owner no longer count.
pub async fn forget_all(connection: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    sql::query(
        "delete from exceeded_prices where owner = coalesce((select owner from accounts where account = $1), $1)",
    )
    .bind(account.as_str())
    .execute(&mut *connection)
    .await?;
    sql::query(
        "update accounts set overcharged_at = null, overcharged_expected = null, overcharged_spent = null
         where account = $1 and overcharged_at is not null",
    )
    .bind(account.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Pauses all accounts of the owner because of this settlement. A pause that a person made goes on under this
/// reason.
pub async fn pause_owner(
    connection: &mut Tx,
    account: &AccountId,
    settlement: &Settlement,
    now: Millis,
) -> Result<(), StoreError> {
    sql::query(
        "update accounts set paused_at = coalesce(paused_at, $2), overcharged_at = coalesce(paused_at, $2),
                overcharged_expected = $3, overcharged_spent = $4
         where account = $1 or account in (select member from pools where account = $1)",
    )
    .bind(account.as_str())
    .bind(now.0)
    .bind(settlement.expected_max.0)
    .bind(settlement.spent.map(|credits: Credits| credits.0))
    .execute(connection)
    .await?;
    Ok(())
}
