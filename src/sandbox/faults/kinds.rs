//! Scripted trouble, as data.
//!
//! A [`Fault`] says what goes wrong, on which calls, and how often. The one that was scripted first
//! is used first. This file only says what is to happen: `wire` does it to an answer, and
//! `text.rs` is how one is written.

use std::time::Duration;

use crate::sandbox::words::asked::Asked;
use crate::sandbox::words::route::{Endpoint, Route};

/// One piece of scripted trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Which calls it is for; `None` is any.
    pub endpoint: Option<Endpoint>,
    /// How often it happens; `None` is always.
    pub count: Option<u32>,
}

/// What goes wrong; `text.rs` has each in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    Status(u16),
    /// The status, and a `Retry-After` as it is written; `|` stands between two of them.
    StatusWithRetryAfter {
        code: u16,
        retry_after: String,
    },
    /// The status, with this error key.
    Named {
        code: u16,
        error_key: String,
    },
    /// The status, from something before the API: its body has no error key.
    Gateway(u16),
    RateLimited(RetryAfter),
    ErrorWith200 {
        code: i64,
        error_key: String,
    },
    Redirect(String),
    /// A call that names this contact is a 400 as a whole.
    RefuseId(String),
    /// A task that is younger than this is a 404.
    Lagging(Duration),
    LostRequest {
        reset: bool,
    },
    LostAnswer(Loss),
    Slow(Duration),
    Late(Duration),
    Drip,
    Broken(Breakage),
    /// An acceptance with this status, whose task stands under this name alone.
    Accepted {
        status: u16,
        name: String,
    },
    /// This error, although there is a task: its body names it.
    NamesTask(u16),
    /// A task that has ended has this word for a status.
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
    /// The reset in seconds from now on.
    FromNow,
    /// Each figure with `.0`.
    Fraction,
    /// Each figure twice, as `120, 120`.
    Twice,
    /// Another bucket's: 10 calls, none left, for an hour.
    Contrary,
}

/// What a scripted 429 says about when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryAfter {
    WindowEnd,
    Verbatim(String),
    Absent,
}

/// How an answer is lost after the call was carried out.
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
    /// Among the items, some that are none, and one in which every field is of another type.
    Odd,
    /// No list of items at all.
    Unlisted,
    /// `null` for the list of items.
    NullItems,
    /// Words and fields that no page has.
    Unknown,
    /// A group of skipped contacts under another name.
    Groups,
    /// A task's id that is no number.
    WordId,
    /// The first field twice.
    Twice,
    /// A byte order mark before the JSON.
    Bom,
    /// Compressed, although nobody asked for it.
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

/// Uses up the first fault that is for this call.
pub(in crate::sandbox) fn take(faults: &mut Vec<Fault>, asked: &Asked) -> Option<FaultKind> {
    // `0x:` is no fault at all, however it was made.
    faults.retain(|fault| fault.count != Some(0));
    let fault = faults.iter_mut().find(|fault| fault.is_for(asked))?;
    let kind = fault.kind.clone();
    fault.count = fault.count.map(|left| left - 1);
    faults.retain(|fault| fault.count != Some(0));
    Some(kind)
}
