//! The `requests` table: what was taken from the inbox, and what became of it. What of it was not sent
//! yet, and what people may still do about that, is in [`crate::store::requests::unsent`].

pub(in crate::store) mod rejections;
pub mod unsent;

use crate::store::{Reads, StoreError, Tx, sql, timeline};
use serde_json::json;
use sqlx::FromRow;

use crate::domain::{Credits, JobId, Millis, RequestId};

/// A request to be written, with its items; everything that intake has decided.
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
    pub status: &'static str,
    pub reason: Option<String>,
    pub row_digest: String,
    pub created_at: i64,
    pub items: Vec<NewItem>,
}

/// An item to be written: waiting in `state`, or settled with `outcome`.
#[derive(Clone, Debug)]
pub struct NewItem {
    pub personnel_id: String,
    pub state: &'static str,
    pub outcome: &'static str,
}

/// Ids among those given that were taken before, with the digest of the row they were taken from.
pub async fn taken_before(readers: &Reads, ids: &[i64]) -> Result<Vec<(i64, String)>, StoreError> {
    Ok(sql::query_as("select id, row_digest from requests where id in (select value from json_each($1))")
        .bind(json!(ids).to_string())
        .fetch_all(readers)
        .await?)
}

/// Writes requests and their items. A request whose id is there already changes nothing, so that a
/// crash between this commit and the inbox's is repaired by taking the row again.
pub async fn insert(connection: &mut Tx, requests: &[NewRequest], now: Millis) -> Result<(), StoreError> {
    let rows: Vec<_> = requests.iter().map(|request| request_json(request, now)).collect();
    let inserted: Vec<i64> = sql::query_scalar(
        "insert into requests (id, account, action, event_id, task_id, query, max_pages, reference, max_credits,
                               approved_credits, quoted_credits, status, reason, row_digest, created_at, taken_at,
                               finished_at)
         select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8,
                value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, $2, value->>15
         from json_each($1) where true
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
                let resolved_at = (item.state == "done").then_some(now.0);
                json!([
                    request.id,
                    request.account,
                    request.action,
                    request.event_id,
                    item.personnel_id,
                    item.state,
                    item.outcome,
                    resolved_at
                ])
            })
        })
        .collect();
    sql::query(
        "insert into items (request_id, account, action, event_id, personnel_id, state, outcome, resolved_at)
         select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
         from json_each($1) where true
         on conflict (request_id, personnel_id) do nothing",
    )
    .bind(json!(items).to_string())
    .execute(&mut *connection)
    .await?;
    let taken = rows.iter().zip(requests).filter(|(_, request)| inserted.contains(&request.id.0));
    let new: Vec<_> = taken.map(|(row, _)| row).collect();
    sql::query(
        "insert into request_events (at, request_id, event, detail)
         select $2, value->>0, value->>11, value->>12 from json_each($1)",
    )
    .bind(json!(new).to_string())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

fn request_json(request: &NewRequest, now: Millis) -> serde_json::Value {
    let finished_at = matches!(request.status, "rejected" | "cancelled").then_some(now.0);
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
        request.status,
        request.reason,
        request.row_digest,
        request.created_at,
        finished_at
    ])
}

/// Marks accepted requests (ids as JSON) done whose last item has an outcome. A request whose
/// items were all cancelled is cancelled; one whose items were all rejected says why.
pub async fn finish_complete(connection: &mut Tx, request_ids: &str, now: Millis) -> Result<(), StoreError> {
    for (status, all_cancelled) in [("cancelled", true), ("done", false)] {
        let finished: Vec<i64> = sql::query_scalar(
            "update requests set status = $2, reason = null, finished_at = $3, inbox_is_behind = 1
             where id in (select value from json_each($1)) and finished_at is null and status = 'accepted'
               and not exists (select 1 from items i where i.request_id = requests.id and i.state <> 'done')
               -- Whom an adopted task concerns may be known only at its end.
               and not exists (select 1 from jobs j where j.task_id = requests.task_id and j.adopted = 1
                                 and j.account = requests.account and j.action = requests.action
                                 and j.finished_at is null)
               and (not $4 or (exists (select 1 from items i where i.request_id = requests.id)
                    and not exists (select 1 from items i where i.request_id = requests.id
                                      and i.outcome not in ('cancelled', 'invalid'))))
             returning id",
        )
        .bind(request_ids)
        .bind(status)
        .bind(now.0)
        .bind(all_cancelled)
        .fetch_all(&mut *connection)
        .await?;
        if !finished.is_empty() {
            let finished = json!(finished).to_string();
            rejections::give_reasons(&mut *connection, &finished).await?;
            timeline::of_requests(&mut *connection, now, &finished, status).await?;
        }
    }
    Ok(())
}

/// Marks the requests done whose last item was settled by this job.
pub async fn finish_complete_of_job(
    connection: &mut Tx,
    job_id: JobId,
    now: Millis,
) -> Result<(), StoreError> {
    let ids: Vec<i64> = sql::query_scalar("select distinct request_id from items where job_id = $1")
        .bind(job_id.0)
        .fetch_all(&mut *connection)
        .await?;
    finish_complete(connection, &json!(ids).to_string(), now).await
}

/// Opens the finished requests again of which this job has unsettled contacts, or whose adopted
/// task it follows.
pub async fn reopen_of_job(connection: &mut Tx, job_id: JobId, now: Millis) -> Result<(), StoreError> {
    let reopened: Vec<i64> = sql::query_scalar(
        "update requests set status = 'accepted', finished_at = null, inbox_is_behind = 1
         where status = 'done' and id in (
             select request_id from items where job_id = $1 and state <> 'done'
             union select r.id from requests r join jobs j
             on r.task_id = j.task_id and r.account = j.account and r.action = j.action where j.id = $1)
         returning id",
    )
    .bind(job_id.0)
    .fetch_all(&mut *connection)
    .await?;
    timeline::of_requests(connection, now, &json!(reopened).to_string(), "resumed").await
}

/// What a job's contacts cost each request that pays for them: the request that asked first for a
/// contact pays, whoever joined does not.
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
         from (select min(id) as id from items where job_id = $1 and state = 'assigned' group by personnel_id) first
         join items i on i.id = first.id join requests r on r.id = i.request_id
         group by r.id order by r.id",
    )
    .bind(job_id.0)
    .fetch_all(connection)
    .await?)
}

/// A request's standing, for the decisions of people.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Standing {
    pub status: String,
    pub quoted_credits: i64,
    pub approved_credits: Option<i64>,
}

impl Standing {
    pub fn is_finished(&self) -> bool {
        matches!(self.status.as_str(), "done" | "rejected" | "cancelled")
    }
}

/// Reads a request's standing, or `None`.
pub async fn standing(connection: &mut Tx, request_id: RequestId) -> Result<Option<Standing>, StoreError> {
    Ok(sql::query_as("select status, quoted_credits, approved_credits from requests where id = $1")
        .bind(request_id.0)
        .fetch_optional(connection)
        .await?)
}

/// Lets the inbox be told a request's status once more.
pub async fn show_again(connection: &mut Tx, request_id: RequestId) -> Result<(), StoreError> {
    sql::query("update requests set inbox_is_behind = 1 where id = $1")
        .bind(request_id.0)
        .execute(connection)
        .await?;
    Ok(())
}
