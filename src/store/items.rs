//! The `items` table: one row for each distinct contact of a request; and `contact_values`, where the
//! emails and phones are (see [`super::erase`]).
//!
//! Statements work on sets, passed as JSON: one call for each row is what costs. Two items with the
//! same contact, account and action share a job as soon as one of them is in one, so a contact is
//! never sent twice; whoever comes later joins.

use serde_json::json;
use sqlx::{SqliteConnection, SqlitePool};

use super::StoreError;
use crate::domain::outcome::Outcome;
use crate::domain::{AccountId, Action, Channel, EventId, JobId, Millis, PersonnelId, RequestId};

/// What a batch is made of: items that may travel in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub action: Action,
    pub event_id: Option<EventId>,
}

pub(super) fn json_ids(ids: &[PersonnelId]) -> String {
    json!(ids).to_string()
}

/// The group of the oldest waiting item.
pub async fn oldest_waiting_group(
    readers: &SqlitePool,
    account: &AccountId,
) -> Result<Option<Group>, StoreError> {
    let row: Option<(String, Option<String>)> = sqlx::query_as(
        "select action, event_id from items where state = 'waiting' and account = ?1 order by id limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?;
    Ok(row.and_then(|(action, event_id)| {
        let action = Action::parse(&action)?;
        Some(Group { action, event_id: event_id.map(EventId::trusted) })
    }))
}

/// Contacts of a group that wait, oldest first, at most `limit` rows (repeats across requests
/// among them).
pub async fn waiting_contacts(
    connection: &mut SqliteConnection,
    account: &AccountId,
    group: &Group,
    limit: u32,
) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select personnel_id from items
         where state = 'waiting' and account = ?1 and action = ?2 and event_id is ?3 order by id limit ?4",
    )
    .bind(account.as_str())
    .bind(group.action.as_str())
    .bind(group.event_id.as_ref().map(EventId::as_str))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// Settles waiting items whose value this database already has. Returns the requests they belong
/// to, as JSON.
pub async fn serve_from_store(
    connection: &mut SqliteConnection,
    account: &AccountId,
    channel: Channel,
    contacts: &[PersonnelId],
    now: Millis,
) -> Result<String, StoreError> {
    sqlx::query(
        "insert into contact_values (item_id, value, stored_at)
         select w.id, had.value, ?4
         from (select i.personnel_id, max(v.value) as value
               from items i join contact_values v on v.item_id = i.id and v.is_erased = 0
               where i.account = ?1 and i.action = ?2
                 and i.personnel_id in (select value from json_each(?3))
               group by i.personnel_id) as had
         cross join items w on w.personnel_id = had.personnel_id and w.account = ?1 and w.action = ?2
         where w.state = 'waiting'",
    )
    .bind(account.as_str())
    .bind(channel.action().as_str())
    .bind(json_ids(contacts))
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    let requests: Vec<i64> = sqlx::query_scalar(
        "update items set state = 'done', outcome = 'delivered', source = 'store', resolved_at = ?4
         where account = ?1 and action = ?2 and personnel_id in (select value from json_each(?3))
           and state = 'waiting' and exists (select 1 from contact_values v where v.item_id = items.id)
         returning request_id",
    )
    .bind(account.as_str())
    .bind(channel.action().as_str())
    .bind(json_ids(contacts))
    .bind(now.0)
    .fetch_all(connection)
    .await?;
    Ok(json!(requests).to_string())
}

/// Lets waiting items join what is already on its way for the same contact.
pub async fn join_in_flight(
    connection: &mut SqliteConnection,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
) -> Result<u64, StoreError> {
    let result = sqlx::query(
        "update items set state = flying.state, job_id = flying.job_id, read_at = flying.read_at,
                reads = flying.reads, reading_since = flying.reading_since, set_aside = flying.set_aside,
                unlocking_since = flying.unlocking_since
         from (select personnel_id, state, job_id, read_at, reads, reading_since, set_aside, unlocking_since,
                      min(id) from items
               where account = ?1 and action = ?2 and state in ('assigned', 'reading')
                 and personnel_id in (select value from json_each(?3))
               group by personnel_id) as flying
         where items.personnel_id = flying.personnel_id and items.account = ?1 and items.action = ?2
           and items.state = 'waiting'",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json_ids(contacts))
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

/// Puts waiting items of these contacts into a job, whatever event they were asked for with.
pub async fn assign(
    connection: &mut SqliteConnection,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
    job_id: JobId,
) -> Result<(), StoreError> {
    sqlx::query(
        "update items set state = 'assigned', job_id = ?4
         where state = 'waiting' and account = ?1 and action = ?2
           and personnel_id in (select value from json_each(?3))",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json_ids(contacts))
    .bind(job_id.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records the outcomes of a job's contacts. An outcome that says nothing about other events
/// settles only items of the job's own event; the others wait for a batch of their own.
pub async fn finish(
    connection: &mut SqliteConnection,
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
        sqlx::query(
            "update items set state = 'waiting', job_id = null, read_at = null
             where job_id = ?1 and state in ('assigned', 'reading')
               and personnel_id in (select value from json_each(?2))",
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
    connection: &mut SqliteConnection,
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
    sqlx::query(
        "insert into contact_values (item_id, value, stored_at)
         select items.id, new.contact, ?3
         from (select value->>0 as personnel_id, value->>2 as contact from json_each(?2)) as new
         cross join items on items.job_id = ?1 and items.personnel_id = new.personnel_id
         where new.contact is not null and items.state in ('assigned', 'reading')
           and (?4 or items.event_id is ?5)",
    )
    .bind(job_id.0)
    .bind(&rows)
    .bind(now.0)
    .bind(only.is_none())
    .bind(own_event)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "with new as materialized (select value->>0 as personnel_id, value->>1 as outcome,
                 value->>3 as error_code, value->>4 as source from json_each(?2))
         update items set state = 'done', outcome = new.outcome, error_code = new.error_code,
                source = new.source, read_at = null, resolved_at = ?3
         from new
         where items.job_id = ?1 and items.personnel_id = new.personnel_id
           and items.state in ('assigned', 'reading') and (?4 or items.event_id is ?5)",
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
    connection: &mut SqliteConnection,
    job_id: JobId,
    event_id: Option<&EventId>,
    outcome: &Outcome,
    now: Millis,
) -> Result<(), StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select distinct personnel_id from items where job_id = ?1 and state = 'assigned'",
    )
    .bind(job_id.0)
    .fetch_all(&mut *connection)
    .await?;
    let outcomes: Vec<_> = ids.into_iter().map(|id| (PersonnelId::trusted(id), outcome.clone())).collect();
    finish(connection, job_id, event_id, &outcomes, now).await
}

/// Adds contacts that an adopted task named to the request that adopted it.
pub async fn add_named(
    connection: &mut SqliteConnection,
    job_id: JobId,
    request_id: RequestId,
    contacts: &[PersonnelId],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into items (request_id, account, action, event_id, personnel_id, state, job_id)
         select r.id, r.account, r.action, r.event_id, value, 'assigned', ?2
         from json_each(?3), requests r where r.id = ?1 and true
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
    readers: &SqlitePool,
    account: &AccountId,
    action: Action,
    task_id: &str,
) -> Result<Option<RequestId>, StoreError> {
    let id: Option<i64> = sqlx::query_scalar(
        "select id from requests where finished_at is null and task_id = ?3 and account = ?1 and action = ?2
         order by id limit 1",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(task_id)
    .fetch_optional(readers)
    .await?;
    Ok(id.map(RequestId))
}

/// Lets the contacts of an expired job wait for its task again.
pub async fn revive_expired(connection: &mut SqliteConnection, job_id: JobId) -> Result<(), StoreError> {
    sqlx::query(
        "update items set state = 'assigned', outcome = 'pending', resolved_at = null
         where job_id = ?1 and state = 'done' and outcome = 'expired'",
    )
    .bind(job_id.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// How many contacts of a job still wait for the task or for their profile.
pub async fn unsettled(connection: &mut SqliteConnection, job_id: JobId) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "select count(*) from items where job_id = ?1 and state in ('assigned', 'reading')",
    )
    .bind(job_id.0)
    .fetch_one(connection)
    .await?)
}
