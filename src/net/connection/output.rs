//! The way out: replies to the socket, and what waits for room or for its pace.

use std::io;

use super::{Connection, Transport};
use crate::net::resources::Resources;
use crate::net::shard::Context;

impl<T: Transport> Connection<T> {
    /// Writes the replies of this turn; what the peer does not take waits.
    pub(super) fn write(&mut self, context: &Context, resources: &mut Resources) -> io::Result<()> {
        if resources.replies.is_empty() {
            // Replies of which nothing is sent may have finished a record.
            self.settle_records(context, resources);
            return Ok(());
        }
        let replies = std::mem::take(&mut resources.replies);
        // Before the write: a client may have read and answered before it returns.
        let at = resources.clock.now();
        let written = match self.output {
            None if self.is_dripping() => {
                self.begin_drip(resources.now);
                Ok(0)
            }
            None => self.write_some(&replies),
            Some(_) => Ok(0),
        };
        self.note_written(context, resources, at, *written.as_ref().unwrap_or(&0));
        if let Ok(count) = written {
            resources.pool.append(&mut self.output, &replies[count..]);
        }
        resources.replies = replies;
        resources.replies.clear();
        written?;
        self.renew(context, resources);
        if self.output.is_none() {
            self.measure_waiting(at, resources);
        }
        Ok(())
    }

    /// Writes what waits from earlier turns.
    pub(super) fn drain(&mut self, context: &Context, resources: &mut Resources) -> io::Result<()> {
        if let Some(mut buffer) = self.output.take() {
            let at = resources.clock.now();
            let count = match self.is_dripping() {
                true => self.drip(resources.now, buffer.bytes())?,
                false => self.write_some(buffer.bytes())?,
            };
            buffer.consume(count);
            self.output = Some(buffer);
            resources.pool.reclaim(&mut self.output);
            if count > 0 {
                self.note_drained(context, resources, at, count);
                self.renew(context, resources);
            }
            if self.output.is_none() {
                self.measure_waiting(at, resources);
            }
        }
        Ok(())
    }

    /// How much the socket took; 0 when it is full.
    pub(super) fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                result => return result,
            }
        }
    }
}
