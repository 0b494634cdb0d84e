//! Credits that a caller of the HTTP API has asked for or approved in a UTC day: the table `caller_credits`.
//!
//! A row is written before what it is for, in one transaction with the comparison, so calls at the same time cannot
//! exceed the limit together. A crash in between leaves a row too many: the caller may ask for less, never for more.

use crate::domain::{Credits, Millis};
use crate::store::{Reads, Store, StoreError, sql};

/// The result of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The id of the reservation, to give it back.
    Yes(i64),
    /// What the caller may still ask for today.
    Over { left: Credits },
}

/// Counts `credits` on the caller's day, if they fit in what is left of `limit`.
pub async fn reserve(
    store: &Store,
    caller: &str,
    limit: Credits,
    credits: Credits,
    now: Millis,
) -> Result<Reserved, StoreError> {
    let (caller, today) = (caller.to_owned(), now.start_of_day());
    // A statement that fails would end the process.
    let credits = credits.max(Credits::ZERO);
    store
        .write(move |connection| {
            Box::pin(async move {
                sql::query("delete from caller_credits where caller = $1 and at < $2")
                    .bind(&caller)
                    .bind(today.0)
                    .execute(&mut *connection)
                    .await?;
                let used: i64 = sql::query_scalar(
                    "select cast(coalesce(sum(credits), 0) as bigint) from caller_credits where caller = $1",
                )
                .bind(&caller)
                .fetch_one(&mut *connection)
                .await?;
                let left = Credits(limit.0.saturating_sub(used).max(0));
                if credits > left {
                    return Ok(Reserved::Over { left });
                }
                let id = sql::query_scalar(
                    "insert into caller_credits (caller, at, credits) values ($1, $2, $3) returning id",
                )
                .bind(&caller)
                .bind(now.0)
                .bind(credits.0)
                .fetch_one(connection)
                .await?;
                Ok(Reserved::Yes(id))
            })
        })
        .await
}

/// What a caller has asked for or approved since a time.
pub async fn used(readers: &Reads, caller: &str, since: Millis) -> Result<Credits, StoreError> {
    let used: i64 = sql::query_scalar(
        "select cast(coalesce(sum(credits), 0) as bigint) from caller_credits where caller = $1 and at >= $2",
    )
    .bind(caller)
    .bind(since.0)
    .fetch_one(readers)
    .await?;
    Ok(Credits(used))
}

/// Gives a reservation back: nothing was written or approved for it.
pub async fn release(store: &Store, id: i64) -> Result<(), StoreError> {
    store
        .write(move |connection| {
            Box::pin(async move {
                sql::query("delete from caller_credits where id = $1").bind(id).execute(connection).await?;
                Ok(())
            })
        })
        .await
}
