//! The `outbox` table: messages for `notify.url`. Triggers write them (migration 0104); the functions here
//! read them, and mark them with the result of their delivery.

use crate::store::{Reads, StoreError, Tx, sql};
use sqlx::FromRow;

use crate::domain::Millis;

/// A message that is to be delivered.
const WAITING: &str = "waiting";
/// How a message ends: it was delivered, or it is not tried again.
const DELIVERED: &str = "delivered";
const GIVEN_UP: &str = "given_up";

/// A message to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Message {
    pub id: i64,
    /// The same at every attempt.
    pub message_id: String,
    #[sqlx(rename = "type")]
    pub kind: String,
    /// When the reported change happened.
    pub at: i64,
    /// A JSON object.
    pub data: String,
    #[sqlx(try_from = "i64")]
    pub attempts: u32,
}

/// Starts writing messages of these types.
pub async fn open(connection: &mut Tx, events: &[String]) -> Result<(), StoreError> {
    sql::query(
        "insert into outbox_is_open (id, events) values (1, $1)
         on conflict (id) do update set events = excluded.events",
    )
    .bind(serde_json::json!(events).to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Stops writing messages, and gives up those that wait. Returns how many.
pub async fn close(connection: &mut Tx, now: Millis) -> Result<u64, StoreError> {
    sql::query("delete from outbox_is_open where id = 1").execute(&mut *connection).await?;
    let given_up = sql::query("update outbox set state = $2, ended_at = $1 where state = 'waiting'")
        .bind(now.0)
        .bind(GIVEN_UP)
        .execute(connection)
        .await?;
    Ok(given_up.rows_affected())
}

/// Messages that are due, longest due first.
pub async fn due(readers: &Reads, now: Millis, limit: u32) -> Result<Vec<Message>, StoreError> {
    Ok(sql::query_as(
        "select id, message_id, type, at, data, attempts from outbox
         where state = 'waiting' and due_at <= $1 order by due_at, id limit $2",
    )
    .bind(now.0)
    .bind(limit)
    .fetch_all(readers)
    .await?)
}

/// When the next message is due.
pub async fn next_due(readers: &Reads) -> Result<Option<Millis>, StoreError> {
    let at: Option<i64> = sql::query_scalar("select min(due_at) from outbox where state = 'waiting'")
        .fetch_one(readers)
        .await?;
    Ok(at.map(Millis))
}

/// Whether a message waits for its first attempt.
pub async fn has_untried(readers: &Reads) -> Result<bool, StoreError> {
    Ok(sql::query_scalar("select exists (select 1 from outbox where state = 'waiting' and due_at = 0)")
        .fetch_one(readers)
        .await?)
}

/// Marks a message as delivered.
pub async fn delivered(connection: &mut Tx, id: i64, now: Millis) -> Result<(), StoreError> {
    end(connection, id, DELIVERED, now).await
}

/// Marks a message as given up: it is not tried again.
pub async fn give_up(connection: &mut Tx, id: i64, now: Millis) -> Result<(), StoreError> {
    end(connection, id, GIVEN_UP, now).await
}

/// May change no row: closing the outbox may already have ended the message.
async fn end(connection: &mut Tx, id: i64, state: &str, now: Millis) -> Result<(), StoreError> {
    sql::query(
        "update outbox set state = $2, attempts = attempts + 1, ended_at = $3 where id = $1 and state = 'waiting'",
    )
    .bind(id)
    .bind(state)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Tries a message again at `due_at`.
pub async fn retry(connection: &mut Tx, id: i64, due_at: Millis) -> Result<(), StoreError> {
    sql::query("update outbox set attempts = attempts + 1, due_at = $2 where id = $1 and state = 'waiting'")
        .bind(id)
        .bind(due_at.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether messages are written: a receiver is configured, and has not said that it wants none.
pub async fn is_open(readers: &Reads) -> Result<bool, StoreError> {
    Ok(sql::query_scalar("select exists (select 1 from outbox_is_open)").fetch_one(readers).await?)
}

/// The highest id of a message.
pub async fn newest(readers: &Reads) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select coalesce(max(id), 0) from outbox").fetch_one(readers).await?)
}

/// Lets messages of changes since a time be delivered once more, those with ids in `(after, up_to]`, at most `limit`.
/// Each keeps its `webhook-id`. Returns their ids.
pub async fn replay(
    connection: &mut Tx,
    since: Millis,
    (after, up_to): (i64, i64),
    limit: u32,
) -> Result<Vec<i64>, StoreError> {
    let mut ids: Vec<i64> = sql::query_scalar(
        "update outbox set state = $5, attempts = 0, due_at = 0, ended_at = null
         where id in (select id from outbox where state <> 'waiting' and at >= $1 and id > $2 and id <= $3
                      order by id limit $4)
         returning id",
    )
    .bind(since.0)
    .bind(after)
    .bind(up_to)
    .bind(limit)
    .bind(WAITING)
    .fetch_all(connection)
    .await?;
    ids.sort_unstable();
    Ok(ids)
}

/// Whether messages that ended before this time are still stored.
pub async fn has_ended(readers: &Reads, before: Millis) -> Result<bool, StoreError> {
    Ok(sql::query_scalar("select exists (select 1 from outbox where state <> 'waiting' and ended_at < $1)")
        .bind(before.0)
        .fetch_one(readers)
        .await?)
}

/// Deletes messages that ended before this time, at most `limit`.
pub async fn prune(connection: &mut Tx, before: Millis, limit: u32) -> Result<(), StoreError> {
    sql::query(
        "delete from outbox where id in
             (select id from outbox where state <> 'waiting' and ended_at < $1 order by ended_at limit $2)",
    )
    .bind(before.0)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(())
}
