//! Removes history that `retention.history` does not keep: timelines, balance snapshots, finished requests.
//!
//! What keeps a contact from being bought twice stays: items that were sent or delivered, and with them their request
//! as a stub that no list shows. The ledger and the jobs stay, so that every sum is as it was. Each function removes
//! a bounded number of rows, so that no other write waits long.

use serde_json::json;

use crate::domain::Millis;
use crate::store::{StoreError, Tx, sql};

/// Ids of events that one step looks at.
const EVENTS_AT_ONCE: i64 = 2_000;

/// Removes events before a time, of requests and jobs that have ended, among the next ids after `cursor`. Returns how
/// many, and where to go on; `None`: there are no older ones.
pub async fn remove_events(
    connection: &mut Tx,
    cursor: i64,
    before: Millis,
) -> Result<(u64, Option<i64>), StoreError> {
    let first: Option<i64> =
        sql::query_scalar("select id from request_events where id > $1 order by id limit 1")
            .bind(cursor)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(first) = first else { return Ok((0, None)) };
    let last = first.saturating_add(EVENTS_AT_ONCE);
    let oldest: Option<i64> =
        sql::query_scalar("select min(at) from request_events where id between $1 and $2")
            .bind(first)
            .bind(last)
            .fetch_one(&mut *connection)
            .await?;
    if oldest.is_none_or(|at| at >= before.0) {
        return Ok((0, None));
    }
    // The newest one stays: by it the next start knows this database again.
    let removed = sql::query(
        "delete from request_events where id between $1 and $2 and at < $3
           and id < (select max(id) from request_events)
           and (request_id is null
                or exists (select 1 from requests r
                           where r.id = request_events.request_id and r.finished_at < $3)
                or not exists (select 1 from requests r where r.id = request_events.request_id))
           and (job_id is null
                or exists (select 1 from jobs j
                           where j.id = request_events.job_id and j.finished_at < $3 and j.state <> 'expired'))",
    )
    .bind(first)
    .bind(last)
    .bind(before.0)
    .execute(connection)
    .await?;
    Ok((removed.rows_affected(), Some(last)))
}

/// Removes the oldest rows of `contact_changes` before a time. Returns how many; 0: there are no older ones.
pub async fn remove_changes(connection: &mut Tx, before: Millis, limit: u32) -> Result<u64, StoreError> {
    let removed =
        sql::query("delete from changes where at < $1 and seq <= (select min(seq) from changes) + $2")
            .bind(before.0)
            .bind(limit)
            .execute(connection)
            .await?;
    Ok(removed.rows_affected())
}

/// Removes balance snapshots before a time, but for each account's newest and those of its last settlement. Returns
/// how many.
pub async fn remove_snapshots(connection: &mut Tx, before: Millis, limit: u32) -> Result<u64, StoreError> {
    let ids: Vec<i64> = sql::query_scalar(
        "select s.id from balance_snapshots s
         where s.taken_at < $1 and s.id < (select max(n.id) from balance_snapshots n where n.owner = s.owner)
           -- The evidence of a job that is still open begins there.
           and s.id < coalesce((select min((select min(a.snapshot_before) from attempts a where a.job_id = j.id))
                                from jobs j where j.finished_at is null), s.id + 1)
         order by s.taken_at limit $2",
    )
    .bind(before.0)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let ids = json!(ids).to_string();
    // A settlement that is closed keeps its figures itself; the next one may begin where the last one ended.
    sql::query(
        "update windows set opening_snapshot = null
         where opening_snapshot in (select value from json_ids($1)) and closed_at is not null
           and exists (select 1 from windows n where n.owner = windows.owner and n.id > windows.id)",
    )
    .bind(ids.as_str())
    .execute(&mut *connection)
    .await?;
    sql::query(
        "update windows set closing_snapshot = null
         where closing_snapshot in (select value from json_ids($1)) and closed_at is not null
           and exists (select 1 from windows n where n.owner = windows.owner and n.id > windows.id)",
    )
    .bind(ids.as_str())
    .execute(&mut *connection)
    .await?;
    let removed = sql::query(
        "delete from balance_snapshots where id in (select value from json_ids($1))
           and not exists (select 1 from windows w where w.opening_snapshot = balance_snapshots.id)
           and not exists (select 1 from windows w where w.closing_snapshot = balance_snapshots.id)",
    )
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
}

/// Removes requests that ended before a time: their items that were neither sent nor delivered, and the caller's own
/// words. A stub stays, by which their row is known. One with an expired job stays, since `resume` may open
/// it again. Returns how many.
pub async fn remove_requests(
    connection: &mut Tx,
    before: Millis,
    limit: u32,
    now: Millis,
) -> Result<u64, StoreError> {
    let ids: Vec<i64> = sql::query_scalar(
        "select r.id from requests r
         where r.finished_at is not null and r.removed_at is null and r.finished_at < $1
           and r.inbox_is_behind = 0 and r.id < (select max(id) from requests)
           and not exists (select 1 from items i join jobs j on j.id = i.job_id
                           where i.request_id = r.id and j.state = 'expired')
         order by r.finished_at limit $2",
    )
    .bind(before.0)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let count = ids.len() as u64;
    let ids = json!(ids).to_string();
    sql::query(
        "delete from items where request_id in (select value from json_ids($1)) and job_id is null
           and outcome <> 'delivered' and not exists (select 1 from direct_results d where d.item_id = items.id)
           and not exists (select 1 from contact_values v where v.item_id = items.id)",
    )
    .bind(ids.as_str())
    .execute(&mut *connection)
    .await?;
    sql::query(
        "update requests set removed_at = $2, reference = null, query = null, agent = null,
                purpose = null,
                reason = substr(reason, 1, 0)
         where id in (select value from json_ids($1))",
    )
    .bind(ids.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(count)
}
