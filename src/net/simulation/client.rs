//! One client: its input and pauses, how it reads, and how it closes the connection.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use super::cipher::Begin;
use super::script::Model;
use super::wire::Wire;

/// Largest number of pieces in which an input is sent.
const PIECES: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Eager,
    /// A number of bytes at a time, at an interval.
    Slow {
        count: usize,
        every: Duration,
    },
    /// Nothing before this time, everything after it.
    Late {
        at: Duration,
    },
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Closes its output after its last byte.
    HalfCloses,
    /// Waits until the server closes the connection.
    Waits,
    /// Resets the connection at this time.
    Resets { at: Duration },
}

pub(super) struct Client {
    pub(super) starts_at: Duration,
    pub(super) input: Vec<u8>,
    /// The end of each piece, and the pause before it.
    pieces: Vec<(usize, Duration)>,
    /// It waits for each reply before it sends more.
    is_in_lock_step: bool,
    pub(super) reading: Reading,
    pub(super) leaving: Leaving,
    /// It closes its output after the server has closed its own.
    closes_too: bool,
    /// Begins TLS; `None` if it does not, and afterwards.
    pub(super) cipher: Option<Begin>,
    /// It ends its output with close_notify.
    pub(super) is_orderly: bool,
    sent: usize,
    piece: usize,
    send_at: Option<Duration>,
    read_at: Duration,
    pub(super) received: Vec<u8>,
}

impl Client {
    pub(super) fn new(rng: &mut TestRng, input: Vec<u8>, timeout: Duration) -> Self {
        let starts_at = Duration::from_nanos(rng.random_range(0..2_000_000_000));
        let soon = |rng: &mut TestRng| starts_at + timeout.mul_f64(rng.random_range(0.0..0.9));
        let reading = match rng.random_range(0..12) {
            0 => Reading::Never,
            1 => Reading::Late { at: soon(rng) },
            2 | 3 => Reading::Slow { count: rng.random_range(100..400), every: timeout / 500 },
            _ => Reading::Eager,
        };
        let leaving = match rng.random_range(0..8) {
            0 => Leaving::Resets { at: soon(rng) },
            1..4 => Leaving::Waits,
            _ => Leaving::HalfCloses,
        };
        Self {
            starts_at,
            pieces: pieces(rng, input.len(), timeout / 3),
            input,
            is_in_lock_step: reading == Reading::Eager && rng.random_bool(0.5),
            reading,
            leaving,
            closes_too: rng.random_bool(0.8),
            cipher: None,
            is_orderly: true,
            sent: 0,
            piece: 0,
            send_at: None,
            read_at: starts_at,
            received: Vec::new(),
        }
    }

    /// Shifts all its times by the start time of the world.
    pub(super) fn shift(&mut self, by: Duration) {
        self.starts_at += by;
        self.read_at += by;
        if let Reading::Late { at } = &mut self.reading {
            *at += by;
        }
        if let Leaving::Resets { at } = &mut self.leaving {
            *at += by;
        }
    }

    /// Sends STARTTLS after its first line, and then that line again.
    pub(super) fn start_tls(&mut self) {
        let front = self.input.iter().position(|octet| *octet == b'\n').map_or(0, |at| at + 1);
        let (line, rest) = self.input.split_at(front);
        let input = [line, b"STARTTLS\r\n", line, rest].concat();
        let more = input.len() - self.input.len();
        self.pieces.iter_mut().filter(|(end, _)| *end >= front).for_each(|(end, _)| *end += more);
        if self.pieces.is_empty() {
            self.pieces.push((more, Duration::ZERO));
        }
        self.input = input;
    }

    /// Does all that is due now. Returns whether anything was.
    pub(super) fn act(&mut self, now: Duration, wire: &RefCell<Wire>, model: &Model) -> bool {
        let mut wire = wire.borrow_mut();
        if let Leaving::Resets { at } = self.leaving
            && at <= now
        {
            wire.reset();
            return false;
        }
        let has_begun = wire.send_hello() || self.secure(&mut wire, model);
        wire.send_encrypted();
        let has_read = self.read(now, &mut wire);
        let has_sent = self.send(now, &mut wire, model);
        if wire.is_at_end() && self.closes_too {
            wire.finish();
        }
        wire.has_moved() || has_begun || has_read || has_sent
    }

    /// Begins TLS after the reply to STARTTLS. Returns whether it has.
    fn secure(&mut self, wire: &mut Wire, model: &Model) -> bool {
        let is_time =
            model.starttls == Some(self.sent) && self.received.len() >= model.output_after(self.sent);
        let cipher = self.cipher.take_if(|_| is_time);
        let begins = cipher.is_some();
        cipher.into_iter().for_each(|cipher| wire.encrypt(cipher, self.is_orderly));
        begins
    }

    fn read(&mut self, now: Duration, wire: &mut Wire) -> bool {
        let most = match self.reading {
            Reading::Never => 0,
            Reading::Late { at } if now < at => 0,
            Reading::Slow { .. } if now < self.read_at => 0,
            Reading::Slow { count, every } => {
                self.read_at = now + every;
                count
            }
            Reading::Late { .. } | Reading::Eager => usize::MAX,
        };
        let bytes = wire.receive(most);
        self.received.extend(&bytes);
        !bytes.is_empty()
    }

    fn send(&mut self, now: Duration, wire: &mut Wire, model: &Model) -> bool {
        let before = self.sent;
        let most = model.starttls.filter(|_| !wire.is_encrypted()).unwrap_or(usize::MAX);
        while let Some(&(end, gap)) = self.pieces.get(self.piece) {
            if self.is_in_lock_step
                && !wire.is_amid_record()
                && self.received.len() < model.output_after(self.sent)
            {
                return self.sent > before;
            }
            if *self.send_at.get_or_insert(now + gap) > now {
                return self.sent > before;
            }
            self.sent += wire.send(&self.input[self.sent..end.min(most)]);
            if self.sent < end {
                return self.sent > before;
            }
            wire.seal();
            self.piece += 1;
            self.send_at = None;
        }
        if self.leaving == Leaving::HalfCloses && self.sent < most {
            wire.finish();
        }
        self.sent > before
    }

    /// The time of its next action if no event occurs before.
    pub(super) fn next_time(&self, now: Duration, wire: &Rc<RefCell<Wire>>) -> Option<Duration> {
        let wire = wire.borrow();
        if wire.closed_at.is_some() && !wire.has_output() {
            return None;
        }
        let reads_at = match self.reading {
            Reading::Slow { .. } if wire.has_output() => Some(self.read_at),
            Reading::Late { at } => Some(at),
            _ => None,
        };
        let resets_at = match self.leaving {
            Leaving::Resets { at } => Some(at),
            _ => None,
        };
        [self.send_at, reads_at, resets_at].into_iter().flatten().filter(|&at| at > now).min()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input: String = self.input.escape_ascii().to_string().chars().take(1000).collect();
        f.debug_struct("Client")
            .field("starts_at", &self.starts_at)
            .field("input", &input)
            .field("pieces", &self.pieces.len())
            .field("is_in_lock_step", &self.is_in_lock_step)
            .field("reading", &self.reading)
            .field("leaving", &self.leaving)
            .finish_non_exhaustive()
    }
}

/// Splits an input at random. The sum of all pauses is less than `patience`.
fn pieces(rng: &mut TestRng, length: usize, patience: Duration) -> Vec<(usize, Duration)> {
    let longest = [3, 40, 1000, usize::MAX][rng.random_range(0..4)].max(2 * length / PIECES + 1);
    let mut pieces = Vec::new();
    let mut end = 0;
    while end < length {
        end += rng.random_range(1..=longest.min(length - end));
        pieces.push((end, Duration::ZERO));
    }
    let count = u32::try_from(pieces.len().max(1)).expect("few pieces");
    for (_, gap) in &mut pieces {
        if rng.random_bool(0.5) {
            *gap = (patience / count).mul_f64(rng.random_range(0.0..1.0));
        }
    }
    pieces
}
