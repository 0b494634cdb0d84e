//! The `requests` table: requests taken from the inbox. Their status is in [`state`]; their contacts that
//! were not sent yet, and what people may still do with them, are in [`unsent`].

pub(in crate::store) mod rejections;
pub mod state;
pub mod unsent;

use std::collections::BTreeMap;

use crate::store::{Reads, StoreError, Tx, sql};
use serde_json::json;
use sqlx::FromRow;

use crate::domain::request_state::State;
use crate::domain::{Credits, JobId, Millis, PersonnelId, RequestId, item, outcome};

pub use state::{StateAndQuote, finish_complete, finish_complete_of_job, reopen_of_job, state_and_quote};

/// A request to be written, with its items and everything that intake has decided.
#[derive(Clone, Debug)]
pub struct NewRequest {
    pub id: RequestId,
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub task_id: Option<String>,
    pub query: Option<String>,
    pub max_pages: i64,
    pub reference: Option<String>,
    pub max_credits: Option<i64>,
    pub approved_credits: Option<Credits>,
    pub quoted_credits: Credits,
    pub state: State,
    pub reason: Option<String>,
    pub row_digest: String,
    pub created_at: i64,
    pub items: Vec<NewItem>,
}

/// An item to be written.
#[derive(Clone, Debug)]
pub struct NewItem {
    pub personnel_id: String,
    pub state: item::State,
}

/// The given ids that were taken before, with the digest of the row behind each.
pub async fn taken_before(readers: &Reads, ids: &[i64]) -> Result<Vec<(i64, String)>, StoreError> {
    Ok(sql::query_as("select id, row_digest from requests where id in (select value from json_ids($1))")
        .bind(json!(ids).to_string())
        .fetch_all(readers)
        .await?)
}

/// Writes requests and their items. A request with an id that exists already is not changed: after a crash
/// between this commit and the inbox's, taking the row again repairs everything.
pub async fn insert(connection: &mut Tx, requests: &[NewRequest], now: Millis) -> Result<(), StoreError> {
    let rows: Vec<_> = requests.iter().map(|request| request_json(request, now)).collect();
    let inserted: Vec<i64> = sql::query_scalar(
        "insert into requests (id, account, action, event_id, task_id, query, max_pages, reference, max_credits,
                               approved_credits, quoted_credits, status, reason, row_digest, created_at, taken_at,
                               finished_at)
         select json_number(value, 0), json_text(value, 1), json_text(value, 2), json_text(value, 3),
                json_text(value, 4), json_text(value, 5), json_number(value, 6), json_text(value, 7),
                json_number(value, 8), json_number(value, 9), json_number(value, 10), json_text(value, 11),
                json_text(value, 12), json_text(value, 13), json_number(value, 14), $2, json_number(value, 15)
         from json_rows($1) where true
         on conflict (id) do nothing returning id",
    )
    .bind(json!(rows).to_string())
    .bind(now.0)
    .fetch_all(&mut *connection)
    .await?;
    let inserted: std::collections::HashSet<i64> = inserted.into_iter().collect();
    let items: Vec<_> = requests
        .iter()
        .filter(|request| inserted.contains(&request.id.0))
        .flat_map(|request| {
            request.items.iter().map(|item| {
                let outcome = item.state.outcome();
                json!([
                    request.id,
                    request.account,
                    request.action,
                    request.event_id,
                    item.personnel_id,
                    item.state.name(),
                    outcome.map_or(outcome::PENDING, |outcome| outcome.as_str()),
                    outcome.map(|_| now)
                ])
            })
        })
        .collect();
    sql::query(
        "insert into items (request_id, account, action, event_id, personnel_id, state, outcome, resolved_at)
         select json_number(value, 0), json_text(value, 1), json_text(value, 2), json_text(value, 3),
                json_text(value, 4), json_text(value, 5), json_text(value, 6), json_number(value, 7)
         from json_rows($1) where true
         on conflict (request_id, personnel_id) do nothing",
    )
    .bind(json!(items).to_string())
    .execute(&mut *connection)
    .await?;
    let taken = rows.iter().zip(requests).filter(|(_, request)| inserted.contains(&request.id.0));
    let new: Vec<_> = taken.map(|(row, _)| row).collect();
    sql::query(
        "insert into request_events (at, request_id, event, detail)
         select $2, json_number(value, 0), json_text(value, 11), json_text(value, 12) from json_rows($1)",
    )
    .bind(json!(new).to_string())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

fn request_json(request: &NewRequest, now: Millis) -> serde_json::Value {
    let finished_at = request.state.is_end().then_some(now.0);
    json!([
        request.id,
        request.account,
        request.action,
        request.event_id,
        request.task_id,
        request.query,
        request.max_pages,
        request.reference,
        request.max_credits,
        request.approved_credits,
        request.quoted_credits,
        request.state.name(),
        request.reason,
        request.row_digest,
        request.created_at,
        finished_at
    ])
}

/// The cost of a job's contacts for each request that pays: the request that asked first for a contact pays;
/// requests that joined do not.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Share {
    pub request_id: i64,
    pub contacts: i64,
    pub max_credits: Option<i64>,
    pub approved_credits: Option<i64>,
    pub committed_credits: i64,
}

/// The shares of a job, by request.
pub async fn shares(connection: &mut Tx, job_id: JobId) -> Result<Vec<Share>, StoreError> {
    Ok(sql::query_as(
        "select r.id as request_id, count(*) as contacts, r.max_credits, r.approved_credits, r.committed_credits
         from (select min(id) as id from items where job_id = $1 and state = 'assigned' group by personnel_id) as payer
         join items i on i.id = payer.id join requests r on r.id = i.request_id
         group by r.id order by r.id",
    )
    .bind(job_id.0)
    .fetch_all(connection)
    .await?)
}

/// What the present contacts of a job cost, by the request that pays: each at its own price.
pub async fn costs(
    connection: &mut Tx,
    job_id: JobId,
    prices: &BTreeMap<PersonnelId, Credits>,
) -> Result<Vec<(RequestId, Credits)>, StoreError> {
    let rows: Vec<(i64, String)> = sql::query_as(
        "select i.request_id, i.personnel_id
         from (select min(id) as id from items where job_id = $1 and state = 'assigned' group by personnel_id) as payer
         join items i on i.id = payer.id",
    )
    .bind(job_id.0)
    .fetch_all(connection)
    .await?;
    let mut costs = BTreeMap::new();
    for (request_id, personnel_id) in rows {
        let price = prices.get(&PersonnelId::trusted(personnel_id)).copied().unwrap_or_default();
        let cost = costs.entry(request_id).or_insert(Credits::ZERO);
        *cost = *cost + price;
    }
    Ok(costs.into_iter().map(|(request_id, cost)| (RequestId(request_id), cost)).collect())
}

/// The highest id of a request, up to `most`; 0 if there is none.
pub async fn highest_id(readers: &Reads, most: i64) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select coalesce(max(id), 0) from requests where id <= $1")
        .bind(most)
        .fetch_one(readers)
        .await?)
}

/// Makes the worker write a request's status into the inbox again.
pub async fn show_again(connection: &mut Tx, request_id: RequestId) -> Result<(), StoreError> {
    sql::query("update requests set inbox_is_behind = 1 where id = $1")
        .bind(request_id.0)
        .execute(connection)
        .await?;
    Ok(())
}
