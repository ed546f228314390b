//! A shard: one reactor on one thread, what it is given, and how it is told to stop.

use std::any::Any;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::Waker;

use super::counters::Counters;
use super::reactor::Reactor;
use super::stats_exchange::StatsExchange;
use super::stream::Listener;
use crate::config::{Config, OverLimit};
use crate::log::EventLog;
use crate::measure::Retries;
use crate::process::lock;
use crate::records::Records;
use crate::records::budget::Budget;
use crate::smtp::Policy;
use crate::smtp::rules::{ByteRate, Memory, State};
use crate::stats::Stats;
use crate::time::Clock;

/// How long the last reply may take to reach a client that is still sending.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How long such a client may pause when the time of a stop is up.
const STOP_LINGER: Duration = Duration::from_millis(250);

/// How long a rule may hold a connection: longer than any client waits (RFC 5321 section 4.5.3.2 asks for 10
/// minutes at most), and not forever.
pub(super) const HOLD_LIMIT: Duration = Duration::from_secs(3600);

/// What a shard's connections are served by. Immutable, but for what rules remember.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) policy: Arc<Policy>,
    pub(super) session_timeout: Duration,
    pub(super) data_timeout: Duration,
    pub(super) linger_timeout: Duration,
    pub(super) stop_linger: Duration,
    pub(super) hold_limit: Duration,
    pub(super) drip: Option<ByteRate>,
    pub(super) read_rate: Option<ByteRate>,
    /// Sessions are counted.
    counts_sessions: bool,
    /// Connections beyond so many sessions stay unaccepted.
    backlog_beyond: Option<u64>,
    /// What rules remember, for all shards together; `None` where there is nothing to remember.
    state: Option<Arc<Mutex<State>>>,
    /// What was put off, for all shards together; `None` where nothing can be.
    retries: Option<Arc<Mutex<Retries>>>,
    /// Sessions are closed right after the greeting: a session timeout of zero.
    pub(super) closes_at_once: bool,
    pub(super) records: Records,
    pub(super) budget: Budget,
    pub(super) counters: Arc<Counters>,
}

impl Context {
    pub(crate) fn new(
        config: &Config,
        policy: Arc<Policy>,
        records: Records,
        budget: &Budget,
        counters: Arc<Counters>,
        state: Option<Arc<Mutex<State>>>,
        retries: Option<Arc<Mutex<Retries>>>,
    ) -> Self {
        let limits = config.policy.limits();
        Self {
            hold_limit: HOLD_LIMIT,
            drip: config.drip,
            read_rate: config.read_rate,
            counts_sessions: limits.max_sessions.is_some() || limits.max_sessions_per_ip.is_some(),
            backlog_beyond: limits.max_sessions.filter(|_| config.over_limit == OverLimit::Backlog),
            state,
            retries,
            session_timeout: config.session_timeout,
            data_timeout: config.data_timeout,
            linger_timeout: LINGER,
            stop_linger: STOP_LINGER,
            closes_at_once: config.session_timeout.is_zero(),
            records,
            budget: budget.clone(),
            policy,
            counters,
        }
    }

    /// Something can be put off, and what is tried again is followed.
    pub(super) fn follows_retries(&self) -> bool {
        self.retries.is_some()
    }

    /// What rules remember, lent for a decision at a time; `None` where there is nothing to remember.
    pub(super) fn memory(&self) -> Option<SharedState<'_>> {
        self.state.as_deref().map(SharedState)
    }

    /// Lends what was put off; `None` where nothing can be.
    pub(super) fn retries(&self) -> Option<MutexGuard<'_, Retries>> {
        self.retries.as_deref().map(lock)
    }

    /// Takes a place for a connection before it is accepted; `None` when connections are to be left in the backlog
    /// for now. Shards that looked first and counted afterwards would together let in more than there may be.
    pub(super) fn take_place(&self) -> Option<Place> {
        match self.state.as_ref().filter(|_| self.counts_sessions) {
            None => Some(Place(None)),
            Some(state) => {
                let is_taken = lock(state).take_place(self.backlog_beyond.unwrap_or(u64::MAX));
                is_taken.then(|| Place(Some(Box::new(Taken { state: Arc::clone(state), peer: None }))))
            }
        }
    }
}

/// The place of a session among those that there may be at a time, given back when dropped. Without such a limit it
/// is nothing.
#[derive(Debug, Default)]
pub(super) struct Place(Option<Box<Taken>>);

#[derive(Debug)]
struct Taken {
    state: Arc<Mutex<State>>,
    /// Who has it; `None` before a client has connected.
    peer: Option<IpAddr>,
}

impl Place {
    /// A client has connected, who has it from now on.
    pub(super) fn occupy(&mut self, peer: IpAddr) {
        if let Some(taken) = &mut self.0 {
            taken.peer = Some(peer);
            lock(&taken.state).connected(peer);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.state).give_back_place(self.peer);
    }
}

/// What rules remember, for all shards together.
#[derive(Debug)]
pub(super) struct SharedState<'c>(&'c Mutex<State>);

impl Memory for SharedState<'_> {
    fn lend(&mut self, decide: &mut dyn FnMut(&mut State)) {
        decide(&mut lock(self.0));
    }
}

/// How a shard's serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every session had ended.
    Graceful,
    /// Sessions in which something was under way were sent 421 and closed.
    Forced,
}

/// How a server is to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopOrder {
    /// How long sessions may go on.
    pub(crate) timeout: Duration,
    /// Those in which nothing is under way too.
    pub(crate) spares_idle: bool,
}

impl StopOrder {
    /// As soon as possible.
    pub(crate) const AT_ONCE: Self = Self { timeout: Duration::ZERO, spares_idle: false };

    /// The stricter of two.
    fn and(self, other: Self) -> Self {
        Self { timeout: self.timeout.min(other.timeout), spares_idle: self.spares_idle && other.spares_idle }
    }
}

/// How other threads reach a reactor.
#[derive(Debug)]
pub(crate) struct Control {
    stop: Mutex<Option<StopOrder>>,
    exchange: Arc<StatsExchange>,
    waker: Waker,
}

impl Control {
    pub(super) fn new(waker: Waker) -> Self {
        Self { stop: Mutex::default(), exchange: Arc::default(), waker }
    }

    /// Asks the reactor to stop. A reactor that is gone is not an error.
    pub(crate) fn stop(&self, order: StopOrder) {
        let mut asked = lock(&self.stop);
        *asked = Some(asked.map_or(order, |earlier| earlier.and(order)));
        drop(asked);
        let _ = self.waker.wake();
    }

    /// What the shard has measured since the last call; `None` when it has ended and all was taken. One caller
    /// at a time.
    pub(crate) fn take_stats(&self) -> Option<Box<Stats>> {
        // A waker that fails is one whose reactor is gone, and has given its last.
        self.exchange.take(|| drop(self.waker.wake()))
    }

    pub(super) fn exchange(&self) -> Arc<StatsExchange> {
        Arc::clone(&self.exchange)
    }

    /// The stop that was asked for since the last time.
    pub(super) fn take_stop(&self) -> Option<StopOrder> {
        lock(&self.stop).take()
    }
}

/// A running shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) control: Arc<Control>,
    thread: JoinHandle<Result<Ending, String>>,
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
        on_failure: impl FnOnce(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let (reactor, control) = Reactor::new(sockets, Arc::new(context), clock, event_log)?;
        let thread = thread::Builder::new()
            .name(format!("smtpmock-{index}"))
            .spawn(move || supervise(move || reactor.run(), on_failure))?;
        Ok(Self { control, thread })
    }

    /// Waits for the shard's end.
    ///
    /// # Errors
    /// Why its reactor died.
    pub(crate) fn join(self) -> Result<Ending, String> {
        self.thread.join().unwrap_or_else(|panic| Err(failure(&*panic)))
    }
}

/// Runs a reactor and makes a failure known: its sockets are closed by then, so nobody is left talking to
/// a port that looks alive.
fn supervise(
    run: impl FnOnce() -> io::Result<Ending>,
    on_failure: impl FnOnce(&str),
) -> Result<Ending, String> {
    let reason = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(ending)) => return Ok(ending),
        Ok(Err(error)) => format!("polling for events: {error}"),
        Err(panic) => failure(&*panic),
    };
    on_failure(&reason);
    Err(reason)
}

fn failure(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "panic".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_reactor_is_reported() {
        let mut reported = None;
        let result = supervise(|| panic!("boom"), |reason| reported = Some(reason.to_owned()));
        assert!(result.is_err());
        assert_eq!(reported.as_deref(), Some("boom"));
    }

    #[test]
    fn a_failing_poll_is_reported() {
        let mut reported = None;
        let run = || Err(io::Error::other("no epoll"));
        let result = supervise(run, |reason| reported = Some(reason.to_owned()));
        assert!(result.is_err());
        assert!(reported.is_some_and(|text| text.contains("no epoll")));
    }
}
