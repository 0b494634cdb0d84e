//! Whether the values of contacts that are unlocked already are read from a list, or each from its profile.
//!
//! A list of an event's people gives 50 of them in one call, and a list of a company's people 100, with the values that
//! this key's owner has unlocked. A profile is one call for one contact. A list cannot be asked for certain ids, so it
//! saves calls only if many of its people are wanted. Its first page shows that. It is read when at least three
//! contacts are wanted ([`FEWEST`]). The next pages are read while each of them may bring two values or more: by the
//! number of contacts that are still wanted, or by what the pages before brought ([`Progress::next`]).
//!
//! Nobody knows in which order a list is, and whether it names the contacts at all. So pages may be read in vain. What
//! they cost more than they bring is counted over all lists of an account ([`Debt`]). It is at most a quarter of the
//! calls that the profiles alone would take, and then profiles are read. So lists and profiles together never take more
//! than one and a quarter times the calls of the profiles alone, and one call more, whatever the lists say.
//!
//! Example: 300 contacts of one event of 320 people take 7 pages. Two contacts of it, or the 300 people of an
//! event of 20,000, are read from profiles. Of 100 contacts that an event of 2,500 people does not show, 25 pages are
//! read in vain, and then 100 profiles.
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

/// What pages of lists cost more than they brought, in quarters of a call.
///
/// A page is one call, and each value that it brings saves one. A contact whose profile is read pays a quarter of a call,
/// so lists are tried again after a while. What pages brought beyond their own cost does not pay for later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt(usize);

impl Debt {
    const CALL: usize = 4;

    /// Whether one page more may be read while so many contacts are wanted.
    pub fn allows(self, wanted: usize) -> bool {
        self.0 < wanted.max(Debt::CALL)
    }

    /// A page was asked for, and brought this many values.
    pub fn page(&mut self, values: usize) {
        self.0 = (self.0 + Debt::CALL).saturating_sub(values.saturating_mul(Debt::CALL));
    }

    /// A profile was read.
    pub fn profile(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// How far a list is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pages: u32,
    /// The last page, as far as it is known.
    last: Option<u32>,
    ended: bool,
    /// How many values the pages brought.
    brought: usize,
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
        let pages = self.pages as usize;
        let left = self.last.map_or(1, |last| (last as usize).saturating_sub(pages));
        let is_fewer_calls = (1..wanted).contains(&left);
        let brings_two = wanted >= 2 * left || self.brought >= 2 * pages.max(1);
        let is_worth_it = if pages == 0 { wanted >= FEWEST } else { brings_two };
        if !self.ended && is_fewer_calls && is_worth_it {
            return Some(self.pages + 1);
        }
        self.end();
        None
    }

    /// Ends the list: the rest is read from profiles.
    pub fn end(&mut self) {
        (self.ended, self.previous) = (true, Vec::new());
    }

    /// Takes the page that was asked for, which brought this many of the values that were wanted.
    pub fn take(&mut self, page: &ListPage, page_size: u32, values: usize) {
        self.pages += 1;
        self.brought += values;
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
        let (mut progress, mut debt, mut pages) = (Progress::default(), Debt::default(), 0);
        while debt.allows(wanted)
            && let Some(number) = progress.next(wanted)
        {
            assert_eq!(number, pages + 1);
            let (from, to) = (u64::from(pages) * 50, (u64::from(pages) * 50 + 50).min(total));
            let values = hits.min(wanted);
            progress.take(&page(from..to, total, to < total), 50, values);
            debt.page(values);
            (wanted, pages) = (wanted - values, pages + 1);
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
            ("one on each page", (1_500, 50, 1), (1, 49)),
            ("the list has none of them", (250, 100, 0), (5, 100)),
            ("a long list has none of them", (2_500, 100, 0), (25, 100)),
        ];
        for (name, (total, wanted, hits), expected) in table {
            assert_eq!(calls(total, wanted, hits), expected, "{name}");
        }
    }

    /// The contacts stand at the end of the list: most of it is read in vain, and it is fewer calls all the same.
    #[test]
    fn a_list_that_may_bring_much_is_read_on_although_its_first_pages_bring_nothing() {
        let (mut progress, mut debt) = (Progress::default(), Debt::default());
        for number in 0..34_u64 {
            assert!(debt.allows(300));
            assert_eq!(progress.next(300), Some(number as u32 + 1));
            progress.take(&page(number * 50..number * 50 + 50, 2_000, true), 50, 0);
            debt.page(0);
        }
        assert_eq!(progress.next(300), Some(35), "300 contacts on the last 6 pages");
    }

    #[test]
    fn lists_that_cost_more_than_they_bring_are_tried_again_after_some_profiles() {
        let mut debt = Debt::default();
        debt.page(50);
        (0..25).for_each(|_| debt.page(0));
        assert!(!debt.allows(100) && debt.allows(101), "what the first page brought pays for no later one");
        debt.profile();
        assert!(debt.allows(100));
        debt.page(2);
        assert!(debt.allows(96));
        assert!(!debt.allows(95));
    }

    #[test]
    fn the_length_of_a_list_is_remembered_for_the_next_contacts() {
        let mut progress = Progress::default();
        assert_eq!(progress.next(300), Some(1));
        progress.covers(Millis(1), 7);
        progress.take(&page(0..50, 2_000, true), 50, 1);
        assert_eq!(progress.next(77), None, "39 more pages for 77 contacts");
        assert!(!progress.is_under_way());
        progress.begin();
        assert_eq!(progress.next(40), None, "40 pages for 40 contacts");
        progress.begin();
        assert_eq!((progress.next(41), progress.upto), (Some(1), (Millis(1), 7)));
    }

    #[test]
    fn a_preview_ends_with_its_last_visible_page() {
        for (visible, last_page) in [(Some(50), None), (None, Some(1)), (Some(50), Some(1))] {
            let mut progress = Progress::default();
            assert_eq!(progress.next(300), Some(1));
            progress.take(&ListPage { visible, last_page, ..page(0..50, 320, true) }, 50, 50);
            assert_eq!(progress.next(250), None, "{visible:?} {last_page:?}");
            assert!(!progress.is_under_way());
        }
    }

    #[test]
    fn an_empty_page_and_one_that_comes_again_end_a_list() {
        for second in [page(0..0, 320, true), page(0..50, 320, true)] {
            let mut progress = Progress::default();
            progress.next(300);
            progress.take(&page(0..50, 320, true), 50, 0);
            assert_eq!(progress.next(300), Some(2));
            progress.take(&second, 50, 0);
            assert_eq!(progress.next(300), None);
        }
    }

    /// The API may allow fewer people on a page than were asked for, without a word.
    #[test]
    fn pages_that_are_smaller_than_asked_for_are_counted_as_they_are() {
        let mut progress = Progress::default();
        progress.next(36);
        progress.take(&page(0..20, 320, true), 50, 2);
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
        /// Whatever lists say about themselves, and whatever they bring: the bound that the top of this file names.
        #[test]
        fn lists_and_profiles_take_at_most_a_quarter_more_calls_than_profiles_alone(
            lists in prop::collection::vec(
                prop::collection::vec((0..60_u64, 0..9_999_u64, any::<bool>(), 0..5_usize), 1..40), 1..30),
            wanted in 3..300_usize,
            between in 0..20_usize,
        ) {
            let (mut debt, mut left, mut calls) = (Debt::default(), wanted, 0);
            for list in lists {
                let mut progress = Progress::default();
                for (at, (people, total, has_more, hits)) in list.into_iter().enumerate() {
                    if !debt.allows(left) || progress.next(left).is_none() {
                        break;
                    }
                    let (from, values) = (at as u64 * 100, hits.min(left));
                    progress.take(&page(from..from + people, total, has_more), 50, values);
                    debt.page(values);
                    (left, calls) = (left - values, calls + 1);
                }
                let read = between.min(left);
                (0..read).for_each(|_| debt.profile());
                (left, calls) = (left - read, calls + read);
            }
            calls += left;
            prop_assert!(4 * calls <= 5 * wanted + 3, "{calls} calls for {wanted} contacts");
        }
    }
}
