//! Every request that the sandbox received, and its result: the evidence for the tests.
//!
//! An entry is made when a request has been read completely, before it is decided. If there are very many,
//! the oldest are removed, so a sandbox can run for a long time.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::Value;

use crate::sandbox::faults::kinds::FaultKind;

/// More than any test makes; some tens of megabytes.
const MOST_ENTRIES: usize = 100_000;

/// One received request.
#[derive(Debug, Clone)]
pub struct Call {
    /// By the sandbox's clock, in Unix milliseconds.
    pub at_ms: i64,
    /// By the real clock.
    pub real_at: Instant,
    pub method: String,
    /// With its query.
    pub path: String,
    pub key: Option<String>,
    /// The client's own `X-Request-ID`.
    pub request_id: Option<String>,
    /// The `x-call-source` header.
    pub call_source: Option<String>,
    /// `Null` if there is no readable JSON body.
    pub body: Value,
    /// Whether it took effect: it was understood, allowed, and not refused.
    pub carried_out: bool,
    /// `None` if no answer was sent, or only a part without a body.
    pub status: Option<u16>,
    /// The fault that was applied, in the syntax of `--fault`.
    pub fault: Option<String>,
}

#[derive(Default)]
pub(in crate::sandbox) struct Journal {
    calls: VecDeque<Call>,
    dropped: u64,
}

impl Journal {
    /// Returns the number of the entry, for recording its result later.
    pub(in crate::sandbox) fn open(&mut self, call: Call) -> u64 {
        if self.calls.len() == MOST_ENTRIES {
            self.calls.pop_front();
            self.dropped += 1;
        }
        self.calls.push_back(call);
        self.dropped + self.calls.len() as u64 - 1
    }

    fn entry(&mut self, seq: u64) -> Option<&mut Call> {
        let place = seq.checked_sub(self.dropped)?;
        self.calls.get_mut(usize::try_from(place).ok()?)
    }

    pub(in crate::sandbox) fn suffers(&mut self, seq: u64, fault: Option<&FaultKind>) {
        if let Some(call) = self.entry(seq) {
            call.fault = fault.map(ToString::to_string);
        }
    }

    pub(in crate::sandbox) fn carried_out(&mut self, seq: u64) {
        if let Some(call) = self.entry(seq) {
            call.carried_out = true;
        }
    }

    pub(in crate::sandbox) fn answered(&mut self, seq: u64, status: u16) {
        if let Some(call) = self.entry(seq) {
            call.status = Some(status);
        }
    }

    pub(in crate::sandbox) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }
}
