//! The beginning and end of sessions, for a thread that listens. Without a listener a shard does nothing.

#[cfg(feature = "http")]
use std::collections::VecDeque;
#[cfg(feature = "http")]
use std::ops::Range;
#[cfg(feature = "http")]
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::connection::Origin;
#[cfg(feature = "http")]
use crate::process::lock;
use crate::records::Endpoint;
use crate::stats::Ending;

/// The beginning or end of a session.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the control plane listens"))]
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    pub(crate) session_id: u64,
    pub(crate) peer: Endpoint,
    pub(crate) listener: Endpoint,
    /// `None` at the beginning.
    pub(crate) end: Option<End>,
}

/// The state of a session at its end.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the control plane listens"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) ending: Ending,
    pub(crate) messages: u32,
    pub(crate) age: Duration,
}

impl Passage {
    /// The beginning or end of the session of this origin.
    pub(super) fn of(origin: &Origin, end: Option<End>) -> Self {
        let Origin { session_id, peer_addr, listener, .. } = origin;
        Self { session_id: *session_id, peer: peer_addr.clone(), listener: listener.clone(), end }
    }
}

/// Most unread entries; beyond that the oldest are dropped.
#[cfg(feature = "http")]
const MOST_WAITING: usize = 4096;

/// Unread entries of all shards, in the order of arrival.
#[cfg(feature = "http")]
#[derive(Debug, Default)]
pub(crate) struct Passages(Mutex<Waiting>);

#[cfg(feature = "http")]
#[derive(Debug, Default)]
struct Waiting {
    passages: VecDeque<Passage>,
    /// All that were ever handed over: the number of the next one.
    count: u64,
    /// Those of lower numbers were read.
    read: u64,
}

/// What was handed over since the last read.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) struct Taken {
    /// The numbers of older ones, which were dropped because there were too many.
    pub(crate) missed: Range<u64>,
    /// With their numbers, in their order.
    pub(crate) passages: Vec<(u64, Passage)>,
}

#[cfg(feature = "http")]
impl Passages {
    fn push(&self, passage: Passage) {
        let mut waiting = lock(&self.0);
        if waiting.passages.len() >= MOST_WAITING {
            waiting.passages.pop_front();
        }
        waiting.passages.push_back(passage);
        waiting.count += 1;
    }

    /// The number of the next one.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.0).count
    }

    pub(crate) fn has_unread(&self) -> bool {
        let waiting = lock(&self.0);
        waiting.count > waiting.read
    }

    /// Takes those that were not read.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = lock(&self.0);
        let (passages, end) = (std::mem::take(&mut waiting.passages), waiting.count);
        let missed_from = std::mem::replace(&mut waiting.read, end);
        drop(waiting);
        let from = end - passages.len() as u64;
        Taken { missed: missed_from..from, passages: (from..).zip(passages).collect() }
    }
}

/// The listeners of a shard.
#[cfg(feature = "http")]
pub(crate) type Listeners = Arc<[Arc<Passages>]>;

/// Hands entries over to the listeners.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    #[cfg(feature = "http")]
    pub(super) to: Listeners,
}

impl Announcer {
    /// Hands over an entry, which is built only if somebody listens.
    #[cfg_attr(not(feature = "http"), expect(clippy::unused_self, reason = "only the control plane listens"))]
    pub(super) fn announce(&self, passage: impl FnOnce() -> Passage) {
        #[cfg(feature = "http")]
        if let Some((last, others)) = self.to.split_last() {
            let passage = passage();
            others.iter().for_each(|other| other.push(passage.clone()));
            last.push(passage);
        }
        #[cfg(not(feature = "http"))]
        drop(passage);
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wait_and_the_others_are_counted() {
        let passages = Arc::new(Passages::default());
        let announcer = Announcer { to: [Arc::clone(&passages)].into() };
        for session_id in 0..MOST_WAITING as u64 + 3 {
            let (peer, listener) = (Endpoint::Unix(None), Endpoint::Unix(None));
            announcer.announce(|| Passage { session_id, peer, listener, end: None });
        }
        let Taken { missed, passages: taken } = passages.take();
        assert_eq!((missed, taken.len()), (0..3, MOST_WAITING));
        assert!(taken.iter().all(|(number, passage)| *number == passage.session_id && *number >= 3));
        let Taken { missed, passages: taken } = passages.take();
        assert_eq!((missed.is_empty(), taken.len(), passages.count()), (true, 0, MOST_WAITING as u64 + 3));
        Announcer::default().announce(|| panic!("nobody listens"));
    }
}
