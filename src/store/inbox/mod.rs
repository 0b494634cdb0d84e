//! The `inbox` table: other programs write requests here and read their status.
//!
//! It may be a separate file, so nothing here shares a transaction with `requests`. Taking a row is idempotent
//! by its id. The inbox lags behind `requests` for a moment: `requests` marks such a row, and the worker writes
//! the inbox until it is up to date.

mod enqueue;
pub mod overrides;
pub mod served;

use crate::store::{Store, StoreError, Tx, sql};
use serde_json::json;
use sqlx::FromRow;

pub use self::enqueue::{Enqueue, find_dedupe_key, insert};
use crate::domain::Millis;
use crate::domain::request::RawRow;
use crate::domain::request_state::{self, Event, State};
use crate::store::inbox::overrides::by_worker;

/// A new row, read as bytes: any program may have written anything into it.
#[derive(Clone, Debug, FromRow)]
pub struct InboxRow {
    pub id: i64,
    account: Option<Vec<u8>>,
    action: Option<Vec<u8>>,
    event_id: Option<Vec<u8>>,
    personnel_ids: Option<Vec<u8>>,
    task_id: Option<Vec<u8>>,
    query: Option<Vec<u8>>,
    /// Cut off one character above the allowed length.
    reference: Option<Vec<u8>>,
    dedupe_key: Option<Vec<u8>>,
    pub max_pages: i64,
    pub max_credits: Option<i64>,
    pub approved: i64,
    pub created_at: i64,
}

macro_rules! text_columns {
    ($($name:ident),*) => {$(
        /// The column as text; bytes that are not UTF-8 become replacement characters.
        pub fn $name(&self) -> Option<String> {
            self.$name.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        }
    )*};
}

impl InboxRow {
    text_columns!(account, action, event_id, personnel_ids, task_id, query, reference, dedupe_key);

    /// How much memory the row takes, roughly.
    pub fn size(&self) -> usize {
        let long = [&self.personnel_ids, &self.reference, &self.query];
        200 + long.into_iter().flatten().map(Vec::len).sum::<usize>()
    }
}

impl From<&InboxRow> for RawRow {
    fn from(row: &InboxRow) -> RawRow {
        RawRow {
            account: row.account().unwrap_or_default(),
            action: row.action().unwrap_or_default(),
            event_id: row.event_id(),
            personnel_ids: row.personnel_ids(),
            task_id: row.task_id(),
            query: row.query(),
            max_pages: row.max_pages,
            max_credits: row.max_credits,
            approved: row.approved,
            reference: row.reference(),
            dedupe_key: row.dedupe_key(),
        }
    }
}

macro_rules! select_rows {
    ($rest:literal) => {
        concat!(
            "select id, bytes_of(account) as account, bytes_of(action) as action, \
             bytes_of(event_id) as event_id, bytes_of(personnel_ids) as personnel_ids, \
             bytes_of(task_id) as task_id, bytes_of(query) as query, \
             bytes_of(substr(reference, 1, 1001)) as reference, \
             bytes_of(substr(dedupe_key, 1, 201)) as dedupe_key, max_pages, max_credits, approved, created_at from inbox ",
            $rest
        )
    };
}

/// New rows in the order of their ids: at most `limit`, and not more than about `bytes` of content (but at
/// least one row).
pub async fn new_rows(store: &Store, limit: u32, bytes: usize) -> Result<Vec<InboxRow>, StoreError> {
    use futures_util::TryStreamExt;
    let mut stream = sql::query_as::<InboxRow>(select_rows!("where status = 'new' order by id limit $1"))
        .bind(limit)
        .fetch(&store.inbox_readers)?;
    let (mut rows, mut size) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        size += row.size();
        rows.push(row);
        if size >= bytes {
            break;
        }
    }
    Ok(rows)
}

/// A row that was not taken yet, or `None`.
pub async fn new_row(store: &Store, id: i64) -> Result<Option<InboxRow>, StoreError> {
    Ok(sql::query_as(select_rows!("where id = $1 and status = 'new'"))
        .bind(id)
        .fetch_optional(&store.inbox_readers)
        .await?)
}

/// The status that a row shows, or `None`.
pub async fn status(store: &Store, id: i64) -> Result<Option<String>, StoreError> {
    Ok(sql::query_scalar("select status from inbox where id = $1")
        .bind(id)
        .fetch_optional(&store.inbox_readers)
        .await?)
}

/// Rows that the inbox shows as taken and not finished, but whose request does not exist: the state was
/// restored from a backup that is older than the inbox.
pub async fn forgotten_rows(store: &Store) -> Result<Vec<InboxRow>, StoreError> {
    let ids: Vec<i64> =
        sql::query_scalar("select id from inbox where status in ('accepted', 'awaiting_approval')")
            .fetch_all(&store.inbox_readers)
            .await?;
    let missing: Vec<i64> =
        sql::query_scalar("select value from json_ids($1) as taken where not exists (select 1 from requests where id = taken.value)")
            .bind(json!(ids).to_string())
            .fetch_all(store.readers())
            .await?;
    rows(store, &missing).await
}

/// The rows with these ids.
pub async fn rows(store: &Store, ids: &[i64]) -> Result<Vec<InboxRow>, StoreError> {
    Ok(sql::query_as(select_rows!("where id in (select value from json_ids($1)) order by id"))
        .bind(json!(ids).to_string())
        .fetch_all(&store.inbox_readers)
        .await?)
}

/// The news of a request that the inbox does not show yet.
#[derive(Debug, FromRow)]
pub struct Behind {
    pub id: i64,
    status: String,
    reason: Option<String>,
    quoted_credits: i64,
    finished_at: Option<i64>,
}

/// Brings the inbox up to date for up to `limit` requests; returns how many there were.
pub async fn catch_up(store: &Store, limit: u32) -> Result<usize, StoreError> {
    let behind = behind(store, limit).await?;
    if !behind.is_empty() {
        bring_up(store, &behind).await?;
    }
    Ok(behind.len())
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
pub async fn bring_up(store: &Store, behind: &[Behind]) -> Result<(), StoreError> {
    let rows: Vec<_> = behind
        .iter()
        .map(|row| {
            let resets_approval = i64::from(row.status == State::AwaitingApproval.name());
            json!([row.id, row.status, row.reason, row.quoted_credits, row.finished_at, resets_approval])
        })
        .collect();
    let rows = json!(rows).to_string();
    let for_inbox = rows.clone();
    store.write_inbox(move |connection| Box::pin(show(connection, for_inbox))).await?;
    store
        .write(move |connection| {
            Box::pin(async move {
                sql::query(
                    "update requests
                     set inbox_is_behind = case when requests.status <> shown.status
                                                  or requests.quoted_credits <> shown.quote then 1 else 0 end
                     from (select json_number(value, 0) as id, json_text(value, 1) as status,
                                  json_number(value, 3) as quote from json_rows($1)) as shown
                     where requests.id = shown.id",
                )
                .bind(rows)
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
}

/// An approval covers only the quote that the row showed, so a row with a higher quote becomes not approved.
/// A rejected row frees its dedupe key, so that a corrected row can use the same key.
async fn show(connection: &mut Tx, rows: String) -> Result<(), StoreError> {
    by_worker(&mut *connection, true).await?;
    sql::query(
        "update inbox set status = shown.status, reason = shown.reason, quoted_credits = shown.quoted_credits,
                finished_at = shown.finished_at,
                dedupe_key = case shown.status when 'rejected' then null else inbox.dedupe_key end,
                approved = case when shown.resets_approval = 1 then 0 else inbox.approved end
         from (select json_number(value, 0) as id, json_text(value, 1) as status, json_text(value, 2) as reason,
                      json_number(value, 3) as quoted_credits, json_number(value, 4) as finished_at,
                      json_number(value, 5) as resets_approval
               from json_rows($1)) as shown
         where inbox.id = shown.id and inbox.id not in (select id from inbox_written)",
    )
    .bind(rows)
    .execute(&mut *connection)
    .await?;
    by_worker(connection, false).await
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

/// A number that changes when another program commits to the inbox or the state.
pub async fn data_version(store: &Store) -> Result<(i64, i64), StoreError> {
    store.engine.changes().await
}
