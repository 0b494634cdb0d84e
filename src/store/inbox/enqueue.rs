//! Inbox rows that unlockd itself writes (`unlockd enqueue`, `unlockd adopt`).

use crate::domain::request::RawRow;
use crate::domain::same_request::differing_columns;
use crate::store::inbox::{InboxRow, select_rows};
use crate::store::report::requests::Request;
use crate::store::report::untaken::{NewRow, columns};
use crate::store::{Store, StoreError, Tx, sql};

/// A row that `unlockd enqueue`, `adopt` or `demo` writes.
#[derive(Clone, Debug, Default)]
pub struct Enqueue {
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub personnel_ids: Option<String>,
    pub task_id: Option<String>,
    pub query: Option<String>,
    /// `None`: the table's default, one page.
    pub max_pages: Option<u32>,
    pub reference: Option<String>,
    pub dedupe_key: Option<String>,
    pub max_credits: Option<i64>,
    pub approved: bool,
    /// It waits for a person, whatever it costs.
    pub needs_approval: bool,
    /// The caller of the HTTP API that asks.
    pub caller: Option<String>,
    /// The agent that asks, by its own name.
    pub agent: Option<String>,
    /// What it is for, shown to the person who decides.
    pub purpose: Option<String>,
}

/// The row as the worker will read it.
impl From<&Enqueue> for RawRow {
    fn from(row: &Enqueue) -> RawRow {
        RawRow {
            account: row.account.clone(),
            action: row.action.clone(),
            event_id: row.event_id.clone(),
            personnel_ids: row.personnel_ids.clone(),
            task_id: row.task_id.clone(),
            query: row.query.clone(),
            max_pages: i64::from(row.max_pages.unwrap_or(1)),
            max_credits: row.max_credits,
            approved: row.approved.into(),
            needs_approval: row.needs_approval.into(),
            reference: row.reference.clone(),
            dedupe_key: row.dedupe_key.clone(),
            too_long: None,
        }
    }
}

/// Writes an inbox row, and returns it as people read it; `None` if its dedupe key exists already.
pub async fn insert(store: &Store, row: Enqueue) -> Result<Option<Request>, StoreError> {
    store.write_inbox(move |connection| Box::pin(async move { insert_one(connection, &row).await })).await
}

pub(super) async fn insert_one(connection: &mut Tx, row: &Enqueue) -> Result<Option<Request>, StoreError> {
    let written: Option<NewRow> = sql::query_as(concat!(
        "insert into inbox (account, action, event_id, personnel_ids, task_id, reference, dedupe_key,
                            max_credits, approved, query, max_pages, needs_approval, caller,
                            agent, purpose)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, 1), $12, $13, $14, $15)
         on conflict do nothing returning ",
        columns!()
    ))
    .bind(&row.account)
    .bind(&row.action)
    .bind(row.event_id.as_deref())
    .bind(row.personnel_ids.as_deref())
    .bind(row.task_id.as_deref())
    .bind(row.reference.as_deref())
    .bind(row.dedupe_key.as_deref())
    .bind(row.max_credits)
    .bind(i64::from(row.approved))
    .bind(row.query.as_deref())
    .bind(row.max_pages)
    .bind(i64::from(row.needs_approval))
    .bind(row.caller.as_deref())
    .bind(row.agent.as_deref())
    .bind(row.purpose.as_deref())
    .fetch_optional(connection)
    .await?;
    Ok(written.map(Request::from))
}

/// The row that has a dedupe key.
pub async fn find_dedupe_key(
    store: &Store,
    account: &str,
    dedupe_key: &str,
) -> Result<Option<InboxRow>, StoreError> {
    Ok(sql::query_as(select_rows!("where account = $1 and dedupe_key = $2"))
        .bind(account)
        .bind(dedupe_key)
        .fetch_optional(&store.inbox_readers)
        .await?)
}

/// The columns in which the existing row differs from this one.
pub fn differing(there: &InboxRow, row: &Enqueue) -> Vec<&'static str> {
    differing_columns(&RawRow::from(there), &RawRow::from(row))
}
