//! Changes of other programs to inbox rows that the worker has taken: the table `inbox_written`.
//!
//! Triggers of the inbox list each row whose `approved`, `status`, `reason`, `quoted_credits` or `finished_at`
//! another program has changed, so the worker need not read the whole table to find them. The worker does not
//! update a row listed here until it has processed the outside change; otherwise that change would be lost.

use crate::store::{Store, StoreError, Tx, sql};
use sqlx::FromRow;

/// A row that another program has written, as it is now.
#[derive(Clone, Debug, FromRow)]
pub struct Written {
    pub id: i64,
    /// Its status before; `new` also for one that was inserted with another.
    pub was: String,
    times: i64,
    /// `None`: the row is gone.
    pub status: Option<String>,
    pub approved: Option<i64>,
    /// The quote that it shows.
    pub quoted_credits: Option<i64>,
}

impl Written {
    pub fn says(&self, status: &str) -> bool {
        self.status.as_deref() == Some(status)
    }

    /// Whether it was new until somebody gave it another status.
    pub fn was_given_a_status(&self) -> bool {
        self.was == "new" && self.status.is_some() && !self.says("new")
    }
}

/// Rows that others have written since they were looked at, at most `limit`.
pub async fn by_others(store: &Store, limit: u32) -> Result<Vec<Written>, StoreError> {
    Ok(sql::query_as(
        "select w.id, w.was, w.times, i.status, i.approved, i.quoted_credits
         from inbox_written w left join inbox i on i.id = w.id order by w.id limit $1",
    )
    .bind(limit)
    .fetch_all(&store.inbox_readers)
    .await?)
}

/// Forgets what was looked at, but for a row that was written once more since.
pub async fn looked_at(store: &Store, written: &[Written]) -> Result<(), StoreError> {
    let rows: Vec<_> = written.iter().map(|row| serde_json::json!([row.id, row.times])).collect();
    let rows = serde_json::json!(rows).to_string();
    store.write_inbox(move |connection| {
            Box::pin(async move {
                sql::query(
                    "delete from inbox_written
                     where (id, times) in (select json_number(value, 0), json_number(value, 1) from json_rows($1))",
                )
                .bind(rows)
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
}

/// Whether what this transaction writes into the inbox is the worker's own, which nobody has to look at.
pub(in crate::store) async fn by_worker(connection: &mut Tx, is_writing: bool) -> Result<(), StoreError> {
    sql::query("update inbox_worker set is_writing = $1").bind(is_writing).execute(connection).await?;
    Ok(())
}
