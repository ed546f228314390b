//! A transport that holds octets back in both directions, as TLS does. It returns the client's octets only in whole records,
//! accepts replies before they can leave, sends nothing before the client's hello, and ends its output with a record of its
//! own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::wire::{End, Wire};
use crate::net::stream::{Input, Transport};
use crate::records::Endpoint;

/// Largest number of octets of replies in a record.
const RECORD: usize = 40;
/// Largest number of octets of replies that are retained.
const RETAINED: usize = 100;
/// The record that ends the output.
const LAST_RECORD: &[u8] = b"end";

/// The server's side.
#[derive(Debug)]
pub(super) struct SealedEnd {
    wire: Rc<RefCell<Wire>>,
    /// Octets read from the wire and not returned yet.
    incoming: VecDeque<u8>,
    /// How many of them belong to whole records.
    opened: usize,
    /// Total number of octets read from the wire.
    taken: usize,
    /// Records of replies that have not been written whole.
    outgoing: VecDeque<Vec<u8>>,
    /// Octets of the first of them that have been written, or of the last record if there is none.
    on_wire: usize,
    ends: bool,
}

impl End for SealedEnd {
    const IS_SEALED: bool = true;

    fn new(wire: Rc<RefCell<Wire>>) -> Self {
        Self {
            wire,
            incoming: VecDeque::new(),
            opened: 0,
            taken: 0,
            outgoing: VecDeque::new(),
            on_wire: 0,
            ends: false,
        }
    }
}

impl SealedEnd {
    /// Writes records as far as the wire has room.
    fn send_retained(&mut self) -> io::Result<()> {
        let mut wire = self.wire.borrow_mut();
        if !wire.take_hello() {
            return Ok(());
        }
        while let Some(record) = self.outgoing.front() {
            self.on_wire += wire.put_output(&record[self.on_wire..])?;
            if self.on_wire < record.len() {
                return Ok(());
            }
            wire.show(record);
            self.outgoing.pop_front();
            self.on_wire = 0;
        }
        if self.ends && self.on_wire < LAST_RECORD.len() {
            self.on_wire += wire.put_output(&LAST_RECORD[self.on_wire..])?;
            wire.has_last_record = self.on_wire == LAST_RECORD.len();
        }
        Ok(())
    }
}

impl Transport for SealedEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        self.send_retained()?;
        let mut wire = self.wire.borrow_mut();
        let mut piece = [0; 7];
        loop {
            let count = self.opened.min(buffer.len());
            if count > 0 {
                for (place, octet) in buffer.iter_mut().zip(self.incoming.drain(..count)) {
                    *place = octet;
                }
                self.opened -= count;
                return Ok(Input::Octets { count, may_have_more: true });
            }
            let count = wire.take_input(&mut piece)?;
            if count == 0 {
                return match (wire.client_finished, self.incoming.is_empty()) {
                    (false, _) => Ok(Input::Nothing),
                    (true, true) => Ok(Input::End),
                    (true, false) => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            self.incoming.extend(&piece[..count]);
            self.taken += count;
            let unsealed = self.taken - wire.sealed_before(self.taken);
            self.opened = self.incoming.len().saturating_sub(unsealed);
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            self.send_retained()?;
            let room = RETAINED - self.unsent().min(RETAINED);
            let count = room.min(octets.len() - taken);
            if count == 0 {
                return Ok(taken);
            }
            self.outgoing.extend(octets[taken..taken + count].chunks(RECORD).map(<[u8]>::to_vec));
            taken += count;
        }
    }

    /// The client cannot use the first part of a record.
    fn unsent(&self) -> usize {
        self.outgoing.iter().map(Vec::len).sum()
    }

    fn drive(&mut self) -> io::Result<()> {
        self.send_retained()
    }

    fn wants_room(&self) -> bool {
        self.wire.borrow().wants_room()
    }

    fn owes_input(&self) -> bool {
        self.incoming.len() > self.opened
    }

    fn finish(&mut self) -> io::Result<bool> {
        assert_eq!(self.unsent(), 0, "the end follows all replies");
        self.ends = true;
        self.send_retained()?;
        Ok(self.wire.borrow().has_last_record)
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        assert!(
            self.wire.borrow().has_last_record,
            "the last record goes before the end of the socket's output"
        );
        self.wire.borrow_mut().server_finished = true;
        Ok(())
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        self.wire.borrow_mut().ends_by_reset = true;
        Ok(())
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        Ok(Endpoint::Inet(([127, 0, 0, 1], 25).into()))
    }
}

impl Drop for SealedEnd {
    fn drop(&mut self) {
        self.wire.borrow_mut().close();
    }
}
