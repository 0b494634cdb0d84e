//! Items whose value is read from a profile: unlocked without a task of ours, or by a
//! submission whose answer was lost.

use std::collections::HashMap;

use crate::store::{Reads, StoreError, Tx, sql};
use serde_json::json;

use crate::domain::item::{Event, State, Why};
use crate::domain::outcome::Access;
use crate::domain::{AccountId, Action, EventId, JobId, Millis, PersonnelId};
use crate::store::items::item_row::{Item, items, select_items, why};
use crate::store::items::json_ids;
use crate::store::items::moves::{Moved, move_all, save};

/// An item whose value is to be read from a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToRead {
    pub personnel_id: PersonnelId,
    pub action: Action,
    pub job_id: JobId,
    pub reads: u32,
    pub why: Why,
    /// The start of the present wait; see [`crate::domain::item::next`].
    pub since: Millis,
    /// When its profile is read next.
    pub read_at: Millis,
    /// A person gave up its job: only what the profile shows now counts.
    pub is_given_up: bool,
}

/// Moves contacts of a job to reading, each with its reason: their value is in the profile, or soon will be.
pub async fn to_reading(
    connection: &mut Tx,
    job_id: JobId,
    contacts: &[(PersonnelId, Why)],
    now: Millis,
) -> Result<(), StoreError> {
    let reasons: HashMap<&PersonnelId, Why> = contacts.iter().map(|(id, why)| (id, *why)).collect();
    let ids: Vec<&PersonnelId> = contacts.iter().map(|(id, _)| id).collect();
    let rows = sql::query_as(select_items!(
        "where job_id = $1 and state = 'assigned' and personnel_id in (select value from json_words($2))"
    ))
    .bind(job_id.0)
    .bind(json!(ids).to_string())
    .fetch_all(&mut *connection)
    .await?;
    let to_read = |item: &Item| Event::ToRead { why: reasons[&item.personnel_id], at: now };
    let moved: Vec<Moved> =
        items(rows)?.iter().map(|item| Moved::new(item, to_read(item))).collect::<Result<_, _>>()?;
    save(connection, &moved, now).await
}

/// Moves every unsettled contact of a job to reading.
pub async fn all_to_reading(
    connection: &mut Tx,
    job_id: JobId,
    why: Why,
    now: Millis,
) -> Result<(), StoreError> {
    let rows = sql::query_as(select_items!("where job_id = $1 and state = 'assigned'"))
        .bind(job_id.0)
        .fetch_all(&mut *connection)
        .await?;
    move_all(connection, &items(rows)?, Event::ToRead { why, at: now }, now).await
}

/// The items of a job that wait for this contact's profile.
async fn of_contact(
    connection: &mut Tx,
    job_id: JobId,
    personnel_id: &PersonnelId,
) -> Result<Vec<Item>, StoreError> {
    let rows = sql::query_as(select_items!("where job_id = $1 and personnel_id = $2 and state = 'reading'"))
        .bind(job_id.0)
        .bind(personnel_id.as_str())
        .fetch_all(connection)
        .await?;
    items(rows)
}

/// A contact that was set aside is locked after all: it waits for a batch again.
pub async fn send_after_all(
    connection: &mut Tx,
    job_id: JobId,
    personnel_id: &PersonnelId,
    now: Millis,
) -> Result<(), StoreError> {
    let mut waiting = of_contact(&mut *connection, job_id, personnel_id).await?;
    waiting.retain(|item| matches!(item.state, State::Reading { why, .. } if why.is_set_aside()));
    move_all(connection, &waiting, Event::StayedLocked { at: now }, now).await
}

/// Sets the next read of a contact's profile; `was_read`: it was read, and gave no answer yet.
pub async fn read_again(
    connection: &mut Tx,
    job_id: JobId,
    personnel_id: &PersonnelId,
    (read_at, was_read): (Millis, bool),
    now: Millis,
) -> Result<(), StoreError> {
    let waiting = of_contact(&mut *connection, job_id, personnel_id).await?;
    move_all(connection, &waiting, Event::NotYet { read_at, was_read }, now).await
}

/// Notes what a contact's profile said, so that `explain` can tell it while the value is waited for.
pub async fn note_said(
    connection: &mut Tx,
    job_id: JobId,
    personnel_id: &PersonnelId,
    access: Access,
) -> Result<(), StoreError> {
    sql::query(
        "update items set profile_said = $3
         where job_id = $1 and personnel_id = $2 and state = 'reading' and profile_said is distinct from $3",
    )
    .bind(job_id.0)
    .bind(personnel_id.as_str())
    .bind(access.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Those of these contacts that were paid for before, and wait, are read now.
pub async fn read_paid_before_now(
    connection: &mut Tx,
    action: Action,
    contacts: &[PersonnelId],
    now: Millis,
) -> Result<(), StoreError> {
    let rows = sql::query_as(select_items!(
        "where personnel_id in (select value from json_words($1)) and action = $2 and state = 'reading'
           and state_reason = $3"
    ))
    .bind(json_ids(contacts))
    .bind(action.as_str())
    .bind(Why::PaidBefore.as_str())
    .fetch_all(&mut *connection)
    .await?;
    move_all(connection, &items(rows)?, Event::NotYet { read_at: now, was_read: false }, now).await
}

/// Contacts of one action and event whose values are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub action: Action,
    pub event_id: Option<EventId>,
    pub contacts: usize,
    /// Since when the oldest of them is due.
    pub since: Millis,
    /// The last of their items.
    pub last_item: i64,
}

/// Of the items that are due (at most this many), the contacts of each action and event, longest due first.
pub async fn due_by_event(
    readers: &Reads,
    account: &AccountId,
    now: Millis,
    limit: u32,
) -> Result<Vec<Due>, StoreError> {
    let rows: Vec<(String, Option<String>, i64, i64, i64)> = sql::query_as(
        "select action, event_id, count(distinct personnel_id), min(read_at), max(id)
         from (select id, action, event_id, personnel_id, read_at from items
               where state = 'reading' and account = $1 and read_at <= $2 order by read_at limit $3) as due
         group by action, event_id order by 4, 5",
    )
    .bind(account.as_str())
    .bind(now.0)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    let known = |(action, event_id, contacts, since, last_item): (String, Option<String>, i64, i64, i64)| {
        Some(Due {
            action: Action::parse(&action)?,
            event_id: event_id.map(EventId::trusted),
            contacts: usize::try_from(contacts).unwrap_or_default(),
            since: Millis(since),
            last_item,
        })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// How many contacts of an action and event are due that became so after this moment, or have a later item.
pub async fn due_after(
    readers: &Reads,
    account: &AccountId,
    due: &Due,
    (moment, last_item): (Millis, i64),
    now: Millis,
) -> Result<usize, StoreError> {
    let contacts: i64 = sql::query_scalar(
        "select count(distinct personnel_id) from items
         where state = 'reading' and account = $1 and read_at <= $2 and action = $3
           and event_id is not distinct from $4 and (read_at > $5 or id > $6)",
    )
    .bind(account.as_str())
    .bind(now.0)
    .bind(due.action.as_str())
    .bind(due.event_id.as_ref().map(EventId::as_str))
    .bind(moment.0)
    .bind(last_item)
    .fetch_one(readers)
    .await?;
    Ok(usize::try_from(contacts).unwrap_or_default())
}

type ToReadRow = (String, String, i64, i64, i64, String, i64, bool);

fn to_read(row: ToReadRow) -> Option<ToRead> {
    let (personnel_id, action, job_id, reads, since, reason, read_at, is_given_up) = row;
    Some(ToRead {
        personnel_id: PersonnelId::trusted(personnel_id),
        action: Action::parse(&action)?,
        job_id: JobId(job_id),
        reads: u32::try_from(reads).unwrap_or(u32::MAX),
        why: why(&reason)?,
        since: Millis(since),
        read_at: Millis(read_at),
        is_given_up,
    })
}

/// Those of these contacts whose values are waited for, whether they are due or not.
pub async fn waited_for(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
) -> Result<Vec<ToRead>, StoreError> {
    let rows: Vec<ToReadRow> = sql::query_as(
        "select personnel_id, action, job_id, min(reads), min(reason_since), min(state_reason), min(read_at),
                exists (select 1 from jobs where id = items.job_id and state = 'lost')
         from items
         where personnel_id in (select value from json_words($3)) and account = $1 and action = $2
           and state = 'reading'
         group by personnel_id, action, job_id",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json_ids(contacts))
    .fetch_all(readers)
    .await?;
    Ok(rows.into_iter().filter_map(to_read).collect())
}

/// Contacts whose profile is due, oldest first; each once, even if many items wait for it.
pub async fn due_reads(
    readers: &Reads,
    account: &AccountId,
    now: Millis,
    limit: u32,
) -> Result<Vec<ToRead>, StoreError> {
    let rows: Vec<ToReadRow> = sql::query_as(
        "select personnel_id, action, job_id, min(reads), min(reason_since), min(state_reason), min(read_at),
                exists (select 1 from jobs where id = items.job_id and state = 'lost')
         from items
         where state = 'reading' and account = $1 and read_at <= $2
         group by personnel_id, action, job_id order by min(read_at), min(id) limit $3",
    )
    .bind(account.as_str())
    .bind(now.0)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    Ok(rows.into_iter().filter_map(to_read).collect())
}

/// When the next profile is due.
pub async fn next_read(readers: &Reads, account: &AccountId) -> Result<Option<Millis>, StoreError> {
    let at: Option<i64> =
        sql::query_scalar("select min(read_at) from items where state = 'reading' and account = $1")
            .bind(account.as_str())
            .fetch_one(readers)
            .await?;
    Ok(at.map(Millis))
}
