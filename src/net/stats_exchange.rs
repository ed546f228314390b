//! How what a shard has measured reaches whoever asks for it, without a lock on the way of a message: the
//! reader leaves a request and wakes the shard, which gives away what has gathered and begins anew.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::process::lock;
use crate::stats::{Additive, Stats};

/// What a shard has to give.
#[derive(Debug, Default)]
pub(crate) struct StatsExchange {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_asked: bool,
    /// Given and not taken yet.
    gathered: Option<Box<Stats>>,
    /// The shard has ended: all there will ever be was given.
    is_over: bool,
}

impl StatsExchange {
    /// What was measured since the last time. `wake` gets the shard to give it; that takes as long as its
    /// present turn. One reader at a time.
    pub(crate) fn take(&self, wake: impl FnOnce()) -> Option<Box<Stats>> {
        let mut state = lock(&self.state);
        if !state.is_over {
            state.is_asked = true;
            drop(state);
            wake();
            state = lock(&self.state);
        }
        while state.is_asked && !state.is_over {
            state = self.given.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_asked = false;
        state.gathered.take()
    }

    /// Gives what has gathered, if anybody asked. On the shard's thread.
    pub(super) fn give_if_asked(&self, stats: &mut Box<Stats>) {
        let mut state = lock(&self.state);
        if state.is_asked {
            state.is_asked = false;
            state.add(std::mem::take(stats));
            self.given.notify_all();
        }
    }

    /// Gives the last, asked or not.
    fn give_last(&self, stats: Box<Stats>) {
        let mut state = lock(&self.state);
        state.add(stats);
        state.is_over = true;
        self.given.notify_all();
    }
}

impl State {
    fn add(&mut self, stats: Box<Stats>) {
        match &mut self.gathered {
            Some(gathered) => gathered.merge(&stats),
            None => self.gathered = Some(stats),
        }
    }
}

/// What a shard gathers. When it is dropped, at the end or in a panic, what is left is given away.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) stats: Box<Stats>,
    exchange: Arc<StatsExchange>,
}

impl Gathering {
    pub(super) fn new(exchange: Arc<StatsExchange>) -> Self {
        Self { stats: Box::default(), exchange }
    }

    /// Gives what has gathered, if anybody asked.
    pub(super) fn give_if_asked(&mut self) {
        self.exchange.give_if_asked(&mut self.stats);
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.exchange.give_last(std::mem::take(&mut self.stats));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_what_has_gathered_and_after_the_end_what_was_left() {
        let exchange = Arc::new(StatsExchange::default());
        let mut gathering = Gathering::new(Arc::clone(&exchange));
        gathering.stats.sessions.opened += 2;
        gathering.give_if_asked();
        assert_eq!(gathering.stats.sessions.opened, 2, "nobody asked");
        let shard = std::sync::Mutex::new(gathering);
        let taken = exchange.take(|| lock(&shard).give_if_asked()).expect("what has gathered");
        assert_eq!(taken.sessions.opened, 2);
        lock(&shard).stats.sessions.opened += 3;
        drop(shard);
        let rest = exchange.take(|| unreachable!("nobody is there to be now")).expect("the rest");
        assert_eq!(rest.sessions.opened, 3);
        assert!(exchange.take(|| unreachable!("nobody is there to be now")).is_none());
    }

    #[test]
    fn a_reader_who_waits_for_a_dying_shard_is_not_left_waiting() {
        let exchange = Arc::new(StatsExchange::default());
        let gathering = Gathering::new(Arc::clone(&exchange));
        let taken = exchange.take(|| drop(gathering));
        assert!(taken.is_some_and(|stats| *stats == Stats::default()));
    }
}
