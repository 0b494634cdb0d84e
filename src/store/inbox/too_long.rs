//! Texts that are too long to be read: taken out of a row when the row is shown as ended.
//!
//! SQLite loads every text of a row that it writes, several times over. A row with a text of 200 MB would so take four
//! times that memory for showing its status. A text that the statement replaces is not loaded, and its pages are not
//! overwritten: they hold no value of ours.

use crate::store::{StoreError, Tx, sql};

/// Takes such texts out of those of `rows` (as `json_rows`: id, status) that are rejected or cancelled. No other row can
/// have one: it would have been rejected. The limits are those of `select_rows`.
pub(super) async fn take_out(connection: &mut Tx, rows: &str) -> Result<(), StoreError> {
    if !["rejected", "cancelled"].iter().any(|status| rows.contains(status)) {
        return Ok(());
    }
    connection.overwrite_freed(false).await?;
    let taken_out = sql::query(
        "update inbox set
             account = coalesce(case when octet_length(inbox.account) <= 1000 then inbox.account end, ''),
             action = coalesce(case when octet_length(inbox.action) <= 1000 then inbox.action end, ''),
             event_id = case when octet_length(inbox.event_id) <= 4000 then inbox.event_id end,
             personnel_ids = case when octet_length(inbox.personnel_ids) <= 8388608 then inbox.personnel_ids end,
             task_id = case when octet_length(inbox.task_id) <= 4000 then inbox.task_id end,
             query = case when octet_length(inbox.query) <= 800 then inbox.query end,
             reference = case when octet_length(inbox.reference) <= 4000 then inbox.reference end,
             caller = case when octet_length(inbox.caller) <= 256 then inbox.caller end,
             agent = case when octet_length(inbox.agent) <= 256 then inbox.agent end,
             purpose = case when octet_length(inbox.purpose) <= 4000 then inbox.purpose end,
             dedupe_key = case when octet_length(inbox.account) <= 1000 and octet_length(inbox.dedupe_key) <= 800
                               then inbox.dedupe_key end
         from (select json_number(value, 0) as id from json_rows($1)
               where json_text(value, 1) in ('rejected', 'cancelled')) as ended
         where inbox.id = ended.id
           and (octet_length(inbox.account) > 1000 or octet_length(inbox.action) > 1000
                or octet_length(inbox.event_id) > 4000 or octet_length(inbox.personnel_ids) > 8388608
                or octet_length(inbox.task_id) > 4000 or octet_length(inbox.query) > 800
                or octet_length(inbox.reference) > 4000 or octet_length(inbox.caller) > 256
                or octet_length(inbox.agent) > 256 or octet_length(inbox.purpose) > 4000
                or octet_length(inbox.dedupe_key) > 800)",
    )
    .bind(rows.to_owned())
    .execute(&mut *connection)
    .await;
    connection.overwrite_freed(true).await?;
    taken_out?;
    Ok(())
}
