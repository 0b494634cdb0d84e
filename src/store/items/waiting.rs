//! Items that wait, and their next step: a stored value serves them, a running job is joined, and the rest
//! goes into a new job.
//!
//! Two items with the same contact, account and action share a job as soon as one of them is in a job, so a
//! contact is never sent twice; later requests for it join that job.

use std::collections::{BTreeSet, HashMap};

use crate::store::{Reads, StoreError, Tx, sql};
use serde_json::json;

use crate::domain::item::{Event, State};
use crate::domain::outcome::Source;
use crate::domain::{AccountId, Action, Channel, EventId, JobId, Layers, Millis, PersonnelId};
use crate::store::items::item_row::{Item, items, select_items};
use crate::store::items::moves::{Moved, move_all, save};
use crate::store::items::{json_ids, paid};

/// The common values of a batch: items with the same ones may go into one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub action: Action,
    pub event_id: Option<EventId>,
}

/// The waiting items of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub action: Action,
    /// Ids of the oldest and the newest item.
    pub oldest: i64,
    pub newest: i64,
    /// The oldest one above a given item.
    pub next: Option<i64>,
}

/// The columns of a [`Kind`]: its action, and what is the same for its items.
type KindRow = (String, Option<i64>, Option<i64>, Option<i64>);

/// The actions that items wait for; `above`: see [`Kind::next`]. The query uses an index, so the number of items does
/// not matter.
pub async fn kinds(readers: &Reads, account: &AccountId, above: i64) -> Result<Vec<Kind>, StoreError> {
    let rows: Vec<KindRow> = sql::query_as(
        "select asked.value,
                (select min(id) from items where state = 'waiting' and account = $1 and action = asked.value),
                (select max(id) from items where state = 'waiting' and account = $1 and action = asked.value),
                (select min(id) from items
                 where state = 'waiting' and account = $1 and action = asked.value and id > $3)
         from json_words($2) as asked",
    )
    .bind(account.as_str())
    .bind(json!(Action::ALL.map(Action::as_str)).to_string())
    .bind(above)
    .fetch_all(readers)
    .await?;
    let known = |(action, oldest, newest, next): KindRow| {
        Some(Kind { action: Action::parse(&action)?, oldest: oldest?, newest: newest?, next })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Whether any item of an account waits for a job.
pub async fn any(readers: &Reads, account: &AccountId) -> Result<bool, StoreError> {
    Ok(sql::query_scalar("select exists (select 1 from items where state = 'waiting' and account = $1)")
        .bind(account.as_str())
        .fetch_one(readers)
        .await?)
}

/// Whether base access to an event is on its way: asked for, approved if need be, and not settled yet, or bought
/// since this moment. What a person may never approve is not waited for: nobody would see the wait.
pub async fn base_is_coming(
    readers: &Reads,
    account: &AccountId,
    event_id: &EventId,
    since: Millis,
) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from items
             where personnel_id = $2 and account = $1 and action in (select value from json_words($3))
               and (state not in ('done', 'unapproved') or (outcome = 'delivered' and resolved_at >= $4)))",
    )
    .bind(account.as_str())
    .bind(event_id.as_str())
    .bind(json!([Layers::Base, Layers::Both].map(|layers| layers.action().as_str())).to_string())
    .bind(since.0)
    .fetch_one(readers)
    .await?)
}

/// Whether items wait that may go into one call with this action and event.
pub async fn has_company(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    event_id: Option<&EventId>,
) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from items
             where state = 'waiting' and account = $1 and action = $2 and event_id is not distinct from $3)",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(event_id.map(EventId::as_str))
    .fetch_one(readers)
    .await?)
}

/// Waiting contacts of an action above an item's id, oldest first, and the id of the last one.
pub async fn contacts_above(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    above: i64,
    limit: u32,
) -> Result<Option<(Vec<PersonnelId>, i64)>, StoreError> {
    let rows: Vec<(i64, String)> = sql::query_as(
        "select id, personnel_id from items
         where state = 'waiting' and account = $1 and action = $2 and id > $3 order by id limit $4",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(above)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    let last = rows.last().map(|(id, _)| *id);
    let contacts = rows.into_iter().map(|(_, id)| PersonnelId::trusted(id)).collect();
    Ok(last.map(|last| (contacts, last)))
}

/// Waiting contacts of a group, oldest first, at most `limit` rows (repeats across requests included).
pub async fn waiting_contacts(
    connection: &mut Tx,
    account: &AccountId,
    group: &Group,
    limit: u32,
) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select personnel_id from items
         where state = 'waiting' and account = $1 and action = $2 and event_id is not distinct from $3 order by id limit $4",
    )
    .bind(account.as_str())
    .bind(group.action.as_str())
    .bind(group.event_id.as_ref().map(EventId::as_str))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// Settles waiting items whose value is already in this database. Returns their requests, as JSON.
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
               where i.account in (select member from pools where account = $1) and i.action = $2
                 and i.personnel_id in (select value from json_words($3))
               group by i.personnel_id) as had
         cross join items w
         where w.personnel_id = had.personnel_id and w.account = $1 and w.action = $2 and w.state = 'waiting'",
    )
    .bind(account.as_str())
    .bind(channel.action().as_str())
    .bind(json_ids(contacts))
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    let rows = sql::query_as(select_items!(
        "where account = $1 and action = $2 and personnel_id in (select value from json_words($3))
           and state = 'waiting' and exists (select 1 from contact_values v where v.item_id = items.id)"
    ))
    .bind(account.as_str())
    .bind(channel.action().as_str())
    .bind(json_ids(contacts))
    .fetch_all(&mut *connection)
    .await?;
    let served = items(rows)?;
    paid::note_obtained(&mut *connection, &served).await?;
    let moved: Vec<Moved> = served
        .iter()
        .map(|item| Ok(Moved::new(item, Event::Served)?.with_source(Some(Source::Store))))
        .collect::<Result<_, StoreError>>()?;
    save(connection, &moved, now).await?;
    let requests: BTreeSet<i64> = served.iter().map(|item| item.request_id).collect();
    Ok(json!(requests).to_string())
}

/// Lets waiting items join the running job of the same contact; returns how many. A job of another account of the
/// owner only if its call was made: otherwise it may wait for what does not concern this account, such as a pause.
pub async fn join_in_flight(
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
    now: Millis,
) -> Result<usize, StoreError> {
    let rows = sql::query_as(select_items!(
        "where personnel_id in (select value from json_words($3)) and action = $2 and state in ('assigned', 'reading')
           and account in (select member from pools where account = $1)
           and (account = $1 or exists (select 1 from jobs j where j.id = items.job_id and j.state <> 'queued'))
           -- What is read after a person gave up its job is bought anew.
           and not exists (select 1 from jobs where id = items.job_id and state = 'lost')"
    ))
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json_ids(contacts))
    .fetch_all(&mut *connection)
    .await?;
    let mut flying = items(rows)?;
    // The request that asked first decides.
    flying.sort_by_key(|item| std::cmp::Reverse(item.id));
    let known: Vec<PersonnelId> = flying.iter().map(|item| item.personnel_id.clone()).collect();
    let in_flight: HashMap<PersonnelId, State> =
        flying.into_iter().map(|item| (item.personnel_id, item.state)).collect();
    let mut moved = Vec::new();
    for item in waiting(&mut *connection, account, action, &known).await? {
        let in_flight = in_flight[&item.personnel_id];
        moved.push(Moved::new(&item, Event::Joined { in_flight })?);
    }
    save(connection, &moved, now).await?;
    Ok(moved.len())
}

/// Puts waiting items of these contacts into a job, for any event they were asked for with.
pub async fn assign(
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
    job_id: JobId,
    now: Millis,
) -> Result<(), StoreError> {
    let waiting = waiting(&mut *connection, account, action, contacts).await?;
    move_all(connection, &waiting, Event::Batched { job_id }, now).await
}

/// Moves contacts of a job whose call was refused to another job.
pub async fn divide(
    connection: &mut Tx,
    (from, to): (JobId, JobId),
    contacts: &[PersonnelId],
    now: Millis,
) -> Result<(), StoreError> {
    let rows = sql::query_as(select_items!(
        "where job_id = $1 and state = 'assigned' and personnel_id in (select value from json_words($2))"
    ))
    .bind(from.0)
    .bind(json_ids(contacts))
    .fetch_all(&mut *connection)
    .await?;
    move_all(connection, &items(rows)?, Event::Divided { job_id: to }, now).await
}

/// The waiting items of these contacts, for any event they were asked for with.
async fn waiting(
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
) -> Result<Vec<Item>, StoreError> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sql::query_as(select_items!(
        "where state = 'waiting' and account = $1 and action = $2
           and personnel_id in (select value from json_words($3))"
    ))
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json_ids(contacts))
    .fetch_all(connection)
    .await?;
    items(rows)
}
