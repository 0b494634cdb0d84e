//! The state of one owner: tasks, unlocked contacts, events, and every charge.
//!
//! Nothing here runs by itself. Every question comes with a `now`, and the state of a task or contact at that
//! moment follows from when it was accepted, so a test may move the time by hand. Charges are made at
//! acceptance. It refuses calls but contains no HTTP: that is in `routes`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::access::Access;
use super::accounting::{Accounting, Charge};
use super::clock::millis;
use super::credits::{Credits, EVENT_PRICE, Prices, SEARCH_PRICE, VISITORS_PRICE};
use super::tasks::Task;
use super::work::Work;
use crate::sandbox::options::{Billing, Options};
use crate::sandbox::words::contact::{Channel, Fate};
use crate::sandbox::words::event::{Event, TaskEnd};
use crate::sandbox::words::results::{ContactState, Opened, Refusal, Sorted};

/// How long another user's unlock takes, after it was first asked about.
const FOREIGN_UNLOCK_MS: i64 = 10_000;

/// An accepted contact: when it becomes visible, and its task.
struct Grant {
    visible_ms: i64,
    task: u64,
}

type Value = (String, Channel);

pub(in crate::sandbox) struct World {
    pub(in crate::sandbox) credits: Credits,
    pub(in crate::sandbox) access: Access,
    pub(in crate::sandbox) work: Work,
    /// Whether the owner has a paid subscription.
    pub(in crate::sandbox) subscribed: bool,
    prices: Prices,
    billing: Billing,
    refund_failed: bool,
    task_ms: i64,
    lag_ms: i64,
    pub(in crate::sandbox) terse_profiles: bool,
    first_task: u64,
    tasks: BTreeMap<u64, Task>,
    grants: HashMap<Value, Vec<Grant>>,
    marked: HashSet<Value>,
    first_asked_ms: HashMap<Value, i64>,
    charges: BTreeMap<Value, Charge>,
    charged_total: i64,
    refunded_total: i64,
}

impl World {
    /// Its tasks are numbered from `first_task` on, so no two owners share a task id.
    pub(in crate::sandbox) fn new(options: &Options, now_ms: i64, first_task: u64) -> Self {
        // Longer than any sandbox runs: such a task never ends.
        let task_ms = (options.task_seconds * 1000.0).clamp(0.0, 1e15) as i64;
        Self {
            credits: Credits::new(options, now_ms),
            access: Access::default(),
            work: Work::new(task_ms, first_task),
            subscribed: options.subscribed,
            prices: Prices { email: options.price_email, phone: options.price_phone },
            billing: options.billing,
            refund_failed: options.refund_failed,
            task_ms,
            lag_ms: millis(options.charge_lag),
            terse_profiles: options.terse_profiles,
            first_task,
            tasks: BTreeMap::new(),
            grants: HashMap::new(),
            marked: HashSet::new(),
            first_asked_ms: HashMap::new(),
            charges: BTreeMap::new(),
            charged_total: 0,
            refunded_total: 0,
        }
    }

    pub(in crate::sandbox) fn price(&self, channel: Channel) -> i64 {
        self.prices.of(channel)
    }

    pub(in crate::sandbox) fn set_price(&mut self, channel: Channel, credits: i64) {
        self.prices.set(channel, credits);
    }

    /// Notes that a call named this contact: the other user's unlock of it starts now.
    fn ask(&mut self, id: &str, channel: Channel, now_ms: i64) {
        if Fate::of(id) == Fate::BeingUnlocked {
            let value = (id.to_owned(), channel);
            self.first_asked_ms.entry(value).or_insert(now_ms);
        }
    }

    /// The state of a contact that a reader sees at this moment.
    pub(in crate::sandbox) fn contact_state(
        &mut self,
        id: &str,
        channel: Channel,
        now_ms: i64,
    ) -> ContactState {
        self.ask(id, channel, now_ms);
        let value = (id.to_owned(), channel);
        let unlocked = || ContactState::Unlocked(Some(channel.value_of(id)));
        let by_itself = match Fate::of(id) {
            _ if self.marked.contains(&value) => unlocked(),
            Fate::UnlockedBefore => unlocked(),
            Fate::BeingUnlocked if self.first_asked_ms[&value] + FOREIGN_UNLOCK_MS <= now_ms => unlocked(),
            Fate::BeingUnlocked => ContactState::Processing,
            _ => ContactState::Locked,
        };
        let grants = self.grants.get(&value).into_iter().flatten();
        grants
            .filter(|grant| grant.visible_ms <= now_ms)
            .map(|grant| self.tasks[&grant.task].contact_state(id, now_ms))
            .fold(by_itself, ContactState::max)
    }

    /// Sorts distinct contacts as the API documents it, for every kind of billing.
    pub(in crate::sandbox) fn sort(
        &mut self,
        ids: &[String],
        channel: Channel,
        event: Option<&Event>,
        now_ms: i64,
    ) -> Sorted {
        let mut sorted = Sorted::default();
        let mut seen = HashSet::new();
        for id in ids.iter().filter(|id| seen.insert(id.as_str())) {
            let group = match (Fate::of(id), self.contact_state(id, channel, now_ms)) {
                (Fate::Invalid, _) => &mut sorted.invalid,
                (Fate::Missing, _) => &mut sorted.missing,
                (Fate::Unlinked, _) if event.is_some() => &mut sorted.unlinked,
                (_, ContactState::Unlocked(_)) => &mut sorted.already_unlocked,
                (_, ContactState::Processing) => &mut sorted.unlocking,
                (_, ContactState::Locked | ContactState::Failed) => &mut sorted.chargeable,
            };
            group.push(id.clone());
        }
        sorted
    }

    /// Accepts an unlock and charges it. There is no task id if nothing was chargeable.
    pub(in crate::sandbox) fn submit(
        &mut self,
        channel: Channel,
        ids: &[String],
        event: Option<&Event>,
        now_ms: i64,
    ) -> Result<(Option<u64>, Sorted), Refusal> {
        if event.is_some_and(|event| !event.exists()) {
            return Err(Refusal::EventNotFound);
        }
        let mut sorted = self.sort(ids, channel, event, now_ms);
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
        let task = self.accept(channel, &sorted.chargeable, event, now_ms);
        Ok((Some(task), sorted))
    }

    fn accept(&mut self, channel: Channel, ids: &[String], event: Option<&Event>, now_ms: i64) -> u64 {
        let number = self.tasks.last_key_value().map_or(self.first_task, |(last, _)| last + 1);
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
        let end = TaskEnd::of(event);
        let task = Task::new(channel, ids, end, now_ms, self.task_ms);
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

    /// Removes lapsed credits and makes the refunds that are due. Called before every other question, as if
    /// each refund had been made when its task ended.
    pub(in crate::sandbox) fn settle(&mut self, now_ms: i64) {
        self.credits.settle(now_ms);
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

    pub(in crate::sandbox) fn task(&self, number: u64, channel: Channel) -> Option<&Task> {
        self.tasks.get(&number).filter(|task| task.channel == channel)
    }

    /// Every contact that a call has named, or that is unlocked, in the order of their ids.
    pub(in crate::sandbox) fn known_contacts(&self) -> Vec<String> {
        let values = self.grants.keys().chain(&self.marked).chain(self.first_asked_ms.keys());
        values.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Opens the requested layers of an event that are still closed, and charges for them together.
    /// Idempotent with both kinds of billing: the vendor documents it as safe to repeat.
    pub(in crate::sandbox) fn open(
        &mut self,
        event: &Event,
        (base, visitors): (bool, bool),
        now_ms: i64,
    ) -> Result<Opened, Refusal> {
        if !event.exists() {
            return Err(Refusal::EventNotFound);
        }
        let base = base && !self.access.base.is_open(event);
        let visitors = visitors && !self.access.visitors.is_open(event);
        if base && !event.has_people() {
            return Err(Refusal::NothingToUnlock);
        }
        let price = |layer, price| if layer { price } else { 0 };
        let credits = price(base, EVENT_PRICE) + price(visitors, VISITORS_PRICE);
        self.charge(credits, now_ms)?;
        let visible_ms = now_ms + self.lag_ms;
        if base {
            self.access.base.open(event, visible_ms);
        }
        if visitors {
            self.access.visitors.open(event, visible_ms);
        }
        Ok(Opened { base, visitors, credits })
    }

    pub(in crate::sandbox) fn charge_search(&mut self, now_ms: i64) -> Result<(), Refusal> {
        self.charge(SEARCH_PRICE, now_ms)
    }

    pub(in crate::sandbox) fn mark_unlocked(&mut self, personnel_id: &str, channel: Channel) {
        self.marked.insert((personnel_id.to_owned(), channel));
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
