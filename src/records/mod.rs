//! Destinations of finished records: the store, the capture, a display, all or none. Reactors file them; the capture
//! and the display write on separate threads. Imports `mime`, `output`, `process`, `smtp`, `text`,
//! `time` and `tls`.

pub(crate) mod budget;
mod capture;
mod endpoint;
pub(crate) mod message;
mod show;
pub(crate) mod store;
mod wait_error;

use std::sync::Arc;

use crate::records::budget::Budget;
use crate::records::store::{RunningKey, Store};
use crate::smtp::Unsent;

pub(crate) use capture::{Capture, Target};
pub use capture::{CaptureContent, CaptureFailure, CaptureFormat};
pub use endpoint::Endpoint;
pub use message::Message;
pub(crate) use message::Proxied;
pub use show::Display;
pub(crate) use show::Show;
pub use wait_error::WaitError;

/// The destinations of one shard's records.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) shard: usize,
    pub(crate) store: Option<Arc<Store>>,
    pub(crate) capture: Option<(Capture, CaptureContent)>,
    pub(crate) show: Option<Show>,
}

/// A finished record that readers can see, but that may contain unsent replies.
#[derive(Debug)]
pub(crate) struct Filed {
    /// Number of the last reply that it may contain.
    last_reply: u32,
    /// Its number in the store.
    shown: Option<u64>,
    /// The copy for the capture and the display, which get it once it is final.
    pending: Option<Message>,
    /// Memory of that copy in bytes.
    pub(crate) memory: usize,
}

impl Filed {
    /// Whether all its replies have left, if those up to `last_sent` have.
    pub(crate) fn is_certain(&self, last_sent: u32) -> bool {
        self.last_reply <= last_sent
    }
}

impl Records {
    /// Nobody reads records, so none are made.
    pub(crate) fn are_unread(&self) -> bool {
        self.store.is_none() && self.capture.is_none() && self.show.is_none()
    }

    /// Records of running sessions are visible.
    pub(crate) fn show_running(&self) -> bool {
        self.store.is_some()
    }

    /// Shows the record of a running session, which contains a message just accepted.
    pub(crate) fn accept(&self, key: Option<RunningKey>, message: Message) -> Option<RunningKey> {
        self.store.as_ref().map(|store| store.accept(self.shard, key, message))
    }

    /// Replaces the record of a running session.
    pub(crate) fn update(&self, key: RunningKey, message: Message) {
        if let Some(store) = &self.store {
            store.update(self.shard, key, message);
        }
    }

    /// Shows a record that changes only if replies up to `last_reply` do not leave; see [`Store::finish`]. It must then
    /// be [settled](Self::settle).
    pub(crate) fn finish(
        &self,
        key: Option<RunningKey>,
        message: Message,
        is_news: bool,
        last_reply: u32,
    ) -> Filed {
        let show = |message| self.store.as_ref()?.finish(self.shard, key, message, is_news);
        if self.capture.is_none() && self.show.is_none() {
            return Filed { last_reply, shown: show(message), pending: None, memory: 0 };
        }
        let shown = self.store.is_some().then(|| show(message.clone())).flatten();
        let pending = match (&self.capture, &self.show) {
            (Some((_, CaptureContent::Envelope)), None) => message.without_text(),
            (Some(_) | None, _) => message,
        };
        Filed { last_reply, shown, memory: pending.memory(), pending: Some(pending) }
    }

    /// Removes replies that were not sent whole from the record.
    pub(crate) fn withdraw(&self, filed: &mut Filed, unsent: &Unsent) {
        if let (Some(store), Some(number)) = (&self.store, filed.shown) {
            store.withdraw(self.shard, number, unsent);
        }
        if let Some(message) = &mut filed.pending {
            message.withdraw(unsent);
        }
    }

    /// Captures and displays a final record. Its memory is charged while the capture has it.
    pub(crate) fn settle(&self, filed: Filed, budget: &Budget) {
        let Some(message) = filed.pending else { return };
        if let Some(show) = &self.show {
            show.offer(&message);
        }
        let Some((capture, content)) = &self.capture else { return };
        let message = match content {
            CaptureContent::Message => message,
            CaptureContent::Envelope => message.without_text(),
        };
        let charge = budget.charged(message.memory());
        capture.push(message, charge);
    }

    /// Forgets a running session that leaves no record.
    pub(crate) fn forget(&self, key: Option<RunningKey>) {
        if let (Some(store), Some(key)) = (&self.store, key) {
            store.forget(self.shard, key);
        }
    }
}
