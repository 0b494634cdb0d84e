//! Which layers of which events an owner can see, and since when it is visible.

use std::collections::HashMap;

use crate::sandbox::words::event::Event;

/// The two layers of access to events.
#[derive(Default)]
pub(in crate::sandbox) struct Access {
    pub(in crate::sandbox) base: Layer,
    pub(in crate::sandbox) visitors: Layer,
}

/// By event: from when the access is visible.
#[derive(Default)]
pub(in crate::sandbox) struct Layer(HashMap<Event, i64>);

impl Layer {
    /// Whether it is paid for, visible or not.
    pub(in crate::sandbox) fn is_open(&self, event: &Event) -> bool {
        self.0.contains_key(event)
    }

    pub(in crate::sandbox) fn is_seen_open(&self, event: &Event, now_ms: i64) -> bool {
        self.0.get(event).is_some_and(|visible_ms| *visible_ms <= now_ms)
    }

    pub(in crate::sandbox) fn open(&mut self, event: &Event, visible_ms: i64) {
        self.0.insert(event.clone(), visible_ms);
    }
}
