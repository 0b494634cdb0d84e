//! The contacts of a request that were not sent: they may still be approved, taken back or ended.
//!
//! A contact is unsent while it waits, awaits an approval, or is in a job that is queued; a contact in a job
//! that was sent stays there, since it may be paid for. A request that leaves a queued job increases that
//! job's version, so no pass sends the job as it was before.

use std::collections::BTreeSet;

use crate::store::{StoreError, Tx, sql, timeline};
use serde_json::json;

use crate::domain::item::{self, State};
use crate::domain::request_state::Event;
use crate::domain::{Credits, JobId, Millis, RequestId};
use crate::store::items::item_row::{Item, items, select_items};
use crate::store::items::moves::move_all;
use crate::store::requests::finish_complete;
use crate::store::requests::state::move_one;

/// How many contacts of a request are not sent yet.
pub async fn unsent(connection: &mut Tx, request_id: RequestId) -> Result<u32, StoreError> {
    let count: i64 = sql::query_scalar(
        "select count(*) from items where request_id = $1 and (state in ('waiting', 'unapproved')
             or (state = 'assigned' and job_id in (select id from jobs where state = 'queued')))",
    )
    .bind(request_id.0)
    .fetch_one(connection)
    .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether any contact of a request may still be sent: it was not sent yet, or its submission may turn out to
/// have had no effect, or its profile may show that it must be bought after all.
pub async fn may_be_sent_yet(connection: &mut Tx, request_id: RequestId) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from items where request_id = $1 and (state in ('waiting', 'unapproved', 'reading')
             or (state = 'assigned' and exists (select 1 from jobs j where j.id = items.job_id
                                                  and j.state in ('queued', 'submitting', 'in_doubt')))))",
    )
    .bind(request_id.0)
    .fetch_one(connection)
    .await?)
}

/// Whether any request still wants a contact of a job. False: all its other contacts are cancelled.
pub async fn is_wanted(connection: &mut Tx, job_id: JobId) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from items where job_id = $1 and state = 'assigned'
             and not exists (select 1 from request_events e
                             where e.request_id = items.request_id and e.event = 'cancel'))",
    )
    .bind(job_id.0)
    .fetch_one(connection)
    .await?)
}

/// Makes a request await approval again, since its estimate grew beyond what was approved. Its items leave
/// their job. It may already await approval, if a contact that was set aside came back.
pub async fn ask_again(
    connection: &mut Tx,
    request_id: RequestId,
    quote: Credits,
    reason: &str,
    now: Millis,
) -> Result<(), StoreError> {
    move_one(&mut *connection, request_id, Event::ApprovalNeeded, Some(reason), now).await?;
    sql::query("update requests set quoted_credits = $2 where id = $1")
        .bind(request_id.0)
        .bind(quote.0)
        .execute(&mut *connection)
        .await?;
    let left = leave_queued_jobs(&mut *connection, request_id).await?;
    // Items in jobs that were sent stay there; only unsent items are taken back.
    let mut taken_back = unsent_items(&mut *connection, request_id).await?;
    taken_back.retain(|item| !matches!(item.state, State::Unapproved { .. }));
    move_all(&mut *connection, &taken_back, item::Event::ApprovalNeeded, now).await?;
    recount_jobs(&mut *connection, &left).await?;
    timeline::of_request(connection, now, request_id, "awaiting_approval", reason).await
}

/// Approves the quote of a request, so that its items may be bought.
pub async fn approve(
    connection: &mut Tx,
    request_id: RequestId,
    quote: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    // Fails if the request was cancelled, or quoted again, since the person looked: an approval covers only
    // what was shown.
    let result = sql::query(
        "update requests set approved_credits = $2
         where id = $1 and status = 'awaiting_approval' and quoted_credits = $2",
    )
    .bind(request_id.0)
    .bind(quote.0)
    .execute(&mut *connection)
    .await?;
    result.exactly_one("the request")?;
    move_one(&mut *connection, request_id, Event::Approved, None, now).await?;
    let rows = sql::query_as(select_items!("where request_id = $1 and state = 'unapproved'"))
        .bind(request_id.0)
        .fetch_all(&mut *connection)
        .await?;
    move_all(&mut *connection, &items(rows)?, item::Event::Approved, now).await?;
    timeline::of_request(connection, now, request_id, "approved", &format!("{quote} credits at most")).await
}

/// Increases the version of the queued jobs that a request is about to leave, so that no pass sends them as
/// they were before. Returns their ids, as JSON.
async fn leave_queued_jobs(connection: &mut Tx, request_id: RequestId) -> Result<String, StoreError> {
    let left: Vec<i64> = sql::query_scalar(
        "update jobs set version = version + 1 where state = 'queued'
           and id in (select job_id from items where request_id = $1 and state = 'assigned') returning id",
    )
    .bind(request_id.0)
    .fetch_all(connection)
    .await?;
    Ok(json!(left).to_string())
}

/// Counts the contacts left in jobs that a request has left. The submit pass ends a job without contacts.
async fn recount_jobs(connection: &mut Tx, jobs: &str) -> Result<(), StoreError> {
    sql::query(
        "update jobs set contacts = (select count(distinct personnel_id) from items
                                     where job_id = jobs.id and state = 'assigned')
         where id in (select value from json_ids($1))",
    )
    .bind(jobs)
    .execute(connection)
    .await?;
    Ok(())
}

/// The items of a request that are not sent yet.
async fn unsent_items(connection: &mut Tx, request_id: RequestId) -> Result<Vec<Item>, StoreError> {
    let rows = sql::query_as(select_items!(
        "where request_id = $1 and (state in ('waiting', 'unapproved') or (state = 'assigned'
               and job_id in (select id from jobs where state = 'queued')))"
    ))
    .bind(request_id.0)
    .fetch_all(connection)
    .await?;
    items(rows)
}

/// Ends the unsent items of a request that was cancelled or is too expensive; sent items continue. Increases
/// the version of the queued jobs that it leaves, so that no pass sends them as they were before.
pub async fn end_unsent(
    connection: &mut Tx,
    request_id: RequestId,
    event: item::Event,
    now: Millis,
) -> Result<u64, StoreError> {
    let left = leave_queued_jobs(&mut *connection, request_id).await?;
    let unsent = unsent_items(&mut *connection, request_id).await?;
    move_all(&mut *connection, &unsent, event, now).await?;
    recount_jobs(connection, &left).await?;
    Ok(unsent.len() as u64)
}

/// Takes items out of a queued job that are not wanted any more: contacts that came back to be sent after
/// their request was cancelled, or while it awaits an approval again. Returns how many.
pub async fn leave_unwanted(connection: &mut Tx, job_id: JobId, now: Millis) -> Result<u64, StoreError> {
    let rows = sql::query_as(select_items!(
        "where job_id = $1 and state = 'assigned' and exists (select 1 from request_events e
               where e.request_id = items.request_id and e.event = 'cancel')"
    ))
    .bind(job_id.0)
    .fetch_all(&mut *connection)
    .await?;
    let cancelled = items(rows)?;
    move_all(&mut *connection, &cancelled, item::Event::Cancelled, now).await?;
    let requests: BTreeSet<i64> = cancelled.iter().map(|item| item.request_id).collect();
    finish_complete(&mut *connection, &json!(requests).to_string(), now).await?;
    let rows = sql::query_as(select_items!(
        "where job_id = $1 and state = 'assigned'
           and exists (select 1 from requests r where r.id = items.request_id and r.status = 'awaiting_approval')"
    ))
    .bind(job_id.0)
    .fetch_all(&mut *connection)
    .await?;
    let unapproved = items(rows)?;
    move_all(connection, &unapproved, item::Event::ApprovalNeeded, now).await?;
    Ok((cancelled.len() + unapproved.len()) as u64)
}

/// Cancels the unsent items of a request; sent items are followed to the end.
pub async fn cancel(connection: &mut Tx, request_id: RequestId, now: Millis) -> Result<u64, StoreError> {
    let ended = end_unsent(&mut *connection, request_id, item::Event::Cancelled, now).await?;
    move_one(&mut *connection, request_id, Event::Cancelled, None, now).await?;
    timeline::of_request(&mut *connection, now, request_id, "cancel", &format!("{ended} contacts not sent"))
        .await?;
    finish_complete(connection, &json!([request_id]).to_string(), now).await?;
    Ok(ended)
}
