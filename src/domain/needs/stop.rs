//! What keeps anything from being bought, on every account, until a person acts: one sentence for each, in every place that
//! says it.

use crate::domain::durability;

/// Why nothing is bought at all. It goes on by itself when that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The record of a purchase might be lost with the server.
    NotReplicated(durability::Lack),
    /// There may be no room for the record of a purchase.
    DiskFull { free: u64, needed: u64 },
}

impl Stop {
    /// A fixed word, for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Stop::NotReplicated(_) => "not_replicated",
            Stop::DiskFull { .. } => "disk_full",
        }
    }

    /// What fails, in one word.
    pub fn subject(self) -> &'static str {
        match self {
            Stop::NotReplicated(_) => "durability",
            Stop::DiskFull { .. } => "disk",
        }
    }

    pub fn what(self) -> String {
        match self {
            Stop::NotReplicated(lack) => format!("nothing is bought: {}", lack.what()),
            // Rounded, so that it is not another sentence with each byte.
            Stop::DiskFull { free, needed } => format!(
                "nothing is bought: the disk of the database has {} MiB free, and {} MiB are needed; what was bought is still \
                 recorded",
                free >> 20,
                needed >> 20
            ),
        }
    }

    pub fn to_do(self) -> &'static str {
        match self {
            Stop::NotReplicated(lack) => lack.to_do(),
            Stop::DiskFull { .. } => "make room: it goes on by itself",
        }
    }

    /// Whether a worker cannot even show that it lives: its commits wait.
    pub fn hides_workers(self) -> bool {
        matches!(self, Stop::NotReplicated(lack) if lack.holds_up_commits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_that_nothing_is_bought_and_what_ends_it() {
        let lacks = [durability::Lack::NoneNamed, durability::Lack::NoneConnected];
        let stops = lacks.map(Stop::NotReplicated).into_iter().chain([Stop::DiskFull { free: 5, needed: 8 }]);
        for stop in stops {
            assert!(stop.what().starts_with("nothing is bought: "), "{}", stop.what());
            assert!(!stop.to_do().is_empty());
        }
        // Without a name no commit waits, so a worker that shows nothing is not there.
        let hides = lacks.map(|lack| Stop::NotReplicated(lack).hides_workers());
        assert_eq!(hides, [false, true]);
    }
}
