//! A row that is taken → the request that is written for it.
//!
//! Accepted, rejected or cancelled: a request keeps the values of its row, even invalid ones, and the digest
//! that identifies the row. Its items are made here, too.

use sha2::{Digest, Sha256};

use crate::domain::item;
use crate::domain::moves::IllegalMove;
use crate::domain::outcome::Kind;
use crate::domain::request::{self, Contacts, LONGEST_REFERENCE, RawRow, Rejection, UnlockRequest, Wish};
use crate::domain::request_state::{self, Event, State};
use crate::domain::{AccountId, Credits, RequestId};
use crate::store::inbox::InboxRow;
use crate::store::requests::{NewItem, NewRequest};

/// A row, what it asks for, and its digest.
pub(in crate::worker) struct Taken {
    pub(in crate::worker) row: InboxRow,
    pub(in crate::worker) digest: String,
    pub(in crate::worker) wish: Result<UnlockRequest, Rejection>,
}

pub(in crate::worker) fn raw(row: &InboxRow) -> RawRow {
    RawRow::from(row)
}

/// Identifies a row: another row with the same id has another digest. `approved` is left out, since a person
/// may set it later.
pub(in crate::worker) fn digest(row: &InboxRow) -> String {
    let mut hasher = Sha256::new();
    let columns =
        [row.account(), row.action(), row.event_id(), row.personnel_ids(), row.task_id(), row.query()];
    for column in columns {
        hasher.update(column.unwrap_or_default().as_bytes());
        hasher.update([0]);
    }
    hasher.update(row.created_at.to_le_bytes());
    hex::encode(&hasher.finalize()[..16])
}

/// The request for a valid row; `event` is its first step. `items`: the state of its contacts; `None` for an
/// adopted task, whose contacts come with its job.
pub(in crate::worker) fn accepted(
    taken: &Taken,
    request: &UnlockRequest,
    contacts: &Contacts,
    quote: Credits,
    event: Event,
    items: Option<item::State>,
) -> Result<NewRequest, IllegalMove> {
    let blank = blank(taken, event)?;
    Ok(NewRequest {
        quoted_credits: quote,
        task_id: match &request.wish {
            Wish::Adopt { task_id, .. } => Some(task_id.to_string()),
            _ => blank.task_id.clone(),
        },
        event_id: request.event_id.as_ref().map(|id| id.as_str().to_owned()),
        items: new_items(contacts, items),
        ..blank
    })
}

pub(in crate::worker) fn rejected(
    taken: &Taken,
    contacts: &Contacts,
    rejection: &Rejection,
) -> Result<NewRequest, IllegalMove> {
    Ok(NewRequest {
        reason: Some(rejection.to_string()),
        items: new_items(contacts, Some(ended(Kind::Rejected))),
        ..blank(taken, Event::Refused)?
    })
}

/// The request for a row that a person cancels before a worker has taken it.
pub(in crate::worker) fn cancelled(row: InboxRow, accounts: &[AccountId]) -> Result<NewRequest, IllegalMove> {
    let (digest, wish) = (digest(&row), request::parse(&raw(&row), accounts));
    let taken = Taken { row, digest, wish };
    let items = match taken.wish.as_ref().map(|request| &request.wish) {
        Ok(Wish::Contacts { contacts, .. } | Wish::Adopt { contacts, .. }) => {
            new_items(contacts, Some(ended(Kind::Cancelled)))
        }
        _ => Vec::new(),
    };
    Ok(NewRequest { items, ..blank(&taken, Event::Cancelled)? })
}

/// An item that is not to be bought.
fn ended(outcome: Kind) -> item::State {
    item::State::Done { job_id: None, outcome }
}

fn new_items(contacts: &Contacts, state: Option<item::State>) -> Vec<NewItem> {
    let valid = state.into_iter().flat_map(|state| {
        contacts.valid.iter().map(move |id| NewItem { personnel_id: id.as_str().to_owned(), state })
    });
    let invalid = contacts
        .invalid
        .iter()
        .map(|text| NewItem { personnel_id: text.clone(), state: ended(Kind::Invalid) });
    valid.chain(invalid).collect()
}

/// The request for a row that leaves the status `new`.
fn blank(taken: &Taken, event: Event) -> Result<NewRequest, IllegalMove> {
    let row = &taken.row;
    Ok(NewRequest {
        id: RequestId(row.id),
        account: row.account().unwrap_or_default(),
        action: row.action().unwrap_or_default(),
        event_id: row.event_id(),
        task_id: row.task_id().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        query: row.query(),
        max_pages: row.max_pages,
        reference: row.reference().map(|text| text.chars().take(LONGEST_REFERENCE).collect()),
        max_credits: row.max_credits,
        approved_credits: None,
        quoted_credits: Credits::ZERO,
        state: request_state::next(State::New, event)?,
        reason: None,
        row_digest: taken.digest.clone(),
        caller: row.caller(),
        agent: row.agent(),
        purpose: row.purpose(),
        needs_approval: row.needs_approval != 0,
        created_at: row.created_at,
        items: vec![],
    })
}
