//! The facts about the limit of this machine's address that survive a restart.

use sqlx::FromRow;

use crate::domain::Millis;
use crate::domain::address::{Address, Lowered};
use crate::domain::pause::Pause;
use crate::store::{Reads, StoreError, Tx, sql};

/// The host of a worker that shares its database with none.
const THE_ONE_WORKER: &str = "";

#[derive(Default, FromRow)]
struct Row {
    held_since: Option<i64>,
    held_until: Option<i64>,
    lowered_limit: Option<i64>,
    lowered_pause_ms: Option<i64>,
    lowered_at: Option<i64>,
}

/// Restores the limit that was last learned, with the recent calls of all accounts. `host`: those of this host, if there
/// may be several; each has an address, and so a limit, of its own.
pub async fn read(
    readers: &Reads,
    (per_address, host): (u32, Option<&str>),
    now: Millis,
) -> Result<Address, StoreError> {
    let sent: Vec<i64> =
        sql::query_scalar("select sent_at from recent_calls where host is not distinct from $1")
            .bind(host)
            .fetch_all(readers)
            .await?;
    let row: Row = sql::query_as(
        "select held_since, held_until, lowered_limit, lowered_pause_ms, lowered_at from address_limit where host = $1",
    )
    .bind(host.unwrap_or(THE_ONE_WORKER))
    .fetch_optional(readers)
    .await?
    .unwrap_or_default();
    let limit = row.lowered_limit.and_then(|limit| u32::try_from(limit).ok());
    let lowered = limit.zip(row.lowered_pause_ms).zip(row.lowered_at);
    let lowered = lowered.map(|((limit, pause_ms), at)| Lowered { limit, pause_ms, at: Millis(at) });
    let pause = pause_of(row.held_since, row.held_until, now);
    Ok(Address::restored(per_address, sent.into_iter().map(Millis), lowered, pause, now))
}

/// The calls of a host after `since`, as this transaction sees them: those of all its workers.
pub async fn calls_of(tx: &mut Tx, host: &str, since: Millis) -> Result<Vec<Millis>, StoreError> {
    let sent: Vec<i64> =
        sql::query_scalar("select sent_at from recent_calls where host = $1 and sent_at > $2")
            .bind(host)
            .bind(since.0)
            .fetch_all(tx)
            .await?;
    Ok(sent.into_iter().map(Millis).collect())
}

/// The time until which the API wants no call from a machine: the last one, if several workers share the database.
pub async fn held_until(readers: &Reads, now: Millis) -> Result<Option<Millis>, StoreError> {
    let rows: Vec<(Option<i64>, Option<i64>)> =
        sql::query_as("select held_since, held_until from address_limit").fetch_all(readers).await?;
    Ok(rows.into_iter().filter_map(|(since, until)| pause_of(since, until, now)).map(Pause::until).max())
}

/// A pause as it was stored.
pub(super) fn pause_of(since: Option<i64>, until: Option<i64>, now: Millis) -> Option<Pause> {
    Some(Pause::restored(since.map(Millis), Millis(until?), now))
}

/// Stores what a 429 has shown to a host: see [`read`].
pub async fn save(connection: &mut Tx, address: &Address, host: Option<&str>) -> Result<(), StoreError> {
    let lowered = address.lowered();
    sql::query(
        "insert into address_limit (host, held_since, held_until, lowered_limit, lowered_pause_ms, lowered_at)
         values ($6, $1, $2, $3, $4, $5)
         on conflict (host) do update set held_since = excluded.held_since, held_until = excluded.held_until,
             lowered_limit = excluded.lowered_limit, lowered_pause_ms = excluded.lowered_pause_ms,
             lowered_at = excluded.lowered_at",
    )
    .bind(address.pause().map(|pause| pause.since().0))
    .bind(address.pause().map(|pause| pause.until().0))
    .bind(lowered.map(|lowered| i64::from(lowered.limit)))
    .bind(lowered.map(|lowered| lowered.pause_ms))
    .bind(lowered.map(|lowered| lowered.at.0))
    .bind(host.unwrap_or(THE_ONE_WORKER))
    .execute(connection)
    .await?;
    Ok(())
}
