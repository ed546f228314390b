//! Pooled byte buffers: a session without buffered bytes has no buffer.

/// Spare buffers retained for reuse. A burst may need more; buffers returned beyond this are freed.
const POOLED: usize = 64;
/// A buffer that has grown beyond this is freed when returned.
const POOLED_CAPACITY: usize = 128 * 1024;
/// A buffer of at most this capacity is not exchanged for a smaller one.
const LOOSE: usize = 8 * 1024;

/// A queue of bytes: appended at the end, consumed from the front. Invariant: `start <= bytes.len()`, and
/// an empty buffer starts at 0.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// The bytes that were not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Its capacity in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Removes the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(
            count <= self.bytes().len(),
            "{count} of {} bytes can't be consumed",
            self.bytes().len()
        );
        self.start += count;
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }
}

/// One thread's spare buffers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    spare: Vec<Buffer>,
}

impl Pool {
    /// Appends `bytes` to the buffer in `place`, which gets one if it has none.
    #[inline]
    pub(super) fn append(&mut self, place: &mut Option<Buffer>, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.append_some(place, bytes);
        }
    }

    /// Not inlined: mostly there is nothing to append.
    #[cold]
    fn append_some(&mut self, place: &mut Option<Buffer>, bytes: &[u8]) {
        let buffer = place.get_or_insert_with(|| {
            let spare = self.spare.pop().unwrap_or_default();
            debug_assert!(spare.bytes.is_empty() && spare.start == 0, "a spare buffer is empty");
            spare
        });
        buffer.append(bytes);
    }

    /// Takes an empty buffer back out of `place`.
    pub(super) fn reclaim(&mut self, place: &mut Option<Buffer>) {
        if let Some(buffer) = place.take_if(|buffer| buffer.is_empty()) {
            self.give_back(buffer);
        }
    }

    /// Replaces a buffer that is mostly unused by one of the size of its bytes: bytes that wait for long must not
    /// occupy much more memory than they need.
    pub(super) fn fit(&mut self, place: &mut Option<Buffer>) {
        let is_loose =
            |buffer: &Buffer| buffer.memory() > LOOSE && buffer.bytes().len() < buffer.memory() / 4;
        if let Some(buffer) = place.as_mut().filter(|buffer| is_loose(buffer)) {
            let fitting = Buffer { bytes: buffer.bytes().to_vec(), start: 0 };
            let loose = std::mem::replace(buffer, fitting);
            self.give_back(Buffer { bytes: loose.bytes, start: 0 });
        }
    }

    fn give_back(&mut self, mut buffer: Buffer) {
        buffer.bytes.clear();
        buffer.start = 0;
        if self.spare.len() < POOLED && buffer.memory() <= POOLED_CAPACITY {
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests;
