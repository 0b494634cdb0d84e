//! The request that leads a batch: its waiting contacts go into it first.

use crate::domain::{AccountId, Action, EventId, PersonnelId};
use crate::store::items::waiting::Group;
use crate::store::{StoreError, Tx, sql};

/// The request that leads a batch: its waiting items go first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    pub group: Group,
    request_id: i64,
    /// Its oldest waiting item, and its newest.
    pub first: i64,
    pub last: i64,
}

/// The request of a waiting item, which leads a batch. `None`: the item does not wait any more.
pub async fn lead_of(tx: &mut Tx, action: Action, item: i64) -> Result<Option<Lead>, StoreError> {
    let row: Option<(Option<String>, i64, i64)> = sql::query_as(
        "select event_id, request_id,
                (select max(other.id) from items other
                 where other.request_id = items.request_id and other.state <> 'done' and other.state = 'waiting')
         from items where id = $1 and state = 'waiting' and action = $2",
    )
    .bind(item)
    .bind(action.as_str())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|(event_id, request_id, last)| {
        let group = Group { action, event_id: event_id.map(EventId::trusted) };
        Lead { group, request_id, first: item, last }
    }))
}

/// Waiting contacts of the request that leads, oldest first, at most `limit` rows.
pub async fn contacts(
    tx: &mut Tx,
    account: &AccountId,
    lead: &Lead,
    limit: u32,
) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select personnel_id from items
         where state = 'waiting' and account = $1 and action = $2 and event_id is not distinct from $3
           and id between $4 and $5 and request_id = $6 order by id limit $7",
    )
    .bind(account.as_str())
    .bind(lead.group.action.as_str())
    .bind(lead.group.event_id.as_ref().map(EventId::as_str))
    .bind(lead.first)
    .bind(lead.last)
    .bind(lead.request_id)
    .bind(limit)
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}
