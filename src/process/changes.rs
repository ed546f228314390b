//! A count of changes that tasks follow: a change never waits, and wakes only its followers.

use std::future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use super::lock;

/// Changes since the start, and the tasks that wait for another one.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: AtomicU64,
    /// One for each task that waits, or was dropped since the last change.
    wakers: Mutex<Vec<Waker>>,
}

impl Changes {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Counts more changes, without waking: under a lock that followers take.
    pub(crate) fn add(&self, changes: u64) {
        self.count.fetch_add(changes, Ordering::AcqRel);
    }

    /// Wakes all followers, after [`add`](Self::add), without a lock held: wakers run foreign code.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits for more changes than `seen`.
    pub(crate) async fn after(&self, seen: u64) {
        future::poll_fn(|context| self.poll_after(seen, context)).await;
    }

    fn poll_after(&self, seen: u64, context: &Context<'_>) -> Poll<()> {
        let mut wakers = lock(&self.wakers);
        // Under the lock that `wake` takes after the change: at least one of the two sees the other.
        if self.count() > seen {
            return Poll::Ready(());
        }
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakings(AtomicUsize);

    impl Wake for Wakings {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_follower_is_woken_once_for_what_it_has_not_seen() {
        let (changes, wakings) = (Changes::default(), Arc::<Wakings>::default());
        let waker = Waker::from(Arc::clone(&wakings));
        let mut context = Context::from_waker(&waker);
        changes.add(1);
        assert!(pin!(changes.after(0)).poll(&mut context).is_ready(), "one is there already");
        for _ in 0..3 {
            // Dropped waits leave at most one waker.
            assert!(pin!(changes.after(1)).poll(&mut context).is_pending());
        }
        assert_eq!(lock(&changes.wakers).len(), 1);
        let mut wait = pin!(changes.after(1));
        assert!(wait.as_mut().poll(&mut context).is_pending());
        changes.add(2);
        changes.wake();
        changes.wake();
        assert_eq!(wakings.0.load(Ordering::Relaxed), 1);
        assert!(wait.poll(&mut context).is_ready());
        assert_eq!(changes.count(), 3);
    }
}
