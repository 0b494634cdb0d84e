//! Requests as people read them: accepted ones, and inbox rows that were not taken yet.

use std::cmp::Reverse;
use std::collections::HashSet;

use serde::Serialize;
use sqlx::FromRow;

use crate::domain::Action;
use crate::store::report::{OutcomeCount, Time, untaken};
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
    /// Distinct contacts; of a row that was not taken yet, the ids that it names. An adopted task has none until it is
    /// read.
    pub contacts: i64,
    /// Contacts without an outcome yet. The request has ended once `finished_at` is there.
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

/// A request that was taken, and may have been removed since.
#[derive(FromRow)]
struct Taken {
    #[sqlx(flatten)]
    request: Request,
    is_removed: bool,
}

macro_rules! select_requests {
    ($rest:literal) => {
        concat!(
            "select id, account, action, event_id, task_id, query, max_pages, reference, caller, agent, purpose, \
             max_credits, status, reason, quoted_credits, approved_credits, committed_credits, \
             (select count(*) from items i where i.request_id = requests.id) as contacts, \
             (select count(*) from items i where i.request_id = requests.id and i.state <> 'done') as pending, \
             (select count(*) from items i where i.request_id = requests.id and i.outcome = 'delivered') as delivered, \
             created_at, taken_at, finished_at, removed_at is not null as is_removed from requests ",
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
    // First: a row that is taken between the two questions is then found twice, and not missed.
    let rows = match status.is_none_or(|status| status == "new") {
        true => untaken::newest(store, reference, limit).await?,
        false => Vec::new(),
    };
    // Open ones and ended ones have each an index. Those of any other status are not looked at.
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
    let requests: Vec<Request> = newest.bind(limit).fetch_all(store.readers()).await?;
    Ok(merged(requests, rows, limit))
}

/// The newest of both, newest first; of one that is in both, the request.
fn merged(mut requests: Vec<Request>, rows: Vec<Request>, limit: u32) -> Vec<Request> {
    let known: HashSet<i64> = requests.iter().map(|request| request.id).collect();
    requests.extend(rows.into_iter().filter(|row| !known.contains(&row.id)));
    requests.sort_by_key(|request| Reverse(request.id));
    requests.truncate(limit as usize);
    requests
}

/// The requests with ids below `before`, newest first, of `accounts` (a JSON array; `None`: of all).
pub async fn page(
    store: &Store,
    accounts: Option<&str>,
    before: i64,
    limit: u32,
) -> Result<Vec<Request>, StoreError> {
    let rows = untaken::page(store, accounts, before, limit).await?;
    let requests: Vec<Request> = sql::query_as(select_requests!(
        "where id < $1 and removed_at is null and ($2 is null or account in (select value from json_words($2)))
         order by id desc limit $3"
    ))
    .bind(before)
    .bind(accounts)
    .bind(limit)
    .fetch_all(store.readers())
    .await?;
    Ok(merged(requests, rows, limit))
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

/// Requests that are not finished and were taken, oldest first; those that wait for a person before all.
pub async fn open(store: &Store, limit: u32) -> Result<Vec<Request>, StoreError> {
    Ok(sql::query_as(select_requests!(
        "where id in (select id from (select id from requests where status = 'awaiting_approval' and finished_at is null
                                      order by id limit $1) as waiting
                      union all
                      select id from (select id from requests where status = 'accepted' and finished_at is null
                                      order by id limit $1) as accepted)
         order by status <> 'awaiting_approval', id limit $1"
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
    if let Some(taken) = taken(store, id).await? {
        return Ok(taken);
    }
    match untaken::one(store, id).await? {
        // It may have been taken between the two questions; the row alone shows no figures.
        Some(row) if row.status != "new" => Ok(taken(store, id).await?.unwrap_or(Some(row))),
        row => Ok(row),
    }
}

/// The request, if it was taken; inside, `None` if it was removed since.
async fn taken(store: &Store, id: i64) -> Result<Option<Option<Request>>, StoreError> {
    let taken: Option<Taken> =
        sql::query_as(select_requests!("where id = $1")).bind(id).fetch_optional(store.readers()).await?;
    Ok(taken.map(|taken| (!taken.is_removed).then_some(taken.request)))
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
