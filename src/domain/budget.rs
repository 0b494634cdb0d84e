//! When a limit on credits is worth a warning, and when an hour costs more than usual.
//!
//! A warning says the highest part of a limit that is reached, 50, 80 or 100 %, so what is spent at once past two of
//! them is one warning. Whether it was told before is the store's to know.

use super::credits::Credits;
use super::ids::Millis;
use super::words::words;

/// Parts of a limit, in percent.
pub const PARTS: [u32; 3] = [50, 80, 100];

/// An hour is unusual from this many times the usual on.
const TIMES_USUAL: i64 = 3;

/// Hours with spending in the week before, below which nothing is usual yet.
const HOURS_FOR_USUAL: usize = 3;

words! {
    /// What a warning is about. The words are those of `budget_warnings.limit_name`.
    Limit {
        /// `credits.daily_limit`, of an owner.
        Daily = "daily_limit",
        /// `credits.monthly_limit`, of an owner.
        Monthly = "monthly_limit",
        /// `http.tokens.NAME.daily_credits`.
        Token = "token_daily_credits",
        /// Three times the week's usual hour, of an owner.
        Hour = "usual_hour",
    }
}

/// A part of a limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The owner, or the name of the token.
    pub subject: String,
    pub limit: Limit,
    /// The start of the day, month or hour.
    pub period: Millis,
    pub percent: u32,
    pub spent: Credits,
    pub of: Credits,
}

/// The highest part of a limit that is reached, in percent.
pub fn reached(spent: Credits, limit: Credits) -> Option<u32> {
    let is_reached = |percent: &u32| {
        spent.0 > 0 && i128::from(spent.0) * 100 >= i128::from(limit.0) * i128::from(*percent)
    };
    PARTS.into_iter().rev().find(is_reached)
}

/// What an hour usually costs: the mean of those hours of the week before in which something was spent. `None`: too few
/// to say.
pub fn usual_hour(week: &[Credits]) -> Option<Credits> {
    let spent: Vec<i64> = week.iter().map(|credits| credits.0).filter(|credits| *credits > 0).collect();
    if spent.len() < HOURS_FOR_USUAL {
        return None;
    }
    let sum = spent.iter().fold(0_i64, |sum, credits| sum.saturating_add(*credits));
    Some(Credits(sum / spent.len() as i64))
}

/// The credits from which on an hour is unusual.
pub fn unusual_from(usual: Credits) -> Credits {
    Credits(usual.0.saturating_mul(TIMES_USUAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(spent: i64, limit: i64) -> Option<u32> {
        reached(Credits(spent), Credits(limit))
    }

    #[test]
    fn the_highest_part_that_is_reached_is_told() {
        for (spent, expected) in [
            (0, None),
            (499, None),
            (500, Some(50)),
            (799, Some(50)),
            (800, Some(80)),
            (999, Some(80)),
            (1_000, Some(100)),
            (5_000, Some(100)),
        ] {
            assert_eq!(part(spent, 1_000), expected, "{spent}");
        }
        assert_eq!(part(-1, 1_000), None, "a lapse is no spending");
    }

    #[test]
    fn a_limit_of_nothing_is_reached_by_the_first_credit_only() {
        assert_eq!((part(0, 0), part(1, 0)), (None, Some(100)));
        assert_eq!(part(i64::MAX, i64::MAX), Some(100));
    }

    #[test]
    fn an_hour_is_usual_by_the_hours_in_which_something_was_spent() {
        let credits = |all: &[i64]| all.iter().map(|one| Credits(*one)).collect::<Vec<_>>();
        assert_eq!(usual_hour(&credits(&[0; 168])), None);
        assert_eq!(usual_hour(&credits(&[0, 300, 0, 100])), None, "two hours are no week");
        assert_eq!(usual_hour(&credits(&[0, 300, 0, 100, 200])), Some(Credits(200)));
        assert_eq!(unusual_from(Credits(200)), Credits(600));
        assert_eq!(unusual_from(Credits(i64::MAX)), Credits(i64::MAX));
    }

    proptest::proptest! {
        #[test]
        fn more_spending_never_reaches_less(spent in 0..10_000_i64, more in 0..10_000_i64, limit in 1..10_000_i64) {
            proptest::prop_assert!(part(spent, limit) <= part(spent + more, limit));
        }
    }
}
