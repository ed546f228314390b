//! Where finished records go: the store, the capture, both or neither.

use std::sync::Arc;

use crate::capture::{Capture, CaptureContent};
use crate::memory::Charge;
use crate::message::Message;
use crate::store::{RunningKey, Store};

/// One shard's way to the records.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) shard: usize,
    pub(crate) store: Option<Arc<Store>>,
    pub(crate) capture: Option<(Capture, CaptureContent)>,
}

impl Records {
    /// Nobody reads records: none need be made.
    pub(crate) fn are_unread(&self) -> bool {
        self.store.is_none() && self.capture.is_none()
    }

    /// Records of running sessions can be seen.
    pub(crate) fn show_running(&self) -> bool {
        self.store.is_some()
    }

    /// Shows the record of a running session, which holds a message accepted just now.
    pub(crate) fn accept(&self, key: Option<RunningKey>, message: Message) -> Option<RunningKey> {
        self.store.as_ref().map(|store| store.accept(self.shard, key, message))
    }

    /// Replaces the record of a running session.
    pub(crate) fn update(&self, key: RunningKey, message: Message) {
        if let Some(store) = &self.store {
            store.update(self.shard, key, message);
        }
    }

    /// Files a record that will not change any more; see [`Store::finish`].
    pub(crate) fn finish(
        &self,
        key: Option<RunningKey>,
        message: Message,
        is_news: bool,
        charge: Option<Charge>,
    ) {
        let Some((capture, content)) = &self.capture else {
            if let Some(store) = &self.store {
                store.finish(self.shard, key, message, is_news);
            }
            return;
        };
        if let Some(store) = &self.store {
            store.finish(self.shard, key, message.clone(), is_news);
        }
        match content {
            CaptureContent::Message => capture.push(message, charge),
            CaptureContent::Envelope => capture.push(message.without_text(), None),
        }
    }

    /// Forgets the record of a running session that left none.
    pub(crate) fn forget(&self, key: Option<RunningKey>) {
        if let (Some(store), Some(key)) = (&self.store, key) {
            store.forget(self.shard, key);
        }
    }
}
