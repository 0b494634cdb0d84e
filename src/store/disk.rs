//! Disk space: checked before credits are spent, and reserved for results that were paid for.

use crate::store::{Store, StoreError};

/// No paid call is sent with less free space than this, in bytes: many times what its record needs.
pub const NEEDED_BYTES: u64 = 8 << 20;

/// Bytes free for this process on the disk of the database; `None`: only its server knows.
pub fn free_bytes(store: &Store) -> Result<Option<u64>, StoreError> {
    store.engine.free_bytes()
}

/// The bytes that are free, if a purchase needs more.
pub fn too_few_bytes(store: &Store) -> Result<Option<u64>, StoreError> {
    Ok(free_bytes(store)?.filter(|free| *free < NEEDED_BYTES))
}

/// Whether less is free than a purchase needs. Unknown counts as enough: what needs the answer goes on.
pub fn is_nearly_full(store: &Store) -> bool {
    too_few_bytes(store).is_ok_and(|free| free.is_some())
}

/// Creates the ballast file, if there is space for it. Returns whether it exists.
pub fn lay_ballast(store: &Store) -> bool {
    store.engine.lay_ballast()
}
