//! Contacts that need not be bought, or only after a precheck: already stored, being bought, or paid for before.
//! A contact belongs to the owner of a key, so all accounts of that owner are looked at.

use serde::Serialize;
use serde_json::json;

use crate::domain::item::Event;
use crate::domain::outcome::Set;
use crate::domain::{AccountId, Action, JobId, Millis, PersonnelId};
use crate::store::items::item_row::{Item, items, select_items};
use crate::store::items::json_ids;
use crate::store::items::moves::move_all;
use crate::store::jobs::Job;
use crate::store::{Reads, StoreError, Tx, sql};

/// The contacts of a job that were, or may have been, paid for before: the value was erased, or the contact was in a
/// job that was charged or never answered (the job's own lost submissions included).
pub async fn paid_before(readers: &Reads, job_id: JobId) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select distinct i.personnel_id from items i join items had
             on had.personnel_id = i.personnel_id and had.action = i.action
             and had.account in (select member from pools where account = i.account)
         where i.job_id = $1 and i.state = 'assigned'
           and (exists (select 1 from contact_values v where v.item_id = had.id and v.is_erased = 1)
             or exists (select 1 from ledger l where l.job_id = had.job_id and l.entry = 'charge')
             or exists (select 1 from attempts sent where sent.job_id = had.job_id and sent.result = 'unknown'))",
    )
    .bind(job_id.0)
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// Whether another job was charged for a contact, may have been charged, or delivered its value.
pub async fn by_another_job(
    readers: &Reads,
    (account, action): (&AccountId, Action),
    personnel_id: &PersonnelId,
    job_id: JobId,
) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from items had
             where had.personnel_id = $3 and had.account in (select member from pools where account = $1)
               and had.action = $2 and had.job_id <> $4
               and had.outcome not in (select value from json_words($5))
               and (exists (select 1 from contact_values v where v.item_id = had.id)
                 or exists (select 1 from ledger l where l.job_id = had.job_id and l.entry = 'charge')
                 or exists (select 1 from attempts sent where sent.job_id = had.job_id and sent.result = 'unknown')))",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(personnel_id.as_str())
    .bind(job_id.0)
    .bind(json!(Set::NotBought.words()).to_string())
    .fetch_one(readers)
    .await?)
}

/// Of these contacts, those in a charged job that ended after `since` and delivered no value for them: the
/// charge, and the unlocked value, may show late. Without those that a person allowed to be paid for once more.
pub async fn paid_without_value(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
    since: Millis,
) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select distinct personnel_id from items
         where personnel_id in (select value from json_words($3)) and action = $2
           and account in (select member from pools where account = $1)
           and outcome in (select value from json_words($5)) and resolved_at > $4
           and exists (select 1 from ledger l where l.job_id = items.job_id and l.entry = 'charge')
           and not exists (select 1 from jobs j where j.id = items.job_id and j.bought_again_at is not null)",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json_ids(contacts))
    .bind(since.0)
    .bind(json!(Set::WithoutValue.words()).to_string())
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// How many of these contacts were in a charged job that brought no value for them: what `unlockd claims` lists.
pub async fn brought_nothing(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    contacts: &[&PersonnelId],
) -> Result<i64, StoreError> {
    let ids: Vec<&str> = contacts.iter().map(|id| id.as_str()).collect();
    Ok(sql::query_scalar(
        "select count(distinct personnel_id) from items
         where personnel_id in (select value from json_words($3)) and action = $2
           and account in (select member from pools where account = $1)
           and outcome in (select value from json_words($4)) and not_charged = 0
           and exists (select 1 from ledger l where l.job_id = items.job_id and l.entry = 'charge')",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(json!(ids).to_string())
    .bind(json!(Set::Unfulfilled.words()).to_string())
    .fetch_one(readers)
    .await?)
}

/// The contacts that a charged job brought no value for.
pub async fn without_value_of(readers: &Reads, job_id: JobId) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sql::query_scalar(
        "select distinct personnel_id from items
         where job_id = $1 and outcome in (select value from json_words($2))
           and exists (select 1 from ledger l where l.job_id = items.job_id and l.entry = 'charge')",
    )
    .bind(job_id.0)
    .bind(json!(Set::WithoutValue.words()).to_string())
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// The contacts of a job may be paid for once more, on a person's word.
pub async fn allow_again(connection: &mut Tx, job: &Job, now: Millis) -> Result<(), StoreError> {
    let result = sql::query(
        "update jobs set bought_again_at = $3, version = version + 1 where id = $1 and version = $2",
    )
    .bind(job.id.0)
    .bind(job.version)
    .bind(now.0)
    .execute(connection)
    .await?;
    result.exactly_one("the job")
}

/// Puts back the items of a job whose contact a call of another account of the owner has named since the job was made:
/// they join that call or are served with its value. If it brought nothing and is over, they are prechecked again, but
/// not if the job was prechecked after it began (`after_attempt`: the newest call then). A call that was refused or not
/// sent had no effect. Returns how many items.
pub async fn put_back_bought_by_another(
    connection: &mut Tx,
    job_id: JobId,
    after_attempt: i64,
    now: Millis,
) -> Result<usize, StoreError> {
    let rows = sql::query_as(select_items!(
        "where job_id = $1 and state = 'assigned' and exists
           (select 1 from items had
            where had.personnel_id = items.personnel_id and had.action = items.action
              and had.account <> items.account
              and had.account in (select member from pools where account = items.account)
              and exists (select 1 from attempts sent
                          where sent.job_id = had.job_id
                            and coalesce(sent.result, '') not in ('refused', 'not_sent')
                            and (sent.id > $2
                                 or sent.started_at >= (select created_at from jobs where id = $1)
                                    and (had.state in ('assigned', 'reading')
                                         or exists (select 1 from contact_values v
                                                    where v.item_id = had.id and v.is_erased = 0)))))"
    ))
    .bind(job_id.0)
    .bind(after_attempt)
    .fetch_all(&mut *connection)
    .await?;
    let bought = items(rows)?;
    move_all(connection, &bought, Event::BoughtByAnother, now).await?;
    Ok(bought.len())
}

/// A contact that need not be bought.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Known {
    pub personnel_id: String,
    /// It is being bought, and not delivered yet.
    pub in_flight: bool,
}

/// The given contacts that need not be bought: delivered and still stored, or being bought.
pub async fn had_or_in_flight(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    contacts: &[impl Serialize],
) -> Result<Vec<Known>, StoreError> {
    Ok(sql::query_as(
        "select personnel_id, count(*) filter (where state = 'done') = 0 as in_flight from items
         where personnel_id in (select value from json_words($3)) and action = $2
           and account in (select member from pools where account = $1)
           and (state in ('assigned', 'reading')
                or exists (select 1 from contact_values v where v.item_id = items.id and v.is_erased = 0))
         group by personnel_id",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(sql::to_json(&contacts))
    .fetch_all(readers)
    .await?)
}

/// Notes when the values that these items are about to be served with were read.
pub(in crate::store) async fn note_obtained(connection: &mut Tx, served: &[Item]) -> Result<(), StoreError> {
    if served.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = served.iter().map(|item| item.id).collect();
    sql::query(
        "update items set obtained_at =
             (select coalesce(had.obtained_at, had.resolved_at) as at
              from items had join contact_values v on v.item_id = had.id and v.is_erased = 0
              where had.personnel_id = items.personnel_id and had.action = items.action
                and had.account in (select member from pools where account = items.account)
                and had.outcome = 'delivered'
              order by at desc limit 1)
         where id in (select value from json_ids($1))",
    )
    .bind(json!(ids).to_string())
    .execute(connection)
    .await?;
    Ok(())
}
