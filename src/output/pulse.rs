//! Whether an output moves.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use rustix::io::ioctl_fionread;

/// What an output has done so far, as far as it can be seen from outside: as long as readings differ it is slow, and
/// not stuck.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Bytes written, or pieces of work done on the way to them. Only the writer writes it.
    done: AtomicU64,
    /// The pipe that is written to, if it is one, as long as it is open: its reader may take less than the room that a
    /// write needs.
    pipe: OnceLock<Weak<File>>,
}

/// How far it has come. Only good for being compared with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    done: u64,
    unread: Option<u64>,
}

impl Pulse {
    pub(super) fn watch(&self, pipe: &Arc<File>) {
        // The first pipe that is written to is watched: an output is one pipe to its end.
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
