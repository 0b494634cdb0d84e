//! The next step of a job whose contacts a precheck has sorted.

use crate::domain::action::Action;
use crate::domain::credits::{self, Admission, Credits, Purse};
use crate::domain::ids::Millis;
use crate::domain::job::WaitReason;
use crate::domain::sorting::Sorting;

/// The word for visitor access to an event whose base access is locked.
pub const NO_BASE_ACCESS: &str = "state_conflict";

/// The conclusion from a precheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does not exist, or may not be bought, says the precheck in this word: nothing is sent.
    Reject(&'static str),
    /// Not now, says the precheck, and it may say otherwise later: it is asked again.
    AskLater,
    /// The database is an older copy, and nothing shows whether this was bought since: a person looks first.
    Distrust,
    /// Some contacts need not be bought: they leave the batch, and their values are read.
    SetAside,
    /// The balance does not cover all contacts, but what the API will charge for them: the precheck finds out which of
    /// them are unlocked already, and they leave the batch.
    TellApart,
    ReadBalance,
    /// `refused_at`: the API said that this balance is too low.
    Park {
        waits_for: WaitReason,
        refused_at: Option<Credits>,
    },
    Send,
}

/// What a verdict rests on besides the precheck.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// The database is an older copy.
    pub restored: bool,
    /// Base access to the event was asked for, and has not come yet or came a moment ago.
    pub base_is_coming: bool,
    pub purse: Option<&'a Purse>,
}

/// Decides on a job whose contacts a precheck has sorted.
pub fn after_precheck(
    sorting: &Sorting,
    action: Action,
    Circumstances { restored, base_is_coming, purse }: Circumstances<'_>,
    now: Millis,
) -> Verdict {
    if restored && (sorting.unhelpful().is_some() || action.is_search()) {
        return Verdict::Distrust;
    }
    // Of contacts the API says one by one what is wrong, and charges nothing for it.
    if let Some(reason) = sorting.refusal().filter(|_| action.channel().is_none()) {
        return match reason {
            NO_BASE_ACCESS if base_is_coming => Verdict::AskLater,
            "system_error" => Verdict::AskLater,
            "insufficient_balance" => Verdict::Park {
                waits_for: WaitReason::InsufficientCredits,
                refused_at: purse.map(|purse| purse.balance),
            },
            reason => Verdict::Reject(reason),
        };
    }
    if !sorting.had.is_empty() {
        return Verdict::SetAside;
    }
    match credits::admit(sorting.cost, purse, now) {
        Admission::ReadBalance => Verdict::ReadBalance,
        // The API knows better: somebody else has spent credits since the balance was read.
        Admission::Go | Admission::Wait(WaitReason::InsufficientCredits) if sorting.too_little => {
            Verdict::Park {
                waits_for: WaitReason::InsufficientCredits,
                refused_at: purse.map(|purse| purse.balance),
            }
        }
        Admission::Wait(WaitReason::InsufficientCredits) if fits(sorting, purse) => Verdict::TellApart,
        Admission::Wait(waits_for) => Verdict::Park { waits_for, refused_at: None },
        Admission::Go => Verdict::Send,
    }
}

/// Whether the credits pay for the contacts that are not unlocked yet, by the precheck's figure.
fn fits(sorting: &Sorting, purse: Option<&Purse>) -> bool {
    let is_covered = purse.is_some_and(|purse| credits::lacks(sorting.charged(), purse).is_none());
    sorting.unlocked_elsewhere > 0 && is_covered
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

    #[test]
    fn after_a_precheck_nothing_is_sent_that_is_had_or_that_the_balance_does_not_cover() {
        let sorted = |quote| {
            let mut sorting = Sorting::new(vec![PersonnelId::trusted("101")], Credits(15));
            sorting.answer(quote);
            sorting
        };
        let (search, visitors) = (Action::SearchExhibitorEvents, Action::UnlockEventVisitors);
        let credits = WaitReason::InsufficientCredits;
        let table = [
            (Quote::Costs(Credits(15)), EMAILS, false, Verdict::Send),
            (Quote::NothingToPay, EMAILS, false, Verdict::SetAside),
            (Quote::NotFound, EMAILS, false, Verdict::Send),
            (Quote::NotFound, search, false, Verdict::Reject("not_found")),
            (Quote::Refused("forbidden"), search, false, Verdict::Reject("forbidden")),
            (Quote::Refused("state_conflict"), visitors, false, Verdict::Reject("state_conflict")),
            (Quote::Refused("forbidden"), EMAILS, false, Verdict::Send),
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
            let purse = purse(1_000);
            let known = Circumstances { restored, purse: Some(&purse), ..Circumstances::default() };
            let verdict = after_precheck(&sorted(quote), action, known, NOW);
            assert_eq!(verdict, expected, "{quote:?} {action:?} {restored}");
        }
        let (sorting, purse) = (sorted(Quote::Costs(Credits(15))), purse(1_000));
        let known = Circumstances { purse: Some(&purse), ..Circumstances::default() };
        assert_eq!(after_precheck(&sorting, EMAILS, known, NOW.plus(60_000)), Verdict::ReadBalance);
        let coming = Circumstances { base_is_coming: true, ..known };
        for (reason, expected) in [
            ("state_conflict", Verdict::AskLater),
            ("system_error", Verdict::AskLater),
            ("insufficient_balance", Verdict::Park { waits_for: credits, refused_at: Some(Credits(1_000)) }),
            ("no_contacts_available", Verdict::Reject("no_contacts_available")),
        ] {
            assert_eq!(after_precheck(&sorted(Quote::Refused(reason)), visitors, coming, NOW), expected);
        }
    }

    #[test]
    fn a_batch_that_is_mostly_unlocked_is_told_apart_if_the_balance_pays_for_the_rest() {
        let (purse, credits) = (purse(1_000), WaitReason::InsufficientCredits);
        let known = Circumstances { purse: Some(&purse), ..Circumstances::default() };
        // 3 of 80 contacts are locked: 45 credits, and 1,200 by the price list.
        let mostly_unlocked = |quote| {
            let contacts = (0..80).map(|id| PersonnelId::trusted(id.to_string())).collect();
            let mut sorting = Sorting::new(vec![], Credits(15)).with_new(contacts);
            sorting.answer(quote);
            after_precheck(&sorting, EMAILS, known, NOW)
        };
        assert_eq!(mostly_unlocked(Quote::Costs(Credits(45))), Verdict::TellApart);
        assert_eq!(
            mostly_unlocked(Quote::Costs(Credits(1_005))),
            Verdict::Park { waits_for: credits, refused_at: None }
        );
        let at = Some(Credits(1_000));
        assert_eq!(
            mostly_unlocked(Quote::TooLittle(Credits(45))),
            Verdict::Park { waits_for: credits, refused_at: at }
        );
    }
}
