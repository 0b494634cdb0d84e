//! What a pass did, and when it wants to run next.

use crate::domain::Millis;

/// What a pass did, and when it wants to run next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps taken; a pass that took some runs again at once.
    pub did: usize,
    /// When the next step is due; `None`: only after a row changes.
    pub next_at: Option<Millis>,
}

impl Report {
    pub fn did(count: usize) -> Report {
        Report { did: count, next_at: None }
    }

    pub fn idle() -> Report {
        Report::default()
    }

    pub fn at(next_at: Millis) -> Report {
        Report { did: 0, next_at: Some(next_at) }
    }

    /// What two parts of a run did, and the earlier of their next times.
    pub fn and(self, other: Report) -> Report {
        Report { did: self.did + other.did, ..self.no_later_than(other.next_at) }
    }

    /// This report, with a next run not later than `next_at`.
    pub fn no_later_than(self, next_at: Option<Millis>) -> Report {
        let earliest = [self.next_at, next_at].into_iter().flatten().min();
        Report { next_at: earliest, ..self }
    }
}
