//! The next step of a job whose contacts a precheck has sorted.

use crate::domain::credits::{self, Admission, Credits, Purse};
use crate::domain::ids::{Action, Millis};
use crate::domain::job::WaitReason;
use crate::domain::sorting::Sorting;

/// The conclusion from a precheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The contact, event or name does not exist: nothing is sent.
    Reject,
    /// The database is an older copy, and nothing shows whether this was bought since: a person looks first.
    Distrust,
    /// Some contacts need not be bought: they leave the batch, and their values are read.
    SetAside,
    ReadBalance,
    /// `refused_at`: the API said that this balance is too low.
    Park {
        waits_for: WaitReason,
        refused_at: Option<Credits>,
    },
    Send,
}

/// Decides on a job whose contacts a precheck has sorted. `restored`: the database is an older copy.
pub fn after_precheck(
    sorting: &Sorting,
    action: Action,
    restored: bool,
    purse: Option<&Purse>,
    now: Millis,
) -> Verdict {
    if restored && (sorting.unhelpful().is_some() || action.is_search()) {
        return Verdict::Distrust;
    }
    if sorting.not_found && action.channel().is_none() {
        return Verdict::Reject;
    }
    if !sorting.had.is_empty() {
        return Verdict::SetAside;
    }
    match credits::admit(sorting.cost, purse, now) {
        Admission::ReadBalance => Verdict::ReadBalance,
        Admission::Wait(waits_for) => Verdict::Park { waits_for, refused_at: None },
        // The API knows better: somebody else has spent credits since the balance was read.
        Admission::Go if sorting.too_little => Verdict::Park {
            waits_for: WaitReason::InsufficientCredits,
            refused_at: purse.map(|purse| purse.balance),
        },
        Admission::Go => Verdict::Send,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PersonnelId;
    use crate::domain::sorting::Quote;

    const NOW: Millis = Millis(1_000_000);
    const EMAILS: Action = Action::UnlockContactEmails;

    fn purse(balance: i64) -> Purse {
        Purse {
            balance: Credits(balance),
            balance_at: NOW.plus(-10_000),
            charged_since: Credits::ZERO,
            held: Credits::ZERO,
            min_balance: Credits::ZERO,
            daily_limit: None,
            charged_today: Credits::ZERO,
        }
    }

    #[test]
    fn after_a_precheck_nothing_is_sent_that_is_had_or_that_the_balance_does_not_cover() {
        let sorted = |quote| {
            let mut sorting = Sorting::new(vec![PersonnelId::trusted("101")], Credits(15));
            sorting.answer(quote);
            sorting
        };
        let search = Action::SearchExhibitorEvents;
        let credits = WaitReason::InsufficientCredits;
        let table = [
            (Quote::Costs(Credits(15)), EMAILS, false, Verdict::Send),
            (Quote::NothingToPay, EMAILS, false, Verdict::SetAside),
            (Quote::NotFound, EMAILS, false, Verdict::Send),
            (Quote::NotFound, search, false, Verdict::Reject),
            (Quote::Unhelpful("system_error"), EMAILS, false, Verdict::Send),
            (Quote::Unhelpful("system_error"), EMAILS, true, Verdict::Distrust),
            (Quote::Costs(Credits(50)), search, true, Verdict::Distrust),
            (
                Quote::Costs(Credits(1_001)),
                EMAILS,
                false,
                Verdict::Park { waits_for: credits, refused_at: None },
            ),
            (
                Quote::TooLittle(Credits(15)),
                EMAILS,
                false,
                Verdict::Park { waits_for: credits, refused_at: Some(Credits(1_000)) },
            ),
        ];
        for (quote, action, restored, expected) in table {
            let verdict = after_precheck(&sorted(quote), action, restored, Some(&purse(1_000)), NOW);
            assert_eq!(verdict, expected, "{quote:?} {action:?} {restored}");
        }
        let sorting = sorted(Quote::Costs(Credits(15)));
        let late = NOW.plus(60_000);
        assert_eq!(after_precheck(&sorting, EMAILS, false, Some(&purse(1_000)), late), Verdict::ReadBalance);
    }
}
