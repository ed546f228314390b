//! A limit on the memory that grows with what clients do, shared by all sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that each holder may use without a charge, so that small mails don't touch shared state.
pub(crate) const FREE: usize = 4 << 10;
/// Charges are multiples of this, so that memory that grows line by line is not charged line by line.
const STEP: usize = 4 << 10;

/// A limit in bytes, and the bytes in use.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

/// Bytes charged to a holder, released when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// How many bytes may still be used.
    pub(crate) fn left(&self) -> usize {
        self.limit.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Sets the bytes that a holder uses. Never refused: the holder checks how many are [left](Self::left) before.
    pub(crate) fn set(&self, charge: &mut Option<Charge>, bytes: usize) {
        let bytes = if bytes <= FREE { 0 } else { bytes.next_multiple_of(STEP) };
        if bytes > 0 || charge.is_some() {
            charge.get_or_insert_with(|| self.charge()).set(bytes);
        }
    }

    /// Charges a holder for these bytes, until the charge is dropped.
    pub(crate) fn charged(&self, bytes: usize) -> Option<Charge> {
        let mut charge = None;
        self.set(&mut charge, bytes);
        charge
    }

    /// An empty charge.
    fn charge(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }
}

impl Charge {
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            let used = self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            debug_assert!(
                used >= self.bytes,
                "{used} bytes used by all holders, {} by one of them",
                self.bytes
            );
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
    fn little_is_free_and_more_is_charged_in_steps() {
        let budget = Budget::new(100 * STEP);
        let (mut small, mut large) = (budget.charged(FREE), budget.charged(FREE + 1));
        assert!(small.is_none());
        assert_eq!(budget.left(), 98 * STEP);
        budget.set(&mut large, 2 * STEP);
        assert_eq!(budget.left(), 98 * STEP);
        budget.set(&mut small, 3 * STEP - 1);
        budget.set(&mut large, FREE);
        assert_eq!(budget.left(), 97 * STEP);
        drop(small);
        assert_eq!(budget.left(), 100 * STEP);
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
