//! Failures that end a running server, and the hook that is called then.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use crate::net::control::{Control, StopOrder};
use crate::process::lock;

/// Why a running server failed. It has stopped listening: nobody is left talking to a port that looks
/// alive, and no test passes on half a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerFailure {
    /// A reactor thread died of a bug; its last words.
    Shard(String),
    /// The capture can't be written, or its reader takes nothing; the system's error.
    Capture(String),
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(reason) => write!(f, "a reactor thread failed, the server has stopped: {reason}"),
            Self::Capture(reason) => {
                write!(f, "the capture is incomplete, the server has stopped: {reason}")
            }
        }
    }
}

impl std::error::Error for ServerFailure {}

type Hook = Box<dyn FnOnce(&ServerFailure) + Send>;

/// The first failure of a server: stops the other parts and calls the hook.
#[derive(Default)]
pub(crate) struct FailureReport {
    failure: OnceLock<ServerFailure>,
    hook: Mutex<Option<Hook>>,
    controls: Mutex<Vec<Arc<Control>>>,
}

impl FailureReport {
    pub(crate) fn get(&self) -> Option<ServerFailure> {
        self.failure.get().cloned()
    }

    /// Has a shard stopped when another part fails, at once if one has.
    pub(crate) fn watch(&self, control: &Arc<Control>) {
        lock(&self.controls).push(Arc::clone(control));
        self.stop_shards();
    }

    pub(crate) fn set_hook(&self, hook: Hook) {
        *lock(&self.hook) = Some(hook);
        self.call_hook();
    }

    pub(crate) fn report(&self, failure: ServerFailure) {
        if self.failure.set(failure).is_ok() {
            self.stop_shards();
            self.call_hook();
        }
    }

    fn stop_shards(&self) {
        if self.failure.get().is_some() {
            lock(&self.controls).iter().for_each(|control| control.stop(StopOrder::AT_ONCE));
        }
    }

    fn call_hook(&self) {
        let Some(failure) = self.failure.get() else { return };
        // The lock is given back before the hook runs: it may set another.
        let hook = lock(&self.hook).take();
        if let Some(hook) = hook {
            hook(failure);
        }
    }
}
