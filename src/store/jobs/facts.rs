//! The facts for the next step of an account's submissions, read without the write lock: several at the same time,
//! since a step of one request takes most of its time here. Each statement sees the commits before its own start. If the
//! facts have changed since, the step changes nothing (`Stale`), and nothing is bought without the checks of the intent's
//! transaction.
//!
//! Parked jobs with the same reason, cost and balance at refusal are decided together: the oldest is read for
//! all of them. So every job counts, and the facts stay small for any number of jobs.

use sqlx::FromRow;

use crate::domain::credits::Purse;
use crate::domain::job::WaitReason;
use crate::domain::{AccountId, Action, Credits, JobId, Millis};
use crate::store::accounts::{self, AccountRow};
use crate::store::credits::{ledger, settlements};
use crate::store::items::waiting::{self, Kind};
use crate::store::jobs::{Job, due};
use crate::store::{On, Reads, StoreError, sql};

/// All facts that were read.
pub struct Facts {
    pub account: AccountRow,
    pub purse: Option<Purse>,
    pub has_opening: bool,
    /// The accounts of the owner, and whether a paid call of one of them is under way.
    pub members: Vec<AccountId>,
    pub is_owner_buying: bool,
    pub emptied: Option<JobId>,
    pub ready: Option<Job>,
    /// Whether items wait that may go into one call with `ready`.
    pub has_company: bool,
    /// Contacts in queued jobs that wait for nothing, by action.
    pub claimed: Vec<(Action, u32)>,
    pub parked: Vec<Parked>,
    pub waiting: Vec<Kind>,
    /// The last seen prices.
    pub prices: Vec<(Action, Credits)>,
    /// Tasks being polled, by age: see [`polled`].
    pub polled: [u32; 3],
}

/// Parked jobs that have the same values in all of these columns; `id` is the oldest.
pub struct Parked {
    pub id: JobId,
    pub waits_for: WaitReason,
    pub action: Action,
    pub contacts: u32,
    pub price: Option<Credits>,
    pub quoted: Option<Credits>,
    pub refused_at: Option<Credits>,
    pub due_at: Option<Millis>,
}

/// Reads all facts. `led_up_to`: the newest item of the request that led a batch last.
pub async fn read(
    readers: &Reads,
    account: &AccountId,
    older: Older,
    led_up_to: i64,
    now: Millis,
) -> Result<Facts, StoreError> {
    let (ready_and_company, purse, has_opening, members, is_owner_buying, emptied) = tokio::try_join!(
        ready_and_company(readers, account, now),
        ledger::purse(readers, account, now),
        settlements::has_opening(readers, account),
        accounts::members(readers, account),
        is_owner_buying(readers, account),
        due::emptied(readers, account),
    )?;
    let (claimed, parked, waiting, prices, polled, account) = tokio::try_join!(
        claimed(readers, account),
        parked(readers, account),
        waiting::kinds(readers, account, led_up_to),
        ledger::seen_prices(readers, account),
        polled(readers, account, older, now),
        accounts::read(readers, account),
    )?;
    let (ready, has_company) = ready_and_company;
    Ok(Facts {
        account,
        purse,
        has_opening,
        members,
        is_owner_buying,
        emptied,
        ready,
        has_company,
        claimed,
        parked,
        waiting,
        prices,
        polled,
    })
}

/// The first queued job that waits only for its turn, and whether items wait that may go into its call.
async fn ready_and_company(
    readers: &Reads,
    account: &AccountId,
    now: Millis,
) -> Result<(Option<Job>, bool), StoreError> {
    let Some(job) = due::ready(readers, account, now).await? else { return Ok((None, false)) };
    let has_company = waiting::has_company(readers, account, job.action, job.event_id.as_ref()).await?;
    Ok((Some(job), has_company))
}

/// Whether a paid call of an account of the same owner is under way. The API refuses a second one with
/// `CREDIT_OPERATION_IN_PROGRESS`.
pub async fn is_owner_buying(on: impl Into<On<'_>>, account: &AccountId) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from jobs where state = 'submitting'
                          and account in (select member from pools where account = $1))",
    )
    .bind(account.as_str())
    .fetch_one(on)
    .await?)
}

async fn claimed(readers: &Reads, account: &AccountId) -> Result<Vec<(Action, u32)>, StoreError> {
    let rows: Vec<(String, i64)> = sql::query_as(
        "select action, cast(sum(contacts) as bigint) from jobs
         where state = 'queued' and account = $1 and state_reason is null and failures = 0 group by action",
    )
    .bind(account.as_str())
    .fetch_all(readers)
    .await?;
    let known = |(action, contacts): (String, i64)| Some((Action::parse(&action)?, contacts as u32));
    Ok(rows.into_iter().filter_map(known).collect())
}

#[derive(FromRow)]
struct ParkedRow {
    id: i64,
    state_reason: String,
    action: String,
    contacts: i64,
    price: Option<i64>,
    quoted_credits: Option<i64>,
    parked_balance: Option<i64>,
    conflict_due_at: Option<i64>,
}

async fn parked(readers: &Reads, account: &AccountId) -> Result<Vec<Parked>, StoreError> {
    let rows: Vec<ParkedRow> = sql::query_as(
        "select min(id) as id, state_reason, action, contacts, price, quoted_credits, parked_balance,
                case when state_reason = $2 then due_at end as conflict_due_at
         from jobs where state = 'queued' and account = $1 and state_reason is not null
         group by 2, 3, 4, 5, 6, 7, 8 order by 1",
    )
    .bind(account.as_str())
    .bind(WaitReason::Conflict.as_str())
    .fetch_all(readers)
    .await?;
    let known = |row: ParkedRow| {
        Some(Parked {
            id: JobId(row.id),
            action: Action::parse(&row.action)?,
            waits_for: WaitReason::parse(&row.state_reason)?,
            contacts: u32::try_from(row.contacts).unwrap_or(u32::MAX),
            price: row.price.map(Credits),
            quoted: row.quoted_credits.map(Credits),
            refused_at: row.parked_balance.map(Credits),
            due_at: row.conflict_due_at.map(Millis),
        })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// When a task counts as older: after this many polls, at one of these ages.
#[derive(Clone, Copy, Debug)]
pub struct Older {
    pub polls: u32,
    pub ages_ms: [i64; 2],
}

/// How many tasks are polled: younger than the first age, older than the first, and older than the second.
pub async fn polled(
    readers: &Reads,
    account: &AccountId,
    older: Older,
    now: Millis,
) -> Result<[u32; 3], StoreError> {
    let [first, second] = older.ages_ms.map(|age_ms| now.plus(-age_ms).0);
    let (all, old, oldest): (i64, i64, i64) = sql::query_as(
        "select count(*),
                count(*) filter (where poll_count >= $2 and coalesce(submitted_at, created_at) <= $3),
                count(*) filter (where poll_count >= $2 and coalesce(submitted_at, created_at) <= $4)
         from jobs where state = 'polling' and account = $1",
    )
    .bind(account.as_str())
    .bind(older.polls)
    .bind(first)
    .bind(second)
    .fetch_one(readers)
    .await?;
    Ok([all - old, old - oldest, oldest].map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
}
