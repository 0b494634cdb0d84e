//! The `requests` table: requests taken from the inbox. Their status is in [`state`]; their contacts that
//! were not sent yet, and what people may still do with them, are in [`unsent`].

mod insert;
pub mod quotes;
pub(in crate::store) mod rejections;
pub mod state;
pub mod unsent;

use std::collections::BTreeMap;

use crate::store::{Reads, StoreError, Tx, sql};
use serde_json::json;
use sqlx::FromRow;

use crate::domain::request_state::State;
use crate::domain::{Credits, JobId, PersonnelId, RequestId, item};

pub use insert::insert;
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
    pub caller: Option<String>,
    pub agent: Option<String>,
    pub purpose: Option<String>,
    /// Who asks may only propose.
    pub needs_approval: bool,
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

/// The cost of a job's contacts for each request that pays: the request that asked first for a contact pays;
/// requests that joined do not.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Share {
    pub request_id: i64,
    pub contacts: i64,
    pub max_credits: Option<i64>,
    pub approved_credits: Option<i64>,
    pub committed_credits: i64,
    /// 1: who asked may only propose.
    pub needs_approval: i64,
}

/// The shares of a job, by request.
pub async fn shares(connection: &mut Tx, job_id: JobId) -> Result<Vec<Share>, StoreError> {
    Ok(sql::query_as(
        "select r.id as request_id, count(*) as contacts, r.max_credits, r.approved_credits, r.committed_credits,
                r.needs_approval
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

/// Makes the worker write the status of requests into the inbox, where it could not be written at once.
pub async fn show_later(connection: &mut Tx, ids: &[i64]) -> Result<(), StoreError> {
    sql::query("update requests set inbox_is_behind = 1 where id in (select value from json_ids($1))")
        .bind(sql::to_json(&ids))
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the worker write a request's status into the inbox again.
pub async fn show_again(connection: &mut Tx, request_id: RequestId) -> Result<(), StoreError> {
    sql::query("update requests set inbox_is_behind = 1 where id = $1")
        .bind(request_id.0)
        .execute(connection)
        .await?;
    Ok(())
}
