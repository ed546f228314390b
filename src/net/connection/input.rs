//! The input of a connection: from the transport to the session, within the bounds of one turn.

use std::io;

use super::{
    BYTES_PER_TURN, COMMANDS, Connection, InputEnd, MOST_REPLIES_PER_TURN, Phase, REPLIES_PER_TURN, Transport,
};
use crate::log::Event;
use crate::net::context::Context;
use crate::net::resources::Resources;
use crate::net::stream::Input;
use crate::smtp::{Expect, Progress, Stage};

impl<T: Transport> Connection<T> {
    /// Continues a step that has more replies, and uses buffered input.
    #[inline]
    pub(super) fn take_buffered(&mut self, context: &Context, resources: &mut Resources) {
        if let Some(mut buffer) = self.input.take() {
            let taken = self.take(context, resources, buffer.bytes());
            buffer.consume(taken);
            self.input = Some(buffer);
            resources.pool.reclaim(&mut self.input);
        } else if self.expects == Expect::Nothing {
            self.take(context, resources, &[]);
        }
    }

    /// Reads until nothing is left, a reply is delayed, or the turn is over.
    pub(super) fn read_on(&mut self, context: &Context, resources: &mut Resources) -> io::Result<()> {
        let mut budget = BYTES_PER_TURN;
        while self.readable && budget > 0 && self.may_read(resources) {
            let mut scratch = std::mem::take(&mut resources.scratch);
            let room = self.room_to_read().min(scratch.len());
            let result = self.receive(&mut scratch[..room]);
            if let Ok(count @ 1..) = result {
                budget = budget.saturating_sub(count);
                self.note_read(resources.now, count);
                self.take_read(context, resources, &scratch[..count]);
            }
            resources.scratch = scratch;
            if let Err(error) = result {
                return self.fail(resources, error);
            }
        }
        Ok(())
    }

    /// Before replies are written: reads once if it is unknown whether there is more input. Input that has arrived by
    /// now was sent without waiting for the replies; later input may answer them.
    #[inline]
    pub(super) fn look_ahead(&mut self, resources: &mut Resources) -> io::Result<()> {
        let is_unknown = self.readable && self.input.is_none() && matches!(self.phase, Phase::Open);
        match is_unknown && self.may_read_by(resources.now) {
            true => self.read_ahead(resources),
            false => Ok(()),
        }
    }

    #[cold]
    fn read_ahead(&mut self, resources: &mut Resources) -> io::Result<()> {
        let mut scratch = std::mem::take(&mut resources.scratch);
        let room = self.room_to_read().min(COMMANDS).min(scratch.len());
        let result = self.receive(&mut scratch[..room]);
        if let Ok(count @ 1..) = result {
            self.note_read(resources.now, count);
            resources.pool.append(&mut self.input, &scratch[..count]);
        }
        resources.scratch = scratch;
        result.map(|_| ()).or_else(|error| self.fail(resources, error))
    }

    /// Reads once, and notes whether more may follow, or the peer has ended its output. Returns the number of octets;
    /// 0: none now, or none ever.
    #[inline]
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Unless more may follow, nothing is read before the next event.
        self.readable = false;
        match self.stream.read(buffer) {
            Ok(Input::Octets { count, may_have_more }) => {
                debug_assert!((1..=buffer.len()).contains(&count), "a read gave {count} octets");
                self.readable = may_have_more;
                if !may_have_more && self.peer_closed {
                    let is_orderly = self.stream.is_end_orderly();
                    self.input_end = Some(if is_orderly { InputEnd::Orderly } else { InputEnd::Truncated });
                }
                return Ok(count);
            }
            Ok(Input::Nothing) => {}
            Ok(Input::End) => self.input_end = Some(InputEnd::Orderly),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.input_end = Some(InputEnd::Truncated);
            }
            Err(error) => return Err(error),
        }
        Ok(0)
    }

    fn may_read(&self, resources: &Resources) -> bool {
        match self.phase {
            Phase::Open => {
                has_room_for_replies(resources)
                    && !resources.is_turn_over()
                    && self.may_read_by(resources.now)
            }
            Phase::Preface(ref preface) => !preface.is_refused(),
            Phase::Lingering { .. } => true,
            Phase::Securing(_)
            | Phase::Delayed(_)
            | Phase::Checking(_)
            | Phase::Held(..)
            | Phase::Closing(_) => false,
        }
    }

    fn fail(&mut self, resources: &mut Resources, error: io::Error) -> io::Result<()> {
        if error.kind() == io::ErrorKind::ConnectionReset {
            self.probe.note_reset();
            self.is_reset = true;
        }
        self.note_data_lines(resources);
        resources.note(|| Event::ConnectionFailed(format!("read {}: {error}", self.origin.route())));
        Err(error)
    }

    fn take_read(&mut self, context: &Context, resources: &mut Resources, bytes: &[u8]) {
        if let Some(mut buffer) = self.input.take() {
            buffer.append(bytes);
            self.input = Some(buffer);
            self.take_buffered(context, resources);
        } else {
            let taken = self.take(context, resources, bytes);
            resources.pool.append(&mut self.input, &bytes[taken..]);
        }
    }

    /// Feeds bytes to the session and follows its steps. Returns how many were used.
    fn take(&mut self, context: &Context, resources: &mut Resources, bytes: &[u8]) -> usize {
        if matches!(self.phase, Phase::Lingering { .. }) {
            self.renew(context, resources);
            return bytes.len();
        }
        let mut taken = 0;
        if let Phase::Preface(preface) = &self.phase {
            let preface = **preface;
            taken = self.take_header(context, resources, preface, bytes);
        } else if self.is_header_late && self.ends_by_late_header(context, resources, bytes) {
            return bytes.len();
        }
        while (taken < bytes.len() || self.expects == Expect::Nothing)
            && matches!(self.phase, Phase::Open)
            && has_room_for_replies(resources)
        {
            self.admit_memory(context);
            let progress = self.environ(context, resources.now, |session, environment| {
                session.advance(context.policy(), environment, &bytes[taken..])
            });
            let used = &bytes[taken..taken + progress.consumed];
            taken += progress.consumed;
            if resources.notes.is_some() {
                self.note_input(resources, &progress, used);
            }
            self.note_content(context, resources, &progress);
            let Some(step) = progress.step else {
                if let Some(check) = progress.check {
                    self.await_check(context, resources, check);
                }
                break;
            };
            let stage = step.stage;
            self.follow(context, resources, step);
            if stage == Stage::Rcpt {
                // One turn may have many steps.
                self.charge_memory(context);
            }
            if resources.is_turn_over() {
                break;
            }
        }
        self.charge_memory(context);
        taken
    }

    /// Measures message content in the input.
    #[inline]
    fn note_content(&mut self, context: &Context, resources: &mut Resources, progress: &Progress) {
        let expected = std::mem::replace(&mut self.expects, progress.expects);
        let is_chunk = matches!(
            (expected, progress.expects),
            (Expect::Chunk, _) | (_, Expect::Chunk) | (Expect::Command, Expect::NextChunk)
        );
        if !is_chunk && expected != Expect::Data {
            return;
        }
        if is_chunk && expected == Expect::Command {
            self.data_deadline = resources.now.after(context.settings().data_timeout);
        }
        self.renew(context, resources);
        if progress.consumed > 0 {
            self.measure_content(resources, is_chunk);
        }
    }

    /// Logs the input: a command line, or at the end of a message its number of lines.
    fn note_input(&mut self, resources: &mut Resources, progress: &Progress, used: &[u8]) {
        if let Some(line) = progress.line {
            resources.note(|| Event::Request(line.within(used).into_owned().into()));
        }
        if self.expects == Expect::Data {
            self.data_lines += memchr::memchr_iter(b'\n', used).count() as u64;
            if progress.step.is_some() {
                self.note_data_lines(resources);
            }
        }
    }

    /// Logs how many lines of message data were received.
    pub(super) fn note_data_lines(&mut self, resources: &mut Resources) {
        let lines = std::mem::take(&mut self.data_lines);
        if lines > 0 {
            resources.note(|| Event::DataLines(lines));
        }
    }
}

fn has_room_for_replies(resources: &Resources) -> bool {
    resources.replies.len() < REPLIES_PER_TURN && resources.outgoing.len() < MOST_REPLIES_PER_TURN
}
