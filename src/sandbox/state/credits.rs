//! The pool of credits, and when a charge can be seen in it.
//!
//! One pool serves every key, as the vendor's app and API share one. The subscription is spent
//! first, then the addon, then the gift. A charge takes effect at once, but with a charge lag the
//! balance shows it only later: what a reader sees and what can be spent are then two figures.

use std::collections::BTreeMap;

use crate::sandbox::words::contacts::Channel;

pub(in crate::sandbox) const EVENT_PRICE: i64 = 2_000;
pub(in crate::sandbox) const SEARCH_PRICE: i64 = 50;

/// What one contact costs.
#[derive(Clone, Copy)]
pub(in crate::sandbox) struct Prices {
    pub(in crate::sandbox) email: i64,
    pub(in crate::sandbox) phone: i64,
}

impl Prices {
    pub(in crate::sandbox) fn of(self, channel: Channel) -> i64 {
        match channel {
            Channel::Email => self.email,
            Channel::Phone => self.phone,
        }
    }
}

/// Credits by where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sandbox) struct Pools {
    pub(in crate::sandbox) subscription: i64,
    pub(in crate::sandbox) addon: i64,
    pub(in crate::sandbox) gift: i64,
}

impl Pools {
    /// Seven tenths subscription, two tenths addon, the rest gift: all three are worth showing.
    pub(in crate::sandbox) fn holding(total: i64) -> Self {
        let (subscription, addon) = (total * 7 / 10, total * 2 / 10);
        Self { subscription, addon, gift: total - subscription - addon }
    }

    pub(in crate::sandbox) fn total(self) -> i64 {
        self.subscription + self.addon + self.gift
    }

    fn plus(self, other: Self) -> Self {
        Self {
            subscription: self.subscription + other.subscription,
            addon: self.addon + other.addon,
            gift: self.gift + other.gift,
        }
    }

    /// Takes credits in the vendor's order, as far as there are any, and says from where.
    fn take(&mut self, credits: i64) -> Pools {
        let mut left = credits;
        let mut from = |pool: &mut i64| {
            let part = left.clamp(0, (*pool).max(0));
            *pool -= part;
            left -= part;
            part
        };
        Pools {
            subscription: from(&mut self.subscription),
            addon: from(&mut self.addon),
            gift: from(&mut self.gift),
        }
    }
}

struct Unseen {
    until_ms: i64,
    taken: Pools,
}

pub(in crate::sandbox) struct Credits {
    held: Pools,
    /// What was ever granted: the `…Amount` fields.
    pub(in crate::sandbox) granted: Pools,
    unseen: Vec<Unseen>,
}

impl Credits {
    pub(in crate::sandbox) fn holding(total: i64) -> Self {
        let held = Pools::holding(total);
        Self { held, granted: held, unseen: Vec::new() }
    }

    /// What can be spent.
    pub(in crate::sandbox) fn held(&self) -> Pools {
        self.held
    }

    /// What a reader of the balance is told.
    pub(in crate::sandbox) fn seen_at(&self, now_ms: i64) -> Pools {
        self.unseen
            .iter()
            .filter(|charge| charge.until_ms > now_ms)
            .fold(self.held, |pools, charge| pools.plus(charge.taken))
    }

    /// The caller has made sure that the credits are there.
    pub(in crate::sandbox) fn charge(&mut self, credits: i64, now_ms: i64, lag_ms: i64) {
        let taken = self.held.take(credits);
        self.unseen.retain(|charge| charge.until_ms > now_ms);
        if lag_ms > 0 {
            self.unseen.push(Unseen { until_ms: now_ms + lag_ms, taken });
        }
    }

    /// Somebody else spends, as far as there is anything left.
    pub(in crate::sandbox) fn spend(&mut self, credits: i64) {
        self.held.take(credits);
    }

    pub(in crate::sandbox) fn refund(&mut self, credits: i64) {
        self.held.subscription += credits;
    }

    pub(in crate::sandbox) fn top_up(&mut self, credits: i64) {
        self.held.addon += credits;
        self.granted.addon += credits;
    }
}

/// Where the credits went, as it truly is and not as a lagging reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounting {
    pub balance: i64,
    /// Contacts, events and searches; refunds are not taken off.
    pub charged_total: i64,
    pub refunded_total: i64,
    /// By contact and channel.
    pub charges: BTreeMap<(String, Channel), Charge>,
    pub tasks_created: usize,
}

impl Accounting {
    /// Nothing at all for a contact that was never charged.
    pub fn charge(&self, personnel_id: &str, channel: Channel) -> Charge {
        let value = (personnel_id.to_owned(), channel);
        self.charges.get(&value).copied().unwrap_or_default()
    }
}

/// What one contact's email or phone has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    pub times: u32,
    pub credits: i64,
    pub refunded: i64,
}
