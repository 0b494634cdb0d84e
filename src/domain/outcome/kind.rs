//! The outcomes of items, by name, and the sets of them that statements of the store select by.

use crate::domain::words::words;

/// The word of an item that has no outcome yet.
pub const PENDING: &str = "pending";

words! {
    /// The name of an outcome, without its values.
    Kind {
        Delivered = "delivered",
        NoValue = "no_value",
        Failed = "failed",
        Unresolved = "unresolved",
        NotReturned = "not_returned",
        Invalid = "invalid",
        Missing = "missing",
        Unlinked = "unlinked",
        Rejected = "rejected",
        Cancelled = "cancelled",
        Lost = "lost",
        Expired = "expired",
    }
}

/// A set of outcomes. A statement gets its words as a parameter, so that a new outcome is added here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// A task ended with these.
    OfTask,
    /// The contact was unlocked, so it was charged if its job was.
    Unlocked,
    /// If its job was charged, the contact may be unlocked, and its value may still come.
    WithoutValue,
    /// The contact was sent and brought no value: `unlockd claims` lists it if its job was charged.
    Unfulfilled,
    /// The item is open again if its job's task is polled again.
    Resumable,
    /// The contact was not bought.
    NotBought,
}

impl Set {
    /// The words of its outcomes.
    pub fn words(self) -> Vec<&'static str> {
        Kind::ALL.into_iter().filter(|kind| kind.is_in(self)).map(Kind::as_str).collect()
    }
}

impl Kind {
    /// The sets that an outcome belongs to: a new outcome has to name them.
    const fn sets(self) -> &'static [Set] {
        match self {
            Kind::Delivered => &[Set::OfTask, Set::Unlocked],
            Kind::NoValue => &[Set::OfTask, Set::Unlocked, Set::WithoutValue, Set::Unfulfilled],
            Kind::Failed | Kind::NotReturned => &[Set::OfTask, Set::Unfulfilled],
            Kind::Unresolved => &[Set::OfTask, Set::WithoutValue, Set::Unfulfilled, Set::Resumable],
            Kind::Lost => &[Set::WithoutValue, Set::Unfulfilled],
            Kind::Expired => &[Set::WithoutValue, Set::Unfulfilled, Set::Resumable],
            Kind::Invalid | Kind::Missing | Kind::Unlinked | Kind::Rejected | Kind::Cancelled => {
                &[Set::NotBought]
            }
        }
    }

    pub fn is_in(self, set: Set) -> bool {
        self.sets().contains(&set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_of_outcomes_are_these() {
        let sets =
            [Set::OfTask, Set::Unlocked, Set::WithoutValue, Set::Unfulfilled, Set::Resumable, Set::NotBought];
        let words = [
            vec!["delivered", "no_value", "failed", "unresolved", "not_returned"],
            vec!["delivered", "no_value"],
            vec!["no_value", "unresolved", "lost", "expired"],
            vec!["no_value", "failed", "unresolved", "not_returned", "lost", "expired"],
            vec!["unresolved", "expired"],
            vec!["invalid", "missing", "unlinked", "rejected", "cancelled"],
        ];
        assert_eq!(sets.map(Set::words), words);
    }
}
