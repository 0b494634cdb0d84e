//! Every request the sandbox received, and what became of it: the witness of the tests.
//!
//! An entry is made when a request has been read whole, before anything is decided about it. Old
//! entries go when there are very many, so that a sandbox can be left running.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::Value;

use crate::sandbox::faults::kinds::FaultKind;

/// More than any test makes; some tens of megabytes.
const MOST_ENTRIES: usize = 100_000;

/// One request received.
#[derive(Debug, Clone)]
pub struct Call {
    /// By the sandbox's clock, Unix milliseconds.
    pub at_ms: i64,
    /// By the real one.
    pub real_at: Instant,
    pub method: String,
    /// With its query.
    pub path: String,
    pub key: Option<String>,
    /// The client's own `X-Request-ID`.
    pub request_id: Option<String>,
    /// The `x-call-source` header.
    pub call_source: Option<String>,
    /// `Null` without a readable JSON body.
    pub body: Value,
    /// Whether it took effect: it was understood, allowed, and not refused.
    pub carried_out: bool,
    /// `None` when no answer was sent, or only a part too small to hold a body.
    pub status: Option<u16>,
    /// The fault that was applied to it, as `--fault` writes its kind.
    pub fault: Option<String>,
}

#[derive(Default)]
pub(in crate::sandbox) struct Journal {
    calls: VecDeque<Call>,
    dropped: u64,
}

impl Journal {
    /// Returns the number by which the entry is told what became of it.
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
