//! The states of a job, and the only function that changes them.
//!
//! A job is one remote task, or the submission that will create it. [`next`] decides every change; the store
//! writes what it returns and never chooses a state itself. An event that does not fit a state is an
//! [`IllegalMove`], which is an error of the program, never ignored.
//!
//! The test `the_legal_moves_are_this_table` prints all legal changes and compares them with a written table;
//! that table is the documentation. The diagram is in [`super::moves`].

use std::fmt;

use super::ids::{Millis, TaskId};
use super::moves::IllegalMove;
use super::words::words;

/// The state of a job. The words are those of `jobs.state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// To be sent; with a reason if it waits for something.
    Queued { waits_for: Option<WaitReason> },
    /// The intent to send is committed. If a start finds this state, the call may have been sent.
    Submitting,
    /// Sent, or possibly sent, and no answer was read.
    InDoubt { doubt: Doubt },
    /// The task exists; `next_poll_at` is the time of its next poll.
    Polling { task_id: TaskId, poll_count: u32, next_poll_at: Millis },
    /// The task completed, or nothing was left to buy.
    Completed,
    /// The task itself ended as `failed`.
    Failed,
    /// The task is not known to the API (404), or a person wrote the submission off.
    Lost,
    /// The task did not end within `polling.give_up_after`; `resume` polls it again.
    Expired,
    /// The API refused the submission for good (400, 404, 422), or its precheck did.
    Rejected,
    /// Each of its requests was cancelled before it was sent.
    Cancelled,
}

words! {
    /// What a queued job waits for. The words are those of `jobs.state_reason`.
    WaitReason {
        /// The balance is too low, or the API said so (402).
        InsufficientCredits = "insufficient_credits",
        /// The account's key was refused (401), or its owner has no subscription (403).
        InvalidApiKey = "invalid_api_key",
        /// Our own limit (`credits.daily_limit` or `credits.monthly_limit`) is used up.
        Budget = "budget",
        /// The API reported a conflict (409); its state is read again first.
        Conflict = "conflict",
    }
}

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// More credits, another day or month, or a person who wants to try again.
    Credits,
    /// Another key, or a person who says that the key is valid.
    Key,
    /// The worker alone.
    Worker,
}

impl WaitReason {
    /// Code that counts or selects waiting jobs asks here, so that a new reason is not forgotten.
    pub fn ended_by(self) -> EndedBy {
        match self {
            WaitReason::InsufficientCredits | WaitReason::Budget => EndedBy::Credits,
            WaitReason::InvalidApiKey => EndedBy::Key,
            WaitReason::Conflict => EndedBy::Worker,
        }
    }

    /// The words of the reasons that end with more credits, or on another day.
    pub fn for_credits() -> Vec<&'static str> {
        let reasons = WaitReason::ALL.into_iter().filter(|reason| reason.ended_by() == EndedBy::Credits);
        reasons.map(WaitReason::as_str).collect()
    }
}

words! {
    /// What is known about a submission without an answer. The words are those of `jobs.state_reason`.
    Doubt {
        /// The worker is checking for its effect.
        Looking = "looking",
        /// It took effect: its values are read from the profiles.
        CarriedOut = "carried_out",
        /// The checks have not settled it: a person decides. If none could be read, they go on meanwhile.
        NeedsDecision = "needs_decision",
    }
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The intent to send is written; the POST follows.
    SendStarted,
    /// It cannot be sent now, and waits for something.
    Parked { waits_for: WaitReason },
    /// The thing that it waited for has come.
    Released,
    /// Every contact turned out to be already bought, or was cancelled with its request.
    NothingLeft,
    /// 201 with a task id.
    TaskAccepted { task_id: TaskId, next_poll_at: Millis },
    /// 201 without a task: nothing was chargeable.
    NothingChargeable,
    /// The answer is the result: there is no task to poll.
    Delivered,
    /// The API, or its precheck, refused it for good.
    Refused,
    /// It certainly had no effect and is to be sent again, possibly after a wait.
    TookNoEffect { waits_for: Option<WaitReason> },
    /// No readable answer: it may have taken effect. A start applies this to `submitting` jobs, too.
    AnswerLost,
    /// An error answer named a task, and it is the task of this submission.
    TaskFound { task_id: TaskId, next_poll_at: Millis },
    /// The checks showed that it took effect.
    ProvenCarriedOut,
    /// The checks showed that it had no effect.
    ProvenNotCarriedOut,
    /// The checks did not settle it in time.
    StayedUnclear,
    /// Every value of a submission that took effect was read, or given up.
    ValuesRead,
    /// A person decided to send it again.
    Resubmit,
    /// A person decided to give it up as lost.
    WrittenOff,
    /// The task has not ended, or the poll failed: poll again at `next_poll_at`.
    StillRunning { poll_count: u32, next_poll_at: Millis },
    /// The task completed.
    TaskCompleted,
    /// The task failed.
    TaskFailed,
    /// The task is not known to the API.
    TaskGone,
    /// `polling.give_up_after` is over.
    GaveUp,
    /// A person wants an expired task to be polled again.
    Resumed { task_id: TaskId, next_poll_at: Millis },
    /// All its requests have left it, before it was sent.
    Cancelled,
}

/// The state after `event`.
pub fn next(state: &State, event: Event) -> Result<State, IllegalMove> {
    use Doubt::{CarriedOut, Looking, NeedsDecision};
    match (state, event) {
        (State::Queued { .. }, Event::SendStarted) => Ok(State::Submitting),
        (State::Queued { .. }, Event::Parked { waits_for }) => {
            Ok(State::Queued { waits_for: Some(waits_for) })
        }
        (State::Queued { .. }, Event::Released) => Ok(State::Queued { waits_for: None }),
        (State::Queued { .. }, Event::NothingLeft) => Ok(State::Completed),
        (State::Queued { .. }, Event::Cancelled) => Ok(State::Cancelled),

        (State::Submitting, Event::TaskAccepted { task_id, next_poll_at }) => {
            Ok(State::Polling { task_id, poll_count: 0, next_poll_at })
        }
        (State::Submitting, Event::NothingChargeable | Event::Delivered) => Ok(State::Completed),
        // Refused by a precheck, or by the API itself.
        (State::Queued { .. } | State::Submitting, Event::Refused) => Ok(State::Rejected),
        (State::Submitting, Event::TookNoEffect { waits_for }) => Ok(State::Queued { waits_for }),
        (State::Submitting, Event::AnswerLost) => Ok(State::InDoubt { doubt: Looking }),

        // A person may be asked before any check could be read. Then the checks may still settle it.
        (State::InDoubt { doubt: Looking | NeedsDecision }, Event::TaskFound { task_id, next_poll_at }) => {
            Ok(State::Polling { task_id, poll_count: 0, next_poll_at })
        }
        (State::InDoubt { doubt: Looking | NeedsDecision }, Event::ProvenCarriedOut) => {
            Ok(State::InDoubt { doubt: CarriedOut })
        }
        (State::InDoubt { doubt: Looking | NeedsDecision }, Event::ProvenNotCarriedOut) => {
            Ok(State::Queued { waits_for: None })
        }
        (State::InDoubt { doubt: Looking | NeedsDecision }, Event::StayedUnclear) => {
            Ok(State::InDoubt { doubt: NeedsDecision })
        }
        (State::InDoubt { doubt: CarriedOut }, Event::ValuesRead) => Ok(State::Completed),
        // A person may decide at any time, but not against the proof that the credits are spent.
        (State::InDoubt { doubt: Looking | NeedsDecision }, Event::Resubmit) => {
            Ok(State::Queued { waits_for: None })
        }
        (State::InDoubt { doubt: Looking | NeedsDecision }, Event::WrittenOff) => Ok(State::Lost),

        (State::Polling { task_id, .. }, Event::StillRunning { poll_count, next_poll_at }) => {
            Ok(State::Polling { task_id: task_id.clone(), poll_count, next_poll_at })
        }
        (State::Polling { .. }, Event::TaskCompleted) => Ok(State::Completed),
        (State::Polling { .. }, Event::TaskFailed) => Ok(State::Failed),
        (State::Polling { .. }, Event::TaskGone) => Ok(State::Lost),
        (State::Polling { .. }, Event::GaveUp) => Ok(State::Expired),

        (State::Expired, Event::Resumed { task_id, next_poll_at }) => {
            Ok(State::Polling { task_id, poll_count: 0, next_poll_at })
        }
        (state, event) => Err(IllegalMove { subject: "a job", from: state.name(), event: event.name() }),
    }
}

impl State {
    /// Every word of `jobs.state`, in the order in which a job may reach them.
    pub const NAMES: [&str; 10] = [
        "queued",
        "submitting",
        "in_doubt",
        "polling",
        "completed",
        "failed",
        "lost",
        "expired",
        "rejected",
        "cancelled",
    ];

    /// The word of `jobs.state`.
    pub fn name(&self) -> &'static str {
        match self {
            State::Queued { .. } => "queued",
            State::Submitting => "submitting",
            State::InDoubt { .. } => "in_doubt",
            State::Polling { .. } => "polling",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Lost => "lost",
            State::Expired => "expired",
            State::Rejected => "rejected",
            State::Cancelled => "cancelled",
        }
    }

    /// The word of `jobs.state_reason`, for states with a reason.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            State::Queued { waits_for } => waits_for.map(WaitReason::as_str),
            State::InDoubt { doubt } => Some(doubt.as_str()),
            _ => None,
        }
    }

    /// Whether it waits for credits or for our own limit: a person may ask to try again.
    pub fn waits_for_credits(&self) -> bool {
        let State::Queued { waits_for: Some(reason) } = self else { return false };
        reason.ended_by() == EndedBy::Credits
    }

    /// Whether the job has ended. This includes an expired job, until it is resumed.
    pub fn is_end(&self) -> bool {
        !matches!(
            self,
            State::Queued { .. } | State::Submitting | State::InDoubt { .. } | State::Polling { .. }
        )
    }
}

impl Event {
    /// The event's name, for messages and the timeline.
    pub fn name(&self) -> &'static str {
        match self {
            Event::SendStarted => "send_started",
            Event::Parked { .. } => "parked",
            Event::Released => "released",
            Event::NothingLeft => "nothing_left",
            Event::TaskAccepted { .. } => "task_accepted",
            Event::NothingChargeable => "nothing_chargeable",
            Event::Delivered => "delivered",
            Event::Refused => "refused",
            Event::TookNoEffect { .. } => "took_no_effect",
            Event::AnswerLost => "answer_lost",
            Event::TaskFound { .. } => "task_found",
            Event::ProvenCarriedOut => "proven_carried_out",
            Event::ProvenNotCarriedOut => "proven_not_carried_out",
            Event::StayedUnclear => "stayed_unclear",
            Event::ValuesRead => "values_read",
            Event::Resubmit => "resubmit",
            Event::WrittenOff => "written_off",
            Event::StillRunning { .. } => "still_running",
            Event::TaskCompleted => "task_completed",
            Event::TaskFailed => "task_failed",
            Event::TaskGone => "task_gone",
            Event::GaveUp => "gave_up",
            Event::Resumed { .. } => "resumed",
            Event::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            Some(reason) => write!(f, "{} ({reason})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::moves::{self, Move};
    use super::*;

    fn states() -> Vec<State> {
        let polling =
            State::Polling { task_id: TaskId::trusted("321"), poll_count: 1, next_poll_at: Millis(1) };
        vec![
            State::Queued { waits_for: None },
            State::Queued { waits_for: Some(WaitReason::InsufficientCredits) },
            State::Submitting,
            State::InDoubt { doubt: Doubt::Looking },
            State::InDoubt { doubt: Doubt::CarriedOut },
            State::InDoubt { doubt: Doubt::NeedsDecision },
            polling,
            State::Completed,
            State::Failed,
            State::Lost,
            State::Expired,
            State::Rejected,
            State::Cancelled,
        ]
    }

    #[test]
    fn every_state_has_its_name() {
        let mut names: Vec<_> = states().iter().map(State::name).collect();
        names.dedup();
        assert_eq!(names, State::NAMES);
    }

    #[test]
    fn a_job_waits_for_credits_of_the_account_or_for_a_limit_of_our_own() {
        let waiting = WaitReason::ALL.map(|reason| State::Queued { waits_for: Some(reason) });
        let for_credits: Vec<_> =
            waiting.iter().filter(|state| state.waits_for_credits()).filter_map(State::reason).collect();
        assert_eq!(for_credits, ["insufficient_credits", "budget"]);
        let others: Vec<_> = states().into_iter().filter(|state| !waiting.contains(state)).collect();
        assert!(others.len() > 8 && !others.iter().any(State::waits_for_credits));
    }

    #[test]
    fn what_waits_is_sent_or_polled_has_not_ended() {
        let ended: Vec<_> = states().iter().filter(|state| state.is_end()).map(State::name).collect();
        assert_eq!(ended, ["completed", "failed", "lost", "expired", "rejected", "cancelled"]);
    }

    fn events() -> Vec<Event> {
        let (task_id, next_poll_at) = (TaskId::trusted("321"), Millis(9));
        vec![
            Event::SendStarted,
            Event::Parked { waits_for: WaitReason::Budget },
            Event::Released,
            Event::NothingLeft,
            Event::TaskAccepted { task_id: task_id.clone(), next_poll_at },
            Event::NothingChargeable,
            Event::Delivered,
            Event::Refused,
            Event::TookNoEffect { waits_for: None },
            Event::AnswerLost,
            Event::TaskFound { task_id: task_id.clone(), next_poll_at },
            Event::ProvenCarriedOut,
            Event::ProvenNotCarriedOut,
            Event::StayedUnclear,
            Event::ValuesRead,
            Event::Resubmit,
            Event::WrittenOff,
            Event::StillRunning { poll_count: 2, next_poll_at },
            Event::TaskCompleted,
            Event::TaskFailed,
            Event::TaskGone,
            Event::GaveUp,
            Event::Resumed { task_id, next_poll_at },
            Event::Cancelled,
        ]
    }

    /// Every legal move.
    pub(in super::super) fn moves() -> Vec<Move> {
        let mut moves = Vec::new();
        for state in states() {
            for event in events() {
                let name = event.name();
                if let Ok(after) = next(&state, event) {
                    moves.push(Move { from: state.to_string(), event: name, to: after.to_string() });
                }
            }
        }
        moves
    }

    #[test]
    fn the_legal_moves_are_this_table() {
        let table = moves::table(&moves());
        println!("{table}");
        let expected = "\
queued + send_started -> submitting
queued + parked -> queued (budget)
queued + released -> queued
queued + nothing_left -> completed
queued + refused -> rejected
queued + cancelled -> cancelled
queued (insufficient_credits) + send_started -> submitting
queued (insufficient_credits) + parked -> queued (budget)
queued (insufficient_credits) + released -> queued
queued (insufficient_credits) + nothing_left -> completed
queued (insufficient_credits) + refused -> rejected
queued (insufficient_credits) + cancelled -> cancelled
submitting + task_accepted -> polling
submitting + nothing_chargeable -> completed
submitting + delivered -> completed
submitting + refused -> rejected
submitting + took_no_effect -> queued
submitting + answer_lost -> in_doubt (looking)
in_doubt (looking) + task_found -> polling
in_doubt (looking) + proven_carried_out -> in_doubt (carried_out)
in_doubt (looking) + proven_not_carried_out -> queued
in_doubt (looking) + stayed_unclear -> in_doubt (needs_decision)
in_doubt (looking) + resubmit -> queued
in_doubt (looking) + written_off -> lost
in_doubt (carried_out) + values_read -> completed
in_doubt (needs_decision) + task_found -> polling
in_doubt (needs_decision) + proven_carried_out -> in_doubt (carried_out)
in_doubt (needs_decision) + proven_not_carried_out -> queued
in_doubt (needs_decision) + stayed_unclear -> in_doubt (needs_decision)
in_doubt (needs_decision) + resubmit -> queued
in_doubt (needs_decision) + written_off -> lost
polling + still_running -> polling
polling + task_completed -> completed
polling + task_failed -> failed
polling + task_gone -> lost
polling + gave_up -> expired
expired + resumed -> polling
";
        assert_eq!(table, expected);
    }

    #[test]
    fn an_illegal_move_is_an_error_that_names_both_sides() {
        let error = next(&State::Completed, Event::SendStarted).expect_err("illegal");
        assert_eq!(
            error.to_string(),
            "illegal move: a job in state completed cannot take the event send_started"
        );
    }

    #[test]
    fn only_a_queued_job_can_be_sent() {
        for state in states() {
            let sendable = next(&state, Event::SendStarted).is_ok();
            assert_eq!(sendable, matches!(state, State::Queued { .. }), "{state}");
        }
    }
}
