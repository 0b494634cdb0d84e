//! The contacts of a job: rows of `items` that name it.

use crate::domain::{JobId, Millis, PersonnelId};
use crate::store::{Reads, StoreError, Tx, items, sql};

/// The distinct contacts of a job that are not settled yet, in a stable order.
pub async fn open(readers: &Reads, id: JobId) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select personnel_id from items where job_id = $1 and state = 'assigned' group by personnel_id order by min(id)",
    )
    .bind(id.0)
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// The distinct contacts of a job that its task will deliver, or has delivered already.
pub async fn of_task(readers: &Reads, id: JobId) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select distinct personnel_id from items
         where job_id = $1 and (state = 'assigned' or (state = 'done' and source = 'task'))",
    )
    .bind(id.0)
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// The contacts of a job whose profile was read as locked after `since`: they need no precheck.
pub async fn seen_locked(readers: &Reads, id: JobId, since: Millis) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select distinct personnel_id from items
         where job_id = $1 and state = 'assigned' and state_reason = 'seen_locked' and reason_since >= $2",
    )
    .bind(id.0)
    .bind(since.0)
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// Whether exactly these contacts are in a job, inside the transaction that commits the intent.
pub async fn are_exactly(
    connection: &mut Tx,
    id: JobId,
    contacts: &[PersonnelId],
) -> Result<bool, StoreError> {
    let (all, among): (i64, i64) = sql::query_as(
        "select count(*), count(*) filter (where personnel_id in (select value from json_words($2)))
         from (select distinct personnel_id from items where job_id = $1 and state = 'assigned') as held",
    )
    .bind(id.0)
    .bind(items::json_ids(contacts))
    .fetch_one(connection)
    .await?;
    Ok(all == among && all == contacts.len() as i64)
}
