//! The status of a request, and what changes it: the only statement that writes `requests.status`.
//!
//! Each function reads the rows, gets the next state from [`request_state::next`], and writes it with
//! `save`, which changes a row only if it has not changed since it was read.

use std::collections::HashMap;

use crate::store::requests::rejections;
use crate::store::{StoreError, Tx, sql, timeline};
use serde_json::json;
use sqlx::FromRow;

use crate::domain::request_state::{self, Event, Outcomes, Progress, State};
use crate::domain::{Credits, JobId, Millis, RequestId};

/// A request's state and quote, for the decisions of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateAndQuote {
    pub state: State,
    pub quoted_credits: Credits,
}

/// Reads a request's state and quote, or `None`.
pub async fn state_and_quote(
    connection: &mut Tx,
    request_id: RequestId,
) -> Result<Option<StateAndQuote>, StoreError> {
    let row: Option<(String, i64)> =
        sql::query_as("select status, quoted_credits from requests where id = $1")
            .bind(request_id.0)
            .fetch_optional(connection)
            .await?;
    let Some((status, quoted_credits)) = row else { return Ok(None) };
    Ok(Some(StateAndQuote { state: state(request_id.0, &status)?, quoted_credits: Credits(quoted_credits) }))
}

fn state(id: i64, word: &str) -> Result<State, StoreError> {
    let unreadable = || StoreError::Unreadable { table: "requests", id, problem: "its status".to_owned() };
    State::parse(word).ok_or_else(unreadable)
}

/// A request that changes, with the reason that its inbox row shows from now on.
struct Moved {
    id: i64,
    from: State,
    to: State,
    reason: Option<String>,
}

/// Writes the new states of requests. If a row has changed since it was read, this is an error and nothing is
/// written.
async fn save(connection: &mut Tx, moved: &[Moved], now: Millis) -> Result<(), StoreError> {
    let row = |one: &Moved| {
        let finished_at = one.to.is_end().then_some(now.0);
        json!([one.id, one.from.name(), one.to.name(), one.reason, finished_at])
    };
    let rows: Vec<_> = moved.iter().map(row).collect();
    let result = sql::query(
        "update requests set status = moved.status, reason = moved.reason, finished_at = moved.finished_at,
                inbox_is_behind = 1
         from (select json_number(value, 0) as id, json_text(value, 1) as was, json_text(value, 2) as status,
                      json_text(value, 3) as reason, json_number(value, 4) as finished_at
               from json_rows($1)) as moved
         where requests.id = moved.id and requests.status = moved.was",
    )
    .bind(json!(rows).to_string())
    .execute(connection)
    .await?;
    result.exactly(moved.len(), "the request")
}

/// Applies an event to one request; returns its new state.
pub(in crate::store) async fn move_one(
    connection: &mut Tx,
    request_id: RequestId,
    event: Event,
    reason: Option<&str>,
    now: Millis,
) -> Result<State, StoreError> {
    let missing = StoreError::Stale { what: "the request" };
    let from = state_and_quote(&mut *connection, request_id).await?.ok_or(missing)?.state;
    let to = request_state::next(from, event)?;
    let moved = Moved { id: request_id.0, from, to, reason: reason.map(str::to_owned) };
    save(connection, &[moved], now).await?;
    Ok(to)
}

/// Ends those of these requests (ids as JSON) that are complete. If all items of one were rejected, it says
/// why.
pub async fn finish_complete(connection: &mut Tx, request_ids: &str, now: Millis) -> Result<(), StoreError> {
    let complete = complete(&mut *connection, request_ids).await?;
    if complete.is_empty() {
        return Ok(());
    }
    let outcomes = outcomes(&mut *connection, &complete).await?;
    let rejected: Vec<i64> =
        outcomes.iter().filter(|(_, outcomes, _)| outcomes.is_all_rejected()).map(|(id, ..)| *id).collect();
    let mut reasons: HashMap<i64, String> = rejections::reasons(&mut *connection, &rejected).await?;
    let mut moved = Vec::with_capacity(outcomes.len());
    for (id, outcomes, lost_task) in outcomes {
        let to = request_state::next(State::Accepted, outcomes.end())?;
        let reason = reasons.remove(&id).or_else(|| lost_task.map(|task| lost(&task, to)));
        moved.push(Moved { id, from: State::Accepted, to, reason });
    }
    save(&mut *connection, &moved, now).await?;
    for to in [State::Cancelled, State::Done, State::Rejected] {
        let ids: Vec<i64> = moved.iter().filter(|one| one.to == to).map(|one| one.id).collect();
        timeline::of_requests(&mut *connection, now, &json!(ids).to_string(), to.name()).await?;
    }
    Ok(())
}

#[derive(FromRow)]
struct ProgressRow {
    id: i64,
    has_open_items: bool,
    awaits_its_task: bool,
}

/// Those of these accepted requests that are complete. Fast for a large request that has just begun: open
/// items have their own index.
async fn complete(connection: &mut Tx, request_ids: &str) -> Result<Vec<i64>, StoreError> {
    let rows: Vec<ProgressRow> = sql::query_as(
        "select r.id,
                exists (select 1 from items i where i.request_id = r.id and i.state <> 'done') as has_open_items,
                exists (select 1 from jobs j where j.task_id = r.task_id and j.adopted = 1
                          and j.account = r.account and j.action = r.action
                          and j.finished_at is null) as awaits_its_task
         from requests r
         where r.id in (select value from json_ids($1)) and r.finished_at is null and r.status = 'accepted'
         order by r.id",
    )
    .bind(request_ids)
    .fetch_all(connection)
    .await?;
    let is_complete = |row: &ProgressRow| {
        let ProgressRow { has_open_items, awaits_its_task, .. } = *row;
        Progress { has_open_items, awaits_its_task }.is_complete()
    };
    Ok(rows.into_iter().filter(is_complete).map(|row| row.id).collect())
}

/// Why a request ends whose adopted task is lost.
fn lost(task_id: &str, to: State) -> String {
    match to {
        State::Rejected => format!(
            "the API knows no task {task_id}, or it belongs to another user's key: nothing was taken over, and nothing came \
             of it"
        ),
        _ => format!(
            "the API does not know task {task_id} any more: what it had not brought until then is lost"
        ),
    }
}

/// The number of items of each of these requests, by outcome, and the adopted task that the API does not know.
async fn outcomes(
    connection: &mut Tx,
    ids: &[i64],
) -> Result<Vec<(i64, Outcomes, Option<String>)>, StoreError> {
    let rows: Vec<(i64, i64, i64, i64, i64, Option<String>)> = sql::query_as(
        "select r.id, count(i.id), count(*) filter (where i.outcome = 'cancelled'),
                count(*) filter (where i.outcome = 'rejected'), count(*) filter (where i.outcome = 'invalid'),
                (select max(j.task_id) from jobs j where j.task_id = r.task_id and j.adopted = 1
                   and j.account = r.account and j.action = r.action and j.state = 'lost') as lost_task
         from requests r left join items i on i.request_id = r.id
         where r.id in (select value from json_ids($1)) group by r.id order by r.id",
    )
    .bind(json!(ids).to_string())
    .fetch_all(connection)
    .await?;
    let read =
        |(id, all, cancelled, rejected, invalid, lost_task): (i64, i64, i64, i64, i64, Option<String>)| {
            let has_lost_task = lost_task.is_some();
            (id, Outcomes { all, cancelled, rejected, invalid, has_lost_task }, lost_task)
        };
    Ok(rows.into_iter().map(read).collect())
}

/// Ends the requests whose last item this job has settled.
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

/// Opens requests again that were done but have unsettled contacts in this job, or whose adopted task this
/// job follows.
pub async fn reopen_of_job(connection: &mut Tx, job_id: JobId, now: Millis) -> Result<(), StoreError> {
    let done: Vec<i64> = sql::query_scalar(
        "select id from requests where status = 'done' and id in (
             select request_id from items where job_id = $1 and state <> 'done'
             union select r.id from requests r join jobs j
             on r.task_id = j.task_id and r.account = j.account and r.action = j.action where j.id = $1)",
    )
    .bind(job_id.0)
    .fetch_all(&mut *connection)
    .await?;
    let to = request_state::next(State::Done, Event::Resumed)?;
    let moved: Vec<_> =
        done.iter().map(|id| Moved { id: *id, from: State::Done, to, reason: None }).collect();
    save(&mut *connection, &moved, now).await?;
    timeline::of_requests(connection, now, &json!(done).to_string(), "resumed").await
}
