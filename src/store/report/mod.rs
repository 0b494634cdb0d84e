//! Everything that people read: counts, lists and details. Nothing here decides, and only [`export`] reads
//! emails or phones.

/// Closed settlements, with the verdict that people read: the column has no word for `lapsed`.
macro_rules! select_settlements {
    ($rest:literal) => {
        concat!(
            "select account, coalesce(owner, account) as owner, opened_at, closed_at, jobs, expected_min, expected_max, \
             balance_before, balance_after, spent, case when lapsed = 1 then 'lapsed' else verdict end as verdict, \
             (select count(distinct e.job_id) from jobs j join request_events e on e.job_id = j.id \
              where j.window_id = windows.id and e.event = 'resubmit') as resubmitted \
             from windows where closed_at is not null ",
            $rest
        )
    };
}

pub mod accounts;
pub mod changes;
pub mod claims;
pub mod direct;
pub mod export;
pub mod jobs;
pub mod metrics;
pub mod needs;
pub mod overview;
pub mod progress;
pub mod requests;
pub mod spend;
pub mod untaken;

use sqlx::FromRow;

use crate::domain::AccountId;
use crate::domain::job::{Doubt, EndedBy, WaitReason};
use crate::store::accounts::AccountRow;
use crate::store::inbox::fault::Fault;
pub use crate::store::time::Time;
use crate::store::{Store, StoreError, inbox, sql};
pub use needs::Queued;

/// Unfinished work of all accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenWork {
    /// New rows of the inbox.
    pub inbox: i64,
    /// Why it cannot be read or written.
    pub inbox_faults: Vec<Fault>,
    /// Requests whose status the inbox does not show yet.
    pub inbox_behind: i64,
    pub open_requests: i64,
    pub open_jobs: i64,
    pub open_windows: i64,
    pub awaiting_approval: Vec<i64>,
}

impl OpenWork {
    pub fn nothing(&self) -> bool {
        self.nothing_but_settlements() && self.open_windows == 0
    }

    pub fn nothing_but_settlements(&self) -> bool {
        self.inbox == 0
            && self.inbox_faults.is_empty()
            && self.inbox_behind == 0
            && self.open_requests == 0
            && self.open_jobs == 0
    }
}

/// Counts the unfinished work.
pub async fn open_work(store: &Store) -> Result<OpenWork, StoreError> {
    let (inbox, _) = inbox::untaken(store).await?;
    let inbox_faults = inbox::fault::read(store).await?;
    let (inbox_behind, open_requests, open_jobs, open_windows): (i64, i64, i64, i64) = sql::query_as(
        "select (select count(*) from requests where inbox_is_behind = 1),
                (select count(*) from requests where finished_at is null),
                (select count(*) from jobs where state = 'queued')
                + (select count(*) from jobs where state = 'submitting')
                + (select count(*) from jobs where state = 'in_doubt')
                + (select count(*) from jobs where state = 'polling'),
                (select count(*) from windows where closed_at is null)",
    )
    .fetch_one(store.readers())
    .await?;
    let awaiting_approval = sql::query_scalar(
        "select id from requests where finished_at is null and status = 'awaiting_approval' order by id limit 20",
    )
    .fetch_all(store.readers())
    .await?;
    Ok(OpenWork {
        inbox,
        inbox_faults,
        inbox_behind,
        open_requests,
        open_jobs,
        open_windows,
        awaiting_approval,
    })
}

/// The accounts with unfinished work.
pub async fn accounts_at_work(store: &Store) -> Result<Vec<AccountId>, StoreError> {
    let names: Vec<String> = sql::query_scalar(
        "select account from requests where finished_at is null
         union select account from jobs where state = 'queued' union select account from jobs where state = 'submitting'
         union select account from jobs where state = 'in_doubt' union select account from jobs where state = 'polling'
         union select account from windows where closed_at is null
           and not exists (select 1 from accounts where owner = windows.owner and account <> windows.account)",
    )
    .fetch_all(store.readers())
    .await?;
    Ok(names.into_iter().map(AccountId::trusted).collect())
}

/// Unfinished work of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountWork {
    pub account: AccountId,
    pub row: AccountRow,
    /// Running tasks, checks and profile reads.
    running: i64,
    /// Open settlements of its owner.
    pub unsettled: i64,
    /// Items that are in no job.
    pub waiting: i64,
    pub queued: Vec<Queued>,
    /// Jobs that wait for a person's decision.
    pub undecided: i64,
}

impl AccountWork {
    /// Why the items that are in no job wait, unless they only wait for their turn.
    pub fn items_wait_for(&self) -> Option<WaitReason> {
        self.row.waits_for().filter(|_| self.waiting > 0)
    }

    /// Whether a queued job, or an item that is in no job, waits for this reason.
    pub fn waits_for(&self, reason: WaitReason) -> bool {
        self.items_wait_for() == Some(reason)
            || self.queued.iter().any(|group| group.waits_for == Some(reason))
    }

    /// Whether something continues without a person, apart from a settlement.
    pub fn is_running(&self) -> bool {
        self.running > 0 || self.queued_until(|end| end == Some(EndedBy::Worker)) > 0
    }

    /// Whether a call or a task of it is not finished.
    pub fn has_running(&self) -> bool {
        self.running > 0
    }

    /// Queued jobs that wait only for their turn, or for a key.
    pub fn ready(&self) -> i64 {
        self.queued_until(|end| matches!(end, None | Some(EndedBy::Key)))
    }

    /// Items and jobs that are not sent and not in a parked job.
    pub fn to_send(&self) -> i64 {
        self.waiting + self.ready()
    }

    pub fn any(&self) -> bool {
        self.running + self.unsettled > 0 || self.waiting > 0 || !self.queued.is_empty() || self.undecided > 0
    }

    fn queued_until(&self, is_wanted: impl Fn(Option<EndedBy>) -> bool) -> i64 {
        let wanted = self.queued.iter().filter(|group| is_wanted(group.waits_for.map(WaitReason::ended_by)));
        wanted.map(|group| group.jobs).sum()
    }
}

/// Counts the unfinished work of one account.
pub async fn account_work(store: &Store, account: &AccountId) -> Result<AccountWork, StoreError> {
    let (running, unsettled, waiting, undecided): (i64, i64, i64, i64) = sql::query_as(
        "select (select count(*) from jobs where state = 'polling' and account = $1)
                + (select count(*) from jobs where state = 'submitting' and account = $1)
                + (select count(*) from jobs where state = 'in_doubt' and account = $1
                     and (state_reason <> $2 or due_at is not null))
                + (select count(*) from items where state = 'reading' and account = $1),
                (select count(*) from windows where closed_at is null
                     and owner = (select owner from accounts where account = $1)),
                (select count(*) from items where state = 'waiting' and account = $1),
                (select count(*) from jobs where state = 'in_doubt' and account = $1 and state_reason = $2)",
    )
    .bind(account.as_str())
    .bind(Doubt::NeedsDecision.as_str())
    .fetch_one(store.readers())
    .await?;
    let row = super::accounts::read(store.readers(), account).await?;
    let queued = needs::queued(store, account).await?;
    Ok(AccountWork { account: account.clone(), row, running, unsettled, waiting, queued, undecided })
}

/// A count by outcome.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, serde::Serialize, schemars::JsonSchema)]
pub struct OutcomeCount {
    pub outcome: String,
    pub source: Option<String>,
    pub contacts: i64,
}

/// The progress of all work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub settled: i64,
    /// In words, for example "2 jobs polling, 100 contacts delivered".
    pub line: String,
}

/// Reads the progress of all work.
pub async fn progress(store: &Store) -> Result<Progress, StoreError> {
    let (settled, delivered, queued, polling, in_doubt): (i64, i64, i64, i64, i64) = sql::query_as(
        "select (select count(*) from items where state = 'done'),
                (select count(*) from items where outcome = 'delivered'),
                (select count(*) from jobs where state in ('queued', 'submitting')),
                (select count(*) from jobs where state = 'polling'),
                (select count(*) from jobs where state = 'in_doubt')",
    )
    .fetch_one(store.readers())
    .await?;
    let mut parts = vec![format!("{delivered} delivered")];
    for (count, what) in [(queued, "being sent"), (polling, "polling"), (in_doubt, "in doubt")] {
        if count > 0 {
            let jobs = if count == 1 { "job" } else { "jobs" };
            parts.push(format!("{count} {jobs} {what}"));
        }
    }
    Ok(Progress { settled, line: parts.join(", ") })
}

/// A contact's outcome, without its value.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ContactOutcome {
    pub personnel_id: String,
    pub outcome: String,
    pub source: Option<String>,
}

/// Every contact's outcome.
pub async fn demo_outcomes(store: &Store) -> Result<Vec<ContactOutcome>, StoreError> {
    Ok(sql::query_as(
        "select personnel_id, outcome, source from contact_outcomes order by request_id, personnel_id",
    )
    .fetch_all(store.readers())
    .await?)
}

/// A settlement.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, serde::Serialize)]
pub struct Audit {
    /// The account that bought first; the settlement is over all accounts of its owner.
    pub account: String,
    pub owner: String,
    pub opened_at: Time,
    pub closed_at: Time,
    pub jobs: i64,
    pub expected_min: i64,
    pub expected_max: i64,
    pub balance_before: Option<i64>,
    pub balance_after: Option<i64>,
    pub spent: Option<i64>,
    pub verdict: String,
    /// Jobs whose answer was lost and that a person sent again: the API may have charged both calls.
    pub resubmitted: i64,
}

/// All settlements, oldest first.
pub async fn audits(store: &Store) -> Result<Vec<Audit>, StoreError> {
    Ok(sql::query_as(select_settlements!("order by closed_at")).fetch_all(store.readers()).await?)
}

/// The settlements that jobs were part of, oldest first.
pub async fn audits_of(store: &Store, jobs: &[i64]) -> Result<Vec<Audit>, StoreError> {
    Ok(sql::query_as(
        select_settlements!(
            "and id in (select window_id from jobs where id in (select value from json_ids($1))) order by closed_at"
        ),
    )
    .bind(serde_json::json!(jobs).to_string())
    .fetch_all(store.readers())
    .await?)
}

/// For example "1 job", "2 jobs".
pub fn plural(count: i64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
