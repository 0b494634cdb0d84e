//! Why a row of the inbox is invalid, in words that say what would be right.

use super::{LARGEST_ID, whose};
use crate::domain::action::Action;
use crate::domain::credits::Credits;
use crate::domain::id_list::Unreadable;
use crate::domain::ids::TaskId;

/// Why a row is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("unknown account: configure it as [accounts.NAME], or use one of: {known}")]
    UnknownAccount { known: String },
    #[error("unknown action: use one of {}", Action::ALL.map(Action::as_str).join(", "))]
    UnknownAction,
    #[error("event_id must be 1 to 100 visible characters without / ? # % \\ and quotes")]
    BadEventId,
    #[error("{column} holds more than {most} characters: shorten it")]
    TooLong { column: &'static str, most: usize },
    #[error(
        "id {id} is above {LARGEST_ID}: nothing was bought, and the row is kept as id -{id}; insert it again without an id"
    )]
    IdTooLarge { id: i64 },
    #[error("{column} was bound as a floating-point number and lost digits: bind it as text")]
    DigitsLost { column: &'static str },
    #[error("event_id is missing: {action} needs it")]
    NoEventId { action: Action },
    #[error("personnel_ids is missing: give a JSON array of ids, such as [\"789\",\"790\"]")]
    NoPersonnelIds,
    #[error(transparent)]
    PersonnelIds(#[from] Unreadable),
    #[error("personnel_ids is empty: give at least one id")]
    NoContacts,
    #[error("none of the {count} personnel_ids is an id: an id is 1 to 20 digits")]
    OnlyInvalidIds { count: usize },
    #[error(
        "task_id is not an id of a task: write it as the API returned it, 1 to 128 letters, digits and -._~:="
    )]
    BadTaskId,
    #[error("task_id goes with unlock_contact_emails or unlock_contact_phones only")]
    TaskIdWithoutContacts,
    #[error("query is missing: {action} needs the {} name, 1 to 200 characters", whose(*action))]
    NoQuery { action: Action },
    #[error(
        "personnel_ids cannot be used with {action}: ask for the contacts in a row of their own, or leave it out"
    )]
    PersonnelIdsUnused { action: Action },
    #[error("query cannot be used with {action}: it goes with the three searches; leave it out")]
    QueryUnused { action: Action },
    #[error("max_pages must be 1 to 1000")]
    BadMaxPages,
    #[error("max_credits must not be negative")]
    NegativeMaxCredits,
    #[error("approved must be 0, or 1 when a person has confirmed the cost")]
    BadApproved,
    #[error(
        "would cost up to {quoted} credits, and max_credits is {max_credits}: nothing was bought; raise it, or ask for fewer contacts"
    )]
    OverMaxCredits { quoted: Credits, max_credits: Credits },
    #[error("task {task_id} is followed already, as job {job}")]
    TaskKnown { task_id: TaskId, job: i64 },
    #[error(
        "it had a status that only the worker writes, and no worker had taken it: nothing was bought; insert it again without a status"
    )]
    StatusGiven,
    #[error(
        "id {id} belongs to another request that was taken before: the inbox table was replaced; insert the row again under a new id"
    )]
    IdTaken { id: i64 },
}
