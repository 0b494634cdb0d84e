//! One way to take a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic under a lock is a bug of the sandbox; what it left is still the best account there is.
pub(in crate::sandbox) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
