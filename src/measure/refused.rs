//! Hashes of refused users and passwords, to detect unchanged repetitions.

use std::collections::{BTreeSet, VecDeque};

/// Most attempts tracked at a time; beyond it the oldest is forgotten.
const MOST_ATTEMPTS: usize = 65_536;

/// The refused attempts.
#[derive(Debug, Default)]
pub(super) struct Refused {
    known: BTreeSet<u64>,
    /// The same, the oldest first.
    order: VecDeque<u64>,
}

impl Refused {
    /// Notes an attempt. Returns whether it was refused before.
    pub(super) fn note(&mut self, attempt: u64) -> bool {
        if !self.known.insert(attempt) {
            return true;
        }
        self.order.push_back(attempt);
        if self.order.len() > MOST_ATTEMPTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_attempts_are_forgotten() {
        let mut refused = Refused::default();
        assert!((0..=MOST_ATTEMPTS as u64).all(|attempt| !refused.note(attempt)));
        assert!(refused.note(MOST_ATTEMPTS as u64) && refused.note(1));
        assert!(!refused.note(0), "it was forgotten");
        assert_eq!((refused.known.len(), refused.order.len()), (MOST_ATTEMPTS, MOST_ATTEMPTS));
    }
}
