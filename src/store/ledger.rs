//! Credits: submission attempts, holds and charges, balances, windows and prices.

use sqlx::{FromRow, SqliteConnection, SqlitePool};

use super::StoreError;
use super::error::exactly_one;
use crate::domain::credits::Purse;
use crate::domain::reconcile::{JobCharge, Settlement};
use crate::domain::{AccountId, Action, Credits, JobId, Millis};

/// A balance as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    pub total: Credits,
    pub subscription: Credits,
    pub addon: Credits,
    pub gift: Credits,
}

/// A recorded balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Snapshot {
    pub id: i64,
    pub total: i64,
    pub asked_at: i64,
    pub taken_at: i64,
}

/// Records a balance.
pub async fn add_snapshot(
    connection: &mut SqliteConnection,
    account: &AccountId,
    balance: Balance,
    cause: &str,
    asked_at: Millis,
    taken_at: Millis,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "insert into balance_snapshots (account, taken_at, cause, total, subscription, addon, gift, asked_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) returning id",
    )
    .bind(account.as_str())
    .bind(taken_at.0)
    .bind(cause)
    .bind(balance.total.0)
    .bind(balance.subscription.0)
    .bind(balance.addon.0)
    .bind(balance.gift.0)
    .bind(asked_at.0)
    .fetch_one(connection)
    .await?)
}

/// The newest balance of an account.
pub async fn last_snapshot(
    readers: &SqlitePool,
    account: &AccountId,
) -> Result<Option<Snapshot>, StoreError> {
    Ok(sqlx::query_as(
        "select id, total, asked_at, taken_at from balance_snapshots where account = ?1 order by id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?)
}

/// The newest balance of an account, with its parts.
pub async fn last_balance(
    readers: &SqlitePool,
    account: &AccountId,
) -> Result<Option<(Millis, Balance)>, StoreError> {
    let row: Option<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "select taken_at, total, subscription, addon, gift from balance_snapshots where account = ?1
         order by id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?;
    Ok(row.map(|(taken_at, total, subscription, addon, gift)| {
        let [total, subscription, addon, gift] = [total, subscription, addon, gift].map(Credits);
        (Millis(taken_at), Balance { total, subscription, addon, gift })
    }))
}

/// What may be spent on an account; `None` when no balance was ever read. The configured floor and
/// daily limit are filled in by the caller.
pub async fn purse(
    connection: &mut SqliteConnection,
    account: &AccountId,
    now: Millis,
) -> Result<Option<Purse>, StoreError> {
    let row: Option<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "select s.total, s.asked_at,
                (select coalesce(sum(credits), 0) from ledger
                 where entry = 'charge' and account = ?1 and at >= s.asked_at),
                (select coalesce(sum(l.credits), 0) from ledger l
                 where l.entry <> 'charge' and l.job_id in
                     (select id from jobs where state = 'submitting' and account = ?1
                      union all select id from jobs where state = 'in_doubt' and account = ?1)),
                (select coalesce(sum(credits), 0) from ledger
                 where entry = 'charge' and account = ?1 and at >= ?2)
         from balance_snapshots s where s.account = ?1 order by s.id desc limit 1",
    )
    .bind(account.as_str())
    .bind(now.start_of_day().0)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(total, asked_at, charged_since, held, charged_today)| Purse {
        balance: Credits(total),
        balance_at: Millis(asked_at),
        charged_since: Credits(charged_since),
        held: Credits(held),
        min_balance: Credits::ZERO,
        daily_limit: None,
        charged_today: Credits(charged_today),
    }))
}

/// Sets aside what a submission may cost.
pub async fn hold(
    connection: &mut SqliteConnection,
    account: &AccountId,
    job_id: JobId,
    credits: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    add(connection, account, job_id, "hold", credits, now).await
}

/// Gives back whatever is still held for a job.
pub async fn release(
    connection: &mut SqliteConnection,
    account: &AccountId,
    job_id: JobId,
    now: Millis,
) -> Result<(), StoreError> {
    let held: i64 = sqlx::query_scalar(
        "select coalesce(sum(credits), 0) from ledger where job_id = ?1 and entry <> 'charge'",
    )
    .bind(job_id.0)
    .fetch_one(&mut *connection)
    .await?;
    if held == 0 {
        return Ok(());
    }
    add(connection, account, job_id, "release", Credits(-held), now).await
}

/// Books what a job is charged with.
pub async fn charge(
    connection: &mut SqliteConnection,
    account: &AccountId,
    job_id: JobId,
    credits: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    add(connection, account, job_id, "charge", credits, now).await
}

async fn add(
    connection: &mut SqliteConnection,
    account: &AccountId,
    job_id: JobId,
    entry: &str,
    credits: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    sqlx::query("insert into ledger (at, account, job_id, entry, credits) values (?1, ?2, ?3, ?4, ?5)")
        .bind(now.0)
        .bind(account.as_str())
        .bind(job_id.0)
        .bind(entry)
        .bind(credits.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// The intent to send, as it is written before the POST.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub request_id: String,
    pub body_digest: String,
    pub contacts: u32,
    pub cost: Credits,
    pub lease_token: i64,
    pub balance_before: Option<Credits>,
}

/// Writes the intent to send; returns the attempt's id.
pub async fn begin_attempt(
    connection: &mut SqliteConnection,
    job_id: JobId,
    attempt: &Attempt,
    now: Millis,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "insert into attempts (job_id, request_id, body_digest, contacts, cost, lease_token, balance_before, started_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) returning id",
    )
    .bind(job_id.0)
    .bind(&attempt.request_id)
    .bind(&attempt.body_digest)
    .bind(attempt.contacts)
    .bind(attempt.cost.0)
    .bind(attempt.lease_token)
    .bind(attempt.balance_before.map(|credits| credits.0))
    .bind(now.0)
    .fetch_one(connection)
    .await?)
}

/// How a submission ended.
#[derive(Clone, Debug, Default)]
pub struct AttemptEnd {
    pub result: &'static str,
    pub status: Option<u16>,
    pub error_key: Option<String>,
    pub trace_id: Option<String>,
}

/// Writes how a job's unfinished submission ended.
pub async fn end_attempt(
    connection: &mut SqliteConnection,
    job_id: JobId,
    end: &AttemptEnd,
    now: Millis,
) -> Result<(), StoreError> {
    let result = sqlx::query(
        "update attempts set finished_at = ?2, result = ?3, status = ?4, error_key = ?5, trace_id = ?6
         where job_id = ?1 and finished_at is null",
    )
    .bind(job_id.0)
    .bind(now.0)
    .bind(end.result)
    .bind(end.status)
    .bind(end.error_key.as_deref())
    .bind(end.trace_id.as_deref())
    .execute(connection)
    .await?;
    exactly_one(&result, "the submission attempt")
}

/// When the last submission of a job started, and the balance before it.
pub async fn last_attempt(
    readers: &SqlitePool,
    job_id: JobId,
) -> Result<Option<(Millis, Option<Credits>)>, StoreError> {
    let row: Option<(i64, Option<i64>)> = sqlx::query_as(
        "select started_at, balance_before from attempts where job_id = ?1 order by id desc limit 1",
    )
    .bind(job_id.0)
    .fetch_optional(readers)
    .await?;
    Ok(row.map(|(at, balance)| (Millis(at), balance.map(Credits))))
}

/// The account's open window, opened with the newest balance when there is none.
pub async fn open_window(
    connection: &mut SqliteConnection,
    account: &AccountId,
    now: Millis,
) -> Result<i64, StoreError> {
    let open: Option<i64> =
        sqlx::query_scalar("select id from windows where account = ?1 and closed_at is null")
            .bind(account.as_str())
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(id) = open {
        return Ok(id);
    }
    Ok(sqlx::query_scalar(
        "insert into windows (account, opened_at, opening_snapshot, balance_before)
         values (?1, ?2, (select max(id) from balance_snapshots where account = ?1),
                 (select total from balance_snapshots where account = ?1 order by id desc limit 1))
         returning id",
    )
    .bind(account.as_str())
    .bind(now.0)
    .fetch_one(connection)
    .await?)
}

/// Whether a paid job of an account is running, or may be, without a person. Answered by index,
/// however many jobs there are.
pub async fn has_running(readers: &SqlitePool, account: &AccountId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "select exists (select 1 from jobs where state = 'polling' and account = ?1 and adopted = 0)
             or exists (select 1 from jobs where state = 'submitting' and account = ?1)
             or exists (select 1 from jobs where state = 'in_doubt' and account = ?1
                          and state_reason <> 'needs_decision')",
    )
    .bind(account.as_str())
    .fetch_one(readers)
    .await?)
}

/// An account's open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Window {
    pub id: i64,
    pub opened_at: i64,
    pub balance_before: Option<i64>,
    /// Jobs of the window that are still running or in doubt, other than those that wait for a
    /// person.
    pub running: i64,
    /// Jobs that wait for a person's decision.
    pub undecided: i64,
    pub jobs: i64,
    /// When its last job ended.
    pub last_end: Option<i64>,
}

/// Reads an account's open window, if there is one.
pub async fn read_window(
    connection: &mut SqliteConnection,
    account: &AccountId,
) -> Result<Option<Window>, StoreError> {
    Ok(sqlx::query_as(
        "select w.id, w.opened_at, w.balance_before,
                coalesce(sum(j.state in ('submitting', 'polling')
                    or (j.state = 'in_doubt' and j.state_reason <> 'needs_decision')), 0) as running,
                coalesce(sum(j.state = 'in_doubt' and j.state_reason = 'needs_decision'), 0) as undecided,
                count(j.id) as jobs, max(j.finished_at) as last_end
         from windows w left join jobs j on j.window_id = w.id
         where w.account = ?1 and w.closed_at is null group by w.id",
    )
    .bind(account.as_str())
    .fetch_optional(connection)
    .await?)
}

/// What each job of a window may have cost.
pub async fn charges_of_window(
    connection: &mut SqliteConnection,
    window_id: i64,
) -> Result<Vec<(Action, JobCharge)>, StoreError> {
    let rows: Vec<(String, i64, i64, i64, String)> = sqlx::query_as(
        "select j.action, coalesce(j.price, 0),
                (select count(distinct i.personnel_id) from items i
                 where i.job_id = j.id and i.outcome in ('delivered', 'no_value') and i.source is not 'profile'
                   and j.state <> 'lost'),
                coalesce((select sum(l.credits) from ledger l where l.job_id = j.id and l.entry = 'charge'), 0),
                j.state
         from jobs j where j.window_id = ?1",
    )
    .bind(window_id)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(action, price, unlocked, charged, state)| {
            let price = Credits(price.max(1));
            let accepted = usize::try_from(charged / price.0).unwrap_or(0);
            let unlocked = usize::try_from(unlocked).unwrap_or(0).min(accepted);
            Some((Action::parse(&action)?, JobCharge { unlocked, accepted, price, unknown: state == "lost" }))
        })
        .collect())
}

/// Closes a window with its settlement.
pub async fn close_window(
    connection: &mut SqliteConnection,
    window: &Window,
    closing: Option<&Snapshot>,
    settlement: &Settlement,
    now: Millis,
) -> Result<(), StoreError> {
    let result = sqlx::query(
        "update windows set closed_at = ?2, closing_snapshot = ?3, balance_after = ?4, jobs = ?5, expected_min = ?6,
                expected_max = ?7, spent = ?8, verdict = ?9
         where id = ?1 and closed_at is null",
    )
    .bind(window.id)
    .bind(now.0)
    .bind(closing.map(|snapshot| snapshot.id))
    .bind(closing.map(|snapshot| snapshot.total))
    .bind(window.jobs)
    .bind(settlement.expected_min.0)
    .bind(settlement.expected_max.0)
    .bind(settlement.spent.map(|credits| credits.0))
    .bind(settlement.verdict.as_str())
    .execute(connection)
    .await?;
    exactly_one(&result, "the settlement window")
}

/// A window without jobs that were charged or may have been: nothing to settle.
pub async fn discard_window(connection: &mut SqliteConnection, window_id: i64) -> Result<(), StoreError> {
    sqlx::query("delete from windows where id = ?1 and closed_at is null")
        .bind(window_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Credits that the account's other jobs may have been charged since `since`: at least and at most.
/// Jobs that overlap share a window, so only those of the job's own window are looked at.
pub async fn charged_by_others(
    connection: &mut SqliteConnection,
    account: &AccountId,
    job_id: JobId,
    since: Millis,
) -> Result<(Credits, Credits), StoreError> {
    let (unlocked, charged, held): (i64, i64, i64) = sqlx::query_as(
        "select coalesce(sum(min(charged, price * unlocked)), 0), coalesce(sum(charged), 0), coalesce(sum(held), 0)
         from (select coalesce(j.price, 0) as price,
                      (select count(distinct i.personnel_id) from items i
                       where i.job_id = j.id and i.outcome in ('delivered', 'no_value')) as unlocked,
                      coalesce((select sum(l.credits) from ledger l
                                where l.job_id = j.id and l.entry = 'charge' and l.at >= ?3), 0) as charged,
                      coalesce((select sum(l.credits) from ledger l
                                where l.job_id = j.id and l.entry <> 'charge'), 0) as held
               from jobs j
               where j.window_id = (select window_id from jobs where id = ?2) and j.account = ?1 and j.id <> ?2
                 and (j.finished_at is null or j.finished_at >= ?3))",
    )
    .bind(account.as_str())
    .bind(job_id.0)
    .bind(since.0)
    .fetch_one(connection)
    .await?;
    Ok((Credits(unlocked), Credits(charged + held)))
}

/// The price of an action as a settlement or a precheck showed it.
pub async fn seen_price(
    readers: &SqlitePool,
    account: &AccountId,
    action: Action,
) -> Result<Option<Credits>, StoreError> {
    let credits: Option<i64> =
        sqlx::query_scalar("select credits from prices where account = ?1 and action = ?2")
            .bind(account.as_str())
            .bind(action.as_str())
            .fetch_optional(readers)
            .await?;
    Ok(credits.map(Credits))
}

/// Keeps a price that was seen, for estimates.
pub async fn keep_price(
    connection: &mut SqliteConnection,
    account: &AccountId,
    action: Action,
    price: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into prices (account, action, credits, seen_at) values (?1, ?2, ?3, ?4)
         on conflict (account, action) do update set credits = excluded.credits, seen_at = excluded.seen_at",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(price.0)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}
