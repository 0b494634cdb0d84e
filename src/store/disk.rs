//! Room on the disk: checked before money is spent, and kept for what was paid for.

use crate::store::{Store, StoreError};

/// No paid call below this much free space, in bytes: many times what recording one takes.
pub const NEEDED_BYTES: u64 = 8 << 20;

/// Bytes free for this process where the database is.
pub fn free_bytes(store: &Store) -> Result<u64, StoreError> {
    store.engine.free_bytes()
}

/// Lays the ballast, if there is room for it; says whether it is there.
pub fn lay_ballast(store: &Store) -> bool {
    store.engine.lay_ballast()
}
