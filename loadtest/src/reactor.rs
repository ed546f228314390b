//! One thread's event loop: its sockets, its share of the messages, its counts.
//!
//! Sockets are registered once, edge-triggered. A reply leads at once to the next command
//! in one write; a short read is not followed by another. Nothing is allocated per message.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use crate::accounting::{Abort, Outcome};
use crate::client::{Command, Next, OutOfOrder, Session, Step, Verdict};
use crate::clock::{Clock, Moment};
use crate::dial::{Dialer, reason_of};
use crate::feed::{Arrival, Feed, Offer};
use crate::load::{self, Work};
use crate::payload::Payload;
use crate::phase::Phase;
use crate::plan::{Load, Plan};
use crate::reply::ReplyError;
use crate::slot::{Pending, Slot};
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
        let slots = (0..count)
            .map(|_| Slot::new(Session::new(plan.recipients, plan.pipelining)))
            .collect();
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
        for slot in &mut self.slots {
            if let Some(flight) = slot.flight.take() {
                self.tally.leave_in_flight(flight, slot.session.phase());
            }
        }
        let tally = &mut self.tally;
        self.feed
            .stop(now, |arrival| tally.leave_unsent(arrival, now));
        let last = tally.end_interval(self.in_flight, None);
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
        let flight = self
            .tally
            .start(arrival, now, self.able_since.unwrap_or(now));
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

    /// The end of a run that is bounded in time.
    fn last_moment(&self) -> Option<Moment> {
        let plan = &self.shared.plan;
        plan.limit
            .duration
            .map(|duration| Moment::ZERO.after(duration + plan.grace))
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
        self.poll
            .registry()
            .register(&mut stream, token, interest)?;
        let slot = &mut self.slots[index];
        slot.stream = Some(stream);
        slot.deadline = Some(now.after(plan.timeouts.of(Phase::Connect)));
        self.connecting += 1;
        self.open += 1;
        self.tally.sessions.most_open = self.tally.sessions.most_open.max(self.open as u64);
        Ok(())
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let index = Slot::index_of(event.token());
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        if slot.stream.is_none() || slot.token(index) != event.token() {
            return Ok(());
        }
        if self.slots[index].session.phase() == Some(Phase::Connect) {
            self.latest = self.shared.clock.now();
            self.on_connect_event(index, event, self.latest);
        } else if event.is_writable() && !matches!(self.slots[index].pending, Pending::Nothing) {
            self.latest = self.shared.clock.now();
            self.on_writable(index, self.latest);
        }
        if event.is_readable() && self.slots[index].stream.is_some() {
            self.on_readable(index)?;
        }
        self.dispatch(self.latest)
    }

    fn on_connect_event(&mut self, index: usize, event: &Event, now: Moment) {
        let Some(stream) = &self.slots[index].stream else {
            return;
        };
        if event.is_error() || event.is_write_closed() {
            let reason = match stream.take_error() {
                Ok(Some(error)) | Err(error) => reason_of(&error),
                Ok(None) => Abort::Closed,
            };
            self.fail(index, reason, now);
            return;
        }
        self.connecting -= 1;
        self.note_phase(index, Phase::Connect, true, now);
        let slot = &mut self.slots[index];
        slot.session.on_connected();
        slot.since = now;
        slot.deadline = Some(now.after(self.shared.plan.timeouts.of(Phase::Banner)));
    }

    fn on_writable(&mut self, index: usize, now: Moment) {
        let slot = &mut self.slots[index];
        match slot.write_pending(&mut self.payload) {
            Ok(done) => {
                if done {
                    slot.since = now;
                }
                self.extend_deadline(index, now);
            }
            Err(error) => self.fail(index, reason_of(&error), now),
        }
    }

    fn on_readable(&mut self, index: usize) -> io::Result<()> {
        let mut input = std::mem::take(&mut self.input);
        let result = self.read_all(index, &mut input);
        self.input = input;
        result
    }

    fn read_all(&mut self, index: usize, input: &mut [u8]) -> io::Result<()> {
        while let Some(stream) = &mut self.slots[index].stream {
            match stream.read(input) {
                Ok(0) => {
                    self.on_closed(index);
                    return Ok(());
                }
                Ok(count) => {
                    self.on_bytes(index, &input[..count])?;
                    if count < input.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    self.fail(index, reason_of(&error), self.shared.clock.now());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn on_bytes(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        let now = self.shared.clock.now();
        self.latest = now;
        let mut parser = std::mem::take(&mut self.slots[index].parser);
        let result = parser.feed(bytes, |line| -> Result<bool, Broken> {
            if let Some(step) = self.slots[index].session.on_line(line)? {
                self.apply(index, step, now)?;
            }
            Ok(self.slots[index].stream.is_some())
        });
        self.slots[index].parser = parser;
        match result {
            Ok(()) => Ok(()),
            Err(Broken::Peer) => {
                self.fail(index, Abort::Protocol, now);
                Ok(())
            }
            Err(Broken::System(error)) => Err(error),
        }
    }

    fn apply(&mut self, index: usize, step: Step, now: Moment) -> io::Result<()> {
        if let Some(answer) = step.answer {
            self.note_phase(index, answer.phase, answer.positive, now);
            if answer.phase == Phase::Rcpt {
                if let Some(flight) = self.slots[index].flight {
                    self.tally
                        .account(flight.measured)
                        .recipient(answer.positive, answer.code);
                }
            }
        }
        if let Some(verdict) = step.verdict {
            let outcome = match verdict {
                Verdict::Accepted => Outcome::Accepted,
                Verdict::Refused { phase, code } => Outcome::Refused { phase, code },
            };
            self.settle(index, outcome, now);
        }
        // A verdict on a message that was not written to its end leaves bytes owed: the
        // session is out of step and cannot go on.
        let torn = step.verdict.is_some() && !matches!(self.slots[index].pending, Pending::Nothing);
        match step.next {
            _ if torn => self.close(index, now),
            Next::Wait => self.extend_deadline(index, now),
            Next::Send(command) => self.send(index, command, now),
            Next::Ready => self.on_ready(index, now)?,
            Next::Close => self.close(index, now),
        }
        Ok(())
    }

    fn on_ready(&mut self, index: usize, now: Moment) -> io::Result<()> {
        let limit = self.shared.plan.messages_per_session;
        let slot = &mut self.slots[index];
        if slot.begun == 0 {
            self.tally.sessions.established += 1;
            let declined = self.shared.plan.pipelining && !slot.session.offers_pipelining();
            self.tally.sessions.without_pipelining += u64::from(declined);
            slot.failures = 0;
        }
        if slot.flight.is_some() {
            return self.begin(index, now);
        }
        if limit.is_some_and(|limit| slot.begun >= limit.get()) {
            return self.quit(index, now);
        }
        slot.deadline = None;
        self.ready.push(index);
        Ok(())
    }

    fn begin(&mut self, index: usize, now: Moment) -> io::Result<()> {
        self.slots[index].begun += 1;
        let command = self.slots[index].session.begin();
        self.send(index, command, now);
        Ok(())
    }

    fn quit(&mut self, index: usize, now: Moment) -> io::Result<()> {
        let command = self.slots[index].session.quit();
        self.send(index, command, now);
        Ok(())
    }

    fn send(&mut self, index: usize, command: Command, now: Moment) {
        let slot = &mut self.slots[index];
        slot.since = now;
        let written = if command == Command::Body {
            slot.write_body(&mut self.payload, 0).map(|_| ())
        } else {
            self.output.clear();
            let seq = slot.flight.map_or(0, |flight| flight.seq);
            self.renderer.render(command, seq, &mut self.output);
            slot.write_command(&self.output)
        };
        match written {
            Ok(()) => self.extend_deadline(index, now),
            Err(error) => self.fail(index, reason_of(&error), now),
        }
    }

    fn extend_deadline(&mut self, index: usize, now: Moment) {
        let slot = &mut self.slots[index];
        let wait = match slot.session.phase() {
            Some(phase) => self.shared.plan.timeouts.of(phase),
            None => QUIT_TIMEOUT,
        };
        slot.deadline = Some(now.after(wait));
    }

    fn note_phase(&mut self, index: usize, phase: Phase, ok: bool, now: Moment) {
        let slot = &self.slots[index];
        if slot.flight.is_some_and(|flight| flight.measured) {
            self.tally.metrics.phase(phase, ok, now.since(slot.since));
        }
    }

    fn settle(&mut self, index: usize, outcome: Outcome, now: Moment) {
        if let Some(flight) = self.slots[index].flight.take() {
            self.in_flight -= 1;
            self.tally.settle(flight, outcome, now);
        }
    }

    fn on_closed(&mut self, index: usize) {
        let now = self.shared.clock.now();
        self.fail(index, Abort::Closed, now);
    }

    /// The connection is lost, or was never made.
    fn fail(&mut self, index: usize, reason: Abort, now: Moment) {
        if let Some(phase) = self.slots[index].session.phase() {
            self.note_phase(index, phase, false, now);
            self.settle(index, Outcome::Aborted { phase, reason }, now);
        }
        self.close(index, now);
    }

    fn time_out(&mut self, index: usize, now: Moment) {
        if let Some(phase) = self.slots[index].session.phase() {
            self.note_phase(index, phase, false, now);
            self.settle(index, Outcome::TimedOut { phase }, now);
        }
        self.close(index, now);
    }

    /// Gives up the slot's connection, whatever its state, and frees the slot.
    fn close(&mut self, index: usize, now: Moment) {
        let slot = &mut self.slots[index];
        let lost_early = !slot.session.is_established();
        if slot.stream.take().is_some() {
            self.open -= 1;
            self.connecting -= usize::from(slot.session.phase() == Some(Phase::Connect));
        }
        slot.deadline = None;
        slot.pending = Pending::Nothing;
        if slot.begun > 0 && slot.flight.is_none() && !slot.session.has_said_quit() {
            self.tally.sessions.ended_idle += 1;
            self.ready.retain(|ready| *ready != index);
        }
        let rests = lost_early && slot.begun == 0 && matches!(self.shared.plan.load, Load::Closed);
        if rests {
            let pause = BACKOFF_FIRST
                .saturating_mul(1 << slot.failures.min(16))
                .min(BACKOFF_LONGEST);
            slot.failures += 1;
            self.resting.push((now.after(pause), index));
        } else {
            self.cold.push(index);
        }
    }

    /// What is to be done by the clock: intervals, timeouts, pauses, the end.
    fn turn(&mut self, now: Moment) -> io::Result<()> {
        self.turn_intervals(now);
        if self.shared.stop.load(Ordering::Relaxed) {
            let until = now.after(self.shared.plan.grace);
            match self.stage {
                Stage::Running => self.stop(now, until),
                Stage::Draining { until: None } => self.drain(Some(until)),
                Stage::Draining { until: Some(_) } => {}
            }
        }
        if now < self.next_sweep {
            return Ok(());
        }
        self.next_sweep = now.after(self.sweep_every());
        self.sweep(now);
        self.check_end(now);
        self.dispatch(now)
    }

    fn turn_intervals(&mut self, now: Moment) {
        while now >= self.interval_end() {
            let work = load::of_this_thread();
            let starved = work.zip(self.work).map(|(work, before)| {
                let busy = (work.ran + work.waited).saturating_sub(before.ran + before.waited);
                busy.as_nanos() * 100 >= INTERVAL.as_nanos() * STARVED_PERCENT
            });
            self.work = work;
            let ended = self.tally.end_interval(self.in_flight, starved);
            let _ = self.shared.intervals.send(ended);
        }
    }

    fn interval_end(&self) -> Moment {
        let ended = u32::try_from(self.tally.interval.index + 1).unwrap_or(u32::MAX);
        Moment::ZERO.after(INTERVAL * ended)
    }

    /// Looks at all deadlines. Timeouts are long against the sweep's period, which makes
    /// this cheaper than keeping a timer per command.
    fn sweep(&mut self, now: Moment) {
        for index in 0..self.slots.len() {
            if self.slots[index]
                .deadline
                .is_some_and(|deadline| deadline <= now)
            {
                self.time_out(index, now);
            }
        }
        let mut resting = std::mem::take(&mut self.resting);
        resting.retain(|(until, index)| {
            let over = *until <= now;
            if over {
                self.cold.push(*index);
            }
            !over
        });
        self.resting = resting;
    }

    /// A twentieth of the shortest timeout, within bounds that keep it cheap and useful.
    fn sweep_every(&self) -> Duration {
        let shortest = self.shared.plan.timeouts.shortest().min(QUIT_TIMEOUT);
        let longest = if self.resting.is_empty() {
            Duration::from_millis(50)
        } else {
            BACKOFF_FIRST
        };
        (shortest / 20).clamp(Duration::from_millis(1), longest)
    }

    fn check_end(&mut self, now: Moment) {
        if self.stage != Stage::Running {
            return;
        }
        let sessions = &self.tally.sessions;
        let hopeless = sessions.established == 0
            && sessions.dialed >= GIVE_UP_TRIES
            && self.resting.len() + self.cold.len() == self.slots.len()
            && now.elapsed() >= GIVE_UP_AFTER
            && matches!(self.shared.plan.load, Load::Closed);
        if hopeless {
            self.stop(now, now);
        }
        if let (Some(duration), Some(until)) = (self.shared.plan.limit.duration, self.last_moment())
        {
            if now >= until {
                self.stop(now, until);
            } else if now.elapsed() >= duration && !self.feed.is_behind(now) {
                self.drain(Some(until));
            }
        }
    }

    fn stop(&mut self, now: Moment, until: Moment) {
        let tally = &mut self.tally;
        self.feed
            .stop(now, |arrival| tally.leave_unsent(arrival, now));
        self.drain(Some(until));
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
        if let Feed::Open {
            next: Some(arrival),
            ..
        } = &self.feed
        {
            if self.stage == Stage::Running && self.is_able() {
                limit = limit.min(self.timer.wake_at(arrival.intended, now)?);
            }
        }
        Ok(limit)
    }
}

/// Why reading replies stopped.
enum Broken {
    /// The server does not speak SMTP as it should.
    Peer,
    System(io::Error),
}

impl From<ReplyError> for Broken {
    fn from(_: ReplyError) -> Broken {
        Broken::Peer
    }
}

impl From<OutOfOrder> for Broken {
    fn from(_: OutOfOrder) -> Broken {
        Broken::Peer
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::System(error)
    }
}
