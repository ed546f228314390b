//! Waits for records, by threads and by futures. Both are woken by an arrival and by their deadline. The executor
//! of a future needs no timers: one alarm thread, started with the first future that has to wait, serves all of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::{io, thread};

use slab::Slab;

use crate::process::lock;
use crate::time::Deadline;

/// The waits for the records of one store. Futures share the store: when it is dropped none is left, and the alarm
/// thread ends.
#[derive(Debug, Default)]
pub(super) struct Waits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Threads and futures that wait. Arrivals check it first.
    waiting: AtomicUsize,
    gate: Mutex<Gate>,
    /// Notifies waiting threads.
    arrival: Condvar,
    /// Notifies the alarm thread: its next deadline has changed, or it may end.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    futures: Slab<Pending>,
    alarm: Alarm,
    is_closed: bool,
}

/// The condition of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// At least this many records are visible.
    Records(usize),
    /// A record has this number, or a higher one.
    Number(u64),
}

/// A future that was polled and waits.
#[derive(Debug)]
struct Pending {
    awaited: Awaited,
    deadline: Deadline,
    /// `None` after it was woken, until the next poll.
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
enum Alarm {
    /// No thread runs.
    #[default]
    Off,
    /// The thread sleeps until this deadline.
    Set(Deadline),
}

/// Identifies a waiting future.
#[derive(Debug)]
pub(super) struct WaitKey(usize);

impl Waits {
    /// Blocks this thread until `holds`, which is called now and at every arrival. False after the deadline.
    pub(super) fn block_until(&self, deadline: Deadline, holds: impl Fn() -> bool) -> bool {
        let Self(shared) = self;
        shared.waiting.fetch_add(1, Ordering::SeqCst);
        let mut gate = lock(&shared.gate);
        let arrived = loop {
            if holds() {
                break true;
            }
            let left = deadline.left();
            if left.is_zero() {
                break false;
            }
            gate = shared.arrival.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(gate);
        shared.waiting.fetch_sub(1, Ordering::SeqCst);
        arrived
    }

    /// Wakes `waker` once, when the wait is satisfied or at the deadline. Earlier arrivals don't count: check for them
    /// afterwards.
    ///
    /// # Errors
    /// The system refuses the alarm thread.
    pub(super) fn wake_later(
        &self,
        key: &mut Option<WaitKey>,
        awaited: Awaited,
        deadline: Deadline,
        waker: &Waker,
    ) -> io::Result<()> {
        let Self(shared) = self;
        let mut gate = lock(&shared.gate);
        match key {
            Some(WaitKey(key)) => gate.futures[*key].waker = Some(waker.clone()),
            None => {
                shared.waiting.fetch_add(1, Ordering::SeqCst);
                let pending = Pending { awaited, deadline, waker: Some(waker.clone()) };
                *key = Some(WaitKey(gate.futures.insert(pending)));
            }
        }
        match gate.alarm {
            Alarm::Set(next) if next <= deadline => Ok(()),
            Alarm::Set(_) => {
                shared.changed.notify_one();
                Ok(())
            }
            Alarm::Off => {
                gate.alarm = Alarm::Set(deadline);
                drop(gate);
                start_alarm(shared)
            }
        }
    }

    /// Ends the wait of a future.
    pub(super) fn forget(&self, WaitKey(key): WaitKey) {
        let Self(shared) = self;
        lock(&shared.gate).futures.remove(key);
        shared.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes waits, after an arrival. `has` returns whether a wait is satisfied. A wait is registered before it checks,
    /// and an arrival is counted before it looks for waits: at least one of the two sees the other.
    pub(super) fn wake(&self, has: impl Fn(Awaited) -> bool) {
        let Self(shared) = self;
        if shared.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut gate = lock(&shared.gate);
        let wakers = gate.wakers_where(|pending| has(pending.awaited));
        drop(gate);
        shared.arrival.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
impl Waits {
    /// Whether an arrival must look for waits.
    pub(super) fn has_any(&self) -> bool {
        self.0.waiting.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        lock(&self.0.gate).is_closed = true;
        self.0.changed.notify_one();
    }
}

impl Gate {
    /// Takes the wakers that are due, to be called after the lock is released: they run foreign code.
    fn wakers_where(&mut self, is_due: impl Fn(&Pending) -> bool) -> Vec<Waker> {
        let futures = self.futures.iter_mut().map(|(_, pending)| pending);
        futures.filter(|pending| is_due(pending)).filter_map(|pending| pending.waker.take()).collect()
    }

    /// The earliest deadline of futures that were not woken yet.
    fn next_deadline(&self) -> Deadline {
        let asleep = self.futures.iter().filter(|(_, pending)| pending.waker.is_some());
        asleep.map(|(_, pending)| pending.deadline).min().unwrap_or(Deadline::NEVER)
    }
}

fn start_alarm(shared: &Arc<Shared>) -> io::Result<()> {
    let own = Arc::clone(shared);
    let started = thread::Builder::new().name("smtpmock-waits".into()).spawn(move || ring(&own));
    if started.is_err() {
        lock(&shared.gate).alarm = Alarm::Off;
    }
    started.map(drop)
}

/// The alarm thread.
fn ring(shared: &Shared) {
    let _off = Off(shared);
    let mut gate = lock(&shared.gate);
    while !gate.is_closed {
        let wakers = gate.wakers_where(|pending| pending.deadline.left().is_zero());
        if wakers.is_empty() {
            let next = gate.next_deadline();
            gate.alarm = Alarm::Set(next);
            gate = shared.changed.wait_timeout(gate, next.left()).unwrap_or_else(PoisonError::into_inner).0;
        } else {
            drop(gate);
            wakers.into_iter().for_each(Waker::wake);
            gate = lock(&shared.gate);
        }
    }
}

/// When the alarm thread ends, even by a waker's panic, the next waiting future starts another.
struct Off<'a>(&'a Shared);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        lock(&self.0.gate).alarm = Alarm::Off;
    }
}
