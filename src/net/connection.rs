//! One connection: bytes from its transport to its session, replies back, and the waits between. Runs on its
//! reactor's thread; nothing here blocks.

mod checking;
mod ending;
mod filing;
mod glance;
mod input;
mod invariants;
mod measuring;
mod origin;
mod output;
mod pacing;
mod preface;
mod ruling;
mod securing;
mod unsent;

use std::time::{Duration, SystemTime};

use mio::Token;

use super::buffer::Buffer;
use super::context::{Context, SessionPermit};
use super::resources::{Resources, Stop};
use super::stream::{Handshake, Transport};
use super::wheel::Timer;
use crate::log::Event;
use crate::measure::{Asked, Cause, Probe, Tries};
use crate::records::budget::Charge;
use crate::records::store::RunningKey;
use crate::smtp::rules::{Environment, Memory};
use crate::smtp::{Expect, Next, Portion, Reply, Session, Stage, Step};
use crate::time::Timestamp;
use checking::Checking;
pub(super) use origin::Origin;
use pacing::Pace;
use preface::Preface;
use securing::Securing;
pub(super) use unsent::Outgoing;
use unsent::Waiting;

/// Bytes read from one peer before the others have their turn.
const BYTES_PER_TURN: usize = 4 * SCRATCH;
/// Bytes of replies gathered before they are written. Nothing is read from a peer that does not read them.
const REPLIES_PER_TURN: usize = 64 * 1024;
/// Replies gathered before they are written, however short: a pending reply takes more memory than the shortest
/// replies.
const MOST_REPLIES_PER_TURN: usize = 2048;
/// Longest turn of a connection whose policy has rules, which may be slow. Further lines of a client that sends many at
/// once wait for the next turn.
const RULES_PER_TURN: Duration = Duration::from_millis(1);
/// Bytes read at once while commands are expected: how far a client may send ahead of a delayed reply, unless it sends
/// messages in chunks.
const COMMANDS: usize = 16 * 1024;
/// Bytes read at once in message data. Larger than what loopback delivers at a time, so that most reads are short and
/// show without another read that the socket is empty.
pub(super) const SCRATCH: usize = 128 * 1024;

/// What a connection needs after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for an event or its timer.
    Waits,
    /// As `Waits`, and also for room in the socket.
    Blocked,
    /// It has more to do, after the turns of the others.
    Again,
    /// It has ended: the reactor drops its transport.
    Over,
}

/// What an event reports of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) peer_closed: bool,
    /// The peer has reset the connection: nothing written from now on reaches it.
    pub(super) is_reset: bool,
}

#[derive(Debug)]
enum Phase {
    /// Waits for the header of a proxy. No session yet.
    Preface(Box<Preface>),
    /// Waits until all replies have left, then runs the TLS handshake. Only the handshake reads.
    Securing(Box<Securing>),
    /// Commands are answered as they arrive.
    Open,
    /// A reply is delayed. The session does nothing until the delay ends.
    Delayed(Box<Delayed>),
    /// A reply depends on a check that runs on another thread. The session does nothing until the result arrives.
    Checking(Box<Checking>),
    /// A rule holds the connection: nothing more is read or sent. The client waits for a reply at this stage, since
    /// this time.
    Held(Stage, Timestamp),
    /// The last reply is on its way.
    Closing(Manner),
    /// The last reply has left, but the peer may not have read it: closing now, with input unread, would reset the
    /// connection and could destroy the reply. Input is read and dropped until then.
    Lingering { until: Timestamp },
}

/// The reply to send when a delay ends, and what to do then.
#[derive(Debug)]
struct Delayed {
    asked: Asked,
    reply: Reply,
    portion: Portion,
    next: Next,
    /// The configured delay.
    requested: Duration,
    /// Start of the delay.
    since: Timestamp,
}

/// How a peer ended its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputEnd {
    /// As its transport prescribes.
    Orderly,
    /// In another way: input may have been lost.
    Truncated,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Orderly,
    Reset,
}

/// A client and its session.
#[derive(Debug)]
pub(super) struct Connection<T> {
    stream: T,
    token: Token,
    session: Session,
    /// What the session waits for.
    expects: Expect,
    /// The client has sent a message in chunks: their octets are read together with commands.
    sends_chunks: bool,
    /// Number of its last reply.
    last_reply: u32,
    phase: Phase,
    /// Bytes read but not used: an incomplete line, or input that arrived during a delay.
    input: Option<Buffer>,
    /// Replies that the transport has not taken. Until all replies have left, at most one read is made, before they are
    /// written.
    output: Option<Buffer>,
    /// Octets of replies queued in all turns.
    queued: u64,
    /// Octets of the dialogue received, and the time of the last read.
    received: u64,
    heard_at: Timestamp,
    /// Unsent replies, and records that wait for them or for the end of a delay; `None` if empty.
    waiting: Option<Box<Waiting>>,
    /// The socket is registered for writability.
    watches_for_room: bool,
    /// The transport may have something to read.
    readable: bool,
    /// The peer has ended its output; earlier input may be unread.
    peer_closed: bool,
    /// The peer has reset the connection. Earlier input may still be readable.
    is_reset: bool,
    /// How the peer ended its output, once everything it sent has been read.
    input_end: Option<InputEnd>,
    /// The entry in the wheel, and when it expires: at `deadline` or before, never after.
    timer: Option<(Timer, Timestamp)>,
    /// When the present wait ends.
    deadline: Timestamp,
    /// When the message being received must be complete.
    data_deadline: Timestamp,
    origin: Origin,
    /// Its place in the limited number of sessions; `None` if it was refused.
    place: Option<SessionPermit>,
    accepted_at: Option<SystemTime>,
    /// This session's record in the store.
    running: Option<RunningKey>,
    /// The session's record has changed since it was copied to the store. It is copied at most once a turn: the copy is
    /// complete.
    is_shown_stale: bool,
    /// The memory that this session is charged for.
    charge: Option<Charge>,
    is_filed: bool,
    /// The schedule of paced writes and reads; `None` without a rate limit.
    pace: Option<Box<Pace>>,
    /// Lines of the message being received that were not logged yet, if there is a log.
    data_lines: u64,
    /// The client was greeted because no PROXY header had come, and has sent nothing since.
    is_header_late: bool,
    probe: Probe,
    /// The open mail transaction; `None` where nothing can be deferred.
    tries: Option<Box<Tries>>,
}

impl<T: Transport> Connection<T> {
    /// A connection that has been accepted and registered for reading.
    pub(super) fn new(stream: T, token: Token, origin: Origin, place: SessionPermit, now: Timestamp) -> Self {
        Self {
            stream,
            token,
            session: Session::speaking(origin.protocol),
            expects: Expect::Command,
            sends_chunks: false,
            last_reply: 0,
            phase: Phase::Open,
            input: None,
            output: None,
            queued: 0,
            received: 0,
            heard_at: now,
            waiting: None,
            watches_for_room: false,
            readable: false,
            peer_closed: false,
            is_reset: false,
            input_end: None,
            timer: None,
            deadline: Timestamp::START,
            data_deadline: Timestamp::START,
            origin,
            place: Some(place),
            accepted_at: None,
            running: None,
            is_shown_stale: false,
            charge: None,
            is_filed: false,
            pace: None,
            data_lines: 0,
            is_header_late: false,
            probe: Probe::new(now),
            tries: None,
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(super) fn stream(&self) -> &T {
        &self.stream
    }

    /// The stream, unless it is already registered for writability, as [`Fate::Blocked`] requires. Most connections
    /// never fill their socket: registering from the start would wake the reactor once more for every new connection.
    pub(super) fn stream_to_watch(&mut self) -> Option<&mut T> {
        let is_first = !std::mem::replace(&mut self.watches_for_room, true);
        is_first.then_some(&mut self.stream)
    }

    /// Counts the session from now on, if the new settings limit sessions.
    pub(super) fn count_place(&mut self, context: &Context) {
        if let Some(place) = &mut self.place
            && !matches!(self.phase, Phase::Preface(_))
        {
            context.count_place(place, self.origin.peer());
        }
    }

    pub(super) fn open(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.welcome(context, resources);
        self.settle(context, resources)
    }

    /// Queues the greeting, which rules may change.
    fn greet(&mut self, context: &Context, resources: &mut Resources) {
        resources.note(|| Event::SessionStarted);
        self.pace = Pace::new(context.service.rates(), resources.now);
        let mut step = self.environ(context, resources.now, |session, environment| {
            session.greeting(context.policy(), environment)
        });
        match step.accepted {
            true => resources.note_welcome(&context.counters),
            // A refused connection does not count as a session.
            false => self.place = None,
        }
        if context.settings().session_timeout.is_zero() && step.next == Next::Continue {
            step.next = Next::Close;
        }
        // A client may send before it is greeted; no event has reported that.
        self.readable |= step.next.is_end();
        self.follow(context, resources, step);
    }

    /// The socket has something to read, or room to write.
    pub(super) fn on_event(
        &mut self,
        readiness: Readiness,
        context: &Context,
        resources: &mut Resources,
    ) -> Fate {
        self.readable |= readiness.readable || readiness.peer_closed;
        if readiness.peer_closed && !std::mem::replace(&mut self.peer_closed, true) {
            self.note_peer_closed(resources.now);
            self.limit_check(context, resources);
        }
        if readiness.is_reset {
            self.probe.note_reset();
            self.is_reset = true;
        }
        self.run(context, resources)
    }

    /// Does all that is possible now: writes pending replies, uses buffered input, and reads.
    pub(super) fn run(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        if let Phase::Securing(securing) = &self.phase {
            let securing = **securing;
            return self.run_handshake(context, resources, securing);
        }
        resources.limit_turn(context.policy().has_rules().then_some(RULES_PER_TURN));
        if self.drain(context, resources).is_err() {
            return Fate::Over;
        }
        if !self.has_unsent() {
            self.adopt_pace(context, resources);
            self.take_buffered(context, resources);
            if let Err(error) = self.read_on(context, resources) {
                return self.lose(context, resources, &error);
            }
        }
        self.settle(context, resources)
    }

    /// The wheel's entry has expired. The deadline may be later by now.
    pub(super) fn on_timer(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.timer = None;
        if self.paced_until().is_some_and(|at| at <= resources.now) {
            return self.run(context, resources);
        }
        if self.deadline > resources.now {
            self.arm(resources);
            return Fate::Waits;
        }
        if let Phase::Preface(_) = self.phase {
            return self.end_wait(context, resources);
        }
        if let Phase::Securing(securing) = &self.phase {
            let securing = **securing;
            return self.end_handshake_wait(context, resources, securing);
        }
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Delayed(delayed) => {
                let Delayed { mut asked, reply, portion, next, requested, since } = *delayed;
                let achieved = resources.clock.now().since(since);
                resources.gathering.stats.delays.note(requested, achieved);
                resources.due += 1;
                if self.expects == Expect::NextChunk {
                    // The delay kept the client from sending the rest of its message.
                    self.data_deadline = self.data_deadline.after(achieved);
                }
                asked.since = asked.since.after(achieved);
                self.act(context, resources, asked, &reply, portion, next);
                self.run(context, resources)
            }
            Phase::Open if !self.has_unsent() => self.time_out(context, resources),
            Phase::Open => {
                self.note_timeout(resources, "write");
                Fate::Over
            }
            Phase::Checking(checking) => self.end_check(context, resources, checking),
            Phase::Held(..) => {
                self.probe.end(Cause::Dismissed);
                self.begin_end(context, resources, Manner::Orderly);
                // The end of the transport's output may have to wait for room.
                self.renew(context, resources);
                self.settle(context, resources)
            }
            Phase::Preface(_) | Phase::Securing(_) | Phase::Closing(_) | Phase::Lingering { .. } => {
                Fate::Over
            }
        }
    }

    /// Carries out a step: files the records first, then queues the reply.
    fn follow(&mut self, context: &Context, resources: &mut Resources, step: Step) {
        self.follow_since(context, resources, step, resources.now);
    }

    /// As [`follow`](Self::follow), for a command that came at this time.
    fn follow_since(&mut self, context: &Context, resources: &mut Resources, step: Step, came: Timestamp) {
        if let Some(message) = step.message {
            self.sends_chunks |= message.is_chunked;
            self.date_message(context, message);
        }
        self.measure_step(context, resources, &step, came);
        let Step { stage, reply, number, portion, delay, next, message, filing, client, .. } = step;
        self.last_reply = number;
        self.file(context, resources, filing);
        if let Some(client) = client {
            self.follow_xclient(context, resources, *client);
        }
        let accepts = message.filter(|message| message.is_accepted).map(|message| message.size as u64);
        let asked = Asked { stage, since: came, number, accepts };
        if delay.is_zero() {
            self.act(context, resources, asked, &reply, portion, next);
            return;
        }
        resources.note(|| Event::Delay(delay));
        let since = resources.clock.now();
        let delayed = Delayed { asked, reply, portion, next, requested: delay, since };
        self.phase = Phase::Delayed(Box::new(delayed));
        // The command may have come after this turn began, and a delay must not be shorter than configured.
        self.deadline = since.after(delay);
    }

    /// Queues the reply and applies `next`.
    fn act(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        asked: Asked,
        reply: &Reply,
        portion: Portion,
        next: Next,
    ) {
        self.answer_asked(resources, asked, reply, portion);
        self.renew(context, resources);
        match next {
            Next::Continue => {}
            Next::StartTls => self.await_tls(context, resources, false),
            Next::Close => self.begin_end(context, resources, Manner::Orderly),
            Next::Reset => self.begin_end(context, resources, Manner::Reset),
            Next::Hold => {
                self.phase = self.held(resources.now, asked, portion);
                self.deadline = resources.now.after(context.hold_limit);
            }
        }
    }

    /// Queues the reply to `asked`, or the portion of it that is to be sent.
    fn answer_asked(&self, resources: &mut Resources, asked: Asked, reply: &Reply, portion: Portion) {
        let octets = portion.of(reply);
        if !octets.is_empty() {
            resources.replies.extend_from_slice(octets);
            resources.note(|| Event::Response(reply.clone()));
            let end = self.queued + resources.replies.len() as u64;
            resources.outgoing.push(Outgoing { asked, end });
        }
    }

    /// Queues a reply to no command.
    fn announce(&self, resources: &mut Resources, reply: &Reply) {
        resources.replies.extend_from_slice(reply.wire());
        resources.note(|| Event::Response(reply.clone()));
    }

    /// Restarts the session timeout after input from the client: not while the server delays it, nor before the
    /// session.
    fn renew(&mut self, context: &Context, resources: &Resources) {
        if matches!(
            self.phase,
            Phase::Preface(_) | Phase::Securing(_) | Phase::Delayed(_) | Phase::Checking(_) | Phase::Held(..)
        ) {
            return;
        }
        let deadline = resources.now.after(context.settings().session_timeout);
        self.deadline = match (&self.phase, self.expects) {
            (Phase::Lingering { until }, _) if resources.stop == Stop::Forced => {
                resources.now.after(context.stop_linger).min(*until)
            }
            (Phase::Lingering { until }, _) => *until,
            (Phase::Open, Expect::Data | Expect::Chunk | Expect::NextChunk) if !self.has_unsent() => {
                deadline.min(self.data_deadline)
            }
            _ => deadline,
        };
    }

    /// Ends a turn: shows the record, writes the replies, and decides what comes next.
    fn settle(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.update_shown(context);
        if self.write(context, resources).is_err() {
            return Fate::Over;
        }
        if self.is_reset && matches!(self.phase, Phase::Delayed(_) | Phase::Checking(_) | Phase::Held(..)) {
            // Nobody can receive the delayed reply, even if the command and the reset arrived together.
            self.note_peer_closed(resources.now);
            return Fate::Over;
        }
        resources.pool.fit(&mut self.input);
        resources.pool.fit(&mut self.output);
        self.charge_memory(context);
        if self.has_unsent() {
            self.arm(resources);
            return if self.paced_until().is_some() { Fate::Waits } else { self.waiting_fate() };
        }
        let fate = match self.phase {
            Phase::Preface(ref preface) if preface.is_over(resources.stop) => Fate::Over,
            Phase::Preface(ref preface) if self.input_end.is_some() => {
                let preface = **preface;
                return self.end_before_session(context, resources, preface);
            }
            Phase::Preface(_) if self.readable => Fate::Again,
            Phase::Securing(ref securing) if securing.is_over(resources.stop) => self.end_by_stop(),
            Phase::Securing(ref securing) if self.stream.handshake() == Handshake::Done => {
                let securing = **securing;
                return self.begin_handshake(context, resources, securing);
            }
            Phase::Open if self.has_more_to_do(resources.now) => Fate::Again,
            Phase::Open if self.input_end.is_some() => self.end_with_input(context, resources),
            Phase::Closing(Manner::Orderly) => self.close_output(context, resources),
            Phase::Closing(Manner::Reset) => {
                // Fails only if the peer is already gone.
                let _ = self.stream.reset_at_end();
                Fate::Over
            }
            Phase::Held(..) if self.peer_closed => {
                self.note_peer_closed(resources.now);
                self.begin_end(context, resources, Manner::Orderly);
                self.renew(context, resources);
                return self.settle(context, resources);
            }
            Phase::Lingering { .. } if self.input_end.is_some() => Fate::Over,
            Phase::Lingering { .. } if self.readable => Fate::Again,
            Phase::Open if resources.stop.closes_idle() && self.is_idle() => {
                self.probe.end(Cause::Stopped);
                return self.send_away(context, resources);
            }
            Phase::Preface(_)
            | Phase::Securing(_)
            | Phase::Open
            | Phase::Delayed(_)
            | Phase::Checking(_)
            | Phase::Held(..)
            | Phase::Lingering { .. } => self.waiting_fate(),
        };
        if fate != Fate::Over {
            self.arm(resources);
        }
        fate
    }

    /// The turn ended early: another reply follows, or there is input. Buffered input counts only if it has a whole
    /// line: the session has searched the rest already.
    fn has_more_to_do(&self, now: Timestamp) -> bool {
        self.expects == Expect::Nothing
            || (self.readable && self.may_read_by(now))
            || self.input.as_ref().is_some_and(|input| memchr::memchr(b'\n', input.bytes()).is_some())
    }

    /// Ensures that the wheel has an entry at the deadline or earlier.
    #[inline]
    fn arm(&mut self, resources: &mut Resources) {
        let wake_at = self.paced_until().map_or(self.deadline, |at| at.min(self.deadline));
        if let Some((timer, at)) = self.timer {
            if at <= wake_at {
                return;
            }
            resources.wheel.cancel(timer);
        }
        self.timer = Some((resources.wheel.insert(wake_at, self.token), wake_at));
    }

    /// Calls the session with the environment for its rules.
    fn environ<R>(
        &mut self,
        context: &Context,
        now: Timestamp,
        ask: impl FnOnce(&mut Session, &mut Environment<'_>) -> R,
    ) -> R {
        let mut memory = context.memory();
        let state: Option<&mut dyn Memory> = Some(&mut memory);
        let (server, session) = (context.counters.tag(), self.origin.session_id);
        let (now, peer) = (now.since_start(), self.origin.peer());
        let inbox = self.origin.inbox.as_deref();
        ask(&mut self.session, &mut Environment { server, now, session, peer, inbox, state })
    }
}
