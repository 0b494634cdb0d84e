//! The `items` table: one row for each distinct contact of a request. The emails and phones are in
//! `contact_values` (see [`crate::store::sqlite::erase`]).
//!
//! Statements work on sets, passed as JSON, since one call for each row would be slow. `item_row` reads a
//! row's state, and `moves` writes its next state. Items that wait for a job are in [`waiting`], those whose
//! profile is read in [`reading`].

pub(in crate::store) mod item_row;
pub mod lead;
pub(in crate::store) mod moves;
pub mod paid;
pub mod reading;
pub mod waiting;

use std::collections::HashMap;

use crate::store::{Reads, StoreError, Tx, sql};
use serde_json::json;

use crate::domain::item::{Event, State};
use crate::domain::outcome::{Outcome, Set};
use crate::domain::{AccountId, Action, EventId, JobId, Millis, PersonnelId, RequestId};
use crate::store::items::item_row::{items, select_items};
use crate::store::items::moves::{Moved, move_all, save};

pub(in crate::store) fn json_ids(ids: &[PersonnelId]) -> String {
    sql::to_json(&ids)
}

/// Records the outcomes of a job's contacts. An outcome that is valid only for this event settles only items
/// of the job's own event; the other items wait for a batch of their own.
pub async fn finish(
    connection: &mut Tx,
    job_id: JobId,
    event_id: Option<&EventId>,
    outcomes: &[(PersonnelId, Outcome)],
    now: Millis,
) -> Result<(), StoreError> {
    let by_contact: HashMap<&PersonnelId, &Outcome> =
        outcomes.iter().map(|(id, outcome)| (id, outcome)).collect();
    let ids: Vec<&PersonnelId> = outcomes.iter().map(|(id, _)| id).collect();
    let rows = sql::query_as(select_items!(
        "where job_id = $1 and state in ('assigned', 'reading')
           and personnel_id in (select value from json_words($2))"
    ))
    .bind(job_id.0)
    .bind(json!(ids).to_string())
    .fetch_all(&mut *connection)
    .await?;
    let (mut moved, mut values) = (Vec::new(), Vec::new());
    for item in items(rows)? {
        let outcome = by_contact[&item.personnel_id];
        if !outcome.holds_for_other_events() && item.event_id.as_ref() != event_id {
            moved.push(Moved::new(&item, Event::OtherEvent)?);
            continue;
        }
        if let Outcome::Delivered { value, .. } = outcome {
            values.push(json!([item.id, value.expose()]));
        }
        moved.push(Moved::settled(&item, outcome)?);
    }
    keep_values(&mut *connection, &values, now).await?;
    save(connection, &moved, now).await
}

/// Stores the emails or phones of items; each row is the item's id and its value.
async fn keep_values(
    connection: &mut Tx,
    values: &[serde_json::Value],
    now: Millis,
) -> Result<(), StoreError> {
    if values.is_empty() {
        return Ok(());
    }
    sql::query(
        "insert into contact_values (item_id, value, stored_at)
         select json_number(value, 0), json_text(value, 1), $2 from json_rows($1)",
    )
    .bind(json!(values).to_string())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records one outcome for all contacts that a job was to buy. Contacts whose profile is read are already
/// unlocked, so they are not changed.
pub async fn finish_all(
    connection: &mut Tx,
    job_id: JobId,
    event_id: Option<&EventId>,
    outcome: &Outcome,
    now: Millis,
) -> Result<(), StoreError> {
    let ids: Vec<String> =
        sql::query_scalar("select distinct personnel_id from items where job_id = $1 and state = 'assigned'")
            .bind(job_id.0)
            .fetch_all(&mut *connection)
            .await?;
    let outcomes: Vec<_> = ids.into_iter().map(|id| (PersonnelId::trusted(id), outcome.clone())).collect();
    finish(connection, job_id, event_id, &outcomes, now).await
}

/// Adds contacts that an adopted task named to the request that adopted it.
pub async fn add_named(
    connection: &mut Tx,
    job_id: JobId,
    request_id: RequestId,
    contacts: &[PersonnelId],
) -> Result<(), StoreError> {
    sql::query(
        "insert into items (request_id, account, action, event_id, personnel_id, state, job_id)
         select r.id, r.account, r.action, r.event_id, value, $4, $2
         from json_words($3), requests r where r.id = $1
         on conflict (request_id, personnel_id) do nothing",
    )
    .bind(request_id.0)
    .bind(job_id.0)
    .bind(json_ids(contacts))
    .bind(State::Assigned { job_id, seen: None }.name())
    .execute(connection)
    .await?;
    Ok(())
}

/// The request that adopted the task of a job.
pub async fn adopting_request(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    task_id: &str,
) -> Result<Option<RequestId>, StoreError> {
    let id: Option<i64> = sql::query_scalar(
        "select id from requests where finished_at is null and task_id = $3 and account = $1 and action = $2
         order by id limit 1",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(task_id)
    .fetch_optional(readers)
    .await?;
    Ok(id.map(RequestId))
}

/// The results of a job's task so far: the number of contacts for each outcome, in the order of
/// [`Outcome::NAMES`].
pub async fn brought_by_task(
    connection: &mut Tx,
    job_id: JobId,
) -> Result<Vec<(&'static str, i64)>, StoreError> {
    let counts: Vec<(String, i64)> = sql::query_as(
        "select outcome, count(distinct personnel_id) from items
         where job_id = $1 and state = 'done' and coalesce(source, 'task') = 'task'
           and outcome in (select value from json_words($2))
         group by outcome",
    )
    .bind(job_id.0)
    .bind(json!(Set::OfTask.words()).to_string())
    .fetch_all(connection)
    .await?;
    let count = |name: &'static str| {
        counts.iter().find(|(outcome, _)| outcome == name).map(|(_, count)| (name, *count))
    };
    Ok(Outcome::NAMES.into_iter().filter_map(count).collect())
}

/// Makes the open contacts of an expired job wait for its task again.
pub async fn revive_expired(connection: &mut Tx, job_id: JobId, now: Millis) -> Result<(), StoreError> {
    let rows = sql::query_as(select_items!(
        "where job_id = $1 and state = 'done' and outcome in (select value from json_words($2))"
    ))
    .bind(job_id.0)
    .bind(json!(Set::Resumable.words()).to_string())
    .fetch_all(&mut *connection)
    .await?;
    move_all(connection, &items(rows)?, Event::Resumed, now).await
}

/// How many contacts of a job still wait for the task or for their profile.
pub async fn unsettled(connection: &mut Tx, job_id: JobId) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select count(*) from items where job_id = $1 and state in ('assigned', 'reading')")
        .bind(job_id.0)
        .fetch_one(connection)
        .await?)
}
