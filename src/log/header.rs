//! Connections closed because of their PROXY header, and the hook that gets the reason.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The fault of a connection's PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Malformed,
    Late,
    Untrusted,
}

impl HeaderFault {
    pub(super) const COUNT: usize = Self::Untrusted as usize + 1;
}

type Hook = dyn Fn(&str) + Send + Sync;

/// Called with the reason why a connection is closed, once for each fault in all shards.
#[derive(Clone)]
pub(crate) struct HeaderHook {
    hook: Arc<Hook>,
    has_called: Arc<[AtomicBool; HeaderFault::COUNT]>,
}

impl HeaderHook {
    pub(crate) fn new(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { hook: Arc::new(hook), has_called: Arc::default() }
    }

    pub(crate) fn note(&self, fault: HeaderFault, why: impl FnOnce() -> String) {
        if !self.has_called[fault as usize].swap(true, Ordering::Relaxed) {
            (self.hook)(&why());
        }
    }
}

impl fmt::Debug for HeaderHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeaderHook").field(&self.has_called).finish()
    }
}
