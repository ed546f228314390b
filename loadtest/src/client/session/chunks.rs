//! The chunks of one message (RFC 3030).

use std::ops::Range;

/// A part of a message that is sent with one BDAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// In octets of the message.
    pub(crate) range: Range<usize>,
    pub(crate) is_last: bool,
}

/// How far a message is that is sent in chunks. Without a message, no chunk is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    /// The size of the message, in octets.
    size: usize,
    /// The octets of each chunk but the last; at least one.
    each: usize,
    /// Chunks of the message, chunks that were begun, and chunks that were answered.
    total: usize,
    begun: usize,
    answered: usize,
}

impl Chunks {
    /// The chunks of a message of `size` octets, of `each` octets at most.
    pub(super) fn of(size: usize, each: usize) -> Chunks {
        debug_assert!(size > 0 && each > 0);
        Chunks { size, each, total: size.div_ceil(each), begun: 0, answered: 0 }
    }

    /// Whether there are chunks that were not begun.
    pub(super) fn are_left(&self) -> bool {
        self.begun < self.total
    }

    /// Begins the next chunk.
    pub(super) fn begin(&mut self) -> Chunk {
        debug_assert!(self.are_left());
        let from = self.begun.saturating_mul(self.each).min(self.size);
        let until = from.saturating_add(self.each).min(self.size);
        self.begun += 1;
        Chunk { range: from..until, is_last: !self.are_left() }
    }

    /// Counts the reply to a chunk.
    pub(super) fn answer(&mut self) {
        self.answered += 1;
    }

    /// Chunks that were begun and not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.begun - self.answered
    }

    /// Whether the next reply is to the last chunk.
    pub(super) fn awaits_last(&self) -> bool {
        self.answered + 1 == self.total
    }

    /// Whether the last chunk was begun; never without a message.
    pub(super) fn has_begun_last(&self) -> bool {
        self.total > 0 && !self.are_left()
    }
}
