//! Results in pages: delivered values and what became of the other contacts.
//!
//! A page is one short read, so that an export of millions neither fills the memory nor keeps the
//! write-ahead log from being folded back.

use serde::Serialize;
use sqlx::FromRow;

use crate::domain::{Millis, PersonnelId};
use crate::store::{Store, StoreError, sql};

/// A row of the view `contact_outcomes`.
#[derive(Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Contact {
    #[serde(skip)]
    pub item_id: i64,
    pub request_id: i64,
    pub reference: Option<String>,
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub personnel_id: String,
    pub outcome: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub error_code: Option<String>,
    pub source: Option<String>,
    pub job_id: Option<i64>,
    pub task_id: Option<String>,
    pub resolved_at: Option<String>,
}

/// Which contacts are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub request_id: Option<i64>,
    pub since: Option<Millis>,
    pub personnel_id: Option<PersonnelId>,
    /// A JSON array of outcomes; `None`: everything that is settled.
    pub outcomes: Option<String>,
}

/// The next contacts after `item_id`, in the order in which they were asked for.
pub async fn page(
    store: &Store,
    wanted: &Wanted,
    item_id: i64,
    limit: u32,
) -> Result<Vec<Contact>, StoreError> {
    // The columns of the view, and the key to go on from.
    Ok(sql::query_as(
        "select i.id as item_id, i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, i.outcome,
                iif(i.action = 'unlock_contact_emails', v.value, null) as email,
                iif(i.action = 'unlock_contact_phones', v.value, null) as phone, i.error_code, i.source, i.job_id, j.task_id,
                strftime('%Y-%m-%dT%H:%M:%fZ', i.resolved_at / 1000.0, 'unixepoch') as resolved_at
         from items i join requests r on r.id = i.request_id left join jobs j on j.id = i.job_id
         left join contact_values v on v.item_id = i.id and v.is_erased = 0
         where i.id > $1 and i.action in ('unlock_contact_emails', 'unlock_contact_phones')
           and ($2 is null or i.request_id = $2) and ($3 is null or i.resolved_at >= $3)
           and iif($4 is null, i.outcome <> 'pending', i.outcome in (select value from json_each($4)))
           and ($6 is null or i.personnel_id = $6)
         order by i.id limit $5",
    )
    .bind(item_id)
    .bind(wanted.request_id)
    .bind(wanted.since.map(|at| at.0))
    .bind(wanted.outcomes.as_deref())
    .bind(limit)
    .bind(wanted.personnel_id.as_ref().map(PersonnelId::as_str))
    .fetch_all(store.readers())
    .await?)
}
