//! Shows the news of requests in the inbox: status, reason, quote.
//!
//! A trigger of another program may refuse it, for all rows or for some. What cannot be shown is tried again.

use std::time::{Duration, Instant};

use sqlx::FromRow;

use crate::domain::Millis;
use crate::domain::request_state::{self, Event, State};
use crate::store::inbox::overrides::by_worker;
use crate::store::inbox::too_long;
use crate::store::pairs;
use crate::store::{Store, StoreError, Tx, sql};

/// The news of a request that the inbox does not show yet.
#[derive(Debug, FromRow)]
pub struct Behind {
    pub id: i64,
    status: String,
    reason: Option<String>,
    quoted_credits: i64,
    finished_at: Option<i64>,
}

/// How far the inbox was brought up to date.
#[derive(Debug, Default)]
pub struct CaughtUp {
    /// Requests whose news it shows now.
    pub shown: usize,
    /// Why it does not show the others.
    pub problem: Option<StoreError>,
}

/// Parts in which news is shown when it cannot be shown at once: a trigger may fail for one row only.
const PARTS: usize = 32;
/// How long those tries may take.
const TRIES_TAKE: Duration = Duration::from_secs(4);

/// Brings the inbox up to date for up to `limit` requests.
pub async fn catch_up(store: &Store, limit: u32) -> Result<CaughtUp, StoreError> {
    let behind = behind(store, limit).await?;
    if behind.is_empty() {
        return Ok(CaughtUp::default());
    }
    let problem = match bring_up(store, &behind).await {
        Ok(shown) => return Ok(CaughtUp { shown, problem: locked(store, behind.len() - shown) }),
        Err(problem @ StoreError::Inbox { .. }) => problem,
        Err(error) => return Err(error),
    };
    let (mut shown, began) = (0, Instant::now());
    if behind.len() > 1 {
        for part in behind.chunks(behind.len().div_ceil(PARTS)) {
            if began.elapsed() > TRIES_TAKE {
                break;
            }
            match bring_up(store, part).await {
                Ok(count) => shown += count,
                Err(StoreError::Inbox { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(CaughtUp { shown, problem: Some(problem) })
}

/// Up to `limit` requests whose status the inbox does not show yet.
pub async fn behind(store: &Store, limit: u32) -> Result<Vec<Behind>, StoreError> {
    Ok(sql::query_as(
        "select id, status, reason, quoted_credits, finished_at from requests where inbox_is_behind = 1
         order by id limit $1",
    )
    .bind(limit)
    .fetch_all(store.readers())
    .await?)
}

/// Writes their news into the inbox. Afterwards each is marked as behind or not by its present state: it may
/// have changed since it was read, and another process may already have shown that change.
pub async fn bring_up(store: &Store, behind: &[Behind]) -> Result<usize, StoreError> {
    let rows: Vec<_> = behind
        .iter()
        .map(|row| {
            let resets_approval = i64::from(row.status == State::AwaitingApproval.name());
            (row.id, &row.status, &row.reason, row.quoted_credits, row.finished_at, resets_approval)
        })
        .collect();
    let ids = behind.iter().map(|row| row.id).collect();
    let rows = sql::to_json(&rows);
    let for_inbox = rows.clone();
    let frees_keys = behind.iter().any(|row| row.status == State::Rejected.name());
    let shown =
        store.write_inbox(move |connection| Box::pin(show(connection, ids, for_inbox, frees_keys))).await?;
    let count = shown.len();
    let shown = sql::to_json(&shown);
    store
        .write(move |connection| {
            Box::pin(async move {
                sql::query(
                    "update requests
                     set inbox_is_behind = case when requests.status <> shown.status
                                                  or requests.quoted_credits <> shown.quote then 1 else 0 end
                     from (select json_number(value, 0) as id, json_text(value, 1) as status,
                                  json_number(value, 3) as quote from json_rows($1)) as shown
                     where requests.id = shown.id and requests.id in (select value from json_ids($2))",
                )
                .bind(rows)
                .bind(shown)
                .execute(connection)
                .await?;
                Ok(count)
            })
        })
        .await
}

/// An approval covers only the quote that the row showed, so a row with a higher quote becomes not approved.
/// Returns the rows that could be shown.
async fn show(
    connection: &mut Tx,
    ids: Vec<i64>,
    rows: String,
    frees_keys: bool,
) -> Result<Vec<i64>, StoreError> {
    let ids = free_rows(&mut *connection, ids).await?;
    by_worker(&mut *connection, true).await?;
    too_long::take_out(&mut *connection, &rows).await?;
    sql::query(
        "update inbox set status = shown.status, reason = shown.reason, quoted_credits = shown.quoted_credits,
                finished_at = shown.finished_at,
                approved = case when shown.resets_approval = 1 then 0 else inbox.approved end
         from (select json_number(value, 0) as id, json_text(value, 1) as status, json_text(value, 2) as reason,
                      json_number(value, 3) as quoted_credits, json_number(value, 4) as finished_at,
                      json_number(value, 5) as resets_approval
               from json_rows($1)) as shown
         where inbox.id = shown.id and inbox.id in (select value from json_ids($2))
           and inbox.id not in (select id from inbox_written)",
    )
    .bind(rows)
    .bind(sql::to_json(&ids))
    .execute(&mut *connection)
    .await?;
    if frees_keys {
        free_keys(&mut *connection, sql::to_json(&ids)).await?;
    }
    by_worker(connection, false).await?;
    Ok(ids)
}

/// Those of these rows (ids as JSON) that were rejected free their dedupe keys, so that a corrected row can use the same
/// key. By a statement of its own: one that names the column rewrites its index for each row, and few are rejected.
async fn free_keys(connection: &mut Tx, ids: String) -> Result<(), StoreError> {
    sql::query(
        "update inbox set dedupe_key = null
         where id in (select value from json_ids($1)) and status = 'rejected' and dedupe_key is not null
           and id not in (select id from inbox_written)",
    )
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(())
}

/// The rows that no other program is writing. Where others can write at the same time, they are locked first, in a
/// statement of its own: the next one then sees what a program has written that was faster, also in `inbox_written`.
async fn free_rows(connection: &mut Tx, ids: Vec<i64>) -> Result<Vec<i64>, StoreError> {
    if connection.is_only_writer() {
        return Ok(ids);
    }
    Ok(sql::query_scalar(pairs::LOCK_INBOX_ROWS).bind(sql::to_json(&ids)).fetch_all(connection).await?)
}

/// Rows that stay as they are for now.
fn locked(store: &Store, count: usize) -> Option<StoreError> {
    let problem = format!(
        "another program has {count} of its rows locked: it has to end its transaction (COMMIT) before it waits for \
         anything else"
    );
    (count > 0).then(|| StoreError::Inbox { path: store.inbox_path().display().to_string(), problem })
}

/// Shows requests in the transaction that writes them, where the inbox is in the same file. False: it could not be
/// done, and nothing of it was; the worker shows them later.
///
/// Not where another program has a trigger on the inbox: it may end the whole transaction, or never end.
pub async fn show_at_once(connection: &mut Tx, ids: &[i64]) -> Result<bool, StoreError> {
    let ids = ids.to_vec();
    connection.attempt(move |connection| Box::pin(show_requests(connection, ids))).await
}

/// Whether another program has a trigger on the inbox.
pub async fn has_other_triggers(connection: &mut Tx) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(pairs::HAS_OTHER_TRIGGERS).fetch_one(connection).await?)
}

async fn show_requests(connection: &mut Tx, all: Vec<i64>) -> Result<(), StoreError> {
    let ids = free_rows(&mut *connection, all.clone()).await?;
    if ids.len() < all.len() {
        let locked: Vec<i64> = all.into_iter().filter(|id| !ids.contains(id)).collect();
        sql::query("update requests set inbox_is_behind = 1 where id in (select value from json_ids($1))")
            .bind(sql::to_json(&locked))
            .execute(&mut *connection)
            .await?;
    }
    let ids = sql::to_json(&ids);
    by_worker(&mut *connection, true).await?;
    let ended: Vec<(i64, String)> = sql::query_as(
        "select id, status from requests
         where id in (select value from json_ids($1)) and status in ('rejected', 'cancelled')",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    if !ended.is_empty() {
        too_long::take_out(&mut *connection, &sql::to_json(&ended)).await?;
    }
    sql::query(
        "update inbox set status = r.status, reason = r.reason, quoted_credits = r.quoted_credits,
                finished_at = r.finished_at,
                approved = case r.status when 'awaiting_approval' then 0 else inbox.approved end
         from requests r
         where r.id in (select value from json_ids($1)) and inbox.id = r.id
           and inbox.id not in (select id from inbox_written)",
    )
    .bind(&ids)
    .execute(&mut *connection)
    .await?;
    if !ended.is_empty() {
        free_keys(&mut *connection, ids.clone()).await?;
    }
    by_worker(&mut *connection, false).await?;
    sql::query(
        "update requests set inbox_is_behind = 1
         where id in (select id from inbox_written) and id in (select value from json_ids($1))",
    )
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(())
}

/// Rejects a row that cannot become a request, because another request has its id.
pub async fn reject(store: &Store, id: i64, reason: String, now: Millis) -> Result<(), StoreError> {
    let rejected = request_state::next(State::New, Event::Refused)?;
    store
        .write_inbox(move |connection| {
            Box::pin(async move {
                by_worker(&mut *connection, true).await?;
                sql::query(
                    "update inbox set status = $4, reason = $2, finished_at = $3, dedupe_key = null
                     where id = $1 and status = 'new'",
                )
                .bind(id)
                .bind(reason)
                .bind(now.0)
                .bind(rejected.name())
                .execute(&mut *connection)
                .await?;
                by_worker(connection, false).await
            })
        })
        .await
}
