//! The `items` table: one row for each distinct contact of a request; and `contact_values`, where the
//! emails and phones are (see [`crate::store::sqlite::erase`]).
//!
//! Statements work on sets, passed as JSON: one call for each row is what costs. Items that wait for a job
//! are in [`crate::store::items::waiting`].

pub mod paid;
pub mod reading;
pub mod waiting;

use crate::store::{Reads, StoreError, Tx, sql};
use serde_json::json;

use crate::domain::outcome::Outcome;
use crate::domain::{AccountId, Action, EventId, JobId, Millis, PersonnelId, RequestId};

pub(in crate::store) fn json_ids(ids: &[PersonnelId]) -> String {
    json!(ids).to_string()
}

/// Records the outcomes of a job's contacts. An outcome that says nothing about other events
/// settles only items of the job's own event; the others wait for a batch of their own.
pub async fn finish(
    connection: &mut Tx,
    job_id: JobId,
    event_id: Option<&EventId>,
    outcomes: &[(PersonnelId, Outcome)],
    now: Millis,
) -> Result<(), StoreError> {
    let (all, own): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|(_, outcome)| outcome.holds_for_other_events());
    write_outcomes(connection, job_id, &all, None, now).await?;
    if !own.is_empty() {
        write_outcomes(connection, job_id, &own, Some(event_id), now).await?;
        let ids: Vec<_> = own.iter().map(|(id, _)| id.clone()).collect();
        sql::query(
            "update items set state = 'waiting', job_id = null, read_at = null
             where job_id = $1 and state in ('assigned', 'reading')
               and personnel_id in (select value from json_each($2))",
        )
        .bind(job_id.0)
        .bind(json_ids(&ids))
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// `only`: settle only the items that were asked for with this event.
async fn write_outcomes(
    connection: &mut Tx,
    job_id: JobId,
    outcomes: &[&(PersonnelId, Outcome)],
    only: Option<Option<&EventId>>,
    now: Millis,
) -> Result<(), StoreError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let (rows, own_event) = (outcomes_json(outcomes), only.flatten().map(EventId::as_str));
    // The values first: the items' state tells which of them are being settled.
    sql::query(
        "insert into contact_values (item_id, value, stored_at)
         select items.id, new.contact, $3
         from (select value->>0 as personnel_id, value->>2 as contact from json_each($2)) as new
         cross join items on items.job_id = $1 and items.personnel_id = new.personnel_id
         where new.contact is not null and items.state in ('assigned', 'reading')
           and ($4 or items.event_id is $5)",
    )
    .bind(job_id.0)
    .bind(&rows)
    .bind(now.0)
    .bind(only.is_none())
    .bind(own_event)
    .execute(&mut *connection)
    .await?;
    sql::query(
        "with new as materialized (select value->>0 as personnel_id, value->>1 as outcome,
                 value->>3 as error_code, value->>4 as source from json_each($2))
         update items set state = 'done', outcome = new.outcome, error_code = new.error_code,
                source = new.source, read_at = null, resolved_at = $3
         from new
         where items.job_id = $1 and items.personnel_id = new.personnel_id
           and items.state in ('assigned', 'reading') and ($4 or items.event_id is $5)",
    )
    .bind(job_id.0)
    .bind(&rows)
    .bind(now.0)
    .bind(only.is_none())
    .bind(own_event)
    .execute(connection)
    .await?;
    Ok(())
}

fn outcomes_json(outcomes: &[&(PersonnelId, Outcome)]) -> String {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|(personnel_id, outcome)| {
            let (value, source) = match outcome {
                Outcome::Delivered { value, source } => (Some(value.expose()), Some(source.as_str())),
                _ => (None, None),
            };
            json!([personnel_id.as_str(), outcome.name(), value, outcome.error_code(), source])
        })
        .collect();
    json!(rows).to_string()
}

/// Records one outcome for all contacts that were to be bought by a job. Those whose profile is read
/// are unlocked already, whatever became of it.
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
         select r.id, r.account, r.action, r.event_id, value, 'assigned', $2
         from json_each($3), requests r where r.id = $1 and true
         on conflict (request_id, personnel_id) do nothing",
    )
    .bind(request_id.0)
    .bind(job_id.0)
    .bind(json_ids(contacts))
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

/// What the task of a job has brought so far: how many contacts for each outcome, in the order of
/// [`Outcome::NAMES`].
pub async fn brought_by_task(
    connection: &mut Tx,
    job_id: JobId,
) -> Result<Vec<(&'static str, i64)>, StoreError> {
    let counts: Vec<(String, i64)> = sql::query_as(
        "select outcome, count(distinct personnel_id) from items
         where job_id = $1 and state = 'done' and coalesce(source, 'task') = 'task'
           and outcome in ('delivered', 'no_value', 'failed', 'unresolved', 'not_returned')
         group by outcome",
    )
    .bind(job_id.0)
    .fetch_all(connection)
    .await?;
    let count = |name: &'static str| {
        counts.iter().find(|(outcome, _)| outcome == name).map(|(_, count)| (name, *count))
    };
    Ok(Outcome::NAMES.into_iter().filter_map(count).collect())
}

/// Lets the contacts of an expired job that are open still wait for its task again.
pub async fn revive_expired(connection: &mut Tx, job_id: JobId) -> Result<(), StoreError> {
    sql::query(
        "update items set state = 'assigned', outcome = 'pending', resolved_at = null
         where job_id = $1 and state = 'done' and outcome in ('expired', 'unresolved')",
    )
    .bind(job_id.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// How many contacts of a job still wait for the task or for their profile.
pub async fn unsettled(connection: &mut Tx, job_id: JobId) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select count(*) from items where job_id = $1 and state in ('assigned', 'reading')")
        .bind(job_id.0)
        .fetch_one(connection)
        .await?)
}
