//! Results in pages: delivered values, and the outcomes of the other contacts.
//!
//! A page is one short read, so an export of millions of rows neither fills the memory nor stops the
//! write-ahead log from being folded back.

use serde::Serialize;
use sqlx::FromRow;

use crate::domain::{Millis, PersonnelId};
use crate::store::report::Time;
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
    pub resolved_at: Option<Time>,
    /// When the value was read; earlier than `resolved_at` where this database had it.
    pub obtained_at: Option<Time>,
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

/// Items that one read examines if neither a request nor a person is named: the read stays short even if few
/// of them match.
const IDS_AT_ONCE: i64 = 20_000;

// The columns of the view, and the key where the next page starts.
macro_rules! select_contacts {
    ($rest:literal) => {
        concat!(
            "select i.id as item_id, i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, \
             i.outcome, case when i.action = 'unlock_contact_emails' then v.value end as email, \
             case when i.action = 'unlock_contact_phones' then v.value end as phone, \
             i.error_code, i.source, i.job_id, j.task_id, i.resolved_at, \
             case when i.outcome = 'delivered' then coalesce(i.obtained_at, i.resolved_at) end as obtained_at \
             from items i join requests r on r.id = i.request_id left join jobs j on j.id = i.job_id \
             left join contact_values v on v.item_id = i.id and v.is_erased = 0 \
             where i.action in ('unlock_contact_emails', 'unlock_contact_phones') and i.id > $1 \
             and ($2 is null or i.resolved_at >= $2) and case when $3 is null then i.outcome <> 'pending' \
             else i.outcome in (select value from json_words($3)) end ",
            $rest
        )
    };
}

/// The next contacts after `item_id`, in the order in which they were asked for.
pub async fn page(
    store: &Store,
    wanted: &Wanted,
    item_id: i64,
    limit: u32,
) -> Result<Vec<Contact>, StoreError> {
    let personnel_id = wanted.personnel_id.as_ref().map(PersonnelId::as_str);
    let of_one = match (wanted.request_id, personnel_id) {
        (Some(request_id), _) => sql::query_as(select_contacts!(
            "and i.request_id = $4 and ($5 is null or i.personnel_id = $5) order by i.id limit $6"
        ))
        .bind(item_id)
        .bind(wanted.since.map(|at| at.0))
        .bind(wanted.outcomes.as_deref())
        .bind(request_id)
        .bind(personnel_id),
        (None, Some(personnel_id)) => {
            sql::query_as(select_contacts!("and i.personnel_id = $4 order by i.id limit $5"))
                .bind(item_id)
                .bind(wanted.since.map(|at| at.0))
                .bind(wanted.outcomes.as_deref())
                .bind(personnel_id)
        }
        (None, None) => return page_of_all(store, wanted, item_id, limit).await,
    };
    Ok(of_one.bind(limit).fetch_all(store.readers()).await?)
}

async fn page_of_all(
    store: &Store,
    wanted: &Wanted,
    item_id: i64,
    limit: u32,
) -> Result<Vec<Contact>, StoreError> {
    let newest: Option<i64> =
        sql::query_scalar("select max(id) from items").fetch_one(store.readers()).await?;
    let (mut found, mut after, newest) = (Vec::new(), item_id, newest.unwrap_or_default());
    while found.len() < limit as usize && after < newest {
        let up_to = after.saturating_add(IDS_AT_ONCE);
        let page: Vec<Contact> =
            sql::query_as(select_contacts!("and r.removed_at is null and i.id <= $4 order by i.id limit $5"))
                .bind(after)
                .bind(wanted.since.map(|at| at.0))
                .bind(wanted.outcomes.as_deref())
                .bind(up_to)
                .bind(limit - found.len() as u32)
                .fetch_all(store.readers())
                .await?;
        found.extend(page);
        after = up_to;
    }
    Ok(found)
}
