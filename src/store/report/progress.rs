//! What a request waits for, and what has happened to it: its timeline, and its open items.

use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;

use crate::domain::item::Why;
use crate::domain::outcome::Set;
use crate::store::report::Time;
use crate::store::{Store, StoreError, sql};

/// An entry of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct Entry {
    pub at: Time,
    pub request_id: Option<i64>,
    pub job_id: Option<i64>,
    pub event: String,
    pub detail: Option<String>,
}

/// The timeline of a request and of the jobs that had its contacts, in order.
pub async fn timeline(store: &Store, id: i64) -> Result<Vec<Entry>, StoreError> {
    timeline_page(store, id, 0, u32::MAX).await
}

/// The same, without its first `skipped` entries and at most `limit` of them.
pub async fn timeline_page(
    store: &Store,
    id: i64,
    skipped: i64,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    // By `id + 0`: for a page in the order of its key, PostgreSQL may read the whole table by that key.
    Ok(sql::query_as(
        "select at, request_id, job_id, event, detail from request_events
         where request_id = $1
            or job_id in (select job_id from items where request_id = $1 and job_id is not null
                          union select j.id from jobs j join requests r
                          on r.task_id = j.task_id and r.account = j.account and r.action = j.action
                          where r.id = $1)
         order by id + 0 limit $2 offset $3",
    )
    .bind(id)
    .bind(limit)
    .bind(skipped)
    .fetch_all(store.readers())
    .await?)
}

/// What the timeline says about the last event of this name of a job.
pub async fn last_detail(store: &Store, job_id: i64, event: &str) -> Result<Option<String>, StoreError> {
    let detail: Option<Option<String>> = sql::query_scalar(
        "select detail from request_events where job_id = $1 and event = $2 order by id desc limit 1",
    )
    .bind(job_id)
    .bind(event)
    .fetch_optional(store.readers())
    .await?;
    Ok(detail.flatten())
}

/// The open items of a request that are in no task.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct OpenItems {
    /// Items that will go into a batch.
    pub waiting: i64,
    /// Items whose profile will be read.
    pub reading: i64,
    pub next_read_at: Option<Time>,
    /// Items that a precheck reports as being unlocked; not included in the items to read.
    pub unlocking: i64,
    /// The start of the oldest of these waits.
    pub unlocking_since: Option<Time>,
    pub next_unlocking_read_at: Option<Time>,
    /// Items whose contact was paid for before and brought nothing; not included in the items to read either.
    pub paid_before: i64,
    pub paid_before_since: Option<Time>,
    pub next_paid_before_read_at: Option<Time>,
    /// The last job that was charged for one of these contacts.
    pub paid_before_job: Option<i64>,
}

/// Counts the open items of a request that are in no task.
pub async fn open_items(store: &Store, id: i64) -> Result<OpenItems, StoreError> {
    Ok(sql::query_as(
        "select count(*) filter (where state = 'waiting') as waiting,
                count(*) filter (where state = 'reading' and not unlocking and not paid_before) as reading,
                min(read_at) filter (where not unlocking and not paid_before) as next_read_at,
                count(*) filter (where unlocking) as unlocking,
                min(reason_since) filter (where unlocking) as unlocking_since,
                min(read_at) filter (where unlocking) as next_unlocking_read_at,
                count(*) filter (where paid_before) as paid_before,
                min(reason_since) filter (where paid_before) as paid_before_since,
                min(read_at) filter (where paid_before) as next_paid_before_read_at,
                max(paid_job) filter (where paid_before) as paid_before_job
         from (select state, read_at, reason_since,
                      state = 'reading' and state_reason = 'unlocking' as unlocking,
                      state = 'reading' and state_reason = $2 as paid_before,
                      case when state_reason = $2 then
                          (select max(had.job_id) from items had
                           where had.personnel_id = i.personnel_id and had.action = i.action
                             and had.account in (select member from pools where account = i.account)
                             and had.outcome in (select value from json_words($3))
                             and exists (select 1 from ledger l where l.job_id = had.job_id and l.entry = 'charge'))
                      end as paid_job
               from items i where request_id = $1 and state <> 'done') as open_items",
    )
    .bind(id)
    .bind(Why::PaidBefore.as_str())
    .bind(json!(Set::WithoutValue.words()).to_string())
    .fetch_one(store.readers())
    .await?)
}

/// What the profiles of a request's contacts said last, for those whose value is waited for: each word with the number
/// of contacts.
pub async fn profiles_said(store: &Store, id: i64) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(sql::query_as(
        "select profile_said, count(distinct personnel_id) from items
         where request_id = $1 and state = 'reading' and profile_said is not null group by 1 order by 1",
    )
    .bind(id)
    .fetch_all(store.readers())
    .await?)
}

/// When an event last happened to a request, or to a job.
pub async fn last_event(
    store: &Store,
    request_id: Option<i64>,
    job_id: Option<i64>,
    event: &str,
) -> Result<Option<Time>, StoreError> {
    Ok(sql::query_scalar(
        "select max(at) from request_events
         where (request_id = $1 or job_id = $2) and event = $3",
    )
    .bind(request_id)
    .bind(job_id)
    .bind(event)
    .fetch_one(store.readers())
    .await?)
}
