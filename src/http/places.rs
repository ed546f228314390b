//! The places of connections: which connection is ended to make room for another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::AbortHandle;

use crate::process::lock;

/// The open connections, of which each has a [`Place`].
#[derive(Debug, Default)]
pub(super) struct Open {
    /// By a number that is never reused.
    entries: HashMap<u64, Entry>,
    /// Counts connections, and the moments at which their states change.
    moment: u64,
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// `None` until its task has started.
    task: Option<AbortHandle>,
}

/// In the order in which connections make room for others; within a state, the one that has been in it longest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// All replies are written.
    Idle { since: u64 },
    /// A reply is made, which its client may not read.
    Sending { since: u64 },
    /// A request is answered, or events are streamed. Such a connection makes room for none.
    Answering,
}

impl Open {
    fn set(&mut self, key: u64, state: fn(u64) -> State) {
        self.moment += 1;
        let moment = self.moment;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = state(moment);
        }
    }

    /// The connection that makes room for another.
    fn dispensable(&self) -> Option<u64> {
        self.dispensable_of(|state| state != State::Answering)
    }

    /// The same among the connections in such a state.
    fn dispensable_of(&self, is_one: impl Fn(State) -> bool) -> Option<u64> {
        let candidates = self.entries.iter().filter(|(_, entry)| is_one(entry.state));
        candidates.min_by_key(|(_, entry)| entry.state).map(|(key, _)| *key)
    }

    /// Ends a connection.
    fn end(&mut self, key: u64) {
        let entry = self.entries.remove(&key);
        entry.and_then(|entry| entry.task).into_iter().for_each(|task| task.abort());
    }

    /// Ends the connection that makes room for another. False if none does.
    pub(super) fn make_room(&mut self) -> bool {
        let key = self.dispensable();
        key.into_iter().for_each(|key| self.end(key));
        key.is_some()
    }

    /// Ends the connection whose reply has been unread longest.
    pub(super) fn drop_unread(&mut self) {
        let unread = self.dispensable_of(|state| matches!(state, State::Sending { .. }));
        unread.into_iter().for_each(|key| self.end(key));
    }
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    open: Arc<Mutex<Open>>,
    key: u64,
    /// The connection has taken all of the last reply, and idles once that is flushed.
    is_taken: AtomicBool,
}

impl Place {
    /// A place for another connection; `None` if there are `most` that make no room.
    pub(super) fn take(open: &Arc<Mutex<Open>>, most: usize) -> Option<Arc<Self>> {
        let mut entries = lock(open);
        if entries.entries.len() >= most && !entries.make_room() {
            return None;
        }
        entries.moment += 1;
        let key = entries.moment;
        entries.entries.insert(key, Entry { state: State::Idle { since: key }, task: None });
        Some(Arc::new(Self { open: Arc::clone(open), key, is_taken: AtomicBool::new(false) }))
    }

    /// This task serves the connection.
    pub(super) fn is_served_by(&self, task: AbortHandle) {
        if let Some(entry) = lock(&self.open).entries.get_mut(&self.key) {
            entry.task = Some(task);
        }
    }

    /// A request is answered.
    pub(super) fn answering(&self) {
        self.is_taken.store(false, Ordering::Relaxed);
        self.set(|_| State::Answering);
    }

    fn set(&self, state: fn(u64) -> State) {
        lock(&self.open).set(self.key, state);
    }

    /// All octets that were taken are written.
    pub(super) fn flushed(&self) {
        if self.is_taken.swap(false, Ordering::Relaxed) {
            self.set(|since| State::Idle { since });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).entries.remove(&self.key);
    }
}

/// A reply that its connection has not taken all of, until it is dropped.
#[derive(Debug)]
pub(super) struct Sending(Arc<Place>);

impl Sending {
    /// A reply with an end lets the connection make room for others, if necessary; a stream of events does not.
    pub(super) fn start(place: &Arc<Place>, is_stream: bool) -> Self {
        if !is_stream {
            place.set(|since| State::Sending { since });
        }
        Self(Arc::clone(place))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.is_taken.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_make_room_first_then_those_with_unread_replies_and_others_never() {
        let open = Arc::default();
        let places: Vec<_> = (0..4).map(|_| Place::take(&open, 4).expect("a place")).collect();
        let dispensable = || lock(&open).dispensable();
        assert_eq!(dispensable(), Some(places[0].key));
        let first = Sending::start(&places[0], false);
        assert_eq!(dispensable(), Some(places[1].key));
        places[1].answering();
        let _third = Sending::start(&places[2], false);
        assert_eq!(dispensable(), Some(places[3].key));
        places[3].answering();
        assert_eq!(dispensable(), Some(places[0].key), "the reply that is unread the longest");
        // Taken is not written yet.
        drop(first);
        assert_eq!(lock(&open).entries[&places[0].key].state, State::Sending { since: 5 });
        places[0].flushed();
        assert!(matches!(lock(&open).entries[&places[0].key].state, State::Idle { .. }));
        places[0].answering();
        places[0].flushed();
        places[2].answering();
        let stream = Sending::start(&places[2], true);
        assert_eq!(dispensable(), None);
        assert!(Place::take(&open, 4).is_none(), "there is no room");
        // It has ended.
        drop(stream);
        places[2].flushed();
        assert_eq!(dispensable(), Some(places[2].key));
    }
}
