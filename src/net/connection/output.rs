//! The output of a connection: replies to the transport, and those that wait for room or for their pace.

use std::io;

use super::{Connection, Fate, Manner, Phase, Transport};
use crate::net::context::Context;
use crate::net::resources::Resources;

impl<T: Transport> Connection<T> {
    /// Writes the replies of this turn; the transport may take only some of them.
    pub(super) fn write(&mut self, context: &Context, resources: &mut Resources) -> io::Result<()> {
        if resources.replies.is_empty() {
            // A reply of which no octet is sent may have finished a record.
            self.settle_records(context, resources);
            return Ok(());
        }
        self.look_ahead(resources)?;
        let replies = std::mem::take(&mut resources.replies);
        // Taken before the write: a client may have read and answered before the call returns.
        let at = resources.clock.now();
        let written = match self.output {
            None if self.is_dripping() => {
                self.begin_drip(resources.now);
                Ok(0)
            }
            None if matches!(self.phase, Phase::Closing(Manner::Orderly)) => self.stream.write_last(&replies),
            None => self.stream.write(&replies),
            Some(_) => Ok(0),
        };
        self.note_peer_gone(&written);
        let count = *written.as_ref().unwrap_or(&0);
        self.queued += replies.len() as u64;
        resources.pool.append(&mut self.output, &replies[count..]);
        resources.replies = replies;
        resources.replies.clear();
        self.note_sent(context, resources, at);
        written?;
        self.renew(context, resources);
        self.measure_waiting(at, resources);
        Ok(())
    }

    /// Drives the transport, and writes replies left from earlier turns.
    #[inline]
    pub(super) fn drain(&mut self, context: &Context, resources: &mut Resources) -> io::Result<()> {
        match self.has_unsent() {
            false => self.drive(),
            true => self.drain_unsent(context, resources),
        }
    }

    /// Drives the transport. No event reports input that it has already taken off the socket.
    #[inline]
    fn drive(&mut self) -> io::Result<()> {
        let driven = self.stream.drive();
        self.note_peer_gone(&driven);
        self.readable |= driven?;
        Ok(())
    }

    /// Not inlined: mostly everything has left in the turn in which it was queued.
    #[cold]
    fn drain_unsent(&mut self, context: &Context, resources: &mut Resources) -> io::Result<()> {
        let (at, left) = (resources.clock.now(), self.left());
        self.drive()?;
        if let Some(mut buffer) = self.output.take() {
            let written = match self.is_dripping() {
                true => self.drip(resources.now, buffer.bytes()),
                false => self.stream.write(buffer.bytes()),
            };
            self.note_peer_gone(&written);
            buffer.consume(*written.as_ref().unwrap_or(&0));
            self.output = Some(buffer);
            resources.pool.reclaim(&mut self.output);
            written?;
        }
        if self.left() > left {
            self.note_sent(context, resources, at);
            self.renew(context, resources);
        }
        self.measure_waiting(at, resources);
        Ok(())
    }

    /// Notes a write that failed because the peer has closed or reset the connection, possibly before an event reports
    /// it.
    #[inline]
    fn note_peer_gone<R>(&mut self, written: &io::Result<R>) {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        if let Err(error) = written {
            self.is_reset |= matches!(error.kind(), BrokenPipe | ConnectionReset);
        }
    }

    /// Some octets of replies have not left this process.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        self.output.is_some() || self.stream.unsent() > 0
    }

    /// Octets of replies that have left this process, of all turns.
    #[inline]
    pub(super) fn left(&self) -> u64 {
        let waiting = self.output.as_ref().map_or(0, |output| output.bytes().len());
        let unsent = (waiting + self.stream.unsent()) as u64;
        debug_assert!(
            unsent <= self.queued,
            "{unsent} octets are unsent of {} that were queued",
            self.queued
        );
        self.queued - unsent
    }

    /// Waits for events and the timer, and for room if the transport wants some.
    pub(super) fn waiting_fate(&self) -> Fate {
        if self.stream.wants_room() { Fate::Blocked } else { Fate::Waits }
    }
}
