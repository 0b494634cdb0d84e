//! Why a button changed nothing, and the page that says so.
//!
//! A refusal says that nothing was changed and nothing is spent. A database error promises
//! neither, and is shown as an error.

use axum::http::StatusCode;
use axum::response::Response;

use super::page::{self, Look, number};
use super::session::SignInError;
use super::ticket::TicketError;
use crate::store::StoreError;
use crate::worker::people::decide;

/// Why nothing was changed.
pub(super) enum Refused {
    NotOurPage,
    NotSignedIn,
    /// The form has neither the session's proof nor the token.
    NotProven(SignInError),
    NotUnderstood,
    /// The typed amount is not the one that was shown, which is given here.
    AnotherFigure(i64),
    Ticket(TicketError),
    /// The change since the page was shown.
    Changed(String),
    Store(StoreError),
}

impl Refused {
    /// The page that says so, and that nothing is spent.
    pub(super) fn page(self, look: &Look<'_>) -> Response {
        let stale = |what: &str| {
            (
                StatusCode::CONFLICT,
                "The page is out of date",
                format!("{what}. Reload the page and decide again"),
            )
        };
        let (status, title, what) = match self {
            Refused::NotOurPage => (
                StatusCode::FORBIDDEN,
                "Refused",
                "The request did not come from a page of this server".to_owned(),
            ),
            Refused::NotSignedIn => (
                StatusCode::FORBIDDEN,
                "Sign in first",
                "You are not signed in, or your session has ended".to_owned(),
            ),
            Refused::NotProven(error) => {
                let status = match error {
                    SignInError::LockedOut { .. } => StatusCode::TOO_MANY_REQUESTS,
                    _ => StatusCode::FORBIDDEN,
                };
                let what = format!("A decision needs more than the cookie of your session: {error}");
                (status, "Confirm with the token", what)
            }
            Refused::NotUnderstood => {
                (StatusCode::BAD_REQUEST, "Not understood", "The form was not understood".to_owned())
            }
            Refused::AnotherFigure(expected) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The amount does not match",
                format!(
                    "To confirm, type the amount that is shown: {}. Go back to try again",
                    number(expected)
                ),
            ),
            Refused::Ticket(error) => stale(&error.to_string()),
            Refused::Changed(what) => stale(&what),
            Refused::Store(StoreError::Stale { what }) => {
                stale(&format!("{what} was changed by another program or person in the meantime"))
            }
            Refused::Store(error) => return super::unreadable(&error),
        };
        page::says(look, status, title, &format!("{what}. Nothing was changed, and nothing is spent."))
    }
}

impl From<TicketError> for Refused {
    fn from(error: TicketError) -> Refused {
        Refused::Ticket(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}

impl From<decide::Refusal> for Refused {
    fn from(refusal: decide::Refusal) -> Refused {
        match refusal {
            decide::Refusal::Store(error) => Refused::Store(error),
            other => Refused::Changed(other.to_string()),
        }
    }
}
