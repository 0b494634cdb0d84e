//! The people of an event, read page by page, and which of them can still be bought.
//!
//! One page is never taken for the whole list: the next page is read until the API says that there is none,
//! or a page is empty. The list may change while it is read, so a person who appears twice is counted once. A
//! page with only known people, or a list without end, is an error and stops the reading.
//!
//! Source: the OpenAPI description of `/external/personnel/list`, and the vendor's event-unlock page
//! (`semantics`: an event that is not unlocked shows a preview).

use std::collections::BTreeSet;

use super::action::Channel;
use super::direct::{EventAccess, Person, PersonnelPage};
use super::ids::PersonnelId;
use super::outcome::Access;

/// Half a million people on pages of 50, and an hour and a half of the usual rate limit.
const MOST_PAGES: u32 = 10_000;

/// The part of an event's list that was read so far.
#[derive(Debug, Default)]
pub struct Listing {
    seen: BTreeSet<PersonnelId>,
    pages: u32,
    ended: bool,
    /// People with a locked email, with a locked phone, and with an unknown status.
    locked: Tally,
    /// The total number of people, as the last page gave it.
    total: u64,
    access: Option<EventAccess>,
}

/// Counts of people by what can be bought of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub emails: i64,
    pub phones: i64,
    /// People whose status is an unknown word.
    pub unclear: i64,
}

/// Why reading a list was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    #[error(
        "page {page} of the list names only people of the pages before it: the API repeats itself, so the list cannot \
         be read to its end"
    )]
    Repeats { page: u32 },
    #[error("after {MOST_PAGES} pages the list still does not end: narrow it down with a filter")]
    Endless,
}

impl Listing {
    /// The next page to read; `None` once the list is complete.
    pub fn next_page(&self) -> Option<u32> {
        (!self.ended).then_some(self.pages + 1)
    }

    /// Adds the page that was read, and returns its new people.
    pub fn take(&mut self, page: PersonnelPage) -> Result<Vec<Person>, Odd> {
        self.pages += 1;
        self.total = page.total;
        self.access = page.access.or(self.access.take());
        self.ended = page.people.is_empty() || !page.has_more;
        let listed = page.people.len();
        let mut people = page.people;
        people.retain(|person| self.seen.insert(person.personnel_id.clone()));
        if people.is_empty() && listed > 0 {
            return Err(Odd::Repeats { page: self.pages });
        }
        self.ended = self.ended || self.has_whole_preview();
        if !self.ended && self.pages >= MOST_PAGES {
            return Err(Odd::Endless);
        }
        people.iter().for_each(|person| self.locked.count(person));
        Ok(people)
    }

    /// Whether everything visible before the unlock was read. A preview's `hasMore` also counts the hidden
    /// people, and the page after the preview is empty.
    fn has_whole_preview(&self) -> bool {
        let preview = self.access.as_ref().filter(|access| !access.full);
        preview.and_then(|access| access.visible).is_some_and(|visible| visible <= self.seen.len() as u64)
    }

    /// Pages read.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Distinct people read.
    pub fn people(&self) -> i64 {
        self.seen.len() as i64
    }

    pub fn locked(&self) -> Tally {
        self.locked
    }

    /// The total that the API gives, if it is more than it has listed.
    pub fn promised(&self) -> Option<u64> {
        (self.total > self.seen.len() as u64).then_some(self.total)
    }

    /// Whether the list is a preview because the event is not unlocked; `None`: the API did not say.
    pub fn is_preview(&self) -> Option<bool> {
        self.access.as_ref().map(|access| !access.full)
    }

    /// How many more people an unlocked event would show; `None` if the API did not say.
    pub fn hidden(&self) -> Option<u64> {
        let access = self.access.as_ref()?;
        let visible = access.visible.unwrap_or(self.seen.len() as u64);
        access.there_are.map(|there_are| there_are.saturating_sub(visible))
    }
}

impl Tally {
    fn count(&mut self, person: &Person) {
        self.emails += i64::from(person.is_locked(Channel::Email));
        self.phones += i64::from(person.is_locked(Channel::Phone));
        let unclear = |channel| person.access(channel) == Access::Unclear;
        self.unclear += i64::from(unclear(Channel::Email) || unclear(Channel::Phone));
    }
}

impl Person {
    /// Whether this key has access to the person's email or phone.
    pub fn access(&self, channel: Channel) -> Access {
        let word = |text: &String| Access::from_word(Some(&text.trim().to_ascii_lowercase()));
        match channel {
            Channel::Email => self.email_status.as_ref().map_or(Access::Unclear, word),
            // A missing word is the documented state of a phone that was never unlocked.
            Channel::Phone => self.phone_status.as_ref().map_or(Access::Locked, word),
        }
    }

    /// Whether there is something left to buy. An unknown status does not count: a contact that may already
    /// be bought is not offered for sale.
    pub fn is_locked(&self, channel: Channel) -> bool {
        matches!(self.access(channel), Access::Locked | Access::Failed)
    }

    /// The access to email and phone, in words for people.
    pub fn access_in_words(&self) -> String {
        let word = |channel| match self.access(channel) {
            Access::Locked | Access::NotSaid | Access::Failed => "locked",
            Access::InProgress => "being unlocked",
            Access::Unlocked => "unlocked",
            Access::Unclear | Access::Missing => "unclear",
        };
        match (word(Channel::Email), word(Channel::Phone)) {
            (email, phone) if email == phone => email.to_owned(),
            (email, phone) => format!("email {email}, phone {phone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: u64, email: Option<&str>, phone: Option<&str>) -> Person {
        Person {
            personnel_id: PersonnelId::parse(&id.to_string()).expect("digits"),
            full_name: None,
            title: None,
            company_name: None,
            email_status: email.map(str::to_owned),
            phone_status: phone.map(str::to_owned),
        }
    }

    fn page(ids: impl IntoIterator<Item = u64>, total: u64, has_more: bool) -> PersonnelPage {
        let people = ids.into_iter().map(|id| person(id, Some("locked"), None)).collect();
        PersonnelPage { people, total, has_more, access: None }
    }

    #[test]
    fn one_page_is_never_taken_for_all() {
        let mut listing = Listing::default();
        assert_eq!(listing.next_page(), Some(1));
        for (number, ids, has_more) in [(1, 1..101, true), (2, 101..201, true), (3, 201..251, false)] {
            assert_eq!(listing.next_page(), Some(number));
            listing.take(page(ids, 250, has_more)).expect("in order");
        }
        assert_eq!((listing.next_page(), listing.people(), listing.promised()), (None, 250, None));
        assert_eq!(listing.locked(), Tally { emails: 250, phones: 250, unclear: 0 });
    }

    #[test]
    fn a_person_with_a_status_that_cannot_be_told_is_counted_apart_and_once() {
        let mut listing = Listing::default();
        let people = vec![
            person(1, None, Some("unlocked")),
            person(2, Some("unlocked"), Some("odd")),
            person(3, None, Some("odd")),
            person(4, Some("locked"), Some("unlocked")),
        ];
        listing.take(PersonnelPage { people, total: 4, has_more: false, access: None }).expect("people");
        assert_eq!(listing.locked(), Tally { emails: 1, phones: 0, unclear: 3 });
    }

    #[test]
    fn an_empty_page_ends_the_list_whatever_it_says() {
        let mut listing = Listing::default();
        listing.take(page(1..3, 9, true)).expect("people");
        assert_eq!(listing.take(page([], 9, true)), Ok(Vec::new()));
        assert_eq!((listing.next_page(), listing.promised()), (None, Some(9)));
    }

    #[test]
    fn a_person_who_comes_again_is_counted_once() {
        let mut listing = Listing::default();
        listing.take(page(1..4, 5, true)).expect("people");
        let new = listing.take(page(3..6, 5, false)).expect("the list has moved");
        assert_eq!(new.iter().map(|person| person.personnel_id.as_str()).collect::<Vec<_>>(), ["4", "5"]);
        assert_eq!((listing.people(), listing.locked().emails), (5, 5));
    }

    #[test]
    fn a_list_that_repeats_itself_or_never_ends_is_not_read_for_ever() {
        let mut listing = Listing::default();
        listing.take(page(1..4, 9, true)).expect("people");
        assert_eq!(listing.take(page(1..4, 9, true)), Err(Odd::Repeats { page: 2 }));
        let mut listing = Listing::default();
        let ended = (1..=u64::from(MOST_PAGES)).find_map(|id| listing.take(page([id], 9, true)).err());
        assert_eq!((ended, listing.pages()), (Some(Odd::Endless), MOST_PAGES));
    }

    #[test]
    fn a_preview_says_how_many_are_hidden() {
        let with = |full, visible, there_are| {
            let access = Some(EventAccess { full, visible, there_are, semantics: String::new() });
            let mut listing = Listing::default();
            listing.take(PersonnelPage { access, ..page(1..6, 5, false) }).expect("people");
            (listing.is_preview(), listing.hidden())
        };
        assert_eq!(with(false, Some(5), Some(45)), (Some(true), Some(40)));
        assert_eq!(with(false, None, Some(45)), (Some(true), Some(40)), "five were listed");
        assert_eq!(with(false, None, None), (Some(true), None));
        assert_eq!(with(true, Some(5), Some(5)), (Some(false), Some(0)));
        assert_eq!(Listing::default().is_preview(), None);
    }

    #[test]
    fn a_preview_ends_with_the_last_person_that_can_be_seen() {
        let visible_of_250 = |full, visible| {
            let access = Some(EventAccess { full, visible, there_are: Some(250), semantics: String::new() });
            let mut listing = Listing::default();
            listing.take(PersonnelPage { access, ..page(1..51, 250, true) }).expect("people");
            listing.next_page()
        };
        assert_eq!(visible_of_250(false, Some(50)), None, "the next page would be empty");
        assert_eq!(visible_of_250(false, Some(60)), Some(2));
        assert_eq!(visible_of_250(false, None), Some(2));
        assert_eq!(visible_of_250(true, Some(50)), Some(2), "what a full list counts is not believed");
    }

    #[test]
    fn access_is_said_in_words_and_what_is_unclear_is_not_for_sale() {
        let table = [
            (Some("locked"), None, "locked", (true, true)),
            (Some("unlocked"), Some("ready"), "unlocked", (false, false)),
            (Some("unlocked"), Some("failed"), "email unlocked, phone locked", (false, true)),
            (Some(" Locked "), Some("processing"), "email locked, phone being unlocked", (true, false)),
            (None, None, "email unclear, phone locked", (false, true)),
            (Some("teased"), Some("odd"), "unclear", (false, false)),
        ];
        for (email, phone, words, locked) in table {
            let person = person(1, email, phone);
            assert_eq!(person.access_in_words(), words);
            assert_eq!((person.is_locked(Channel::Email), person.is_locked(Channel::Phone)), locked);
        }
    }
}
