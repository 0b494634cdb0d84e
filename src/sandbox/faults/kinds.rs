//! Scripted faults, as data.
//!
//! A [`Fault`] says what goes wrong, on which calls, and how often. Faults are used in the order in which
//! they were added. This file only describes them: `wire` applies them to an answer, and `text.rs` parses
//! them.

use std::time::Duration;

use crate::sandbox::words::asked::Asked;
use crate::sandbox::words::route::{Endpoint, Route};

/// One scripted fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// The calls it is for; `None` means all.
    pub endpoint: Option<Endpoint>,
    /// How often it happens; `None` means always.
    pub count: Option<u32>,
}

/// What goes wrong; `grammar.rs` describes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    Status(u16),
    /// The status, and a `Retry-After` exactly as written; `|` separates two of them.
    StatusWithRetryAfter {
        code: u16,
        retry_after: String,
    },
    /// The status, with this error key.
    Named {
        code: u16,
        error_key: String,
    },
    /// The status, from a gateway in front of the API: its body has no error key.
    Gateway(u16),
    RateLimited(RetryAfter),
    ErrorWith200 {
        code: i64,
        error_key: String,
    },
    Redirect(String),
    /// A whole call that names this contact is answered with 400.
    RefuseId(String),
    /// A task younger than this is answered with 404.
    Lagging(Duration),
    LostRequest {
        reset: bool,
    },
    LostAnswer(Loss),
    Slow(Duration),
    Late(Duration),
    Drip,
    Broken(Breakage),
    /// An acceptance with this status, whose task id is only under this name.
    Accepted {
        status: u16,
        name: String,
    },
    /// This error, although a task was created: its body names the task.
    NamesTask(u16),
    /// A task that has ended has this word as its status.
    TaskWord(String),
    Rate(RateHeaders),
    Pass,
}

/// What is odd about the rate headers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateHeaders {
    Absent,
    /// The reset in milliseconds.
    Milliseconds,
    /// The reset in seconds from now.
    FromNow,
    /// Each figure with `.0`.
    Fraction,
    /// Each figure twice, as `120, 120`.
    Twice,
    /// Figures of another bucket: 10 calls, none left, for an hour.
    Contrary,
}

/// The `Retry-After` of a scripted 429.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryAfter {
    WindowEnd,
    Verbatim(String),
    Absent,
}

/// How an answer is lost after the call has taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Close,
    Reset,
    Truncate,
    Cut(usize),
    Page(u16),
    Timeout,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    Html,
    Empty,
    Types,
    Truncated,
    /// Items named twice, and one that was not asked for.
    Strangers,
    /// Elements that are no items, and an item in which every field has another type.
    Odd,
    /// No list of items at all.
    Unlisted,
    /// `null` for the list of items.
    NullItems,
    /// Words and fields that are not documented.
    Unknown,
    /// A group of skipped contacts under another name.
    Groups,
    /// A task id that is not a number.
    WordId,
    /// The first field twice.
    Twice,
    /// A byte order mark before the JSON.
    Bom,
    /// Compressed, although no compression was requested.
    Gzip,
    Deflate,
    Deep,
    Huge,
}

impl Fault {
    /// Once, on any call.
    pub fn once(kind: FaultKind) -> Self {
        Self { kind, endpoint: None, count: Some(1) }
    }

    /// On calls of this endpoint only.
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    pub fn always(mut self) -> Self {
        self.count = None;
        self
    }

    fn is_for(&self, asked: &Asked) -> bool {
        let endpoint = asked.route.as_ref().map(Route::endpoint);
        let is_named = match &self.kind {
            FaultKind::RefuseId(id) => asked.names(id),
            _ => true,
        };
        is_named && (self.endpoint.is_none() || self.endpoint == endpoint)
    }
}

/// Takes the first fault that is for this call.
pub(in crate::sandbox) fn take(faults: &mut Vec<Fault>, asked: &Asked) -> Option<FaultKind> {
    // `0x:` never happens.
    faults.retain(|fault| fault.count != Some(0));
    let fault = faults.iter_mut().find(|fault| fault.is_for(asked))?;
    let kind = fault.kind.clone();
    fault.count = fault.count.map(|left| left - 1);
    faults.retain(|fault| fault.count != Some(0));
    Some(kind)
}
