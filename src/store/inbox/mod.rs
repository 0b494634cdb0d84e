//! The `inbox` table: other programs write requests here and read their status.
//!
//! It may be a separate file, so nothing here shares a transaction with `requests`. Taking a row is idempotent
//! by its id. The inbox lags behind `requests` for a moment: `requests` marks such a row, and the worker writes
//! the inbox until it is up to date.

mod enqueue;
pub mod fault;
pub mod overrides;
pub mod served;
mod show;
mod together;
mod too_long;
mod watch;

use sqlx::FromRow;

use crate::store::pairs;
use crate::store::{Store, StoreError, sql};

pub use self::enqueue::{Enqueue, differing, find_dedupe_key, insert};
pub use self::show::{
    Behind, CaughtUp, behind, bring_up, catch_up, has_other_triggers, reject, show_at_once,
};
pub use self::together::Together;
pub use self::watch::{Writes, probe, state_version, watch};
use crate::domain::Millis;
use crate::domain::request::{self, LARGEST_ID, RawRow};

/// A new row, read as bytes: any program may have written anything into it.
#[derive(Clone, Debug, FromRow)]
pub struct InboxRow {
    pub id: i64,
    account: Option<Vec<u8>>,
    action: Option<Vec<u8>>,
    event_id: Option<Vec<u8>>,
    personnel_ids: Option<Vec<u8>>,
    task_id: Option<Vec<u8>>,
    query: Option<Vec<u8>>,
    reference: Option<Vec<u8>>,
    dedupe_key: Option<Vec<u8>>,
    caller: Option<Vec<u8>>,
    agent: Option<Vec<u8>>,
    purpose: Option<Vec<u8>>,
    pub max_pages: i64,
    pub max_credits: Option<i64>,
    pub approved: i64,
    pub needs_approval: i64,
    pub created_at: i64,
    /// The first column that is too long to be read.
    too_long: Option<String>,
}

macro_rules! text_columns {
    ($($name:ident),*) => {$(
        /// The column as text; bytes that are not UTF-8 become replacement characters.
        pub fn $name(&self) -> Option<String> {
            self.$name.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        }
    )*};
}

impl InboxRow {
    text_columns!(
        account,
        action,
        event_id,
        personnel_ids,
        task_id,
        query,
        reference,
        dedupe_key,
        caller,
        agent,
        purpose
    );
}

impl From<&InboxRow> for RawRow {
    fn from(row: &InboxRow) -> RawRow {
        RawRow {
            account: row.account().unwrap_or_default(),
            action: row.action().unwrap_or_default(),
            event_id: row.event_id(),
            personnel_ids: row.personnel_ids(),
            task_id: row.task_id(),
            query: row.query(),
            max_pages: row.max_pages,
            max_credits: row.max_credits,
            approved: row.approved,
            needs_approval: row.needs_approval,
            reference: row.reference(),
            dedupe_key: row.dedupe_key(),
            too_long: row.too_long.as_deref().and_then(request::long_column),
        }
    }
}

// The length of a value is asked for before it is read: it may be of any size. In bytes, four for each character
// that `domain::request` allows.
macro_rules! select_rows {
    ($rest:literal) => {
        concat!(
            "select id, \
             case when octet_length(account) <= 1000 then bytes_of(account) end as account, \
             case when octet_length(action) <= 1000 then bytes_of(action) end as action, \
             case when octet_length(event_id) <= 4000 then bytes_of(event_id) end as event_id, \
             case when octet_length(personnel_ids) <= 8388608 then bytes_of(personnel_ids) end as personnel_ids, \
             case when octet_length(task_id) <= 4000 then bytes_of(task_id) end as task_id, \
             case when octet_length(query) <= 800 then bytes_of(query) end as query, \
             case when octet_length(reference) <= 4000 then bytes_of(reference) end as reference, \
             case when octet_length(dedupe_key) <= 800 then bytes_of(dedupe_key) end as dedupe_key, \
             case when octet_length(caller) <= 256 then bytes_of(caller) end as caller, \
             case when octet_length(agent) <= 256 then bytes_of(agent) end as agent, \
             case when octet_length(purpose) <= 4000 then bytes_of(purpose) end as purpose, \
             cast(needs_approval as bigint) as needs_approval, \
             cast(max_pages as bigint) as max_pages, cast(max_credits as bigint) as max_credits, \
             cast(approved as bigint) as approved, cast(created_at as bigint) as created_at, \
             case when octet_length(account) > 1000 then 'account' \
             when octet_length(action) > 1000 then 'action' \
             when octet_length(event_id) > 4000 then 'event_id' \
             when octet_length(personnel_ids) > 8388608 then 'personnel_ids' \
             when octet_length(task_id) > 4000 then 'task_id' \
             when octet_length(query) > 800 then 'query' \
             when octet_length(reference) > 4000 then 'reference' \
             when octet_length(dedupe_key) > 800 then 'dedupe_key' \
             when octet_length(caller) > 256 then 'caller' \
             when octet_length(agent) > 256 then 'agent' \
             when octet_length(purpose) > 4000 then 'purpose' end as too_long \
             from inbox ",
            $rest
        )
    };
}

use select_rows;

/// New rows above `after` in the order of their ids: at most `limit`, and not more than about `bytes` of content (but
/// at least one row).
pub async fn new_rows(
    store: &Store,
    after: i64,
    limit: u32,
    bytes: u32,
) -> Result<Vec<InboxRow>, StoreError> {
    Ok(sql::query_as(select_rows!(
        "where id in (
             select id from (
                 select id, cast(sum(size) over (order by id) as bigint) - size as above from (
                     select id, 100 + least(coalesce(octet_length(personnel_ids), 0), 8388608)
                                + least(coalesce(octet_length(reference), 0), 4000)
                                + least(coalesce(octet_length(purpose), 0), 4000)
                                + least(coalesce(octet_length(event_id), 0), 4000)
                                + least(coalesce(octet_length(task_id), 0), 4000)
                                + least(coalesce(octet_length(query), 0), 800)
                                + least(coalesce(octet_length(dedupe_key), 0), 800) as size
                     from inbox where status = 'new' and id > $1 order by id limit $2) as sizes) as sums
             where above < $3)
         order by id"
    ))
    .bind(after)
    .bind(limit)
    .bind(bytes)
    .fetch_all(&store.inbox_readers)
    .await?)
}

/// How many rows were not taken, and when the first of them was written. Nothing while the inbox cannot be read.
pub async fn untaken(store: &Store) -> Result<(i64, Option<i64>), StoreError> {
    if fault::read(store).await?.iter().any(|fault| fault.is_of(fault::Part::Intake)) {
        return Ok((0, None));
    }
    let counted = sql::query_as(
        "select (select count(*) from inbox where status = 'new'),
                (select created_at from inbox where status = 'new' order by id limit 1)",
    )
    .fetch_one(&store.inbox_readers)
    .await
    .map_err(StoreError::from);
    match counted {
        Err(StoreError::Inbox { .. }) => Ok((0, None)),
        counted => counted,
    }
}

/// Gives new rows ids above `floor`, the highest id of a request, also in a file that was replaced; and takes away
/// what a row with an id above the bound leaves behind. SQLite gives no id above the highest one in the table, so
/// such a row gets its id with a minus sign, once it has shown `rejected` until `before`. True: one still waits.
pub async fn keep_counter(store: &Store, floor: i64, before: Millis) -> Result<bool, StoreError> {
    let largest = LARGEST_ID;
    let (seq, highest): (i64, i64) =
        sql::query_as(pairs::READ_COUNTER).fetch_one(&store.inbox_readers).await?;
    if seq >= floor && seq.max(highest) <= largest {
        return Ok(false);
    }
    let highest: i64 = store
        .write_inbox(move |connection| {
            Box::pin(async move {
                sql::query(
                    "update inbox set id = -id where id > $1 and status <> 'new' and finished_at <= $2",
                )
                .bind(largest)
                .bind(before.0)
                .execute(&mut *connection)
                .await?;
                sql::query(pairs::INSERT_COUNTER).bind(floor).execute(&mut *connection).await?;
                sql::query(pairs::SET_COUNTER).bind(floor).bind(largest).execute(&mut *connection).await?;
                Ok(sql::query_scalar("select coalesce(max(id), 0) from inbox").fetch_one(connection).await?)
            })
        })
        .await?;
    Ok(highest > largest)
}

/// A row that was not taken yet, or `None`.
pub async fn new_row(store: &Store, id: i64) -> Result<Option<InboxRow>, StoreError> {
    Ok(sql::query_as(select_rows!("where id = $1 and status = 'new'"))
        .bind(id)
        .fetch_optional(&store.inbox_readers)
        .await?)
}

/// The status that a row shows, or `None`.
pub async fn status(store: &Store, id: i64) -> Result<Option<String>, StoreError> {
    Ok(sql::query_scalar(
        "select case when octet_length(status) <= 100 then status else 'new' end from inbox where id = $1",
    )
    .bind(id)
    .fetch_optional(&store.inbox_readers)
    .await?)
}

/// Rows that the inbox shows as taken and not finished, but whose request does not exist: the state was
/// restored from a backup that is older than the inbox. Their ids, those of about `limit` open rows above `after` at
/// once; and where to go on, `None` at the end.
pub async fn forgotten_ids(
    store: &Store,
    after: i64,
    limit: u32,
) -> Result<(Vec<i64>, Option<i64>), StoreError> {
    if !store.has_inbox_file() {
        let missing: Vec<i64> = sql::query_scalar(
            "select id from inbox where status in ('accepted', 'awaiting_approval') and id > $1
               and not exists (select 1 from requests where requests.id = inbox.id) order by id limit $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(store.readers())
        .await?;
        let last = missing.last().copied();
        return Ok((missing, last));
    }
    let ids: Vec<i64> = sql::query_scalar(
        "select id from inbox where status in ('accepted', 'awaiting_approval') and id > $1 order by id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(&store.inbox_readers)
    .await?;
    let missing: Vec<i64> =
        sql::query_scalar("select value from json_ids($1) as taken where not exists (select 1 from requests where id = taken.value)")
            .bind(sql::to_json(&ids))
            .fetch_all(store.readers())
            .await?;
    Ok((missing, ids.last().copied()))
}

/// The rows with these ids.
pub async fn rows(store: &Store, ids: &[i64]) -> Result<Vec<InboxRow>, StoreError> {
    Ok(sql::query_as(select_rows!("where id in (select value from json_ids($1)) order by id"))
        .bind(sql::to_json(&ids))
        .fetch_all(&store.inbox_readers)
        .await?)
}

#[cfg(test)]
mod tests {
    use super::request::LONGEST_READ;

    /// In each place: four bytes for each character that a text may have.
    #[test]
    fn no_text_is_read_kept_or_passed_over_that_is_longer_than_the_rules_say() {
        let (read, taken_out) = (select_rows!(""), include_str!("too_long.rs"));
        for (column, characters) in LONGEST_READ {
            let bytes = characters * 4;
            for part in [
                format!("octet_length({column}) <= {bytes} then"),
                format!("octet_length({column}) > {bytes} then '{column}'"),
            ] {
                assert!(read.contains(&part), "{part}: {read}");
            }
            for part in [
                format!("octet_length(inbox.{column}) <= {bytes}"),
                format!("octet_length(inbox.{column}) > {bytes}"),
            ] {
                assert!(taken_out.contains(&part), "{part}");
            }
        }
        assert_eq!(read.matches("octet_length").count(), LONGEST_READ.len() * 2);
        // What people are shown of a row is read in the same way; its ids and its key are not shown.
        let shown = include_str!("../report/untaken.rs");
        for (column, characters) in LONGEST_READ.iter().filter(|(column, _)| is_shown(column)) {
            let part = format!("octet_length({column}) <= {} then bytes_of({column})", characters * 4);
            assert!(shown.contains(&part), "{part}");
        }
    }

    fn is_shown(column: &str) -> bool {
        !["personnel_ids", "dedupe_key"].contains(&column)
    }
}
