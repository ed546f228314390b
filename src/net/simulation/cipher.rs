//! The client's side of a wire that is encrypted: what it has made of its output, and what it can use of its input.

use std::collections::VecDeque;
use std::fmt;

/// Octets of a client's output in one record, at most: a piece may be several.
const RECORD: usize = 1500;
/// Octets of the header of a record, the last two of which say how many follow.
const HEADER: usize = 5;

/// What encrypts and decrypts.
pub(super) trait Cipher: fmt::Debug {
    /// The handshake is done.
    fn is_ready(&self) -> bool;

    /// Takes octets from the server. Returns what they are in clear.
    fn open(&mut self, octets: &[u8]) -> Vec<u8>;

    /// Encrypts octets as one record.
    fn seal(&mut self, octets: &[u8]);

    /// Ends the output as TLS prescribes.
    fn close(&mut self);

    /// What it has made of them, and messages of its handshake.
    fn take_output(&mut self) -> Vec<u8>;

    /// The server has ended its output as TLS prescribes.
    fn is_closed(&self) -> bool;
}

/// Begins with a client's hello: one that knows a session by then resumes it.
pub(super) type Begin = Box<dyn FnOnce() -> Box<dyn Cipher>>;

/// A client's side.
#[derive(Debug)]
pub(super) struct Encryption {
    cipher: Box<dyn Cipher>,
    /// It ends its output as TLS prescribes, rather than with that of the connection alone.
    is_orderly: bool,
    /// What the wire has not taken.
    output: VecDeque<u8>,
    /// Its octets so far, and how many the wire has taken.
    made: usize,
    put: usize,
    /// Where records end among them, and how many octets of the dialogue end there.
    records: VecDeque<(usize, usize)>,
    /// The client has sent all it has to send.
    ends: bool,
    /// What is known of the header of the server's present record, and how many octets of it are to come.
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

    /// Encrypts what follows `sent` octets of the dialogue.
    pub(super) fn seal(&mut self, octets: &[u8], sent: usize) {
        let mut end = sent;
        for record in octets.chunks(RECORD) {
            self.cipher.seal(record);
            self.take_output();
            end += record.len();
            self.records.push_back((self.made, end));
        }
    }

    /// Ends the output behind all that is encrypted, once the handshake is done.
    pub(super) fn end(&mut self) {
        if self.cipher.is_ready() && !std::mem::replace(&mut self.ends, true) && self.is_orderly {
            self.cipher.close();
            self.take_output();
        }
    }

    /// Nothing follows what is encrypted.
    pub(super) fn ends(&self) -> bool {
        self.ends
    }

    /// The wire has taken all of the output, and its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ends && self.output.is_empty()
    }

    /// The next octets for the wire.
    pub(super) fn next(&mut self, room: usize) -> Vec<u8> {
        let count = room.min(self.output.len());
        self.put += count;
        self.output.drain(..count).collect()
    }

    /// The octets of the dialogue in all records of which the wire has taken the last octet since the last call.
    pub(super) fn arrived(&mut self) -> Option<usize> {
        let count = self.records.partition_point(|(end, _)| *end <= self.put);
        self.records.drain(..count).next_back().map(|(_, sent)| sent)
    }

    /// How many octets to take off the wire of those that are there: of a handshake no more than is of it.
    pub(super) fn wanted(&self, most: usize) -> usize {
        match self.cipher.is_ready() {
            true => most,
            false if self.left > 0 => self.left,
            false => HEADER - self.header.len(),
        }
    }

    /// Takes octets off the wire, at most as many as [`wanted`](Self::wanted). Returns what they are in clear.
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
