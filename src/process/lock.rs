//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whoever panicked with the lock held: the panic stops the server, and what it has gathered is still to be
/// read. Records are pushed, swapped or assigned whole; figures may lack what was being added.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
