//! The client's side of an encrypted wire: its encrypted output, and decryption of its input.

use std::collections::VecDeque;
use std::fmt;

/// Most octets of a client's output in one record: a piece may take several.
const RECORD: usize = 1500;
/// Octets of a record's header; the last two are the length of the rest.
const HEADER: usize = 5;

/// Encrypts and decrypts.
pub(super) trait Cipher: fmt::Debug {
    /// The handshake is done.
    fn is_ready(&self) -> bool;

    /// Takes octets from the server. Returns their plain text.
    fn open(&mut self, octets: &[u8]) -> Vec<u8>;

    /// Encrypts octets as one record.
    fn seal(&mut self, octets: &[u8]);

    /// Ends the output with close_notify.
    fn close(&mut self);

    /// Takes the encrypted octets, including handshake messages.
    fn take_output(&mut self) -> Vec<u8>;

    /// The server has ended its output with close_notify.
    fn is_closed(&self) -> bool;
}

/// Begins with a client's hello. A client that knows a session by then resumes it.
pub(super) type Begin = Box<dyn FnOnce() -> Box<dyn Cipher>>;

/// A client's side.
#[derive(Debug)]
pub(super) struct Encryption {
    cipher: Box<dyn Cipher>,
    /// It ends its output with close_notify, not only with the end of the connection.
    is_orderly: bool,
    /// Octets that the wire has not taken.
    output: VecDeque<u8>,
    /// Octets encrypted so far, and octets that the wire has taken.
    made: usize,
    put: usize,
    /// The end of each record, with the number of octets of the dialogue up to it.
    records: VecDeque<(usize, usize)>,
    /// The client has sent all its input.
    ends: bool,
    /// The known part of the header of the server's present record, and how many octets of the record are to come.
    header: Vec<u8>,
    left: usize,
}

impl Encryption {
    pub(super) fn new(cipher: Box<dyn Cipher>, is_orderly: bool) -> Self {
        let (output, records) = (VecDeque::new(), VecDeque::new());
        let mut encryption = Self {
            cipher,
            is_orderly,
            output,
            made: 0,
            put: 0,
            records,
            ends: false,
            header: Vec::new(),
            left: 0,
        };
        encryption.take_output();
        encryption
    }

    fn take_output(&mut self) {
        let octets = self.cipher.take_output();
        self.made += octets.len();
        self.output.extend(octets);
    }

    /// More of the dialogue can be encrypted.
    pub(super) fn is_ready(&self) -> bool {
        self.cipher.is_ready() && self.output.is_empty()
    }

    /// Encrypts the octets after the first `sent` of the dialogue.
    pub(super) fn seal(&mut self, octets: &[u8], sent: usize) {
        let mut end = sent;
        for record in octets.chunks(RECORD) {
            self.cipher.seal(record);
            self.take_output();
            end += record.len();
            self.records.push_back((self.made, end));
        }
    }

    /// Ends the output after all encrypted octets, once the handshake is done.
    pub(super) fn end(&mut self) {
        if self.cipher.is_ready() && !std::mem::replace(&mut self.ends, true) && self.is_orderly {
            self.cipher.close();
            self.take_output();
        }
    }

    /// Nothing follows the encrypted octets.
    pub(super) fn ends(&self) -> bool {
        self.ends
    }

    /// The wire has taken all of the output, including its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ends && self.output.is_empty()
    }

    /// The next octets for the wire.
    pub(super) fn next(&mut self, room: usize) -> Vec<u8> {
        let count = room.min(self.output.len());
        self.put += count;
        self.output.drain(..count).collect()
    }

    /// The number of octets of the dialogue in records that the wire has taken whole, if it has changed since the last
    /// call.
    pub(super) fn arrived(&mut self) -> Option<usize> {
        let count = self.records.partition_point(|(end, _)| *end <= self.put);
        self.records.drain(..count).next_back().map(|(_, sent)| sent)
    }

    /// How many octets to take off the wire: during a handshake no more than one of its records.
    pub(super) fn wanted(&self, most: usize) -> usize {
        match self.cipher.is_ready() {
            true => most,
            false if self.left > 0 => self.left,
            false => HEADER - self.header.len(),
        }
    }

    /// Takes octets off the wire, at most as many as [`wanted`](Self::wanted). Returns their plain text.
    pub(super) fn open(&mut self, octets: &[u8]) -> Vec<u8> {
        if self.left > 0 {
            self.left -= octets.len().min(self.left);
        } else if !self.cipher.is_ready() {
            self.header.extend(octets);
            if let [_, _, _, high, low] = self.header[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.header.clear();
            }
        }
        let plain = self.cipher.open(octets);
        self.take_output();
        plain
    }

    pub(super) fn is_closed(&self) -> bool {
        self.cipher.is_closed()
    }
}
