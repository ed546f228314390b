//! Detects whether an output makes progress.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use rustix::io::ioctl_fionread;

/// The observable progress of an output. As long as readings differ, the output is slow but not stuck.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Bytes written or steps of work done. Updated by the writer only.
    done: AtomicU64,
    /// The pipe, if the output is one. Its reader may read less than a write needs, so the unread bytes are observed
    /// too.
    pipe: OnceLock<Weak<File>>,
}

/// A progress value, to be compared with another for equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    done: u64,
    unread: Option<u64>,
}

impl Pulse {
    pub(super) fn watch(&self, pipe: &Arc<File>) {
        // Set once: the pipe of an output never changes.
        let _ = self.pipe.set(Arc::downgrade(pipe));
    }

    pub(crate) fn note(&self, count: u64) {
        self.done.store(self.done.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        let pipe = self.pipe.get().and_then(Weak::upgrade);
        let unread = pipe.and_then(|pipe| ioctl_fionread(pipe).ok());
        Reading { done: self.done.load(Ordering::Relaxed), unread }
    }
}
