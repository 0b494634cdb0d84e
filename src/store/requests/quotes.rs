//! The first quotes of requests that await approval: what they would cost changes while nobody has decided.

use sqlx::FromRow;

use crate::domain::{Credits, Millis, RequestId};
use crate::store::{Reads, StoreError, Tx, sql, timeline};

/// Requests that are looked at in one pass.
const AT_ONCE: u32 = 100;

/// A request that awaits its first approval: nothing of it was ever put into a batch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Awaiting {
    pub id: i64,
    pub account: String,
    pub action: String,
    pub quoted_credits: i64,
}

/// The oldest requests that await their first approval. One that was accepted before has a quote that a precheck made,
/// which what is known here cannot make better.
pub async fn awaiting(readers: &Reads) -> Result<Vec<Awaiting>, StoreError> {
    Ok(sql::query_as(
        "select id, account, action, quoted_credits from requests r
         where finished_at is null and status = 'awaiting_approval' and approved_credits is null
           and not exists (select 1 from request_events e where e.request_id = r.id and e.event = 'accepted')
         order by id limit $1",
    )
    .bind(AT_ONCE)
    .fetch_all(readers)
    .await?)
}

/// The contacts of a request that await its approval.
pub async fn unapproved(readers: &Reads, request_id: i64) -> Result<Vec<String>, StoreError> {
    Ok(sql::query_scalar(
        "select personnel_id from items where request_id = $1 and state = 'unapproved' order by id",
    )
    .bind(request_id)
    .fetch_all(readers)
    .await?)
}

/// The id of the newest event: nothing that a quote rests on changes without one, but for prices.
pub async fn newest_event(readers: &Reads) -> Result<i64, StoreError> {
    let id: Option<i64> = sql::query_scalar("select max(id) from request_events").fetch_one(readers).await?;
    Ok(id.unwrap_or_default())
}

/// Writes another quote, with the reason that shows it. False: somebody has decided meanwhile.
pub async fn requote(
    connection: &mut Tx,
    request: &Awaiting,
    quote: Credits,
    reason: &str,
    now: Millis,
) -> Result<bool, StoreError> {
    let written = sql::query(
        "update requests set quoted_credits = $3, reason = $4, inbox_is_behind = 1
         where id = $1 and status = 'awaiting_approval' and quoted_credits = $2",
    )
    .bind(request.id)
    .bind(request.quoted_credits)
    .bind(quote.0)
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    if written.rows_affected() == 0 {
        return Ok(false);
    }
    timeline::of_request(connection, now, RequestId(request.id), "quoted", reason).await?;
    Ok(true)
}
