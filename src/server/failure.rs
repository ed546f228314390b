//! Failures that end a running server, and the hook for them.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use crate::net::control::{Control, StopOrder};
use crate::net::shard::ShardFailure;
use crate::process::lock;
use crate::records::CaptureFailure;

/// Why a running server failed. A failed server has stopped listening, so that clients notice and no test passes with
/// an incomplete capture.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerFailure {
    /// A reactor thread panicked; the panic message.
    Shard(ShardFailure),
    /// The capture at this path can't be written, or its reader reads nothing; the error.
    Capture(PathBuf, CaptureFailure),
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(reason) => write!(f, "a reactor thread failed, the server has stopped: {reason}"),
            Self::Capture(path, reason) => {
                let path = path.display();
                write!(f, "the capture is incomplete, the server has stopped: {path}: {reason}")
            }
        }
    }
}

impl std::error::Error for ServerFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Shard(failure) => Some(failure),
            Self::Capture(_, failure) => Some(failure),
        }
    }
}

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

    /// Registers a shard to be stopped when another part fails; at once if one already has.
    pub(crate) fn watch(&self, control: &Arc<Control>) {
        lock(&self.controls).push(Arc::clone(control));
        self.stop_shards();
    }

    /// The first failure, which has happened and may not have been reported yet: waits until it is.
    pub(crate) fn wait(&self) -> ServerFailure {
        self.failure.wait().clone()
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
        // Unlocked before the hook runs, because the hook may set another.
        let hook = lock(&self.hook).take();
        if let Some(hook) = hook {
            hook(failure);
        }
    }
}
