//! The results of direct actions: rows of the view `action_results`.

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::FromRow;

use crate::store::pairs;
use crate::store::report::export::Wanted;
use crate::store::{Store, StoreError, sql};

#[derive(FromRow)]
struct Row {
    request_id: i64,
    reference: Option<String>,
    account: String,
    action: String,
    event_id: Option<String>,
    query: Option<String>,
    outcome: String,
    credits_used: Option<i64>,
    result: Option<String>,
    resolved_at: Option<String>,
}

/// A row of the view `action_results`.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ActionResult {
    pub request_id: i64,
    pub reference: Option<String>,
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub query: Option<String>,
    pub outcome: String,
    pub credits_used: Option<i64>,
    /// JSON, not a text that contains JSON.
    #[schema(value_type = serde_json::Value)]
    pub result: Option<Box<RawValue>>,
    pub resolved_at: Option<String>,
}

impl From<Row> for ActionResult {
    fn from(row: Row) -> ActionResult {
        ActionResult {
            request_id: row.request_id,
            reference: row.reference,
            account: row.account,
            action: row.action,
            event_id: row.event_id,
            query: row.query,
            outcome: row.outcome,
            credits_used: row.credits_used,
            // The column holds JSON or null.
            result: row.result.and_then(|text| RawValue::from_string(text).ok()),
            resolved_at: row.resolved_at,
        }
    }
}

/// The result of a direct action's request; `None` for a request for contacts.
pub async fn read(store: &Store, request_id: i64) -> Result<Option<ActionResult>, StoreError> {
    let row: Option<Row> = sql::query_as(
        "select request_id, reference, account, action, event_id, query, outcome, credits_used, result, resolved_at
         from action_results where request_id = $1",
    )
    .bind(request_id)
    .fetch_optional(store.readers())
    .await?;
    Ok(row.map(ActionResult::from))
}

/// The result of a direct action without the found items: small, however many there are.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Summary {
    pub outcome: String,
    pub credits_used: Option<i64>,
    /// Results of a search.
    pub found: Option<i64>,
    /// The event's name at the vendor.
    pub event_name: Option<String>,
    /// Access to the event: `full` if its whole list is open.
    pub access_mode: Option<String>,
    /// Of an event whose visitor layer was read.
    pub visitors: Option<bool>,
    /// People that the event's list shows.
    pub people: Option<i64>,
}

/// Sums up the result of a direct action's request; `None` for a request for contacts.
pub async fn summary(store: &Store, request_id: i64) -> Result<Option<Summary>, StoreError> {
    Ok(sql::query_as(pairs::SUM_UP_RESULT).bind(request_id).fetch_optional(store.readers()).await?)
}

macro_rules! select_results {
    ($rest:literal) => {
        concat!(
            "select a.request_id, a.reference, a.account, a.action, a.event_id, a.query, a.outcome, a.credits_used, \
             a.result, a.resolved_at from action_results a where a.request_id > $1 \
             and ($2 is null or exists (select 1 from requests r where r.id = a.request_id and r.finished_at >= $2)) \
             and case when $3 is null then a.outcome <> 'pending' \
             else a.outcome in (select value from json_words($3)) end ",
            $rest
        )
    };
}

/// The next results after a request, in the order of the requests.
pub async fn page(
    store: &Store,
    wanted: &Wanted,
    after: i64,
    limit: u32,
) -> Result<Vec<ActionResult>, StoreError> {
    let page = match wanted.request_id {
        Some(_) => sql::query_as::<Row>(select_results!("and a.request_id = $4 limit $5")),
        None => sql::query_as(select_results!(
            "and not exists (select 1 from requests r where r.id = a.request_id and r.removed_at is not null) \
             order by a.request_id limit $4"
        )),
    };
    let page = page.bind(after).bind(wanted.since.map(|at| at.0)).bind(wanted.outcomes.as_deref());
    let page = match wanted.request_id {
        Some(id) => page.bind(id),
        None => page,
    };
    let rows = page.bind(limit).fetch_all(store.readers()).await?;
    Ok(rows.into_iter().map(ActionResult::from).collect())
}
