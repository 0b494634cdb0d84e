//! Credits, append-only: holds before a POST, releases after it, charges; and prices as they were seen.

use crate::store::{On, Reads, StoreError, Tx, sql};

use crate::domain::credits::Purse;
use crate::domain::{AccountId, Action, Credits, JobId, Millis};

/// What may be spent on an account; `None` when no balance was ever read. The configured floor and
/// daily limit are filled in by the caller.
pub async fn purse(
    on: impl Into<On<'_>>,
    account: &AccountId,
    now: Millis,
) -> Result<Option<Purse>, StoreError> {
    let row: Option<(i64, i64, i64, i64, i64)> = sql::query_as(
        "select s.total, s.asked_at,
                (select coalesce(sum(credits), 0) from ledger
                 where entry = 'charge' and account = $1 and at >= s.asked_at),
                (select coalesce(sum(l.credits), 0) from ledger l
                 where l.entry <> 'charge' and l.job_id in
                     (select id from jobs where state = 'submitting' and account = $1
                      union all select id from jobs where state = 'in_doubt' and account = $1)),
                (select coalesce(sum(credits), 0) from ledger
                 where entry = 'charge' and account = $1 and at >= $2)
         from balance_snapshots s where s.account = $1 order by s.id desc limit 1",
    )
    .bind(account.as_str())
    .bind(now.start_of_day().0)
    .fetch_optional(on)
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

/// The balance that a submission starts from, as evidence of what leaves it: the last one that was read,
/// less what was certainly charged after it. A charge whose submission began before that balance was
/// answered may be in it already, and stays in: a balance too high makes a charge look likelier than it
/// is, one too low would hide it.
pub async fn opening_balance(
    connection: &mut Tx,
    account: &AccountId,
) -> Result<Option<Credits>, StoreError> {
    let credits: Option<i64> = sql::query_scalar(
        "select s.total - (select coalesce(sum(l.credits), 0) from ledger l
                           where l.entry = 'charge' and l.account = $1 and l.at >= s.taken_at
                             and exists (select 1 from attempts a
                                         where a.job_id = l.job_id and a.started_at >= s.taken_at))
         from balance_snapshots s where s.account = $1 order by s.id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(credits.map(Credits))
}

/// Sets aside what a submission may cost.
pub async fn hold(
    connection: &mut Tx,
    account: &AccountId,
    job_id: JobId,
    credits: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    add(connection, account, job_id, "hold", credits, now).await
}

/// Gives back whatever is still held for a job.
pub async fn release(
    connection: &mut Tx,
    account: &AccountId,
    job_id: JobId,
    now: Millis,
) -> Result<(), StoreError> {
    let held: i64 = sql::query_scalar(
        "select coalesce(sum(credits), 0) from ledger where job_id = $1 and entry <> 'charge'",
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
    connection: &mut Tx,
    account: &AccountId,
    job_id: JobId,
    credits: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    add(connection, account, job_id, "charge", credits, now).await
}

/// What a job was charged with so far.
pub async fn charged(connection: &mut Tx, job_id: JobId) -> Result<Credits, StoreError> {
    let credits: i64 = sql::query_scalar(
        "select coalesce(sum(credits), 0) from ledger where job_id = $1 and entry = 'charge'",
    )
    .bind(job_id.0)
    .fetch_one(connection)
    .await?;
    Ok(Credits(credits))
}

async fn add(
    connection: &mut Tx,
    account: &AccountId,
    job_id: JobId,
    entry: &str,
    credits: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    sql::query("insert into ledger (at, account, job_id, entry, credits) values ($1, $2, $3, $4, $5)")
        .bind(now.0)
        .bind(account.as_str())
        .bind(job_id.0)
        .bind(entry)
        .bind(credits.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// The price of an action as a settlement or a precheck showed it.
pub async fn seen_price(
    readers: &Reads,
    account: &AccountId,
    action: Action,
) -> Result<Option<Credits>, StoreError> {
    let credits: Option<i64> =
        sql::query_scalar("select credits from prices where account = $1 and action = $2")
            .bind(account.as_str())
            .bind(action.as_str())
            .fetch_optional(readers)
            .await?;
    Ok(credits.map(Credits))
}

/// Keeps a price that was seen, for estimates.
pub async fn keep_price(
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    price: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    sql::query(
        "insert into prices (account, action, credits, seen_at) values ($1, $2, $3, $4)
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
