//! Shared by all calls: the clock, and the state under one lock.

use std::sync::Mutex;

use super::clock::{Clock, millis};
use super::journal::Journal;
use super::limits::Limiter;
use super::owners::Owners;
use super::slots::Slots;
use crate::sandbox::faults::kinds::Fault;
use crate::sandbox::options::Options;

/// Everything that the lock protects: a call is decided and carried out in one step under it.
pub(in crate::sandbox) struct State {
    pub(in crate::sandbox) owners: Owners,
    pub(in crate::sandbox) slots: Slots,
    pub(in crate::sandbox) limiter: Limiter,
    pub(in crate::sandbox) journal: Journal,
    pub(in crate::sandbox) faults: Vec<Fault>,
    pub(in crate::sandbox) api_key: Option<String>,
}

pub(in crate::sandbox) struct Shared {
    pub(in crate::sandbox) clock: Clock,
    pub(in crate::sandbox) clock_skew_ms: i64,
    pub(in crate::sandbox) rate_limit: u32,
    pub(in crate::sandbox) rate_headers: bool,
    pub(in crate::sandbox) state: Mutex<State>,
}

impl Shared {
    pub(in crate::sandbox) fn new(mut options: Options) -> Shared {
        let clock = Clock::start(options.time);
        let window_ms = millis(options.rate_window);
        // Without a limit for keys there is none for addresses: 0 is for tests without limits.
        let of_address = if options.rate_limit == 0 { 0 } else { options.address_limit };
        let state = State {
            limiter: Limiter::new(options.rate_limit, of_address, window_ms),
            slots: Slots::default(),
            journal: Journal::default(),
            faults: std::mem::take(&mut options.faults),
            api_key: options.api_key.take(),
            owners: Owners::new(options.clone(), clock.now_ms()),
        };
        Shared {
            clock,
            clock_skew_ms: options.clock_skew,
            rate_limit: options.rate_limit,
            rate_headers: options.rate_headers,
            state: Mutex::new(state),
        }
    }
}
