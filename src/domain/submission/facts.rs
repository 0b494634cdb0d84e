//! What the next step rests on, and what follows from it: what may be bought now, what is missing for the rest, and
//! when time alone changes that.

use crate::domain::credits::{self, Credits, Purse};
use crate::domain::ids::{Action, JobId, Millis};
use crate::domain::job::WaitReason;

/// While something waits for credits the balance is read this often, in milliseconds.
const LOOK_FOR_CREDITS_EVERY_MS: i64 = 15_000;

/// Everything that the next step rests on, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub now: Millis,
    pub has_usable_key: bool,
    pub is_paused: bool,
    /// Until when new work waits because the API is in trouble.
    pub trouble_until: Millis,
    /// Until when the balance is not asked for because it could not be read.
    pub no_balance_until: Millis,
    /// As many tasks run as the rate limit can poll.
    pub tasks_are_full: bool,
    /// `None`: no balance was ever read.
    pub purse: Option<Purse>,
    /// A balance was read that a settlement can start from.
    pub has_opening: bool,
    /// `submit.batch_size`
    pub batch_size: u32,
    /// A queued job that every request has left.
    pub emptied: Option<JobId>,
    /// The first queued job that waits for nothing but its turn.
    pub ready: Option<Ready>,
    /// What the queued jobs that wait for nothing may cost together.
    pub claimed: Credits,
    /// The queued jobs that wait for something, oldest first. Of jobs that agree in all of this, the oldest stands
    /// for the others.
    pub parked: Vec<Parked>,
    /// The items that are in no job: one entry for each action that has any.
    pub waiting: Vec<Waiting>,
}

/// A queued job that waits for nothing but its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub id: JobId,
    pub contacts: u32,
    /// The price of one contact, and the estimate for all of them.
    pub price: Credits,
    pub cost: Credits,
    pub due_at: Millis,
    /// Calls about it that failed in a row.
    pub failures: u32,
    /// A precheck has begun to sort its contacts: what it costs is known for these alone.
    pub is_sorted: bool,
    /// Items wait that may travel in the same call.
    pub has_company: bool,
}

/// A queued job that waits for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    pub id: JobId,
    pub waits_for: WaitReason,
    pub cost: Credits,
    /// The API refused it (402) at this balance, which must grow first.
    pub refused_at: Option<Credits>,
    /// When a conflict is looked at again.
    pub due_at: Millis,
}

/// Items of one action that are in no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub action: Action,
    pub price: Credits,
    /// The oldest item: the order in which actions take their turns.
    pub oldest: i64,
    /// Whether each was looked for among what is stored or on its way.
    pub is_looked_up: bool,
}

/// What the items that are in no job wait for, when it is a key or credits. A pause is the account's own.
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
}

impl Facts {
    /// Whether nothing may be bought at this moment, whatever it is.
    pub(super) fn is_held_up(&self) -> bool {
        !self.has_usable_key || self.is_paused || self.trouble_until > self.now || self.tasks_are_full
    }

    /// What is missing for something that costs `cost`.
    pub(super) fn lacks(&self, cost: Credits) -> Option<WaitReason> {
        match &self.purse {
            Some(_) if self.is_refused(cost, None) => Some(WaitReason::InsufficientCredits),
            Some(purse) => credits::lacks(cost, purse),
            None => None,
        }
    }

    /// Whether the API refused something that costs no more, at a balance that has not grown since. `job` is not
    /// held up by its own refusal.
    pub(super) fn is_refused(&self, cost: Credits, job: Option<JobId>) -> bool {
        let others = self.parked.iter().filter(|parked| Some(parked.id) != job);
        others.filter(|parked| self.is_refused_still(parked)).any(|parked| parked.cost <= cost)
    }

    pub(super) fn is_refused_still(&self, job: &Parked) -> bool {
        let grew = |at: Credits| self.purse.is_some_and(|purse| purse.balance > at);
        job.waits_for == WaitReason::InsufficientCredits && job.refused_at.is_some_and(|at| !grew(at))
    }

    /// Whether the credits are there, whatever the day's limit says.
    pub(super) fn is_covered(&self, cost: Credits, job: Option<JobId>) -> bool {
        !self.is_refused(cost, job) && self.purse.is_some_and(|purse| cost <= purse.available())
    }

    pub(super) fn is_within_day(&self, cost: Credits) -> bool {
        let lacks = self.purse.map(|purse| credits::lacks(cost, &purse));
        lacks.is_some_and(|reason| reason != Some(WaitReason::Budget))
    }

    /// The most contacts of one batch: a larger one than a day's limit pays for would wait for ever.
    pub(super) fn most(&self, price: Credits) -> u32 {
        let limit = self.purse.and_then(|purse| purse.daily_limit);
        limit.map_or(self.batch_size, |limit| self.batch_size.min(credits::most_in_a_day(price, limit)))
    }

    /// How many contacts at this price can be bought at once.
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

    /// When the balance is looked at next because something waits for credits.
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

    /// The earliest moment at which a step may follow from time alone.
    pub fn rest_until(&self) -> Option<Millis> {
        let conflicts = self.parked.iter().filter(|job| job.waits_for == WaitReason::Conflict);
        let conflict_at = conflicts.map(|job| job.due_at.max(self.no_balance_until)).min();
        let of_day = self.parked.iter().any(|job| job.waits_for == WaitReason::Budget)
            || waits_for(self) == Some(WaitReason::Budget);
        let next_day = of_day.then(|| self.now.start_of_day().plus(86_400_000));
        let work = self.ready.map(|job| job.due_at).into_iter().chain(self.waits_by_itself()).min();
        let work_at = work.filter(|_| self.has_usable_key && !self.is_paused && !self.tasks_are_full);
        let work_at = work_at.map(|at| at.max(self.trouble_until).max(self.read_at()));
        [conflict_at, next_day, work_at, self.look_for_credits_at()]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.now)
            .min()
    }

    /// Items that wait for nothing but their turn.
    pub(super) fn waits_by_itself(&self) -> Option<Millis> {
        let can_be_bought = |waiting: &Waiting| self.lacks(waiting.price).is_none();
        self.waiting.iter().any(can_be_bought).then_some(Millis(0))
    }

    /// From when on a submission has a balance to go by.
    pub(super) fn read_at(&self) -> Millis {
        let fresh = |purse: Purse| credits::is_fresh(&purse, self.now) && self.has_opening;
        if self.purse.is_some_and(fresh) { Millis(0) } else { self.no_balance_until }
    }

    pub(super) fn not_looked_up(&self) -> Option<Action> {
        self.waiting.iter().find(|waiting| !waiting.is_looked_up).map(|waiting| waiting.action)
    }
}
