//! The states of an item, and the only function that changes them.
//!
//! An item is one contact of a request, or one paid call of an action without contacts. [`next`] decides
//! every change; the store writes what it returns and never chooses a state or an outcome itself. The test
//! `the_legal_moves_are_this_table` lists all legal changes; see [`super::moves`] for the diagram.
//!
//! Example: a precheck says that contact 789 is being unlocked, but not by us. It leaves its batch
//! (`reading`, reason `unlocking`). Its profile stays locked for long enough, so it waits for a batch again
//! (`waiting`, still `unlocking`), and that batch is prechecked again. This time the precheck names a price,
//! so the contact is bought.

use std::fmt;

use super::ids::{JobId, Millis};
use super::moves::IllegalMove;
use super::outcome::{Kind, Set};

/// The state of an item. The words are those of `items.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its request awaits approval.
    Unapproved { seen: Option<Seen> },
    /// Waits for a batch.
    Waiting { seen: Option<Seen> },
    /// In a job: to be sent, or in the task.
    Assigned { job_id: JobId, seen: Option<Seen> },
    /// Its value is, or may be, in its profile, and no task of ours delivers it. The profile is read at
    /// `read_at`; `reads` counts the reads without a result.
    Reading { job_id: JobId, why: Why, since: Millis, reads: u32, read_at: Millis },
    /// It has an outcome. The job is its last one.
    Done { job_id: Option<JobId>, outcome: Kind },
}

/// What was seen before the item is sent. The words are those of `items.state_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Its profile was read as locked at this time: for some minutes it needs no precheck.
    Locked(Millis),
    /// Prechecks have reported it as being unlocked since this time. The next batch prechecks it again.
    Unlocking(Millis),
}

/// Why a profile is read. The words are those of `items.state_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A precheck would charge nothing for it, or does not know it.
    AlreadyUnlocked,
    /// A precheck said that it is being unlocked.
    Unlocking,
    /// It was paid for before and brought no value: the value may come late, and it is not paid for again unread.
    PaidBefore,
    /// A submission skipped it, since it is unlocked or being unlocked.
    Skipped,
    /// The submission took effect, and its answer was lost.
    LostAnswer,
    /// An event was unlocked; its list of people shows whether the access is complete.
    EventUnlocked,
}

impl Why {
    pub const ALL: [Why; 6] = [
        Why::AlreadyUnlocked,
        Why::Unlocking,
        Why::PaidBefore,
        Why::Skipped,
        Why::LostAnswer,
        Why::EventUnlocked,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Why::AlreadyUnlocked => "already_unlocked",
            Why::Unlocking => "unlocking",
            Why::PaidBefore => "paid_before",
            Why::Skipped => "skipped",
            Why::LostAnswer => "lost_answer",
            Why::EventUnlocked => "event_unlocked",
        }
    }

    /// Whether it left its batch before the batch was sent. If its profile is locked, the item is sent after
    /// all.
    pub fn is_set_aside(self) -> bool {
        matches!(self, Why::AlreadyUnlocked | Why::Unlocking | Why::PaidBefore)
    }

    /// Whether a charge of its job is for other contacts: it was not sent with them, or the API skipped it.
    pub fn is_not_charged(self) -> bool {
        self.is_set_aside() || self == Why::Skipped
    }
}

impl Seen {
    pub fn as_str(self) -> &'static str {
        match self {
            Seen::Locked(_) => "seen_locked",
            Seen::Unlocking(_) => Why::Unlocking.as_str(),
        }
    }

    fn at(self) -> Millis {
        match self {
            Seen::Locked(at) | Seen::Unlocking(at) => at,
        }
    }
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A person approved the cost of its request.
    Approved,
    /// Its request awaits approval again. Items that were sent stay in their job.
    ApprovalNeeded,
    /// It was put into a job.
    Batched { job_id: JobId },
    /// The call of its job was refused and divided: it goes out with another one.
    Divided { job_id: JobId },
    /// Another request is already buying the same contact: this item copies that item's state.
    Joined { in_flight: State },
    /// This database already has its value.
    Served,
    /// It is not bought; its profile is read from `at` on.
    ToRead { why: Why, at: Millis },
    /// Its profile gave no answer yet, or was not read.
    NotYet { read_at: Millis, was_read: bool },
    /// Its profile still shows it as locked, so it is not unlocked yet: it is sent to be bought.
    StayedLocked { at: Millis },
    /// The outcome of its contact is valid for another event only: it needs a batch of its own.
    OtherEvent,
    /// A call of another key of the same owner has named it since it was put into a job: it waits again, and what was
    /// seen before that call says nothing more.
    BoughtByAnother,
    /// It has an outcome.
    Settled { outcome: Kind },
    /// Its request was cancelled before it was sent.
    Cancelled,
    /// It would cost more than `max_credits` of its request.
    TooExpensive,
    /// The task of its expired job is polled again, and the item was open when the job expired.
    Resumed,
}

/// The state after `event`.
pub fn next(state: State, event: Event) -> Result<State, IllegalMove> {
    use State::{Assigned, Done, Reading, Unapproved, Waiting};
    match (state, event) {
        (Unapproved { seen }, Event::Approved) => Ok(Waiting { seen }),
        (Waiting { seen } | Assigned { seen, .. }, Event::ApprovalNeeded) => Ok(Unapproved { seen }),
        (Waiting { seen }, Event::Batched { job_id }) => Ok(Assigned { job_id, seen }),
        (Assigned { seen, .. }, Event::Divided { job_id }) => Ok(Assigned { job_id, seen }),
        (Waiting { .. }, Event::Joined { in_flight: there @ (Assigned { .. } | Reading { .. }) }) => {
            Ok(there)
        }
        (Waiting { .. }, Event::Served) => Ok(Done { job_id: None, outcome: Kind::Delivered }),

        (Assigned { job_id, seen }, Event::ToRead { why, at }) => {
            let since = match (why, seen) {
                (Why::Unlocking, Some(Seen::Unlocking(first))) => first,
                _ => at,
            };
            Ok(Reading { job_id, why, since, reads: 0, read_at: at })
        }
        (Reading { job_id, why, since, reads, .. }, Event::NotYet { read_at, was_read }) => {
            let reads = if was_read { reads.saturating_add(1) } else { reads };
            Ok(Reading { job_id, why, since, reads, read_at })
        }
        (Reading { why: Why::Unlocking, since, .. }, Event::StayedLocked { .. }) => {
            Ok(Waiting { seen: Some(Seen::Unlocking(since)) })
        }
        (Reading { why, .. }, Event::StayedLocked { at }) if why.is_set_aside() => {
            Ok(Waiting { seen: Some(Seen::Locked(at)) })
        }

        (Assigned { seen, .. }, Event::OtherEvent) => Ok(Waiting { seen }),
        (Reading { .. }, Event::OtherEvent) => Ok(Waiting { seen: None }),
        (Assigned { .. }, Event::BoughtByAnother) => Ok(Waiting { seen: None }),
        (Assigned { job_id, .. } | Reading { job_id, .. }, Event::Settled { outcome }) => {
            Ok(Done { job_id: Some(job_id), outcome })
        }
        (Unapproved { .. } | Waiting { .. } | Assigned { .. }, Event::Cancelled) => {
            Ok(Done { job_id: state.job_id(), outcome: Kind::Cancelled })
        }
        (Unapproved { .. } | Waiting { .. } | Assigned { .. }, Event::TooExpensive) => {
            Ok(Done { job_id: state.job_id(), outcome: Kind::Rejected })
        }
        (Done { job_id: Some(job_id), outcome }, Event::Resumed) if outcome.is_in(Set::Resumable) => {
            Ok(Assigned { job_id, seen: None })
        }
        (state, event) => Err(IllegalMove { subject: "an item", from: state.name(), event: event.name() }),
    }
}

impl State {
    /// Every word of `items.state`, in the order in which an item may reach them.
    pub const NAMES: [&str; 5] = ["unapproved", "waiting", "assigned", "reading", "done"];

    /// The word of `items.state`.
    pub fn name(self) -> &'static str {
        match self {
            State::Unapproved { .. } => "unapproved",
            State::Waiting { .. } => "waiting",
            State::Assigned { .. } => "assigned",
            State::Reading { .. } => "reading",
            State::Done { .. } => "done",
        }
    }

    /// The word of `items.state_reason`, and since when it is true.
    pub fn reason(self) -> Option<(&'static str, Millis)> {
        match self {
            State::Unapproved { seen } | State::Waiting { seen } | State::Assigned { seen, .. } => {
                seen.map(|seen| (seen.as_str(), seen.at()))
            }
            State::Reading { why, since, .. } => Some((why.as_str(), since)),
            State::Done { .. } => None,
        }
    }

    pub fn job_id(self) -> Option<JobId> {
        match self {
            State::Unapproved { .. } | State::Waiting { .. } => None,
            State::Assigned { job_id, .. } | State::Reading { job_id, .. } => Some(job_id),
            State::Done { job_id, .. } => job_id,
        }
    }

    /// Its outcome, if it has one.
    pub fn outcome(self) -> Option<Kind> {
        match self {
            State::Done { outcome, .. } => Some(outcome),
            _ => None,
        }
    }
}

impl Event {
    /// The event's name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Event::Approved => "approved",
            Event::ApprovalNeeded => "approval_needed",
            Event::Batched { .. } => "batched",
            Event::Divided { .. } => "divided",
            Event::Joined { .. } => "joined",
            Event::Served => "served",
            Event::ToRead { .. } => "to_read",
            Event::NotYet { .. } => "not_yet",
            Event::StayedLocked { .. } => "stayed_locked",
            Event::OtherEvent => "other_event",
            Event::BoughtByAnother => "bought_by_another",
            Event::Settled { .. } => "settled",
            Event::Cancelled => "cancelled",
            Event::TooExpensive => "too_expensive",
            Event::Resumed => "resumed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match (self.reason(), self.outcome()) {
            (Some((reason, _)), _) => write!(f, " ({reason})"),
            (None, Some(outcome)) => write!(f, " ({})", outcome.as_str()),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::moves::{self, Move};
    use super::*;

    const JOB: JobId = JobId(7);

    fn reading(why: Why) -> State {
        State::Reading { job_id: JOB, why, since: Millis(100), reads: 2, read_at: Millis(200) }
    }

    fn states() -> Vec<State> {
        let seen = [None, Some(Seen::Locked(Millis(50))), Some(Seen::Unlocking(Millis(50)))];
        let mut states = vec![State::Unapproved { seen: None }];
        states.extend(seen.map(|seen| State::Waiting { seen }));
        states.extend(seen.map(|seen| State::Assigned { job_id: JOB, seen }));
        states.extend(Why::ALL.map(reading));
        let outcomes = [Kind::Expired, Kind::Unresolved, Kind::Delivered];
        states.extend(outcomes.map(|outcome| State::Done { job_id: Some(JOB), outcome }));
        states
    }

    fn events() -> Vec<Event> {
        let mut events = vec![
            Event::Approved,
            Event::ApprovalNeeded,
            Event::Batched { job_id: JobId(9) },
            Event::Divided { job_id: JobId(9) },
            Event::Joined { in_flight: State::Assigned { job_id: JOB, seen: None } },
        ];
        events.extend(Why::ALL.map(|why| Event::Joined { in_flight: reading(why) }));
        events.push(Event::Served);
        events.extend(Why::ALL.map(|why| Event::ToRead { why, at: Millis(300) }));
        events.extend([
            Event::NotYet { read_at: Millis(400), was_read: true },
            Event::StayedLocked { at: Millis(500) },
            Event::OtherEvent,
            Event::BoughtByAnother,
            Event::Settled { outcome: Kind::NoValue },
            Event::Cancelled,
            Event::TooExpensive,
            Event::Resumed,
        ]);
        events
    }

    /// Every legal move.
    pub(in super::super) fn moves() -> Vec<Move> {
        let mut moves = Vec::new();
        for state in states() {
            for event in events() {
                if let Ok(after) = next(state, event) {
                    let (from, to) = (state.to_string(), after.to_string());
                    moves.push(Move { from, event: event.name(), to });
                }
            }
        }
        moves
    }

    const TABLE: &str = "\
unapproved + approved -> waiting
unapproved + cancelled -> done (cancelled)
unapproved + too_expensive -> done (rejected)
waiting + approval_needed -> unapproved
waiting + batched -> assigned
waiting + joined -> assigned
waiting + joined -> reading (already_unlocked)
waiting + joined -> reading (unlocking)
waiting + joined -> reading (paid_before)
waiting + joined -> reading (skipped)
waiting + joined -> reading (lost_answer)
waiting + joined -> reading (event_unlocked)
waiting + served -> done (delivered)
waiting + cancelled -> done (cancelled)
waiting + too_expensive -> done (rejected)
waiting (seen_locked) + approval_needed -> unapproved (seen_locked)
waiting (seen_locked) + batched -> assigned (seen_locked)
waiting (seen_locked) + joined -> assigned
waiting (seen_locked) + joined -> reading (already_unlocked)
waiting (seen_locked) + joined -> reading (unlocking)
waiting (seen_locked) + joined -> reading (paid_before)
waiting (seen_locked) + joined -> reading (skipped)
waiting (seen_locked) + joined -> reading (lost_answer)
waiting (seen_locked) + joined -> reading (event_unlocked)
waiting (seen_locked) + served -> done (delivered)
waiting (seen_locked) + cancelled -> done (cancelled)
waiting (seen_locked) + too_expensive -> done (rejected)
waiting (unlocking) + approval_needed -> unapproved (unlocking)
waiting (unlocking) + batched -> assigned (unlocking)
waiting (unlocking) + joined -> assigned
waiting (unlocking) + joined -> reading (already_unlocked)
waiting (unlocking) + joined -> reading (unlocking)
waiting (unlocking) + joined -> reading (paid_before)
waiting (unlocking) + joined -> reading (skipped)
waiting (unlocking) + joined -> reading (lost_answer)
waiting (unlocking) + joined -> reading (event_unlocked)
waiting (unlocking) + served -> done (delivered)
waiting (unlocking) + cancelled -> done (cancelled)
waiting (unlocking) + too_expensive -> done (rejected)
assigned + approval_needed -> unapproved
assigned + divided -> assigned
assigned + to_read -> reading (already_unlocked)
assigned + to_read -> reading (unlocking)
assigned + to_read -> reading (paid_before)
assigned + to_read -> reading (skipped)
assigned + to_read -> reading (lost_answer)
assigned + to_read -> reading (event_unlocked)
assigned + other_event -> waiting
assigned + bought_by_another -> waiting
assigned + settled -> done (no_value)
assigned + cancelled -> done (cancelled)
assigned + too_expensive -> done (rejected)
assigned (seen_locked) + approval_needed -> unapproved (seen_locked)
assigned (seen_locked) + divided -> assigned (seen_locked)
assigned (seen_locked) + to_read -> reading (already_unlocked)
assigned (seen_locked) + to_read -> reading (unlocking)
assigned (seen_locked) + to_read -> reading (paid_before)
assigned (seen_locked) + to_read -> reading (skipped)
assigned (seen_locked) + to_read -> reading (lost_answer)
assigned (seen_locked) + to_read -> reading (event_unlocked)
assigned (seen_locked) + other_event -> waiting (seen_locked)
assigned (seen_locked) + bought_by_another -> waiting
assigned (seen_locked) + settled -> done (no_value)
assigned (seen_locked) + cancelled -> done (cancelled)
assigned (seen_locked) + too_expensive -> done (rejected)
assigned (unlocking) + approval_needed -> unapproved (unlocking)
assigned (unlocking) + divided -> assigned (unlocking)
assigned (unlocking) + to_read -> reading (already_unlocked)
assigned (unlocking) + to_read -> reading (unlocking)
assigned (unlocking) + to_read -> reading (paid_before)
assigned (unlocking) + to_read -> reading (skipped)
assigned (unlocking) + to_read -> reading (lost_answer)
assigned (unlocking) + to_read -> reading (event_unlocked)
assigned (unlocking) + other_event -> waiting (unlocking)
assigned (unlocking) + bought_by_another -> waiting
assigned (unlocking) + settled -> done (no_value)
assigned (unlocking) + cancelled -> done (cancelled)
assigned (unlocking) + too_expensive -> done (rejected)
reading (already_unlocked) + not_yet -> reading (already_unlocked)
reading (already_unlocked) + stayed_locked -> waiting (seen_locked)
reading (already_unlocked) + other_event -> waiting
reading (already_unlocked) + settled -> done (no_value)
reading (unlocking) + not_yet -> reading (unlocking)
reading (unlocking) + stayed_locked -> waiting (unlocking)
reading (unlocking) + other_event -> waiting
reading (unlocking) + settled -> done (no_value)
reading (paid_before) + not_yet -> reading (paid_before)
reading (paid_before) + stayed_locked -> waiting (seen_locked)
reading (paid_before) + other_event -> waiting
reading (paid_before) + settled -> done (no_value)
reading (skipped) + not_yet -> reading (skipped)
reading (skipped) + other_event -> waiting
reading (skipped) + settled -> done (no_value)
reading (lost_answer) + not_yet -> reading (lost_answer)
reading (lost_answer) + other_event -> waiting
reading (lost_answer) + settled -> done (no_value)
reading (event_unlocked) + not_yet -> reading (event_unlocked)
reading (event_unlocked) + other_event -> waiting
reading (event_unlocked) + settled -> done (no_value)
done (expired) + resumed -> assigned
done (unresolved) + resumed -> assigned
";

    #[test]
    fn the_legal_moves_are_this_table() {
        let table = moves::table(&moves());
        println!("{table}");
        assert_eq!(table, TABLE);
    }

    #[test]
    fn an_illegal_move_is_an_error_that_names_both_sides() {
        let error = next(State::Waiting { seen: None }, Event::Approved).expect_err("illegal").to_string();
        assert_eq!(error, "illegal move: an item in state waiting cannot take the event approved");
    }

    #[test]
    fn the_words_of_states_and_reasons_are_distinct() {
        let mut names: Vec<_> = states().into_iter().map(State::name).collect();
        names.dedup();
        assert_eq!(names, State::NAMES);
        let words =
            ["already_unlocked", "unlocking", "paid_before", "skipped", "lost_answer", "event_unlocked"];
        assert_eq!(Why::ALL.map(Why::as_str), words);
        let aside: Vec<_> = Why::ALL.into_iter().filter(|why| why.is_set_aside()).collect();
        assert_eq!(aside, [Why::AlreadyUnlocked, Why::Unlocking, Why::PaidBefore]);
    }

    #[test]
    fn a_state_says_its_reason_its_job_and_its_outcome() {
        let locked = State::Waiting { seen: Some(Seen::Locked(Millis(50))) };
        assert_eq!((locked.reason(), locked.job_id()), (Some(("seen_locked", Millis(50))), None));
        let read = reading(Why::Skipped);
        assert_eq!((read.reason(), read.job_id()), (Some(("skipped", Millis(100))), Some(JOB)));
        assert_eq!(read.outcome(), None);
        let done = State::Done { job_id: Some(JOB), outcome: Kind::Lost };
        assert_eq!((done.reason(), done.job_id(), done.outcome()), (None, Some(JOB), Some(Kind::Lost)));
    }

    /// Approved, batched, read, sent after all and batched again: the start of `unlocking` stays known.
    #[test]
    fn what_was_seen_of_an_item_goes_with_it_until_a_profile_says_otherwise() {
        let unlocking = Some(Seen::Unlocking(Millis(50)));
        let waiting = next(State::Unapproved { seen: unlocking }, Event::Approved);
        assert_eq!(waiting, Ok(State::Waiting { seen: unlocking }));
        let assigned = next(State::Waiting { seen: unlocking }, Event::Batched { job_id: JOB });
        assert_eq!(assigned, Ok(State::Assigned { job_id: JOB, seen: unlocking }));
        let assigned = State::Assigned { job_id: JOB, seen: unlocking };
        let to_read = |why| next(assigned, Event::ToRead { why, at: Millis(300) });
        let read = |why, since| State::Reading { job_id: JOB, why, since, reads: 0, read_at: Millis(300) };
        assert_eq!(to_read(Why::Unlocking), Ok(read(Why::Unlocking, Millis(50))));
        assert_eq!(to_read(Why::PaidBefore), Ok(read(Why::PaidBefore, Millis(300))));
        let first = State::Assigned { job_id: JOB, seen: Some(Seen::Locked(Millis(50))) };
        let first = next(first, Event::ToRead { why: Why::Unlocking, at: Millis(300) });
        assert_eq!(first, Ok(read(Why::Unlocking, Millis(300))));

        let locked = Event::StayedLocked { at: Millis(900) };
        let again = next(read(Why::Unlocking, Millis(50)), locked);
        assert_eq!(again, Ok(State::Waiting { seen: unlocking }));
        let again = next(read(Why::PaidBefore, Millis(50)), locked);
        assert_eq!(again, Ok(State::Waiting { seen: Some(Seen::Locked(Millis(900))) }));
        assert_eq!(next(assigned, Event::OtherEvent), Ok(State::Waiting { seen: unlocking }));
        assert_eq!(next(assigned, Event::BoughtByAnother), Ok(State::Waiting { seen: None }));
        assert_eq!(next(assigned, Event::ApprovalNeeded), Ok(State::Unapproved { seen: unlocking }));
    }

    #[test]
    fn a_reading_counts_only_when_the_profile_was_read() {
        for (was_read, expected) in [(true, 3), (false, 2)] {
            let after = next(reading(Why::Skipped), Event::NotYet { read_at: Millis(400), was_read });
            let State::Reading { why: Why::Skipped, since: Millis(100), reads, read_at, .. } =
                after.expect("legal")
            else {
                panic!("it is read again");
            };
            assert_eq!((reads, read_at), (expected, Millis(400)));
        }
    }

    #[test]
    fn an_end_keeps_the_job_that_the_item_was_in() {
        let end = |state, event| next(state, event).map(State::job_id);
        assert_eq!(end(reading(Why::Skipped), Event::Settled { outcome: Kind::NoValue }), Ok(Some(JOB)));
        let assigned = State::Assigned { job_id: JOB, seen: None };
        assert_eq!(end(assigned, Event::Cancelled), Ok(Some(JOB)));
        assert_eq!(end(State::Waiting { seen: None }, Event::TooExpensive), Ok(None));
        let joined = Event::Joined { in_flight: reading(Why::LostAnswer) };
        assert_eq!(next(State::Waiting { seen: None }, joined), Ok(reading(Why::LostAnswer)));
    }
}
