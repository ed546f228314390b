//! A shard: one reactor on one thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use super::context::Context;
use super::control::Control;
use super::listener::ListeningSocket;
use super::reactor::Reactor;
use crate::log::EventLog;
use crate::time::Clock;

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// Every session ended by itself or was idle when it was closed.
    Graceful,
    /// The timeout passed: sessions in the middle of a command or mail were sent 421 and closed.
    Forced,
}

/// Why a shard failed. Compared by text: system errors can't be compared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ShardFailure {
    /// The system call that polls for events failed.
    Poll(Arc<io::Error>),
    /// The thread panicked, with this text.
    Panic(String),
}

impl ShardFailure {
    fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panic(text.unwrap_or_else(|| "panic".into()))
    }
}

impl fmt::Display for ShardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poll(error) => write!(f, "polling for events: {error}"),
            Self::Panic(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ShardFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Poll(error) => Some(error),
            Self::Panic(_) => None,
        }
    }
}

impl PartialEq for ShardFailure {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for ShardFailure {}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) control: Arc<Control>,
    thread: JoinHandle<Result<StopOutcome, ShardFailure>>,
}

impl Shard {
    /// Starts serving on a new thread. If the reactor dies, `on_failure` is called there with the reason.
    pub(crate) fn start(
        index: usize,
        sockets: Vec<ListeningSocket>,
        context: Context,
        clock: Clock,
        event_log: Option<&EventLog>,
        on_failure: impl FnOnce(ShardFailure) + Send + 'static,
    ) -> io::Result<Self> {
        let (reactor, control) = Reactor::new(sockets, context, clock, event_log)?;
        let own = Arc::clone(&control);
        let thread = thread::Builder::new().name(format!("smtpmock-{index}")).spawn(move || {
            own.begin();
            supervise(move || reactor.run(), on_failure)
        })?;
        Ok(Self { control, thread })
    }

    /// Waits for the shard's end.
    ///
    /// # Errors
    /// Why its reactor died.
    pub(crate) fn join(self) -> Result<StopOutcome, ShardFailure> {
        self.thread.join().unwrap_or_else(|panic| Err(ShardFailure::of_panic(&*panic)))
    }
}

/// Runs a reactor and reports a failure after its sockets are closed, so that no client waits at a port that looks
/// alive.
fn supervise(
    run: impl FnOnce() -> io::Result<StopOutcome>,
    on_failure: impl FnOnce(ShardFailure),
) -> Result<StopOutcome, ShardFailure> {
    let reason = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(error)) => ShardFailure::Poll(Arc::new(error)),
        Err(panic) => ShardFailure::of_panic(&*panic),
    };
    on_failure(reason.clone());
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_reactor_is_reported() {
        let mut reported = None;
        let result = supervise(|| panic!("boom"), |reason| reported = Some(reason));
        assert!(result.is_err());
        assert_eq!(reported, Some(ShardFailure::Panic("boom".to_owned())));
    }

    #[test]
    fn a_failing_poll_is_reported() {
        let mut reported = None;
        let run = || Err(io::Error::other("no epoll"));
        let result = supervise(run, |reason| reported = Some(reason));
        assert!(result.is_err());
        let reported = reported.expect("a failure");
        assert_eq!(reported.to_string(), "polling for events: no epoll");
        assert!(matches!(reported, ShardFailure::Poll(_)));
    }
}
