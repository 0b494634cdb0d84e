//! Where the credits went: charges by day, account, action and reference, and what they bought nothing for.

use serde_json::json;
use sqlx::FromRow;

use crate::domain::Millis;
use crate::domain::ids::DAY_MS;
use crate::domain::outcome::Set;
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

/// A contact, or another paid action, that a job was charged for and that brought no value. A contact that the job's
/// call did not name, or that the API skipped, is none.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Unfulfilled {
    pub item_id: i64,
    pub request_id: i64,
    pub reference: Option<String>,
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub personnel_id: String,
    pub outcome: String,
    pub error_code: Option<String>,
    pub job_id: i64,
    pub task_id: Option<String>,
    pub trace_id: Option<String>,
    pub call_id: Option<String>,
    pub submitted_at: Option<i64>,
    pub credits: i64,
    pub closed_at: Option<i64>,
    pub expected_min: Option<i64>,
    pub expected_max: Option<i64>,
    pub spent: Option<i64>,
    /// The verdict of its settlement is `lapsed` or `unknown`.
    pub proves_nothing: Option<bool>,
}

/// What was charged from `since` until before `until` and brought no value, of `accounts` (a JSON array; `None`: of
/// all), by time: without the first `skipped`, at most `limit`.
pub async fn unfulfilled(
    store: &Store,
    accounts: Option<&str>,
    (since, until): (Millis, Millis),
    (skipped, limit): (i64, u32),
) -> Result<Vec<Unfulfilled>, StoreError> {
    Ok(sql::query_as(
        "select i.id as item_id, i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, i.outcome,
                i.error_code, j.id as job_id, j.task_id, a.trace_id, a.request_id as call_id, j.submitted_at,
                least(coalesce(j.price, 0), charged.credits) as credits,
                w.closed_at, w.expected_min, w.expected_max, w.spent,
                (w.lapsed = 1 or w.verdict = 'unknown') as proves_nothing
         from (select job_id, min(at) as at, cast(sum(credits) as bigint) as credits from ledger
               where entry = 'charge' and at >= $1 and at < $2 and credits > 0 group by job_id) as charged
         join jobs j on j.id = charged.job_id
         join items i on i.job_id = j.id
         join requests r on r.id = i.request_id
         left join windows w on w.id = j.window_id
         left join attempts a on a.id = (select max(id) from attempts
                                         where job_id = j.id and result in ('accepted', 'unknown'))
         where i.outcome in (select value from json_words($6)) and i.not_charged = 0
           -- A contact that several requests share was charged once.
           and not exists (select 1 from items s where s.job_id = i.job_id and s.id < i.id and s.outcome = i.outcome
                           and s.not_charged = 0
                           and s.personnel_id is not distinct from i.personnel_id)
           and ($3 is null or i.account in (select value from json_words($3)))
         order by charged.at, i.id limit $4 offset $5",
    )
    .bind(since.0)
    .bind(until.0)
    .bind(accounts)
    .bind(limit)
    .bind(skipped)
    .bind(json!(Set::Unfulfilled.words()).to_string())
    .fetch_all(store.readers())
    .await?)
}
