//! The paid actions without contacts and without a task: the answer is the result.
//!
//! Six are *direct*: the three unlocks of an event and the three searches (companies, a company's events, a
//! person's events). Each call is an item of its request, like a contact: an event's request has one item, a
//! search has one for each page, made when the page before it says that there is more. These items pass through
//! the same states, holds, approvals and doubts as contacts; the differences are here. The key of such an item
//! (`items.personnel_id`) is the event's id, or the page's number.
//!
//! Sources: the vendor's pages of the three unlocks (idempotency, response fields), and the OpenAPI
//! description of the searches.

use serde_json::value::RawValue;

use super::action::{Action, Layers};
use super::credits::{Balance, Credits};
use super::ids::{EventId, PersonnelId};

/// Results on one page of a search: the most that the API allows, since a call costs the same for any size.
pub const PAGE_SIZE: u32 = 100;

/// People on a page of an event's list: the most that the API allows. A larger number is answered with 400.
pub const PEOPLE_PAGE_SIZE: u32 = 50;

/// What one paid call of a direct action asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direct {
    /// Access to an event.
    Event { layers: Layers, event_id: EventId },
    /// One page of a search; `action` says which of the three.
    Search { action: Action, query: String, page: u32 },
}

impl Direct {
    pub fn action(&self) -> Action {
        match self {
            Direct::Event { layers, .. } => layers.action(),
            Direct::Search { action, .. } => *action,
        }
    }
}

/// The answer to an unlock of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventUnlock {
    /// It was already unlocked, and nothing was charged.
    pub already_unlocked: bool,
    pub credits_used: Credits,
    /// The balance afterwards; `None` if nothing was charged, or if the pool has no limit.
    pub balance_after: Option<Balance>,
    /// The whole answer, unchanged.
    pub answer: String,
}

/// One page of a search.
#[derive(Clone, Debug)]
pub struct SearchPage {
    /// The JSON array of results, unchanged.
    pub items: Box<RawValue>,
    pub found: usize,
    pub has_more: bool,
}

/// The result of a paid call of a direct action.
#[derive(Clone, Debug)]
pub enum Delivery {
    Event(EventUnlock),
    Page(SearchPage),
}

/// A page of an event's people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonnelPage {
    pub people: Vec<Person>,
    /// People on all pages, as far as they are visible.
    pub total: u64,
    pub has_more: bool,
    /// `None`: the answer did not say.
    pub access: Option<EventAccess>,
}

/// A person of an event's list, without email and phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub personnel_id: PersonnelId,
    pub full_name: Option<String>,
    pub title: Option<String>,
    pub company_name: Option<String>,
    /// The API's word for the email: `locked` when it is not unlocked.
    pub email_status: Option<String>,
    /// The API's word for the phone: `ready` when it is unlocked.
    pub phone_status: Option<String>,
}

/// Whether a list of an event's people is complete (`semantics.accessMode`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventAccess {
    pub full: bool,
    /// Visible people, and all people, if the answer says so.
    pub visible: Option<u64>,
    pub there_are: Option<u64>,
    /// The API's word and the counts that came with it, unchanged, as JSON.
    pub semantics: String,
}

impl EventAccess {
    /// For the timeline: "the list is complete, 45 of 45 people".
    pub fn in_words(&self) -> String {
        let list = if self.full { "the list is complete" } else { "the list is still a preview" };
        match (self.visible, self.there_are) {
            (Some(visible), Some(there_are)) => format!("{list}, {visible} of {there_are} people"),
            _ => list.to_owned(),
        }
    }
}

impl Delivery {
    /// The cost of the call. An event's answer names it; a search costs `price` if it found something.
    pub fn charge(&self, price: Credits) -> Credits {
        match self {
            Delivery::Event(unlock) => unlock.credits_used,
            Delivery::Page(page) if page.found > 0 => price,
            Delivery::Page(_) => Credits::ZERO,
        }
    }

    /// Whether there is another page to buy.
    pub fn has_more(&self) -> bool {
        matches!(self, Delivery::Page(page) if page.has_more && page.found > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(found: usize, has_more: bool) -> Delivery {
        let items = RawValue::from_string("[]".to_owned()).expect("JSON");
        Delivery::Page(SearchPage { items, found, has_more })
    }

    fn event(credits_used: i64) -> Delivery {
        Delivery::Event(EventUnlock {
            already_unlocked: credits_used == 0,
            credits_used: Credits(credits_used),
            balance_after: None,
            answer: String::new(),
        })
    }

    #[test]
    fn a_search_is_charged_when_it_found_something_and_an_event_as_its_answer_says() {
        let price = Credits(50);
        assert_eq!(page(1, false).charge(price), price);
        assert_eq!(page(0, false).charge(price), Credits::ZERO);
        assert_eq!(event(2_000).charge(Credits(15)), Credits(2_000));
        assert_eq!(event(0).charge(Credits(2_000)), Credits::ZERO);
    }

    #[test]
    fn access_is_told_with_the_people_that_can_be_seen() {
        let access =
            |full, visible, there_are| EventAccess { full, visible, there_are, semantics: String::new() };
        assert_eq!(access(true, Some(45), Some(45)).in_words(), "the list is complete, 45 of 45 people");
        assert_eq!(access(false, None, Some(45)).in_words(), "the list is still a preview");
    }

    #[test]
    fn an_empty_page_is_never_followed_by_another() {
        assert!(page(100, true).has_more());
        assert!(!page(0, true).has_more(), "it would be charged for nothing");
        assert!(!page(45, false).has_more());
        assert!(!event(2_000).has_more());
    }
}
