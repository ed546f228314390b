//! A transport that retains octets in both directions, as TLS does. It returns the client's octets only in whole
//! records, accepts replies before they can leave, sends nothing before the client's hello, and ends its output with a
//! record of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::wire::{End, HELLO, Wire};
use crate::net::stream::{Input, Transport};
use crate::records::Endpoint;
use crate::records::budget::FREE;

/// Largest number of octets of replies in a record.
const RECORD: usize = 40;
/// Largest number of octets of replies that are retained.
const RETAINED: usize = 100;
/// Most octets read from the wire at once: several records if the client sends ahead.
const PIECE: usize = 32;
/// Memory of a session's buffers. More than the free allowance, so that tests see whether it is charged.
const BUFFERS: usize = FREE + 1000;
/// The record that ends the output.
const LAST_RECORD: &[u8] = b"end";

/// The server's side.
#[derive(Debug)]
pub(super) struct SealedEnd {
    wire: Rc<RefCell<Wire>>,
    /// Octets of the client's hello that were not read yet.
    hello_left: usize,
    /// Octets read from the wire and not returned yet.
    incoming: VecDeque<u8>,
    /// How many of them belong to whole records.
    opened: usize,
    /// Total number of octets read from the wire, without the hello.
    taken: usize,
    /// Records of replies that have not been written whole.
    outgoing: VecDeque<Vec<u8>>,
    /// Written octets of the first of them, or of the last record if none is left.
    on_wire: usize,
    ends: bool,
}

impl End for SealedEnd {
    const IS_SEALED: bool = true;

    fn new(wire: Rc<RefCell<Wire>>) -> Self {
        Self {
            wire,
            hello_left: HELLO.len(),
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
    /// Takes octets off the wire, beginning with the hello; 0 if none have arrived.
    fn receive(&mut self) -> io::Result<usize> {
        let mut wire = self.wire.borrow_mut();
        let mut piece = [0; PIECE];
        let count = wire.take_input(&mut piece)?;
        let hello = count.min(self.hello_left);
        self.hello_left -= hello;
        self.incoming.extend(&piece[hello..count]);
        self.taken += count - hello;
        let unsealed = self.taken - wire.sealed_before(self.taken);
        self.opened = self.incoming.len().saturating_sub(unsealed);
        Ok(count)
    }

    /// Writes records as far as the wire has room.
    fn send_retained(&mut self) -> io::Result<()> {
        if self.hello_left > 0 {
            return Ok(());
        }
        let mut wire = self.wire.borrow_mut();
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
        loop {
            self.send_retained()?;
            let count = self.opened.min(buffer.len());
            if count > 0 {
                for (place, octet) in buffer.iter_mut().zip(self.incoming.drain(..count)) {
                    *place = octet;
                }
                self.opened -= count;
                return Ok(Input::Octets { count, may_have_more: true });
            }
            if self.receive()? == 0 {
                return match (self.wire.borrow().client_finished, self.incoming.is_empty()) {
                    (false, _) => Ok(Input::Nothing),
                    (true, true) => Ok(Input::End),
                    (true, false) => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
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

    /// The client cannot use an incomplete record.
    fn unsent(&self) -> usize {
        self.outgoing.iter().map(Vec::len).sum()
    }

    /// Reads as long as the handshake needs input, and may take more than that.
    fn drive(&mut self) -> io::Result<bool> {
        let has_read = self.hello_left > 0 && self.receive()? > 0;
        self.send_retained()?;
        Ok(has_read)
    }

    fn memory(&self) -> usize {
        let outgoing = self.outgoing.iter().map(Vec::capacity).sum::<usize>();
        BUFFERS + self.incoming.capacity() + outgoing + self.outgoing.capacity() * size_of::<Vec<u8>>()
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
