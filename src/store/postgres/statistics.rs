//! What the server believes about the tables: it plans each statement by that.
//!
//! It counts the rows of a table when it analyzes it, by itself once a minute at most. A table that grows from nothing to
//! thousands of rows within that minute is read whole where an index would do, again and again, as in a new database. So
//! a table of which most has changed since is analyzed at once. That blocks nobody, and statements that are prepared are
//! planned anew after it.

use sqlx::{AssertSqlSafe, Executor as _};

use crate::store::postgres::limits::limited;
use crate::store::tx::Pool;
use crate::store::{Store, StoreError};

/// How often to look, in milliseconds.
pub const LOOK_EVERY_MS: i64 = 2_000;

/// Of a table that was never analyzed, the server knows -1 rows. A thousand changes make no plan wrong.
const CHANGED: &str = "select format('%I.%I', s.schemaname, s.relname)
    from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    where s.schemaname = current_schema() and s.n_mod_since_analyze > greatest(1000, c.reltuples)
    order by 1 limit 100";

/// Analyzes the tables of which most has changed. On SQLite there is nothing to do. `go_on`: called before each, since one
/// may take as long as a statement may.
pub async fn refresh(store: &Store, go_on: impl Fn()) -> Result<(), StoreError> {
    let Pool::Postgres(pool) = &store.readers().0 else { return Ok(()) };
    let tables: Vec<String> = limited(sqlx::query_scalar(CHANGED).fetch_all(pool)).await?;
    for table in tables {
        go_on();
        // Its name is quoted. A role that does not own the table may not; the server does it by itself later. One that is being
        // vacuumed is left alone: to wait for it would cancel that.
        let analyze = AssertSqlSafe(format!("analyze (skip_locked) {table}"));
        if let Err(problem) = limited(pool.execute(analyze)).await {
            tracing::debug!(%problem, table, "a table was not analyzed");
        }
    }
    Ok(())
}
