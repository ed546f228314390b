//! Records of finished and running sessions: stored per shard, in one total order, with waits that are woken by
//! arrivals.
//!
//! A shard pushes under its own lock, which readers hold only to swap the finished records out (and to copy the records
//! of running sessions). These move to an archive that only readers use, except at the limit: then a shard evicts the
//! oldest record from there if no reader holds it, otherwise from its own list.
//!
//! Records of the archive are shared: a [snapshot](Store::snapshot_from) costs a reader a pointer for each, and shards
//! nothing. A reader can later [remove](Store::take_shown) records of a snapshot, but none that have changed or arrived
//! since. Only readers log and announce removals: followers cost shards nothing.

mod arrival;
#[cfg(feature = "http")]
mod removals;
mod shown;
mod waits;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slab::Slab;

#[cfg(feature = "http")]
use crate::process::Changes;
use crate::process::lock;
use crate::records::Message;
use crate::smtp::Unsent;
use crate::time::Deadline;

pub(crate) use arrival::Arrival;
#[cfg(feature = "http")]
pub(crate) use removals::{Removal, Removed};
use shown::Archive;
pub(crate) use shown::Shown;
#[cfg(feature = "http")]
pub(crate) use shown::Snapshot;
use waits::{Awaited, Waits};

/// All records of a server.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Vec<Mutex<Shard>>,
    /// Records that readers have seen.
    archive: Mutex<Archive>,
    /// Position of the next finished record in the order of all shards.
    next_number: AtomicU64,
    /// Number of visible records: finished ones, and accepted ones of running sessions.
    visible: AtomicUsize,
    memory: AtomicUsize,
    evicted: AtomicU64,
    /// Evicted records have lower numbers.
    #[cfg(feature = "http")]
    evicted_end: AtomicU64,
    /// Records that readers have removed.
    #[cfg(feature = "http")]
    removed: AtomicU64,
    /// Entries of the log of removals.
    #[cfg(feature = "http")]
    removals: Changes,
    max_records: usize,
    max_memory: usize,
    waits: Waits,
}

#[derive(Debug, Default)]
struct Shard {
    /// Finished records that no reader has seen, oldest first.
    finished: VecDeque<Numbered>,
    /// Records of running sessions that contain an accepted message.
    running: Slab<Running>,
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    message: Message,
}

/// A running session's record; `None` once purged.
#[derive(Debug)]
struct Running {
    number: u64,
    /// A changed record is another `Arc`.
    message: Option<Arc<Message>>,
}

/// Names the record of a running session within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunningKey(usize);

impl Store {
    pub(crate) fn new(shards: usize, max_records: usize, max_memory: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            archive: Mutex::default(),
            next_number: AtomicU64::new(0),
            visible: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            #[cfg(feature = "http")]
            evicted_end: AtomicU64::new(0),
            #[cfg(feature = "http")]
            removed: AtomicU64::new(0),
            #[cfg(feature = "http")]
            removals: Changes::default(),
            max_records,
            max_memory,
            waits: Waits::default(),
        }
    }

    /// Shows the record of a running session, which contains a message just accepted.
    pub(crate) fn accept(&self, shard: usize, key: Option<RunningKey>, message: Message) -> RunningKey {
        let mut shard = lock(&self.shards[shard]);
        let number = self.next_number();
        let key = key.unwrap_or_else(|| RunningKey(shard.running.insert(Running { number, message: None })));
        let shown = &mut shard.running[key.0];
        self.recount(shown.message.as_deref(), &message);
        *shown = Running { number, message: Some(Arc::new(message)) };
        self.evict(&mut shard);
        drop(shard);
        self.wake_waits();
        key
    }

    /// Replaces the record of a running session, unless it was purged.
    pub(crate) fn update(&self, shard: usize, key: RunningKey, message: Message) {
        let mut shard = lock(&self.shards[shard]);
        let shown = &mut shard.running[key.0].message;
        if let Some(old) = shown {
            self.recount(Some(old), &message);
            *shown = Some(Arc::new(message));
        }
    }

    /// Files the record of a session, or mail transaction, that has ended, and returns its number. A record that was
    /// purged while its session ran is filed again only if it `is_news`.
    pub(crate) fn finish(
        &self,
        shard: usize,
        key: Option<RunningKey>,
        message: Message,
        is_news: bool,
    ) -> Option<u64> {
        let mut shard = lock(&self.shards[shard]);
        let running = key.map(|key| shard.running.remove(key.0));
        let was_purged = running.as_ref().is_some_and(|running| running.message.is_none());
        if was_purged && !is_news {
            return None;
        }
        self.recount(running.and_then(|running| running.message).as_deref(), &message);
        let number = self.next_number();
        debug_assert!(
            shard.finished.back().is_none_or(|last| last.number < number),
            "withdraw searches by number"
        );
        shard.finished.push_back(Numbered { number, message });
        self.evict(&mut shard);
        drop(shard);
        self.wake_waits();
        Some(number)
    }

    /// Removes replies that were not sent whole from a finished record, unless a reader has taken it, or it was
    /// evicted. May wait for readers that copy; few records change after they are filed.
    pub(crate) fn withdraw(&self, shard: usize, number: u64, unsent: &Unsent) {
        let correct = |message: &mut Message| {
            let before = message.memory();
            message.withdraw(unsent);
            self.memory.fetch_sub(before - message.memory(), Ordering::Relaxed);
        };
        let mut shard = lock(&self.shards[shard]);
        if let Ok(place) = shard.finished.binary_search_by_key(&number, |numbered| numbered.number) {
            return correct(&mut shard.finished[place].message);
        }
        drop(shard);
        // A reader that is moving it holds the archive's lock: once that is free, the record is in the archive, or was
        // removed.
        let mut archive = lock(&self.archive);
        if let Ok(place) = archive.records.binary_search_by_key(&number, |shown| shown.number) {
            correct(Arc::make_mut(&mut archive.records[place].message));
        }
    }

    /// Removes a running session that leaves no record.
    pub(crate) fn forget(&self, shard: usize, key: RunningKey) {
        let running = lock(&self.shards[shard]).running.remove(key.0);
        self.uncount(running.message.as_deref());
    }

    /// Copies of all records: the finished ones in the order in which they were finished, then those of
    /// running sessions in the order in which their last message was accepted.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.copy_all(&mut lock(&self.archive))
    }

    /// Takes all records, in the same order. A record that arrives meanwhile is either among them or remains.
    pub(crate) fn purge(&self) -> Vec<Message> {
        let taken = self.take_all(&mut lock(&self.archive));
        self.announce_removals();
        taken
    }

    /// Waits until `count` records are visible, and copies all. `None` after the timeout.
    pub(crate) fn wait_and_copy(&self, count: usize, timeout: Duration) -> Option<Vec<Message>> {
        self.wait_and(count, timeout, |archive| self.copy_all(archive))
    }

    /// Waits until `count` records are visible, and takes all. `None` after the timeout.
    pub(crate) fn wait_and_take(&self, count: usize, timeout: Duration) -> Option<Vec<Message>> {
        let taken = self.wait_and(count, timeout, |archive| self.take_all(archive));
        self.announce_removals();
        taken
    }

    /// The same two as a future.
    pub(crate) fn arrival(self: Arc<Self>, count: usize, timeout: Duration, takes: bool) -> Arrival {
        Arrival { store: self, count, deadline: Deadline::after(timeout), takes, key: None }
    }

    /// Waits until a record has this number or a higher one, from a [snapshot](Self::snapshot_from).
    pub(crate) fn news(self: Arc<Self>, number: u64, deadline: Deadline) -> arrival::News {
        arrival::News { store: self, number, deadline, key: None }
    }

    /// The same, blocking. False after the deadline.
    pub(crate) fn wait_for_news(&self, number: u64, deadline: Deadline) -> bool {
        self.waits.block_until(deadline, || self.has(Awaited::Number(number)))
    }

    fn wait_and(
        &self,
        count: usize,
        timeout: Duration,
        read: impl Fn(&mut Archive) -> Vec<Message>,
    ) -> Option<Vec<Message>> {
        let deadline = Deadline::after(timeout);
        while self.waits.block_until(deadline, || self.has(Awaited::Records(count))) {
            if let Some(messages) = self.read_if(count, &read) {
                return Some(messages);
            }
        }
        None
    }

    /// Reads the records if at least `count` are visible. Purging locks the archive, so that no other caller can take
    /// the counted records before they are read.
    fn read_if(&self, count: usize, read: impl Fn(&mut Archive) -> Vec<Message>) -> Option<Vec<Message>> {
        let mut archive = lock(&self.archive);
        self.has(Awaited::Records(count)).then(|| read(&mut archive))
    }

    /// Wakes waits that are satisfied after a change; no lock is held.
    fn wake_waits(&self) {
        self.waits.wake(|awaited| self.has(awaited));
    }

    fn has(&self, awaited: Awaited) -> bool {
        match awaited {
            Awaited::Records(count) => self.visible.load(Ordering::SeqCst) >= count,
            Awaited::Number(number) => self.next_number.load(Ordering::SeqCst) > number,
        }
    }

    fn copy_all(&self, archive: &mut Archive) -> Vec<Message> {
        let (running, _) = self.collect(archive, |running| running.message.clone());
        let finished = archive.records.iter().map(|shown| Message::clone(&shown.message));
        finished.chain(running.into_iter().map(Shown::into_message)).collect()
    }

    fn take_all(&self, archive: &mut Archive) -> Vec<Message> {
        let (running, end) = self.collect(archive, |running| running.message.take());
        let mut taken = Vec::from(std::mem::take(&mut archive.records));
        taken.extend(running);
        self.note_removed(archive, &taken, Some(end));
        taken.into_iter().map(Shown::into_message).collect()
    }

    /// Counts and logs records that a reader has removed. If no record was left, `all_before` is the number of the next
    /// one at that moment. Call [`announce_removals`](Self::announce_removals) after unlocking the archive.
    fn note_removed(&self, archive: &mut Archive, removed: &[Shown], all_before: Option<u64>) {
        removed.iter().for_each(|shown| self.uncount(Some(&shown.message)));
        #[cfg(feature = "http")]
        {
            self.removed.fetch_add(removed.len() as u64, Ordering::Relaxed);
            self.removals.add(archive.removals.note(removed, all_before));
        }
        #[cfg(not(feature = "http"))]
        let _ = (archive, all_before);
    }

    /// Wakes followers of removals. No lock is held.
    #[cfg_attr(not(feature = "http"), expect(clippy::unused_self, reason = "nobody follows removals"))]
    fn announce_removals(&self) {
        #[cfg(feature = "http")]
        self.removals.wake();
    }

    /// Records that readers have removed since the start.
    #[cfg(feature = "http")]
    pub(crate) fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }

    #[cfg(feature = "http")]
    pub(crate) fn visible(&self) -> usize {
        self.visible.load(Ordering::Relaxed)
    }

    /// Largest number of records retained.
    #[cfg(feature = "http")]
    pub(crate) fn most_records(&self) -> usize {
        self.max_records
    }

    /// Records that arrive later have this number or a higher one.
    #[cfg(feature = "http")]
    pub(crate) fn end(&self) -> u64 {
        self.next_number.load(Ordering::SeqCst)
    }

    /// Records evicted because of the limits.
    pub(crate) fn evicted(&self) -> u64 {
        // Pairs with `note_evicted`.
        self.evicted.load(Ordering::Acquire)
    }

    /// All records that [`evicted`](Self::evicted) has counted before have lower numbers.
    #[cfg(feature = "http")]
    pub(crate) fn evicted_end(&self) -> u64 {
        self.evicted_end.load(Ordering::Relaxed)
    }

    /// Moves the finished records of all shards to the archive, and returns the results of `show` for the running
    /// sessions' records, in order, and the number of the next record. All shards are locked at once, for a swap each,
    /// so that the order has no gap.
    fn collect(
        &self,
        archive: &mut Archive,
        mut show: impl FnMut(&mut Running) -> Option<Arc<Message>>,
    ) -> (Vec<Shown>, u64) {
        let mut shards: Vec<_> = self.shards.iter().map(lock).collect();
        let batches: Vec<_> = shards.iter_mut().map(|shard| std::mem::take(&mut shard.finished)).collect();
        let mut running: Vec<_> = shards
            .iter_mut()
            .flat_map(|shard| shard.running.iter_mut())
            .filter_map(|(_, running)| show(running).map(|message| Shown { number: running.number, message }))
            .collect();
        // Numbers are assigned under the lock of a shard.
        let end = self.next_number.load(Ordering::SeqCst);
        drop(shards);
        let before = archive.records.len();
        let shown = |Numbered { number, message }| Shown { number, message: Arc::new(message) };
        archive.records.extend(batches.into_iter().flatten().map(shown));
        if archive.records.len() > before {
            archive.records.make_contiguous().sort_by_key(|shown| shown.number);
        }
        running.sort_by_key(|shown| shown.number);
        (running, end)
    }

    /// Drops the oldest finished records until the rest is within the limits; without any, records of running sessions,
    /// as if purged.
    fn evict(&self, shard: &mut Shard) {
        while self.visible.load(Ordering::Relaxed) > self.max_records
            || self.memory.load(Ordering::Relaxed) > self.max_memory
        {
            let archived = self.archive.try_lock().ok().and_then(|mut archive| archive.records.pop_front());
            if let Some(oldest) = archived {
                self.note_evicted(oldest.number, &oldest.message);
            } else if let Some(oldest) = self.pop_oldest(shard) {
                self.note_evicted(oldest.number, &oldest.message);
            } else {
                let take =
                    |running: &mut Running| running.message.take().map(|message| (running.number, message));
                let Some((number, message)) = shard.running.iter_mut().find_map(|(_, running)| take(running))
                else {
                    return;
                };
                self.note_evicted(number, &message);
            }
        }
    }

    #[cfg_attr(not(feature = "http"), expect(unused_variables, reason = "nobody asks for the number"))]
    fn note_evicted(&self, number: u64, message: &Message) {
        self.uncount(Some(message));
        #[cfg(feature = "http")]
        self.evicted_end.fetch_max(number + 1, Ordering::Relaxed);
        self.evicted.fetch_add(1, Ordering::Release);
    }

    /// The oldest finished record that no reader has seen, of the given shard or another that is not locked.
    fn pop_oldest(&self, shard: &mut Shard) -> Option<Numbered> {
        let first = |shard: &Shard| shard.finished.front().map_or(u64::MAX, |numbered| numbered.number);
        // This skips the given shard, which is locked.
        let others = self.shards.iter().filter_map(|other| other.try_lock().ok());
        match others.min_by_key(|other| first(other)) {
            Some(mut other) if first(&other) < first(shard) => other.finished.pop_front(),
            _ => shard.finished.pop_front(),
        }
    }

    fn next_number(&self) -> u64 {
        // Waits read it without a lock, like `visible`.
        self.next_number.fetch_add(1, Ordering::SeqCst)
    }

    fn count(&self, message: &Message) {
        self.memory.fetch_add(message.memory(), Ordering::Relaxed);
        self.visible.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a record that replaces another. A wait must see exactly one of them.
    fn recount(&self, replaced: Option<&Message>, message: &Message) {
        match replaced {
            None => self.count(message),
            Some(replaced) => {
                self.memory.fetch_add(message.memory(), Ordering::Relaxed);
                self.memory.fetch_sub(replaced.memory(), Ordering::Relaxed);
            }
        }
    }

    fn uncount(&self, message: Option<&Message>) {
        if let Some(message) = message {
            let memory = self.memory.fetch_sub(message.memory(), Ordering::Relaxed);
            let visible = self.visible.fetch_sub(1, Ordering::SeqCst);
            debug_assert!(memory >= message.memory() && visible > 0, "a record that was counted");
        }
    }
}

#[cfg(test)]
impl Store {
    /// Checks all records, while no other thread uses them.
    ///
    /// # Panics
    /// If they are out of order, or their number or memory differs from the counts.
    pub(crate) fn check(&self) {
        let archive = lock(&self.archive);
        let (mut visible, mut memory) = (0, 0);
        let mut count = |message: &Message| {
            visible += 1;
            memory += message.memory();
        };
        assert!(archive.records.iter().is_sorted_by_key(|shown| shown.number), "the archive is out of order");
        archive.records.iter().for_each(|shown| count(&shown.message));
        for shard in self.shards.iter().map(lock) {
            let is_sorted = shard.finished.iter().is_sorted_by_key(|numbered| numbered.number);
            assert!(is_sorted, "the records of a shard are out of order");
            shard.finished.iter().for_each(|record| count(&record.message));
            shard.running.iter().filter_map(|(_, running)| running.message.as_deref()).for_each(&mut count);
        }
        let counted = (self.visible.load(Ordering::Relaxed), self.memory.load(Ordering::Relaxed));
        assert_eq!(counted, (visible, memory), "records and their memory");
        let next = self.next_number.load(Ordering::Relaxed);
        assert!(archive.records.back().is_none_or(|last| last.number < next), "a number that was not given");
    }
}

#[cfg(test)]
mod tests;
