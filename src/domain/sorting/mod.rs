//! What a batch costs before it is paid for, and which of its contacts must not be sent.
//!
//! A precheck says what a batch would cost. If that is less than the full price, some contacts are already
//! unlocked, but it does not say which. What follows depends on what this database knows (`Manner`):
//!
//! - It has never paid for them: a person clicked in the vendor's app, or a colleague bought them. The batch is
//!   sent as it is. The API skips them, as documented, and names them in its answer. The figure shows how many
//!   it will charge.
//! - It has paid for them, or may have: they are never sent on a figure that leaves a doubt. They leave the
//!   batch, and their profiles, or lists, show which are unlocked.
//! - The database is an older copy, so nobody knows which of them it has paid for: halving the batch and asking
//!   again finds those that are unlocked, and they are never sent.
//!
//! If the credits do not pay for a whole batch, but for what its figure says, the unlocked ones are found by halving, too,
//! and leave the batch. So what is sent can always be paid in full, even if the figure was wrong.
//!
//! Example: a precheck says 1,425 credits for 100 contacts at 15. So 5 of them are unlocked already, and the API will
//! take 95 into its task and skip 5. That took one precheck. 1,500 credits are held until the answer confirms it.

mod answers;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::credits::Credits;
use crate::domain::ids::PersonnelId;
use crate::domain::item::Why;

/// What a precheck says about a group of contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// It would cost this much.
    Costs(Credits),
    /// It would cost this much, and the balance does not cover it (`insufficient_balance`).
    TooLittle(Credits),
    /// Nothing to pay: already unlocked.
    NothingToPay,
    /// Nothing to pay now: some of the contacts are being unlocked (`unlock_in_progress`).
    BeingUnlocked,
    /// The contact, event or name does not exist (`not_found`).
    NotFound,
    /// It may not be bought as things are, with the API's reason (`no_contacts_available`, `forbidden` …).
    Refused(&'static str),
    /// No useful answer, with the reason in a word: the API's own (`unsupported_action`, `system_error` …),
    /// or ours if there is none.
    Unhelpful(&'static str),
}

impl Quote {
    /// Whether it would be charged, by the API's own word.
    pub fn names_a_price(self) -> bool {
        matches!(self, Quote::Costs(cost) | Quote::TooLittle(cost) if cost > Credits::ZERO)
    }
}

/// What happens to a group whose precheck names the price of fewer contacts, so that some of them are unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It is halved and asked about again, until each contact is clear.
    Halve,
    /// All of them are read from profiles, and none is sent.
    Read,
    /// All of them are sent. The API skips those that are unlocked.
    Trust,
}

/// Contacts that are asked about together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    manner: Manner,
    contacts: Vec<PersonnelId>,
}

/// If some of this many contacts (or fewer) are being unlocked, each is prechecked alone: the others may cost
/// nothing for another reason. A larger group is most likely a running batch, and not worth the calls.
const SMALL_GROUP: usize = 8;

/// A batch being sorted. Starts with one group and is done when no group is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorting {
    price: Credits,
    /// The number of the newest paid call of all when sorting began: a later one may have bought some of the contacts.
    pub after_attempt: i64,
    open: Vec<Group>,
    /// A contact was asked about alone to learn the price.
    price_was_asked: bool,
    failed: u32,
    /// Why a precheck gave no answer, if that happened.
    unhelpful: Option<&'static str>,
    /// A precheck said that the balance is too low.
    pub too_little: bool,
    /// A precheck said that the contact, event or name does not exist.
    pub not_found: bool,
    /// Why it may not be bought, by a precheck.
    refused: Option<&'static str>,
    /// Contacts to be paid for.
    pub chargeable: Vec<PersonnelId>,
    /// The price of each, in the same order.
    prices: Vec<Credits>,
    /// How many of them are unlocked already, as the precheck's figure shows. The API skips these, but only its answer
    /// proves that, so the cost includes their price.
    pub unlocked_elsewhere: usize,
    /// Already unlocked, or being unlocked: the value is in the profile.
    pub had: Vec<PersonnelId>,
    /// Those of `had` whose profile may still be locked, since they are being unlocked.
    pub unlocking: Vec<PersonnelId>,
    /// Those of `had` that were paid for a short time ago and brought no value: their profile may be locked,
    /// too.
    pub paid_without_value: Vec<PersonnelId>,
    /// The most that the chargeable contacts cost; the API's own prices are used if it gave any.
    pub cost: Credits,
}

impl Sorting {
    /// Starts to sort `contacts`, with an expected price of `price` each. Sorting ends when each of them is known to be
    /// unlocked or not.
    pub fn new(contacts: Vec<PersonnelId>, price: Credits) -> Sorting {
        Sorting::empty(price).with(Manner::Halve, contacts)
    }

    fn empty(price: Credits) -> Sorting {
        Sorting {
            price,
            after_attempt: 0,
            open: vec![],
            price_was_asked: false,
            failed: 0,
            unhelpful: None,
            too_little: false,
            not_found: false,
            refused: None,
            chargeable: vec![],
            prices: vec![],
            unlocked_elsewhere: 0,
            had: vec![],
            unlocking: vec![],
            paid_without_value: vec![],
            cost: Credits::ZERO,
        }
    }

    /// Adds contacts that were, or may have been, paid for before.
    pub fn with_paid(self, contacts: Vec<PersonnelId>) -> Sorting {
        self.with(Manner::Read, contacts)
    }

    /// Adds contacts that this database has never paid for.
    pub fn with_new(self, contacts: Vec<PersonnelId>) -> Sorting {
        self.with(Manner::Trust, contacts)
    }

    fn with(mut self, manner: Manner, contacts: Vec<PersonnelId>) -> Sorting {
        if !contacts.is_empty() {
            self.open.push(Group { manner, contacts });
        }
        self
    }

    /// The next group to precheck; `None` when sorting is done.
    pub fn question(&self) -> Option<&[PersonnelId]> {
        self.open.last().map(|group| group.contacts.as_slice())
    }

    /// Counts contacts as chargeable without a precheck: each profile was just read as locked.
    pub fn with_locked(mut self, contacts: Vec<PersonnelId>) -> Sorting {
        self.charge(contacts, self.price);
        self
    }

    /// The same result after the contacts in `had` have left the batch.
    pub fn without_had(mut self) -> Sorting {
        self.had.clear();
        self.unlocking.clear();
        self.paid_without_value.clear();
        self
    }

    /// The same answers for some of the contacts that are to be paid for: what they cost was asked a moment ago.
    pub fn part(&self, contacts: &[PersonnelId]) -> Sorting {
        let wanted: BTreeSet<&PersonnelId> = contacts.iter().collect();
        let mut part = Sorting {
            unhelpful: self.unhelpful,
            after_attempt: self.after_attempt,
            ..Sorting::empty(self.price)
        };
        for (id, price) in self.chargeable.iter().zip(&self.prices).filter(|(id, _)| wanted.contains(id)) {
            part.charge(vec![id.clone()], *price);
        }
        part
    }

    /// The contacts that need not be paid for, each with the reason why its profile is read.
    pub fn why_had(&self) -> Vec<(PersonnelId, Why)> {
        let unlocking: BTreeSet<&PersonnelId> = self.unlocking.iter().collect();
        let paid_without_value: BTreeSet<&PersonnelId> = self.paid_without_value.iter().collect();
        let why = |id: &PersonnelId| match (unlocking.contains(id), paid_without_value.contains(id)) {
            (true, _) => Why::Unlocking,
            (false, true) => Why::PaidBefore,
            (false, false) => Why::AlreadyUnlocked,
        };
        self.had.iter().map(|id| (id.clone(), why(id))).collect()
    }

    /// Counts a precheck that could not be made; returns how often that happened in a row.
    pub fn failed(&mut self) -> u32 {
        self.failed += 1;
        self.failed
    }

    /// Why the price list was used instead of a precheck, for the timeline.
    pub fn unhelpful(&self) -> Option<&'static str> {
        self.unhelpful
    }

    /// Why what has no contacts is not bought, in the API's word.
    pub fn refusal(&self) -> Option<&'static str> {
        self.refused.or(self.not_found.then_some("not_found"))
    }

    /// These contacts leave the batch and are read from profiles; those that are locked come back.
    pub fn read_instead(&mut self, contacts: &[PersonnelId]) {
        let left = self.take_out(contacts);
        self.had.extend(left);
    }

    /// Takes contacts out of those to be paid for.
    fn take_out(&mut self, contacts: &[PersonnelId]) -> Vec<PersonnelId> {
        let unwanted: BTreeSet<&PersonnelId> = contacts.iter().collect();
        let priced: Vec<_> = self.chargeable.drain(..).zip(self.prices.drain(..)).collect();
        let mut left = Vec::new();
        for (id, price) in priced {
            if unwanted.contains(&id) {
                left.push(id);
            } else {
                self.chargeable.push(id);
                self.prices.push(price);
            }
        }
        self.cost = self.prices.iter().copied().sum();
        left
    }

    /// Takes contacts out of the batch although they would be charged: each was charged a short time ago,
    /// which may show late.
    pub fn set_aside_paid_without_value(&mut self, contacts: &[PersonnelId]) {
        let left = self.take_out(contacts);
        self.had.extend_from_slice(&left);
        self.paid_without_value.extend(left);
    }

    /// Skips the precheck: everything is assumed to cost the expected price.
    pub fn ask_nothing(&mut self) {
        while let Some(group) = self.open.pop() {
            self.charge(group.contacts, self.price);
        }
    }

    fn charge(&mut self, mut group: Vec<PersonnelId>, price: Credits) {
        self.cost = self.cost + price.times(group.len());
        self.prices.extend(std::iter::repeat_n(price, group.len()));
        self.chargeable.append(&mut group);
    }

    /// The price of one contact; the mean if there are several. Rounded up: an estimate may overstate, never
    /// understate.
    pub fn price_each(&self) -> Credits {
        let contacts = self.chargeable.len().max(1) as i64;
        Credits(self.cost.0.saturating_add(contacts - 1) / contacts)
    }

    /// What the API will charge, by the precheck's figure: contacts that are unlocked already cost nothing.
    pub fn charged(&self) -> Credits {
        self.cost - self.price.times(self.unlocked_elsewhere)
    }

    /// Asks about the contacts to be paid for again, in ever smaller groups, until those that are unlocked already are
    /// known.
    pub fn tell_apart(&mut self) {
        let contacts = std::mem::take(&mut self.chargeable);
        self.prices.clear();
        (self.cost, self.unlocked_elsewhere) = (Credits::ZERO, 0);
        self.open.push(Group { manner: Manner::Halve, contacts });
    }

    /// The price of each contact that is to be paid for.
    pub fn prices(&self) -> BTreeMap<PersonnelId, Credits> {
        self.chargeable.iter().cloned().zip(self.prices.iter().copied()).collect()
    }

    /// The price of the cheapest contact.
    pub fn lowest_price(&self) -> Credits {
        self.prices.iter().copied().min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(range: std::ops::Range<u32>) -> Vec<PersonnelId> {
        range.map(|number| PersonnelId::trusted(number.to_string())).collect()
    }

    fn sort(count: u32, had: &BTreeSet<u32>) -> (Sorting, usize) {
        sort_at(15, count, had)
    }

    #[test]
    fn a_batch_at_full_price_takes_one_call() {
        let (sorting, calls) = sort(100, &BTreeSet::new());
        assert_eq!((sorting.chargeable.len(), sorting.cost, calls), (100, Credits(1_500), 1));
    }

    /// Sorts contacts that were never paid for here; they really cost `price`, while 15 is expected.
    fn trust_at(price: i64, count: u32, unlocked: &[u32]) -> (Sorting, usize) {
        let unlocked: BTreeSet<_> =
            unlocked.iter().map(|number| PersonnelId::trusted(number.to_string())).collect();
        let (mut sorting, mut calls) = (Sorting::new(vec![], Credits(15)).with_new(ids(0..count)), 0);
        while let Some(group) = sorting.question() {
            let chargeable = group.iter().filter(|id| !unlocked.contains(*id)).count();
            calls += 1;
            sorting.answer(Quote::Costs(Credits(price).times(chargeable)));
        }
        (sorting, calls)
    }

    #[test]
    fn of_contacts_that_were_never_paid_for_the_figure_tells_how_many_are_charged() {
        let numbers: Vec<u32> = (0..100).collect();
        for unlocked in [0, 1, 3, 5, 10, 99] {
            let (sorting, calls) = trust_at(15, 100, &numbers[..unlocked]);
            assert_eq!((sorting.unlocked_elsewhere, calls), (unlocked, 1));
            assert_eq!((sorting.chargeable.len(), sorting.had.len()), (100, 0), "{unlocked}");
            assert_eq!((sorting.cost, sorting.price_each()), (Credits(1_500), Credits(15)), "{unlocked}");
        }
        let (sorting, calls) = trust_at(15, 100, &numbers);
        assert_eq!((sorting.chargeable.len(), sorting.had.len(), calls), (0, 100, 1));
    }

    #[test]
    fn contacts_that_are_unlocked_are_found_among_those_that_a_figure_was_for() {
        let unlocked: BTreeSet<_> = ids(3..18).into_iter().collect();
        let (mut sorting, mut calls) = (Sorting::new(vec![], Credits(15)).with_new(ids(0..20)), 0);
        let mut answer = |sorting: &mut Sorting| {
            while let Some(group) = sorting.question() {
                let locked = group.iter().filter(|id| !unlocked.contains(*id)).count();
                sorting.answer(Quote::Costs(Credits(15).times(locked)));
                calls += 1;
            }
        };
        answer(&mut sorting);
        assert_eq!((sorting.cost, sorting.charged()), (Credits(300), Credits(75)));
        sorting.tell_apart();
        answer(&mut sorting);
        assert_eq!((sorting.cost, sorting.charged(), sorting.had.len()), (Credits(75), Credits(75), 15));
        assert!(calls <= 40, "{calls} calls");
    }

    #[test]
    fn another_price_is_learned_with_two_more_prechecks_at_most() {
        for (price, unlocked) in
            [(10, vec![]), (20, vec![]), (10, vec![3, 4]), (20, vec![6, 7]), (40, vec![2])]
        {
            let (sorting, calls) = trust_at(price, 100, &unlocked);
            let left = sorting.chargeable.len();
            assert_eq!(sorting.cost, Credits(price).times(left), "{price} {unlocked:?}");
            assert_eq!(left - sorting.unlocked_elsewhere, 100 - unlocked.len(), "{price} {unlocked:?}");
            assert!(calls <= 3, "{price} {unlocked:?}: {calls} calls");
        }
        let (sorting, calls) = trust_at(20, 100, &[0, 7]);
        assert_eq!(
            (sorting.cost, calls),
            (Credits(1_960), 3),
            "the one that was asked about alone is unlocked"
        );
        let mut sorting = Sorting::new(vec![], Credits(15)).with_new(ids(0..3));
        [25, 10, 17].into_iter().for_each(|cost| sorting.answer(Quote::Costs(Credits(cost))));
        assert_eq!(
            (sorting.question(), sorting.cost, sorting.lowest_price()),
            (None, Credits(27), Credits(8))
        );
    }

    #[test]
    fn contacts_that_may_be_paid_for_are_never_sent_on_a_figure_that_leaves_a_doubt() {
        let ask = |quote| {
            let mut sorting = Sorting::new(vec![], Credits(15)).with_paid(ids(0..3)).with_new(ids(3..9));
            sorting.answer(Quote::Costs(Credits(75)));
            match quote {
                Quote::NotFound => sorting.answer_not_found_closely(),
                quote => sorting.answer(quote),
            }
            assert_eq!(sorting.question(), None);
            (sorting.had.len(), sorting.chargeable.len(), sorting.cost)
        };
        assert_eq!(ask(Quote::Costs(Credits(45))), (0, 9, Credits(135)), "none of them is unlocked");
        for quote in [Quote::Costs(Credits(30)), Quote::NothingToPay, Quote::NotFound] {
            assert_eq!(ask(quote), (3, 6, Credits(90)), "{quote:?}");
        }
        let mut dearer = Sorting::new(vec![], Credits(15)).with_paid(ids(0..3));
        [60, 20, 40].into_iter().for_each(|cost| dearer.answer(Quote::Costs(Credits(cost))));
        assert_eq!((dearer.chargeable.len(), dearer.cost, dearer.question()), (3, Credits(60), None));
    }

    #[test]
    fn one_contact_among_a_hundred_is_found_in_few_calls() {
        let (sorting, calls) = sort(100, &[37].into());
        assert_eq!(sorting.had, [PersonnelId::trusted("37")]);
        assert!(calls <= 15, "{calls} calls");
    }

    #[test]
    fn a_part_of_a_sorted_batch_keeps_what_each_contact_costs() {
        let mut sorting = Sorting::new(ids(0..2), Credits(15));
        sorting.answer(Quote::Costs(Credits(25)));
        sorting.answer(Quote::Costs(Credits(10)));
        sorting.answer(Quote::Costs(Credits(15)));
        let part = sorting.part(&ids(0..1));
        assert_eq!((part.chargeable.as_slice(), part.question()), (ids(0..1).as_slice(), None));
        assert_eq!(
            (part.cost, part.price_each(), part.lowest_price()),
            (Credits(10), Credits(10), Credits(10))
        );
        let rest = sorting.part(&ids(1..9));
        assert_eq!((rest.chargeable.len(), part.cost + rest.cost), (1, sorting.cost));
    }

    #[test]
    fn an_answer_that_does_not_help_is_no_answer() {
        let mut sorting = Sorting::new(ids(0..3), Credits(15));
        sorting.answer(Quote::Unhelpful("system_error"));
        assert_eq!((sorting.chargeable.len(), sorting.cost), (3, Credits(45)));
        assert_eq!((sorting.question(), sorting.unhelpful()), (None, Some("system_error")));
    }

    #[test]
    fn questions_that_could_not_be_asked_are_counted_until_one_is_answered() {
        let mut sorting = Sorting::new(ids(0..4), Credits(15));
        assert_eq!([sorting.failed(), sorting.failed(), sorting.failed()], [1, 2, 3]);
        sorting.answer(Quote::Costs(Credits(45)));
        assert_eq!([sorting.failed(), sorting.failed()], [1, 2]);
        sorting.answer_not_found_closely();
        assert_eq!(sorting.failed(), 1);
    }

    #[test]
    fn without_asking_all_that_is_left_costs_the_expected_price() {
        let mut sorting = Sorting::new(ids(0..4), Credits(15));
        sorting.answer(Quote::Costs(Credits(30)));
        sorting.answer(Quote::NothingToPay);
        sorting.ask_nothing();
        assert_eq!(sorting.question(), None);
        assert_eq!((sorting.had, sorting.chargeable, sorting.cost), (ids(0..2), ids(2..4), Credits(30)));
    }

    #[test]
    fn what_is_read_instead_leaves_the_batch_and_costs_nothing() {
        let mut sorting = Sorting::new(ids(0..3), Credits(15));
        sorting.answer(Quote::Unhelpful("system_error"));
        sorting.read_instead(&ids(0..3));
        assert_eq!((sorting.had, sorting.chargeable, sorting.cost), (ids(0..3), vec![], Credits::ZERO));
    }

    #[test]
    fn what_was_paid_for_without_value_leaves_the_batch_with_its_share_of_the_cost() {
        let mut sorting = Sorting::new(ids(0..3), Credits(15));
        sorting.answer(Quote::Costs(Credits(45)));
        sorting.set_aside_paid_without_value(&ids(1..2));
        assert_eq!((&sorting.paid_without_value, &sorting.had), (&ids(1..2), &ids(1..2)));
        assert_eq!((sorting.chargeable.len(), sorting.cost), (2, Credits(30)));
        sorting.set_aside_paid_without_value(&ids(0..3));
        assert_eq!((sorting.had.len(), sorting.chargeable.len(), sorting.cost), (3, 0, Credits::ZERO));
        sorting.set_aside_paid_without_value(&ids(0..3));
        let left = sorting.without_had();
        assert!(left.paid_without_value.is_empty() && left.had.is_empty());
    }

    #[test]
    fn of_two_prices_the_mean_is_rounded_up_and_each_contact_keeps_its_own() {
        let mut sorting = Sorting::new(ids(0..2), Credits(15));
        for cost in [25, 10, 15] {
            sorting.answer(Quote::Costs(Credits(cost)));
        }
        assert_eq!(
            (sorting.cost, sorting.price_each(), sorting.lowest_price()),
            (Credits(25), Credits(13), Credits(10))
        );
        sorting.set_aside_paid_without_value(&ids(0..1));
        assert_eq!(
            (sorting.cost, sorting.lowest_price()),
            (Credits(15), Credits(15)),
            "the one at 10 has left"
        );
        sorting.read_instead(&ids(0..2));
        assert_eq!((sorting.cost, sorting.price_each()), (Credits::ZERO, Credits::ZERO));
    }

    #[test]
    fn a_batch_that_the_balance_does_not_cover_is_sorted_all_the_same() {
        let mut sorting = Sorting::new(ids(0..3), Credits(15));
        sorting.answer(Quote::TooLittle(Credits(45)));
        assert_eq!((sorting.chargeable.len(), sorting.cost), (3, Credits(45)));
        assert!(sorting.too_little && !sorting.not_found);
    }

    #[test]
    fn what_does_not_exist_is_kept_and_said() {
        let mut sorting = Sorting::new(ids(0..1), Credits(2_000));
        sorting.answer(Quote::NotFound);
        assert_eq!((sorting.chargeable.len(), sorting.cost), (1, Credits(2_000)));
        assert!(sorting.not_found && sorting.unhelpful().is_none());
    }

    #[test]
    fn contacts_that_are_being_unlocked_are_set_aside_and_told_apart() {
        let mut sorting = Sorting::new(ids(0..3), Credits(15));
        sorting.answer(Quote::BeingUnlocked);
        sorting.answer(Quote::BeingUnlocked);
        sorting.answer(Quote::BeingUnlocked);
        sorting.answer(Quote::NothingToPay);
        sorting.answer(Quote::Unhelpful("invalid_subject"));
        let left = sorting.question();
        assert_eq!((left, sorting.had.len(), sorting.chargeable.len()), (None, 2, 1));
        assert_eq!(sorting.unlocking, ids(0..1));
        assert!(sorting.without_had().unlocking.is_empty());
    }

    #[test]
    fn a_batch_that_is_being_unlocked_takes_one_call() {
        let mut sorting = Sorting::new(ids(0..100), Credits(15));
        sorting.answer(Quote::BeingUnlocked);
        assert_eq!((sorting.question(), sorting.unlocking.len(), sorting.had.len()), (None, 100, 100));
    }

    #[test]
    fn one_contact_that_is_not_found_says_nothing_about_the_others_of_its_group() {
        let (unknown, had) = (PersonnelId::trusted("37"), PersonnelId::trusted("38"));
        let (mut sorting, mut calls) = (Sorting::new(ids(0..100), Credits(15)), 0);
        while let Some(group) = sorting.question() {
            calls += 1;
            let chargeable = group.iter().filter(|id| **id != had).count();
            match group.contains(&unknown) {
                true => sorting.answer_not_found_closely(),
                false => sorting.answer(Quote::Costs(Credits(15).times(chargeable))),
            }
        }
        assert_eq!(sorting.had, [unknown, had]);
        assert_eq!((sorting.chargeable.len(), sorting.cost, sorting.not_found), (98, Credits(1_470), false));
        assert!(calls <= 25, "{calls} calls");
    }

    /// Sorts contacts that really cost `price`, while 15 is expected.
    fn sort_at(price: i64, count: u32, had: &BTreeSet<u32>) -> (Sorting, usize) {
        let had: BTreeSet<_> = had.iter().map(|number| PersonnelId::trusted(number.to_string())).collect();
        let (mut sorting, mut calls) = (Sorting::new(ids(0..count), Credits(15)), 0);
        while let Some(group) = sorting.question() {
            let chargeable = group.iter().filter(|id| !had.contains(*id)).count();
            calls += 1;
            sorting.answer(Quote::Costs(Credits(price).times(chargeable)));
        }
        (sorting, calls)
    }

    #[test]
    fn another_price_is_learned_in_few_calls() {
        for price in [10, 20] {
            let (sorting, calls) = sort_at(price, 100, &BTreeSet::new());
            assert_eq!((sorting.chargeable.len(), sorting.cost), (100, Credits(100 * price)));
            assert!(calls <= 15, "{calls} calls");
        }
    }

    #[test]
    fn a_contact_that_was_paid_for_does_not_hide_behind_another_price() {
        // 10 for two: not 5 each, but 10 for the one that is not unlocked.
        let (sorting, _) = sort_at(10, 2, &[1].into());
        assert_eq!((sorting.chargeable.len(), sorting.had.len()), (1, 1));
        let (sorting, _) = sort_at(40, 2, &[0].into());
        assert_eq!((sorting.chargeable.len(), sorting.had.len()), (1, 1));
    }

    proptest! {
        #[test]
        fn exactly_the_contacts_that_cost_nothing_are_set_aside(
            count in 0..60_u32, had in prop::collection::btree_set(0..60_u32, 0..60),
        ) {
            let (sorting, calls) = sort(count, &had);
            let expected: BTreeSet<_> = had.iter().filter(|number| **number < count).map(u32::to_string).collect();
            let found: BTreeSet<_> = sorting.had.iter().map(|id| id.as_str().to_owned()).collect();
            prop_assert_eq!(sorting.cost, Credits(15).times(count as usize - expected.len()));
            prop_assert_eq!(found, expected);
            prop_assert_eq!(sorting.had.len() + sorting.chargeable.len(), count as usize);
            prop_assert!(calls <= 2 * count.max(1) as usize);
        }
    }
}
