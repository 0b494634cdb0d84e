//! What was charged and brought no value: for a claim from the vendor.

use serde_json::json;
use sqlx::FromRow;

use crate::domain::outcome::{Kind, Set};
use crate::domain::{Action, Millis};
use crate::store::{Store, StoreError, sql};

/// A contact, or another paid action, that a job was charged for and that brought no value. A contact that the job's
/// call did not name, or that the API skipped, is none; if a call of the job was lost, that one may have named it. A search
/// that brought its page has one for the calls before it that were charged and lost.
///
/// What is claimed of a job and what it delivered never cost more than it was charged.
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
    /// The verdict of its settlement is `lapsed` or `unknown`, or the settlement may not cover the call.
    pub proves_nothing: Option<bool>,
}

/// The actions whose results cannot be read again, as JSON.
fn searches() -> String {
    let searches: Vec<&str> =
        Action::ALL.into_iter().filter(|action| action.is_search()).map(Action::as_str).collect();
    json!(searches).to_string()
}

/// The items of jobs that were charged between `$1` and `$2` and that brought no value: `open`, by job in the order in
/// which they are claimed.
macro_rules! with_open_items {
    ($rest:literal) => {
        concat!(
            "with charged as (select job_id, min(at) as at from ledger
                          where entry = 'charge' and at >= $1 and at < $2 and credits > 0 group by job_id),
              paid as (select charged.at, j.id as job_id, coalesce(j.price, 0) as price,
                              j.action in (select value from json_words($7)) as is_search,
                              exists (select 1 from attempts where job_id = j.id and result = 'unknown') as has_lost,
                              (select cast(sum(credits) as bigint) from ledger where job_id = j.id and entry = 'charge')
                              - case when j.action in (select value from json_words($7))
                                     then (select cast(coalesce(sum(d.credits_used), 0) as bigint)
                                           from direct_results d join items x on x.id = d.item_id where x.job_id = j.id)
                                     else coalesce(j.price, 0)
                                          * (select count(distinct personnel_id) from items
                                             where job_id = j.id and outcome = 'delivered' and not_charged = 0) end
                              as credits
                       from charged join jobs j on j.id = charged.job_id),
              -- Those that the job was certainly charged for come first.
              open as (select paid.at, paid.price, paid.is_search, paid.credits, i.id as item_id, i.job_id,
                              i.outcome = 'delivered' as is_found,
                              row_number() over (partition by i.job_id order by i.not_charged, i.id) - 1 as before_it
                       from paid join items i on i.job_id = paid.job_id
                       where paid.credits > 0
                         and (i.outcome in (select value from json_words($6)) or paid.is_search and i.outcome = 'delivered')
                         and (i.not_charged = 0 or paid.has_lost)
                         -- A contact that several requests share was charged once.
                         and not exists (select 1 from items s where s.job_id = i.job_id and s.id < i.id
                                         and s.outcome = i.outcome and (s.not_charged = 0 or paid.has_lost)
                                         and s.personnel_id is not distinct from i.personnel_id)
                         -- Its value came later, to whoever asked again, and nothing more was charged for it.
                         and not exists (select 1 from items d
                                         where d.personnel_id = i.personnel_id and d.action = i.action
                                           and d.account in (select member from pools where account = i.account)
                                           and d.outcome = 'delivered' and d.resolved_at >= i.resolved_at
                                           and (d.not_charged = 1
                                                or not exists (select 1 from ledger where job_id = d.job_id
                                                               and entry = 'charge' and credits > 0)))) ",
            $rest
        )
    };
}

/// What was charged from `since` until before `until` and brought no value, of `accounts` (a JSON array; `None`: of
/// all), by time: without the first `skipped`, at most `limit`.
pub async fn unfulfilled(
    store: &Store,
    accounts: Option<&str>,
    (since, until): (Millis, Millis),
    (skipped, limit): (i64, u32),
) -> Result<Vec<Unfulfilled>, StoreError> {
    Ok(sql::query_as(with_open_items!(
        "select i.id as item_id, i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id,
                case when open.is_found then $8 else i.outcome end as outcome,
                i.error_code, j.id as job_id, case when open.is_found then null else j.task_id end as task_id,
                sent.trace_id, sent.request_id as call_id,
                case when open.is_found then sent.started_at else j.submitted_at end as submitted_at,
                case when open.is_search then open.credits
                     else least(open.price, open.credits - open.price * open.before_it) end as credits,
                w.closed_at, w.expected_min, w.expected_max, w.spent,
                -- The lost calls of a search may be in an earlier settlement.
                (w.lapsed = 1 or w.verdict = 'unknown' or open.is_found and w.spent < w.expected_max) as proves_nothing
         from open
         join items i on i.id = open.item_id join jobs j on j.id = open.job_id
         join requests r on r.id = i.request_id left join windows w on w.id = j.window_id
         left join attempts sent on sent.id = (select max(id) from attempts where job_id = j.id
                                           and (result = 'unknown' or result = 'accepted' and not open.is_found))
         where ($3 is null or i.account in (select value from json_words($3)))
           and (open.is_search and open.before_it = 0
                or not open.is_search and open.credits > open.price * open.before_it)
         order by open.at, i.id limit $4 offset $5"
    ))
    .bind(since.0)
    .bind(until.0)
    .bind(accounts)
    .bind(limit)
    .bind(skipped)
    .bind(json!(Set::Unfulfilled.words()).to_string())
    .bind(searches())
    .bind(Kind::Lost.as_str())
    .fetch_all(store.readers())
    .await?)
}
