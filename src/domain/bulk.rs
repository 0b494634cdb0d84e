//! Whether the values of contacts that are unlocked already are read from a list, or each from its profile.
//!
//! A list of an event's people gives 50 of them in one call, and a list of a company's people 100, with the values that
//! this key's owner has unlocked. A profile is one call for one contact. A list cannot be asked for certain ids, so it
//! saves calls only if many of its people are wanted. Its first page shows that. It is read when at least three
//! contacts are wanted ([`FEWEST`]); the next pages are read while the rest of the list is fewer calls than the
//! profiles that are still wanted ([`Progress::next`]). So a list never costs more calls than the profiles that it
//! replaces, even if the API gives a wrong length.
//!
//! Example: 300 contacts of one event of 320 people take 7 pages. Two contacts of it, or the 300 people of an
//! event of 20,000, are read from profiles.
//!
//! A list is never proof that a contact is locked: what it does not give is read from the profile.
//!
//! Sources: the vendor's pages of the people list (preview: `semantics`), the contact search and pagination.

use std::collections::{BTreeMap, BTreeSet};

use super::direct::PEOPLE_PAGE_SIZE;
use super::ids::{EventId, Millis, PersonnelId};
use super::outcome::ProfileView;

/// Fewer contacts than this are not worth the first page of a list.
pub const FEWEST: usize = 3;

/// People on a page of the search by company: the most that the API allows.
pub const COMPANY_PAGE_SIZE: u32 = 100;

/// How many companies are remembered for an account.
const MOST_COMPANIES: usize = 1_000;

/// A list of people that comes with their values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum List {
    Event(EventId),
    /// The people of the companies that this name finds.
    Company(String),
}

impl List {
    pub fn page_size(&self) -> u32 {
        match self {
            List::Event(_) => PEOPLE_PAGE_SIZE,
            List::Company(_) => COMPANY_PAGE_SIZE,
        }
    }

    /// What a timeline says; a company's name is not repeated there.
    pub fn in_words(&self) -> String {
        match self {
            List::Event(event_id) => format!("the people of event {event_id}"),
            List::Company(_) => "the people of their company".to_owned(),
        }
    }
}

/// A person of a list, with the data of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub personnel_id: PersonnelId,
    pub view: ProfileView,
}

/// A page of a list. What the answer did not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    pub people: Vec<Listed>,
    /// People on all pages.
    pub total: Option<u64>,
    pub has_more: Option<bool>,
    /// Of an event that is not unlocked: people that can be seen, and the last page that has any.
    pub visible: Option<u64>,
    pub last_page: Option<u64>,
}

/// How far a list is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pages: u32,
    /// The last page, as far as it is known.
    last: Option<u32>,
    ended: bool,
    /// Most contacts that were wanted: no more pages than that are read.
    wanted: usize,
    /// The people of the page before: a list that repeats itself has no more.
    previous: Vec<PersonnelId>,
    /// The contacts that it is read for: those that were due at this moment, up to this item. For later ones the list
    /// may be read again.
    pub upto: (Millis, i64),
    /// How often in a row a page was not answered.
    pub failures: u32,
}

impl Progress {
    /// Begins again from the first page, and remembers how long the list was.
    pub fn begin(&mut self) {
        *self = Progress { last: self.last, upto: self.upto, ..Progress::default() };
    }

    /// Notes what it is read for: what is due now, up to this item.
    pub fn covers(&mut self, now: Millis, last_item: i64) {
        self.upto = (now, last_item);
    }

    /// Whether a page was asked for, or was not worth it.
    pub fn has_begun(&self) -> bool {
        self.pages > 0 || self.ended
    }

    /// Whether it is being read, or about to be.
    pub fn is_under_way(&self) -> bool {
        !self.ended
    }

    /// The page to ask for when so many contacts are wanted; `None`: the profiles are fewer calls, and the list
    /// has ended.
    pub fn next(&mut self, wanted: usize) -> Option<u32> {
        self.wanted = self.wanted.max(wanted);
        let left = match self.last {
            Some(last) => last.saturating_sub(self.pages) as usize,
            None => 1,
        };
        let is_worth_it = left > 0 && left < wanted && (self.pages > 0 || wanted >= FEWEST);
        let may_go_on = !self.ended && (self.pages as usize) < self.wanted;
        if is_worth_it && may_go_on {
            return Some(self.pages + 1);
        }
        self.end();
        None
    }

    /// Ends the list: the rest is read from profiles.
    pub fn end(&mut self) {
        (self.ended, self.previous) = (true, Vec::new());
    }

    /// Takes the page that was asked for.
    pub fn take(&mut self, page: &ListPage, page_size: u32) {
        self.pages += 1;
        self.failures = 0;
        let people: Vec<PersonnelId> = page.people.iter().map(|person| person.personnel_id.clone()).collect();
        let repeats = people == self.previous;
        if people.is_empty() || repeats || page.has_more == Some(false) {
            self.last = Some(self.pages);
            return self.end();
        }
        // Fewer than asked for, and there is more: the API allows no larger pages.
        let size = match page.has_more {
            Some(true) => (people.len() as u64).min(page_size.into()),
            _ => page_size.into(),
        };
        let pages = |people: u64| people.div_ceil(size.max(1));
        let last =
            [page.total.map(pages), page.visible.map(pages), page.last_page].into_iter().flatten().min();
        self.last = last.map(|last| u32::try_from(last).unwrap_or(u32::MAX));
        self.previous = people;
        if self.last.is_some_and(|last| last <= self.pages) {
            self.end();
        }
    }
}

/// For which companies the contacts work that were read so far.
///
/// A contact's company is known only after its profile was read. If half of the contacts that were read work for one
/// company, then probably half of the others do, and a search for the company's people saves calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Companies {
    seen: usize,
    by_name: BTreeMap<String, usize>,
    searched: BTreeSet<String>,
}

impl Companies {
    /// Notes the company of a contact that was wanted.
    pub fn note(&mut self, company: Option<&str>) {
        if self.by_name.len() >= MOST_COMPANIES {
            *self = Companies::default();
        }
        self.seen += 1;
        let name = company.map(str::trim).filter(|name| (1..=200).contains(&name.chars().count()));
        if let Some(name) = name {
            *self.by_name.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// The company whose people may bring the most of what is wanted, if that is worth a call.
    pub fn worth_searching(&self, wanted: usize) -> Option<&str> {
        let (name, count) = self
            .by_name
            .iter()
            .filter(|(name, count)| **count >= 2 && !self.searched.contains(*name))
            .max_by_key(|(_, count)| **count)?;
        (wanted.saturating_mul(*count) / self.seen.max(1) >= FEWEST).then_some(name.as_str())
    }

    /// Notes that its people were read.
    pub fn searched(&mut self, name: &str) {
        self.searched.insert(name.to_owned());
    }

    /// Nothing waits any more: the next contacts may be of other companies.
    pub fn forget(&mut self) {
        *self = Companies::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::outcome::Access;
    use super::*;

    fn page(ids: std::ops::Range<u64>, total: u64, has_more: bool) -> ListPage {
        let view = || ProfileView { access: Access::Locked, value: None, company: None };
        let person = |id: u64| Listed { personnel_id: PersonnelId::trusted(id.to_string()), view: view() };
        ListPage {
            people: ids.map(person).collect(),
            total: Some(total),
            has_more: Some(has_more),
            ..ListPage::default()
        }
    }

    /// Reads a list of `total` people for `wanted` contacts, the `hits` of which are on each page.
    fn calls(total: u64, mut wanted: usize, hits: usize) -> (u32, usize) {
        let mut progress = Progress::default();
        let mut pages = 0;
        while let Some(number) = progress.next(wanted) {
            assert_eq!(number, pages + 1);
            let (from, to) = (u64::from(pages) * 50, (u64::from(pages) * 50 + 50).min(total));
            progress.take(&page(from..to, total, to < total), 50);
            wanted = wanted.saturating_sub(hits);
            pages += 1;
        }
        (pages, wanted)
    }

    #[test]
    fn a_list_is_read_where_it_is_fewer_calls_than_the_profiles() {
        let table = [
            ("dense", (320, 300, 50), (6, 0)),
            ("all of a small event", (45, 30, 30), (1, 0)),
            ("two contacts", (45, 2, 2), (0, 2)),
            ("three contacts of a small event", (45, 3, 3), (1, 0)),
            ("many of a huge event: its first page tells", (20_000, 300, 1), (1, 299)),
            ("dense in a large event", (2_500, 300, 6), (50, 0)),
            ("few of a middling event", (250, 4, 1), (1, 3)),
            ("the list has none of them", (250, 100, 0), (5, 100)),
        ];
        for (name, (total, wanted, hits), expected) in table {
            assert_eq!(calls(total, wanted, hits), expected, "{name}");
        }
    }

    #[test]
    fn the_length_of_a_list_is_remembered_for_the_next_contacts() {
        let mut progress = Progress::default();
        assert_eq!(progress.next(300), Some(1));
        progress.covers(Millis(1), 7);
        progress.take(&page(0..50, 2_000, true), 50);
        assert_eq!(progress.next(30), None, "39 more pages for 30 contacts");
        assert!(!progress.is_under_way());
        progress.begin();
        assert_eq!(progress.next(39), None, "40 pages for 39 contacts");
        progress.begin();
        assert_eq!((progress.next(41), progress.upto), (Some(1), (Millis(1), 7)));
    }

    #[test]
    fn a_preview_ends_with_its_last_visible_page() {
        for (visible, last_page) in [(Some(50), None), (None, Some(1)), (Some(50), Some(1))] {
            let mut progress = Progress::default();
            assert_eq!(progress.next(300), Some(1));
            progress.take(&ListPage { visible, last_page, ..page(0..50, 320, true) }, 50);
            assert_eq!(progress.next(250), None, "{visible:?} {last_page:?}");
            assert!(!progress.is_under_way());
        }
    }

    #[test]
    fn an_empty_page_and_one_that_comes_again_end_a_list() {
        for second in [page(0..0, 320, true), page(0..50, 320, true)] {
            let mut progress = Progress::default();
            progress.next(300);
            progress.take(&page(0..50, 320, true), 50);
            assert_eq!(progress.next(300), Some(2));
            progress.take(&second, 50);
            assert_eq!(progress.next(300), None);
        }
    }

    /// The API may allow fewer people on a page than were asked for, without a word.
    #[test]
    fn pages_that_are_smaller_than_asked_for_are_counted_as_they_are() {
        let mut progress = Progress::default();
        progress.next(16);
        progress.take(&page(0..20, 320, true), 50);
        assert_eq!(progress.clone().next(16), Some(2), "15 more pages");
        assert_eq!(progress.next(15), None);
    }

    #[test]
    fn a_company_is_searched_when_enough_of_the_rest_may_work_for_it() {
        let mut companies = Companies::default();
        companies.note(Some("Acme"));
        assert_eq!(companies.worth_searching(300), None, "one contact shows nothing");
        companies.note(Some(" Acme "));
        assert_eq!(companies.worth_searching(300), Some("Acme"));
        assert_eq!(companies.worth_searching(2), None);
        (0..98).for_each(|number| companies.note(Some(&format!("Company {number}"))));
        assert_eq!(companies.worth_searching(149), None, "2 of 100: two of the rest at most");
        assert_eq!(companies.worth_searching(150), Some("Acme"));
        companies.searched("Acme");
        assert_eq!(companies.worth_searching(100_000), None);
        companies.forget();
        for name in [None, Some(""), Some("x".repeat(201).as_str())] {
            companies.note(name);
        }
        assert_eq!(companies.worth_searching(1_000), None);
    }

    #[test]
    fn the_companies_that_are_remembered_are_bounded() {
        let mut companies = Companies::default();
        (0..5_000).for_each(|number| companies.note(Some(&number.to_string())));
        assert!(companies.by_name.len() <= MOST_COMPANIES);
    }

    proptest! {
        /// Whatever a list says about itself: it costs no more calls than profiles would have.
        #[test]
        fn a_list_costs_no_more_calls_than_the_profiles_that_it_was_to_save(
            answers in prop::collection::vec((0..60_u64, 0..9_999_u64, any::<bool>(), 0..5_usize), 400),
            wanted in 0..300_usize,
        ) {
            let (mut progress, mut left, mut pages) = (Progress::default(), wanted, 0);
            for (at, (people, total, has_more, hits)) in answers.into_iter().enumerate() {
                if progress.next(left).is_none() {
                    break;
                }
                let from = at as u64 * 100;
                progress.take(&page(from..from + people, total, has_more), 50);
                left = left.saturating_sub(hits);
                pages += 1;
            }
            prop_assert!(pages <= wanted, "{pages} pages for {wanted} contacts");
        }
    }
}
