//! One worker for one database: see [`crate::store::sqlite::lease`].

use crate::domain::Millis;
use crate::store::{Store, StoreError};

pub use crate::store::sqlite::lease::{EXPIRES_AFTER_MS, HeldBy, Lease, LeaseRow, RENEW_EVERY_MS, read};

/// Tries to take the lease once.
pub async fn try_take(store: &Store, now: Millis) -> Result<Result<Lease, HeldBy>, StoreError> {
    store.engine.take_lease(store, now).await
}
