//! Times that lie further ahead than any wait can be: the clock that wrote them was set back since.
//!
//! At the start, when nothing runs, each is cut to the longest wait of its kind, a `Retry-After` to its own length:
//! else a paid task would not be polled before the clock reaches them again, after hours or years. The moment of
//! something that has happened becomes now. Ledger and timeline are never changed; a charge from the future counts as
//! spent after each balance, which buys less.

use crate::domain::pacing::LongestWaits;
use crate::domain::{AccountId, Millis};
use crate::store::{Store, StoreError, Tx, accounts, sql};

/// Cuts the times ahead; returns how many rows had one.
pub async fn cut(store: &Store, longest: LongestWaits, now: Millis) -> Result<u64, StoreError> {
    let accounts: Vec<AccountId> = accounts::owners(store.readers()).await?.into_keys().collect();
    Ok(cut_shared(store, longest, now).await? + cut_accounts(store, &accounts, longest, now).await?)
}

/// Cuts those that belong to no work of an account.
pub async fn cut_shared(store: &Store, longest: LongestWaits, now: Millis) -> Result<u64, StoreError> {
    store.write(move |tx| Box::pin(cut_shared_rows(tx, longest, now))).await
}

/// Cuts those of the work of these accounts.
pub async fn cut_accounts(
    store: &Store,
    accounts: &[AccountId],
    longest: LongestWaits,
    now: Millis,
) -> Result<u64, StoreError> {
    let mut cut = 0;
    for account in accounts {
        let account = account.clone();
        cut += store
            .write(move |tx| Box::pin(async move { cut_account(tx, &account, longest, now).await }))
            .await?;
    }
    Ok(cut)
}

async fn cut_account(
    tx: &mut Tx,
    account: &AccountId,
    longest: LongestWaits,
    now: Millis,
) -> Result<u64, StoreError> {
    let polls = sql::query(
        "update jobs set next_poll_at = $2, submitted_at = case when submitted_at > $3 then $3 else submitted_at end
         where state = 'polling' and account = $1 and next_poll_at > $2",
    )
    .bind(account.as_str())
    .bind(now.plus(longest.poll_ms).0)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    let looks = sql::query(
        "update jobs set due_at = $2, doubt_since = case when doubt_since > $3 then $3 else doubt_since end
         where state = 'in_doubt' and account = $1 and due_at > $2",
    )
    .bind(account.as_str())
    .bind(now.plus(longest.look_ms).0)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    let retries = sql::query(
        "update jobs set due_at = $2 where state = 'queued' and account = $1 and state_reason is null and due_at > $2",
    )
    .bind(account.as_str())
    .bind(now.plus(longest.retry_after_ms).0)
    .execute(&mut *tx)
    .await?;
    let reads = sql::query(
        "update items set read_at = $2, reason_since = case when reason_since > $3 then $3 else reason_since end
         where state = 'reading' and account = $1 and read_at > $2",
    )
    .bind(account.as_str())
    .bind(now.plus(longest.read_ms).0)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(polls.rows_affected() + looks.rows_affected() + retries.rows_affected() + reads.rows_affected())
}

async fn cut_shared_rows(tx: &mut Tx, longest: LongestWaits, now: Millis) -> Result<u64, StoreError> {
    let limit = now.plus(longest.retry_after_ms);
    let accounts = sql::query(
        "update accounts set
             blocked_until = case when blocked_since > $2 then blocked_until - (blocked_since - $2)
                                  when blocked_until > $1 then $1 else blocked_until end,
             blocked_since = case when blocked_since > $2 then $2 else blocked_since end,
             rate_resets_at = case when rate_resets_at > $1 then $1 else rate_resets_at end,
             trouble_since = case when trouble_since > $2 then $2 else trouble_since end
         where blocked_since > $2 or blocked_until > $1 or rate_resets_at > $1 or trouble_since > $2",
    )
    .bind(limit.0)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    let address = sql::query(
        "update address_limit set
             held_until = case when held_since > $2 then held_until - (held_since - $2)
                               when held_until > $1 then $1 else held_until end,
             held_since = case when held_since > $2 then $2 else held_since end,
             lowered_at = case when lowered_at > $2 then $2 else lowered_at end
         where held_since > $2 or held_until > $1 or lowered_at > $2",
    )
    .bind(limit.0)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    let calls = sql::query("update recent_calls set sent_at = $1 where sent_at > $1")
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
    let balances = sql::query(
        "update balance_snapshots set taken_at = $1, asked_at = case when asked_at > $1 then $1 else asked_at end
         where taken_at > $1",
    )
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    let messages = sql::query("update outbox set due_at = $1 where state = 'waiting' and due_at > $1")
        .bind(now.plus(longest.message_ms).0)
        .execute(&mut *tx)
        .await?;
    let faults = sql::query("update inbox_faults set next_try_at = $1 where next_try_at > $1")
        .bind(now.plus(longest.look_ms).0)
        .execute(tx)
        .await?;
    let all = [accounts, address, calls, balances, messages, faults];
    Ok(all.iter().map(|done| done.rows_affected()).sum())
}
