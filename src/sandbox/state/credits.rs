//! An owner's pool of credits, when it lapses, and when a charge becomes visible in it.
//!
//! One pool serves every key of an owner, as the vendor's app and API share one. The subscription is spent
//! first, then the add-ons (the one that lapses first before the others), then the gift. At its reset the
//! subscription is granted again, and what was left of it is gone; an add-on is gone when it lapses. A charge
//! takes effect at once, but with a charge lag the balance shows it only later: then a reader sees another
//! figure than the credits that can be spent.

use super::clock::millis;
use crate::sandbox::options::Options;
use crate::sandbox::words::contact::Channel;

pub(in crate::sandbox) const EVENT_PRICE: i64 = 2_000;
pub(in crate::sandbox) const VISITORS_PRICE: i64 = 3_000;
pub(in crate::sandbox) const SEARCH_PRICE: i64 = 50;

/// The price of one contact.
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

    pub(in crate::sandbox) fn set(&mut self, channel: Channel, credits: i64) {
        match channel {
            Channel::Email => self.email = credits,
            Channel::Phone => self.phone = credits,
        }
    }
}

/// Credits by their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sandbox) struct Pools {
    pub(in crate::sandbox) subscription: i64,
    pub(in crate::sandbox) addon: i64,
    pub(in crate::sandbox) gift: i64,
}

impl Pools {
    /// 70 % subscription, 20 % add-on, the rest gift, so that all three are visible.
    fn holding(total: i64) -> Self {
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
}

/// Credits that were bought together, and lapse together.
struct Addon {
    granted: i64,
    left: i64,
    lapses_ms: i64,
}

/// A charge that readers do not see yet.
struct Unseen {
    until_ms: i64,
    taken: Pools,
}

pub(in crate::sandbox) struct Credits {
    granted: Pools,
    subscription: i64,
    /// Sorted: the one that lapses first comes first.
    addons: Vec<Addon>,
    gift: i64,
    reset_ms: i64,
    period_ms: i64,
    addon_ms: i64,
    unseen: Vec<Unseen>,
}

impl Credits {
    pub(in crate::sandbox) fn new(options: &Options, now_ms: i64) -> Self {
        let granted = Pools::holding(options.balance);
        let mut credits = Self {
            granted,
            subscription: granted.subscription,
            addons: Vec::new(),
            gift: granted.gift,
            reset_ms: now_ms + millis(options.reset_after),
            period_ms: millis(options.reset_after).max(1),
            addon_ms: millis(options.addon_lapses_after),
            unseen: Vec::new(),
        };
        credits.buy(granted.addon, now_ms);
        credits
    }

    /// Removes lapsed credits, and grants the subscription's next period.
    pub(in crate::sandbox) fn settle(&mut self, now_ms: i64) {
        if self.reset_ms <= now_ms {
            self.subscription = self.granted.subscription;
            self.reset_ms += ((now_ms - self.reset_ms) / self.period_ms + 1) * self.period_ms;
            self.unseen.iter_mut().for_each(|charge| charge.taken.subscription = 0);
        }
        let before = self.addons.len();
        self.addons.retain(|addon| addon.lapses_ms > now_ms);
        if self.addons.len() < before {
            self.unseen.iter_mut().for_each(|charge| charge.taken.addon = 0);
        }
    }

    /// The credits that can be spent.
    pub(in crate::sandbox) fn held(&self) -> Pools {
        let addon = self.addons.iter().map(|addon| addon.left).sum();
        Pools { subscription: self.subscription, addon, gift: self.gift }
    }

    /// The `…Amount` fields: credits that were granted and have not lapsed.
    pub(in crate::sandbox) fn granted(&self) -> Pools {
        let addon = self.addons.iter().map(|addon| addon.granted).sum();
        Pools { addon, ..self.granted }
    }

    /// The balance that a reader sees.
    pub(in crate::sandbox) fn seen_at(&self, now_ms: i64) -> Pools {
        self.unseen
            .iter()
            .filter(|charge| charge.until_ms > now_ms)
            .fold(self.held(), |pools, charge| pools.plus(charge.taken))
    }

    pub(in crate::sandbox) fn reset_ms(&self) -> Option<i64> {
        (self.granted.subscription > 0).then_some(self.reset_ms)
    }

    /// When the last add-on lapses; earlier ones are not reported.
    pub(in crate::sandbox) fn addon_lapses_ms(&self) -> Option<i64> {
        self.addons.iter().map(|addon| addon.lapses_ms).max()
    }

    /// The caller has checked that there are enough credits.
    pub(in crate::sandbox) fn charge(&mut self, credits: i64, now_ms: i64, lag_ms: i64) {
        let taken = self.take(credits);
        self.unseen.retain(|charge| charge.until_ms > now_ms);
        if lag_ms > 0 {
            self.unseen.push(Unseen { until_ms: now_ms + lag_ms, taken });
        }
    }

    /// Another user spends, at most what is left.
    pub(in crate::sandbox) fn spend(&mut self, credits: i64) {
        self.take(credits);
    }

    /// Takes credits in order, at most what is left, and returns their sources.
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
            addon: self.addons.iter_mut().map(|addon| from(&mut addon.left)).sum(),
            gift: from(&mut self.gift),
        }
    }

    pub(in crate::sandbox) fn refund(&mut self, credits: i64) {
        self.subscription += credits;
    }

    /// Grants credits that do not expire.
    pub(in crate::sandbox) fn give(&mut self, credits: i64) {
        self.granted.gift += credits;
        self.gift += credits;
    }

    /// Ends the subscription's period now: what was left of it is gone, and the next one is granted.
    pub(in crate::sandbox) fn renew(&mut self, now_ms: i64) {
        self.reset_ms = now_ms;
        self.settle(now_ms);
    }

    /// Buys an add-on.
    pub(in crate::sandbox) fn buy(&mut self, credits: i64, now_ms: i64) {
        if credits > 0 {
            let lapses_ms = now_ms.saturating_add(self.addon_ms);
            self.addons.push(Addon { granted: credits, left: credits, lapses_ms });
        }
    }
}
