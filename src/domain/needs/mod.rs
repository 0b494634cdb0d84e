//! Everything that waits for a person: one typed list for every place that shows it.
//!
//! `run --until-idle`, `explain`, `watch`, the page and the metrics all show the same [`Need`]s, so they
//! cannot contradict each other. Their texts are here, too: what it is, and what to do.

mod parked;
mod stop;

use super::ids::{AccountId, JobId, RequestId};
use super::key_retry::{RefusedKey, Why};
use super::{Credits, Millis};

pub use parked::{Lack, Limits, Parked};
pub use stop::Stop;

/// Something that needs a person, in the order in which it is shown: first what stops everything, then what may have cost
/// credits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing is bought, on any account.
    Stopped { stop: Stop },
    /// The inbox cannot be used, and not only for a moment. What was taken from it goes on.
    Inbox { since: Millis, what: String },
    /// The checks have not settled whether a paid call took effect.
    Decision { account: AccountId, job: JobId, credits: Credits },
    /// The balance showed twice in succession that the API charges more than it says: nothing new is sent.
    Overcharged { account: AccountId, since: Millis, expected: Credits, spent: Credits, waiting: u64 },
    /// A request whose cost is not approved yet.
    Approval { account: AccountId, request: RequestId, credits: Credits },
    /// The API refused the account's key, or refused its owner.
    KeyRefused { account: AccountId, fingerprint: String, since: Millis, why: Why },
    /// There is work, but no key.
    NoKey { account: AccountId },
    /// There is work on an account that the configuration does not name.
    NotConfigured { account: AccountId },
    /// Work waits for credits.
    Credits { account: AccountId, work: Parked },
    /// Work waits because a limit of ours is used up.
    Budget { account: AccountId, work: Parked, limits: Limits },
    /// Nothing new is sent: a person paused the account, or the database is an older copy.
    Paused { account: AccountId, since: Millis, restored: bool, waiting: u64 },
    /// Jobs whose task did not end in time. They delay nothing.
    Expired { account: AccountId, jobs: u64 },
}

impl Need {
    /// Every word of [`Need::reason`], in the order in which they are shown.
    pub const REASONS: [&str; 13] = [
        "not_replicated",
        "disk_full",
        "inbox_unavailable",
        "needs_decision",
        "overcharged",
        "awaiting_approval",
        "invalid_api_key",
        "no_api_key",
        "not_configured",
        "insufficient_credits",
        "budget",
        "paused",
        "expired",
    ];

    pub fn key_refused(account: AccountId, refused: RefusedKey) -> Need {
        Need::KeyRefused { account, fingerprint: refused.fingerprint, since: refused.at, why: refused.why }
    }

    /// A fixed word, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Need::Stopped { stop } => stop.reason(),
            Need::Inbox { .. } => "inbox_unavailable",
            Need::Decision { .. } => "needs_decision",
            Need::Overcharged { .. } => "overcharged",
            Need::Approval { .. } => "awaiting_approval",
            Need::KeyRefused { .. } => "invalid_api_key",
            Need::NoKey { .. } => "no_api_key",
            Need::NotConfigured { .. } => "not_configured",
            Need::Credits { .. } => "insufficient_credits",
            Need::Budget { .. } => "budget",
            Need::Paused { .. } => "paused",
            Need::Expired { .. } => "expired",
        }
    }

    /// The account it is about; `None`: it is about all of them.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Need::Stopped { .. } | Need::Inbox { .. } => None,
            Need::Decision { account, .. }
            | Need::Overcharged { account, .. }
            | Need::Approval { account, .. }
            | Need::KeyRefused { account, .. }
            | Need::NoKey { account }
            | Need::NotConfigured { account }
            | Need::Credits { account, .. }
            | Need::Budget { account, .. }
            | Need::Paused { account, .. }
            | Need::Expired { account, .. } => Some(account),
        }
    }

    /// The job it is about, if it is about one.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Need::Decision { job, .. } => Some(*job),
            Need::Credits { work, .. } | Need::Budget { work, .. } => work.job(),
            _ => None,
        }
    }

    /// The request it is about, if it is about one.
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Need::Approval { request, .. } => Some(*request),
            _ => None,
        }
    }

    /// The highest amount of credits it concerns.
    pub fn credits(&self) -> Option<Credits> {
        match self {
            Need::Decision { credits, .. } | Need::Approval { credits, .. } => Some(*credits),
            Need::Overcharged { spent, .. } => Some(*spent),
            _ => None,
        }
    }

    /// Since when, if that is known here.
    pub fn since(&self) -> Option<Millis> {
        match self {
            Need::KeyRefused { since, .. }
            | Need::Paused { since, .. }
            | Need::Overcharged { since, .. }
            | Need::Inbox { since, .. } => Some(*since),
            _ => None,
        }
    }

    /// Whether unfinished work of an account waits for it, and for nothing else.
    pub fn holds_up_work(&self) -> bool {
        let none_waits =
            matches!(self, Need::Paused { waiting: 0, .. } | Need::Overcharged { waiting: 0, .. });
        !none_waits && !matches!(self, Need::Expired { .. } | Need::Stopped { .. } | Need::Inbox { .. })
    }

    /// What it is, and its consequence for the credits.
    pub fn what(&self) -> String {
        match self {
            Need::Stopped { stop } => stop.what(),
            Need::Inbox { what, .. } => what.clone(),
            Need::Decision { job, credits, .. } => format!(
                "job {job} is in doubt: it was sent and the answer was lost; up to {credits} credits may be spent"
            ),
            Need::Overcharged { account, expected, spent, .. } => format!(
                "account {account} is paused: the API charged more than it said, twice in succession (last {spent} \
                 credits for work of {expected} at most)"
            ),
            Need::Approval { request, credits, .. } => format!(
                "request {request} awaits approval of up to {credits} credits; nothing of that was bought"
            ),
            Need::KeyRefused { account, fingerprint, why, .. } if why.is_forbidden() => format!(
                "the API accepts the key {fingerprint} of account {account}, but its owner may not use the API ({why}): \
                 nothing is sent or polled"
            ),
            Need::KeyRefused { account, fingerprint, why, .. } => format!(
                "the API refused the key {fingerprint} of account {account} ({why}): nothing is sent or polled"
            ),
            Need::NoKey { account } => {
                format!("account {account} has no key: nothing is sent or polled")
            }
            Need::NotConfigured { account } => format!(
                "account {account} is not configured: nothing more is bought with it, and its rows wait; what it has running is \
                 polled only until the worker's next start"
            ),
            Need::Credits { account, work } => {
                let lack = work.lack.map(|lack| format!(": {}", lack.words())).unwrap_or_default();
                format!("{} for credits{lack}; nothing of that was bought", work.waits(account))
            }
            Need::Budget { account, work, limits } => {
                let period = limits.period();
                format!("{} for another {period}: it costs more than {}", work.waits(account), limits.leave())
            }
            Need::Paused { account, restored: true, .. } => format!(
                "account {account} is paused: the database is an older copy, and no precheck can tell what was \
                 bought since it was made"
            ),
            Need::Paused { account, .. } => format!("account {account} is paused: nothing new is sent"),
            Need::Expired { account, jobs: 1 } => {
                format!("1 job of account {account} expired before its task ended")
            }
            Need::Expired { account, jobs } => {
                format!("{jobs} jobs of account {account} expired before their tasks ended")
            }
        }
    }

    /// The next step, with the command where there is one.
    pub fn to_do(&self) -> String {
        match self {
            Need::Stopped { stop } => stop.to_do().to_owned(),
            Need::Inbox { .. } => {
                "repair the inbox, or what another program does to it: it goes on by itself (unlockd check)"
                    .to_owned()
            }
            Need::Decision { job, credits, .. } => format!(
                "look at the evidence (unlockd job {job}), then unlockd resolve {job} --resubmit --credits {} or \
                 unlockd resolve {job} --write-off",
                credits.0
            ),
            Need::Overcharged { account, .. } => format!(
                "compare with the credit history at Lensmor (unlockd audit); if the price is right, set it in \
                 credits.price, then: unlockd resume --account {account}"
            ),
            Need::Approval { request, credits, .. } => {
                format!("unlockd approve {request} --credits {}, or unlockd cancel {request}", credits.0)
            }
            Need::KeyRefused { account, why, .. } if why.is_forbidden() => format!(
                "check the subscription of the key's owner at Lensmor, then: unlockd resume --account {account}"
            ),
            Need::KeyRefused { account, .. } => format!(
                "put a valid key in place; it is used at once, but for a credential of systemd, which is copied at the \
                 service's start (restart it); if this key is valid again: unlockd resume --account {account}"
            ),
            Need::NoKey { .. } => "put a key in the configuration (unlockd check)".to_owned(),
            Need::NotConfigured { account } => format!(
                "configure [accounts.{account}] again; what was not sent can be cancelled: unlockd cancel ID"
            ),
            Need::Credits { account, .. } => format!(
                "top up (the balance is read again by itself), or try now: unlockd resume --account {account}"
            ),
            Need::Budget { limits, .. } => format!(
                "wait for the next UTC {0} (a running worker goes on by itself), or raise {1} if one job costs more than \
                 the limit of a {0}",
                limits.period(),
                limits.keys()
            ),
            Need::Paused { account, restored: true, .. } => format!(
                "make sure that no other worker uses another copy, look at `unlockd requests`, then: \
                 unlockd resume --account {account}"
            ),
            Need::Paused { account, .. } => format!("unlockd resume --account {account}"),
            Need::Expired { account, .. } => {
                format!("to poll them again: unlockd resume --account {account}")
            }
        }
    }
}

/// The list, and the full count: the list is bounded, the count is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub list: Vec<Need>,
    pub total: u64,
}

impl Needs {
    /// Sorts the list. `not_listed` counts needs of the same kinds that were left out.
    pub fn new(mut list: Vec<Need>, not_listed: u64) -> Needs {
        list.sort();
        Needs { total: list.len() as u64 + not_listed, list }
    }

    /// How many needs there are besides the first `shown`.
    pub fn more_than(&self, shown: usize) -> u64 {
        self.total.saturating_sub(shown.min(self.list.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::durability;

    fn each() -> Vec<Need> {
        let account = || AccountId::trusted("crm");
        let work = Parked { jobs: 1, oldest: Some(JobId(4)), ..Parked::default() };
        vec![
            Need::Stopped { stop: Stop::NotReplicated(durability::Lack::NoneConnected) },
            Need::Stopped { stop: Stop::DiskFull { free: 5, needed: 8 } },
            Need::Inbox { since: Millis(5), what: "inbox unavailable: it is no database".to_owned() },
            Need::Decision { account: account(), job: JobId(3), credits: Credits(45) },
            Need::Overcharged {
                account: account(),
                since: Millis(4),
                expected: Credits(1),
                spent: Credits(15),
                waiting: 1,
            },
            Need::Approval { account: account(), request: RequestId(7), credits: Credits(1_500) },
            Need::KeyRefused {
                account: account(),
                fingerprint: "ab12".to_owned(),
                since: Millis(5),
                why: Why { status: Some(401), error_key: Some("INVALID_API_KEY".to_owned()) },
            },
            Need::NoKey { account: account() },
            Need::NotConfigured { account: account() },
            Need::Credits { account: account(), work },
            Need::Budget { account: account(), work: Parked { jobs: 3, ..work }, limits: Limits::Day },
            Need::Paused { account: account(), since: Millis(6), restored: false, waiting: 2 },
            Need::Expired { account: account(), jobs: 2 },
        ]
    }

    #[test]
    fn reasons_are_words_of_their_own_in_the_order_of_the_list() {
        let mut list = each();
        list.reverse();
        let needs = Needs::new(list, 22);
        let reasons: Vec<&str> = needs.list.iter().map(Need::reason).collect();
        assert_eq!(reasons, Need::REASONS);
        assert_eq!((needs.total, needs.more_than(5), needs.more_than(50)), (35, 30, 22));
    }

    #[test]
    fn each_says_what_it_is_and_what_to_do_and_names_what_it_is_about() {
        for need in each() {
            let (what, to_do) = (need.what(), need.to_do());
            assert!(!what.ends_with('.') && !to_do.ends_with('.'), "{what} {to_do}");
            assert!(need.account().is_none_or(|account| account.as_str() == "crm"), "{what}");
            if let Some(job) = need.job() {
                assert!(what.contains(&format!("job {job}")), "{what}");
            }
            if let Some(request) = need.request() {
                assert!(what.contains(&format!("request {request}")), "{what}");
            }
        }
    }

    #[test]
    fn a_refused_key_is_told_with_the_reason_that_the_api_gave() {
        let refused = |status, key: &str| {
            let why = Why { status: Some(status), error_key: Some(key.to_owned()) };
            let (account, fingerprint) = (AccountId::trusted("crm"), "ab12".to_owned());
            let need = Need::KeyRefused { account, fingerprint, since: Millis(5), why };
            (need.what(), need.to_do())
        };
        let (what, to_do) = refused(401, "INVALID_API_KEY");
        assert!(what.contains("refused the key ab12 of account crm (401 INVALID_API_KEY)"), "{what}");
        assert!(to_do.contains("put a valid key"), "{to_do}");
        let (what, to_do) = refused(403, "NO_ACTIVE_SUBSCRIPTION");
        assert!(what.contains("its owner may not use the API (403 NO_ACTIVE_SUBSCRIPTION)"), "{what}");
        assert!(to_do.contains("subscription") && to_do.contains("unlockd resume --account crm"), "{to_do}");
    }

    #[test]
    fn what_waits_is_counted_in_jobs_and_in_items() {
        let waits = |jobs, oldest: Option<i64>, items| {
            Parked { jobs, oldest: oldest.map(JobId), items, lack: None }.waits(&AccountId::trusted("crm"))
        };
        assert_eq!(waits(1, Some(4), 0), "job 4 of account crm waits");
        assert_eq!(waits(3, Some(4), 0), "3 jobs of account crm (the oldest is job 4) wait");
        assert_eq!(waits(1, Some(4), 12), "job 4 of account crm (12 items are not sent either) waits");
        assert_eq!(waits(3, Some(4), 1), "job 4 and 2 more of account crm (1 item is not sent either) waits");
        assert_eq!(waits(0, None, 12), "account crm (12 items are not sent) waits");
    }

    #[test]
    fn the_amount_that_is_missing_is_named_with_who_says_so() {
        let words = |cost, free, refused| Lack { cost: Credits(cost), free: Credits(free), refused }.words();
        let missing = words(1_500, 20, false);
        assert_eq!(missing, "1,480 more credits are needed (1,500 at least, and 20 are free)");
        assert!(words(1_500, -730, true).starts_with("2,230 more credits are needed"));
        assert!(words(1_500, 20, true).ends_with("; so says the API"));
        assert!(words(15, 20, true).contains("says that 15 credits are too many, although 20 are free"));
    }

    #[test]
    fn a_limit_is_told_by_its_key_and_its_period() {
        let budget = |limits| {
            let need = Need::Budget { account: AccountId::trusted("crm"), work: Parked::default(), limits };
            (need.what(), need.to_do())
        };
        let (what, to_do) = budget(Limits::Day);
        assert!(what.ends_with("more than credits.daily_limit leaves for today"), "{what}");
        assert!(to_do.starts_with("wait for the next UTC day (a running"), "{to_do}");
        assert!(to_do.contains("or raise credits.daily_limit if"), "{to_do}");
        let (what, to_do) = budget(Limits::of(false, true));
        assert!(what.ends_with("more than credits.monthly_limit leaves for this month"), "{what}");
        assert!(
            to_do.starts_with("wait for the next UTC month (") && to_do.contains("credits.monthly_limit if"),
            "{to_do}"
        );
        let (what, to_do) = budget(Limits::of(true, true));
        assert!(what.ends_with("more than credits.daily_limit or credits.monthly_limit leaves"), "{what}");
        assert!(to_do.contains("the next UTC day or month (a running worker"), "{to_do}");
    }

    #[test]
    fn what_holds_nothing_up_is_no_reason_to_stop() {
        let idle = |need: &Need| !need.holds_up_work();
        assert!(
            each()
                .iter()
                .filter(|need| idle(need))
                .all(|need| need.account().is_none() || need.reason() == "expired")
        );
        let nothing_waits = Need::Paused {
            account: AccountId::trusted("crm"),
            since: Millis(1),
            restored: false,
            waiting: 0,
        };
        assert!(idle(&nothing_waits));
    }
}
