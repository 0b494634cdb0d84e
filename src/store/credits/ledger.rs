//! The credits that the ledger leaves free to spend, and the prices that the API last named.
//! [`crate::store::credits::booking`] writes the ledger's entries.

use crate::store::{On, Reads, StoreError, Tx, sql};

use crate::domain::credits::Purse;
use crate::domain::{AccountId, Action, Credits, Millis};

/// The credits free to spend on an account; `None` if no balance was ever read. The caller fills in the
/// configured floor and daily limit.
pub async fn purse(
    on: impl Into<On<'_>>,
    account: &AccountId,
    now: Millis,
) -> Result<Option<Purse>, StoreError> {
    let row: Option<(i64, i64, i64, i64, i64)> = sql::query_as(
        "select s.total, s.asked_at,
                (select cast(coalesce(sum(credits), 0) as bigint) from ledger
                 where entry = 'charge' and account in (select member from pools where account = $1)
                   and at >= s.asked_at),
                (select cast(coalesce(sum(l.credits), 0) as bigint) from ledger l
                 where l.entry <> 'charge' and l.job_id in
                     (select id from jobs where state = 'submitting' and account in (select member from pools where account = $1)
                      union all select id from jobs where state = 'in_doubt'
                                  and account in (select member from pools where account = $1))),
                (select cast(coalesce(sum(credits), 0) as bigint) from ledger
                 where entry = 'charge' and account in (select member from pools where account = $1)
                   and at >= $2)
         from balance_snapshots s where s.owner = (select owner from accounts where account = $1)
         order by s.id desc limit 1",
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

/// The balance before a submission, as evidence for what leaves it later: the last balance read, less what
/// was certainly charged after it. A charge whose submission began before that balance was answered may
/// already be in it, so it is not taken off: a balance that is too high makes a charge look likelier than it
/// is, but one that is too low would hide it.
pub async fn opening_balance(
    connection: &mut Tx,
    account: &AccountId,
) -> Result<Option<Credits>, StoreError> {
    let credits: Option<i64> = sql::query_scalar(
        "select s.total - (select cast(coalesce(sum(l.credits), 0) as bigint) from ledger l
                           where l.entry = 'charge' and l.at >= s.taken_at
                             and l.account in (select member from pools where account = $1)
                             and exists (select 1 from attempts a
                                         where a.job_id = l.job_id and a.started_at >= s.taken_at))
         from balance_snapshots s where s.owner = (select owner from accounts where account = $1)
         order by s.id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(credits.map(Credits))
}

/// The last price of an action that a settlement or a precheck showed.
pub async fn seen_price(
    readers: &Reads,
    account: &AccountId,
    action: Action,
) -> Result<Option<Credits>, StoreError> {
    let credits: Option<i64> =
        sql::query_scalar("select credits from prices where account in (select member from pools where account = $1) and action = $2
         order by seen_at desc limit 1",
    )
            .bind(account.as_str())
            .bind(action.as_str())
            .fetch_optional(readers)
            .await?;
    Ok(credits.map(Credits))
}

/// The last seen prices of all actions.
pub async fn seen_prices(readers: &Reads, account: &AccountId) -> Result<Vec<(Action, Credits)>, StoreError> {
    let rows: Vec<(String, i64)> = sql::query_as(
        "select action, credits from prices where account in (select member from pools where account = $1)
         order by seen_at desc",
    )
    .bind(account.as_str())
    .fetch_all(readers)
    .await?;
    let known = |(action, credits): (String, i64)| Some((Action::parse(&action)?, Credits(credits)));
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Stores a price that was seen, for estimates.
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
