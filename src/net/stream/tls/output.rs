//! The output: records of replies, and the end.

use std::io;

use rustls::unbuffered::EncryptError;

use super::{Layer, OVERHEAD, RECORD, Room, Stage, Traffic};
use crate::net::stream::Transport;

impl Layer {
    pub(super) fn write(
        &mut self,
        socket: &mut impl Transport,
        octets: &[u8],
        is_last: bool,
    ) -> io::Result<usize> {
        // The end of the handshake leaves with the first record, unless the socket had no room for it.
        if self.pending > 0 || socket.wants_room() {
            self.flush(socket)?;
            if !self.outgoing.is_empty() {
                return Ok(0);
            }
        }
        let mut taken = 0;
        while taken < octets.len() {
            let rest = &octets[taken..];
            let record = &rest[..rest.len().min(RECORD)];
            self.seal(record.len() + OVERHEAD, |traffic, sealed| traffic.encrypt(record, sealed))?;
            self.pending = record.len();
            taken += record.len();
            if is_last && taken == octets.len() {
                self.close()?;
            }
            if let Err(error) = self.flush(socket) {
                // Octets that this call has taken are the caller's again.
                self.pending = 0;
                return Err(error);
            }
            if !self.outgoing.is_empty() {
                break;
            }
        }
        Ok(taken)
    }

    /// Sends close_notify; after a failed handshake, its alert if any.
    pub(super) fn finish(&mut self, socket: &mut impl Transport) -> io::Result<bool> {
        self.flush(socket)?;
        let is_open = self.session.is_some() && matches!(self.stage, Stage::Connected(_));
        if is_open && !self.has_closed {
            self.close()?;
            self.flush(socket)?;
        }
        self.has_closed = true;
        Ok(self.outgoing.is_empty())
    }

    fn close(&mut self) -> io::Result<()> {
        let front = self.outgoing.len();
        self.seal(OVERHEAD, close_notify)?;
        self.closing = self.outgoing.len() - front;
        self.has_closed = true;
        Ok(())
    }

    /// Writes as much as the socket takes.
    pub(super) fn flush(&mut self, socket: &mut impl Transport) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let count = socket.write(&self.outgoing)?;
            if count == 0 {
                return Ok(());
            }
            if count == self.outgoing.len() {
                (self.outgoing, self.pending) = (Vec::new(), 0);
            } else {
                self.outgoing.drain(..count);
                if self.outgoing.len() <= self.closing {
                    self.pending = 0;
                }
            }
        }
        Ok(())
    }

    /// Encrypts with `write` into a vector of this size, and truncates it to the used part.
    fn seal(
        &mut self,
        size: usize,
        write: impl FnOnce(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut sealed = None;
        let used = self.advance(&mut incoming, &mut Room::default(), |traffic| {
            let mut octets = vec![0; size];
            sealed = write(traffic, &mut octets).ok().map(|count| {
                octets.truncate(count);
                octets
            });
        });
        incoming.drain(..used);
        self.incoming = incoming;
        let sealed = sealed.ok_or(io::ErrorKind::BrokenPipe)?;
        match self.outgoing.is_empty() {
            true => self.outgoing = sealed,
            false => self.outgoing.extend_from_slice(&sealed),
        }
        Ok(())
    }
}

fn close_notify(traffic: &mut Traffic<'_>, sealed: &mut [u8]) -> Result<usize, EncryptError> {
    traffic.queue_close_notify(sealed)
}
