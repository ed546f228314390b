//! A wait for records as a future.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::Store;
use super::waits::WaitKey;
use crate::records::Message;
use crate::time::Deadline;

/// Ready with the records once `count` can be seen, or with `None` when the time is up. No record is lost when it is
/// dropped before it is ready.
#[derive(Debug)]
#[must_use = "it waits only while it is polled"]
pub(crate) struct Arrival {
    pub(super) store: Arc<Store>,
    pub(super) count: usize,
    pub(super) deadline: Deadline,
    /// Removes the records from the store.
    pub(super) takes: bool,
    /// Once it has to wait.
    pub(super) key: Option<WaitKey>,
}

impl Future for Arrival {
    type Output = Option<Vec<Message>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { store, count, deadline, takes, key } = self.get_mut();
        loop {
            let messages = store.read_if(*count, |archive| match *takes {
                true => store.take_all(archive),
                false => store.copy_all(archive),
            });
            if messages.is_some() || deadline.left().is_zero() {
                return Poll::Ready(messages);
            }
            if store.waits.wake_later(key, *count, *deadline, context.waker()).is_err() {
                // Without the alarm thread, the caller's has to check the time.
                context.waker().wake_by_ref();
            }
            if store.visible.load(Ordering::SeqCst) < *count {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.store.waits.forget(key);
        }
    }
}
