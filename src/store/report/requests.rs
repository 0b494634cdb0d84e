//! Requests as people read them: accepted ones, and inbox rows that were not taken yet.

use serde::Serialize;
use sqlx::FromRow;

use crate::domain::Action;
use crate::store::report::{OutcomeCount, Time};
use crate::store::{Store, StoreError, sql};

/// A request with its progress, without its contacts.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, utoipa::ToSchema, schemars::JsonSchema)]
pub struct Request {
    pub id: i64,
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub task_id: Option<String>,
    pub query: Option<String>,
    pub max_pages: i64,
    pub reference: Option<String>,
    /// The caller of the HTTP API that asked.
    pub caller: Option<String>,
    /// The agent that asked, by its own name; null: no agent.
    pub agent: Option<String>,
    /// What it is for, in the words of who asked.
    pub purpose: Option<String>,
    pub max_credits: Option<i64>,
    pub status: String,
    pub reason: Option<String>,
    /// Not there: not estimated yet.
    pub quoted_credits: Option<i64>,
    pub approved_credits: Option<i64>,
    /// The possible cost of its submissions so far.
    pub committed_credits: i64,
    /// Distinct contacts; unknown for a row that was not taken yet.
    pub contacts: i64,
    pub pending: i64,
    pub delivered: i64,
    pub created_at: Option<Time>,
    pub taken_at: Option<Time>,
    pub finished_at: Option<Time>,
}

impl Request {
    pub fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }

    /// An event unlock or a search: its `contacts` are paid calls.
    pub fn is_direct(&self) -> bool {
        Action::parse(&self.action).is_some_and(|action| action.channel().is_none())
    }
}

macro_rules! select_requests {
    ($rest:literal) => {
        concat!(
            "select id, account, action, event_id, task_id, query, max_pages, reference, caller, agent, purpose, \
             max_credits, status, reason, quoted_credits, approved_credits, committed_credits, \
             (select count(*) from items i where i.request_id = requests.id) as contacts, \
             (select count(*) from items i where i.request_id = requests.id and i.state <> 'done') as pending, \
             (select count(*) from items i where i.request_id = requests.id and i.outcome = 'delivered') as delivered, \
             created_at, taken_at, finished_at from requests ",
            $rest
        )
    };
}

/// An inbox row that was not taken yet, read as bytes: any program may have written it.
#[derive(FromRow)]
struct NewRow {
    id: i64,
    account: Option<Vec<u8>>,
    action: Option<Vec<u8>>,
    event_id: Option<Vec<u8>>,
    task_id: Option<Vec<u8>>,
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
        Request {
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
            contacts: 0,
            pending: 0,
            delivered: 0,
            created_at: Some(Time(row.created_at)),
            taken_at: None,
            finished_at: row.finished_at.map(Time),
        }
    }
}

macro_rules! select_rows {
    ($rest:literal) => {
        concat!(
            "select id, \
             case when octet_length(account) <= 1000 then bytes_of(account) end as account, \
             case when octet_length(action) <= 1000 then bytes_of(action) end as action, \
             case when octet_length(event_id) <= 4000 then bytes_of(event_id) end as event_id, \
             case when octet_length(task_id) <= 4000 then bytes_of(task_id) end as task_id, \
             case when octet_length(query) <= 800 then bytes_of(query) end as query, max_pages, \
             case when octet_length(reference) <= 4000 then bytes_of(reference) end as reference, \
             case when octet_length(caller) <= 256 then bytes_of(caller) end as caller, \
             case when octet_length(agent) <= 256 then bytes_of(agent) end as agent, \
             case when octet_length(purpose) <= 4000 then bytes_of(purpose) end as purpose, max_credits, \
             status, case when octet_length(reason) <= 4000 then reason end as reason, created_at, finished_at \
             from inbox ",
            $rest
        )
    };
}

/// Which requests are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    pub status: Option<&'a str>,
    /// The caller's own words, exactly.
    pub reference: Option<&'a str>,
}

/// The newest requests, newest first.
pub async fn list(store: &Store, filter: Filter<'_>, limit: u32) -> Result<Vec<Request>, StoreError> {
    let Filter { status, reference } = filter;
    // Open ones and ended ones have each an index.
    let newest = match (reference, status) {
        (None, None) => sql::query_as(select_requests!("where removed_at is null order by id desc limit $1")),
        // By the length that fits into an index of PostgreSQL's; the whole text decides.
        (Some(reference), status) => sql::query_as(select_requests!(
            "where substr(reference, 1, 200) = substr($1, 1, 200) and reference = $1 and ($2 is null or status = $2) and removed_at is null order by id desc limit $3"
        ))
        .bind(reference)
        .bind(status),
        (None, Some(status)) => {
            sql::query_as(select_requests!(
            "where id in (select id from (select id from requests where status = $1 and finished_at is null
                                          order by id desc limit $2) as open_ones
                          union all
                          select id from (select id from requests where status = $1 and finished_at is not null
                                            and removed_at is null order by id desc limit $2) as ended)
             order by id desc limit $2"
        )).bind(status)
        }
    };
    let mut requests: Vec<Request> = newest.bind(limit).fetch_all(store.readers()).await?;
    if status.is_none_or(|status| status == "new") {
        let new: Result<Vec<NewRow>, _> = sql::query_as(select_rows!(
            "where status = 'new' and ($1 is null or reference = $1) order by id desc limit $2"
        ))
        .bind(reference)
        .bind(limit)
        .fetch_all(&store.inbox_readers)
        .await
        .map_err(StoreError::from);
        let new = match new {
            // The worker says what is wrong with it.
            Err(StoreError::Inbox { .. }) => Vec::new(),
            new => new?,
        };
        requests = with_new(store, requests, new, limit).await?;
    }
    Ok(requests)
}

/// The newest of these requests and of the rows that no worker has taken, newest first.
async fn with_new(
    store: &Store,
    mut requests: Vec<Request>,
    new: Vec<NewRow>,
    limit: u32,
) -> Result<Vec<Request>, StoreError> {
    let ids: Vec<i64> = new.iter().map(|row| row.id).collect();
    // Taken, but the inbox does not show it yet.
    let taken = crate::store::requests::taken_before(store.readers(), &ids).await?;
    requests
        .extend(new.into_iter().filter(|row| taken.iter().all(|(id, _)| *id != row.id)).map(Request::from));
    requests.sort_by_key(|request| std::cmp::Reverse(request.id));
    requests.truncate(limit as usize);
    Ok(requests)
}

/// The requests with ids below `before`, newest first, of `accounts` (a JSON array; `None`: of all).
pub async fn page(
    store: &Store,
    accounts: Option<&str>,
    before: i64,
    limit: u32,
) -> Result<Vec<Request>, StoreError> {
    let requests: Vec<Request> = sql::query_as(select_requests!(
        "where id < $1 and removed_at is null and ($2 is null or account in (select value from json_words($2)))
         order by id desc limit $3"
    ))
    .bind(before)
    .bind(accounts)
    .bind(limit)
    .fetch_all(store.readers())
    .await?;
    let new: Vec<NewRow> = sql::query_as(select_rows!(
        "where status = 'new' and id < $1 and ($2 is null or account in (select value from json_words($2)))
         order by id desc limit $3"
    ))
    .bind(before)
    .bind(accounts)
    .bind(limit)
    .fetch_all(&store.inbox_readers)
    .await?;
    with_new(store, requests, new, limit).await
}

/// The ids of the requests with this reference that were taken, the oldest first; those of which something is open
/// when `open` says so.
pub async fn ids_of_reference(store: &Store, reference: &str, open: bool) -> Result<Vec<i64>, StoreError> {
    Ok(sql::query_scalar(
        "select id from requests
         where substr(reference, 1, 200) = substr($1, 1, 200) and reference = $1 and ($2 = 0 or finished_at is null)
         order by id",
    )
    .bind(reference)
    .bind(i64::from(open))
    .fetch_all(store.readers())
    .await?)
}

/// The ids of the rows with this reference that were not taken yet.
pub async fn untaken_of_reference(store: &Store, reference: &str) -> Result<Vec<i64>, StoreError> {
    Ok(sql::query_scalar("select id from inbox where status = 'new' and reference = $1 order by id")
        .bind(reference)
        .fetch_all(&store.inbox_readers)
        .await?)
}

/// Requests that are not finished and were taken, oldest first; those that wait for a person before all.
pub async fn open(store: &Store, limit: u32) -> Result<Vec<Request>, StoreError> {
    Ok(sql::query_as(select_requests!(
        "where finished_at is null order by status <> 'awaiting_approval', id limit $1"
    ))
    .bind(limit)
    .fetch_all(store.readers())
    .await?)
}

/// The requests that ended last, newest first.
pub async fn ended(store: &Store, limit: u32) -> Result<Vec<Request>, StoreError> {
    Ok(sql::query_as(select_requests!(
        "where finished_at is not null and removed_at is null order by finished_at desc, id desc limit $1"
    ))
    .bind(limit)
    .fetch_all(store.readers())
    .await?)
}

/// One request, or `None`.
pub async fn read(store: &Store, id: i64) -> Result<Option<Request>, StoreError> {
    let taken: Option<Request> =
        sql::query_as(select_requests!("where id = $1")).bind(id).fetch_optional(store.readers()).await?;
    if taken.is_some() {
        let is_removed: bool = sql::query_scalar(
            "select exists (select 1 from requests where id = $1 and removed_at is not null)",
        )
        .bind(id)
        .fetch_one(store.readers())
        .await?;
        return Ok(taken.filter(|_| !is_removed));
    }
    let row: Option<NewRow> =
        sql::query_as(select_rows!("where id = $1")).bind(id).fetch_optional(&store.inbox_readers).await?;
    Ok(row.map(Request::from))
}

/// The highest id of any request, taken or not; `None` if there is none.
pub async fn newest_id(store: &Store) -> Result<Option<i64>, StoreError> {
    let taken: Option<i64> =
        sql::query_scalar("select max(id) from requests").fetch_one(store.readers()).await?;
    let row: Option<i64> =
        sql::query_scalar("select max(id) from inbox").fetch_one(&store.inbox_readers).await?;
    Ok(taken.max(row))
}

/// The number of contacts of a request, by outcome.
pub async fn outcomes(store: &Store, id: i64) -> Result<Vec<OutcomeCount>, StoreError> {
    Ok(sql::query_as(
        "select outcome, source, count(*) as contacts from items where request_id = $1
         group by outcome, source order by contacts desc, outcome",
    )
    .bind(id)
    .fetch_all(store.readers())
    .await?)
}
