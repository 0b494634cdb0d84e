//! What the sandbox knows: tasks, who was unlocked when, events, and every charge.
//!
//! Nothing here runs by itself. Every question is put with a `now`, and what a task or contact is
//! at that moment follows from when it was accepted, so time may move by hand. Charges are made at
//! acceptance. It refuses, but never speaks HTTP: `answers.rs` does.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::clock::millis;
use super::credits::{Accounting, Charge, Credits, EVENT_PRICE, Prices, SEARCH_PRICE};
use super::tasks::Task;
use crate::sandbox::options::{Billing, Options};
use crate::sandbox::words::contacts::{Channel, Fate, TaskEnd, event_exists};
use crate::sandbox::words::standing::{Refusal, Sorted, Standing, Unlocked};

/// How long somebody else's unlock takes, after it was first asked about.
const FOREIGN_UNLOCK_MS: i64 = 10_000;

/// An accepted contact: from when that can be seen, and the task that it is in.
struct Grant {
    visible_ms: i64,
    task: u64,
}

type Value = (String, Channel);

pub(in crate::sandbox) struct World {
    pub(in crate::sandbox) credits: Credits,
    pub(in crate::sandbox) started_ms: i64,
    prices: Prices,
    billing: Billing,
    refund_failed: bool,
    task_ms: i64,
    lag_ms: i64,
    pub(in crate::sandbox) terse_profiles: bool,
    tasks: BTreeMap<u64, Task>,
    grants: HashMap<Value, Vec<Grant>>,
    marked: HashSet<Value>,
    first_asked_ms: HashMap<Value, i64>,
    /// By event: from when the access can be seen.
    events: HashMap<String, i64>,
    charges: BTreeMap<Value, Charge>,
    charged_total: i64,
    refunded_total: i64,
}

impl World {
    pub(in crate::sandbox) fn new(options: &Options, started_ms: i64) -> Self {
        Self {
            credits: Credits::holding(options.balance),
            started_ms,
            prices: Prices { email: options.price_email, phone: options.price_phone },
            billing: options.billing,
            refund_failed: options.refund_failed,
            // Beyond any lifetime of a sandbox a task may as well never end.
            task_ms: (options.task_seconds * 1000.0).clamp(0.0, 1e15) as i64,
            lag_ms: millis(options.charge_lag),
            terse_profiles: options.terse_profiles,
            tasks: BTreeMap::new(),
            grants: HashMap::new(),
            marked: HashSet::new(),
            first_asked_ms: HashMap::new(),
            events: HashMap::new(),
            charges: BTreeMap::new(),
            charged_total: 0,
            refunded_total: 0,
        }
    }

    pub(in crate::sandbox) fn price(&self, channel: Channel) -> i64 {
        self.prices.of(channel)
    }

    pub(in crate::sandbox) fn set_price(&mut self, channel: Channel, credits: i64) {
        match channel {
            Channel::Email => self.prices.email = credits,
            Channel::Phone => self.prices.phone = credits,
        }
    }

    /// Notes that a call named this contact: from here somebody else's unlock of it is under way.
    fn ask(&mut self, id: &str, channel: Channel, now_ms: i64) {
        if Fate::of(id) == Fate::BeingUnlocked {
            let value = (id.to_owned(), channel);
            self.first_asked_ms.entry(value).or_insert(now_ms);
        }
    }

    /// What a reader is told about a contact at this moment.
    pub(in crate::sandbox) fn standing(&mut self, id: &str, channel: Channel, now_ms: i64) -> Standing {
        self.ask(id, channel, now_ms);
        let value = (id.to_owned(), channel);
        let unlocked = || Standing::Unlocked(Some(channel.value_of(id)));
        let by_itself = match Fate::of(id) {
            _ if self.marked.contains(&value) => unlocked(),
            Fate::UnlockedBefore => unlocked(),
            Fate::BeingUnlocked if self.first_asked_ms[&value] + FOREIGN_UNLOCK_MS <= now_ms => unlocked(),
            Fate::BeingUnlocked => Standing::Processing,
            _ => Standing::Locked,
        };
        let grants = self.grants.get(&value).into_iter().flatten();
        grants
            .filter(|grant| grant.visible_ms <= now_ms)
            .map(|grant| self.tasks[&grant.task].standing(id, now_ms))
            .fold(by_itself, Standing::max)
    }

    /// Sorts distinct contacts as the API documents it, whatever the billing is.
    pub(in crate::sandbox) fn sort(
        &mut self,
        ids: &[String],
        channel: Channel,
        event_id: Option<&str>,
        now_ms: i64,
    ) -> Sorted {
        let mut sorted = Sorted::default();
        let mut seen = HashSet::new();
        for id in ids.iter().filter(|id| seen.insert(id.as_str())) {
            let group = match (Fate::of(id), self.standing(id, channel, now_ms)) {
                (Fate::Invalid, _) => &mut sorted.invalid,
                (Fate::Missing, _) => &mut sorted.missing,
                (Fate::Unlinked, _) if event_id.is_some() => &mut sorted.unlinked,
                (_, Standing::Unlocked(_)) => &mut sorted.already_unlocked,
                (_, Standing::Processing) => &mut sorted.unlocking,
                (_, Standing::Locked | Standing::Failed) => &mut sorted.chargeable,
            };
            group.push(id.clone());
        }
        sorted
    }

    /// Accepts an unlock and charges it. The task's id is absent when nothing was chargeable.
    pub(in crate::sandbox) fn submit(
        &mut self,
        key: &str,
        channel: Channel,
        ids: &[String],
        event_id: Option<&str>,
        now_ms: i64,
    ) -> Result<(Option<u64>, Sorted), Refusal> {
        if event_id.is_some_and(|id| !event_exists(id)) {
            return Err(Refusal::EventNotFound);
        }
        let mut sorted = self.sort(ids, channel, event_id, now_ms);
        if self.billing == Billing::Repeats {
            let Sorted { chargeable, already_unlocked, unlocking, .. } = &mut sorted;
            chargeable.append(already_unlocked);
            chargeable.append(unlocking);
        }
        if sorted.chargeable.is_empty() {
            return Ok((None, sorted));
        }
        let price = self.price(channel);
        let cost = price * i64::try_from(sorted.chargeable.len()).unwrap_or(i64::MAX / price.max(1));
        self.charge(cost, now_ms)?;
        let task = self.accept(key, channel, &sorted.chargeable, event_id, now_ms);
        Ok((Some(task), sorted))
    }

    fn accept(
        &mut self,
        key: &str,
        channel: Channel,
        ids: &[String],
        event_id: Option<&str>,
        now_ms: i64,
    ) -> u64 {
        let number = self.tasks.last_key_value().map_or(321, |(last, _)| last + 1);
        let credits = self.price(channel);
        for id in ids {
            let value = (id.clone(), channel);
            let charge = self.charges.entry(value.clone()).or_default();
            charge.times += 1;
            charge.credits += credits;
            self.grants
                .entry(value)
                .or_default()
                .push(Grant { visible_ms: now_ms + self.lag_ms, task: number });
        }
        let end = TaskEnd::of(event_id);
        let task = Task::new(key, channel, ids, end, now_ms, self.task_ms);
        self.tasks.insert(number, task);
        number
    }

    fn charge(&mut self, credits: i64, now_ms: i64) -> Result<(), Refusal> {
        if self.credits.held().total() < credits {
            return Err(Refusal::InsufficientCredits);
        }
        self.credits.charge(credits, now_ms, self.lag_ms);
        self.charged_total += credits;
        Ok(())
    }

    /// Makes the refunds that are due. Called before every other question, so that it is as though
    /// each had been made when its task ended.
    pub(in crate::sandbox) fn settle(&mut self, now_ms: i64) {
        if !self.refund_failed {
            return;
        }
        for task in self.tasks.values_mut() {
            let failed = task.take_refundable(now_ms);
            let price = self.prices.of(task.channel);
            for id in failed {
                self.credits.refund(price);
                self.refunded_total += price;
                let charge = self.charges.entry((id, task.channel)).or_default();
                charge.refunded += price;
            }
        }
    }

    pub(in crate::sandbox) fn task(&self, number: u64, channel: Channel, key: &str) -> Option<&Task> {
        let task = self.tasks.get(&number)?;
        (task.channel == channel && task.key == key).then_some(task)
    }

    pub(in crate::sandbox) fn event_unlocked(&self, event_id: &str, now_ms: i64) -> bool {
        let visible_ms = self.events.get(event_id);
        visible_ms.is_some_and(|visible_ms| *visible_ms <= now_ms)
    }

    /// Idempotent under either billing: the vendor documents it as safe to repeat.
    pub(in crate::sandbox) fn unlock_event(&mut self, id: &str, now_ms: i64) -> Result<Unlocked, Refusal> {
        if !event_exists(id) {
            return Err(Refusal::EventNotFound);
        }
        if self.events.contains_key(id) {
            return Ok(Unlocked::Before);
        }
        self.charge(EVENT_PRICE, now_ms)?;
        self.events.insert(id.to_owned(), now_ms + self.lag_ms);
        Ok(Unlocked::Now)
    }

    pub(in crate::sandbox) fn charge_search(&mut self, now_ms: i64) -> Result<(), Refusal> {
        self.charge(SEARCH_PRICE, now_ms)
    }

    pub(in crate::sandbox) fn mark_event_unlocked(&mut self, id: &str, now_ms: i64) {
        self.events.insert(id.to_owned(), now_ms);
    }

    pub(in crate::sandbox) fn mark_unlocked(&mut self, personnel_id: &str, channel: Channel) {
        self.marked.insert((personnel_id.to_owned(), channel));
    }

    /// A key was rotated: its owner sees the same tasks through the new one.
    pub(in crate::sandbox) fn hand_tasks_to(&mut self, key: &str) {
        for task in self.tasks.values_mut() {
            key.clone_into(&mut task.key);
        }
    }

    pub(in crate::sandbox) fn accounting(&self) -> Accounting {
        Accounting {
            balance: self.credits.held().total(),
            charged_total: self.charged_total,
            refunded_total: self.refunded_total,
            charges: self.charges.clone(),
            tasks_created: self.tasks.len(),
        }
    }
}
