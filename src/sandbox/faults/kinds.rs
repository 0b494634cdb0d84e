//! Scripted trouble, as data.
//!
//! A [`Fault`] says what goes wrong, on which calls, and how often. The one that was scripted first
//! is used first. This file only says what is to happen: `wire` does it to an answer, and
//! `text.rs` is how one is written.

use std::time::Duration;

use crate::sandbox::words::route::Endpoint;

/// One piece of scripted trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Which calls it is for; `None` is any.
    pub endpoint: Option<Endpoint>,
    /// How often it happens; `None` is always.
    pub count: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    Status(u16),
    /// The status, and a `Retry-After` as it is written.
    StatusWithRetryAfter {
        code: u16,
        retry_after: String,
    },
    RateLimited(RetryAfter),
    ErrorWith200 {
        code: i64,
        error_key: String,
    },
    Redirect(String),
    LostRequest {
        reset: bool,
    },
    LostAnswer(Loss),
    Slow(Duration),
    Late(Duration),
    Drip,
    Broken(Breakage),
    Pass,
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
    /// Words and fields that no page has.
    Unknown,
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

    fn is_for(&self, endpoint: Option<Endpoint>) -> bool {
        self.endpoint.is_none() || self.endpoint == endpoint
    }
}

impl FaultKind {
    /// Whether the call takes its effect before the trouble begins.
    pub(in crate::sandbox) fn is_carried_out_first(&self) -> bool {
        match self {
            Self::LostAnswer(_) | Self::Slow(_) | Self::Drip | Self::Broken(_) | Self::Pass => true,
            Self::Status(_)
            | Self::StatusWithRetryAfter { .. }
            | Self::RateLimited(_)
            | Self::ErrorWith200 { .. }
            | Self::Redirect(_)
            | Self::LostRequest { .. }
            | Self::Late(_) => false,
        }
    }
}

/// Uses up the first fault that is for this call.
pub(in crate::sandbox) fn take(faults: &mut Vec<Fault>, endpoint: Option<Endpoint>) -> Option<FaultKind> {
    // `0x:` is no fault at all, however it was made.
    faults.retain(|fault| fault.count != Some(0));
    let fault = faults.iter_mut().find(|fault| fault.is_for(endpoint))?;
    let kind = fault.kind.clone();
    fault.count = fault.count.map(|left| left - 1);
    faults.retain(|fault| fault.count != Some(0));
    Some(kind)
}
