//! Credits: what something may cost, and whether that may be spent now.
//!
//! The guard is before the call: the possible cost of a submission is held in the ledger in the same
//! transaction as the intent to send it, so local figures may overstate spending and never understate it. The
//! API's own 402 is only the last guard.

use std::{fmt, iter::Sum, ops};

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::granted::Granted;
use super::ids::Millis;
use super::job::WaitReason;

/// An amount of credits. Whole numbers; negative only as a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credits(pub i64);

impl Credits {
    pub const ZERO: Credits = Credits(0);

    /// The largest credible amount of credits. A larger figure from the API counts as an error, and nothing
    /// above it is booked, so no sum in the database can overflow.
    pub const MOST: Credits = Credits(1_000_000_000_000);

    /// Whether a figure from outside is not credible.
    pub fn is_absurd(self) -> bool {
        self.0.unsigned_abs() > Credits::MOST.0.unsigned_abs()
    }

    /// This figure, limited to the largest amount that is booked.
    pub fn bookable(self) -> Credits {
        self.clamp(Credits(-Credits::MOST.0), Credits::MOST)
    }

    /// The amount that a person typed: digits, or groups of three digits with one kind of separator between them. Anything
    /// else is no amount: 15.0 could mean 15, or 150 with a separator in a wrong place.
    pub fn typed(text: &str) -> Option<Credits> {
        let text = text.trim();
        let separates =
            |char: char| char.is_whitespace() || matches!(char, ',' | '.' | '\'' | '_' | '\u{2019}');
        let groups: Vec<&str> = match text.chars().find(|char| separates(*char)) {
            Some(separator) => text.split(separator).collect(),
            None => vec![text],
        };
        let is_grouped = groups.len() == 1
            || (groups[1..].iter().all(|group| group.len() == 3) && (1..=3).contains(&groups[0].len()));
        let digits = groups.concat();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number && is_grouped).map(Credits)
    }

    /// This price for `count` contacts; saturates instead of wrapping.
    pub fn times(self, count: usize) -> Credits {
        Credits(self.0.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    /// The part of this amount for `count` of `of` contacts, rounded down.
    pub fn part(self, count: usize, of: usize) -> Credits {
        let part = i128::from(self.0) * count as i128 / (of.max(1) as i128);
        Credits(i64::try_from(part).unwrap_or(self.0))
    }
}

/// As people read amounts: 12,345. A figure that a person must type, or write into a configuration, is shown
/// without the comma.
impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        let mut text = if self.0 < 0 { "-".to_owned() } else { String::new() };
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

impl ops::Add for Credits {
    type Output = Credits;
    fn add(self, other: Credits) -> Credits {
        Credits(self.0.saturating_add(other.0))
    }
}

impl ops::Sub for Credits {
    type Output = Credits;
    fn sub(self, other: Credits) -> Credits {
        Credits(self.0.saturating_sub(other.0))
    }
}

impl Sum for Credits {
    fn sum<I: Iterator<Item = Credits>>(credits: I) -> Credits {
        credits.fold(Credits::ZERO, ops::Add::add)
    }
}

/// The configured price of one unit of each action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    pub email: Credits,
    pub phone: Credits,
    pub event: Credits,
    pub visitors: Credits,
    /// Both layers; the API charges less where one is open already.
    pub full_access: Credits,
    pub search: Credits,
}

impl Prices {
    /// The least that one unit of an action can cost: full access charges for one layer alone if the other is open.
    pub fn least(&self, action: Action) -> Credits {
        match action {
            Action::UnlockEventFullAccess => self.full_access.min(self.event).min(self.visitors),
            action => self.of(action),
        }
    }

    pub fn of(&self, action: Action) -> Credits {
        match action {
            Action::UnlockContactEmails => self.email,
            Action::UnlockContactPhones => self.phone,
            Action::UnlockEventContacts => self.event,
            Action::UnlockEventVisitors => self.visitors,
            Action::UnlockEventFullAccess => self.full_access,
            Action::SearchExhibitorCompanies
            | Action::SearchExhibitorEvents
            | Action::SearchPersonnelEvents => self.search,
        }
    }
}

/// Whether a person has to approve a request's cost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    NotNeeded,
    /// Above `credits.approve_above`, or above what was approved.
    Needed,
    /// Above the row's own `max_credits`: it is never spent.
    OverMaxCredits,
}

/// Judges a request's quote. `approved` is the amount that a person has approved: `approved = 1` in the row
/// approves the first quote, `unlockd approve` the quote that it showed.
pub fn approval(
    quote: Credits,
    approve_above: Credits,
    max_credits: Option<Credits>,
    approved: Option<Credits>,
) -> Approval {
    if max_credits.is_some_and(|max| quote > max) {
        Approval::OverMaxCredits
    } else if quote <= approve_above || approved.is_some_and(|approved| quote <= approved) {
        Approval::NotNeeded
    } else {
        Approval::Needed
    }
}

/// An account's credits. The API spends `subscription` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    pub total: Credits,
    pub subscription: Credits,
    pub addon: Credits,
    pub gift: Credits,
    /// The granted amounts of the same sources, if the answer named them.
    pub granted: Granted,
}

/// The figures that decide what may be spent on an account now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    /// The last balance read.
    pub balance: Credits,
    /// When it was read.
    pub balance_at: Millis,
    /// Charged since then.
    pub charged_since: Credits,
    /// Of that, what was booked for contacts, and for how many.
    pub contacts_since: (Credits, i64),
    /// The least that the price list says for a contact.
    pub list_price: Credits,
    /// Held for submissions without an answer.
    pub held: Credits,
    /// `credits.min_balance`
    pub min_balance: Credits,
    /// `credits.daily_limit`
    pub daily_limit: Option<Credits>,
    /// `credits.monthly_limit`
    pub monthly_limit: Option<Credits>,
    /// Booked in this UTC day, and what left the balance beyond what was booked.
    pub spent_today: Credits,
    /// The same in this UTC month.
    pub spent_this_month: Credits,
}

impl Purse {
    /// Free to spend: the balance less later charges, holds and the configured minimum.
    pub fn available(&self) -> Credits {
        self.balance - self.charged_since - self.held - self.min_balance
    }

    /// Whether contacts were booked since then at less than the price list says: only a balance shows that it is true.
    /// Usually it is, since some of them were unlocked already. But an API may name one figure and charge another, and
    /// a limit must not be passed by that again and again.
    pub fn trusts_a_figure(&self) -> bool {
        let (booked, contacts) = self.contacts_since;
        self.lowest_limit().is_some() && booked < Credits(self.list_price.0.saturating_mul(contacts))
    }

    /// The lower of the two limits: no submission may cost more, whatever the day.
    pub fn lowest_limit(&self) -> Option<Credits> {
        self.daily_limit.into_iter().chain(self.monthly_limit).min()
    }

    /// What the daily limit leaves; `None`: there is no such limit.
    pub fn left_today(&self) -> Option<Credits> {
        Some(self.daily_limit? - self.spent_today - self.held)
    }

    /// What the monthly limit leaves; `None`: there is no such limit.
    pub fn left_this_month(&self) -> Option<Credits> {
        Some(self.monthly_limit? - self.spent_this_month - self.held)
    }
}

/// Whether a submission may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Go,
    /// The last balance is too old to decide.
    ReadBalance,
    Wait(WaitReason),
}

/// The age from which a balance no longer allows a submission, in milliseconds.
pub const BALANCE_IS_STALE_AFTER_MS: i64 = 60_000;

/// How many contacts one submission may have so that it costs at most the limit of a whole day or month. At least one:
/// if even that costs more than the limit, it is shown as waiting for the limit.
pub fn most_within(price: Credits, limit: Credits) -> u32 {
    let most = limit.0.checked_div(price.0).unwrap_or(i64::MAX);
    u32::try_from(most.max(1)).unwrap_or(u32::MAX)
}

/// Decides on a submission that may cost `cost`. `purse` is `None` if no balance was ever read.
pub fn admit(cost: Credits, purse: Option<&Purse>, now: Millis) -> Admission {
    let Some(purse) = purse else {
        return Admission::ReadBalance;
    };
    match lacks(cost, purse) {
        Some(WaitReason::Budget) => Admission::Wait(WaitReason::Budget),
        _ if !is_fresh(purse, now) => Admission::ReadBalance,
        Some(reason) => Admission::Wait(reason),
        None => Admission::Go,
    }
}

/// Whether a balance is new enough for a decision.
pub fn is_fresh(purse: &Purse, now: Millis) -> bool {
    let is_recent = now.since(purse.balance_at) < BALANCE_IS_STALE_AFTER_MS && purse.balance_at <= now;
    is_recent && !purse.trusts_a_figure()
}

/// What is missing for a submission that may cost `cost`, by the last known figures, even old ones.
pub fn lacks(cost: Credits, purse: &Purse) -> Option<WaitReason> {
    let left = purse.left_today().into_iter().chain(purse.left_this_month()).min();
    if left.is_some_and(|left| cost > left) {
        Some(WaitReason::Budget)
    } else if cost > purse.available() {
        Some(WaitReason::InsufficientCredits)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_shown_with_their_digits_grouped() {
        let texts = [0, 999, 1_000, -1_234_567].map(|credits| Credits(credits).to_string());
        assert_eq!(texts, ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!(format!("{:>6}", Credits(1_500)), " 1,500");
    }

    /// A report: 15.0 and 1,5,0 approved 150 credits.
    #[test]
    fn an_amount_is_typed_with_digits_or_whole_groups_and_nothing_else() {
        for text in ["1800", "1,800", " 1.800 ", "1 800", "1'800", "1_800", "1\u{a0}800", "1\u{2019}800\n"] {
            assert_eq!(Credits::typed(text), Some(Credits(1_800)), "{text:?}");
        }
        for text in [
            "", "15.0", "1.50", "1,5,0", "1.5.0", "1,800.00", "1800.000", ".180", "1,,800", "+180",
            "1 8 0 0", "1\u{661}",
        ] {
            assert_eq!(Credits::typed(text), None, "{text:?}");
        }
        assert_eq!(Credits::typed("300.000"), Some(Credits(300_000)), "no figure that was shown as 300");
        assert_eq!(Credits::typed("99999999999999999999"), None);
    }

    #[test]
    fn figures_beyond_a_trillion_make_no_sense() {
        let most = Credits::MOST.0;
        assert_eq!(
            [most, -most, most + 1, -most - 1, i64::MIN].map(|credits| Credits(credits).is_absurd()),
            [false, false, true, true, true]
        );
        let bookable = [7, i64::MAX, i64::MIN].map(|credits| Credits(credits).bookable().0);
        assert_eq!(bookable, [7, most, -most]);
    }

    #[test]
    fn below_a_limit_a_figure_under_the_list_price_is_compared_with_a_balance_first() {
        let booked = |credits, contacts, daily_limit: Option<i64>| Purse {
            contacts_since: (Credits(credits), contacts),
            daily_limit: daily_limit.map(Credits),
            spent_today: Credits::ZERO,
            held: Credits::ZERO,
            ..purse()
        };
        let admitted = |purse: Purse| admit(Credits(5), Some(&purse), Millis(2_000));
        assert_eq!(admitted(booked(5, 5, Some(150))), Admission::ReadBalance);
        assert_eq!(admitted(booked(75, 5, Some(150))), Admission::Go, "the list price");
        assert_eq!(admitted(booked(5, 5, None)), Admission::Go, "no limit could be passed");
    }

    fn purse() -> Purse {
        Purse {
            balance: Credits(1_500),
            balance_at: Millis(1_000),
            charged_since: Credits(300),
            contacts_since: (Credits::ZERO, 0),
            list_price: Credits(15),
            held: Credits(200),
            min_balance: Credits(100),
            daily_limit: None,
            monthly_limit: None,
            spent_today: Credits(5_000),
            spent_this_month: Credits(9_000),
        }
    }

    #[test]
    fn a_submission_is_no_larger_than_a_day_pays_for() {
        let most = |price, limit| most_within(Credits(price), Credits(limit));
        assert_eq!([most(15, 1_000), most(15, 15), most(15, 14), most(0, 10)], [66, 1, 1, u32::MAX]);
    }

    #[test]
    fn what_is_held_charged_or_floor_is_not_available() {
        assert_eq!(purse().available(), Credits(900));
        assert_eq!(admit(Credits(900), Some(&purse()), Millis(2_000)), Admission::Go);
        let short = Admission::Wait(WaitReason::InsufficientCredits);
        assert_eq!(admit(Credits(901), Some(&purse()), Millis(2_000)), short);
    }

    #[test]
    fn no_submission_on_a_balance_older_than_60_seconds() {
        assert_eq!(admit(Credits(1), Some(&purse()), Millis(60_999)), Admission::Go);
        assert_eq!(admit(Credits(1), Some(&purse()), Millis(61_000)), Admission::ReadBalance);
        assert_eq!(admit(Credits(1), None, Millis(0)), Admission::ReadBalance);
        assert_eq!(admit(Credits(1), Some(&purse()), Millis(1_000)), Admission::Go);
        assert_eq!(admit(Credits(1), Some(&purse()), Millis(999)), Admission::ReadBalance, "of the future");
    }

    #[test]
    fn the_limits_of_a_day_and_of_a_month_count_charges_and_holds() {
        let of_day = Purse { daily_limit: Some(Credits(5_300)), ..purse() };
        let of_month = Purse { monthly_limit: Some(Credits(9_300)), ..purse() };
        let both = Purse { daily_limit: Some(Credits(6_000)), ..of_month };
        for limited in [of_day, of_month, both] {
            assert_eq!(admit(Credits(100), Some(&limited), Millis(2_000)), Admission::Go);
            let budget = Admission::Wait(WaitReason::Budget);
            assert_eq!(admit(Credits(101), Some(&limited), Millis(2_000)), budget);
        }
        assert_eq!(
            [purse(), of_day, both].map(|purse| purse.lowest_limit().map(|limit| limit.0)),
            [None, Some(5_300), Some(6_000)]
        );
    }

    #[test]
    fn every_action_has_its_own_price() {
        let (email, phone, search) = (Credits(15), Credits(150), Credits(50));
        let (event, visitors, full_access) = (Credits(2_000), Credits(3_000), Credits(5_000));
        let prices = Prices { email, phone, event, visitors, full_access, search };
        assert_eq!(
            Action::ALL.map(|action| prices.of(action).to_string()),
            ["15", "150", "2,000", "3,000", "5,000", "50", "50", "50"]
        );
        assert_eq!(
            Action::ALL.map(|action| prices.least(action).to_string()),
            ["15", "150", "2,000", "3,000", "2,000", "50", "50", "50"]
        );
    }

    #[test]
    fn an_approval_covers_what_was_quoted_and_no_more() {
        let (limit, approved) = (Credits(1_500), Some(Credits(3_000)));
        assert_eq!(approval(Credits(1_500), limit, None, None), Approval::NotNeeded);
        assert_eq!(approval(Credits(1_501), limit, None, None), Approval::Needed);
        assert_eq!(approval(Credits(3_000), limit, None, approved), Approval::NotNeeded);
        assert_eq!(approval(Credits(3_001), limit, None, approved), Approval::Needed);
        assert_eq!(approval(Credits(30), limit, Some(Credits(29)), approved), Approval::OverMaxCredits);
        assert_eq!(approval(Credits(30), limit, Some(Credits(30)), approved), Approval::NotNeeded);
    }

    proptest! {
        #[test]
        fn nothing_is_admitted_that_could_take_the_balance_below_the_floor(
            balance in 0..10_000_i64, charged in 0..5_000_i64, held in 0..5_000_i64, floor in 0..5_000_i64,
            cost in 0..10_000_i64,
        ) {
            let purse = Purse {
                balance: Credits(balance), charged_since: Credits(charged), held: Credits(held),
                min_balance: Credits(floor), ..purse()
            };
            if admit(Credits(cost), Some(&purse), Millis(2_000)) == Admission::Go {
                prop_assert!(balance - charged - held - cost >= floor);
            }
        }
    }
}
