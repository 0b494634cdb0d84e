//! A row of the `items` table → an [`Item`] with its state as the domain's [`State`].
//!
//! A row that cannot be read as an item is an error that names the row. Of the finished items only those are
//! read that a person may resume: the others never change.

use sqlx::FromRow;

use crate::domain::item::{Seen, State, Why};
use crate::domain::outcome::Kind;
use crate::domain::{EventId, JobId, Millis, PersonnelId};
use crate::store::StoreError;

/// An item as it was read.
#[derive(Clone, Debug)]
pub(in crate::store) struct Item {
    pub id: i64,
    pub request_id: i64,
    pub event_id: Option<EventId>,
    pub personnel_id: PersonnelId,
    pub state: State,
}

#[derive(FromRow)]
pub(in crate::store) struct Row {
    id: i64,
    request_id: i64,
    event_id: Option<String>,
    personnel_id: String,
    state: String,
    state_reason: Option<String>,
    reason_since: Option<i64>,
    job_id: Option<i64>,
    read_at: Option<i64>,
    reads: i64,
    outcome: String,
}

impl TryFrom<Row> for Item {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Item, StoreError> {
        let unreadable =
            || StoreError::Unreadable { table: "items", id: row.id, problem: "its state".to_owned() };
        Ok(Item {
            state: state(&row).ok_or_else(unreadable)?,
            id: row.id,
            request_id: row.request_id,
            event_id: row.event_id.map(EventId::trusted),
            personnel_id: PersonnelId::trusted(row.personnel_id),
        })
    }
}

fn state(row: &Row) -> Option<State> {
    let job_id = row.job_id.map(JobId);
    let since = row.reason_since.map(Millis);
    let seen = match (row.state_reason.as_deref(), since) {
        (Some("seen_locked"), Some(at)) => Some(Seen::Locked(at)),
        (Some("unlocking"), Some(at)) => Some(Seen::Unlocking(at)),
        _ => None,
    };
    Some(match row.state.as_str() {
        "unapproved" => State::Unapproved { seen },
        "waiting" => State::Waiting { seen },
        "assigned" => State::Assigned { job_id: job_id?, seen },
        "reading" => State::Reading {
            job_id: job_id?,
            why: why(row.state_reason.as_deref()?)?,
            since: since?,
            reads: u32::try_from(row.reads).ok()?,
            read_at: Millis(row.read_at?),
        },
        "done" => {
            let mut may_be_resumed = [Kind::Expired, Kind::Unresolved].into_iter();
            State::Done { job_id, outcome: may_be_resumed.find(|kind| kind.as_str() == row.outcome)? }
        }
        _ => return None,
    })
}

/// Why a profile is read, from the word in `items.state_reason`.
pub(in crate::store) fn why(word: &str) -> Option<Why> {
    Why::ALL.into_iter().find(|why| why.as_str() == word)
}

macro_rules! select_items {
    ($rest:literal) => {
        concat!(
            "select id, request_id, event_id, personnel_id, state, state_reason, reason_since, job_id, read_at, reads, \
             outcome from items ",
            $rest
        )
    };
}

pub(in crate::store) use select_items;

pub(in crate::store) fn items(rows: Vec<Row>) -> Result<Vec<Item>, StoreError> {
    rows.into_iter().map(Item::try_from).collect()
}
