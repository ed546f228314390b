//! Sessions that begin and end, for a thread that listens. A shard hands them over one by one while there is one, and does
//! nothing otherwise.

#[cfg(feature = "http")]
use std::collections::VecDeque;
#[cfg(feature = "http")]
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::connection::Origin;
#[cfg(feature = "http")]
use crate::process::lock;
use crate::records::Endpoint;
use crate::stats::Ending;

/// A session that has begun or ended.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the control plane listens"))]
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    pub(crate) session_id: u64,
    pub(crate) peer: Endpoint,
    pub(crate) listener: Endpoint,
    /// `None` for one that has begun.
    pub(crate) end: Option<End>,
}

/// How a session was when it ended.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the control plane listens"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) ending: Ending,
    pub(crate) messages: u32,
    pub(crate) age: Duration,
}

impl Passage {
    /// The session of this origin has begun, or ended.
    pub(super) fn of(origin: &Origin, end: Option<End>) -> Self {
        let Origin { session_id, peer_addr, listener, .. } = origin;
        Self { session_id: *session_id, peer: peer_addr.clone(), listener: listener.clone(), end }
    }
}

/// What waits to be read.
#[cfg(feature = "http")]
const MOST_WAITING: usize = 4096;

/// What has begun and ended since it was read, of all shards, in the order in which they handed it over.
#[cfg(feature = "http")]
#[derive(Debug, Default)]
pub(crate) struct Passages(Mutex<Waiting>);

#[cfg(feature = "http")]
#[derive(Debug, Default)]
struct Waiting {
    passages: VecDeque<Passage>,
    /// Older ones that were dropped because there were too many.
    missed: u64,
}

#[cfg(feature = "http")]
impl Passages {
    fn push(&self, passage: Passage) {
        let mut waiting = lock(&self.0);
        if waiting.passages.len() >= MOST_WAITING {
            waiting.passages.pop_front();
            waiting.missed += 1;
        }
        waiting.passages.push_back(passage);
    }

    /// How many were dropped, and those that came later.
    pub(crate) fn take(&self) -> (u64, VecDeque<Passage>) {
        let Waiting { passages, missed } = std::mem::take(&mut *lock(&self.0));
        (missed, passages)
    }
}

/// Those that a shard hands them over to.
#[cfg(feature = "http")]
pub(crate) type Listeners = Arc<[Arc<Passages>]>;

/// Where a shard hands them over.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// Empty while nobody listens.
    #[cfg(feature = "http")]
    pub(super) to: Listeners,
}

impl Announcer {
    /// Hands over what is only made if somebody listens.
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
        let (missed, waiting) = passages.take();
        assert_eq!((missed, waiting.len(), waiting[0].session_id), (3, MOST_WAITING, 3));
        let (missed, waiting) = passages.take();
        assert_eq!((missed, waiting.len()), (0, 0));
        Announcer::default().announce(|| panic!("nobody listens"));
    }
}
