//! What was paid for and brought no value, and what the balance says about it.
//!
//! The vendor does not say whether a contact that failed is charged or refunded. A settlement tells: the least
//! that its jobs cost is the price of what was unlocked; the most is the price of everything that was accepted.

use super::credits::Credits;

/// What the balance says about the charge of a contact that brought no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The credits left the balance.
    Charged,
    /// The balance fell by the price of what was unlocked, and by no more.
    NotCharged,
    /// Of the contacts that were not unlocked, some were charged and some were not.
    Partly,
    /// The balance proves nothing: it could not be read, credits lapsed or came in, or an answer was lost.
    Unclear,
    /// The settlement is not closed yet.
    Open,
}

impl Finding {
    pub fn as_str(self) -> &'static str {
        match self {
            Finding::Charged => "charged",
            Finding::NotCharged => "not_charged",
            Finding::Partly => "partly",
            Finding::Unclear => "unclear",
            Finding::Open => "open",
        }
    }
}

/// The settlement of the job that paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub expected_min: Credits,
    pub expected_max: Credits,
    /// The fall of the balance; `None` if it proves nothing.
    pub spent: Option<Credits>,
}

/// What a settlement says about one contact. `unlocked`: the API called it unlocked, without a value.
pub fn finding(settled: Option<Settled>, unlocked: bool) -> Finding {
    let Some(Settled { expected_min, expected_max, spent }) = settled else { return Finding::Open };
    match spent {
        None => Finding::Unclear,
        Some(spent) if spent >= expected_max => Finding::Charged,
        Some(spent) if unlocked && spent >= expected_min => Finding::Charged,
        Some(spent) if spent > expected_min => Finding::Partly,
        Some(spent) if unlocked && spent > Credits::ZERO => Finding::Partly,
        Some(_) => Finding::NotCharged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 7 contacts at 15, 4 were unlocked, one of them without a value, and 3 failed.
    #[test]
    fn the_balance_tells_whether_a_contact_without_a_value_was_charged() {
        let settled = |spent: Option<i64>| Settled {
            expected_min: Credits(60),
            expected_max: Credits(105),
            spent: spent.map(Credits),
        };
        for (spent, failed, unlocked) in [
            (Some(105), Finding::Charged, Finding::Charged),
            (Some(500), Finding::Charged, Finding::Charged),
            (Some(75), Finding::Partly, Finding::Charged),
            (Some(60), Finding::NotCharged, Finding::Charged),
            (Some(45), Finding::NotCharged, Finding::Partly),
            (Some(0), Finding::NotCharged, Finding::NotCharged),
            (Some(-100), Finding::NotCharged, Finding::NotCharged),
            (None, Finding::Unclear, Finding::Unclear),
        ] {
            assert_eq!(finding(Some(settled(spent)), false), failed, "{spent:?}");
            assert_eq!(finding(Some(settled(spent)), true), unlocked, "{spent:?}, unlocked");
        }
        assert_eq!(finding(None, true), Finding::Open);
    }
}
