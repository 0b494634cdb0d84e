//! Tickets: each form works once, and only for the figures that it showed.
//!
//! A button has a ticket: the decision and the figures that were on the screen, sealed for one session and 15
//! minutes. So nobody can forge or repeat a decision, or use it in another session, and the server can say
//! exactly what has changed since. Tickets are sealed, not stored: showing a page costs no memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::seal::Seal;
use super::session::{SessionId, random_text};
use crate::domain::Millis;

/// How long a form can be used after it was shown, in milliseconds.
pub(super) const TICKET_MS: i64 = 15 * 60_000;

/// The action of a button, with the figures shown next to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub(super) enum Act {
    Approve {
        request: i64,
        action: String,
        contacts: i64,
        quoted: i64,
        committed: i64,
    },
    Cancel {
        request: i64,
    },
    /// `version` is that of the job's row: every change of the job changes it.
    Resubmit {
        job: i64,
        version: i64,
        cost: i64,
    },
    WriteOff {
        job: i64,
        version: i64,
        cost: i64,
    },
    Pause {
        account: String,
    },
    /// Continues a paused account.
    Resume {
        account: String,
    },
    /// Retries waiting jobs, and keeps a pause: the page did not show one.
    TryAgain {
        account: String,
    },
    ReadBalance {
        account: String,
    },
    Reveal {
        request: i64,
        item: i64,
    },
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    #[serde(flatten)]
    act: Act,
    nonce: String,
    expires_at: i64,
}

/// Why a ticket is invalid. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TicketError {
    #[error("This form was not made for your session, or was changed")]
    Forged,
    #[error("This form was shown more than 15 minutes ago")]
    Expired,
    #[error("This form was used already")]
    Used,
}

/// Issues and checks tickets.
pub(super) struct Tickets {
    seal: Seal,
    /// Used tickets, until they would have expired.
    used: Mutex<HashMap<String, Millis>>,
}

impl Tickets {
    pub(super) fn new() -> Tickets {
        Tickets { seal: Seal::new(), used: Mutex::default() }
    }

    /// A ticket for a form that is shown now.
    pub(super) fn issue(&self, session: SessionId, act: Act, now: Millis) -> String {
        let ticket = Ticket { act, nonce: random_text(), expires_at: now.plus(TICKET_MS).0 };
        let text = serde_json::to_string(&ticket).unwrap_or_default();
        self.seal.seal(session.bytes(), &text)
    }

    /// Reads a ticket without using it up.
    pub(super) fn read(&self, session: SessionId, ticket: &str, now: Millis) -> Result<Act, TicketError> {
        self.open(session, ticket, now).map(|ticket| ticket.act)
    }

    /// Uses a ticket: of two simultaneous requests only the first succeeds.
    pub(super) fn take(&self, session: SessionId, ticket: &str, now: Millis) -> Result<Act, TicketError> {
        let ticket = self.open(session, ticket, now)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, expires_at| *expires_at > now);
        if used.insert(ticket.nonce, Millis(ticket.expires_at)).is_some() {
            return Err(TicketError::Used);
        }
        Ok(ticket.act)
    }

    fn open(&self, session: SessionId, ticket: &str, now: Millis) -> Result<Ticket, TicketError> {
        let text = self.seal.open(session.bytes(), ticket).ok_or(TicketError::Forged)?;
        let ticket: Ticket = serde_json::from_str(&text).map_err(|_| TicketError::Forged)?;
        if now >= Millis(ticket.expires_at) { Err(TicketError::Expired) } else { Ok(ticket) }
    }
}
