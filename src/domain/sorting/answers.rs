//! What the answer to a precheck says about the contacts that it asked about.

use super::{Group, Manner, Quote, SMALL_GROUP, Sorting};
use crate::domain::credits::Credits;

impl Sorting {
    /// Takes the answer to [`Sorting::question`].
    pub fn answer(&mut self, quote: Quote) {
        let Some(group) = self.open.pop() else { return };
        self.failed = 0;
        let count = group.contacts.len();
        let full = self.price.times(count);
        match quote {
            Quote::NothingToPay | Quote::Costs(Credits(0)) => self.had.extend(group.contacts),
            Quote::BeingUnlocked if (2..=SMALL_GROUP).contains(&count) => self.halve(group),
            Quote::BeingUnlocked => {
                self.unlocking.extend_from_slice(&group.contacts);
                self.had.extend(group.contacts);
            }
            Quote::TooLittle(cost) => {
                self.too_little = true;
                self.open.push(group);
                self.answer(Quote::Costs(cost));
            }
            // The API lists what is missing item by item, and charges nothing for it.
            Quote::NotFound => {
                self.not_found = true;
                self.charge(group.contacts, self.price);
            }
            Quote::Refused(reason) => {
                self.refused = Some(reason);
                self.charge(group.contacts, self.price);
            }
            Quote::Costs(cost) if cost == full => self.charge(group.contacts, self.price),
            Quote::Unhelpful(reason) => {
                self.unhelpful = Some(reason);
                self.charge(group.contacts, self.price);
            }
            // Only a single contact shows its price. For a group, a lower price and an unlocked contact look
            // the same: 10 for two may be 5 each, or one at 10 and one already paid for.
            Quote::Costs(cost) if count == 1 => {
                self.price = cost;
                self.charge(group.contacts, cost);
            }
            Quote::Costs(_) if group.manner == Manner::Halve => self.halve(group),
            Quote::Costs(cost) => self.weigh(group, cost),
        }
    }

    /// A figure that is not the full price. If it is the price of fewer contacts, the others are unlocked. Otherwise
    /// the price has changed, and one contact alone shows the new one.
    fn weigh(&mut self, mut group: Group, cost: Credits) {
        let count = group.contacts.len();
        let is_of_fewer = cost < self.price.times(count) && cost.0 % self.price.0.max(1) == 0;
        if !is_of_fewer && !self.price_was_asked {
            self.price_was_asked = true;
            let rest = group.contacts.split_off(1);
            self.open.push(Group { manner: group.manner, contacts: rest });
            self.open.push(group);
        } else if group.manner == Manner::Read {
            self.had.extend(group.contacts);
        } else if is_of_fewer {
            let charged = usize::try_from(cost.0 / self.price.0.max(1)).unwrap_or(count);
            self.unlocked_elsewhere += count - charged;
            self.charge(group.contacts, self.price);
        } else {
            // Several prices: the contacts share the figure.
            for (index, id) in (0..).zip(group.contacts) {
                let price = cost.0 / count as i64 + i64::from(index < cost.0 % count as i64);
                self.charge(vec![id], Credits(price));
            }
        }
    }

    /// Handles `not_found` for contacts that may already be paid for: the answer is about the group, so the
    /// group is halved or read. A single contact that is not found leaves the batch, and its profile is read.
    pub fn answer_not_found_closely(&mut self) {
        match self.open.last().map(|group| (group.manner, group.contacts.len())) {
            Some((Manner::Trust, _)) => self.answer(Quote::NotFound),
            Some((Manner::Read, _) | (_, 1)) => self.answer(Quote::NothingToPay),
            Some((Manner::Halve, _)) => {
                self.failed = 0;
                self.open.pop().into_iter().for_each(|group| self.halve(group));
            }
            None => {}
        }
    }

    fn halve(&mut self, mut group: Group) {
        let rest = group.contacts.split_off(group.contacts.len() / 2);
        self.open.push(Group { manner: group.manner, contacts: rest });
        self.open.push(group);
    }
}
