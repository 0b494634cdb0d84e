//! Rows of the inbox that no worker has taken, as people read them.

use std::collections::HashSet;

use sqlx::FromRow;

use crate::store::report::Time;
use crate::store::report::requests::Request;
use crate::store::{Store, StoreError, sql};

/// An inbox row that was not taken yet, read as bytes: any program may have written it.
#[derive(FromRow)]
pub(in crate::store) struct NewRow {
    id: i64,
    account: Option<Vec<u8>>,
    action: Option<Vec<u8>>,
    event_id: Option<Vec<u8>>,
    task_id: Option<Vec<u8>>,
    /// Ids in its list, by the commas between them: a list is not read in full to be counted.
    named: i64,
    query: Option<Vec<u8>>,
    max_pages: i64,
    reference: Option<Vec<u8>>,
    caller: Option<Vec<u8>>,
    agent: Option<Vec<u8>>,
    purpose: Option<Vec<u8>>,
    max_credits: Option<i64>,
    status: String,
    reason: Option<String>,
    created_at: i64,
    finished_at: Option<i64>,
}

impl From<NewRow> for Request {
    fn from(row: NewRow) -> Request {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let is_new = row.status == "new";
        let request = Request {
            id: row.id,
            account: row.account.map(text).unwrap_or_default(),
            action: row.action.map(text).unwrap_or_default(),
            event_id: row.event_id.map(text),
            task_id: row.task_id.map(text),
            query: row.query.map(text),
            max_pages: row.max_pages,
            reference: row.reference.map(text),
            caller: row.caller.map(text),
            agent: row.agent.map(text),
            purpose: row.purpose.map(text),
            max_credits: row.max_credits,
            status: row.status,
            reason: row.reason,
            quoted_credits: None,
            approved_credits: None,
            committed_credits: 0,
            contacts: row.named,
            pending: 0,
            delivered: 0,
            created_at: Some(Time(row.created_at)),
            taken_at: None,
            finished_at: row.finished_at.map(Time),
        };
        // One paid call, as once it is taken.
        let contacts = if request.is_direct() { 1 } else { request.contacts };
        Request { contacts, pending: if is_new { contacts } else { 0 }, ..request }
    }
}

/// The columns of a [`NewRow`].
macro_rules! columns {
    () => {
        "id, \
         case when octet_length(account) <= 1000 then bytes_of(account) end as account, \
         case when octet_length(action) <= 1000 then bytes_of(action) end as action, \
         case when octet_length(event_id) <= 4000 then bytes_of(event_id) end as event_id, \
         case when octet_length(task_id) <= 4000 then bytes_of(task_id) end as task_id, \
         case when octet_length(personnel_ids) > 8388608 or trim(coalesce(personnel_ids, '')) in ('', '[]', 'null') then 0 \
           else cast(octet_length(personnel_ids) - octet_length(replace(personnel_ids, ',', '')) + 1 as bigint) \
           end as named, \
         case when octet_length(query) <= 800 then bytes_of(query) end as query, max_pages, \
         case when octet_length(reference) <= 4000 then bytes_of(reference) end as reference, \
         case when octet_length(caller) <= 256 then bytes_of(caller) end as caller, \
         case when octet_length(agent) <= 256 then bytes_of(agent) end as agent, \
         case when octet_length(purpose) <= 4000 then bytes_of(purpose) end as purpose, max_credits, \
         status, case when octet_length(reason) <= 4000 then reason end as reason, created_at, finished_at"
    };
}

pub(in crate::store) use columns;

macro_rules! select_rows {
    ($rest:literal) => {
        concat!("select ", columns!(), " from inbox ", $rest)
    };
}

/// The newest rows, newest first, with this reference if one is given.
pub(super) async fn newest(
    store: &Store,
    reference: Option<&str>,
    limit: u32,
) -> Result<Vec<Request>, StoreError> {
    let rows: Result<Vec<NewRow>, _> = sql::query_as(select_rows!(
        "where status = 'new' and ($1 is null or reference = $1) order by id desc limit $2"
    ))
    .bind(reference)
    .bind(limit)
    .fetch_all(&store.inbox_readers)
    .await
    .map_err(StoreError::from);
    match rows {
        // The worker says what is wrong with it.
        Err(StoreError::Inbox { .. }) => Ok(Vec::new()),
        rows => without_taken(store, rows?).await,
    }
}

/// The rows with ids below `before`, newest first, of `accounts` (a JSON array; `None`: of all).
pub(super) async fn page(
    store: &Store,
    accounts: Option<&str>,
    before: i64,
    limit: u32,
) -> Result<Vec<Request>, StoreError> {
    let rows: Vec<NewRow> = sql::query_as(select_rows!(
        "where status = 'new' and id < $1 and ($2 is null or account in (select value from json_words($2)))
         order by id desc limit $3"
    ))
    .bind(before)
    .bind(accounts)
    .bind(limit)
    .fetch_all(&store.inbox_readers)
    .await?;
    without_taken(store, rows).await
}

/// A row that was taken may still show `new` for a moment.
async fn without_taken(store: &Store, rows: Vec<NewRow>) -> Result<Vec<Request>, StoreError> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let taken = crate::store::requests::taken_before(store.readers(), &ids).await?;
    let taken: HashSet<i64> = taken.into_iter().map(|(id, _)| id).collect();
    Ok(rows.into_iter().filter(|row| !taken.contains(&row.id)).map(Request::from).collect())
}

/// The row with this id, whatever its status.
pub(super) async fn one(store: &Store, id: i64) -> Result<Option<Request>, StoreError> {
    let row: Option<NewRow> =
        sql::query_as(select_rows!("where id = $1")).bind(id).fetch_optional(&store.inbox_readers).await?;
    Ok(row.map(Request::from))
}

/// The ids of the rows with this reference that were not taken yet.
pub async fn of_reference(store: &Store, reference: &str) -> Result<Vec<i64>, StoreError> {
    Ok(sql::query_scalar("select id from inbox where status = 'new' and reference = $1 order by id")
        .bind(reference)
        .fetch_all(&store.inbox_readers)
        .await?)
}
