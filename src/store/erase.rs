//! Erases emails and phones: the values go, the outcomes stay.
//!
//! Each engine removes values from its files in its own way: see [`crate::store::sqlite::erase`].

use crate::domain::{Millis, PersonnelId};
use crate::store::pairs;
use crate::store::{Store, StoreError, Tx, sql};

/// Which values are erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those delivered before this time.
    DeliveredBefore(Millis),
    /// Those of one person, for every account, action and request.
    Of(PersonnelId),
}

/// Erases at most `limit` values; returns how many. An item has one value, an email or a phone.
pub async fn values(connection: &mut Tx, which: &Which, limit: u32) -> Result<u64, StoreError> {
    let query = match which {
        Which::DeliveredBefore(before) => sql::query(pairs::ERASE_DELIVERED_BEFORE).bind(before.0),
        Which::Of(personnel_id) => sql::query(pairs::ERASE_OF_PERSON).bind(personnel_id.as_str()),
    };
    Ok(query.bind(limit).execute(connection).await?.rows_affected())
}

/// The number of requests with a person, and how many of them may still bring a value.
pub async fn requests_of(store: &Store, personnel_id: &PersonnelId) -> Result<(i64, i64), StoreError> {
    Ok(sql::query_as(
        "select count(*), count(*) filter (where state <> 'done') from items where personnel_id = $1",
    )
    .bind(personnel_id.as_str())
    .fetch_one(store.readers())
    .await?)
}

/// Removes what is left of erased values outside of the tables. False: not possible now, since another
/// connection reads an older state of the database, or writes.
pub async fn empty_log(store: &Store) -> Result<bool, StoreError> {
    store.engine.empty_log().await
}
