//! The states of a request, and the only function that changes them.
//!
//! A request is `new` while its row is in the inbox and no worker has taken it. [`next`] decides every
//! change; the store writes what it returns and never chooses a state itself. The counts in [`Progress`] say
//! whether a request is complete. The test `the_legal_moves_are_this_table` lists all legal changes; see
//! [`super::moves`] for the diagram.

use super::moves::IllegalMove;

/// The state of a request. The words are those of `inbox.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A row of the inbox that no worker has taken.
    New,
    /// A person has to approve the cost. Nothing more is bought until then.
    AwaitingApproval,
    /// Its items may be bought, or are being bought.
    Accepted,
    /// Every item has an outcome.
    Done,
    /// The row cannot be carried out: it is invalid or too expensive. Nothing was bought.
    Rejected,
    /// Everything was cancelled before it was sent.
    Cancelled,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its row was taken, and nothing about it needs a person.
    Taken,
    /// It would cost more than is allowed without a person. This may also happen later, if the price has
    /// grown.
    ApprovalNeeded,
    /// Its row cannot be carried out, or names a task that the API does not know.
    Refused,
    /// A person approved the cost.
    Approved,
    /// A person cancelled it. Items that were sent are followed to the end.
    Cancelled,
    /// Every item has an outcome.
    Completed,
    /// Every item has an outcome, and none was sent.
    NothingSent,
    /// Contacts that had expired are waited for again.
    Resumed,
}

/// The state after `event`.
pub fn next(state: State, event: Event) -> Result<State, IllegalMove> {
    match (state, event) {
        (State::New, Event::Taken) => Ok(State::Accepted),
        (State::New, Event::Refused) => Ok(State::Rejected),
        (State::New, Event::Cancelled) => Ok(State::Cancelled),
        // It may already await approval, if contacts come back to be sent.
        (State::New | State::Accepted | State::AwaitingApproval, Event::ApprovalNeeded) => {
            Ok(State::AwaitingApproval)
        }
        (State::AwaitingApproval, Event::Approved) => Ok(State::Accepted),
        // Nothing needs the approval any more; the request ends when its sent items have ended.
        (State::AwaitingApproval | State::Accepted, Event::Cancelled) => Ok(State::Accepted),
        // The API knows no such task, so there is nothing to follow.
        (State::Accepted, Event::Refused) => Ok(State::Rejected),
        (State::Accepted, Event::Completed) => Ok(State::Done),
        (State::Accepted, Event::NothingSent) => Ok(State::Cancelled),
        (State::Done, Event::Resumed) => Ok(State::Accepted),
        (state, event) => Err(IllegalMove { subject: "a request", from: state.name(), event: event.name() }),
    }
}

impl State {
    /// Every state, in the order in which a request may reach them.
    pub const ALL: [State; 6] = [
        State::New,
        State::AwaitingApproval,
        State::Accepted,
        State::Done,
        State::Rejected,
        State::Cancelled,
    ];

    /// Every word of `inbox.status`.
    pub const NAMES: [&str; 6] = ["new", "awaiting_approval", "accepted", "done", "rejected", "cancelled"];

    /// The word of `inbox.status`.
    pub fn name(self) -> &'static str {
        State::NAMES[self as usize]
    }

    /// The state with this word, if there is one.
    pub fn parse(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == word)
    }

    /// Whether the request has ended. A request that is done may be resumed.
    pub fn is_end(self) -> bool {
        matches!(self, State::Done | State::Rejected | State::Cancelled)
    }
}

impl Event {
    /// The event's name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Event::Taken => "taken",
            Event::ApprovalNeeded => "approval_needed",
            Event::Refused => "refused",
            Event::Approved => "approved",
            Event::Cancelled => "cancelled",
            Event::Completed => "completed",
            Event::NothingSent => "nothing_sent",
            Event::Resumed => "resumed",
        }
    }
}

/// What keeps an accepted request open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Items without an outcome.
    pub has_open_items: bool,
    /// It follows a task that has not ended, which may name contacts that are not known yet.
    pub awaits_its_task: bool,
}

impl Progress {
    pub fn is_complete(self) -> bool {
        !self.has_open_items && !self.awaits_its_task
    }
}

/// The number of items of a complete request, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub all: i64,
    pub cancelled: i64,
    pub rejected: i64,
    /// Elements that were no ids, so nothing could be bought.
    pub invalid: i64,
    /// It adopted a task that the API does not know.
    pub has_lost_task: bool,
}

impl Outcomes {
    /// How a complete request ends.
    pub fn end(self) -> Event {
        match self.all > 0 && self.cancelled + self.invalid == self.all {
            true => Event::NothingSent,
            false if self.all == 0 && self.has_lost_task => Event::Refused,
            false => Event::Completed,
        }
    }

    /// Whether all its items were rejected: then it gives a reason.
    pub fn is_all_rejected(self) -> bool {
        self.rejected > 0 && self.rejected + self.invalid == self.all
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::moves::{self, Move};
    use super::*;

    const EVENTS: [Event; 8] = [
        Event::Taken,
        Event::ApprovalNeeded,
        Event::Refused,
        Event::Approved,
        Event::Cancelled,
        Event::Completed,
        Event::NothingSent,
        Event::Resumed,
    ];

    /// Every legal move.
    pub(in super::super) fn moves() -> Vec<Move> {
        let pairs = State::ALL.into_iter().flat_map(|state| EVENTS.map(|event| (state, event)));
        let legal = |(state, event): (State, Event)| {
            let to = next(state, event).ok()?.name().to_owned();
            Some(Move { from: state.name().to_owned(), event: event.name(), to })
        };
        pairs.filter_map(legal).collect()
    }

    #[test]
    fn the_legal_moves_are_this_table() {
        let table = moves::table(&moves());
        println!("{table}");
        let expected = "\
new + taken -> accepted
new + approval_needed -> awaiting_approval
new + refused -> rejected
new + cancelled -> cancelled
awaiting_approval + approval_needed -> awaiting_approval
awaiting_approval + approved -> accepted
awaiting_approval + cancelled -> accepted
accepted + approval_needed -> awaiting_approval
accepted + refused -> rejected
accepted + cancelled -> accepted
accepted + completed -> done
accepted + nothing_sent -> cancelled
done + resumed -> accepted
";
        assert_eq!(table, expected);
    }

    #[test]
    fn an_illegal_move_is_an_error_that_names_both_sides() {
        let error = next(State::Rejected, Event::Approved).expect_err("illegal").to_string();
        assert_eq!(error, "illegal move: a request in state rejected cannot take the event approved");
    }

    #[test]
    fn every_state_has_a_word_of_its_own_that_is_read_back() {
        assert_eq!(State::ALL.map(State::name), State::NAMES);
        assert_eq!(State::NAMES.map(State::parse), State::ALL.map(Some));
        assert_eq!(State::parse("paid"), None);
    }

    #[test]
    fn what_is_done_rejected_or_cancelled_has_ended() {
        let ended: Vec<_> = State::ALL.into_iter().filter(|state| state.is_end()).map(State::name).collect();
        assert_eq!(ended, ["done", "rejected", "cancelled"]);
    }

    #[test]
    fn a_request_is_complete_when_it_waits_for_no_item_and_no_task() {
        let cases = [(false, false, true), (true, false, false), (false, true, false), (true, true, false)];
        for (has_open_items, awaits_its_task, complete) in cases {
            assert_eq!(Progress { has_open_items, awaits_its_task }.is_complete(), complete);
        }
    }

    #[test]
    fn how_a_complete_request_ends_follows_from_its_outcomes() {
        let outcomes = |all, cancelled, rejected, invalid| Outcomes {
            all,
            cancelled,
            rejected,
            invalid,
            has_lost_task: false,
        };
        for (outcomes, end, is_all_rejected) in [
            (outcomes(0, 0, 0, 0), Event::Completed, false),
            (outcomes(3, 3, 0, 0), Event::NothingSent, false),
            (outcomes(3, 2, 0, 1), Event::NothingSent, false),
            (outcomes(3, 2, 0, 0), Event::Completed, false),
            (outcomes(3, 2, 1, 0), Event::Completed, false),
            (outcomes(3, 0, 3, 0), Event::Completed, true),
            (outcomes(3, 0, 2, 1), Event::Completed, true),
            (outcomes(3, 0, 2, 0), Event::Completed, false),
            (outcomes(2, 0, 0, 2), Event::NothingSent, false),
        ] {
            assert_eq!((outcomes.end(), outcomes.is_all_rejected()), (end, is_all_rejected), "{outcomes:?}");
        }
        let of_lost_task = |all| Outcomes { has_lost_task: true, ..outcomes(all, 0, 0, 0) };
        assert_eq!((of_lost_task(0).end(), of_lost_task(1).end()), (Event::Refused, Event::Completed));
    }
}
