//! Where the credits went: charges by day, account, action and reference. What they bought nothing for: [`super::claims`].

use sqlx::FromRow;

use crate::domain::Millis;
use crate::domain::ids::DAY_MS;
use crate::store::report::Time;
use crate::store::{Store, StoreError, sql};

/// By what charges are summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct By {
    pub day: bool,
    pub account: bool,
    pub action: bool,
    pub reference: bool,
}

/// Charges that agree in everything they are summed by.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Spent {
    /// Days since 1970.
    pub day: Option<i64>,
    pub account: Option<String>,
    pub action: Option<String>,
    pub reference: Option<String>,
    pub jobs: i64,
    pub contacts: i64,
    pub credits: i64,
}

/// A UTC day as in the views.
pub fn day(days: i64) -> String {
    Time(days * DAY_MS).to_string().chars().take("2026-11-21".len()).collect()
}

/// The charges from `since` until before `until`, of `accounts` (a JSON array; `None`: of all), in the order of their
/// columns.
pub async fn spent(
    store: &Store,
    accounts: Option<&str>,
    by: By,
    (since, until): (Millis, Millis),
) -> Result<Vec<Spent>, StoreError> {
    Ok(sql::query_as(
        "select case when $1 = 1 then l.at / 86400000 end as day, case when $2 = 1 then l.account end as account,
                case when $3 = 1 then j.action end as action, case when $4 = 1 then r.reference end as reference,
                count(distinct l.job_id) as jobs,
                cast(sum(case when j.action in ('unlock_contact_emails', 'unlock_contact_phones')
                         then p.contacts else 0 end) as bigint) as contacts,
                cast(sum(p.credits) as bigint) as credits
         from ledger l
         join charge_parts p on p.ledger_id = l.id
         join jobs j on j.id = l.job_id
         left join requests r on r.id = p.request_id
         where l.entry = 'charge' and l.at >= $5 and l.at < $6
           and ($7 is null or l.account in (select value from json_words($7)))
         group by 1, 2, 3, 4 order by 1, 2, 3, 4",
    )
    .bind(by.day)
    .bind(by.account)
    .bind(by.action)
    .bind(by.reference)
    .bind(since.0)
    .bind(until.0)
    .bind(accounts)
    .fetch_all(store.readers())
    .await?)
}

/// What may have been spent beside the charges: jobs in doubt, whose effect is not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct InDoubt {
    pub jobs: i64,
    /// At most this many.
    pub credits: i64,
}

/// Adds up the jobs in doubt that were sent from `since` until before `until`, of `accounts` (a JSON array; `None`: of
/// all).
pub async fn in_doubt(
    store: &Store,
    accounts: Option<&str>,
    (since, until): (Millis, Millis),
) -> Result<InDoubt, StoreError> {
    Ok(sql::query_as(
        "select count(*) as jobs, cast(coalesce(sum(cost), 0) as bigint) as credits from jobs
         where state = 'in_doubt' and state_reason <> 'carried_out' and submitted_at >= $1 and submitted_at < $2
           and ($3 is null or account in (select value from json_words($3)))",
    )
    .bind(since.0)
    .bind(until.0)
    .bind(accounts)
    .fetch_one(store.readers())
    .await?)
}
