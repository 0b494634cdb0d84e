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

/// What our own limits leave for an order, and how long it takes for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// `credits.daily_limit`, and what of it is left today.
    pub day: Option<(Credits, Credits)>,
    /// `credits.monthly_limit`, and what of it is left this month.
    pub month: Option<(Credits, Credits)>,
    /// UTC days that the daily limit takes, today included, if nothing else is bought. `None`: there is no such limit, or
    /// it is less than one unit costs.
    pub days: Option<u64>,
    cost: Credits,
}

impl Pace {
    /// For `units` at `price` each.
    pub fn of(
        units: usize,
        price: Credits,
        day: Option<(Credits, Credits)>,
        month: Option<(Credits, Credits)>,
    ) -> Pace {
        let within = |credits: Credits| match price.0 {
            ..=0 => u64::MAX,
            price => u64::try_from(credits.0 / price).unwrap_or(0),
        };
        let days = day.and_then(|(limit, left)| {
            let later = (units as u64).saturating_sub(within(left));
            (later == 0 || within(limit) > 0).then(|| 1 + later.div_ceil(within(limit).max(1)))
        });
        Pace { day, month, days, cost: price.times(units) }
    }

    /// What is to be said about it: a sentence for each limit that it does not fit in.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        match (self.day, self.days) {
            (Some((limit, left)), Some(days)) if days > 1 => words.push(format!(
                "credits.daily_limit = {limit} leaves {left} today: it takes at least {days} UTC days, today included."
            )),
            (Some((limit, _)), None) => words.push(format!(
                "One costs more than credits.daily_limit = {limit}: it waits until that limit is raised."
            )),
            _ => {}
        }
        match self.month {
            Some((limit, left)) if self.cost > left => words.push(format!(
                "credits.monthly_limit = {limit} leaves {left} this month: the rest waits for the next month."
            )),
            _ => {}
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_takes_as_many_days_as_the_daily_limit_makes_of_it() {
        let days = |units, price, limit, left| {
            Pace::of(units, Credits(price), Some((Credits(limit), Credits(left))), None).days
        };
        assert_eq!(days(4, 15, 60, 60), Some(1));
        assert_eq!(days(5, 15, 60, 60), Some(2));
        assert_eq!(days(5, 15, 74, 74), Some(2), "a limit is not divided within a contact");
        assert_eq!(days(4, 15, 60, 0), Some(2), "nothing is left today");
        assert_eq!(days(4, 15, 60, -300), Some(2), "others have spent more");
        assert_eq!(days(9, 15, 60, 15), Some(3));
        assert_eq!(days(1, 150, 60, 60), None, "one costs more than the limit");
        assert_eq!(days(0, 150, 60, 60), Some(1), "nothing to buy");
        assert_eq!(days(100, 0, 60, 0), Some(1), "it costs nothing");
        assert_eq!(Pace::of(9, Credits(15), None, None), Pace { cost: Credits(135), ..Pace::default() });
    }

    #[test]
    fn only_a_limit_that_the_order_does_not_fit_in_is_told() {
        let words = |units, left_today, left_this_month| {
            let limit = |limit, left| Some((Credits(limit), Credits(left)));
            Pace::of(units, Credits(15), limit(60, left_today), limit(600, left_this_month)).words().join(" ")
        };
        assert_eq!(words(4, 60, 600), "");
        let day = words(9, 30, 600);
        assert!(
            day.contains("leaves 30 today: it takes at least 3 UTC days") && !day.contains("month"),
            "{day}"
        );
        let month = words(4, 60, 45);
        assert!(month.starts_with("credits.monthly_limit = 600 leaves 45 this month"), "{month}");
    }

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
