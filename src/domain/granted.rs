//! Credits that were granted, and whether some of them lapsed between two readings of the balance.
//!
//! The balance may fall although nobody spends: an add-on expires, or a subscription is renewed and the rest of the old
//! one is gone. Spending changes what is left, and never the amounts that were granted. So if these amounts are equal in
//! two readings, a fall of the balance is spending, ours or somebody else's. If one of them fell, or an announced reset
//! has passed, the fall proves nothing.
//!
//! A balance that did *not* fall proves even less: credits that came in may hide a charge of the same size.
//! [`may_hide_spending`] is strict for that reason. Example: 30 credits are charged to the subscription, and 30 are
//! bought as an add-on. The total is the same as before.
//!
//! Source: the vendor's balance page (`subscriptionAmount`, `addonAmount`, `giftAmount`, `resetAt`, `addonExpireAt`);
//! the page implies, and does not say, that spending leaves the granted amounts unchanged.

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

/// One reading of the balance: what is left, and what was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub seen: Seen,
    pub total: Credits,
    /// Left of the subscription, of the add-ons and of the gifts.
    pub parts: [Credits; 3],
}

/// What happened to the granted credits between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As far as is known, nothing.
    Unchanged,
    /// More were granted, and none lapsed.
    Grew,
    /// Some lapsed, or a subscription was renewed: the balance proves nothing.
    Lapsed,
}

/// A reset time that moved by more than the time that has passed, and by more than this, was set again; in
/// milliseconds.
const JITTER_MS: i64 = 60_000;

/// What happened to the granted credits over these readings, oldest first.
pub fn change(seen: &[Seen]) -> Change {
    let changes: Vec<Change> = telling(seen).windows(2).map(|pair| between(&pair[0], &pair[1])).collect();
    match () {
        () if changes.contains(&Change::Lapsed) => Change::Lapsed,
        () if changes.contains(&Change::Grew) => Change::Grew,
        () => Change::Unchanged,
    }
}

/// Without those in the middle that say nothing of what was granted, as the answer to the unlock of an event does: the
/// readings around them are compared with each other.
fn telling(seen: &[Seen]) -> Vec<Seen> {
    let last = seen.len().saturating_sub(1);
    let tells = |at: usize| at == 0 || at == last || seen[at].granted != Granted::default();
    (0..seen.len()).filter(|at| tells(*at)).map(|at| seen[at]).collect()
}

/// Whether credits that came in between these readings, oldest first, may hide that others were spent. Then a
/// balance that did not fall is no sign that nothing was bought.
///
/// `refunds`: credits that other jobs may have got back in between, at most. Any other rise is unexplained.
pub fn may_hide_spending(readings: &[Reading], refunds: Credits) -> bool {
    let seen: Vec<Seen> = readings.iter().map(|reading| reading.seen).collect();
    // Unlike for a settlement, an amount or a moment that is said for the first time counts as well.
    let is_said_anew = || telling(&seen).windows(2).any(|pair| pair[0].granted != pair[1].granted);
    has_come_in(readings, refunds) || is_said_anew()
}

/// Whether credits came in between these readings, oldest first: more than `refunds`, which jobs may have got back in
/// between at most. Then a fall of the balance is not all that was spent, and matches nothing.
pub fn has_come_in(readings: &[Reading], refunds: Credits) -> bool {
    let seen: Vec<Seen> = readings.iter().map(|reading| reading.seen).collect();
    let neighbours = readings.windows(2).map(|pair| (&pair[0], &pair[1]));
    let exchanged = |(before, after): (&Reading, &Reading)| has_exchanged(before, after);
    change(&seen) != Change::Unchanged
        || neighbours.chain(readings.first().zip(readings.last())).any(exchanged)
        || rises(readings) > refunds
}

/// By how much the balance rose from one reading to the next, over all of them.
fn rises(readings: &[Reading]) -> Credits {
    let rises = readings.windows(2).map(|pair| (pair[1].total - pair[0].total).max(Credits::ZERO));
    rises.fold(Credits::ZERO, |sum, rise| sum + rise)
}

/// Whether one part fell while another rose. Spending never does that.
fn has_exchanged(before: &Reading, after: &Reading) -> bool {
    let parts = || before.parts.iter().zip(&after.parts);
    parts().any(|(before, after)| after > before) && parts().any(|(before, after)| after < before)
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

    fn reading(day: i64, granted: Granted, parts: [i64; 3]) -> Reading {
        Reading { seen: at(day, granted), total: Credits(parts.iter().sum()), parts: parts.map(Credits) }
    }

    /// 30 credits are charged to a subscription of 10,000 before the second reading, and hidden in these ways.
    #[test]
    fn credits_that_came_in_may_hide_that_others_were_spent() {
        let all = || granted();
        let addon = Granted { addon: Some(Credits(10_030)), ..granted() };
        let gift = Granted { gift: Some(Credits(80)), ..granted() };
        let renewed = Granted { reset_at: Some(Millis(50 * DAY)), ..granted() };
        let a_minute = Granted { reset_at: Some(Millis(30 * DAY + 1)), ..granted() };
        let longer = Granted { addon_expire_at: Some(Millis(200 * DAY)), ..granted() };
        let none = Granted { addon_expire_at: None, ..granted() };
        let table = [
            ("nothing was spent", all(), [10_000, 0, 0], false),
            ("it was spent, and is seen", all(), [9_970, 0, 0], false),
            ("from two parts", all(), [9_990, -20, 0], false),
            ("an add-on was bought", addon, [9_970, 30, 0], true),
            ("a gift came", gift, [9_970, 0, 30], true),
            ("the period was renewed", renewed, [10_000, 0, 0], true),
            ("the reset moved a little", a_minute, [10_000, 0, 0], true),
            ("another add-on expires last", longer, [10_000, 0, 0], true),
            ("no add-on expires any more", none, [10_000, 0, 0], true),
            ("nothing is said of what was granted", Granted::default(), [10_000, 0, 0], true),
            ("one part fell, another rose", all(), [9_970, 0, 30], true),
            ("it rose, for an unknown reason", all(), [10_030, 0, 0], true),
        ];
        for (name, after, parts, expected) in table {
            let readings = [reading(1, granted(), [10_000, 0, 0]), reading(2, after, parts)];
            assert_eq!(may_hide_spending(&readings, Credits::ZERO), expected, "{name}");
        }
        let silent = |day| reading(day, Granted::default(), [10_000, 0, 0]);
        assert!(!may_hide_spending(&[silent(1), silent(2)], Credits::ZERO), "never said, and unchanged");
        assert!(!may_hide_spending(&[silent(1)], Credits::ZERO));
        assert!(!may_hide_spending(&[], Credits::ZERO));
    }

    /// As at each reading of an API that counts the reset from now, or says the granted amounts late.
    #[test]
    fn what_is_only_said_anew_is_nothing_that_came_in() {
        let left = |day, granted, total: i64| reading(day, granted, [total, 0, 0]);
        let rolling = |day: i64| Granted { reset_at: Some(Millis((day + 30) * DAY)), ..granted() };
        assert!(!has_come_in(&[left(1, rolling(1), 10_000), left(2, rolling(2), 9_970)], Credits::ZERO));
        assert!(!has_come_in(&[left(1, Granted::default(), 100), left(2, granted(), 70)], Credits::ZERO));
        let bought = Granted { addon: Some(Credits(10_030)), ..granted() };
        assert!(has_come_in(&[left(1, granted(), 10_000), left(2, bought, 10_000)], Credits::ZERO));
        assert!(has_come_in(&[left(1, granted(), 100), left(2, granted(), 130)], Credits(29)));
        assert!(!has_come_in(&[left(1, granted(), 100), left(2, granted(), 130)], Credits(30)), "a refund");
    }

    #[test]
    fn what_came_in_between_two_of_many_readings_counts() {
        let left = |day, total| reading(day, granted(), [total, 0, 0]);
        let back_again = [left(1, 10_000), left(2, 9_970), left(3, 10_000)];
        assert!(may_hide_spending(&back_again, Credits::ZERO));
        assert!(may_hide_spending(&back_again, Credits(29)));
        assert!(!may_hide_spending(&back_again, Credits(30)), "another job may have got them back");
        let passing = [
            left(1, 10_000),
            reading(2, Granted { gift: Some(Credits(80)), ..granted() }, [9_970, 0, 0]),
            left(3, 9_970),
        ];
        assert!(may_hide_spending(&passing, Credits(99)), "an amount that moved there and back");
        let slowly = [left(1, 10_000), left(2, 9_970), reading(3, granted(), [9_970, 0, 30])];
        assert!(may_hide_spending(&slowly, Credits(99)), "from the first to the last");
    }

    /// It says what is left, and nothing of what was granted.
    #[test]
    fn the_unlock_of_an_event_in_between_hides_nothing_and_shows_no_change() {
        let left = |day, total| reading(day, granted(), [total, 0, 0]);
        let event = |total| reading(2, Granted::default(), [total, 0, 0]);
        assert!(!may_hide_spending(&[left(1, 10_000), event(8_000), left(3, 7_900)], Credits::ZERO));
        assert!(
            may_hide_spending(&[left(1, 10_000), event(8_000), left(3, 8_030)], Credits::ZERO),
            "it rose"
        );
        let gift = reading(3, Granted { gift: Some(Credits(80)), ..granted() }, [7_900, 0, 30]);
        assert!(may_hide_spending(&[left(1, 10_000), event(8_000), gift], Credits::ZERO), "a gift came");
        assert!(may_hide_spending(&[event(8_000), left(3, 7_900)], Credits::ZERO), "not known before");
        let without = Granted { addon: Some(Credits(0)), ..granted() };
        let lapsed = [at(1, granted()), at(2, Granted::default()), at(3, without)];
        assert_eq!(change(&lapsed), Change::Lapsed, "around it");
        assert_eq!(
            change(&[at(29, granted()), at(31, Granted::default())]),
            Change::Lapsed,
            "its time has passed"
        );
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
