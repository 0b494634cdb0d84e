//! The feed of settled outcomes: the view `contact_changes`.

use serde::Serialize;
use sqlx::FromRow;

use crate::store::{Store, StoreError, sql};

/// A row of the view `contact_changes`.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, utoipa::ToSchema, schemars::JsonSchema)]
#[schema(as = Change)]
pub struct Change {
    /// A later change has a greater number.
    pub seq: i64,
    #[schema(format = DateTime)]
    pub at: String,
    pub request_id: i64,
    pub reference: Option<String>,
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub personnel_id: String,
    pub outcome: String,
    pub source: Option<String>,
}

/// The number of the newest change; 0 before the first.
pub async fn newest(store: &Store) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select coalesce(max(seq), 0) from changes").fetch_one(store.readers()).await?)
}

/// The changes above `after` and up to `newest`, of `accounts` (a JSON array; `None`: of all), in order.
pub async fn after(
    store: &Store,
    accounts: Option<&str>,
    (after, newest): (i64, i64),
    limit: u32,
) -> Result<Vec<Change>, StoreError> {
    Ok(sql::query_as(
        "select seq, at, request_id, reference, account, action, event_id, personnel_id, outcome, source
         from contact_changes
         where seq > $1 and seq <= $2 and ($3 is null or account in (select value from json_words($3)))
         order by seq limit $4",
    )
    .bind(after)
    .bind(newest)
    .bind(accounts)
    .bind(limit)
    .fetch_all(store.readers())
    .await?)
}
