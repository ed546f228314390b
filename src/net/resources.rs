//! What all connections of a reactor use in turn: the time, the wheel, buffers, and where figures and log lines go.

use std::sync::Arc;
use std::time::Duration;

use mio::Token;
use std::io;

use super::buffer::Pool;
use super::connection::Outgoing;
use super::control::{Gathering, Mailbox};
use super::counters::{Arrival, Counters};
use super::listener::why_it_rests;
use super::wheel::Wheel;
use crate::log::{Event, Notes};
use crate::records::Filed;
use crate::stats::Stats;
use crate::time::{Clock, Timestamp, wall_time};

/// How far a stop of the server has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// The server serves.
    #[default]
    None,
    /// Sessions go on; there are no new ones.
    SparesIdle,
    /// Sessions go on as long as something is under way.
    ClosesIdle,
    /// The time is up.
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
    /// When this turn began. What is read in a turn had arrived by then.
    pub(super) now: Timestamp,
    /// Delays that were over in this turn.
    pub(super) due: u64,
    /// When the turn of the present connection is over; `None` where that does not matter.
    turn_until: Option<Timestamp>,
    pub(super) stop: Stop,
    /// When the last turn ended.
    pub(super) rested: Timestamp,
    pub(super) wheel: Wheel<Token>,
    pub(super) pool: Pool,
    /// What `read` fills; empty only while a connection works on it.
    pub(super) scratch: Vec<u8>,
    /// Replies of the connection whose turn it is, until they are written.
    pub(super) replies: Vec<u8>,
    /// Each of them, with its end among them.
    pub(super) outgoing: Vec<Outgoing>,
    /// Records that were finished in this turn, until the replies in them have left.
    pub(super) filed: Vec<Filed>,
    pub(super) gathering: Gathering,
    /// With logging off there are none.
    pub(super) notes: Option<Notes>,
}

impl Resources {
    /// Before the first turn, with room to read so many bytes at once.
    pub(super) fn new(clock: Clock, scratch: usize, mailbox: Arc<Mailbox>, notes: Option<Notes>) -> Self {
        let now = clock.now();
        Self {
            now,
            due: 0,
            stop: Stop::None,
            turn_until: None,
            rested: now,
            clock,
            wheel: Wheel::new(),
            pool: Pool::default(),
            scratch: vec![0; scratch],
            replies: Vec::new(),
            outgoing: Vec::new(),
            filed: Vec::new(),
            gathering: Gathering::new(mailbox),
            notes,
        }
    }

    /// Another turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.now = self.clock.now();
    }

    /// The turn of a connection begins, and is over after so long; `None`: whatever it takes.
    pub(super) fn limit_turn(&mut self, time: Option<Duration>) {
        self.turn_until = time.map(|time| self.clock.now().after(time));
    }

    /// The connection whose turn it is has had its time.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn_until.is_some_and(|until| self.clock.now() >= until)
    }

    /// No connection has left anything for the next one.
    pub(super) fn has_no_leftovers(&self) -> bool {
        self.replies.is_empty() && self.outgoing.is_empty() && self.filed.is_empty()
    }

    /// The turn is over: the reactor waits again.
    pub(super) fn end_turn(&mut self) {
        self.rested = self.clock.now();
        self.gathering.stats.delays.at_once.see(std::mem::take(&mut self.due));
        self.gathering.stats.health.turns.add(self.rested.since(self.now));
    }

    /// A client has connected. Returns its session's number.
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

    /// A client is welcomed: its session is served.
    pub(super) fn note_welcome(&mut self, counters: &Counters) {
        self.gathering.stats.sessions.peak.see(counters.note_welcome());
    }

    /// A listener rests after this error: counted each time, and logged once.
    pub(super) fn note_rest(&mut self, error: &io::Error) {
        self.gathering.stats.health.accept_rests += 1;
        if let Some(notes) = &mut self.notes {
            notes.note_rest(wall_time(), || why_it_rests(error));
        }
    }

    /// Notes something for the log, if there is one.
    pub(super) fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(notes) = &mut self.notes {
            notes.note(wall_time(), event());
        }
    }
}
