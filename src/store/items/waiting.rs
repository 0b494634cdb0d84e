//! Items that wait, and where they go: what is stored already serves them, what is on its way is joined, and
//! the rest goes into a job.
//!
//! Two items with the same contact, account and action share a job as soon as one of them is in one, so a
//! contact is never sent twice; whoever comes later joins.

use crate::store::{Reads, StoreError, Tx, sql};
use serde_json::json;

use crate::domain::{AccountId, Action, Channel, EventId, JobId, Millis, PersonnelId};
use crate::store::items::json_ids;

/// What a batch is made of: items that may travel in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub action: Action,
    pub event_id: Option<EventId>,
}

/// The group of the oldest waiting item.
pub async fn oldest_waiting_group(readers: &Reads, account: &AccountId) -> Result<Option<Group>, StoreError> {
    let row: Option<(String, Option<String>)> = sql::query_as(
        "select action, event_id from items where state = 'waiting' and account = $1 order by id limit 1",
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
    connection: &mut Tx,
    account: &AccountId,
    group: &Group,
    limit: u32,
) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select personnel_id from items
         where state = 'waiting' and account = $1 and action = $2 and event_id is $3 order by id limit $4",
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
    connection: &mut Tx,
    account: &AccountId,
    channel: Channel,
    contacts: &[PersonnelId],
    now: Millis,
) -> Result<String, StoreError> {
    sql::query(
        "insert into contact_values (item_id, value, stored_at)
         select w.id, had.value, $4
         from (select i.personnel_id, max(v.value) as value
               from items i join contact_values v on v.item_id = i.id and v.is_erased = 0
               where i.account = $1 and i.action = $2
                 and i.personnel_id in (select value from json_each($3))
               group by i.personnel_id) as had
         cross join items w on w.personnel_id = had.personnel_id and w.account = $1 and w.action = $2
         where w.state = 'waiting'",
    )
    .bind(account.as_str())
    .bind(channel.action().as_str())
    .bind(json_ids(contacts))
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    let requests: Vec<i64> = sql::query_scalar(
        "update items set state = 'done', outcome = 'delivered', source = 'store', resolved_at = $4
         where account = $1 and action = $2 and personnel_id in (select value from json_each($3))
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
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
) -> Result<u64, StoreError> {
    let result = sql::query(
        "update items set state = flying.state, job_id = flying.job_id, read_at = flying.read_at,
                reads = flying.reads, reading_since = flying.reading_since, set_aside = flying.set_aside,
                unlocking_since = flying.unlocking_since
         from (select personnel_id, state, job_id, read_at, reads, reading_since, set_aside, unlocking_since,
                      min(id) from items
               where account = $1 and action = $2 and state in ('assigned', 'reading')
                 and personnel_id in (select value from json_each($3))
               group by personnel_id) as flying
         where items.personnel_id = flying.personnel_id and items.account = $1 and items.action = $2
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
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
    job_id: JobId,
) -> Result<(), StoreError> {
    sql::query(
        "update items set state = 'assigned', job_id = $4
         where state = 'waiting' and account = $1 and action = $2
           and personnel_id in (select value from json_each($3))",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json_ids(contacts))
    .bind(job_id.0)
    .execute(connection)
    .await?;
    Ok(())
}
