//! Connections of the reactor: the addresses of the target are tried in turn.

use std::io;
use std::sync::atomic::Ordering;

use mio::Interest;
use mio::event::Event;

use super::Reactor;
use crate::account::accounting::Abort;
use crate::client::dialect::Encryption;
use crate::client::phase::Phase;
use crate::client::session::{Command, Session};
use crate::measure::metrics::End;
use crate::measure::tally::Miss;
use crate::reactor::dial::{Dialer, reason_of};
use crate::reactor::slot::Pending;
use crate::time::clock::Moment;

impl Reactor {
    /// The dialer of the target of a slot.
    fn dialer(&mut self, index: usize) -> &mut Dialer {
        &mut self.lanes[self.slots[index].lane].dialer
    }

    /// Connects a slot, which has a message.
    pub(super) fn connect(&mut self, index: usize, now: Moment) -> io::Result<()> {
        self.slots[index].tried = 0;
        let first = self.dialer(index).first();
        self.dial(index, first, now)?;
        self.redial(now)
    }

    /// Starts a connection of a slot to the address at `place`.
    fn dial(&mut self, index: usize, place: usize, now: Moment) -> io::Result<()> {
        let plan = &self.shared.plan;
        let slot = &mut self.slots[index];
        slot.open(Session::new(plan.dialect.clone()));
        slot.since = now;
        slot.address = place;
        slot.tried += 1;
        self.tally.sessions.dialed += 1;
        let address = self.lanes[slot.lane].dialer.index(place);
        self.tally.addresses[address].dialed += 1;
        slot.deadline = Some(now.after(plan.timeouts.of(Phase::Connect)));
        self.open_stream(index, place, now)
    }

    fn open_stream(&mut self, index: usize, place: usize, now: Moment) -> io::Result<()> {
        let mut stream = match self.dialer(index).dial(place) {
            Ok(stream) => stream,
            // No event tells when there is room.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.queued.push((index, self.slots[index].generation(), place));
                return Ok(());
            }
            Err(error) => {
                self.fail(index, reason_of(&error), now);
                return Ok(());
            }
        };
        let token = self.slots[index].token(index);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, interest)?;
        self.slots[index].stream = Some(stream);
        self.connecting += 1;
        self.open += 1;
        self.tally.sessions.most_open = self.tally.sessions.most_open.max(self.open as u64);
        Ok(())
    }

    /// Connects the slots again that wait for room in the queue of a Unix socket.
    pub(super) fn retry_queued(&mut self, now: Moment) -> io::Result<()> {
        for (index, generation, place) in std::mem::take(&mut self.queued) {
            if self.slots[index].is_queued(generation) {
                self.open_stream(index, place, now)?;
            }
        }
        Ok(())
    }

    pub(super) fn on_connect_event(&mut self, index: usize, event: &Event, now: Moment) {
        let Some(stream) = &self.slots[index].stream else {
            return;
        };
        if event.is_error() || event.is_write_closed() {
            let reason = match stream.take_error() {
                Ok(Some(error)) | Err(error) => reason_of(&error),
                Ok(None) => Abort::Closed,
            };
            return self.fail(index, reason, now);
        }
        self.connecting -= 1;
        let slot = &self.slots[index];
        let address = self.lanes[slot.lane].dialer.index(slot.address);
        self.tally.addresses[address].connected += 1;
        self.note_phase(index, Phase::Connect, End::Ok, now);
        let slot = &mut self.slots[index];
        slot.session.on_connected();
        slot.since = now;
        slot.deadline = Some(now.after(self.shared.plan.timeouts.of(Phase::Banner)));
        if let Some(clients) = &self.shared.plan.clients {
            self.output.clear();
            let nth = self.shared.next_client.fetch_add(1, Ordering::Relaxed);
            clients.header(
                self.shared.plan.part.seq(nth),
                self.lanes[slot.lane].dialer.inet(slot.address),
                &mut self.output,
            );
            slot.write_command(&self.output);
        }
        if self.slots[index].session.is_securing() {
            self.begin_handshake(index, now);
        }
    }

    /// Dials the next address for each message that moves on.
    pub(super) fn redial(&mut self, now: Moment) -> io::Result<()> {
        while let Some((index, place)) = self.redials.pop() {
            self.dial(index, place, now)?;
        }
        Ok(())
    }

    /// Counts that no session came about at the address of a slot; it failed in `phase`. The message moves on to the
    /// next address (RFC 5321 section 5.1) with the next [`redial`](Self::redial); returns `false` if there is none,
    /// or it would not help.
    pub(super) fn moves_on(&mut self, index: usize, phase: Phase, miss: Miss, now: Moment) -> bool {
        let is_implicit = self.shared.plan.dialect.encryption == Encryption::Implicit;
        if !(matches!(phase, Phase::Connect | Phase::Banner) || (phase == Phase::Tls && is_implicit)) {
            return false;
        }
        let (place, tried) = (self.slots[index].address, self.slots[index].tried);
        let dialer = &mut self.lanes[self.slots[index].lane].dialer;
        let address = &mut self.tally.addresses[dialer.index(place)];
        address.last_failure = Some(miss);
        address.ungreeted += u64::from(phase != Phase::Connect);
        let next = if miss.is_own() { None } else { dialer.next(place, tried) };
        let Some(next) = next else { return false };
        let end = if miss == Miss::TimedOut { End::CutOff } else { End::Failed };
        self.note_phase(index, phase, end, now);
        if self.slots[index].session.has_sent_quit() {
            // A server that refuses in its greeting waits for QUIT (RFC 5321 section 3.1).
            self.send(index, Command::Quit, now);
        }
        self.disconnect(index);
        self.redials.push((index, next));
        true
    }

    /// Closes the slot's connection, if there is one.
    pub(super) fn disconnect(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if let Some(mut stream) = slot.stream.take() {
            if let Some(tls) = stream.tls() {
                tls.end();
            }
            self.open -= 1;
            self.connecting -= usize::from(slot.session.phase() == Some(Phase::Connect));
        }
        slot.deadline = None;
        slot.pending = Pending::Nothing;
    }
}
