//! A slot for one connection at a time, and the state of the connection.

use std::io::{self, IoSlice, Write as _};
use std::ops::Range;

use mio::Token;

use crate::account::accounting::Abort;
use crate::client::reply::ReplyParser;
use crate::client::session::{Chunk, Session, Unsent};
use crate::load::payload::Payload;
use crate::load::plan::CONNECTIONS_LIMIT;
use crate::measure::tally::Flight;
use crate::reactor::dial::reason_of;
use crate::reactor::stream::Stream;
use crate::time::clock::Moment;

/// Bits of a token for the slot's index; the generation is above them.
const INDEX_BITS: u32 = 24;
const _: () = assert!(CONNECTIONS_LIMIT < 1 << INDEX_BITS);

/// The most of a message written at once, in bytes. The kernel accepts any size in one call while the server reads
/// and answers; between two writes an early answer is noticed.
const WRITE_LIMIT: usize = 256 * 1024;

/// What a slot has still to write.
#[derive(Debug)]
pub(crate) enum Pending {
    Nothing,
    /// The end of a command that the socket did not accept.
    Command(Vec<u8>),
    /// The message from this byte on. It is stamped again for every write: other connections stamp the same buffer in
    /// between.
    Body {
        from: usize,
    },
    /// The end of these commands, the last of which is BDAT, and these octets of the message.
    Chunk {
        commands: Vec<u8>,
        range: Range<usize>,
    },
}

/// A slot for one connection at a time.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The index of its lane: all its connections are to one target.
    pub(crate) lane: usize,
    pub(crate) stream: Option<Stream>,
    /// Incremented with every connection, so that a late event does not reach the next one.
    generation: u32,
    /// The place of the address among those of the target, and how many addresses were tried for the message.
    pub(crate) address: usize,
    pub(crate) tried: usize,
    pub(crate) session: Session,
    pub(crate) parser: ReplyParser,
    /// Whether the current line of input began before the last write.
    pub(crate) is_early: bool,
    pub(crate) pending: Pending,
    /// Whether the socket may accept more.
    pub(crate) may_write: bool,
    /// Why writing failed; an earlier reply may still be unread.
    pub(crate) write_error: Option<Abort>,
    /// Whether its TLS handshake has a turn.
    pub(crate) has_turn: bool,
    pub(crate) flight: Option<Flight>,
    /// The start of the current phase.
    pub(crate) since: Moment,
    /// When the last chunk behind a group of commands had left.
    pub(crate) chunk_left: Moment,
    /// When the current wait times out; `None` while nothing is due.
    pub(crate) deadline: Option<Moment>,
    /// Messages begun in this session.
    pub(crate) begun: u64,
    /// Connections lost in a row before the reply to EHLO.
    pub(crate) failures: u32,
}

impl Slot {
    pub(crate) fn new(session: Session, lane: usize) -> Slot {
        Slot {
            lane,
            stream: None,
            generation: 0,
            address: 0,
            tried: 0,
            session,
            parser: ReplyParser::new(),
            is_early: false,
            pending: Pending::Nothing,
            may_write: false,
            write_error: None,
            has_turn: false,
            flight: None,
            since: Moment::ZERO,
            chunk_left: Moment::ZERO,
            deadline: None,
            begun: 0,
            failures: 0,
        }
    }

    /// Puts a new connection into the slot.
    pub(crate) fn open(&mut self, session: Session) {
        debug_assert!(self.stream.is_none(), "the connection before is closed");
        self.generation = self.generation.wrapping_add(1);
        self.session = session;
        self.parser.reset();
        self.is_early = false;
        self.pending = Pending::Nothing;
        self.write_error = None;
        self.has_turn = false;
        self.begun = 0;
    }

    /// The token of the connection in this slot, which is at `index`.
    pub(crate) fn token(&self, index: usize) -> Token {
        debug_assert!(index < 1 << INDEX_BITS);
        Token(index | (self.generation as usize) << INDEX_BITS)
    }

    /// Whether it waits, since its connection of this number, for room in the queue of a Unix socket.
    pub(crate) fn is_queued(&self, generation: u32) -> bool {
        self.generation == generation && self.stream.is_none() && self.flight.is_some()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The index of the slot of an event.
    pub(crate) fn index_of(token: Token) -> usize {
        token.0 & ((1 << INDEX_BITS) - 1)
    }

    /// What is read next arrived after the last write, unless it is the rest of an older line.
    pub(crate) fn begin_read(&mut self) {
        self.is_early &= !self.parser.is_between_replies();
    }

    /// Whether everything sent has left the process.
    pub(crate) fn has_sent(&self) -> bool {
        matches!(self.pending, Pending::Nothing)
    }

    /// Whether all of the message has left the process.
    pub(crate) fn has_sent_message(&self) -> bool {
        self.has_sent() && self.session.has_begun_end()
    }

    /// What had not left when the current line of input was sent, as far as is known.
    pub(crate) fn unsent(&self) -> Unsent {
        match &self.pending {
            _ if self.is_early => Unsent::All,
            Pending::Nothing => Unsent::Nothing,
            Pending::Command(rest) => Unsent::Commands(line_ends(rest)),
            // The end of a chunk is the end of its command.
            Pending::Chunk { commands, .. } => Unsent::Commands(line_ends(commands).max(1)),
            Pending::Body { .. } => Unsent::Message,
        }
    }

    /// Writes `bytes`; what the socket does not accept is pending.
    pub(crate) fn write_command(&mut self, bytes: &[u8]) {
        let written = self.write_some([bytes, &[], &[]]);
        if written < bytes.len() {
            self.pending = Pending::Command(bytes[written..].to_vec());
        }
    }

    /// Writes the message from `from` on, as much as the socket accepts at once; the rest is pending.
    pub(crate) fn write_body(&mut self, payload: &mut Payload, from: usize) {
        let seq = self.flight.map_or(0, |flight| flight.seq);
        let (head, tail) = payload.stamped(seq);
        let (first, second) =
            if from < head.len() { (&head[from..], tail) } else { (&tail[from - head.len()..], &[][..]) };
        let whole = first.len() + second.len();
        debug_assert!(whole > 0, "a message that has left is not pending");
        let first = &first[..first.len().min(WRITE_LIMIT)];
        let second = &second[..second.len().min(WRITE_LIMIT - first.len())];
        let written = self.write_some([first, second, &[]]);
        if written < whole {
            self.pending = Pending::Body { from: from + written };
        }
    }

    /// Begins the next chunk: writes `commands`, BDAT and the chunk, as much as the socket accepts at once; the rest is
    /// pending.
    pub(crate) fn begin_chunk(&mut self, payload: &mut Payload, commands: &mut Vec<u8>) {
        let Chunk { range, is_last } = self.session.next_chunk();
        let last = if is_last { " LAST" } else { "" };
        write!(commands, "BDAT {}{last}\r\n", range.len())
            .unwrap_or_else(|_| unreachable!("a Vec takes every write"));
        self.write_chunk(payload, commands, range);
    }

    fn write_chunk(&mut self, payload: &mut Payload, commands: &[u8], range: Range<usize>) {
        let seq = self.flight.map_or(0, |flight| flight.seq);
        let until = range.end.min(range.start.saturating_add(WRITE_LIMIT));
        let (first, second) = payload.stamped_octets(seq, range.start..until);
        let written = self.write_some([commands, first, second]);
        if written < commands.len() + range.len() {
            let from = range.start + written.saturating_sub(commands.len());
            let commands = commands.get(written..).unwrap_or_default().to_vec();
            self.pending = Pending::Chunk { commands, range: from..range.end };
        }
    }

    /// Writes what is pending.
    pub(crate) fn write_pending(&mut self, payload: &mut Payload) {
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing => {}
            Pending::Command(bytes) => self.write_command(&bytes),
            Pending::Body { from } => self.write_body(payload, from),
            Pending::Chunk { commands, range } => self.write_chunk(payload, &commands, range),
        }
    }

    /// One write of all parts; returns zero if the socket accepts nothing now, or failed.
    fn write_some(&mut self, parts: [&[u8]; 3]) -> usize {
        self.may_write = false;
        let Some(stream) = &mut self.stream else {
            return 0;
        };
        loop {
            let [first, second, third] = parts;
            let written = match (second, third) {
                ([], []) => stream.write(first),
                (_, []) => stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]),
                _ => stream.write_vectored(&parts.map(IoSlice::new)),
            };
            match written {
                Ok(count) => {
                    self.may_write = true;
                    return count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
                Err(error) => {
                    self.write_error = Some(reason_of(&error));
                    return 0;
                }
            }
        }
    }
}

fn line_ends(commands: &[u8]) -> usize {
    commands.iter().filter(|byte| **byte == b'\n').count()
}
