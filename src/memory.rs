//! A bound on the memory of all messages in progress together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be used, and that are.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

/// Bytes used, given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// What may still be used.
    pub(crate) fn left(&self) -> usize {
        self.limit.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Nothing used yet.
    pub(crate) fn charge(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }
}

impl Charge {
    /// Sets how many bytes are used. It is not refused: the user asked [`Budget::left`] before.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_take_from_one_budget_and_give_back() {
        let budget = Budget::new(100);
        let mut first = budget.charge();
        let mut second = budget.charge();
        assert_eq!(budget.left(), 100);
        first.set(30);
        second.set(50);
        assert_eq!(budget.left(), 20);
        first.set(10);
        assert_eq!(budget.left(), 40);
        drop(second);
        assert_eq!(budget.left(), 90);
        first.set(0);
        assert_eq!(budget.left(), 100);
    }

    #[test]
    fn a_budget_that_is_overdrawn_has_nothing_left() {
        let budget = Budget::new(100);
        let mut charge = budget.charge();
        charge.set(250);
        assert_eq!(budget.left(), 0);
        charge.set(99);
        assert_eq!(budget.left(), 1);
    }

    #[test]
    fn threads_that_charge_at_once_leave_nothing_behind() {
        let budget = Budget::new(1_000_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let budget = budget.clone();
                scope.spawn(move || {
                    for bytes in 0..1000 {
                        let mut charge = budget.charge();
                        charge.set(bytes);
                        charge.set(bytes * thread % 77);
                    }
                });
            }
        });
        assert_eq!(budget.left(), 1_000_000);
    }
}
