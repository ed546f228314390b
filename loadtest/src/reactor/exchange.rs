//! Socket events of the reactor: reads replies, writes commands.

use std::io::{self, Read as _};

use mio::event::Event;

use super::{BACKOFF_FIRST, BACKOFF_LONGEST, QUIT_TIMEOUT, Reactor};
use crate::account::accounting::{Abort, Outcome};
use crate::client::dialect::Encryption;
use crate::client::phase::Phase;
use crate::client::reply::ReplyError;
use crate::client::session::{Answer, Command, Cover, Need, Next, Reaction, Verdict, Violation};
use crate::load::plan::Load;
use crate::measure::metrics::End;
use crate::measure::tally::Miss;
use crate::reactor::dial::reason_of;
use crate::reactor::slot::{Pending, Slot};
use crate::reactor::stream::Stream;
use crate::time::clock::Moment;

impl Reactor {
    pub(super) fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let index = Slot::index_of(event.token());
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        if slot.stream.is_none() || slot.token(index) != event.token() {
            return Ok(());
        }
        if self.slots[index].session.phase() == Some(Phase::Connect) {
            let now = self.read_clock();
            self.on_connect_event(index, event, now);
        }
        self.slots[index].may_write |= event.is_writable();
        if self.slots[index].session.is_securing() {
            self.queue_handshake(index);
            return self.dispatch(self.latest);
        }
        if event.is_readable() && self.slots[index].stream.is_some() {
            self.on_readable(index, event.is_read_closed())?;
        }
        self.go_on_writing(index)?;
        self.dispatch(self.latest)
    }

    /// Writes what is pending as far as the socket accepts it. Before each further write it reads what the server has
    /// sent, because that came first. After a write error it reads to the end: a reply takes precedence over the
    /// error.
    pub(super) fn go_on_writing(&mut self, index: usize) -> io::Result<()> {
        loop {
            let slot = &self.slots[index];
            if slot.write_error.is_some() {
                return self.on_readable(index, true);
            }
            let is_silent = self.is_silent && slot.flight.is_some();
            if !slot.may_write || is_silent || (slot.has_sent() && !slot.session.may_send_chunk()) {
                return Ok(());
            }
            self.on_readable(index, false)?;
            if self.slots[index].stream.is_none() {
                return Ok(());
            }
            let now = self.read_clock();
            self.write_on(index, now);
            if self.slots[index].may_write {
                self.extend_deadline(index, now);
            }
        }
    }

    /// Writes what is pending, or the next chunk.
    fn write_on(&mut self, index: usize, now: Moment) {
        let slot = &mut self.slots[index];
        let is_chunk = slot.session.may_send_chunk() || matches!(slot.pending, Pending::Chunk { .. });
        let is_behind_a_group = is_chunk && slot.session.is_grouped();
        if !slot.has_sent() {
            slot.write_pending(&mut self.payload);
        } else if slot.session.may_send_chunk() {
            self.output.clear();
            slot.begin_chunk(&mut self.payload, &mut self.output);
        }
        if slot.has_sent() {
            // The replies to the commands of a group are measured from its first write.
            *(if is_behind_a_group { &mut slot.chunk_left } else { &mut slot.since }) = now;
        }
    }

    pub(super) fn on_readable(&mut self, index: usize, closed: bool) -> io::Result<()> {
        let mut input = std::mem::take(&mut self.input);
        self.slots[index].begin_read();
        let result = self.read_all(index, closed, &mut input);
        self.input = input;
        result
    }

    /// Reads until a short read. If the server has closed its side or a write failed, reads to the end: no other
    /// event will follow.
    fn read_all(&mut self, index: usize, closed: bool, input: &mut [u8]) -> io::Result<()> {
        while let Some(stream) = &mut self.slots[index].stream {
            let reason = match stream.read(input) {
                Ok(0) => Abort::Closed,
                Ok(count) => {
                    self.on_bytes(index, &input[..count])?;
                    let slot = &mut self.slots[index];
                    let may_be_all = count < input.len() && !closed && slot.write_error.is_none();
                    if may_be_all && !slot.stream.as_ref().is_some_and(Stream::has_ended) {
                        return Ok(());
                    }
                    // What arrives from a server that has closed its side was sent before everything written here.
                    if !closed {
                        slot.begin_read();
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.slots[index].write_error {
                        None => return Ok(()),
                        Some(reason) => reason,
                    }
                }
                Err(error) => reason_of(&error),
            };
            let now = self.read_clock();
            self.fail(index, self.slots[index].write_error.unwrap_or(reason), now);
        }
        Ok(())
    }

    fn on_bytes(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        let now = self.read_clock();
        let mut parser = std::mem::take(&mut self.slots[index].parser);
        let result = parser.feed(bytes, |line| -> Result<bool, Broken> {
            let unsent = self.slots[index].unsent();
            if let Some(reaction) = self.slots[index].session.on_line(line, unsent)? {
                if let Some(Answer { phase, reply, positive: false, .. }) = reaction.answer {
                    self.note_refusal(index, phase, reply.code, line.text);
                }
                self.apply(index, reaction, now)?;
            }
            Ok(self.slots[index].stream.is_some())
        });
        // The reply to STARTTLS is the last octets in the clear.
        let result =
            if result.is_ok() && self.slots[index].session.is_securing() && !parser.is_between_replies() {
                Err(Broken::Peer(Abort::EarlyReply))
            } else {
                result
            };
        self.slots[index].parser = parser;
        match result {
            Ok(()) => Ok(()),
            Err(Broken::Peer(reason)) => {
                self.fail(index, reason, now);
                Ok(())
            }
            Err(Broken::System(error)) => Err(error),
        }
    }

    fn apply(&mut self, index: usize, reaction: Reaction, now: Moment) -> io::Result<()> {
        if let Some(Answer { phase, reply, positive: false, .. }) = reaction.answer
            && self.moves_on(index, phase, Miss::Refused(reply.code), now)
        {
            return Ok(());
        }
        if let Some(answer) = reaction.answer {
            if self.is_after_stall
                && let Some(flight) = &mut self.slots[index].flight
            {
                self.tally.punctuality.judge_unread(flight);
            }
            let end = if answer.positive { End::Ok } else { End::Failed };
            self.note_phase(index, answer.phase, end, now);
            if answer.is_of_recipient
                && let Some(flight) = self.slots[index].flight
            {
                self.tally.account(flight.measured).recipient(answer.positive, answer.reply);
            }
        }
        if let Some(verdict) = reaction.verdict {
            let outcome = match verdict {
                Verdict::Accepted => Outcome::Accepted,
                Verdict::Refused { phase, reply } => Outcome::Refused { phase, reply },
                Verdict::NotOffered(need) => {
                    let reason = match need {
                        Need::Starttls => Abort::NoStarttls,
                        Need::Smtputf8 => Abort::NoSmtputf8,
                        Need::Mechanism => Abort::NoMechanism,
                    };
                    let phase = if need == Need::Starttls { Phase::Tls } else { Phase::Ehlo };
                    Outcome::Aborted { phase, reason }
                }
            };
            self.settle(index, outcome, now);
        }
        // After a verdict on a message that was not written completely, the session is out of step and must end.
        let torn = reaction.verdict.is_some() && !self.slots[index].has_sent();
        match reaction.next {
            _ if torn => self.close(index, now),
            Next::Wait => self.extend_deadline(index, now),
            Next::Send(command) => self.send(index, command, now),
            Next::Secure => self.begin_handshake(index, now),
            Next::Ready => self.on_ready(index, now)?,
            Next::Close => self.close(index, now),
            Next::Ended => {
                let was_idle = reaction.verdict.is_none() && !self.slots[index].session.has_sent_quit();
                self.tally.sessions.ended_idle += u64::from(was_idle);
                self.close(index, now);
            }
        }
        Ok(())
    }

    /// Notes what a refusal is about, for the reason of a failure.
    #[cold]
    fn note_refusal(&mut self, index: usize, phase: Phase, code: u16, text: &[u8]) {
        self.tally.texts.note(phase, code, text);
        if phase == Phase::Auth
            && let Some(mechanism) = self.slots[index].session.mechanism()
        {
            self.tally.sessions.auth_refused[mechanism.index()] += 1;
        }
    }

    fn on_ready(&mut self, index: usize, now: Moment) -> io::Result<()> {
        let limit = self.shared.plan.messages_per_session;
        let slot = &mut self.slots[index];
        if slot.begun == 0 {
            self.tally.sessions.established += 1;
            if let Some(counts) = self.tally.targets.get_mut(self.lanes[slot.lane].target) {
                counts.established += 1;
            }
            let (dialect, offer) = (&self.shared.plan.dialect, slot.session.offer());
            let without = |is_wanted: bool, is_offered: bool| u64::from(is_wanted && !is_offered);
            self.tally.sessions.without_pipelining += without(dialect.pipelining, offer.pipelining);
            self.tally.sessions.without_chunking += without(dialect.chunk.is_some(), offer.chunking);
            self.tally.sessions.without_dsn += without(dialect.dsn, offer.dsn);
            if dialect.encryption == Encryption::Opportunistic {
                self.tally.sessions.without_starttls += u64::from(slot.session.cover() == Cover::None);
                self.tally.sessions.starttls_refused += u64::from(slot.session.cover() == Cover::Refused);
            }
            self.tally.sessions.without_ehlo += u64::from(slot.session.is_without_ehlo());
            if let Some(mechanism) = slot.session.mechanism() {
                self.tally.sessions.authenticated[mechanism.index()] += 1;
            }
            slot.failures = 0;
        }
        if slot.flight.is_some() {
            return self.begin(index, now);
        }
        if limit.is_some_and(|limit| slot.begun >= limit.get()) {
            return self.quit(index, now);
        }
        slot.deadline = None;
        let lane = slot.lane;
        self.lanes[lane].ready.push(index);
        Ok(())
    }

    pub(super) fn begin(&mut self, index: usize, now: Moment) -> io::Result<()> {
        self.slots[index].begun += 1;
        let slot = &mut self.slots[index];
        let seq = slot.flight.map_or(0, |flight| flight.seq);
        let command = slot.session.begin(|| self.payload.size(seq));
        self.send(index, command, now);
        Ok(())
    }

    pub(super) fn quit(&mut self, index: usize, now: Moment) -> io::Result<()> {
        let command = self.slots[index].session.quit();
        self.send(index, command, now);
        Ok(())
    }

    pub(super) fn send(&mut self, index: usize, command: Command, now: Moment) {
        let slot = &mut self.slots[index];
        // The message stays in flight: the run is over as soon as all that has arrived is read.
        if self.is_silent && slot.flight.is_some() {
            return;
        }
        // The exchange of AUTH is measured as a whole.
        if command != Command::Response {
            slot.since = now;
        }
        slot.is_early = true;
        self.output.clear();
        match command {
            Command::Body => slot.write_body(&mut self.payload, 0),
            Command::Auth | Command::Response => {
                let line = slot.session.take_line();
                slot.write_command(&line);
            }
            _ => {
                let seq = slot.flight.map_or(0, |flight| flight.seq);
                self.renderer.render(command, seq, slot.session.offer(), &self.payload, &mut self.output);
                if matches!(command, Command::Chunk | Command::ChunkGroup) {
                    slot.begin_chunk(&mut self.payload, &mut self.output);
                } else {
                    slot.write_command(&self.output);
                }
            }
        }
        self.extend_deadline(index, now);
    }

    pub(super) fn extend_deadline(&mut self, index: usize, now: Moment) {
        let slot = &mut self.slots[index];
        let wait = match slot.session.phase() {
            Some(phase) => self.shared.plan.timeouts.of(phase),
            None => QUIT_TIMEOUT,
        };
        slot.deadline = Some(now.after(wait));
    }

    pub(super) fn note_phase(&mut self, index: usize, phase: Phase, end: End, now: Moment) {
        let slot = &self.slots[index];
        if slot.flight.is_some_and(|flight| flight.measured) {
            let since = if phase == Phase::Dot { slot.since.max(slot.chunk_left) } else { slot.since };
            self.tally.metrics.phase(phase, end, now.since(since));
        }
    }

    /// Counts the message of a slot that is in flight at the end of the run.
    pub(super) fn leave_in_flight(&mut self, index: usize, now: Moment) {
        let has_left = self.slots[index].has_sent_message();
        if let Some(phase) = self.slots[index].session.phase() {
            self.note_phase(index, phase, End::CutOff, now);
            if let Some(flight) = self.slots[index].flight.take() {
                self.tally.leave_in_flight(flight, phase, has_left, now);
            }
        }
    }

    fn settle(&mut self, index: usize, outcome: Outcome, now: Moment) {
        let has_left = self.slots[index].has_sent_message();
        if let Some(flight) = self.slots[index].flight.take() {
            self.in_flight -= 1;
            self.tally.settle(flight, outcome, has_left, now);
        }
    }

    /// The connection was lost, or not made.
    pub(super) fn fail(&mut self, index: usize, reason: Abort, now: Moment) {
        self.note_handshake(index);
        if let Some(phase) = self.slots[index].session.phase() {
            if self.moves_on(index, phase, Miss::Failed(reason), now) {
                return;
            }
            self.note_phase(index, phase, End::Failed, now);
            self.settle(index, Outcome::Aborted { phase, reason }, now);
        } else if matches!(reason, Abort::Protocol | Abort::EarlyReply) {
            self.tally.sessions.protocol_errors += 1;
        } else if !self.slots[index].session.has_sent_quit() {
            self.tally.sessions.ended_idle += 1;
        }
        self.close(index, now);
    }

    pub(super) fn time_out(&mut self, index: usize, now: Moment) {
        self.note_handshake(index);
        if let Some(phase) = self.slots[index].session.phase() {
            if self.moves_on(index, phase, Miss::TimedOut, now) {
                return;
            }
            self.note_phase(index, phase, End::CutOff, now);
            self.settle(index, Outcome::TimedOut { phase }, now);
        }
        self.close(index, now);
    }

    /// Closes the slot's connection in any state, and frees the slot.
    fn close(&mut self, index: usize, now: Moment) {
        let lost_early = !self.slots[index].session.is_established();
        self.disconnect(index);
        let slot = &mut self.slots[index];
        if slot.begun > 0 && slot.flight.is_none() && !slot.session.has_sent_quit() {
            self.lanes[slot.lane].ready.retain(|ready| *ready != index);
        }
        let rests = lost_early && slot.begun == 0 && matches!(self.shared.plan.load, Load::Closed);
        if rests {
            let pause = BACKOFF_FIRST.saturating_mul(1 << slot.failures.min(16)).min(BACKOFF_LONGEST);
            slot.failures += 1;
            self.resting.push((now.after(pause), index));
        } else {
            self.lanes[slot.lane].cold.push(index);
        }
    }
}

/// Why replies are no longer read.
enum Broken {
    /// The server violated the protocol.
    Peer(Abort),
    System(io::Error),
}

impl From<ReplyError> for Broken {
    fn from(_: ReplyError) -> Broken {
        Broken::Peer(Abort::Protocol)
    }
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Broken {
        Broken::Peer(match violation {
            Violation::OutOfOrder => Abort::Protocol,
            Violation::Early => Abort::EarlyReply,
        })
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::System(error)
    }
}
