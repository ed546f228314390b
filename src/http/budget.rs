//! A bound on the octets of all replies that have been built but not written: without it, clients that read nothing could each
//! retain the largest reply.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex as Turns, Notify};

use crate::process::lock;

/// Octets of all unwritten replies. A request beyond it waits until replies have been written or their clients dropped.
const UNWRITTEN_OCTETS: usize = 256 << 20;
/// Octets that are reserved for a reply before it is built: most are smaller, and only a single large mail makes a larger one.
pub(super) const RESERVED_OCTETS: usize = 16 << 20;
/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// After this time the reply that has been unread longest makes room.
const RELIEF_AFTER: Duration = Duration::from_millis(500);
/// Octets of all bodies that are being received or answered. A body without room is refused.
const RECEIVED_OCTETS: usize = 128 << 20;

/// Octets in use.
pub(super) struct Budget {
    most: usize,
    used: Mutex<usize>,
    /// Held by the request that waits for room: others follow in the order of their arrival.
    turns: Turns<()>,
    freed: Notify,
    /// Ends the connection whose reply has been unread longest, if any.
    relief: OnceLock<Relief>,
}

pub(super) type Relief = Box<dyn Fn() + Send + Sync>;

/// Octets taken from a budget; dropping it returns them.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    octets: usize,
}

impl Budget {
    /// The budget of all unwritten replies.
    pub(super) fn of_replies() -> Self {
        Self::of(UNWRITTEN_OCTETS)
    }

    /// The budget of all bodies of requests.
    pub(super) fn of_bodies() -> Self {
        Self::of(RECEIVED_OCTETS)
    }

    /// Calls `relief` when a request has waited for room for a while.
    pub(super) fn relieve_by(&self, relief: Relief) {
        // A budget has one relief, which is set once.
        let _ = self.relief.set(relief);
    }

    fn of(most: usize) -> Self {
        Self {
            most,
            used: Mutex::default(),
            turns: Turns::default(),
            freed: Notify::new(),
            relief: OnceLock::new(),
        }
    }

    /// Reserves room for a reply before it is built. If unread replies leave none, the one that has been unread longest is
    /// dropped, with its connection.
    ///
    /// `None` if no room becomes free within `PATIENCE`.
    pub(super) async fn reserve(self: &Arc<Self>) -> Option<Held> {
        let room = async {
            let _turn = self.turns.lock().await;
            loop {
                // Registered before the check, so that room freed in between is noticed.
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(held) = self.take(RESERVED_OCTETS) {
                    return held;
                }
                if tokio::time::timeout(RELIEF_AFTER, freed).await.is_err()
                    && let Some(relief) = self.relief.get()
                {
                    relief();
                }
            }
        };
        tokio::time::timeout(PATIENCE, room).await.ok()
    }

    /// Takes `octets`, if they fit.
    pub(super) fn take(self: &Arc<Self>, octets: usize) -> Option<Held> {
        let mut used = lock(&self.used);
        (*used + octets <= self.most).then(|| {
            *used += octets;
            Held { budget: Arc::clone(self), octets }
        })
    }

    /// Counts a reply that has been built. Its room was reserved; a larger one is counted in full.
    pub(super) fn count(self: &Arc<Self>, octets: usize) -> Held {
        *lock(&self.used) += octets;
        Held { budget: Arc::clone(self), octets }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("most", &self.most)
            .field("used", &*lock(&self.used))
            .finish_non_exhaustive()
    }
}

impl Held {
    /// Takes more, if it fits. Returns whether it did.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let mut used = lock(&self.budget.used);
        let fits = *used + octets <= self.budget.most;
        if fits {
            *used += octets;
            self.octets += octets;
        }
        fits
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *lock(&self.budget.used) -= self.octets;
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_leaves_no_room_and_what_is_written_does() {
        let budget = Arc::new(Budget::of_replies());
        let mut held: Vec<_> = std::iter::from_fn(|| budget.take(RESERVED_OCTETS)).collect();
        assert_eq!(held.len(), UNWRITTEN_OCTETS / RESERVED_OCTETS);
        held.pop();
        assert!(budget.take(RESERVED_OCTETS).is_some(), "what was freed can be taken");
        let large = budget.count(2 * UNWRITTEN_OCTETS);
        assert!(budget.take(1).is_none());
        assert!(!held[0].grow(1));
        drop(large);
        assert!(held.pop().is_some() && held[0].grow(RESERVED_OCTETS));
        drop(held);
        assert_eq!(*lock(&budget.used), 0);
    }

    /// A request that waits continues as soon as room is freed.
    #[test]
    fn a_request_waits_for_room() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let budget = Arc::new(Budget::of_replies());
            let full = budget.count(UNWRITTEN_OCTETS);
            let own = Arc::clone(&budget);
            let waiting = tokio::spawn(async move { own.reserve().await.is_some() });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            drop(full);
            assert!(waiting.await.expect("no panic"));
        });
    }
}
