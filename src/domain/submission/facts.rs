//! The facts for the next step, and simple conclusions from them: what may be bought now, what is missing for
//! the rest, and when that changes with time alone.

use crate::domain::action::Action;
use crate::domain::credits::{self, Credits, Purse};
use crate::domain::ids::{DAY_MS, JobId, Millis};
use crate::domain::job::WaitReason;

/// While something waits for credits the balance is read this often, in milliseconds.
const LOOK_FOR_CREDITS_EVERY_MS: i64 = 15_000;

/// All facts for the next step, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub now: Millis,
    pub has_usable_key: bool,
    pub is_paused: bool,
    /// Another account of the same owner has a paid call under way, or changes its owner.
    pub is_owner_busy: bool,
    /// New work waits until this time because the API is unhealthy.
    pub trouble_until: Millis,
    /// The balance is not read before this time, because the last read failed.
    pub no_balance_until: Millis,
    /// As many tasks run as the rate limit can poll.
    pub tasks_are_full: bool,
    /// When one task more may run, to see how long a window of the rate limit is.
    pub next_window_at: Option<Millis>,
    /// `None`: no balance was ever read.
    pub purse: Option<Purse>,
    /// A balance was read that a settlement can start from.
    pub has_opening: bool,
    /// `submit.batch_size`
    pub batch_size: u32,
    /// A queued job that all requests have left.
    pub emptied: Option<JobId>,
    /// The first queued job that waits only for its turn.
    pub ready: Option<Ready>,
    /// The possible cost of all queued jobs that wait for nothing.
    pub claimed: Credits,
    /// The parked jobs, oldest first. Jobs that agree in all of these values are represented by the oldest.
    pub parked: Vec<Parked>,
    /// The items that are in no job: one entry for each of their actions.
    pub waiting: Vec<Waiting>,
    /// Whose turn the next batch is.
    pub turn: Turn,
}

/// A queued job that waits only for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub id: JobId,
    pub contacts: u32,
    /// The price of one contact, and the estimate for all of them.
    pub price: Credits,
    pub cost: Credits,
    /// A precheck can show that it will be charged less, since some of its contacts are unlocked already.
    pub may_cost_less: bool,
    /// What it will be charged by such a precheck.
    pub quoted: Option<Credits>,
    pub due_at: Millis,
    /// Calls for it that failed in a row.
    pub failures: u32,
    /// A precheck has begun to sort its contacts: their cost is known, so no others may join.
    pub is_sorted: bool,
    /// Items wait that may go into the same call.
    pub has_company: bool,
}

/// A queued job that waits for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    pub id: JobId,
    pub waits_for: WaitReason,
    /// What a precheck said that it will be charged; otherwise the estimate.
    pub cost: Credits,
    /// The API refused it (402) at this balance, which must grow first.
    pub refused_at: Option<Credits>,
    /// When to try again after a conflict.
    pub due_at: Millis,
}

/// Which request leads the next batch. One batch is led by the oldest item, and the next one by the next request, and
/// so on alternately. So a small request does not wait for all batches of a large one, and every request gets a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    #[default]
    OfTheOldest,
    OfTheNextRequest,
}

impl Turn {
    pub fn other(self) -> Turn {
        match self {
            Turn::OfTheOldest => Turn::OfTheNextRequest,
            Turn::OfTheNextRequest => Turn::OfTheOldest,
        }
    }
}

/// Items of one action that are in no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub action: Action,
    pub price: Credits,
    /// The oldest item.
    pub oldest: i64,
    /// The oldest item of the requests that come after the one that led a batch last.
    pub next: Option<i64>,
    /// Whether each of them was compared with stored and running contacts.
    pub is_looked_up: bool,
}

/// What the items in no job wait for, if it is a key or credits. A pause is noted on the account itself.
pub fn waits_for(facts: &Facts) -> Option<WaitReason> {
    let oldest = facts.waiting.iter().min_by_key(|waiting| waiting.oldest)?;
    if !facts.has_usable_key {
        return Some(WaitReason::InvalidApiKey);
    }
    let can_be_bought = |waiting: &Waiting| facts.lacks(waiting.price).is_none();
    match facts.is_paused || facts.waiting.iter().any(can_be_bought) {
        true => None,
        false => facts.lacks(oldest.price),
    }
}

impl Ready {
    pub(super) fn may_grow(&self, facts: &Facts) -> bool {
        let has_room = self.contacts < facts.most(self.price);
        has_room && self.has_company && !self.is_sorted && self.failures == 0
    }

    /// Whether it is worth a precheck although the balance does not cover the estimate: none has said yet what the job
    /// will be charged, or the balance covers that.
    pub(super) fn may_fit(&self, facts: &Facts) -> bool {
        self.may_cost_less && self.quoted.is_none_or(|quoted| facts.is_covered(quoted, Some(self.id)))
    }
}

impl Facts {
    /// Whether nothing at all may be bought now.
    pub(super) fn is_held_up(&self) -> bool {
        let is_barred = !self.has_usable_key || self.is_paused || self.is_owner_busy;
        is_barred || self.trouble_until > self.now || self.tasks_are_full
    }

    /// What is missing to spend `cost`.
    pub(super) fn lacks(&self, cost: Credits) -> Option<WaitReason> {
        match &self.purse {
            Some(_) if self.is_refused(cost, None) => Some(WaitReason::InsufficientCredits),
            Some(purse) => credits::lacks(cost, purse),
            None => None,
        }
    }

    /// Whether the API refused the same or a lower cost, at a balance that has not grown since. A job's own
    /// refusal (`job`) does not count.
    pub(super) fn is_refused(&self, cost: Credits, job: Option<JobId>) -> bool {
        let others = self.parked.iter().filter(|parked| Some(parked.id) != job);
        others.filter(|parked| self.is_refused_still(parked)).any(|parked| parked.cost <= cost)
    }

    pub(super) fn is_refused_still(&self, job: &Parked) -> bool {
        let grew = |at: Credits| self.purse.is_some_and(|purse| purse.balance > at);
        job.waits_for == WaitReason::InsufficientCredits && job.refused_at.is_some_and(|at| !grew(at))
    }

    /// Whether the balance covers it, without regard to the limits of a day and a month.
    pub(super) fn is_covered(&self, cost: Credits, job: Option<JobId>) -> bool {
        !self.is_refused(cost, job) && self.purse.is_some_and(|purse| cost <= purse.available())
    }

    pub(super) fn is_within_limits(&self, cost: Credits) -> bool {
        let lacks = self.purse.map(|purse| credits::lacks(cost, &purse));
        lacks.is_some_and(|reason| reason != Some(WaitReason::Budget))
    }

    /// The most contacts in one batch: a batch that the limit of a whole day or month cannot pay would wait for ever.
    pub(super) fn most(&self, price: Credits) -> u32 {
        let limit = self.purse.and_then(|purse| purse.lowest_limit());
        limit.map_or(self.batch_size, |limit| self.batch_size.min(credits::most_within(price, limit)))
    }

    /// How many contacts at this price can be bought now.
    pub(super) fn fits(&self, price: Credits) -> u32 {
        let fits = |count: &u32| self.lacks(price.times(*count as usize)).is_none();
        (1..=self.most(price)).rev().find(fits).unwrap_or_default()
    }

    pub(super) fn may_read_balance(&self) -> bool {
        self.has_usable_key && self.no_balance_until <= self.now
    }

    pub(super) fn is_read_since(&self, moment: Millis) -> bool {
        self.purse.is_some_and(|purse| purse.balance_at >= moment)
    }

    /// When the balance is read next because something waits for credits.
    pub(super) fn look_for_credits_at(&self) -> Option<Millis> {
        let waits = |job: &Parked| job.waits_for == WaitReason::InsufficientCredits;
        let items_wait = waits_for(self) == Some(WaitReason::InsufficientCredits);
        if !self.has_usable_key || !(items_wait || self.parked.iter().any(waits)) {
            return None;
        }
        let again = |purse: Purse| purse.balance_at.plus(LOOK_FOR_CREDITS_EVERY_MS);
        let due = self.purse.map_or(Millis(0), again);
        Some(due.max(self.trouble_until).max(self.no_balance_until))
    }

    /// The earliest time at which the next step may follow without a change of rows.
    pub fn rest_until(&self) -> Option<Millis> {
        let conflicts = self.parked.iter().filter(|job| job.waits_for == WaitReason::Conflict);
        let conflict_at = conflicts.map(|job| job.due_at.max(self.no_balance_until)).min();
        let of_day = self.parked.iter().any(|job| job.waits_for == WaitReason::Budget)
            || waits_for(self) == Some(WaitReason::Budget);
        // A new month begins with a new day, too.
        let next_day = of_day.then(|| self.now.start_of_day().plus(DAY_MS));
        let work = self.ready.map(|job| job.due_at).into_iter().chain(self.waits_by_itself()).min();
        let work_at = work.filter(|_| {
            self.has_usable_key && !self.is_paused && !self.is_owner_busy && !self.tasks_are_full
        });
        let work_at = work_at.map(|at| at.max(self.trouble_until).max(self.read_at()));
        let next_window = self.next_window_at.filter(|_| self.tasks_are_full);
        [conflict_at, next_day, work_at, self.look_for_credits_at(), next_window]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.now)
            .min()
    }

    /// Items that wait only for their turn.
    pub(super) fn waits_by_itself(&self) -> Option<Millis> {
        let can_be_bought = |waiting: &Waiting| self.lacks(waiting.price).is_none();
        self.waiting.iter().any(can_be_bought).then_some(Millis(0))
    }

    /// The earliest time at which a submission has a new enough balance.
    pub(super) fn read_at(&self) -> Millis {
        let fresh = |purse: Purse| credits::is_fresh(&purse, self.now) && self.has_opening;
        if self.purse.is_some_and(fresh) { Millis(0) } else { self.no_balance_until }
    }

    pub(super) fn not_looked_up(&self) -> Option<Action> {
        self.waiting.iter().find(|waiting| !waiting.is_looked_up).map(|waiting| waiting.action)
    }
}
