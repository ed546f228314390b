//! What is logged, and who writes it: never a reactor, always a thread of its own.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Local};

/// Receives log lines, on one thread of its own and one at a time, in the order of the events.
///
/// The four levels are go-smtp-mock's. A logger that panics loses the line it panicked at, nothing else.
pub trait Logger: Send + Sync {
    /// What sessions do: requests, responses, delays, starts and ends.
    fn info_activity(&self, at: SystemTime, text: &str);
    /// What the server does.
    fn info(&self, at: SystemTime, text: &str);
    /// What is unusual and harmless.
    fn warning(&self, at: SystemTime, text: &str);
    /// What failed.
    fn error(&self, at: SystemTime, text: &str);
    /// Called when no line is waiting: the time to flush.
    fn flush(&self) {}
}

/// A logger that settings can carry.
#[derive(Clone)]
pub(crate) struct SharedLogger(Arc<dyn Logger>);

impl SharedLogger {
    pub(crate) fn new(logger: impl Logger + 'static) -> Self {
        Self(Arc::new(logger))
    }
}

impl std::ops::Deref for SharedLogger {
    type Target = dyn Logger;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SharedLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logger")
    }
}
