//! Waits for records as futures.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Store;
use super::waits::{Awaited, WaitKey};
use crate::records::Message;
use crate::time::Deadline;

/// Ready with the records when `count` are visible, or with `None` after the timeout. Dropping it before that loses no
/// record.
#[derive(Debug)]
#[must_use = "it waits only while it is polled"]
pub(crate) struct Arrival {
    pub(super) store: Arc<Store>,
    pub(super) count: usize,
    pub(super) deadline: Deadline,
    /// Removes the records from the store.
    pub(super) takes: bool,
    /// Set once it waits.
    pub(super) key: Option<WaitKey>,
}

impl Future for Arrival {
    type Output = Option<Vec<Message>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { store, count, deadline, takes, key } = self.get_mut();
        let awaited = Awaited::Records(*count);
        loop {
            let messages = store.read_if(*count, |archive| match *takes {
                true => store.take_all(archive),
                false => store.copy_all(archive),
            });
            if messages.is_some() {
                if *takes {
                    store.announce_removals();
                }
                return Poll::Ready(messages);
            }
            match store.poll_wait(key, awaited, *deadline, context) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Store {
    /// Ready when the wait is satisfied, or with false after the deadline.
    fn poll_wait(
        &self,
        key: &mut Option<WaitKey>,
        awaited: Awaited,
        deadline: Deadline,
        context: &Context<'_>,
    ) -> Poll<bool> {
        if self.has(awaited) {
            return Poll::Ready(true);
        }
        if deadline.left().is_zero() {
            return Poll::Ready(false);
        }
        if self.waits.wake_later(key, awaited, deadline, context.waker()).is_err() {
            // Without an alarm thread the executor must poll again to check the time.
            context.waker().wake_by_ref();
        }
        match self.has(awaited) {
            true => Poll::Ready(true),
            false => Poll::Pending,
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

/// Ready when a record has this number or a higher one, or with false after the deadline.
#[derive(Debug)]
#[must_use = "it waits only while it is polled"]
pub(crate) struct News {
    pub(super) store: Arc<Store>,
    pub(super) number: u64,
    pub(super) deadline: Deadline,
    /// Set once it waits.
    pub(super) key: Option<WaitKey>,
}

impl Future for News {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let Self { store, number, deadline, key } = self.get_mut();
        store.poll_wait(key, Awaited::Number(*number), *deadline, context)
    }
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.store.waits.forget(key);
        }
    }
}
