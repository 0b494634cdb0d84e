//! The rate limit of an account's key, as far as it survives a restart: what was learned, and the recent calls.

use crate::domain::pause::Pause;
use crate::domain::rate::Rate;
use crate::domain::{AccountId, Millis};
use crate::store::accounts::{AccountRow, ensure, read};
use crate::store::address::pause_of;
use crate::store::{Reads, StoreError, Tx, sql};

impl AccountRow {
    /// When no call is made with the account's key, since the API asked for it.
    pub fn pause(&self, now: Millis) -> Option<Pause> {
        pause_of(self.blocked_since, self.blocked_until, now)
    }
}

/// Restores the rate limit that was last learned.
pub async fn read_rate(
    readers: &Reads,
    account: &AccountId,
    per_minute: u32,
    now: Millis,
) -> Result<Rate, StoreError> {
    let row = read(readers, account).await?;
    let sent: Vec<i64> =
        sql::query_scalar("select sent_at from recent_calls where account = $1 order by sent_at")
            .bind(account.as_str())
            .fetch_all(readers)
            .await?;
    let whole = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    Ok(Rate::restored(
        whole(row.rate_limit).unwrap_or(per_minute),
        row.rate_window_ms.unwrap_or(crate::domain::rate::DOCUMENTED_WINDOW_MS),
        sent.into_iter().map(Millis),
        whole(row.rate_remaining).zip(row.rate_resets_at.map(Millis)),
        row.pause(now),
        now,
    )
    .with_configured(per_minute)
    .with_latency(row.latency_ms.unwrap_or_default()))
}

/// Records a call before it is sent, and forgets calls older than two windows. `host`: where it is sent from, if there may
/// be several.
pub async fn book_call(
    connection: &mut Tx,
    account: &AccountId,
    sent_at: Millis,
    window_ms: i64,
    host: Option<&str>,
) -> Result<(), StoreError> {
    sql::query("delete from recent_calls where account = $1 and sent_at <= $2")
        .bind(account.as_str())
        .bind(sent_at.plus(-2 * window_ms).0)
        .execute(&mut *connection)
        .await?;
    sql::query("insert into recent_calls (account, sent_at, host) values ($1, $2, $3)")
        .bind(account.as_str())
        .bind(sent_at.0)
        .bind(host)
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores what was learned about the rate limit. A later `Retry-After` that another process received stays:
/// this process knows only its own.
pub async fn save_rate(connection: &mut Tx, account: &AccountId, rate: &Rate) -> Result<(), StoreError> {
    ensure(connection, account).await?;
    sql::query(
        "update accounts set rate_limit = $2, rate_window_ms = $3, rate_remaining = $4, rate_resets_at = $5,
                latency_ms = $7,
                blocked_since = case when coalesce($6, 0) > coalesce(blocked_until, 0) then $8 else blocked_since end,
                blocked_until = nullif(greatest(coalesce(blocked_until, 0), coalesce($6, 0)), 0)
         where account = $1",
    )
    .bind(account.as_str())
    .bind(i64::from(rate.limit()))
    .bind(rate.window_ms())
    .bind(rate.remaining().map(|(remaining, _)| i64::from(remaining)))
    .bind(rate.remaining().map(|(_, resets_at)| resets_at.0))
    .bind(rate.blocked_until().map(|until| until.0))
    .bind(rate.latency_ms())
    .bind(rate.pause().map(|pause| pause.since().0))
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets a `Retry-After`, since a person says so.
pub async fn unblock(connection: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    sql::query("update accounts set blocked_since = null, blocked_until = null where account = $1")
        .bind(account.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
