//! Weighs the evidence about the unlock of an event whose answer was lost: whether it is open, and the balance.

use super::super::credits::Credits;
use super::super::ids::Millis;
use super::{Patience, pause_ms};

/// The conclusion of a check of an event whose unlock was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventVerdict {
    /// The event is unlocked. `charge` is the cost of our call, as far as the balance shows.
    Open {
        charge: Credits,
    },
    /// It is not unlocked: the call is repeated. The vendor documents that a repeat is free, so a lost answer
    /// may simply be asked for again.
    AskAgain,
    /// Nothing is said that a repeat could rest on.
    LookAgainAt(Millis),
    NeedsDecision,
}

/// Judges a check of an event: whether it is open, and the unexplained credits since before the
/// call, at least and at most. If in doubt the charge counts as ours, since local figures may overstate and
/// never understate.
pub fn weigh_event(open: bool, unexplained: Option<(Credits, Credits)>, cost: Credits) -> EventVerdict {
    if !open {
        return EventVerdict::AskAgain;
    }
    // Another program or person unlocked it. A balance that has grown could hide the charge, and proves
    // nothing.
    let surely_not_ours =
        unexplained.is_some_and(|(least, most)| least >= Credits::ZERO && most <= Credits::ZERO);
    EventVerdict::Open { charge: if surely_not_ours { Credits::ZERO } else { cost } }
}

/// Judges a check of an event that is unlocked by a precheck, and not by its list. One of them shows the past, so
/// nothing is sent. The charge in the balance tells which; without it both are read again, and a person is asked.
pub fn weigh_contradiction(
    unexplained: Option<(Credits, Credits)>,
    cost: Credits,
    looks: u32,
    (waited_ms, now): (i64, Millis),
    patience: Patience,
) -> EventVerdict {
    match is_charged(unexplained, cost) {
        true => EventVerdict::Open { charge: cost },
        false => look_again(looks, (waited_ms, now), patience),
    }
}

/// Whether the balance shows the charge of the call.
fn is_charged(unexplained: Option<(Credits, Credits)>, cost: Credits) -> bool {
    cost > Credits::ZERO && unexplained.is_some_and(|(least, _)| least >= cost)
}

/// Nothing can be concluded yet: it is read again, until a person is asked.
fn look_again(looks: u32, (waited_ms, now): (i64, Millis), patience: Patience) -> EventVerdict {
    match waited_ms >= patience.decide_after_ms {
        true => EventVerdict::NeedsDecision,
        false => EventVerdict::LookAgainAt(now.plus(pause_ms(looks, patience))),
    }
}

/// Judges a check of an event whose full access was requested. A repeat is not free here: it charges for the
/// layers that are locked by then, which may be more than there was to buy. So the call is repeated only if a
/// precheck shows a locked layer and the balance does not show the charge of the first call (its effect may show
/// late).
pub fn weigh_full_access(
    is_open: Option<bool>,
    unexplained: Option<(Credits, Credits)>,
    cost: Credits,
    looks: u32,
    (waited_ms, now): (i64, Millis),
    patience: Patience,
) -> EventVerdict {
    match is_open {
        Some(true) => weigh_event(true, unexplained, cost),
        Some(false) if !is_charged(unexplained, cost) => EventVerdict::AskAgain,
        _ => look_again(looks, (waited_ms, now), patience),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { verify_after_ms: 30_000, decide_after_ms: 900_000 };

    #[test]
    fn an_event_that_is_not_open_is_asked_for_again() {
        let cost = Credits(2_000);
        let gone = |least, most| Some((Credits(least), Credits(most)));
        assert_eq!(weigh_event(false, gone(2_000, 2_000), cost), EventVerdict::AskAgain);
        let charge = |unexplained| match weigh_event(true, unexplained, cost) {
            EventVerdict::Open { charge } => charge.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(charge(gone(2_000, 2_000)), 2_000, "ours");
        assert_eq!(charge(gone(0, 0)), 0, "somebody else's");
        assert_eq!(charge(gone(0, 1_999)), 2_000, "a top-up may hide the rest");
        assert_eq!(charge(gone(0, 2_000)), 2_000, "may be ours");
        assert_eq!(charge(gone(-500, -500)), 2_000, "a top-up may hide it");
        assert_eq!(charge(None), 2_000, "nothing is known");
    }

    /// Found by a stranger: each round of a list that lagged booked 2,000 credits more.
    #[test]
    fn a_precheck_that_contradicts_the_list_is_believed_when_the_balance_agrees_and_never_asked_again() {
        let weigh = |gone: Option<(i64, i64)>, looks, waited_ms| {
            let gone = gone.map(|(least, most)| (Credits(least), Credits(most)));
            weigh_contradiction(gone, Credits(2_000), looks, (waited_ms, Millis(waited_ms)), PATIENCE)
        };
        let open = EventVerdict::Open { charge: Credits(2_000) };
        assert_eq!(weigh(Some((2_000, 2_000)), 1, 30_000), open);
        for gone in [Some((0, 0)), Some((0, 2_000)), Some((-500, -500)), None] {
            let pauses = [(1, 60_000), (2, 90_000), (3, 150_000)];
            for (looks, at) in pauses {
                assert_eq!(weigh(gone, looks, 30_000), EventVerdict::LookAgainAt(Millis(at)), "{gone:?}");
            }
            assert_eq!(weigh(gone, 9, 900_000), EventVerdict::NeedsDecision, "{gone:?}");
        }
    }

    #[test]
    fn full_access_is_asked_for_again_only_when_a_layer_is_seen_locked_and_nothing_was_charged() {
        let cost = Credits(5_000);
        let weigh = |is_open, gone: Option<(i64, i64)>, waited_ms| {
            let gone = gone.map(|(least, most)| (Credits(least), Credits(most)));
            weigh_full_access(is_open, gone, cost, 1, (waited_ms, Millis(waited_ms)), PATIENCE)
        };
        let later = EventVerdict::LookAgainAt(Millis(60_000));
        let table = [
            ("both are open", Some(true), Some((5_000, 5_000)), 30_000, EventVerdict::Open { charge: cost }),
            (
                "somebody else's",
                Some(true),
                Some((0, 0)),
                30_000,
                EventVerdict::Open { charge: Credits::ZERO },
            ),
            ("locked, nothing gone", Some(false), Some((0, 0)), 30_000, EventVerdict::AskAgain),
            ("locked, a part is gone", Some(false), Some((2_000, 2_000)), 30_000, EventVerdict::AskAgain),
            ("locked, no balance from before", Some(false), None, 30_000, EventVerdict::AskAgain),
            ("locked, and charged: it lags", Some(false), Some((5_000, 5_000)), 30_000, later),
            ("it lags for too long", Some(false), Some((5_000, 5_000)), 900_000, EventVerdict::NeedsDecision),
            ("nothing is said", None, Some((0, 0)), 30_000, later),
            ("nothing is said for long", None, None, 900_000, EventVerdict::NeedsDecision),
        ];
        for (what, is_open, gone, waited_ms, expected) in table {
            assert_eq!(weigh(is_open, gone, waited_ms), expected, "{what}");
        }
    }
}
