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
    /// Contacts that were unlocked: certainly paid for.
    pub unlocked: usize,
    /// Contacts that the task accepted: paid for at most.
    pub accepted: usize,
    /// What one contact was expected to cost.
    pub price: Credits,
    /// The submission was written off, so whether it was charged is not known.
    pub unknown: bool,
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
    let expected_min = jobs.iter().map(|job| job.price.times(job.unlocked)).sum();
    let expected_max = jobs.iter().map(|job| job.price.times(job.accepted.max(job.unlocked))).sum();
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
    let comparable = jobs.iter().all(|job| job.price == expected && !job.unknown);
    let spent = settlement.spent?.0;
    if !comparable || settlement.verdict == Verdict::Matched || spent <= 0 {
        return None;
    }
    let total = |count: fn(&JobCharge) -> usize| jobs.iter().map(count).sum::<usize>() as i64;
    let (accepted, unlocked) = (total(|job| job.accepted), total(|job| job.unlocked));
    [accepted, unlocked]
        .into_iter()
        .find(|count| *count > 0 && spent % count == 0)
        .map(|count| Credits(spent / count))
        .filter(|price| *price != expected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(unlocked: usize, accepted: usize) -> JobCharge {
        JobCharge { unlocked, accepted, price: Credits(15), unknown: false }
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
        let elsewhere = JobCharge { price: Credits(20), ..job(5, 5) };
        assert_eq!(shown_by(&[job(10, 10), elsewhere], 300), None, "two prices");
        let written_off = JobCharge { unknown: true, ..job(0, 10) };
        assert_eq!(shown_by(&[written_off], 200), None, "perhaps nothing was charged");
        assert_eq!(shown_by(&[job(0, 0)], 20), None, "nothing was bought");
    }

    proptest! {
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
