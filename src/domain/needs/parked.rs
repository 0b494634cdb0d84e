//! Waiting work of an account, and what it lacks.

use crate::domain::Credits;
use crate::domain::ids::{AccountId, JobId};

/// Waiting work of one account: parked jobs, the oldest of them, and items that are in no job yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parked {
    pub jobs: u64,
    pub oldest: Option<JobId>,
    pub items: u64,
    /// What the first of it lacks, as far as that is known.
    pub lack: Option<Lack>,
}

/// What something costs at least, and what is free for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lack {
    pub cost: Credits,
    pub free: Credits,
    /// The API itself says so: by a 402, or by a precheck.
    pub refused: bool,
}

impl Lack {
    /// The amount that is missing, and who says so.
    pub fn words(self) -> String {
        let Lack { cost, free, refused } = self;
        match (cost > free, refused) {
            (true, false) => {
                format!("{} more credits are needed ({cost} at least, and {free} are free)", cost - free)
            }
            (true, true) => format!(
                "{} more credits are needed ({cost} at least, and {free} are free); so says the API",
                cost - free
            ),
            (false, true) => {
                format!(
                    "the API says that {cost} credits are too many, although {free} are free by the last balance"
                )
            }
            (false, false) => format!("{cost} credits are needed, and {free} are free by the last balance"),
        }
    }
}

impl Parked {
    /// The one waiting job, if nothing else waits.
    pub(super) fn job(&self) -> Option<JobId> {
        self.oldest.filter(|_| self.jobs == 1 && self.items == 0)
    }

    /// The subject of a sentence, with its verb.
    pub(super) fn waits(&self, account: &AccountId) -> String {
        let items = match self.items {
            1 => "1 item is".to_owned(),
            count => format!("{count} items are"),
        };
        match (self.oldest, self.jobs, self.items) {
            (None, ..) => format!("account {account} ({items} not sent) waits"),
            (Some(oldest), 1, 0) => format!("job {oldest} of account {account} waits"),
            (Some(oldest), jobs, 0) => {
                format!("{jobs} jobs of account {account} (the oldest is job {oldest}) wait")
            }
            (Some(oldest), jobs, _) => {
                let more = if jobs == 1 { String::new() } else { format!(" and {} more", jobs - 1) };
                format!("job {oldest}{more} of account {account} ({items} not sent either) waits")
            }
        }
    }
}

/// The limits of ours that are configured: one of them is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limits {
    #[default]
    Day,
    Month,
    Both,
}

impl Limits {
    /// By whether `credits.daily_limit` and `credits.monthly_limit` are set.
    pub fn of(daily: bool, monthly: bool) -> Limits {
        match (daily, monthly) {
            (true, true) => Limits::Both,
            (false, true) => Limits::Month,
            (_, false) => Limits::Day,
        }
    }

    /// What has to pass.
    pub fn period(self) -> &'static str {
        match self {
            Limits::Day => "day",
            Limits::Month => "month",
            Limits::Both => "day or month",
        }
    }

    pub(super) fn keys(self) -> &'static str {
        match self {
            Limits::Day => "credits.daily_limit",
            Limits::Month => "credits.monthly_limit",
            Limits::Both => "credits.daily_limit or credits.monthly_limit",
        }
    }

    pub(super) fn leave(self) -> String {
        match self {
            Limits::Day => format!("{} leaves for today", self.keys()),
            Limits::Month => format!("{} leaves for this month", self.keys()),
            Limits::Both => format!("{} leaves", self.keys()),
        }
    }
}
