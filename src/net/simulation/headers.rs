//! Input before sessions: PROXY headers, in pieces with pauses, and strangers that never send a whole one.

use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use super::script::PEER;
use super::wire::Wire;
use crate::smtp::proxy::{Scan, scan};

/// The input of one client before its session.
pub(super) struct Header {
    pub(super) connects_at: Duration,
    octets: Vec<u8>,
    /// The end of each piece, and when it is sent.
    pieces: Vec<(usize, Duration)>,
    sent: usize,
    /// How a stranger leaves after its last octet; `None` for a header, which a session follows.
    stranger: Option<Leaving>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Waits,
    HalfCloses,
    Resets,
}

impl Header {
    /// A header for a client at [`PEER`], whose last octet is sent at `ends_at`, within the session timeout.
    pub(super) fn new(rng: &mut TestRng, ends_at: Duration, session_timeout: Duration) -> Self {
        let octets = match rng.random_range(0..3) {
            0 => format!("PROXY TCP4 {PEER} 192.0.2.1 65535 25\r\n").into_bytes(),
            1 => v2(&[127, 0, 0, 1, 192, 0, 2, 1, 1, 2, 0, 25]),
            _ => v2(&[&[127, 0, 0, 1, 192, 0, 2, 1, 1, 2, 0, 25, 4, 0, 60][..], &[b'\n'; 60]].concat()),
        };
        debug_assert!(matches!(scan(&octets), Ok(Scan::Whole { length, .. }) if length == octets.len()));
        let takes = session_timeout.mul_f64(rng.random_range(0.0..0.8)).min(ends_at);
        Self::of(rng, octets, ends_at - takes, takes, None)
    }

    /// Octets that are not a header, or only its beginning.
    pub(super) fn of_stranger(rng: &mut TestRng, connects_at: Duration, session_timeout: Duration) -> Self {
        let octets: &[u8] = match rng.random_range(0..7) {
            0 => b"",
            1 => b"PROXY TCP4 127.0.0.1 ",
            2 => b"PROXY TCP4 127.0.0.1 127.0.0.1 1 x\r\nNOOP\r\n",
            3 => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02",
            4 => b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0EHLO a.example\r\n",
            5 => b"EHLO a.example\r\nNOOP\r\nQUIT\r\n",
            _ => b"PROXY UNKNOWN\nQUIT\r\n",
        };
        let takes = session_timeout.mul_f64(rng.random_range(0.0..1.5));
        let leaving = [Leaving::Waits, Leaving::HalfCloses, Leaving::Resets][rng.random_range(0..3)];
        Self::of(rng, octets.to_vec(), connects_at, takes, Some(leaving))
    }

    fn of(
        rng: &mut TestRng,
        octets: Vec<u8>,
        connects_at: Duration,
        takes: Duration,
        stranger: Option<Leaving>,
    ) -> Self {
        // The last octet comes with the last piece.
        let count = rng.random_range(1..6);
        let mut cuts: Vec<usize> = (1..count).map(|_| rng.random_range(0..octets.len().max(1))).collect();
        let mut pauses: Vec<Duration> =
            (1..count).map(|_| takes.mul_f64(rng.random_range(0.0..1.0))).collect();
        cuts.push(octets.len());
        pauses.push(takes);
        cuts.sort_unstable();
        pauses.sort_unstable();
        let pieces = cuts.into_iter().zip(pauses).map(|(end, pause)| (end, connects_at + pause)).collect();
        Self { connects_at, octets, pieces, sent: 0, stranger }
    }

    pub(super) fn is_strange(&self) -> bool {
        self.stranger.is_some()
    }

    /// A whole header was sent, and a session follows.
    pub(super) fn begins_session(&self) -> bool {
        self.stranger.is_none() && self.sent == self.octets.len()
    }

    /// Sends the pieces that are due now. Returns whether there were any.
    pub(super) fn act(&mut self, now: Duration, wire: &mut Wire) -> bool {
        let due = self.pieces.iter().take_while(|(_, at)| *at <= now).last().map_or(0, |(end, _)| *end);
        let count = wire.send_before_session(&self.octets[self.sent..due.max(self.sent)]);
        self.sent += count;
        let is_last = self.pieces.last().is_some_and(|(end, at)| *at <= now && *end == self.sent);
        match self.stranger {
            Some(Leaving::HalfCloses) if is_last => wire.finish(),
            Some(Leaving::Resets) if is_last => wire.reset(),
            _ => {}
        }
        count > 0
    }

    /// The time of its next action if no event occurs before.
    pub(super) fn next_time(&self, now: Duration) -> Option<Duration> {
        self.pieces.iter().map(|(_, at)| *at).find(|at| *at > now)
    }
}

/// A header of version 2 for TCP over IPv4.
fn v2(block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &length, block].concat()
}
