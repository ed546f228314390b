//! A bound on the octets of all replies that are made and not written yet: clients that read nothing would make them grow without
//! end, since each may ask for the largest reply.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::Notify;

use crate::http::reply::{Refusal, error};
use crate::process::lock;

/// Octets of all replies at once. A reply beyond it is not made until others were written, or their clients are dropped.
const MOST: usize = 256 << 20;
/// Octets that are reserved for a reply before it is made: most are smaller.
const RESERVED: usize = 16 << 20;
/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// Octets in use.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: Mutex<usize>,
    freed: Notify,
}

/// Octets of a budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    octets: usize,
}

impl Budget {
    /// Room for a reply that will be made.
    ///
    /// # Errors
    /// The reply where others take all of it for too long.
    pub(super) async fn reserve(self: &Arc<Self>) -> Result<Held, Refusal> {
        let room = async {
            loop {
                // Registered first: what is freed meanwhile is noticed.
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(held) = self.take(RESERVED) {
                    return held;
                }
                freed.await;
            }
        };
        tokio::time::timeout(PATIENCE, room).await.map_err(|_| {
            let hint = "replies that are read: those that nobody reads take all memory for replies";
            error(StatusCode::SERVICE_UNAVAILABLE, "busy", "", hint)
        })
    }

    /// So much, if there is room.
    fn take(self: &Arc<Self>, octets: usize) -> Option<Held> {
        let mut used = lock(&self.used);
        (*used + octets <= MOST).then(|| {
            *used += octets;
            Held { budget: Arc::clone(self), octets }
        })
    }

    /// Counts a reply that is made. Room was reserved for it; one that is larger counts all the same.
    pub(super) fn count(self: &Arc<Self>, octets: usize) -> Held {
        *lock(&self.used) += octets;
        Held { budget: Arc::clone(self), octets }
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
        let budget = Arc::new(Budget::default());
        let mut held: Vec<_> = std::iter::from_fn(|| budget.take(RESERVED)).collect();
        assert_eq!(held.len(), MOST / RESERVED);
        held.pop();
        assert!(budget.take(RESERVED).is_some(), "what was freed can be taken");
        let large = budget.count(2 * MOST);
        assert!(budget.take(1).is_none());
        drop((held, large));
        assert_eq!(*lock(&budget.used), 0);
    }

    /// A request that waits goes on as soon as there is room.
    #[test]
    fn a_request_waits_for_room() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let budget = Arc::new(Budget::default());
            let full = budget.count(MOST);
            let own = Arc::clone(&budget);
            let waiting = tokio::spawn(async move { own.reserve().await.is_ok() });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            drop(full);
            assert!(waiting.await.expect("no panic"));
        });
    }
}
