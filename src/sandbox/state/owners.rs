//! The owners of keys, and the world of each.
//!
//! A key that ends in `@NAME` belongs to owner NAME; all others belong to one owner, so a rotated key sees
//! what the old key bought.

use std::collections::BTreeMap;

use super::accounting::Accounting;
use super::world::World;
use crate::sandbox::options::Options;
use crate::sandbox::words::contact::Channel;

/// Enough task ids for one owner.
const TASKS_OF_AN_OWNER: u64 = 1_000_000;

pub(in crate::sandbox) struct Owners {
    options: Options,
    started_ms: i64,
    worlds: BTreeMap<String, World>,
}

/// The owner of a key; the owner of ordinary keys has no name.
pub(in crate::sandbox) fn owner_of(key: &str) -> &str {
    key.rsplit_once('@').map_or("", |(_, name)| name)
}

impl Owners {
    pub(in crate::sandbox) fn new(options: Options, started_ms: i64) -> Self {
        Self { options, started_ms, worlds: BTreeMap::new() }
    }

    pub(in crate::sandbox) fn world(&mut self, owner: &str, now_ms: i64) -> &mut World {
        let number = self.worlds.len() as u64;
        let (options, started_ms) = (&self.options, self.started_ms);
        let world = self.worlds.entry(owner.to_owned()).or_insert_with(|| {
            World::new(options, started_ms, options.first_task + number * TASKS_OF_AN_OWNER)
        });
        world.settle(now_ms);
        world
    }

    pub(in crate::sandbox) fn set_price(&mut self, channel: Channel, credits: i64) {
        match channel {
            Channel::Email => self.options.price_email = credits,
            Channel::Phone => self.options.price_phone = credits,
        }
        self.worlds.values_mut().for_each(|world| world.set_price(channel, credits));
    }

    /// The accounts of all owners together.
    pub(in crate::sandbox) fn accounting(&mut self, now_ms: i64) -> Accounting {
        let mut sum = self.world("", now_ms).accounting();
        for (_, world) in self.worlds.iter_mut().filter(|(owner, _)| !owner.is_empty()) {
            world.settle(now_ms);
            sum = sum.plus(world.accounting());
        }
        sum
    }
}
