//! The append-only timeline of requests and jobs: `request_events`. Never contains personal data.

use crate::store::{StoreError, Tx, sql};

use crate::domain::{JobId, Millis, RequestId};

/// Adds an event of a request.
pub async fn of_request(
    connection: &mut Tx,
    at: Millis,
    request_id: RequestId,
    event: &str,
    detail: &str,
) -> Result<(), StoreError> {
    add(connection, at, Some(request_id.0), None, event, detail).await
}

/// Adds an event of a job.
pub async fn of_job(
    connection: &mut Tx,
    at: Millis,
    job_id: JobId,
    event: &str,
    detail: &str,
) -> Result<(), StoreError> {
    add(connection, at, None, Some(job_id.0), event, detail).await
}

async fn add(
    connection: &mut Tx,
    at: Millis,
    request_id: Option<i64>,
    job_id: Option<i64>,
    event: &str,
    detail: &str,
) -> Result<(), StoreError> {
    sql::query(
        "insert into request_events (at, request_id, job_id, event, detail) values ($1, $2, $3, $4, nullif($5, ''))",
    )
    .bind(at.0)
    .bind(request_id)
    .bind(job_id)
    .bind(event)
    .bind(detail)
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds the same event for each request id of a JSON array.
pub async fn of_requests(
    connection: &mut Tx,
    at: Millis,
    request_ids: &str,
    event: &str,
) -> Result<(), StoreError> {
    sql::query("insert into request_events (at, request_id, event) select $1, value, $3 from json_ids($2)")
        .bind(at.0)
        .bind(request_ids)
        .bind(event)
        .execute(connection)
        .await?;
    Ok(())
}
