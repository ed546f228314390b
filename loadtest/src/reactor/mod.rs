//! The event loop of one thread: its sockets, its share of the messages, its counts. Imports `account`, `client`,
//! `load`, `measure` and `time`; each loop runs on its own thread, and shares only [`Shared`].
//!
//! Sockets are registered once, edge-triggered. A reply is followed at once by the next command in one write; a short
//! read is not followed by another read. Nothing is allocated per message.

mod alone;
mod connect;
mod dial;
mod exchange;
mod secure;
mod slot;
mod stream;
mod timer;
mod timing;
mod tls;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::client::session::Session;
use crate::load::feed::{Arrival, Feed, Offer};
use crate::load::lane;
use crate::load::payload::Payload;
use crate::load::plan::Plan;
use crate::measure::interval::{INTERVAL, Interval};
use crate::measure::tally::Tally;
use crate::measure::work::{self, Work};
use crate::reactor::dial::Dialer;
use crate::reactor::slot::Slot;
use crate::reactor::timer::Timer;
use crate::reactor::wire::Renderer;
use crate::time::clock::{Clock, Latest, Moment};
use crate::time::lease::Term;

/// The token of the waker that ends a poll when the run is stopped.
pub(crate) const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// Events per poll.
const EVENTS: usize = 1024;

/// The read buffer, in bytes: far larger than the replies to a group of commands.
const READ_BUFFER: usize = 16 * 1024;

/// Pending connections per thread. More would overflow the listen queue of most servers, and a dropped SYN is
/// retransmitted only after a second.
const CONNECTING_LIMIT: usize = 128;

/// Handshakes of TLS continued between two polls. Each takes some tens or hundreds of microseconds, in which no reply of
/// another connection is read.
const HANDSHAKES: usize = 8;

/// Timeout of the reply to QUIT.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// In a closed loop, the pause after a failed connection, doubled each time up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// Percentage of an interval that a thread was running or ready to run, from which on it counts as starved.
const STARVED_PERCENT: u128 = 90;

/// The shortest last interval that is judged like a whole one.
const JUDGED_FROM: Duration = Duration::from_millis(200);

/// What the threads of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Clock,
    /// Until when it may run; `None` if nothing limits that.
    pub(crate) term: Option<Term>,
    /// Set when the run must end, or has ended early.
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) give_up: Arc<GiveUp>,
    /// The number of the next session in PROXY headers.
    pub(crate) next_client: Arc<AtomicU64>,
    /// How many messages of each lane of a closed loop were taken.
    pub(crate) next: Vec<Arc<AtomicU64>>,
    pub(crate) intervals: Sender<Interval>,
}

/// The common decision of all threads to give up the run.
#[derive(Debug, Default)]
pub(crate) struct GiveUp {
    /// The last success of all threads.
    last_success: Latest,
    /// Threads that agree: they would give up, or have nothing in flight.
    agreeing: AtomicUsize,
    /// Set when the run is given up: the time since the last success, or since the start.
    pub(crate) given_up: OnceLock<Duration>,
}

/// The stage of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Messages are started.
    Running,
    /// No more are started; those in flight have until this moment, if there is one.
    Draining { until: Option<Moment> },
}

/// The messages of one target, and the slots for its sessions.
#[derive(Debug)]
struct Queue {
    /// The index of the target in the plan.
    target: usize,
    feed: Feed,
    dialer: Dialer,
    /// Slots with a session ready for a message, the last used on top.
    ready: Vec<usize>,
    /// Slots without a connection.
    cold: Vec<usize>,
    /// Since when a due message could have been started; `None` while none can.
    able_since: Option<Moment>,
    /// Whether the feed has no more messages.
    is_exhausted: bool,
}

/// The event loop.
#[derive(Debug)]
pub(crate) struct Reactor {
    shared: Shared,
    poll: Poll,
    timer: Timer,
    lanes: Vec<Queue>,
    renderer: Renderer,
    payload: Payload,
    tally: Tally,
    slots: Vec<Slot>,
    /// Slots whose message moves on to another address of the target, with the index of the address.
    redials: Vec<(usize, usize)>,
    /// Slots that wait for room in the queue of a Unix socket: index, generation, index of the address.
    queued: Vec<(usize, u32, usize)>,
    /// Slots whose TLS handshake can go on: index, generation, and since when.
    securing: VecDeque<(usize, u32, Moment)>,
    /// Slots that pause before they connect again.
    resting: Vec<(Moment, usize)>,
    connecting: usize,
    open: usize,
    in_flight: u64,
    stage: Stage,
    /// Whether the signal that ends the run was handled.
    is_interrupted: bool,
    /// Whether nothing of a message may be sent any more: its term is over, and the time for messages in flight.
    is_silent: bool,
    /// When the run was stopped before its own end.
    stopped: Option<Moment>,
    /// Whether this thread is counted in [`GiveUp::agreeing`].
    is_agreeing: bool,
    next_sweep: Moment,
    /// When the clock was last read.
    latest: Moment,
    /// When it must be read again; a later reading is a stall.
    wake_by: Moment,
    /// Whether what is read now, and what the next poll returns, arrived during a stall.
    is_after_stall: bool,
    catching_up: bool,
    /// Time of stalls after the last message was due, which the target did not have.
    stalled_in_grace: Duration,
    work: Option<Work>,
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl Reactor {
    /// The loop of thread `index`.
    pub(crate) fn new(shared: Shared, index: usize, poll: Poll, payload: Payload) -> io::Result<Reactor> {
        let plan = Arc::clone(&shared.plan);
        let mut slots = Vec::with_capacity(plan.connections_of(index));
        let mut lanes = Vec::new();
        for (place, lane) in lane::lanes(&plan, index).iter().enumerate() {
            let first = slots.len();
            let slot = || Slot::new(Session::new(plan.dialect.clone()), place);
            slots.extend((0..lane.connections).map(|_| slot()));
            lanes.push(Queue {
                target: lane.target,
                feed: Feed::new(&plan, lane, &shared.next[lane.number]),
                dialer: Dialer::new(&plan, lane.target, index),
                ready: Vec::with_capacity(lane.connections),
                cold: (first..slots.len()).rev().collect(),
                able_since: Some(Moment::ZERO),
                is_exhausted: false,
            });
        }
        Ok(Reactor {
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            lanes,
            renderer: Renderer::new(&plan),
            payload,
            tally: Tally::new(&plan),
            slots,
            redials: Vec::new(),
            queued: Vec::new(),
            securing: VecDeque::new(),
            resting: Vec::new(),
            connecting: 0,
            open: 0,
            in_flight: 0,
            stage: Stage::Running,
            is_interrupted: false,
            is_silent: false,
            stopped: None,
            is_agreeing: false,
            next_sweep: Moment::ZERO,
            latest: Moment::ZERO,
            wake_by: Moment::ZERO,
            is_after_stall: false,
            catching_up: false,
            stalled_in_grace: Duration::ZERO,
            work: None,
            input: vec![0; READ_BUFFER].into_boxed_slice(),
            output: Vec::with_capacity(1024),
            shared,
        })
    }

    /// Waits for the start, runs to the end and returns the counts.
    pub(crate) fn run(mut self) -> io::Result<Tally> {
        let mut events = Events::with_capacity(EVENTS);
        self.shared.clock.wait();
        let began = work::of_this_thread();
        self.work = began;
        let mut now = self.read_clock();
        self.tally.began = now;
        loop {
            self.dispatch(now)?;
            self.turn(now)?;
            if self.is_done(now) && !self.catching_up {
                break;
            }
            let timeout = self.sleep_limit(now)?;
            self.is_after_stall = std::mem::take(&mut self.catching_up);
            let polled = self.poll.poll(&mut events, Some(timeout));
            self.read_clock();
            self.catching_up = match polled {
                Ok(()) => false,
                // Continued after a stop: what arrived meanwhile comes with the next poll.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.is_after_stall,
                Err(error) => return Err(error),
            };
            for event in &events {
                if event.token() != WAKER && event.token() != TIMER {
                    self.on_event(event)?;
                }
            }
            self.secure()?;
            now = self.read_clock();
            self.catching_up |= self.is_after_stall && events.iter().count() == EVENTS;
            self.is_after_stall = false;
        }
        self.finish(now, began);
        Ok(self.tally)
    }

    /// Reads the clock, notes a stall if that is too late, and ends the run with its term.
    fn read_clock(&mut self) -> Moment {
        let now = self.shared.clock.now();
        let has_load = self.stage == Stage::Running || self.in_flight > 0;
        if has_load && self.tally.punctuality.note_pause(self.wake_by, now) {
            self.on_stall(self.wake_by, now);
        }
        self.wake_by = now;
        self.latest = now;
        // Before anything is started or sent: the process may have stood still for any time.
        if let Some(term) = &self.shared.term
            && now > term.end()
        {
            self.end_term(now);
        }
        now
    }

    /// After a stall, the grace ends later by its length: it is the target's time.
    fn on_stall(&mut self, from: Moment, now: Moment) {
        self.tally.outlook.on_stall(now.since(from));
        self.is_after_stall = true;
        self.catching_up = true;
        let due = self.last_due();
        match (&mut self.stage, due) {
            (Stage::Draining { until: Some(until) }, _) => *until = until.after(now.since(from)),
            (Stage::Running, Some(due)) => self.stalled_in_grace += now.since(from.max(due)),
            _ => {}
        }
    }

    fn finish(&mut self, now: Moment, began: Option<Work>) {
        self.set_agreeing(true);
        for index in 0..self.slots.len() {
            self.leave_in_flight(index, now);
        }
        self.tally.end_offer(self.offered_until(now));
        let end = self.interval_end();
        let tally = &mut self.tally;
        for lane in &mut self.lanes {
            lane.feed.stop(now, |arrival| tally.leave_unsent(arrival, now));
        }
        let length = INTERVAL.saturating_sub(end.since(now));
        let starved = if length >= JUDGED_FROM { self.is_starved(length) } else { None };
        let mut last = self.tally.end_interval(length, self.in_flight, starved);
        last.is_last = true;
        // Without a receiver the run is being torn down.
        let _ = self.shared.intervals.send(last);
        self.tally.work = work::of_this_thread().zip(began).map(|(end, began)| Work {
            ran: end.ran.saturating_sub(began.ran),
            waited: end.waited.saturating_sub(began.waited),
        });
    }

    /// Dials the next addresses, and starts every message that is due and can be started.
    fn dispatch(&mut self, now: Moment) -> io::Result<()> {
        self.redial(now)?;
        let is_over = self.last_moment().is_some_and(|last| now >= last);
        for lane in 0..self.lanes.len() {
            self.dispatch_lane(lane, is_over, now)?;
        }
        if self.stage == Stage::Running && self.lanes.iter().all(|lane| lane.is_exhausted) {
            self.drain(self.last_moment());
        }
        Ok(())
    }

    fn dispatch_lane(&mut self, lane: usize, is_over: bool, now: Moment) -> io::Result<()> {
        if self.is_able(lane) {
            self.lanes[lane].able_since.get_or_insert(now);
        }
        while self.stage == Stage::Running && self.is_able(lane) && !is_over {
            match self.lanes[lane].feed.take(now) {
                Offer::Due(arrival) => self.start(lane, arrival, now)?,
                Offer::Later(_) => break,
                Offer::Exhausted => {
                    self.lanes[lane].is_exhausted = true;
                    break;
                }
            }
        }
        if !self.is_able(lane) {
            self.lanes[lane].able_since = None;
        }
        if self.stage != Stage::Running || self.lanes[lane].is_exhausted {
            while let Some(index) = self.lanes[lane].ready.pop() {
                self.quit(index, now)?;
                self.go_on_writing(index)?;
            }
        }
        Ok(())
    }

    /// Whether a message of this lane could be started now.
    fn is_able(&self, lane: usize) -> bool {
        let lane = &self.lanes[lane];
        !lane.ready.is_empty() || (!lane.cold.is_empty() && self.connecting < CONNECTING_LIMIT)
    }

    fn start(&mut self, lane: usize, arrival: Arrival, now: Moment) -> io::Result<()> {
        let lane = &mut self.lanes[lane];
        let flight = self.tally.start(arrival, now, lane.able_since.unwrap_or(now));
        self.in_flight += 1;
        if let Some(index) = lane.ready.pop() {
            self.slots[index].flight = Some(flight);
            self.begin(index, now)?;
            return self.go_on_writing(index);
        }
        if let Some(index) = lane.cold.pop() {
            self.slots[index].flight = Some(flight);
            return self.connect(index, now);
        }
        debug_assert!(false, "start is called only when able");
        Ok(())
    }

    /// Starts draining.
    fn drain(&mut self, until: Option<Moment>) {
        self.stage = Stage::Draining { until };
    }

    /// The moment after which no message is due, in a run with a duration.
    fn last_due(&self) -> Option<Moment> {
        self.shared.plan.limit.duration.map(|duration| Moment::ZERO.after(duration))
    }

    /// The end of a run with a duration.
    fn last_moment(&self) -> Option<Moment> {
        self.last_due().map(|due| due.after(self.shared.plan.grace + self.stalled_in_grace))
    }

    /// The end of the offered load: for a count, the end of the last message; otherwise the duration, or the moment
    /// at which the run was stopped.
    fn offered_until(&self, now: Moment) -> Moment {
        if self.lanes.iter().all(|lane| lane.feed.is_used_up()) {
            return self.tally.last_end;
        }
        [self.stopped, self.last_due()].into_iter().flatten().min().unwrap_or(now)
    }

    /// Sessions that are quitting are waited for (their timeout is short); messages in flight are cut off at the last
    /// moment.
    fn is_done(&self, now: Moment) -> bool {
        match self.stage {
            Stage::Running => false,
            Stage::Draining { until } => {
                (self.open == 0 && self.queued.is_empty())
                    || (self.in_flight > 0 && until.is_some_and(|until| now >= until))
            }
        }
    }

    fn sleep_limit(&mut self, now: Moment) -> io::Result<Duration> {
        let mut limit = self.interval_end().min(self.next_sweep).since(now);
        if !self.securing.is_empty() {
            limit = Duration::ZERO;
        }
        self.wake_by = now.after(limit);
        if self.stage == Stage::Running
            && let Some(intended) = self.next_start()
        {
            self.wake_by = self.wake_by.min(intended.max(now));
            limit = limit.min(self.timer.wake_at(intended, now)?);
        }
        Ok(limit)
    }

    /// When the next message is due that could be started.
    fn next_start(&self) -> Option<Moment> {
        let able = (0..self.lanes.len()).filter(|lane| self.is_able(*lane));
        able.filter_map(|lane| self.lanes[lane].feed.next_due()).min()
    }
}
