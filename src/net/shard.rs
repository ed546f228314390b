//! A shard: one reactor on one thread.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::context::Context;
use super::control::Control;
use super::reactor::Reactor;
use super::stream::Listener;
use crate::log::EventLog;
use crate::time::Clock;

thread_local! {
    static IS_SHARD: Cell<bool> = const { Cell::new(false) };
}

/// This is the thread of a shard, of whatever server: it must not wait for one.
pub(crate) fn is_shard_thread() -> bool {
    IS_SHARD.get()
}

/// How a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardExit {
    /// Every session had ended.
    Graceful,
    /// Sessions that were not idle were sent 421 and closed.
    Forced,
}

/// Why a reactor failed.
#[derive(Debug)]
pub(crate) enum ShardError {
    /// Polling for events failed.
    Poll(io::Error),
    /// The reactor panicked, with this message.
    Panicked(String),
}

/// A running shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) control: Arc<Control>,
    thread: JoinHandle<Result<ShardExit, ShardError>>,
}

impl Shard {
    /// Starts serving on a thread of its own. When the reactor dies `on_failure` is called there with
    /// the reason.
    pub(crate) fn start(
        index: usize,
        sockets: Vec<Listener>,
        context: Context,
        clock: Clock,
        event_log: Option<&EventLog>,
        on_failure: impl FnOnce(&ShardError) + Send + 'static,
    ) -> io::Result<Self> {
        let (reactor, control) = Reactor::new(sockets, context, clock, event_log)?;
        let thread = thread::Builder::new().name(format!("smtpmock-{index}")).spawn(move || {
            IS_SHARD.set(true);
            supervise(move || reactor.run(), on_failure)
        })?;
        Ok(Self { control, thread })
    }

    /// Waits for the shard's end.
    ///
    /// # Errors
    /// Why its reactor died.
    pub(crate) fn join(self) -> Result<ShardExit, ShardError> {
        self.thread.join().unwrap_or_else(|panic| Err(ShardError::panicked(&*panic)))
    }
}

/// Runs a reactor and reports a failure: its sockets are closed by then, so that no client waits at a port that looks
/// alive.
fn supervise(
    run: impl FnOnce() -> io::Result<ShardExit>,
    on_failure: impl FnOnce(&ShardError),
) -> Result<ShardExit, ShardError> {
    let error = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(ending)) => return Ok(ending),
        Ok(Err(error)) => ShardError::Poll(error),
        Err(panic) => ShardError::panicked(&*panic),
    };
    on_failure(&error);
    Err(error)
}

impl ShardError {
    fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "panic".into()))
    }
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poll(error) => write!(f, "polling for events: {error}"),
            Self::Panicked(message) => f.write_str(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_reactor_is_reported() {
        let mut reported = None;
        let result = supervise(|| panic!("boom"), |reason| reported = Some(reason.to_string()));
        assert!(result.is_err());
        assert_eq!(reported.as_deref(), Some("boom"));
    }

    #[test]
    fn a_failing_poll_is_reported() {
        let mut reported = None;
        let run = || Err(io::Error::other("no epoll"));
        let result = supervise(run, |reason| reported = Some(reason.to_string()));
        assert!(result.is_err());
        assert!(reported.is_some_and(|text| text.contains("no epoll")));
    }
}
