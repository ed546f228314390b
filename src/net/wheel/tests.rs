//! The wheel against a sorted map.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{LAST_TICK, LEVELS, TICK, Timer, Wheel, start_of_tick, tick_at};
use crate::time::Timestamp;

#[derive(Clone, Debug)]
enum Operation {
    /// Starts a timer with this distance.
    Insert(u64),
    /// Starts a timer whose deadline passed this long ago.
    InsertPast(u64),
    /// Cancels a running timer.
    Cancel(Index),
    /// Cancels a timer that has expired or was cancelled.
    CancelStale(Index),
    /// Takes a single due timer; others may remain.
    PopOne,
    /// Lets time pass and takes all due timers.
    Advance(u64),
}

/// Distances within a level, across levels, and beyond the wheel's end.
fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..4_u64,
        4 => 0..200_u64,
        3 => 0..10_000_u64,
        2 => 0..1_u64 << 24,
        1 => 0..1_u64 << 41,
        1 => Just(u64::MAX),
        2 => (0..42_u32, 0..3_u64).prop_map(|(bits, more)| ((1_u64 << bits) + more).saturating_sub(1)),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => distance().prop_map(Operation::Insert),
        1 => distance().prop_map(Operation::InsertPast),
        2 => any::<Index>().prop_map(Operation::Cancel),
        1 => any::<Index>().prop_map(Operation::CancelStale),
        3 => Just(Operation::PopOne),
        4 => distance().prop_map(Operation::Advance),
    ]
}

/// The wheel, and a model of it.
struct Pair {
    wheel: Wheel<u32>,
    /// By deadline and value.
    model: BTreeMap<(u64, u32), Timer>,
    now: u64,
    /// All earlier timers have been popped: earlier deadlines count as this.
    floor: u64,
    stale: Vec<Timer>,
    next_value: u32,
}

impl Pair {
    fn new() -> Self {
        Self {
            wheel: Wheel::new(),
            model: BTreeMap::new(),
            now: 0,
            floor: 0,
            stale: Vec::new(),
            next_value: 0,
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Insert(ahead) => self.insert(self.now.saturating_add(*ahead)),
            Operation::InsertPast(ago) => self.insert(self.now.saturating_sub(*ago)),
            Operation::Cancel(index) if !self.model.is_empty() => {
                let (&(deadline, value), &timer) =
                    self.model.iter().nth(index.index(self.model.len())).expect("an entry");
                self.model.remove(&(deadline, value));
                assert_eq!(self.wheel.cancel(timer), Some(value));
                self.stale.push(timer);
            }
            Operation::CancelStale(index) if !self.stale.is_empty() => {
                assert_eq!(self.wheel.cancel(*index.get(&self.stale)), None);
            }
            Operation::Cancel(_) | Operation::CancelStale(_) => {}
            Operation::PopOne => drop(self.pop()),
            Operation::Advance(span) => {
                self.now = self.now.saturating_add(*span);
                while self.pop().is_some() {}
            }
        }
        self.check();
    }

    fn insert(&mut self, deadline: u64) {
        let value = self.next_value;
        self.next_value += 1;
        let timer = self.wheel.insert(start_of_tick(deadline), value);
        self.model.insert((deadline.min(LAST_TICK).max(self.floor), value), timer);
    }

    /// Pops one timer from both; it must be one of the earliest.
    fn pop(&mut self) -> Option<u32> {
        let first = self.model.keys().next().map(|&(deadline, _)| deadline);
        let due = first.filter(|&deadline| deadline <= self.now);
        let popped = self.wheel.pop(start_of_tick(self.now));
        match (due, popped) {
            (Some(deadline), Some(value)) => {
                let timer = self.model.remove(&(deadline, value));
                self.stale.push(timer.expect("the popped timer is among the earliest"));
                self.floor = self.floor.max(deadline);
            }
            (None, None) => self.floor = self.floor.max(self.now.min(LAST_TICK)),
            (due, popped) => panic!("due at {due:?}, now {}, popped {popped:?}", self.now),
        }
        popped
    }

    fn check(&self) {
        let first = self.model.keys().next().map(|&(deadline, _)| deadline);
        let next = self.wheel.next_deadline().map(tick_at);
        assert_eq!(next.is_some(), first.is_some());
        assert!(next <= first, "would sleep until {next:?}, but {first:?} is due before");
        assert_eq!(self.wheel.entries.len(), self.model.len());
        self.wheel.check();
    }

    /// Sleeps to each `next_deadline` until nothing is left. Returns how often it woke.
    fn run_to_the_end(&mut self) -> usize {
        let mut wakes = 0;
        while let Some(next) = self.wheel.next_deadline() {
            wakes += 1;
            self.now = self.now.max(tick_at(next));
            while self.pop().is_some() {}
        }
        wakes
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_wheel_is_a_sorted_map(operations in prop::collection::vec(operation(), 0..80)) {
        let mut pair = Pair::new();
        for operation in &operations {
            pair.apply(operation);
        }
        let timers = pair.model.len();
        let wakes = pair.run_to_the_end();
        prop_assert!(pair.model.is_empty());
        prop_assert!(wakes <= timers * LEVELS, "{wakes} wakes for {timers} timers");
    }
}

#[test]
fn a_deadline_within_a_tick_expires_when_the_next_one_begins() {
    const NANOSECOND: Duration = Duration::from_nanos(1);
    let mut wheel = Wheel::new();
    let deadline = start_of_tick(7).after(NANOSECOND);
    wheel.insert(deadline, ());
    assert_eq!(wheel.next_deadline(), Some(start_of_tick(8)));
    assert_eq!(wheel.pop(deadline), None);
    assert_eq!(wheel.pop(Timestamp::at(8 * TICK - NANOSECOND)), None);
    assert_eq!(wheel.pop(Timestamp::at(8 * TICK)), Some(()));
}

#[test]
fn a_handle_does_not_reach_the_next_timer_in_its_place() {
    let mut wheel = Wheel::new();
    let old = wheel.insert(start_of_tick(5), "old");
    assert_eq!(wheel.pop(start_of_tick(5)), Some("old"));
    let new = wheel.insert(start_of_tick(9), "new");
    assert_eq!(old.index, new.index, "the place is used again");
    assert_eq!(wheel.cancel(old), None);
    assert_eq!(wheel.cancel(new), Some("new"));
    assert_eq!(wheel.cancel(new), None);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_thousand_timers_of_one_tick_expire_together() {
    let mut wheel = Wheel::new();
    let deadline = start_of_tick(100_000);
    for value in 0..1000 {
        wheel.insert(deadline, value);
    }
    assert_eq!(wheel.pop(start_of_tick(99_999)), None);
    let mut popped: Vec<_> = std::iter::from_fn(|| wheel.pop(deadline)).collect();
    popped.sort_unstable();
    assert!(popped.into_iter().eq(0..1000));
}
