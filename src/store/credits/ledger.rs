//! The credits that the ledger leaves free to spend, and the prices that settlements have shown.
//! [`crate::store::credits::booking`] writes the ledger's entries.

use sqlx::FromRow;

use crate::store::{On, Reads, StoreError, Tx, sql};

use crate::domain::credits::Purse;
use crate::domain::{AccountId, Action, Credits, JobId, Millis};

/// The credits free to spend on an account; `None` if no balance was ever read. The caller fills in the
/// configured floor and limits.
///
/// What was spent in a day or month counts what was booked, and what left the balance beyond that: by the
/// settlements that closed in it, and by the open one as far as the last balance shows it. Nothing is taken from an
/// open one in which granted credits changed: only its settlement tells a lapse from spending.
pub async fn purse(
    on: impl Into<On<'_>>,
    account: &AccountId,
    now: Millis,
) -> Result<Option<Purse>, StoreError> {
    let row: Option<PurseRow> = sql::query_as(
        "with members as (select member from pools where account = $1),
              pool as (select owner from accounts where account = $1),
              last as (select * from balance_snapshots where owner = (select owner from pool) order by id desc limit 1),
              charges as (select id, at, credits, job_id from ledger
                          where entry = 'charge' and account in (select member from members)),
              of_contacts as (select c.credits, j.contacts from charges c join jobs j on j.id = c.job_id
                              where c.id > (select ledger_when_asked from last)
                                and j.action in ('unlock_contact_emails', 'unlock_contact_phones'))
         select last.total, last.asked_at,
                (select cast(coalesce(sum(credits), 0) as bigint) from charges where id > last.ledger_when_asked) as charged_since,
                (select cast(coalesce(sum(credits), 0) as bigint) from of_contacts) as contacts_charged_since,
                (select cast(coalesce(sum(contacts), 0) as bigint) from of_contacts) as contacts_since,
                (select cast(coalesce(sum(l.credits), 0) as bigint) from ledger l
                 where l.entry <> 'charge' and l.job_id in
                     (select id from jobs where state = 'submitting' and account in (select member from members)
                      union all select id from jobs where state = 'in_doubt'
                                  and account in (select member from members))) as held,
                (select cast(coalesce(sum(credits), 0) as bigint) from charges where at >= $2) as booked_today,
                (select cast(coalesce(sum(credits), 0) as bigint) from charges where at >= $3) as booked_this_month,
                (select cast(coalesce(sum(spent - expected_max), 0) as bigint) from windows
                 where owner = (select owner from pool) and verdict = 'overspent' and closed_at >= $2) as beyond_today,
                (select cast(coalesce(sum(spent - expected_max), 0) as bigint) from windows
                 where owner = (select owner from pool) and verdict = 'overspent' and closed_at >= $3)
                    as beyond_this_month,
                (select w.balance_before - last.total
                        - (select cast(coalesce(sum(credits), 0) as bigint) from charges where id > o.ledger_when_asked)
                 from windows w join balance_snapshots o on o.id = w.opening_snapshot
                 where w.owner = (select owner from pool) and w.closed_at is null
                   and o.subscription_amount is not distinct from last.subscription_amount
                   and o.addon_amount is not distinct from last.addon_amount
                   and o.gift_amount is not distinct from last.gift_amount) as beyond_open
         from last",
    )
    .bind(account.as_str())
    .bind(now.start_of_day().0)
    .bind(now.start_of_month().0)
    .fetch_optional(on)
    .await?;
    Ok(row.map(PurseRow::purse))
}

#[derive(FromRow)]
struct PurseRow {
    total: i64,
    asked_at: i64,
    charged_since: i64,
    contacts_charged_since: i64,
    contacts_since: i64,
    held: i64,
    booked_today: i64,
    booked_this_month: i64,
    /// What left the balance beyond the most that was booked, by settlements that closed.
    beyond_today: i64,
    beyond_this_month: i64,
    /// The same of the open one, before what is held; negative: not all that is booked has left yet.
    beyond_open: Option<i64>,
}

impl PurseRow {
    fn purse(self) -> Purse {
        let beyond_open =
            (Credits(self.beyond_open.unwrap_or_default()) - Credits(self.held)).max(Credits::ZERO);
        Purse {
            balance: Credits(self.total),
            balance_at: Millis(self.asked_at),
            charged_since: Credits(self.charged_since),
            contacts_since: (Credits(self.contacts_charged_since), self.contacts_since),
            list_price: Credits::ZERO,
            held: Credits(self.held),
            min_balance: Credits::ZERO,
            daily_limit: None,
            monthly_limit: None,
            spent_today: Credits(self.booked_today) + Credits(self.beyond_today) + beyond_open,
            spent_this_month: Credits(self.booked_this_month) + Credits(self.beyond_this_month) + beyond_open,
        }
    }
}

/// The newest entry of the ledger, 0 if there is none: what is booked later has a higher number.
pub async fn last_entry(on: impl Into<On<'_>>) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select coalesce(max(id), 0) from ledger").fetch_one(on).await?)
}

/// What is known before a submission: the credits, and what they are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct OpeningBalance {
    /// The last balance read, less what was certainly charged after it.
    pub credits: i64,
    pub snapshot: i64,
    /// The newest entry of the ledger.
    pub ledger: i64,
}

/// The balance before a submission, as evidence for what leaves it later. A charge whose submission began before
/// that balance was answered may already be in it, so it is not taken off: a balance that is too high makes a charge
/// look likelier than it is, but one that is too low would hide it.
pub async fn opening_balance(
    connection: &mut Tx,
    account: &AccountId,
) -> Result<Option<OpeningBalance>, StoreError> {
    Ok(sql::query_as(
        "select s.total - (select cast(coalesce(sum(l.credits), 0) as bigint) from ledger l
                           where l.entry = 'charge' and l.id > s.ledger_when_asked
                             and l.account in (select member from pools where account = $1)
                             and exists (select 1 from attempts a
                                         where a.job_id = l.job_id and a.id > s.attempt_when_taken)) as credits,
                s.id as snapshot, (select coalesce(max(id), 0) from ledger) as ledger
         from balance_snapshots s where s.owner = (select owner from accounts where account = $1)
         order by s.id desc limit 1",
    )
    .bind(account.as_str())
    .fetch_optional(connection)
    .await?)
}

/// The last price of an action that a settlement showed.
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

/// Stores a price that a settlement showed, for estimates.
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

/// The credits charged to a job so far.
pub async fn charged(connection: &mut Tx, job_id: JobId) -> Result<Credits, StoreError> {
    let credits: i64 = sql::query_scalar(
        "select cast(coalesce(sum(credits), 0) as bigint) from ledger where job_id = $1 and entry = 'charge'",
    )
    .bind(job_id.0)
    .fetch_one(connection)
    .await?;
    Ok(Credits(credits))
}
