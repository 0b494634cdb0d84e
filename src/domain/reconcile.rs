//! Compares credits expected with the credits that left the balance.
//!
//! Charges of jobs that overlap cannot be separated, so a settlement covers a *window*: from the balance
//! before the first submission of a busy time to the balance after its last job ended. The vendor does not
//! document whether failed items are charged or refunded ("only the balance tells"), so the expectation is a
//! range. People who use the vendor's app spend from the same pool: if more was spent than expected, this is
//! shown and never booked to a job. If granted credits lapsed in between ([`super::granted`]), the balance
//! proves nothing. If credits came in, or the balance does not show a charge that no answer confirmed, a figure within
//! the range is no match either.

use super::credits::Credits;
use super::granted::{self, Change, Reading, Seen};

/// The possible cost of one job of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobCharge {
    /// Its booked charge: the most that was paid.
    pub charge: Credits,
    /// The contacts that it was charged for; for a direct action, 0.
    pub contacts: usize,
    /// Contacts that were unlocked: certainly paid for, if they are among those that were charged.
    pub unlocked: usize,
    /// Contacts that turned out to be unlocked, where only reading shows that it was carried out: the booked charge may
    /// be somebody else's. 0 where an answer or a task says what was charged.
    pub found: usize,
    /// The expected price of one contact; the mean if there are several.
    pub price: Credits,
    /// The expected price of the cheapest contact.
    pub lowest_price: Credits,
    /// The submission was written off, so its charge is not known.
    pub unknown: bool,
}

impl JobCharge {
    /// The part that was certainly paid.
    fn at_least(&self) -> Credits {
        self.lowest_price.times(self.unlocked).min(self.charge)
    }

    /// The part that the balance has to show, so that the charge is matched.
    fn must_show(&self) -> Credits {
        self.lowest_price.times(self.unlocked.max(self.found)).min(self.charge)
    }

    fn has_one_price(&self) -> bool {
        self.lowest_price == self.price
    }
}

/// The result of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub expected_min: Credits,
    pub expected_max: Credits,
    pub spent: Option<Credits>,
    pub verdict: Verdict,
}

/// The words of `credit_audit.verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Matched,
    Underspent,
    Overspent,
    /// Credits lapsed, or new ones were granted, so the fall of the balance proves nothing.
    Lapsed,
    Unknown,
}

impl Settlement {
    /// The same settlement, given the readings of the balance from its first to its last, oldest first. Credits that came
    /// in may hide spending, and never look like spending: so nothing is matched then, and another verdict stays.
    ///
    /// Example: 15 credits are booked for a contact that failed, and 15 are bought meanwhile. The balance is what it
    /// was, which shows neither the charge nor that there was none.
    pub fn with(self, readings: &[Reading]) -> Settlement {
        let seen: Vec<Seen> = readings.iter().map(|reading| reading.seen).collect();
        let refunds = (self.expected_max - self.expected_min).max(Credits::ZERO);
        let verdict = match (granted::change(&seen), self.spent) {
            (Change::Lapsed, Some(_)) => Verdict::Lapsed,
            _ if self.verdict == Verdict::Matched && granted::has_come_in(readings, refunds) => {
                Verdict::Unknown
            }
            _ => self.verdict,
        };
        Settlement { verdict, ..self }
    }
}

impl Verdict {
    pub const ALL: [Verdict; 5] =
        [Verdict::Matched, Verdict::Underspent, Verdict::Overspent, Verdict::Lapsed, Verdict::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Matched => "matched",
            Verdict::Underspent => "underspent",
            Verdict::Overspent => "overspent",
            Verdict::Lapsed => "lapsed",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Settles a window. A balance that could not be read is `None`, and then the verdict is `unknown`.
pub fn audit(jobs: &[JobCharge], before: Option<Credits>, after: Option<Credits>) -> Settlement {
    let expected_min = jobs.iter().map(JobCharge::at_least).sum();
    let expected_max = jobs.iter().map(|job| job.charge).sum();
    let must_show: Credits = jobs.iter().map(JobCharge::must_show).sum();
    let spent = before.zip(after).map(|(before, after)| before - after);
    let verdict = match spent {
        None => Verdict::Unknown,
        Some(spent) if spent > expected_max => Verdict::Overspent,
        Some(spent) if spent < expected_min => Verdict::Underspent,
        // Within the range, but only because a written-off submission makes the range wide.
        Some(spent) if jobs.iter().any(|job| job.unknown) && spent > expected_min => Verdict::Unknown,
        // A charge that was booked because its contacts are unlocked has not left the balance.
        Some(spent) if spent < must_show => Verdict::Unknown,
        Some(_) => Verdict::Matched,
    };
    Settlement { expected_min, expected_max, spent, verdict }
}

/// Whether the API charged more than it had said: more left the balance than all charges, and a whole price for
/// each contact explains it. Spending of others can look the same, so once proves nothing.
pub fn exceeds_price(jobs: &[JobCharge], settlement: &Settlement) -> bool {
    let Some(spent) = settlement.spent.filter(|_| settlement.verdict == Verdict::Overspent) else {
        return false;
    };
    let is_whole = |units: usize| i64::try_from(units.max(1)).is_ok_and(|units| spent.0 % units == 0);
    let accepted: usize = jobs.iter().map(|job| job.contacts.max(1)).sum();
    let unlocked: usize = jobs.iter().map(|job| job.unlocked).sum();
    let is_charged = jobs.iter().any(|job| job.charge > Credits::ZERO);
    is_charged && !jobs.iter().any(|job| job.unknown) && (is_whole(accepted) || is_whole(unlocked))
}

/// The price of one contact that a window shows, if it differs from the expected one: the whole number that
/// explains the spending when the expected price does not.
///
/// Spending of another program or person can look like a higher price. So the result is used only for
/// estimates, where too much does no harm, and it is reported.
pub fn price_shown(jobs: &[JobCharge], settlement: &Settlement) -> Option<Credits> {
    let expected = jobs.first()?.price;
    let comparable = jobs.iter().all(|job| job.price == expected && job.has_one_price() && !job.unknown);
    let spent = settlement.spent?.0;
    let proves_none = matches!(settlement.verdict, Verdict::Matched | Verdict::Lapsed);
    if !comparable || proves_none || spent <= 0 {
        return None;
    }
    let contacts = |amount: Credits| amount.0 / expected.0.max(1);
    let accepted: i64 = jobs.iter().map(|job| contacts(job.charge)).sum();
    let unlocked: i64 = jobs.iter().map(|job| contacts(job.at_least())).sum();
    [accepted, unlocked]
        .into_iter()
        .find(|count| *count > 0 && spent % count == 0)
        .map(|count| Credits(spent / count))
        .filter(|price| *price != expected)
}

/// The price of one contact that a window confirms: all jobs had this price, and the balance matches.
pub fn price_confirmed(jobs: &[JobCharge], settlement: &Settlement) -> Option<Credits> {
    let price = jobs.first()?.price;
    let is_bought_at = |job: &JobCharge| job.has_one_price() && job.price == price && job.charge >= price;
    let is_confirmed = settlement.verdict == Verdict::Matched && settlement.expected_min > Credits::ZERO;
    (is_confirmed && jobs.iter().all(is_bought_at)).then_some(price)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::granted::Granted;
    use crate::domain::ids::Millis;

    fn job(unlocked: usize, accepted: usize) -> JobCharge {
        let price = Credits(15);
        JobCharge {
            charge: price.times(accepted),
            contacts: accepted,
            unlocked,
            found: 0,
            price,
            lowest_price: price,
            unknown: false,
        }
    }

    fn verdict(jobs: &[JobCharge], spent: i64) -> Verdict {
        audit(jobs, Some(Credits(10_000)), Some(Credits(10_000 - spent))).verdict
    }

    #[test]
    fn the_range_covers_failed_items_charged_or_not() {
        let jobs = [job(6, 8), job(2, 2)];
        let table = [
            (119, Verdict::Underspent),
            (120, Verdict::Matched),
            (150, Verdict::Matched),
            (151, Verdict::Overspent),
            (-500, Verdict::Underspent),
        ];
        for (spent, expected) in table {
            assert_eq!(verdict(&jobs, spent), expected, "{spent}");
        }
    }

    #[test]
    fn without_a_balance_the_verdict_is_unknown() {
        assert_eq!(audit(&[job(1, 1)], None, Some(Credits(5))).verdict, Verdict::Unknown);
        assert_eq!(audit(&[job(1, 1)], Some(Credits(5)), None).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_written_off_submission_that_may_have_been_charged_is_not_called_matched() {
        let written_off = JobCharge { unknown: true, ..job(0, 10) };
        assert_eq!(verdict(&[written_off], 150), Verdict::Unknown);
        assert_eq!(verdict(&[written_off], 0), Verdict::Matched);
        assert_eq!(verdict(&[written_off], 151), Verdict::Overspent);
    }

    #[test]
    fn contacts_at_two_prices_match_when_all_of_the_charge_is_gone() {
        let charge = Credits(25);
        let two = JobCharge {
            charge,
            contacts: 2,
            unlocked: 2,
            found: 0,
            price: Credits(13),
            lowest_price: Credits(10),
            unknown: false,
        };
        let table = [
            (25, Verdict::Matched),
            (26, Verdict::Overspent),
            (20, Verdict::Matched),
            (19, Verdict::Underspent),
        ];
        for (spent, expected) in table {
            assert_eq!(verdict(&[two], spent), expected, "{spent}");
        }
        let one = JobCharge { unlocked: 1, ..two };
        assert_eq!(verdict(&[one], 10), Verdict::Matched, "the other one failed, and was refunded");
        assert_eq!(shown_by(&[two], 26), None, "no price is learned from two");
        let settlement = audit(&[two], Some(Credits(25)), Some(Credits::ZERO));
        assert_eq!(price_confirmed(&[two], &settlement), None);
    }

    #[test]
    fn a_price_is_confirmed_when_every_job_had_it_and_the_balance_matches() {
        let confirmed = |jobs: &[JobCharge], spent: i64| {
            price_confirmed(jobs, &audit(jobs, Some(Credits(1_000)), Some(Credits(1_000 - spent))))
        };
        let other = JobCharge {
            charge: Credits(20),
            contacts: 1,
            unlocked: 1,
            found: 0,
            price: Credits(20),
            lowest_price: Credits(20),
            unknown: false,
        };
        assert_eq!(confirmed(&[job(2, 2), job(1, 1)], 45), Some(Credits(15)));
        assert_eq!(confirmed(&[job(2, 2)], 31), None, "the balance does not match");
        assert_eq!(confirmed(&[job(2, 2), other], 50), None, "two prices");
        assert_eq!(confirmed(&[job(2, 2), job(0, 0)], 30), None, "one bought nothing");
        assert_eq!(confirmed(&[job(0, 2)], 30), None, "nothing is certain");
    }

    #[test]
    fn each_verdict_has_its_word() {
        let words = ["matched", "underspent", "overspent", "lapsed", "unknown"];
        assert_eq!(Verdict::ALL.map(Verdict::as_str), words);
    }

    #[test]
    fn when_credits_lapsed_the_fall_proves_nothing_and_shows_no_price() {
        for spent in [0, 30, 45, 8_045, -35_000] {
            let told = audit(&[job(3, 3)], Some(Credits(50_000)), Some(Credits(50_000 - spent)));
            let lapsed = told.with(&readings(Some(0), -spent));
            assert_eq!((lapsed.verdict, lapsed.spent), (Verdict::Lapsed, told.spent), "{spent}");
            let prices = (price_shown(&[job(3, 3)], &lapsed), price_confirmed(&[job(3, 3)], &lapsed));
            assert_eq!(prices, (None, None), "{spent}");
            assert_eq!(told.with(&readings(Some(100), -spent.abs())), told);
        }
        let unread = audit(&[job(3, 3)], None, None).with(&readings(Some(0), 0));
        assert_eq!(unread.verdict, Verdict::Unknown);
    }

    /// Two readings: 100 credits were granted, then this many; and the balance moved by so many.
    fn readings(granted_then: Option<i64>, moved: i64) -> [Reading; 2] {
        let reading = |at, granted: Option<i64>, total| Reading {
            seen: Seen {
                at: Millis(at),
                granted: Granted { addon: granted.map(Credits), ..Granted::default() },
            },
            total: Credits(total),
            parts: [Credits::ZERO, Credits(total), Credits::ZERO],
        };
        [reading(1, Some(100), 50_000), reading(2, granted_then, 50_000 + moved)]
    }

    #[test]
    fn nothing_is_matched_while_credits_came_in() {
        let settled = |unlocked, spent: i64, granted_then| {
            let told = audit(&[job(unlocked, 1)], Some(Credits(50_000)), Some(Credits(50_000 - spent)));
            told.with(&readings(Some(granted_then), -spent)).verdict
        };
        assert_eq!(settled(0, 0, 100), Verdict::Matched, "it failed, and was not charged");
        assert_eq!(settled(0, 0, 115), Verdict::Unknown, "15 were bought, which may hide the charge");
        assert_eq!(settled(1, 15, 130), Verdict::Unknown, "somebody spent what was bought");
        assert_eq!(settled(1, 0, 115), Verdict::Underspent, "it was charged for certain");
        assert_eq!(settled(1, 30, 115), Verdict::Overspent);
        assert_eq!(settled(0, -15, 100), Verdict::Underspent, "a top-up of which nothing is said");
    }

    #[test]
    fn a_charge_that_only_reading_found_is_matched_when_the_balance_shows_it() {
        let found = |found, accepted| JobCharge { found, ..job(0, accepted) };
        assert_eq!(verdict(&[found(1, 1)], 15), Verdict::Matched);
        assert_eq!(verdict(&[found(1, 1)], 0), Verdict::Unknown, "somebody else may have paid for it");
        assert_eq!(verdict(&[found(1, 1)], 16), Verdict::Overspent);
        assert_eq!(verdict(&[found(8, 10)], 120), Verdict::Matched, "two of ten failed");
        assert_eq!(verdict(&[found(8, 10), job(2, 2)], 30), Verdict::Unknown);
        assert_eq!(verdict(&[found(8, 10), job(2, 2)], 29), Verdict::Underspent);
        assert_eq!(verdict(&[found(0, 1)], 0), Verdict::Matched, "none of it is unlocked");
    }

    fn shown_by(jobs: &[JobCharge], spent: i64) -> Option<Credits> {
        price_shown(jobs, &audit(jobs, Some(Credits(10_000)), Some(Credits(10_000 - spent))))
    }

    #[test]
    fn a_changed_price_shows_itself() {
        let shown = |spent| shown_by(&[job(8, 10)], spent);
        assert_eq!(shown(200), Some(Credits(20)));
        assert_eq!(shown(150), None, "as expected");
        assert_eq!(shown(168), Some(Credits(21)), "only the unlocked are charged");
        assert_eq!(shown(151), None, "no whole price explains it");
        assert_eq!(shown(130), None, "within the range, though 13 for each would explain it");
        assert_eq!(shown(-150), None, "a top-up");
    }

    #[test]
    fn a_price_is_exceeded_when_a_whole_price_for_each_contact_explains_what_left_the_balance() {
        let exceeds = |jobs: &[JobCharge], spent: i64| {
            exceeds_price(jobs, &audit(jobs, Some(Credits(10_000)), Some(Credits(10_000 - spent))))
        };
        let quoted_1 = |contacts| JobCharge {
            charge: Credits(1),
            price: Credits(1),
            lowest_price: Credits(1),
            ..job(contacts, contacts)
        };
        assert!(exceeds(&[quoted_1(3)], 45), "1 credit was quoted for all three");
        assert!(exceeds(&[quoted_1(3), quoted_1(1)], 60));
        assert!(exceeds(&[job(8, 10)], 168), "21 for each that was unlocked");
        assert!(!exceeds(&[job(8, 10)], 150), "as expected");
        assert!(!exceeds(&[job(8, 10)], 157), "somebody else");
        assert!(!exceeds(&[job(0, 0)], 20), "nothing was bought");
        let written_off = JobCharge { unknown: true, ..job(10, 10) };
        assert!(!exceeds(&[written_off], 200));
        let lapsed = audit(&[job(3, 3)], Some(Credits(100)), Some(Credits(40))).with(&readings(Some(0), -60));
        assert!(!exceeds_price(&[job(3, 3)], &lapsed));
    }

    #[test]
    fn jobs_that_cannot_be_compared_show_no_price() {
        let elsewhere = JobCharge { price: Credits(20), lowest_price: Credits(20), ..job(5, 5) };
        assert_eq!(shown_by(&[job(10, 10), elsewhere], 300), None, "two prices");
        let written_off = JobCharge { unknown: true, ..job(0, 10) };
        assert_eq!(shown_by(&[written_off], 200), None, "perhaps nothing was charged");
        assert_eq!(shown_by(&[job(0, 0)], 20), None, "nothing was bought");
    }

    proptest! {
        /// For any prices, and for any refunds of contacts that failed.
        #[test]
        fn what_was_charged_and_perhaps_refunded_always_matches(
            contacts in prop::collection::vec((1..100_i64, any::<bool>(), any::<bool>()), 1..20),
        ) {
            let charge: i64 = contacts.iter().map(|(price, _, _)| price).sum();
            let refunded: i64 =
                contacts.iter().filter(|(_, failed, back)| *failed && *back).map(|(price, _, _)| price).sum();
            let count = contacts.len() as i64;
            let job = JobCharge {
                charge: Credits(charge),
                contacts: contacts.len(),
                unlocked: contacts.iter().filter(|(_, failed, _)| !failed).count(),
                found: 0,
                price: Credits((charge + count - 1) / count),
                lowest_price: Credits(contacts.iter().map(|(price, _, _)| *price).min().unwrap_or_default()),
                unknown: false,
            };
            prop_assert_eq!(verdict(&[job], charge - refunded), Verdict::Matched);
        }

        #[test]
        fn a_settlement_does_not_depend_on_the_order_of_jobs(
            jobs in prop::collection::vec((0..50_usize, 0..50_usize), 0..10), spent in -100..5_000_i64,
        ) {
            let mut jobs: Vec<_> = jobs.iter().map(|(a, b)| job(*a.min(b), *a.max(b))).collect();
            let forward = verdict(&jobs, spent);
            jobs.reverse();
            prop_assert_eq!(forward, verdict(&jobs, spent));
        }
    }
}
