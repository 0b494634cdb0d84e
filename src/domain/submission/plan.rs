//! The next step of an account's submissions.

use super::facts::{Facts, Ready, Turn, Waiting};
use crate::domain::action::Action;
use crate::domain::credits::{self, Admission, Credits};
use crate::domain::ids::{JobId, Millis};
use crate::domain::job::WaitReason;

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// End a job that all requests have left.
    Cancel(JobId),
    /// The balance has fallen below the one at which jobs were refused: it must grow from its new value.
    LowerRefusedAt(Credits),
    /// Free a job that no longer waits for anything.
    Release(JobId),
    ReadBalance(Cause),
    /// Put waiting items into this job, up to `most` contacts.
    Fill {
        job: JobId,
        most: u32,
    },
    /// Make a job of waiting items of this action, with at most `most` contacts: those of the request of the item
    /// `lead`, then others that may go into the same call. The free credits pay for `fits` of them.
    Form {
        action: Action,
        lead: i64,
        most: u32,
        fits: u32,
    },
    /// Serve items from stored values, or let them join running jobs: this needs no call.
    Serve(Action),
    /// Note what a job waits for.
    Park(JobId, WaitReason),
    /// Precheck the job, and send it.
    Submit(JobId),
    /// Nothing to do before this time; `None`: not before a row changes.
    Rest(Option<Millis>),
}

/// Why a balance is read. The words are those of `balance_snapshots.cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    BeforeSubmission,
    /// Something waits for credits: a person may have topped up.
    Parked,
    /// After a 409 the API's state is read before any retry.
    Conflict,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::BeforeSubmission => "before_submission",
            Cause::Parked => "parked",
            Cause::Conflict => "conflict",
        }
    }
}

/// Decides on the next step.
pub fn plan(facts: &Facts) -> Plan {
    if let Some(job) = facts.emptied {
        return Plan::Cancel(job);
    }
    if let Some(step) = of_parked(facts) {
        return step;
    }
    let step = if facts.is_held_up() { held_up(facts) } else { buy(facts) };
    match (step, facts.not_looked_up()) {
        (Plan::Rest(_), Some(action)) => Plan::Serve(action),
        (step, _) => step,
    }
}

/// The first parked job that can continue, if there is one.
fn of_parked(facts: &Facts) -> Option<Plan> {
    let balance = facts.purse.map(|purse| purse.balance);
    if let Some(balance) = balance
        && facts.parked.iter().any(|job| job.refused_at.is_some_and(|at| at > balance))
    {
        return Some(Plan::LowerRefusedAt(balance));
    }
    for job in &facts.parked {
        let is_free = match job.waits_for {
            WaitReason::InvalidApiKey => facts.has_usable_key,
            WaitReason::Conflict if job.due_at > facts.now => false,
            WaitReason::Conflict => match facts.is_read_since(job.due_at) {
                true => true,
                false if facts.may_read_balance() => return Some(Plan::ReadBalance(Cause::Conflict)),
                false => false,
            },
            WaitReason::Budget => facts.is_within_limits(job.cost + facts.claimed),
            WaitReason::InsufficientCredits => {
                let grew = |balance| job.refused_at.is_none_or(|at| balance > at);
                balance.is_some_and(grew) && facts.is_covered(job.cost + facts.claimed, Some(job.id))
            }
        };
        if is_free {
            return Some(Plan::Release(job.id));
        }
    }
    let look_at = facts.look_for_credits_at()?;
    (look_at <= facts.now).then_some(Plan::ReadBalance(Cause::Parked))
}

/// Nothing may be bought now, so no batch is formed: an existing job gets the reason.
fn held_up(facts: &Facts) -> Plan {
    match facts.ready {
        Some(job) if !facts.has_usable_key => Plan::Park(job.id, WaitReason::InvalidApiKey),
        _ => Plan::Rest(facts.rest_until()),
    }
}

/// A job that was refused for now lets others go first until it is overdue by this. Without a limit, a steady
/// stream of new requests would keep it waiting for ever.
const GIVES_WAY_MS: i64 = 10_000;

/// The job whose turn it is, or a new one. A job that was refused for now keeps its contacts, and does not
/// delay others for long.
fn buy(facts: &Facts) -> Plan {
    let ready = facts.ready.filter(|job| job.due_at <= facts.now);
    match (ready, form(facts)) {
        (Some(job), _) if job.failures == 0 || job.due_at.plus(GIVES_WAY_MS) <= facts.now => {
            submit(facts, &job)
        }
        (_, Some(step)) => step,
        (Some(job), None) => submit(facts, &job),
        (None, None) => Plan::Rest(facts.rest_until()),
    }
}

/// The next step of the job whose turn it is.
fn submit(facts: &Facts, job: &Ready) -> Plan {
    match credits::admit(job.cost, facts.purse.as_ref(), facts.now) {
        Admission::Wait(WaitReason::Budget) => Plan::Park(job.id, WaitReason::Budget),
        Admission::ReadBalance => read_before_submission(facts),
        // Another program or person may have spent from the pool since the last settlement.
        _ if !facts.has_opening => read_before_submission(facts),
        _ if job.may_grow(facts) => Plan::Fill { job: job.id, most: facts.most(job.price) },
        Admission::Wait(WaitReason::InsufficientCredits) if job.may_fit(facts) => Plan::Submit(job.id),
        Admission::Wait(reason) => Plan::Park(job.id, reason),
        Admission::Go if facts.is_refused(job.cost, None) => {
            Plan::Park(job.id, WaitReason::InsufficientCredits)
        }
        Admission::Go => Plan::Submit(job.id),
    }
}

/// A new job from the items whose turn it is, and of which at least one can be bought.
fn form(facts: &Facts) -> Option<Plan> {
    let can_be_bought = |waiting: &&Waiting| facts.lacks(waiting.price).is_none();
    let all = facts.waiting.iter().filter(can_be_bought);
    let next = all.clone().filter_map(|waiting| Some((waiting.next?, waiting))).min_by_key(|(lead, _)| *lead);
    let oldest = all.map(|waiting| (waiting.oldest, waiting)).min_by_key(|(lead, _)| *lead);
    let (lead, waiting) = match facts.turn {
        Turn::OfTheNextRequest => next.or(oldest)?,
        Turn::OfTheOldest => oldest?,
    };
    let is_fresh = credits::admit(waiting.price, facts.purse.as_ref(), facts.now) == Admission::Go;
    Some(match is_fresh && facts.has_opening {
        true => Plan::Form {
            action: waiting.action,
            lead,
            most: facts.most(waiting.price),
            fits: facts.fits(waiting.price),
        },
        false => read_before_submission(facts),
    })
}

fn read_before_submission(facts: &Facts) -> Plan {
    match facts.may_read_balance() {
        true => Plan::ReadBalance(Cause::BeforeSubmission),
        false => Plan::Rest(facts.rest_until()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parked, waits_for};
    use super::*;
    use crate::domain::credits::Purse;

    const NOW: Millis = Millis(1_000_000);

    fn purse(balance: i64) -> Purse {
        Purse {
            balance: Credits(balance),
            balance_at: NOW.plus(-10_000),
            charged_since: Credits::ZERO,
            contacts_since: (Credits::ZERO, 0),
            list_price: Credits(15),
            held: Credits::ZERO,
            min_balance: Credits::ZERO,
            daily_limit: None,
            monthly_limit: None,
            spent_today: Credits::ZERO,
            spent_this_month: Credits::ZERO,
        }
    }

    /// A free account with 1,000 credits, and nothing to do.
    fn facts() -> Facts {
        Facts {
            now: NOW,
            has_usable_key: true,
            is_paused: false,
            is_owner_busy: false,
            trouble_until: Millis(0),
            no_balance_until: Millis(0),
            tasks_are_full: false,
            next_window_at: None,
            purse: Some(purse(1_000)),
            has_opening: true,
            batch_size: 100,
            emptied: None,
            ready: None,
            claimed: Credits::ZERO,
            parked: vec![],
            waiting: vec![],
            turn: Turn::OfTheOldest,
        }
    }

    fn ready(contacts: u32) -> Option<Ready> {
        let (price, cost) = (Credits(15), Credits(15).times(contacts as usize));
        let (due_at, failures) = (Millis(0), 0);
        Some(Ready {
            id: JobId(7),
            contacts,
            price,
            cost,
            may_cost_less: false,
            quoted: None,
            due_at,
            failures,
            is_sorted: false,
            has_company: false,
        })
    }

    fn parked(id: i64, waits_for: WaitReason, cost: i64) -> Parked {
        Parked { id: JobId(id), waits_for, cost: Credits(cost), refused_at: None, due_at: Millis(0) }
    }

    fn emails() -> Waiting {
        let action = Action::UnlockContactEmails;
        Waiting { action, price: Credits(15), oldest: 9, next: None, is_looked_up: true }
    }

    fn phones() -> Waiting {
        let action = Action::UnlockContactPhones;
        Waiting { action, price: Credits(150), oldest: 3, next: None, is_looked_up: true }
    }

    fn form(action: Action, fits: u32) -> Plan {
        Plan::Form { action, lead: 9, most: 100, fits }
    }

    const EMAILS: Action = Action::UnlockContactEmails;
    const READ: Plan = Plan::ReadBalance(Cause::BeforeSubmission);

    #[test]
    fn the_first_thing_that_can_be_done_is_done() {
        let company = |job: Ready| Ready { has_company: true, ..job };
        let later = |job: Ready| Ready { due_at: NOW.plus(5_000), ..job };
        let table = [
            ("nothing", facts(), Plan::Rest(None)),
            (
                "emptied",
                Facts { emptied: Some(JobId(3)), ready: ready(1), ..facts() },
                Plan::Cancel(JobId(3)),
            ),
            ("items", Facts { waiting: vec![emails()], ..facts() }, form(EMAILS, 66)),
            ("first balance", Facts { waiting: vec![emails()], purse: None, ..facts() }, READ),
            ("no opening", Facts { waiting: vec![emails()], has_opening: false, ..facts() }, READ),
            ("ready", Facts { ready: ready(3), ..facts() }, Plan::Submit(JobId(7))),
            ("ready, old balance", Facts { ready: ready(3), now: NOW.plus(50_000), ..facts() }, READ),
            (
                "ready with room",
                Facts { ready: ready(3).map(company), ..facts() },
                Plan::Fill { job: JobId(7), most: 100 },
            ),
            (
                "ready and full",
                Facts { ready: ready(100).map(company), purse: Some(purse(1_500)), ..facts() },
                Plan::Submit(JobId(7)),
            ),
            (
                "ready, too dear",
                Facts { ready: ready(70), ..facts() },
                Plan::Park(JobId(7), WaitReason::InsufficientCredits),
            ),
            (
                "ready later",
                Facts { ready: ready(3).map(later), ..facts() },
                Plan::Rest(Some(NOW.plus(5_000))),
            ),
            (
                "ready later, and items",
                Facts { ready: ready(3).map(later), waiting: vec![emails()], ..facts() },
                form(EMAILS, 66),
            ),
        ];
        for (what, facts, expected) in table {
            assert_eq!(plan(&facts), expected, "{what}");
        }
    }

    #[test]
    fn a_refused_job_lets_others_go_first_for_a_while_only() {
        let refused = |overdue_ms: i64| Facts {
            ready: ready(3).map(|job| Ready { failures: 1, due_at: NOW.plus(-overdue_ms), ..job }),
            waiting: vec![emails()],
            ..facts()
        };
        assert_eq!(plan(&refused(GIVES_WAY_MS - 1)), form(EMAILS, 66));
        assert_eq!(plan(&refused(GIVES_WAY_MS)), Plan::Submit(JobId(7)));
        assert_eq!(
            plan(&Facts { waiting: vec![], ..refused(0) }),
            Plan::Submit(JobId(7)),
            "nobody else waits"
        );
    }

    #[test]
    fn a_parked_job_goes_on_when_what_it_waits_for_is_there() {
        use WaitReason::{Budget, Conflict, InsufficientCredits, InvalidApiKey};
        let refused =
            |id, at| Parked { refused_at: Some(Credits(at)), ..parked(id, InsufficientCredits, 60) };
        let table = [
            (
                "a key is there",
                Facts { parked: vec![parked(2, InvalidApiKey, 15)], ..facts() },
                Plan::Release(JobId(2)),
            ),
            ("a new day", Facts { parked: vec![parked(2, Budget, 15)], ..facts() }, Plan::Release(JobId(2))),
            (
                "credits",
                Facts { parked: vec![parked(2, InsufficientCredits, 1_000)], ..facts() },
                Plan::Release(JobId(2)),
            ),
            (
                "a conflict that was looked at",
                Facts { parked: vec![parked(2, Conflict, 15)], ..facts() },
                Plan::Release(JobId(2)),
            ),
            (
                "a conflict since the balance",
                Facts { parked: vec![Parked { due_at: NOW, ..parked(2, Conflict, 15) }], ..facts() },
                Plan::ReadBalance(Cause::Conflict),
            ),
            (
                "a balance that fell",
                Facts { parked: vec![refused(2, 1_001)], ..facts() },
                Plan::LowerRefusedAt(Credits(1_000)),
            ),
            (
                "a balance that grew",
                Facts { parked: vec![refused(2, 999)], ..facts() },
                Plan::Release(JobId(2)),
            ),
        ];
        for (what, facts, expected) in table {
            assert_eq!(plan(&facts), expected, "{what}");
        }
    }

    #[test]
    fn nothing_is_formed_that_cannot_be_bought_now() {
        let waiting = || vec![emails()];
        let no_key = Facts { has_usable_key: false, waiting: waiting(), ..facts() };
        let paused = Facts { is_paused: true, waiting: waiting(), ..facts() };
        let poor = Facts { purse: Some(purse(14)), waiting: waiting(), ..facts() };
        let spent = Purse { daily_limit: Some(Credits(45)), spent_today: Credits(31), ..purse(1_000) };
        let spent = Facts { purse: Some(spent), waiting: waiting(), ..facts() };
        let full = Facts { tasks_are_full: true, waiting: waiting(), ..facts() };
        let trouble = Facts { trouble_until: NOW.plus(700), waiting: waiting(), ..facts() };
        let table = [
            (no_key, None, Some(WaitReason::InvalidApiKey)),
            (paused, None, None),
            (poor, Some(NOW.plus(5_000)), Some(WaitReason::InsufficientCredits)),
            (spent, Some(Millis(86_400_000)), Some(WaitReason::Budget)),
            (full, None, None),
            (trouble, Some(NOW.plus(700)), None),
        ];
        for (facts, until, reason) in table {
            assert_eq!((plan(&facts), waits_for(&facts)), (Plan::Rest(until), reason), "{facts:?}");
            let new = vec![Waiting { is_looked_up: false, ..emails() }];
            assert_eq!(plan(&Facts { waiting: new, ..facts }), Plan::Serve(EMAILS), "what is here is served");
        }
    }

    #[test]
    fn a_ready_job_without_a_key_says_so_and_a_paused_one_waits() {
        let no_key = Facts { has_usable_key: false, ready: ready(1), ..facts() };
        assert_eq!(plan(&no_key), Plan::Park(JobId(7), WaitReason::InvalidApiKey));
        assert_eq!(plan(&Facts { is_paused: true, ready: ready(1), ..facts() }), Plan::Rest(None));
    }

    #[test]
    fn what_is_too_dear_does_not_hide_what_can_be_bought() {
        let waiting = vec![phones(), emails()];
        let poor = Facts { purse: Some(purse(60)), waiting, ..facts() };
        assert_eq!((plan(&poor), waits_for(&poor)), (form(EMAILS, 4), None));
        let parked: Vec<Parked> =
            (1..=70).map(|id| parked(id, WaitReason::InsufficientCredits, 1_500)).collect();
        let small = Parked { id: JobId(71), cost: Credits(60), ..parked[0] };
        let many = Facts { parked: [parked, vec![small]].concat(), ..facts() };
        assert_eq!(plan(&many), Plan::Release(JobId(71)));
    }

    #[test]
    fn batches_are_led_in_turn_by_the_oldest_item_and_by_the_next_request() {
        let leads = |turn, next: [Option<i64>; 2]| {
            let waiting = [phones(), emails()].into_iter().zip(next);
            let waiting = waiting.map(|(waiting, next)| Waiting { next, ..waiting }).collect();
            match plan(&Facts { turn, waiting, purse: Some(purse(1_000)), ..facts() }) {
                Plan::Form { lead, action, .. } => (lead, action),
                other => panic!("{other:?}"),
            }
        };
        let (dear, cheap) = (Action::UnlockContactPhones, EMAILS);
        assert_eq!(leads(Turn::OfTheOldest, [Some(70), Some(60)]), (3, dear));
        assert_eq!(leads(Turn::OfTheNextRequest, [Some(70), Some(60)]), (60, cheap));
        assert_eq!(leads(Turn::OfTheNextRequest, [Some(70), None]), (70, dear));
        assert_eq!(leads(Turn::OfTheNextRequest, [None, None]), (3, dear), "the circle begins anew");
        let poor = Facts { turn: Turn::OfTheNextRequest, purse: Some(purse(60)), ..facts() };
        let waiting = vec![Waiting { next: Some(50), ..phones() }, emails()];
        let formed = plan(&Facts { waiting, ..poor });
        assert_eq!(formed, Plan::Form { action: EMAILS, lead: 9, most: 100, fits: 4 }, "it can be paid");
    }

    #[test]
    fn no_more_is_released_than_the_balance_pays_for() {
        let waits = vec![parked(1, WaitReason::InsufficientCredits, 600)];
        let facts = Facts { parked: waits, ready: ready(40), claimed: Credits(600), ..facts() };
        assert_eq!(plan(&facts), Plan::Submit(JobId(7)));
    }

    #[test]
    fn a_job_above_the_balance_is_prechecked_once_and_then_waits_for_what_the_precheck_said() {
        let dear = |quoted: Option<i64>| {
            let quoted = quoted.map(Credits);
            let ready = ready(70).map(|job| Ready { may_cost_less: true, quoted, ..job });
            plan(&Facts { ready, ..facts() })
        };
        let parked = Plan::Park(JobId(7), WaitReason::InsufficientCredits);
        assert_eq!([dear(None), dear(Some(1_000))], [Plan::Submit(JobId(7)); 2]);
        assert_eq!(dear(Some(1_001)), parked);
        let broke = Facts { ready: ready(70), ..facts() };
        assert_eq!(plan(&broke), parked, "no precheck can help");
        let waits = vec![parked_for(1_000)];
        assert_eq!(plan(&Facts { parked: waits, ..facts() }), Plan::Release(JobId(2)));
        let waits = vec![parked_for(1_001)];
        assert_eq!(plan(&Facts { parked: waits, ..facts() }), Plan::Rest(Some(NOW.plus(5_000))));
    }

    fn parked_for(cost: i64) -> Parked {
        parked(2, WaitReason::InsufficientCredits, cost)
    }

    #[test]
    fn what_costs_as_much_as_the_api_has_refused_waits_with_it() {
        let refused =
            Parked { refused_at: Some(Credits(1_000)), ..parked(2, WaitReason::InsufficientCredits, 30) };
        let facts = Facts { parked: vec![refused], waiting: vec![emails()], ..facts() };
        assert_eq!(plan(&facts), form(EMAILS, 1), "one contact costs less");
        assert_eq!(
            plan(&Facts { waiting: vec![], ready: ready(2), ..facts.clone() }),
            Plan::Park(JobId(7), WaitReason::InsufficientCredits)
        );
        let dear = Facts { waiting: vec![phones()], ..facts.clone() };
        assert_eq!(waits_for(&dear), Some(WaitReason::InsufficientCredits));
        assert_eq!(waits_for(&Facts { purse: Some(purse(1_001)), ..dear }), None, "the balance grew");
    }

    #[test]
    fn what_waits_for_credits_looks_at_the_balance_every_15_seconds_unless_it_cannot_be_read() {
        let poor = Facts { purse: Some(purse(14)), waiting: vec![emails()], ..facts() };
        assert_eq!(plan(&poor), Plan::Rest(Some(NOW.plus(5_000))));
        let due = Facts { now: NOW.plus(5_000), ..poor };
        assert_eq!(plan(&due), Plan::ReadBalance(Cause::Parked));
        let unreadable = Facts { no_balance_until: NOW.plus(9_000), ..due };
        assert_eq!(plan(&unreadable), Plan::Rest(Some(NOW.plus(9_000))));
    }

    #[test]
    fn a_days_limit_makes_batches_smaller() {
        let limited = Purse { daily_limit: Some(Credits(45)), ..purse(1_000) };
        let facts = Facts { purse: Some(limited), waiting: vec![emails()], ..facts() };
        assert_eq!(plan(&facts), Plan::Form { action: EMAILS, lead: 9, most: 3, fits: 3 });
    }
}
