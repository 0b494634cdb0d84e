//! Credits that were granted, and whether some of them lapsed between two readings of the balance.
//!
//! The balance falls by itself: an add-on expires, a subscription is granted anew and what was left of it is gone.
//! A spend moves what is left and never what was granted. So between two readings with equal amounts a fall of
//! the balance is spending, by whomever; where an amount fell, or a reset that was announced has passed, it proves
//! nothing.
//!
//! Source: the vendor's balance page (`subscriptionAmount`, `addonAmount`, `giftAmount`, `resetAt`, `addonExpireAt`);
//! that a spend leaves the amounts alone is read from it, and not said in so many words.

use super::credits::Credits;
use super::ids::Millis;

/// What a reading of the balance said about credits that were granted. `None`: it was not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    pub subscription: Option<Credits>,
    pub addon: Option<Credits>,
    pub gift: Option<Credits>,
    /// When the first credits of a subscription expire.
    pub reset_at: Option<Millis>,
    /// When the last of the add-ons expires.
    pub addon_expire_at: Option<Millis>,
}

/// The same, and when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub at: Millis,
    pub granted: Granted,
}

/// What became of the credits that were granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As far as is known, nothing.
    Unchanged,
    /// More were granted, and none lapsed.
    Grew,
    /// Some lapsed, or were granted anew: the balance proves nothing.
    Lapsed,
}

/// A moment that moves by more than the time that has passed, and this much, was set anew, in milliseconds.
const JITTER_MS: i64 = 60_000;

/// What became of them over these readings, oldest first.
pub fn change(seen: &[Seen]) -> Change {
    let changes: Vec<Change> = seen.windows(2).map(|pair| between(&pair[0], &pair[1])).collect();
    match () {
        () if changes.contains(&Change::Lapsed) => Change::Lapsed,
        () if changes.contains(&Change::Grew) => Change::Grew,
        () => Change::Unchanged,
    }
}

fn between(before: &Seen, after: &Seen) -> Change {
    let (old, new) = (&before.granted, &after.granted);
    let amounts = [(old.subscription, new.subscription), (old.addon, new.addon), (old.gift, new.gift)];
    let known = || amounts.iter().filter_map(|(old, new)| (*old).zip(*new));
    let has_passed = |moment: Option<Millis>| moment.is_some_and(|at| at > before.at && at <= after.at);
    let was_reset = old
        .reset_at
        .zip(new.reset_at)
        .is_some_and(|(old, new)| new.since(old) > after.at.since(before.at).saturating_add(JITTER_MS));
    if known().any(|(old, new)| new < old)
        || has_passed(old.reset_at)
        || has_passed(old.addon_expire_at)
        || was_reset
    {
        return Change::Lapsed;
    }
    if known().any(|(old, new)| new > old) { Change::Grew } else { Change::Unchanged }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn granted() -> Granted {
        Granted {
            subscription: Some(Credits(35_000)),
            addon: Some(Credits(10_000)),
            gift: Some(Credits(50)),
            reset_at: Some(Millis(30 * DAY)),
            addon_expire_at: Some(Millis(180 * DAY)),
        }
    }

    fn at(day: i64, granted: Granted) -> Seen {
        Seen { at: Millis(day * DAY), granted }
    }

    #[test]
    fn what_became_of_the_credits_that_were_granted() {
        let addon = |credits| Granted { addon: Some(Credits(credits)), ..granted() };
        let next = Granted { reset_at: Some(Millis(60 * DAY)), ..granted() };
        let table = [
            ("nothing", at(1, granted()), at(2, granted()), Change::Unchanged),
            ("an add-on lapsed", at(1, granted()), at(2, addon(0)), Change::Lapsed),
            ("an add-on was bought", at(1, granted()), at(2, addon(12_000)), Change::Grew),
            ("the period ended, and the next is like it", at(29, granted()), at(31, next), Change::Lapsed),
            (
                "the period ended, and the answer is a moment old",
                at(29, granted()),
                at(31, granted()),
                Change::Lapsed,
            ),
            ("it was renewed before its time", at(1, granted()), at(2, next), Change::Lapsed),
            ("the last add-on expired", at(179, granted()), at(181, granted()), Change::Lapsed),
            ("nothing is said any more", at(1, granted()), at(2, Granted::default()), Change::Unchanged),
            ("nothing was said before", at(1, Granted::default()), at(2, granted()), Change::Unchanged),
        ];
        for (name, before, after, expected) in table {
            assert_eq!(change(&[before, after]), expected, "{name}");
        }
    }

    /// An API that says "in 30 days" at every reading.
    #[test]
    fn a_reset_that_is_counted_from_the_reading_is_none() {
        let rolling = |day: i64| Granted { reset_at: Some(Millis((day + 30) * DAY)), ..granted() };
        let seen: Vec<Seen> = (1..9).map(|day| at(day, rolling(day))).collect();
        assert_eq!(change(&seen), Change::Unchanged);
    }

    #[test]
    fn one_lapse_among_many_readings_is_one() {
        let without = Granted { addon: Some(Credits(0)), ..granted() };
        let again = at(3, granted());
        assert_eq!(change(&[at(1, granted()), at(2, without), again]), Change::Lapsed, "bought again");
        assert_eq!(change(&[at(1, without), at(2, granted()), again]), Change::Grew);
        assert_eq!(change(&[at(1, granted())]), Change::Unchanged);
        assert_eq!(change(&[]), Change::Unchanged);
    }
}
