//! A hierarchical timing wheel: insert, cancel and expire take constant time, whatever the number of timers.
//!
//! Level 0 has a slot for each of the next 64 ticks, and each level above has slots 64 times as wide. An entry is on
//! the level of the highest bit (in groups of six) in which its deadline differs from now, and moves to a level below
//! when its slot begins. So all entries of a level are due before any of the next, and a bitmap of occupied slots gives
//! the next deadline without a search. One thread owns a wheel.

use std::time::Duration;

use slab::Slab;

use crate::time::Timestamp;

/// The unit of deadlines. `epoll_wait` rounds up to whole milliseconds; with a tick well below one, a timer expires
/// at most about 1.25 ms late on an idle machine, and never early.
pub(crate) const TICK: Duration = Duration::from_micros(250);

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 7 levels of 6 bits span 2^42 ticks, 34 years.
const LEVELS: usize = 7;
/// The last tick of a wheel; later deadlines expire then.
const LAST_TICK: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;
/// No entry: the end of a list.
const NIL: u32 = u32::MAX;

/// Timers of one thread, each with a value that [`pop`](Self::pop) returns when it is due.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// No entry is due before this tick.
    now: u64,
    levels: [Level; LEVELS],
    entries: Slab<Entry<T>>,
    /// Distinguishes entries that used the same index.
    next_stamp: u32,
}

/// Names a timer, until it has expired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    index: u32,
    stamp: u32,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Bit n is set when slot n is not empty.
    occupied: u64,
    /// First entry of each slot. Entries of a slot form a ring.
    heads: [u32; SLOTS],
}

#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    stamp: u32,
    previous: u32,
    next: u32,
    value: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SlotIndex {
    level: usize,
    slot: usize,
}

impl<T> Wheel<T> {
    /// A wheel without timers at tick 0.
    pub(crate) fn new() -> Self {
        let level = Level { occupied: 0, heads: [NIL; SLOTS] };
        Self { now: 0, levels: [level; LEVELS], entries: Slab::new(), next_stamp: 0 }
    }

    /// Starts a timer. If its deadline has passed it is due at once.
    pub(crate) fn insert(&mut self, deadline: Timestamp, value: T) -> Timer {
        let deadline = first_tick_from(deadline).clamp(self.now, LAST_TICK);
        let stamp = self.next_stamp;
        self.next_stamp = stamp.wrapping_add(1);
        let key = self.entries.insert(Entry { deadline, stamp, previous: NIL, next: NIL, value });
        let index = u32::try_from(key).expect("a thread has fewer than 2^32 timers");
        self.link(index);
        Timer { index, stamp }
    }

    /// Stops a timer and returns its value; `None` when it has expired or was cancelled already.
    pub(crate) fn cancel(&mut self, timer: Timer) -> Option<T> {
        let entry = self.entries.get(timer.index as usize)?;
        if entry.stamp != timer.stamp {
            return None;
        }
        self.unlink(timer.index);
        Some(self.entries.remove(timer.index as usize).value)
    }

    /// When to call [`pop`](Self::pop) again: at the next deadline, or earlier if an entry must move to a lower level.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.next_place().map(|place| start_of_tick(self.start_of(place)))
    }

    /// Takes one timer that is due at `now`, the earliest tick first. `None` if none is due.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<T> {
        let target = tick_at(now).min(LAST_TICK);
        while let Some(place) = self.next_place() {
            let start = self.start_of(place);
            if start > target {
                break;
            }
            self.now = self.now.max(start);
            if place.level == 0 {
                let index = self.levels[0].heads[place.slot];
                self.unlink(index);
                let entry = self.entries.remove(index as usize);
                debug_assert_eq!(entry.deadline, start, "a slot of level 0 is one tick");
                return Some(entry.value);
            }
            self.cascade(place);
        }
        self.now = self.now.max(target);
        None
    }

    /// Moves the entries of a slot that has begun to the levels below.
    fn cascade(&mut self, place: SlotIndex) {
        while self.levels[place.level].occupied & (1 << place.slot) != 0 {
            let index = self.levels[place.level].heads[place.slot];
            self.unlink_from(index, place);
            self.link(index);
        }
    }

    /// The lowest occupied level's first occupied slot.
    fn next_place(&self) -> Option<SlotIndex> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let slot = self.levels[level].occupied.trailing_zeros() as usize;
        Some(SlotIndex { level, slot })
    }

    /// The tick at which a slot begins: its own bits, those above from `now`, those below zero.
    fn start_of(&self, place: SlotIndex) -> u64 {
        let shift = SLOT_BITS * place.level as u32;
        let above = self.now >> shift >> SLOT_BITS << SLOT_BITS << shift;
        above | (place.slot as u64) << shift
    }

    fn place_of(&self, deadline: u64) -> SlotIndex {
        let differing = (deadline ^ self.now) | (SLOTS as u64 - 1);
        let level = (u64::BITS - 1 - differing.leading_zeros()) / SLOT_BITS;
        let slot = (deadline >> (SLOT_BITS * level)) as usize % SLOTS;
        SlotIndex { level: level as usize, slot }
    }

    /// Appends an entry to the ring of its slot.
    fn link(&mut self, index: u32) {
        let deadline = self.entries[index as usize].deadline;
        debug_assert!(deadline >= self.now, "due at {deadline}, and {} has begun", self.now);
        let place = self.place_of(deadline);
        let head = self.levels[place.level].heads[place.slot];
        let (previous, next) = match head {
            NIL => (index, index),
            head => (self.entries[head as usize].previous, head),
        };
        if head == NIL {
            let level = &mut self.levels[place.level];
            level.heads[place.slot] = index;
            level.occupied |= 1 << place.slot;
        } else {
            self.entries[previous as usize].next = index;
            self.entries[next as usize].previous = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.previous, entry.next) = (previous, next);
    }

    fn unlink(&mut self, index: u32) {
        let place = self.place_of(self.entries[index as usize].deadline);
        self.unlink_from(index, place);
    }

    fn unlink_from(&mut self, index: u32, place: SlotIndex) {
        let Entry { previous, next, .. } = self.entries[index as usize];
        debug_assert_eq!(self.entries[previous as usize].next, index, "the entry before it names it");
        debug_assert_eq!(self.entries[next as usize].previous, index, "the entry behind it names it");
        let level = &mut self.levels[place.level];
        if next == index {
            level.heads[place.slot] = NIL;
            level.occupied &= !(1 << place.slot);
            return;
        }
        if level.heads[place.slot] == index {
            level.heads[place.slot] = next;
        }
        self.entries[previous as usize].next = next;
        self.entries[next as usize].previous = previous;
    }
}

#[cfg(test)]
impl<T> Wheel<T> {
    /// Visits all entries.
    ///
    /// # Panics
    /// If a list is broken, or an entry is in none, in two, or not in the slot of its deadline.
    pub(crate) fn check(&self) {
        let mut seen = 0;
        for (number, level) in self.levels.iter().enumerate() {
            for (slot, &head) in level.heads.iter().enumerate() {
                let is_occupied = level.occupied & (1 << slot) != 0;
                assert_eq!(is_occupied, head != NIL, "slot {slot} of level {number}");
                let mut index = head;
                while index != NIL {
                    let entry = &self.entries[index as usize];
                    assert!(
                        entry.deadline >= self.now,
                        "{} is over, and {} has begun",
                        entry.deadline,
                        self.now
                    );
                    assert_eq!(self.place_of(entry.deadline), SlotIndex { level: number, slot });
                    assert_eq!(self.entries[entry.next as usize].previous, index);
                    seen += 1;
                    index = if entry.next == head { NIL } else { entry.next };
                    assert!(seen <= self.entries.len(), "a list never ends");
                }
            }
        }
        assert_eq!(seen, self.entries.len(), "entries in lists, and in all");
    }
}

/// The tick that a moment falls into.
fn tick_at(moment: Timestamp) -> u64 {
    // A timestamp's nanoseconds fit into a u64.
    moment.since_start().as_nanos() as u64 / TICK.as_nanos() as u64
}

/// The first tick that does not begin before a moment: a timer never expires early.
fn first_tick_from(moment: Timestamp) -> u64 {
    (moment.since_start().as_nanos() as u64).div_ceil(TICK.as_nanos() as u64)
}

/// When a tick begins.
fn start_of_tick(tick: u64) -> Timestamp {
    Timestamp::at(Duration::from_nanos(tick.saturating_mul(TICK.as_nanos() as u64)))
}

// The path is explicit for the benchmark, which includes this file from elsewhere.
#[cfg(test)]
#[path = "wheel/tests.rs"]
mod tests;
