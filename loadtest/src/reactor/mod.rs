//! One thread's event loop: its sockets, its share of the messages, its counts.
//!
//! Sockets are registered once, edge-triggered. A reply leads at once to the next command
//! in one write; a short read is not followed by another. Nothing is allocated per message.

mod exchange;
mod timing;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::client::Session;
use crate::clock::{Clock, Moment};
use crate::dial::{Dialer, reason_of};
use crate::feed::{Arrival, Feed, Offer};
use crate::load::{self, Work};
use crate::payload::Payload;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::slot::Slot;
use crate::tally::{Interval, Tally};
use crate::timer::Timer;
use crate::wire::Renderer;

/// The token of the waker that ends a sleep when the run is stopped.
pub(crate) const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// The read buffer, in bytes: far more than the replies to one group of commands.
const READ_BUFFER: usize = 16 * 1024;

/// Connections in the making at once, per thread. More would overrun the listen queue of
/// most servers, and a dropped SYN is not sent again before a second has passed.
const CONNECTING_LIMIT: usize = 128;

/// How long an interval of the series lasts.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// How long the reply to QUIT is awaited.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// In a closed loop, the pause after a connection failed; doubled each time to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// A closed loop that never reached the target in this long, and tried this often, ends.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);
const GIVE_UP_TRIES: u64 = 5;

/// The part of an interval, in percent, that a thread must have been running or waiting
/// for a processor to count as starved.
const STARVED_PERCENT: u128 = 90;

/// What the threads of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Clock,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) intervals: Sender<Interval>,
}

/// Where the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Messages are started.
    Running,
    /// No more are started; those in flight are awaited, until the moment if there is one.
    Draining { until: Option<Moment> },
}

/// The event loop.
#[derive(Debug)]
pub(crate) struct Reactor {
    shared: Shared,
    poll: Poll,
    timer: Timer,
    dialer: Dialer,
    feed: Feed,
    renderer: Renderer,
    payload: Payload,
    tally: Tally,
    slots: Vec<Slot>,
    /// Slots with a session ready for a message, the one used last on top.
    ready: Vec<usize>,
    /// Slots without a connection that may get one.
    cold: Vec<usize>,
    /// Slots that wait before they connect again.
    resting: Vec<(Moment, usize)>,
    connecting: usize,
    open: usize,
    in_flight: u64,
    stage: Stage,
    /// When the run was stopped before its own end.
    stopped: Option<Moment>,
    /// Since when a message that is due could have been started; `None` while none could.
    able_since: Option<Moment>,
    next_sweep: Moment,
    /// When the clock was last read.
    latest: Moment,
    work: Option<Work>,
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl Reactor {
    /// The loop of thread `index`.
    pub(crate) fn new(shared: Shared, index: usize, poll: Poll, feed: Feed) -> io::Result<Reactor> {
        let plan = Arc::clone(&shared.plan);
        let count = plan.connections_of(index);
        let slots = (0..count).map(|_| Slot::new(Session::new(plan.recipients, plan.pipelining))).collect();
        Ok(Reactor {
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            dialer: Dialer::new(plan.address, plan.sources.clone(), index),
            feed,
            renderer: Renderer::new(&plan),
            payload: Payload::new(&plan.content, plan.run, plan.seed),
            tally: Tally::new(&plan),
            slots,
            ready: Vec::with_capacity(count),
            cold: (0..count).rev().collect(),
            resting: Vec::new(),
            connecting: 0,
            open: 0,
            in_flight: 0,
            stage: Stage::Running,
            stopped: None,
            able_since: Some(Moment::ZERO),
            next_sweep: Moment::ZERO,
            latest: Moment::ZERO,
            work: None,
            input: vec![0; READ_BUFFER].into_boxed_slice(),
            output: Vec::with_capacity(1024),
            shared,
        })
    }

    /// Runs to the end and returns what was counted.
    pub(crate) fn run(mut self) -> io::Result<Tally> {
        let began = load::of_this_thread();
        self.work = began;
        let mut events = Events::with_capacity(EVENTS);
        let mut now = self.shared.clock.now();
        loop {
            self.dispatch(now)?;
            self.turn(now)?;
            if self.is_done(now) {
                break;
            }
            let timeout = self.sleep_limit(now)?;
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if event.token() != WAKER && event.token() != TIMER {
                    self.on_event(event)?;
                }
            }
            let due = now.after(timeout);
            now = self.shared.clock.now();
            if now.since(due) > self.shared.plan.late_after {
                self.tally.stall(now);
            }
        }
        self.finish(now, began);
        Ok(self.tally)
    }

    fn finish(&mut self, now: Moment, began: Option<Work>) {
        for index in 0..self.slots.len() {
            self.leave_in_flight(index, now);
        }
        self.tally.end_offer(self.offered_until(now));
        let end = self.interval_end();
        let tally = &mut self.tally;
        self.feed.stop(now, |arrival| tally.leave_unsent(arrival, now));
        let length = INTERVAL.saturating_sub(end.since(now));
        let last = tally.end_interval(length, self.in_flight, None);
        // Nobody listening means the run is being torn down.
        let _ = self.shared.intervals.send(last);
        tally.work = load::of_this_thread().zip(began).map(|(end, began)| Work {
            ran: end.ran.saturating_sub(began.ran),
            waited: end.waited.saturating_sub(began.waited),
        });
    }

    /// Starts every message that is due and can be started.
    fn dispatch(&mut self, now: Moment) -> io::Result<()> {
        if self.is_able() {
            self.able_since.get_or_insert(now);
        }
        while self.stage == Stage::Running && self.is_able() {
            match self.feed.take(now) {
                Offer::Due(arrival) => self.start(arrival, now)?,
                Offer::Later(_) => break,
                Offer::Exhausted => self.drain(self.last_moment()),
            }
        }
        if !self.is_able() {
            self.able_since = None;
        }
        if self.stage != Stage::Running {
            while let Some(index) = self.ready.pop() {
                self.quit(index, now)?;
            }
        }
        Ok(())
    }

    /// Whether a message could be started now.
    fn is_able(&self) -> bool {
        !self.ready.is_empty() || (!self.cold.is_empty() && self.connecting < CONNECTING_LIMIT)
    }

    fn start(&mut self, arrival: Arrival, now: Moment) -> io::Result<()> {
        let flight = self.tally.start(arrival, now, self.able_since.unwrap_or(now));
        self.in_flight += 1;
        if let Some(index) = self.ready.pop() {
            self.slots[index].flight = Some(flight);
            return self.begin(index, now);
        }
        if let Some(index) = self.cold.pop() {
            self.slots[index].flight = Some(flight);
            return self.connect(index, now);
        }
        debug_assert!(false, "start is called only when able");
        Ok(())
    }

    /// Goes over to draining, once.
    fn drain(&mut self, until: Option<Moment>) {
        self.stage = Stage::Draining { until };
    }

    /// The moment after which no message is due, in a run that is bounded in time.
    fn last_due(&self) -> Option<Moment> {
        self.shared.plan.limit.duration.map(|duration| Moment::ZERO.after(duration))
    }

    /// The end of a run that is bounded in time.
    fn last_moment(&self) -> Option<Moment> {
        self.last_due().map(|due| due.after(self.shared.plan.grace))
    }

    /// The end of the time in which load was offered: for a count of messages the end of the
    /// last of them, otherwise the duration or the moment at which the run was stopped.
    fn offered_until(&self, now: Moment) -> Moment {
        if self.feed.is_used_up() {
            return self.tally.last_end;
        }
        [self.stopped, self.last_due()].into_iter().flatten().min().unwrap_or(now)
    }

    fn connect(&mut self, index: usize, now: Moment) -> io::Result<()> {
        let plan = &self.shared.plan;
        self.slots[index].open(Session::new(plan.recipients, plan.pipelining));
        self.slots[index].since = now;
        self.tally.sessions.dialed += 1;
        let mut stream = match self.dialer.dial() {
            Ok(stream) => stream,
            Err(error) => {
                self.fail(index, reason_of(&error), now);
                return Ok(());
            }
        };
        let token = self.slots[index].token(index);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, interest)?;
        let slot = &mut self.slots[index];
        slot.stream = Some(stream);
        slot.deadline = Some(now.after(plan.timeouts.of(Phase::Connect)));
        self.connecting += 1;
        self.open += 1;
        self.tally.sessions.most_open = self.tally.sessions.most_open.max(self.open as u64);
        Ok(())
    }

    /// Sessions that are just quitting are awaited (they time out soon); messages in
    /// flight are cut off at the last moment.
    fn is_done(&self, now: Moment) -> bool {
        match self.stage {
            Stage::Running => false,
            Stage::Draining { until } => {
                self.open == 0 || (self.in_flight > 0 && until.is_some_and(|until| now >= until))
            }
        }
    }

    fn sleep_limit(&mut self, now: Moment) -> io::Result<Duration> {
        let mut limit = self.interval_end().min(self.next_sweep).since(now);
        if let Feed::Open { next: Some(arrival), .. } = &self.feed
            && self.stage == Stage::Running
            && self.is_able()
        {
            limit = limit.min(self.timer.wake_at(arrival.intended, now)?);
        }
        Ok(limit)
    }
}
