//! The running calls of an owner, where the vendor limits their number.
//!
//! A call keeps its places from the moment it is carried out until its answer is sent.

use std::collections::HashMap;

use crate::sandbox::words::results::Refusal;
use crate::sandbox::words::route::Route;

/// The kinds of places that a running call can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::sandbox) enum Slot {
    /// The owner's credits: an unlock does not wait for another call, so it is refused.
    Credits,
    SearchEvents,
    ByName,
}

impl Slot {
    /// How many calls of one owner may run at once.
    fn places(self) -> u32 {
        match self {
            Self::Credits | Self::SearchEvents => 1,
            Self::ByName => 10,
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Self::Credits => Refusal::CreditsInUse,
            Self::SearchEvents | Self::ByName => Refusal::TooManyAtOnce,
        }
    }
}

/// The places that one call keeps.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Held {
    owner: String,
    slots: Vec<Slot>,
}

#[derive(Default)]
pub(in crate::sandbox) struct Slots {
    taken: HashMap<(String, Slot), u32>,
}

impl Slots {
    /// A search spends, too, so it keeps the credits; no vendor page says that it is refused because of them.
    pub(in crate::sandbox) fn enter(&mut self, owner: &str, route: &Route) -> Result<Held, Refusal> {
        let (must_be_free, slots) = match route {
            Route::SearchEvents => (vec![Slot::SearchEvents], vec![Slot::Credits, Slot::SearchEvents]),
            Route::EventsByName => (vec![Slot::ByName], vec![Slot::Credits, Slot::ByName]),
            route if route.is_unlock() => (vec![Slot::Credits], vec![Slot::Credits]),
            route if route.is_paid() => (vec![], vec![Slot::Credits]),
            _ => (vec![], vec![]),
        };
        let count = |slot: &Slot| self.taken.get(&(owner.to_owned(), *slot)).copied().unwrap_or_default();
        if let Some(full) = must_be_free.iter().find(|slot| count(slot) >= slot.places()) {
            return Err(full.refusal());
        }
        for slot in &slots {
            *self.taken.entry((owner.to_owned(), *slot)).or_default() += 1;
        }
        Ok(Held { owner: owner.to_owned(), slots })
    }

    pub(in crate::sandbox) fn leave(&mut self, held: Held) {
        for slot in held.slots {
            if let Some(count) = self.taken.get_mut(&(held.owner.clone(), slot)) {
                *count = count.saturating_sub(1);
            }
        }
    }
}
