//! Credits expected → compared with the credits that left the balance.
//!
//! Charges of jobs that overlap cannot be told apart, so a settlement spans a *window*: from the
//! balance read before the first submission of a busy stretch to the balance read after its last
//! job ended. Whether the vendor charges or refunds failed items is not documented ("only the
//! balance tells"), so what is expected is a range. The pool is shared with people who click in
//! the vendor's app: more spent than expected is shown as such and never booked to a job.

use super::credits::Credits;

/// What one job of a window may have cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobCharge {
    /// What it is booked with: paid at most.
    pub charge: Credits,
    /// Contacts that were unlocked: certainly paid for, if they are among what was charged.
    pub unlocked: usize,
    /// What one contact was expected to cost; of several prices the mean.
    pub price: Credits,
    /// What the cheapest contact was expected to cost.
    pub lowest_price: Credits,
    /// The submission was written off, so whether it was charged is not known.
    pub unknown: bool,
}

impl JobCharge {
    /// What is certainly paid.
    fn at_least(&self) -> Credits {
        self.lowest_price.times(self.unlocked).min(self.charge)
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
    Unknown,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Matched => "matched",
            Verdict::Underspent => "underspent",
            Verdict::Overspent => "overspent",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Settles a window. A balance that could not be read is `None`, and the verdict `unknown`.
pub fn audit(jobs: &[JobCharge], before: Option<Credits>, after: Option<Credits>) -> Settlement {
    let expected_min = jobs.iter().map(JobCharge::at_least).sum();
    let expected_max = jobs.iter().map(|job| job.charge).sum();
    let spent = before.zip(after).map(|(before, after)| before - after);
    let verdict = match spent {
        None => Verdict::Unknown,
        Some(spent) if spent > expected_max => Verdict::Overspent,
        Some(spent) if spent < expected_min => Verdict::Underspent,
        // Within the range, but only because a written-off submission makes the range wide.
        Some(spent) if jobs.iter().any(|job| job.unknown) && spent > expected_min => Verdict::Unknown,
        Some(_) => Verdict::Matched,
    };
    Settlement { expected_min, expected_max, spent, verdict }
}

/// The price of one contact that a window shows, if it shows another one than was expected: the
/// whole number that explains what was spent when the expected price does not.
///
/// Somebody else's spending can look like a higher price. That is why the answer is used for
/// estimates only, where too much is harmless, and said aloud.
pub fn price_shown(jobs: &[JobCharge], settlement: &Settlement) -> Option<Credits> {
    let expected = jobs.first()?.price;
    let comparable = jobs.iter().all(|job| job.price == expected && job.has_one_price() && !job.unknown);
    let spent = settlement.spent?.0;
    if !comparable || settlement.verdict == Verdict::Matched || spent <= 0 {
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

/// The price of one contact that a window confirms: every job had this one price, and the balance matches.
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

    fn job(unlocked: usize, accepted: usize) -> JobCharge {
        let price = Credits(15);
        JobCharge { charge: price.times(accepted), unlocked, price, lowest_price: price, unknown: false }
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
        let two =
            JobCharge { charge, unlocked: 2, price: Credits(13), lowest_price: Credits(10), unknown: false };
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
            unlocked: 1,
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
        let verdicts = [Verdict::Matched, Verdict::Underspent, Verdict::Overspent, Verdict::Unknown];
        assert_eq!(verdicts.map(Verdict::as_str), ["matched", "underspent", "overspent", "unknown"]);
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
    fn jobs_that_cannot_be_compared_show_no_price() {
        let elsewhere = JobCharge { price: Credits(20), lowest_price: Credits(20), ..job(5, 5) };
        assert_eq!(shown_by(&[job(10, 10), elsewhere], 300), None, "two prices");
        let written_off = JobCharge { unknown: true, ..job(0, 10) };
        assert_eq!(shown_by(&[written_off], 200), None, "perhaps nothing was charged");
        assert_eq!(shown_by(&[job(0, 0)], 20), None, "nothing was bought");
    }

    proptest! {
        /// However the prices are, and whichever of the contacts that failed are refunded.
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
                unlocked: contacts.iter().filter(|(_, failed, _)| !failed).count(),
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
