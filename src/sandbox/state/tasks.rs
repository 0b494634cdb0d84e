//! The progress of a task, computed from the time of its acceptance.
//!
//! For the first tenth of its time it is pending; then its items end one after the other, at equal distances,
//! the last of them together with the task.

use std::collections::HashMap;

use crate::sandbox::words::contact::{Channel, Fate};
use crate::sandbox::words::event::TaskEnd;
use crate::sandbox::words::results::ContactState;

/// The API's words for the progress of a task or item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Phase {
    Pending,
    Processing,
    Completed,
    Failed,
}

impl Phase {
    pub(in crate::sandbox) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// One item as a task shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) enum ItemView {
    Pending,
    Processing,
    Unlocked(Option<String>),
    Failed(&'static str),
}

pub(in crate::sandbox) struct Task {
    pub(in crate::sandbox) channel: Channel,
    items: Vec<String>,
    places: HashMap<String, usize>,
    end: TaskEnd,
    accepted_ms: i64,
    length_ms: i64,
    refunded: bool,
}

impl Task {
    pub(in crate::sandbox) fn new(
        channel: Channel,
        ids: &[String],
        end: TaskEnd,
        accepted_ms: i64,
        length_ms: i64,
    ) -> Self {
        let places = ids.iter().cloned().zip(0..).collect();
        Self { channel, items: ids.to_vec(), places, end, accepted_ms, length_ms, refunded: false }
    }

    pub(in crate::sandbox) fn accepted_ms(&self) -> i64 {
        self.accepted_ms
    }

    fn ends_ms(&self) -> i64 {
        self.accepted_ms + self.length_ms
    }

    pub(in crate::sandbox) fn phase(&self, now_ms: i64) -> Phase {
        match self.end {
            _ if now_ms < self.accepted_ms + self.length_ms / 10 => Phase::Pending,
            TaskEnd::Never => Phase::Processing,
            _ if now_ms < self.ends_ms() => Phase::Processing,
            TaskEnd::Completes => Phase::Completed,
            TaskEnd::Fails => Phase::Failed,
        }
    }

    fn item_ends_ms(&self, place: usize) -> i64 {
        let pending_ms = self.length_ms / 10;
        // At most 2000 items, so the numbers fit into every type used here.
        let (done, all) = (place as i64 + 1, self.items.len() as i64);
        self.accepted_ms
            + pending_ms
            + (self.length_ms - pending_ms) / all * done
            + (self.length_ms - pending_ms) % all * done / all
    }

    /// `None`: the task has ended and does not name the item.
    fn item(&self, id: &str, place: usize, now_ms: i64) -> Option<ItemView> {
        let phase = self.phase(now_ms);
        let fate = Fate::of(id);
        let ended = matches!(phase, Phase::Completed | Phase::Failed);
        let through = match fate {
            Fate::NotNamed | Fate::NeverEnds => ended,
            _ => now_ms >= self.item_ends_ms(place),
        };
        match (self.end, fate) {
            _ if phase == Phase::Pending => Some(ItemView::Pending),
            (TaskEnd::Never, _) => Some(ItemView::Processing),
            (TaskEnd::Fails, _) if ended => Some(ItemView::Failed("TASK_FAILED")),
            (TaskEnd::Fails, _) => Some(ItemView::Processing),
            _ if !through => Some(ItemView::Processing),
            (_, Fate::NotNamed) => None,
            (_, Fate::NeverEnds) => Some(ItemView::Processing),
            (_, Fate::Failed) => Some(ItemView::Failed(self.channel.not_found_code())),
            (_, Fate::Blank) => Some(ItemView::Unlocked(Some(String::new()))),
            (_, Fate::NoValue) => Some(ItemView::Unlocked(None)),
            _ => Some(ItemView::Unlocked(Some(self.channel.value_of(id)))),
        }
    }

    /// The items that it names at this moment, in the order in which they were sent.
    pub(in crate::sandbox) fn items(&self, now_ms: i64) -> Vec<(&str, ItemView)> {
        let named = |(place, id): (usize, &'_ String)| self.item(id, place, now_ms);
        self.items
            .iter()
            .enumerate()
            .filter_map(|(place, id)| Some((id.as_str(), named((place, id))?)))
            .collect()
    }

    /// The state of one of its contacts, as other endpoints show it.
    pub(in crate::sandbox) fn contact_state(&self, id: &str, now_ms: i64) -> ContactState {
        let place = self.places.get(id);
        match place.and_then(|place| self.item(id, *place, now_ms)) {
            None => ContactState::Locked,
            Some(ItemView::Pending | ItemView::Processing) => ContactState::Processing,
            Some(ItemView::Unlocked(value)) => ContactState::Unlocked(value),
            Some(ItemView::Failed(_)) => ContactState::Failed,
        }
    }

    /// The contacts to refund, once, when the task has ended.
    pub(in crate::sandbox) fn take_refundable(&mut self, now_ms: i64) -> Vec<String> {
        let phase = self.phase(now_ms);
        if self.refunded || !matches!(phase, Phase::Completed | Phase::Failed) {
            return Vec::new();
        }
        self.refunded = true;
        let all = phase == Phase::Failed;
        let failed = |id: &&String| all || Fate::of(id).brings_nothing();
        self.items.iter().filter(failed).cloned().collect()
    }
}
