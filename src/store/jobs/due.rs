//! The next jobs for a pass: to be polled, sent, released, checked or resumed.
//!
//! Each function reads the account's jobs in one state, in the order in which they are handled. Other code
//! decides their next state and writes it with `jobs::save`.

use serde_json::json;

use crate::domain::job::{Doubt, WaitReason};
use crate::domain::{AccountId, Credits, EventId, JobId, Millis};
use crate::store::items::waiting::Group;
use crate::store::jobs::Job;
use crate::store::jobs::job_row::{Row, jobs, select_jobs};
use crate::store::{On, Reads, StoreError, Tx, sql};

/// Tasks whose poll is due, oldest due first.
pub async fn to_poll(
    readers: &Reads,
    account: &AccountId,
    now: Millis,
    limit: u32,
) -> Result<Vec<Job>, StoreError> {
    let rows = sql::query_as(select_jobs!(
        "where state = 'polling' and account = $1 and next_poll_at <= $2 order by next_poll_at limit $3"
    ))
    .bind(account.as_str())
    .bind(now.0)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    jobs(rows)
}

/// When the next poll is due.
pub async fn next_poll(readers: &Reads, account: &AccountId) -> Result<Option<Millis>, StoreError> {
    let at: Option<i64> =
        sql::query_scalar("select min(next_poll_at) from jobs where state = 'polling' and account = $1")
            .bind(account.as_str())
            .fetch_one(readers)
            .await?;
    Ok(at.map(Millis))
}

/// The next queued job that waits for nothing. First jobs that are due, then those that wait for a retry;
/// among these, jobs that were refused less often first, then the oldest.
pub async fn ready(
    on: impl Into<On<'_>>,
    account: &AccountId,
    now: Millis,
) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> = sql::query_as(select_jobs!(
        "where state = 'queued' and account = $1 and state_reason is null
         order by greatest(coalesce(due_at, 0), $2), failures, id limit 1"
    ))
    .bind(account.as_str())
    .bind(now.0)
    .fetch_optional(on)
    .await?;
    row.map(Job::try_from).transpose()
}

/// A queued job that all requests have left, even if it waits for something.
pub async fn emptied(on: impl Into<On<'_>>, account: &AccountId) -> Result<Option<JobId>, StoreError> {
    let id: Option<i64> = sql::query_scalar(
        "select min(id) from jobs where state = 'queued' and account = $1 and contacts = 0",
    )
    .bind(account.as_str())
    .fetch_one(on)
    .await?;
    Ok(id.map(JobId))
}

/// Queued jobs that wait for credits or for another day's limit, oldest first.
pub async fn waiting_for_credits(on: impl Into<On<'_>>, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    let rows = sql::query_as(select_jobs!(
        "where state = 'queued' and account = $1 and state_reason in (select value from json_words($2)) order by id"
    ))
    .bind(account.as_str())
    .bind(json!(WaitReason::for_credits()).to_string())
    .fetch_all(on)
    .await?;
    jobs(rows)
}

/// Lowers the balance at which parked jobs were refused to a balance that was read later.
pub async fn lower_refused_at(tx: &mut Tx, account: &AccountId, balance: Credits) -> Result<(), StoreError> {
    sql::query(
        "update jobs set parked_balance = $2, version = version + 1
         where state = 'queued' and account = $1 and state_reason = $3 and parked_balance > $2",
    )
    .bind(account.as_str())
    .bind(balance.0)
    .bind(WaitReason::InsufficientCredits.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

/// The oldest job that waits for credits or for another day's limit, and has room for items of its group. A part of
/// a refused call takes no other items: it must show which of its own are refused.
pub async fn waiting_with_room(
    tx: &mut Tx,
    account: &AccountId,
    group: &Group,
    most: u32,
) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> = sql::query_as(select_jobs!(
        "where state = 'queued' and account = $1 and state_reason in (select value from json_words($5))
           and action = $2 and event_id is not distinct from $3 and contacts < $4 and divided_from is null
         order by id limit 1"
    ))
    .bind(account.as_str())
    .bind(group.action.as_str())
    .bind(group.event_id.as_ref().map(EventId::as_str))
    .bind(most)
    .bind(json!(WaitReason::for_credits()).to_string())
    .fetch_optional(tx)
    .await?;
    row.map(Job::try_from).transpose()
}

/// Jobs in doubt that are being looked up, the one whose next check is due first in front; without these, or the first
/// of these only. One of which nothing could be read is looked up although a person is asked: it has a due time.
pub async fn in_doubt(
    readers: &Reads,
    account: &AccountId,
    these: &[JobId],
    part: Part,
) -> Result<Vec<Job>, StoreError> {
    let these = json!(these.iter().map(|id| id.0).collect::<Vec<_>>()).to_string();
    let rows = match part {
        Part::Others => sql::query_as(select_jobs!(
            "where state = 'in_doubt' and account = $1 and (state_reason = $2 or (state_reason = $4 and due_at is not null))
               and id not in (select value from json_ids($3)) order by due_at limit 64"
        )),
        Part::FirstOfThese => sql::query_as(select_jobs!(
            "where state = 'in_doubt' and account = $1 and (state_reason = $2 or (state_reason = $4 and due_at is not null))
               and id in (select value from json_ids($3)) order by due_at, id limit 1"
        )),
    };
    let (looking, asked) = (Doubt::Looking.as_str(), Doubt::NeedsDecision.as_str());
    jobs(rows.bind(account.as_str()).bind(looking).bind(these).bind(asked).fetch_all(readers).await?)
}

/// Which jobs in doubt [`in_doubt`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Others,
    FirstOfThese,
}

/// Jobs that an earlier process was sending when it ended.
pub async fn submitting(readers: &Reads) -> Result<Vec<Job>, StoreError> {
    jobs(sql::query_as(select_jobs!("where state = 'submitting' order by id")).fetch_all(readers).await?)
}

/// Jobs that have given up on their task.
pub async fn expired(executor: impl Into<On<'_>>, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    let rows = sql::query_as(select_jobs!("where state = 'expired' and account = $1 order by id"))
        .bind(account.as_str())
        .fetch_all(executor)
        .await?;
    jobs(rows)
}
