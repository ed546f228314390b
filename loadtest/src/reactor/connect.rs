//! How the reactor makes connections: the addresses of the target are tried in turn.

use std::io;

use mio::Interest;
use mio::event::Event;

use super::Reactor;
use crate::accounting::Abort;
use crate::client::Session;
use crate::clock::Moment;
use crate::dial::reason_of;
use crate::metrics::End;
use crate::phase::Phase;
use crate::slot::Pending;

/// Why an address could not be reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Miss {
    Failed(Abort),
    TimedOut,
}

impl Reactor {
    /// Connects a slot for the message that it holds.
    pub(super) fn connect(&mut self, index: usize, now: Moment) -> io::Result<()> {
        self.slots[index].tried = 0;
        self.dial(index, self.dialer.first(), now)
    }

    /// Connects a slot to the address at `place`, or to those after it.
    fn dial(&mut self, index: usize, place: usize, now: Moment) -> io::Result<()> {
        let plan = &self.shared.plan;
        let slot = &mut self.slots[index];
        slot.open(Session::new(plan.recipients, plan.pipelining));
        slot.since = now;
        slot.address = place;
        slot.tried += 1;
        self.tally.sessions.dialed += 1;
        self.tally.addresses[place].dialed += 1;
        let mut stream = match self.dialer.dial(place) {
            Ok(stream) => stream,
            Err(error) => return self.on_no_connection(index, Miss::Failed(reason_of(&error)), now),
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

    pub(super) fn on_connect_event(&mut self, index: usize, event: &Event, now: Moment) -> io::Result<()> {
        let Some(stream) = &self.slots[index].stream else {
            return Ok(());
        };
        if event.is_error() || event.is_write_closed() {
            let reason = match stream.take_error() {
                Ok(Some(error)) | Err(error) => reason_of(&error),
                Ok(None) => Abort::Closed,
            };
            return self.on_no_connection(index, Miss::Failed(reason), now);
        }
        self.connecting -= 1;
        self.tally.addresses[self.slots[index].address].connected += 1;
        self.note_phase(index, Phase::Connect, End::Ok, now);
        let slot = &mut self.slots[index];
        slot.session.on_connected();
        slot.since = now;
        slot.deadline = Some(now.after(self.shared.plan.timeouts.of(Phase::Banner)));
        Ok(())
    }

    /// The address that was dialed cannot be reached: the next one is tried for the same message
    /// (RFC 5321 section 5.1), or there is none.
    pub(super) fn on_no_connection(&mut self, index: usize, miss: Miss, now: Moment) -> io::Result<()> {
        let (place, tried) = (self.slots[index].address, self.slots[index].tried);
        let (end, text, is_own) = match miss {
            Miss::Failed(reason) => (End::Failed, reason.text(), reason.is_own()),
            Miss::TimedOut => (End::CutOff, "timed out", false),
        };
        self.tally.addresses[place].last_failure = Some(text);
        let next = if is_own { None } else { self.dialer.next(place, tried) };
        match (next, miss) {
            (Some(next), _) => {
                self.note_phase(index, Phase::Connect, end, now);
                self.disconnect(index);
                return self.dial(index, next, now);
            }
            (None, Miss::Failed(reason)) => self.fail(index, reason, now),
            (None, Miss::TimedOut) => self.time_out(index, now),
        }
        Ok(())
    }

    /// Drops the slot's connection, if there is one.
    pub(super) fn disconnect(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.stream.take().is_some() {
            self.open -= 1;
            self.connecting -= usize::from(slot.session.phase() == Some(Phase::Connect));
        }
        slot.deadline = None;
        slot.pending = Pending::Nothing;
    }
}
