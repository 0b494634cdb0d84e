//! The real use of credits, not what a lagging reader sees.

use std::collections::BTreeMap;

use crate::sandbox::words::contact::Channel;

/// The accounts of one owner, or of all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounting {
    pub balance: i64,
    /// Contacts, events and searches; refunds are not subtracted.
    pub charged_total: i64,
    pub refunded_total: i64,
    /// By contact and channel.
    pub charges: BTreeMap<(String, Channel), Charge>,
    pub tasks_created: usize,
}

impl Accounting {
    /// An empty charge for a contact that was never charged.
    pub fn charge(&self, personnel_id: &str, channel: Channel) -> Charge {
        let value = (personnel_id.to_owned(), channel);
        self.charges.get(&value).copied().unwrap_or_default()
    }

    pub(in crate::sandbox) fn plus(mut self, other: Self) -> Self {
        self.balance += other.balance;
        self.charged_total += other.charged_total;
        self.refunded_total += other.refunded_total;
        self.tasks_created += other.tasks_created;
        for (value, charge) in other.charges {
            let sum = self.charges.entry(value).or_default();
            sum.times += charge.times;
            sum.credits += charge.credits;
            sum.refunded += charge.refunded;
        }
        self
    }
}

/// The cost of one contact's email or phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    pub times: u32,
    pub credits: i64,
    pub refunded: i64,
}
