//! One way to take a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic while the lock is held is a bug of the sandbox; its data is still the best there is.
pub(in crate::sandbox) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
