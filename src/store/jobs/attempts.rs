//! Submission attempts: the intent, written before the POST, and how it ended.

use crate::store::{On, Reads, StoreError, Tx, sql};

use crate::domain::{Credits, EventId, JobId, Millis};
use crate::store::credits::ledger::OpeningBalance;
use crate::store::jobs::Job;

/// The intent to send, written before the POST.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub request_id: String,
    pub body_digest: String,
    pub contacts: u32,
    pub cost: Credits,
    pub lease_token: i64,
    pub opening: Option<OpeningBalance>,
}

/// Writes the intent to send; returns the attempt's id.
pub async fn begin_attempt(
    connection: &mut Tx,
    job_id: JobId,
    attempt: &Attempt,
    now: Millis,
) -> Result<i64, StoreError> {
    Ok(sql::query_scalar(
        "insert into attempts (job_id, request_id, body_digest, contacts, cost, lease_token, balance_before, started_at,
                snapshot_before, ledger_before)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id",
    )
    .bind(job_id.0)
    .bind(&attempt.request_id)
    .bind(&attempt.body_digest)
    .bind(attempt.contacts)
    .bind(attempt.cost.0)
    .bind(attempt.lease_token)
    .bind(attempt.opening.map(|opening| opening.credits))
    .bind(now.0)
    .bind(attempt.opening.map(|opening| opening.snapshot))
    .bind(attempt.opening.map(|opening| opening.ledger))
    .fetch_one(connection)
    .await?)
}

/// How a submission ended.
#[derive(Clone, Debug, Default)]
pub struct AttemptEnd {
    pub result: &'static str,
    pub status: Option<u16>,
    pub error_key: Option<String>,
    pub trace_id: Option<String>,
}

/// Writes how a job's unfinished submission ended.
pub async fn end_attempt(
    connection: &mut Tx,
    job_id: JobId,
    end: &AttemptEnd,
    now: Millis,
) -> Result<(), StoreError> {
    let result = sql::query(
        "update attempts set finished_at = $2, result = $3, status = $4, error_key = $5, trace_id = $6
         where job_id = $1 and finished_at is null",
    )
    .bind(job_id.0)
    .bind(now.0)
    .bind(end.result)
    .bind(end.status)
    .bind(end.error_key.as_deref())
    .bind(end.trace_id.as_deref())
    .execute(connection)
    .await?;
    result.exactly_one("the submission attempt")
}

/// How many submissions of a job were never answered.
pub async fn unanswered(executor: impl Into<On<'_>>, job_id: JobId) -> Result<u32, StoreError> {
    let count: i64 =
        sql::query_scalar("select count(*) from attempts where job_id = $1 and result = 'unknown'")
            .bind(job_id.0)
            .fetch_one(executor)
            .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// How many unlocks of a job's event were never answered since the oldest request that waits for it was taken, in any
/// job: its item may have been in another one before.
pub async fn unanswered_unlocks(connection: &mut Tx, job: &Job) -> Result<u32, StoreError> {
    let count: i64 = sql::query_scalar(
        "select count(*) from jobs j join attempts sent on sent.job_id = j.id
         where j.event_id = $2 and j.action = $3 and j.account in (select member from pools where account = $4)
           and sent.result = 'unknown'
           and sent.started_at >= coalesce((select min(r.taken_at) from items i join requests r on r.id = i.request_id
                                         where i.job_id = $1 and i.state in ('assigned', 'reading')), 0)",
    )
    .bind(job.id.0)
    .bind(job.event_id.as_ref().map(EventId::as_str))
    .bind(job.action.as_str())
    .bind(job.account.as_str())
    .fetch_one(connection)
    .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The highest possible cost of a submission of the job that was never answered; 0: all were answered.
pub async fn unanswered_cost(connection: &mut Tx, job_id: JobId) -> Result<Credits, StoreError> {
    let cost: i64 = sql::query_scalar(
        "select coalesce(max(cost), 0) from attempts where job_id = $1 and result = 'unknown'",
    )
    .bind(job_id.0)
    .fetch_one(connection)
    .await?;
    Ok(Credits(cost))
}

/// When the last submission of a job started.
pub async fn last_started(readers: &Reads, job_id: JobId) -> Result<Option<Millis>, StoreError> {
    let at: Option<i64> =
        sql::query_scalar("select started_at from attempts where job_id = $1 order by id desc limit 1")
            .bind(job_id.0)
            .fetch_optional(readers)
            .await?;
    Ok(at.map(Millis))
}

/// The number of the newest submission of all; 0 if there is none.
pub async fn newest(readers: &Reads) -> Result<i64, StoreError> {
    let id: Option<i64> = sql::query_scalar("select max(id) from attempts").fetch_one(readers).await?;
    Ok(id.unwrap_or_default())
}

/// What was known before the last submission of a job; `None` if no balance was.
pub async fn last_opening_balance(
    readers: &Reads,
    job_id: JobId,
) -> Result<Option<OpeningBalance>, StoreError> {
    let row: Option<(Option<i64>, Option<i64>, Option<i64>)> = sql::query_as(
        "select balance_before, snapshot_before, ledger_before from attempts where job_id = $1 order by id desc limit 1",
    )
    .bind(job_id.0)
    .fetch_optional(readers)
    .await?;
    Ok(row.and_then(|(credits, snapshot, ledger)| {
        Some(OpeningBalance { credits: credits?, snapshot: snapshot?, ledger: ledger? })
    }))
}
