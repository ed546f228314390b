//! Resources that the connections of a reactor share, each in its turn: the time, the wheel, buffers, figures and log
//! lines.

use std::sync::Arc;
use std::time::Duration;

use mio::Token;
use std::io;

use super::buffer::Pool;
use super::connection::{Origin, Outgoing};
use super::control::{Gathering, Mailbox};
use super::counters::{Arrival, Counters};
use super::listener::why_it_rests;
use super::passages::Announcer;
use super::verifier::Verifier;
use super::wheel::Wheel;
use crate::log::{Event, HeaderFault, HeaderHook, Notes};
use crate::records::Filed;
use crate::stats::Stats;
use crate::time::{Clock, Timestamp, wall_time};

/// Steps of handshakes in one turn of a reactor. One that answers a hello takes about 0.1 ms.
const HANDSHAKE_STEPS_PER_TURN: u32 = 8;

/// The stage of the server's stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// The server runs.
    #[default]
    None,
    /// Sessions continue, idle ones too; no connection is accepted.
    SparesIdle,
    /// Sessions end as soon as they are idle.
    ClosesIdle,
    /// The shutdown timeout is over.
    Forced,
}

impl Stop {
    pub(super) fn closes_idle(self) -> bool {
        self >= Self::ClosesIdle
    }
}

/// What a connection uses that belongs to its reactor.
pub(super) struct Resources {
    pub(super) clock: Clock,
    /// The start of this turn. Bytes read in a turn had arrived by then.
    pub(super) now: Timestamp,
    /// Delays that ended in this turn.
    pub(super) due: u64,
    /// When the turn of the present connection ends; `None`: unlimited.
    turn_until: Option<Timestamp>,
    pub(super) stop: Stop,
    /// Handshake steps left in this turn of the reactor.
    handshake_steps: u32,
    /// When the last turn ended.
    pub(super) turn_ended: Timestamp,
    pub(super) wheel: Wheel<Token>,
    pub(super) pool: Pool,
    /// The buffer for reads; empty only while a connection uses it.
    pub(super) scratch: Vec<u8>,
    /// Replies of the connection whose turn it is, until they are written.
    pub(super) replies: Vec<u8>,
    /// The end of each of these replies, and the request that it answers.
    pub(super) outgoing: Vec<Outgoing>,
    /// Records finished in this turn; their replies have not left yet.
    pub(super) filed: Vec<Filed>,
    /// Runs password checks.
    pub(super) verifier: Verifier,
    pub(super) gathering: Gathering,
    /// Announces sessions to listeners.
    pub(super) announcer: Announcer,
    /// `None` without a log.
    pub(super) notes: Option<Notes>,
}

impl Resources {
    /// Resources before the first turn; reads take up to `scratch` bytes at once.
    pub(super) fn new(
        clock: Clock,
        scratch: usize,
        mailbox: Arc<Mailbox>,
        verifier: Verifier,
        notes: Option<Notes>,
    ) -> Self {
        let now = clock.now();
        Self {
            now,
            due: 0,
            stop: Stop::None,
            handshake_steps: 0,
            turn_until: None,
            turn_ended: now,
            clock,
            wheel: Wheel::new(),
            pool: Pool::default(),
            scratch: vec![0; scratch],
            replies: Vec::new(),
            outgoing: Vec::new(),
            filed: Vec::new(),
            verifier,
            gathering: Gathering::new(mailbox),
            announcer: Announcer::default(),
            notes,
        }
    }

    pub(super) fn begin_turn(&mut self) {
        self.now = self.clock.now();
        self.handshake_steps = HANDSHAKE_STEPS_PER_TURN;
    }

    /// Whether this turn has time for another handshake step. The others wait for the next turn; delays that have ended
    /// come first.
    pub(super) fn take_handshake_step(&mut self) -> bool {
        let steps = self.handshake_steps.checked_sub(1);
        self.handshake_steps = steps.unwrap_or(0);
        steps.is_some()
    }

    /// Begins the turn of a connection, limited to `time`; `None`: unlimited.
    pub(super) fn limit_turn(&mut self, time: Option<Duration>) {
        self.turn_until = time.map(|time| self.clock.now().after(time));
    }

    /// The time of the present connection's turn is up.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn_until.is_some_and(|until| self.clock.now() >= until)
    }

    /// A connection's turn leaves nothing here.
    pub(super) fn has_no_leftovers(&self) -> bool {
        self.replies.is_empty() && self.outgoing.is_empty() && self.filed.is_empty()
    }

    /// Ends a turn, before the reactor waits for events.
    pub(super) fn end_turn(&mut self) {
        self.turn_ended = self.clock.now();
        self.gathering.stats.delays.at_once.see(std::mem::take(&mut self.due));
        self.gathering.stats.health.turns.add(self.turn_ended.since(self.now));
    }

    /// Counts a connection. Returns its session's number.
    pub(super) fn note_arrival(&mut self, counters: &Counters) -> u64 {
        let Arrival { session_id, after } = counters.note_arrival(self.now);
        let Stats { sessions, timeline, .. } = &mut *self.gathering.stats;
        sessions.opened += 1;
        if let Some(after) = after {
            sessions.inter_arrival.add(after);
        }
        timeline.at(self.now.since_start()).opened += 1;
        session_id
    }

    /// Counts a session whose greeting is positive.
    pub(super) fn note_welcome(&mut self, counters: &Counters) {
        self.gathering.stats.sessions.peak.see(counters.note_welcome());
    }

    /// A listener pauses after this error, which is counted each time and logged once.
    pub(super) fn note_rest(&mut self, error: &io::Error) {
        self.gathering.stats.health.accept_rests += 1;
        if let Some(notes) = &mut self.notes {
            notes.note_rest(wall_time(), || why_it_rests(error));
        }
    }

    /// A connection is closed because of a bad or missing header: counted each time, logged once per fault.
    pub(super) fn note_header(
        &mut self,
        hook: Option<&HeaderHook>,
        fault: HeaderFault,
        origin: &Origin,
        why: impl Fn() -> String,
    ) {
        let figures = &mut self.gathering.stats.proxy;
        let (count, name) = match fault {
            HeaderFault::Malformed => (&mut figures.malformed, "malformed"),
            HeaderFault::Late => (&mut figures.late, "late"),
            HeaderFault::Untrusted => (&mut figures.untrusted, "untrusted"),
        };
        *count += 1;
        let text = || {
            let (why, peer) = (why(), &origin.peer_addr);
            format!(
                "PROXY header refused, connection from {peer} closed: {why}; others are counted as proxy.{name}"
            )
        };
        if let Some(hook) = hook {
            hook.note(fault, text);
        }
        if let Some(notes) = &mut self.notes {
            notes.note_header(wall_time(), fault, text);
        }
    }

    /// Logs an event, if there is a log.
    pub(super) fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(notes) = &mut self.notes {
            notes.note(wall_time(), event());
        }
    }
}
