//! Invariants of a connection between two turns. Asserted after each turn in debug builds; the expensive ones in the
//! simulation only.

use super::{Connection, Phase, Transport};

impl<T: Transport> Connection<T> {
    /// Does nothing in release builds.
    ///
    /// # Panics
    /// In debug builds, if an invariant is broken.
    pub(in crate::net) fn assert_consistent(&self) {
        if cfg!(debug_assertions) {
            self.assert_timed();
            self.assert_buffered();
        }
    }

    /// The wheel has an entry at the deadline or before, and the phase agrees with the other fields.
    fn assert_timed(&self) {
        let wake_at = self.paced_until().map_or(self.deadline, |at| at.min(self.deadline));
        let at = self.timer.map(|(_, at)| at);
        assert!(at.is_some_and(|at| at <= wake_at), "wakes at {at:?}, and is due at {wake_at:?}");
        let is_ending = matches!(self.phase, Phase::Closing(_) | Phase::Lingering { .. });
        assert_eq!(is_ending, self.is_filed, "a record is finished when the end begins");
        if let Phase::Lingering { until } = self.phase {
            assert!(self.deadline <= until, "lingers until {:?}, beyond {until:?}", self.deadline);
            assert!(self.input.is_none(), "input is dropped while it lingers");
            assert!(!self.has_unsent(), "all replies have left before it lingers");
        }
    }

    /// Buffers are not empty, and replies wait in the order of their ends.
    fn assert_buffered(&self) {
        let buffers = [&self.input, &self.output];
        let are_used =
            buffers.into_iter().all(|buffer| buffer.as_ref().is_none_or(|buffer| !buffer.is_empty()));
        assert!(are_used, "an empty buffer belongs to the pool");
        let delayed = match &self.phase {
            Phase::Delayed(delayed) => delayed.asked.number,
            _ => u32::MAX,
        };
        if let Some(waiting) = &self.waiting {
            waiting.assert_consistent(self.left(), self.queued, delayed);
        }
    }

    /// All memory held is charged, except the free allowance.
    ///
    /// # Panics
    /// If an invariant is broken.
    #[cfg(test)]
    pub(in crate::net) fn check(&self) {
        use crate::net::buffer::Buffer;
        use crate::records::budget::{Charge, FREE};
        self.assert_consistent();
        let buffers = [&self.input, &self.output].into_iter().flatten().map(Buffer::memory).sum::<usize>();
        let waiting = self.waiting.as_deref().map_or(0, super::unsent::Waiting::memory);
        let check = if let Phase::Checking(checking) = &self.phase { checking.memory() } else { 0 };
        let walked = self.session.walk() + self.stream.memory() + buffers + waiting + check;
        let charged = FREE + self.charge.as_ref().map_or(0, Charge::bytes);
        assert!(walked <= charged, "{walked} octets of memory, of which {charged} are charged or free");
    }
}
