//! Items whose value is read from a profile: unlocked without a task of ours, or by one whose
//! answer was lost.

use crate::store::{Reads, StoreError, Tx, sql};

use crate::domain::{AccountId, Action, JobId, Millis, PersonnelId};
use crate::store::items::json_ids;

/// An item whose value is to be read from a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToRead {
    pub personnel_id: PersonnelId,
    pub action: Action,
    pub job_id: Option<JobId>,
    pub reads: u32,
    pub reading_since: Millis,
    /// It left its batch because a precheck said that it need not be paid for.
    pub set_aside: bool,
    /// Since when prechecks have called it being unlocked, if the last one did.
    pub unlocking_since: Option<Millis>,
}

/// Moves contacts of a job to reading: their value is in the profile, or will be. `set_aside`: a
/// precheck said so, and no submission did; those in it are being unlocked.
pub async fn to_reading(
    connection: &mut Tx,
    job_id: JobId,
    contacts: &[PersonnelId],
    set_aside: Option<&[PersonnelId]>,
    now: Millis,
) -> Result<(), StoreError> {
    sql::query(
        "update items set state = 'reading', read_at = $4, reads = 0, reading_since = $4, set_aside = $3,
                unlocking_since = iif(personnel_id in (select value from json_each($5)),
                                      coalesce(unlocking_since, $4), null)
         where job_id = $1 and state = 'assigned' and personnel_id in (select value from json_each($2))",
    )
    .bind(job_id.0)
    .bind(json_ids(contacts))
    .bind(set_aside.is_some())
    .bind(now.0)
    .bind(json_ids(set_aside.unwrap_or_default()))
    .execute(connection)
    .await?;
    Ok(())
}

/// A contact that was set aside is locked after all: it waits for a batch again, and is not asked
/// about a second time, unless it was being unlocked.
pub async fn send_after_all(
    connection: &mut Tx,
    job_id: JobId,
    personnel_id: &PersonnelId,
    now: Millis,
) -> Result<(), StoreError> {
    sql::query(
        "update items set state = 'waiting', job_id = null, read_at = null, set_aside = 0,
                checked_at = iif(unlocking_since is null, $3, null)
         where job_id = $1 and personnel_id = $2 and state = 'reading' and set_aside = 1",
    )
    .bind(job_id.0)
    .bind(personnel_id.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves every unsettled contact of a job to reading.
pub async fn all_to_reading(
    connection: &mut Tx,
    job_id: JobId,
    read_at: Millis,
    now: Millis,
) -> Result<(), StoreError> {
    sql::query(
        "update items set state = 'reading', read_at = $2, reads = 0, reading_since = $3, set_aside = 0
         where job_id = $1 and state = 'assigned'",
    )
    .bind(job_id.0)
    .bind(read_at.0)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Contacts whose profile is due, oldest first; each once, however many items wait for it.
pub async fn due_reads(
    readers: &Reads,
    account: &AccountId,
    now: Millis,
    limit: u32,
) -> Result<Vec<ToRead>, StoreError> {
    type Row = (String, String, Option<i64>, i64, i64, bool, Option<i64>);
    let rows: Vec<Row> = sql::query_as(
        "select personnel_id, action, job_id, reads, coalesce(reading_since, 0), set_aside, unlocking_since
         from items
         where state = 'reading' and account = $1 and read_at <= $2
         group by personnel_id, action, job_id order by min(read_at), min(id) limit $3",
    )
    .bind(account.as_str())
    .bind(now.0)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(personnel_id, action, job_id, reads, since, set_aside, unlocking_since)| {
            Some(ToRead {
                personnel_id: PersonnelId::trusted(personnel_id),
                action: Action::parse(&action)?,
                job_id: job_id.map(JobId),
                reads: u32::try_from(reads).unwrap_or(u32::MAX),
                reading_since: Millis(since),
                set_aside,
                unlocking_since: unlocking_since.map(Millis),
            })
        })
        .collect())
}

/// When the next profile is due.
pub async fn next_read(readers: &Reads, account: &AccountId) -> Result<Option<Millis>, StoreError> {
    let at: Option<i64> =
        sql::query_scalar("select min(read_at) from items where state = 'reading' and account = $1")
            .bind(account.as_str())
            .fetch_one(readers)
            .await?;
    Ok(at.map(Millis))
}

/// Puts off the reading of a contact's profile.
pub async fn read_again(
    connection: &mut Tx,
    job_id: JobId,
    personnel_id: &PersonnelId,
    read_at: Millis,
    counts: bool,
) -> Result<(), StoreError> {
    sql::query(
        "update items set read_at = $3, reads = reads + $4
         where job_id = $1 and personnel_id = $2 and state = 'reading'",
    )
    .bind(job_id.0)
    .bind(personnel_id.as_str())
    .bind(read_at.0)
    .bind(i64::from(counts))
    .execute(connection)
    .await?;
    Ok(())
}
