//! A bounded queue from the reactors to a thread that writes. The writer takes items in batches and is woken once per
//! batch, because waking a thread costs more than handling most messages.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::output::{Pulse, Reading};
use crate::process::lock;

/// How long a woken writer waits for a batch to grow. It is too short for readers of the output to notice, and saves
/// reactors a wake-up per message.
const GATHER: Duration = Duration::from_millis(5);
/// A batch of this size, in bytes, is written at once: more would leave the processor's caches before it is written.
const GATHERED: usize = 1 << 20;

/// The queue. The weight of an item is its size in bytes, as its user computes it.
#[derive(Debug)]
pub(crate) struct WriteQueue<T> {
    queue: Mutex<Queue<T>>,
    filled: Condvar,
    emptied: Condvar,
    /// The writer's progress, which restarts the patience of waits.
    pulse: Arc<Pulse>,
}

#[derive(Debug)]
struct Queue<T> {
    items: Vec<T>,
    weight: usize,
    /// Items are accepted until their total weight reaches this.
    limit: usize,
    /// The writer must be woken even without an item.
    is_nudged: bool,
    /// Items dropped since the last batch because the queue was full.
    dropped: u64,
    writer: Writer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Asleep,
    /// Woken, and waiting for the batch to grow.
    Gathering,
    Awake,
    /// The queue is closed: the writer ends when it is empty.
    Leaving,
    /// The writer has ended or was abandoned.
    Gone,
}

impl<T> Queue<T> {
    fn has_room(&self) -> bool {
        self.weight < self.limit && self.writer != Writer::Gone
    }
}

/// The items that the writer takes at once.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    /// In the order of queueing. Empty if the writer should flush.
    pub items: Vec<T>,
    /// How many items after these were dropped because the queue was full.
    pub dropped: u64,
}

impl<T> WriteQueue<T> {
    /// A queue that accepts items until their weight reaches `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self::with_pulse(limit, Arc::default())
    }

    /// A queue with a pulse that the output updates.
    pub(crate) fn with_pulse(limit: usize, pulse: Arc<Pulse>) -> Self {
        let queue = Queue {
            items: Vec::new(),
            weight: 0,
            limit,
            is_nudged: false,
            dropped: 0,
            writer: Writer::Awake,
        };
        Self { queue: Mutex::new(queue), filled: Condvar::new(), emptied: Condvar::new(), pulse }
    }

    /// Queues all of `items`, or drops and counts them if the queue is full. Never blocks.
    pub(crate) fn offer(&self, items: &mut Vec<T>, weight: usize) {
        let mut queue = self.lock();
        if !queue.has_room() {
            queue.dropped += items.len() as u64;
            items.clear();
        } else {
            queue.items.append(items);
            queue.weight += weight;
        }
        self.wake(queue);
    }

    /// Queues `item` if the queue has room. Never blocks.
    pub(crate) fn try_push(&self, item: T, weight: usize) -> bool {
        self.insert(self.lock(), item, weight)
    }

    /// Queues `item`, waiting for room as long as the writer makes progress within each `patience`. False without
    /// progress: the item is lost.
    pub(crate) fn push(&self, item: T, weight: usize, patience: Duration) -> bool {
        let is_full = |queue: &mut Queue<T>| !queue.has_room() && queue.writer != Writer::Gone;
        let mut queue = self.lock();
        if is_full(&mut queue) {
            drop(queue);
            queue = self.wait_while(self.reading(), patience, patience, is_full);
        }
        self.insert(queue, item, weight)
    }

    fn insert(&self, mut queue: MutexGuard<'_, Queue<T>>, item: T, weight: usize) -> bool {
        if !queue.has_room() {
            return false;
        }
        queue.items.push(item);
        queue.weight += weight;
        self.wake(queue);
        true
    }

    /// Abandons the writer: queued items are lost, and all waits for the writer end.
    pub(crate) fn abandon(&self) {
        let mut queue = self.lock();
        queue.writer = Writer::Gone;
        queue.items.clear();
        drop(queue);
        self.emptied.notify_all();
        self.filled.notify_all();
    }

    /// Removes the limit, so that waiting threads can queue their last items.
    pub(crate) fn widen(&self) {
        self.lock().limit = usize::MAX;
        self.emptied.notify_all();
    }

    /// Wakes the writer with an empty batch.
    pub(crate) fn nudge(&self) {
        let mut queue = self.lock();
        queue.is_nudged = true;
        self.wake(queue);
    }

    /// Notes progress of the writer: it is slow, but not stuck.
    pub(crate) fn note_progress(&self) {
        self.pulse.note(1);
    }

    /// The writer's present progress.
    pub(crate) fn reading(&self) -> Reading {
        self.pulse.read()
    }

    /// Waits for the writer to end as long as it makes progress within each `patience`. False if it has not ended.
    pub(crate) fn wait_until_gone(&self, patience: Duration) -> bool {
        self.wait_until_gone_since(self.reading(), patience, patience)
    }

    /// The same, after part of the first patience has passed since the reading `before`: `left` of it remains.
    pub(crate) fn wait_until_gone_since(&self, before: Reading, left: Duration, patience: Duration) -> bool {
        self.wait_while(before, left, patience, |queue| queue.writer != Writer::Gone).writer == Writer::Gone
    }

    fn wait_while(
        &self,
        mut before: Reading,
        mut left: Duration,
        patience: Duration,
        mut condition: impl FnMut(&mut Queue<T>) -> bool,
    ) -> MutexGuard<'_, Queue<T>> {
        let mut queue = self.lock();
        loop {
            let waited = self.emptied.wait_timeout_while(queue, left, &mut condition);
            let (waited, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            let now = if timeout.timed_out() { self.reading() } else { before };
            if now == before {
                return waited;
            }
            (before, left, queue) = (now, patience, waited);
        }
    }

    /// Closes the queue: the writer ends when all items are written.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        if queue.writer != Writer::Gone {
            queue.writer = Writer::Leaving;
        }
        drop(queue);
        self.filled.notify_all();
    }

    /// The writer's loop: passes every batch to `write`, and an empty one when the queue is empty. Returns when the
    /// queue is closed and empty.
    pub(crate) fn write_all(&self, mut write: impl FnMut(Batch<T>)) {
        let _gone = Gone(self);
        loop {
            while let Some(batch) = self.take() {
                write(batch);
            }
            write(Batch { items: Vec::new(), dropped: 0 });
            if !self.sleep() {
                return;
            }
        }
    }

    /// The same for an output that may fail. Its first error is passed to `on_failure`; after it, items are taken and
    /// dropped, so that nothing waits for a full disk. If all was written, `check` runs at the end.
    pub(crate) fn write_to<O>(
        &self,
        mut output: O,
        mut write: impl FnMut(&mut O, Batch<T>) -> io::Result<()>,
        check: impl FnOnce(&O) -> io::Result<()>,
        on_failure: impl Fn(io::Error),
    ) {
        let mut has_failed = false;
        self.write_all(|batch| {
            if !has_failed {
                has_failed = write(&mut output, batch).map_err(&on_failure).is_err();
            }
        });
        if !has_failed {
            let _ = check(&output).map_err(on_failure);
        }
    }

    fn take(&self) -> Option<Batch<T>> {
        let mut queue = self.lock();
        if queue.items.is_empty() && queue.dropped == 0 {
            return None;
        }
        let items = std::mem::take(&mut queue.items);
        let dropped = std::mem::take(&mut queue.dropped);
        queue.weight = 0;
        drop(queue);
        self.emptied.notify_all();
        Some(Batch { items, dropped })
    }

    /// Waits for items. False if none will follow.
    fn sleep(&self) -> bool {
        let mut queue = self.lock();
        while queue.items.is_empty() && queue.dropped == 0 && !std::mem::take(&mut queue.is_nudged) {
            if matches!(queue.writer, Writer::Leaving | Writer::Gone) {
                return false;
            }
            queue.writer = Writer::Asleep;
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.writer == Writer::Awake {
            queue.writer = Writer::Gathering;
            let is_gathering =
                |queue: &mut Queue<T>| queue.writer == Writer::Gathering && queue.weight < GATHERED;
            let waited = self.filled.wait_timeout_while(queue, GATHER, is_gathering);
            let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.writer == Writer::Gathering {
                queue.writer = Writer::Awake;
            }
        }
        true
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue<T>>) {
        let is_due = match queue.writer {
            Writer::Asleep => true,
            Writer::Gathering => queue.weight >= GATHERED,
            Writer::Awake | Writer::Leaving | Writer::Gone => false,
        };
        if is_due {
            queue.writer = Writer::Awake;
        }
        drop(queue);
        if is_due {
            self.filled.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        lock(&self.queue)
    }
}

/// Marks the writer as ended when dropped, even after a panic, so that no wait for it remains.
struct Gone<'a, T>(&'a WriteQueue<T>);

impl<T> Drop for Gone<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.writer = Writer::Gone;
        let _unwritten = std::mem::take(&mut queue.items);
        drop(queue);
        self.0.emptied.notify_all();
    }
}

#[cfg(test)]
mod tests;
