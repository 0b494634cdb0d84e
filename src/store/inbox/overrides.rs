//! Changes of other programs to inbox rows that the worker has taken: the table `inbox_written`.
//!
//! Triggers of the inbox list each row whose `approved`, `status`, `reason`, `quoted_credits` or `finished_at`
//! another program has changed, so the worker need not read the whole table to find them. The worker does not
//! update a row listed here until it has processed the outside change; otherwise that change would be lost.

use crate::store::{Store, StoreError, Tx, sql};
use sqlx::FromRow;

/// A row that another program has changed, with its present values.
#[derive(Clone, Debug, FromRow)]
pub struct Written {
    pub id: i64,
    /// Its status before the change; `new` also for a row that was inserted with another status.
    pub was: String,
    times: i64,
    /// `None`: the row was deleted.
    pub status: Option<String>,
    pub approved: Option<i64>,
    /// The quote that the row shows.
    pub quoted_credits: Option<i64>,
}

impl Written {
    pub fn says(&self, status: &str) -> bool {
        self.status.as_deref() == Some(status)
    }

    /// Whether another program gave a new row a status.
    pub fn was_given_a_status(&self) -> bool {
        self.was == "new" && self.status.is_some() && !self.says("new")
    }
}

/// Rows that other programs have changed and that were not processed yet, at most `limit`.
pub async fn by_others(store: &Store, limit: u32) -> Result<Vec<Written>, StoreError> {
    Ok(sql::query_as(
        "select w.id, case when octet_length(w.was) <= 100 then w.was else 'new' end as was, w.times,
                case when octet_length(i.status) <= 100 then i.status end as status, i.approved, i.quoted_credits
         from inbox_written w left join inbox i on i.id = w.id order by w.id limit $1",
    )
    .bind(limit)
    .fetch_all(&store.inbox_readers)
    .await?)
}

/// Forgets rows that were processed, except a row that was changed again meanwhile.
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

/// Says whether this transaction's writes to the inbox are the worker's own, which need no processing.
pub(in crate::store) async fn by_worker(connection: &mut Tx, is_writing: bool) -> Result<(), StoreError> {
    sql::query("update inbox_worker set is_writing = $1").bind(is_writing).execute(connection).await?;
    Ok(())
}
