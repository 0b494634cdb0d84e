//! What a worker that runs does when the clock of its machine is set: the times of its open work move with it.
//!
//! How far is known exactly, so a wait lasts as long as it would have: nothing is polled minutes late after a clock was
//! set back, and no task that is seconds old is given up after it was set a year ahead. What has ended, and ledger and
//! timeline, keep the times that the clock told. A clock that was set while no worker ran is the affair of
//! [`ahead`](super::ahead).

use crate::domain::AccountId;
use crate::store::{Store, StoreError, Tx, accounts, sql};

/// Moves the times of all open work by so many milliseconds.
pub async fn shift(store: &Store, by_ms: i64) -> Result<(), StoreError> {
    let accounts: Vec<AccountId> = accounts::owners(store.readers()).await?.into_keys().collect();
    store
        .write(move |tx| {
            Box::pin(async move {
                for account in &accounts {
                    shift_account(&mut *tx, account, by_ms).await?;
                }
                shift_shared(tx, by_ms).await
            })
        })
        .await
}

async fn shift_account(tx: &mut Tx, account: &AccountId, by_ms: i64) -> Result<(), StoreError> {
    for statement in [
        sql::query(
            "update jobs set next_poll_at = next_poll_at + $2, submitted_at = submitted_at + $2
         where state = 'polling' and account = $1",
        ),
        sql::query(
            "update jobs set due_at = due_at + $2, doubt_since = doubt_since + $2
         where state = 'in_doubt' and account = $1",
        ),
        sql::query("update jobs set due_at = due_at + $2 where state = 'queued' and account = $1"),
        sql::query(
            "update items set read_at = read_at + $2, reason_since = reason_since + $2
         where state = 'reading' and account = $1",
        ),
        sql::query(
            "update accounts set blocked_since = blocked_since + $2, blocked_until = blocked_until + $2,
                rate_resets_at = rate_resets_at + $2, trouble_since = trouble_since + $2,
                trouble_next_at = trouble_next_at + $2
         where account = $1",
        ),
    ] {
        statement.bind(account.as_str()).bind(by_ms).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn shift_shared(tx: &mut Tx, by_ms: i64) -> Result<(), StoreError> {
    for statement in [
        sql::query(
            "update address_limit set held_since = held_since + $1, held_until = held_until + $1,
                lowered_at = lowered_at + $1",
        ),
        sql::query("update recent_calls set sent_at = sent_at + $1"),
        sql::query("update outbox set due_at = due_at + $1 where state = 'waiting'"),
        sql::query("update inbox_faults set next_try_at = next_try_at + $1"),
    ] {
        statement.bind(by_ms).execute(&mut *tx).await?;
    }
    Ok(())
}
