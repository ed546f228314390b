//! The message in the form in which it is sent: rendered once per thread, stamped in place.
//!
//! `wire` is the header, the body and the terminator. A smaller size is the header and a tail of the body, so that
//! nothing is rendered twice.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::load::envelope::Envelope;
use crate::load::token::{self, Covered};

/// The length of a full body line with its CRLF (RFC 5322 section 2.1.1 asks for 78).
const LINE: usize = 78;

/// The number of sizes in a range, evenly spaced.
const SIZE_STEPS: u64 = 256;

/// The smallest body: one empty line.
pub(crate) const BODY_MIN: u64 = 2;

/// The largest body or message file, in bytes; each thread has a copy in memory.
pub(crate) const BODY_MAX: u64 = 128 << 20;

/// The end of every message: a dot on its own line, after the body's own CRLF.
const TERMINATOR: &[u8] = b".\r\n";

/// The header of generated messages, behind the token's line.
const HEADER: &str = "From: <smtpload@localhost>\r\nTo: undisclosed-recipients:;\r\n\
     Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nSubject: smtpload\r\n\r\n";

/// The same in UTF-8.
const HEADER_UTF8: &str = "From: Sm\u{14b}tplo\u{e4}d <smtplo\u{e4}d@localhost>\r\nTo: undisclosed-recipients:;\r\n\
     Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nSubject: smtplo\u{e4}d \u{2709}\r\n\r\n";

/// The requested content.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A generated message; each body's size in bytes is drawn uniformly from the range. With `is_utf8`, header fields
    /// are in UTF-8 (RFC 6532).
    Generated { min: u64, max: u64, is_utf8: bool },
    /// A message from a file, with its original line ends and dots.
    File { name: String, bytes: Vec<u8> },
}

/// One size of the message.
#[derive(Clone, Copy, Debug)]
struct Variant {
    /// Bytes omitted at the beginning of the body.
    skip: usize,
    digest: u64,
}

/// A message ready to be stamped and written.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    wire: Vec<u8>,
    token_at: Range<usize>,
    body_at: usize,
    /// The message without stuffed dots and terminator, if it has stuffed dots.
    unstuffed: Option<Vec<u8>>,
    /// Whether it has octets above 127.
    is_eight_bit: bool,
    variants: Vec<Variant>,
    envelope: Envelope,
    run: u32,
    seed: u64,
}

impl Payload {
    pub(crate) fn new(content: &Content, envelope: Envelope, run: u32, seed: u64) -> Payload {
        let mut wire = token::HEADER.as_bytes().to_vec();
        let token_at = wire.len()..wire.len() + token::LEN;
        wire.resize(token_at.end, b'0');
        wire.extend_from_slice(b"\r\n");
        let covered_from = wire.len();
        let mut payload = Payload {
            wire,
            token_at,
            body_at: 0,
            unstuffed: None,
            is_eight_bit: false,
            variants: Vec::new(),
            envelope,
            run,
            seed,
        };
        match content {
            Content::Generated { min, max, is_utf8 } => {
                payload.generate(covered_from, *min, *max, if *is_utf8 { HEADER_UTF8 } else { HEADER });
            }
            Content::File { bytes, .. } => payload.take_file(bytes),
        }
        payload.is_eight_bit = !payload.wire.is_ascii();
        payload.wire.extend_from_slice(TERMINATOR);
        payload
    }

    fn generate(&mut self, covered_from: usize, min: u64, max: u64, header: &str) {
        self.wire.extend_from_slice(header.as_bytes());
        self.body_at = self.wire.len();
        let body = body_of(usize::try_from(max).unwrap_or(usize::MAX));
        let head = self.wire[covered_from..].to_vec();
        for size in sizes(min, max) {
            let skip = body.len().saturating_sub(size);
            // A tail that begins between CR and LF would be a bare LF: include the CR.
            let skip = if body[skip..].starts_with(b"\n") { skip - 1 } else { skip };
            let covered = [&head, &body[skip..]].concat();
            self.variants.push(Variant { skip, digest: token::digest_of(&covered) });
        }
        self.wire.extend_from_slice(&body);
    }

    fn take_file(&mut self, bytes: &[u8]) {
        let content = with_crlf(bytes);
        self.variants.push(Variant { skip: 0, digest: token::digest_of(&content) });
        self.body_at = self.wire.len();
        stuff_dots(&content, &mut self.wire);
        if self.wire.len() > self.body_at + content.len() {
            self.unstuffed = Some([&self.wire[..self.body_at], &content].concat());
        }
    }

    /// Stamps the token of message `seq` and returns the message in two parts, to be written in this order; the
    /// second may be empty.
    pub(crate) fn stamped(&mut self, seq: u64) -> (&[u8], &[u8]) {
        let (variant, covered) = (self.variant(seq), self.covered(seq));
        token::stamp(&mut self.wire[self.token_at.clone()], self.run, seq, covered);
        if variant.skip == 0 {
            (&self.wire, &[])
        } else {
            (&self.wire[..self.body_at], &self.wire[self.body_at + variant.skip..])
        }
    }

    /// Stamps the token of message `seq` and returns these octets of it, without stuffed dots, in two parts likewise.
    pub(crate) fn stamped_octets(&mut self, seq: u64, range: Range<usize>) -> (&[u8], &[u8]) {
        let (variant, covered, size) = (self.variant(seq), self.covered(seq), self.size(seq));
        debug_assert!(range.end <= size);
        let octets = self.unstuffed.as_mut().unwrap_or(&mut self.wire);
        token::stamp(&mut octets[self.token_at.clone()], self.run, seq, covered);
        let head = if variant.skip == 0 { size } else { self.body_at };
        let tail = range.start.max(head) + variant.skip..range.end.max(head) + variant.skip;
        (&octets[range.start.min(head)..range.end.min(head)], &octets[tail])
    }

    /// The digests that the token of message `seq` covers.
    pub(crate) fn covered(&mut self, seq: u64) -> Covered {
        Covered { content: self.variant(seq).digest, envelope: self.envelope.digest(seq) }
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The size of message `seq` in octets, with its line ends, without stuffed dots and the terminator (RFC 1870
    /// section 5).
    pub(crate) fn size(&self, seq: u64) -> usize {
        let whole = self.unstuffed.as_ref().map_or(self.wire.len() - TERMINATOR.len(), Vec::len);
        whole - self.variant(seq).skip
    }

    /// Whether the messages have octets above 127.
    pub(crate) fn is_eight_bit(&self) -> bool {
        self.is_eight_bit
    }

    /// The length of the longest message on the wire, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.wire.len()
    }

    fn variant(&self, seq: u64) -> Variant {
        match self.variants.as_slice() {
            [only] => *only,
            many => {
                let drawn = xxh3_64_with_seed(&seq.to_be_bytes(), self.seed);
                many[(drawn % many.len() as u64) as usize]
            }
        }
    }
}

fn sizes(min: u64, max: u64) -> Vec<usize> {
    let steps = (max - min).min(SIZE_STEPS - 1);
    (0..=steps)
        .map(|step| min + (max - min) * step / steps.max(1))
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
        .collect()
}

/// A body of exactly `len` bytes. Full lines are laid out from its end; the first line has the remainder.
fn body_of(len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len + TERMINATOR.len());
    let first = match len % LINE {
        1 => LINE + 1,
        left => left,
    };
    if first > 0 {
        push_line(&mut body, first.min(len));
    }
    while body.len() < len {
        let left = len - body.len();
        push_line(&mut body, LINE.min(left));
    }
    body
}

/// Appends a line of `len` bytes. Its text contains no dot: a body cut anywhere must not begin with a dot.
fn push_line(body: &mut Vec<u8>, len: usize) {
    const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog while the load generator counts ";
    let text = len.saturating_sub(2);
    body.extend(TEXT.iter().cycle().take(text));
    body.extend_from_slice(b"\r\n");
}

/// The message with CRLF at the end of every line, including the last.
fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 2);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        for (index, piece) in text.split(|byte| *byte == b'\r').enumerate() {
            if index > 0 {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Doubles the dot at the beginning of a line (RFC 5321 section 4.5.2).
fn stuff_dots(content: &[u8], out: &mut Vec<u8>) {
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a server receives (RFC 5321 section 4.5.2), line by line.
    fn receive(wire: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut lines = wire.split_inclusive(|byte| *byte == b'\n');
        for line in lines.by_ref() {
            assert!(line.ends_with(b"\r\n"), "a bare line end");
            if line == b".\r\n" {
                break;
            }
            out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        assert_eq!(lines.next(), None, "nothing follows the final dot");
        out
    }

    fn check(content: &Content, seq: u64) -> Vec<u8> {
        let envelope = Envelope::new("a@x".parse().unwrap(), "b{{seq}}@x".parse().unwrap(), 2, 7);
        let mut payload = Payload::new(content, envelope, 7, 9);
        let (head, tail) = payload.stamped(seq);
        let message = receive(&[head, tail].concat());
        assert_eq!(payload.size(seq), message.len());
        for chunk in [1, 100, 177, usize::MAX] {
            let mut octets = Vec::new();
            while octets.len() < message.len() {
                let until = octets.len().saturating_add(chunk).min(message.len());
                let (first, second) = payload.stamped_octets(seq, octets.len()..until);
                octets.extend_from_slice(first);
                octets.extend_from_slice(second);
                assert_eq!(octets.len(), until);
            }
            assert_eq!(octets, message, "chunks of {chunk}");
        }
        let line = token::HEADER.len() + token::LEN + 2;
        let text = std::str::from_utf8(&message[token::HEADER.len()..line - 2]).unwrap();
        let found = token::Token::parse(text).unwrap();
        assert_eq!((found.run, found.seq), (7, seq));
        let covered = payload.covered(seq);
        assert!(found.proves(covered), "the token is that of what is sent");
        assert_eq!(covered.content, token::digest_of(&message[line..]), "the digest covers the rest");
        message[line..].to_vec()
    }

    proptest! {
        #[test]
        fn a_generated_body_has_the_size_asked_for(len in BODY_MIN..3000, seq in 0u64..1000) {
            let message = check(&Content::Generated { min: len, max: len, is_utf8: seq.is_multiple_of(2) }, seq);
            let body = message.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            prop_assert_eq!((message.len() - body) as u64, len);
        }

        #[test]
        fn sizes_of_a_range_stay_in_it(min in BODY_MIN..2000, more in 0u64..9000, seq: u64) {
            let seq = seq % token::SEQ_LIMIT;
            let message = check(&Content::Generated { min, max: min + more, is_utf8: seq.is_multiple_of(2) }, seq);
            let body = message.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            let len = (message.len() - body) as u64;
            prop_assert!((min..=min + more + 1).contains(&len), "{} of {}..{}", len, min, min + more);
        }

        #[test]
        fn a_file_arrives_as_it_was_but_for_line_ends(
            bytes in prop::collection::vec(prop::sample::select(b".\r\na".to_vec()), 0..60),
        ) {
            let got = check(&Content::File { name: "f".into(), bytes: bytes.clone() }, 1);
            // The oracle: replace CRLF, then every lone CR or LF, one byte at a time.
            let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n").replace('\r', "\n");
            let mut want = text.replace('\n', "\r\n");
            if !want.is_empty() && !want.ends_with("\r\n") {
                want.push_str("\r\n");
            }
            prop_assert_eq!(String::from_utf8(got).unwrap(), want);
        }
    }

    #[test]
    fn the_readme_names_the_length_of_the_header() {
        let envelope = Envelope::new("a@x".parse().unwrap(), "b@x".parse().unwrap(), 1, 1);
        let [plain, utf8] = [false, true].map(|is_utf8| {
            Payload::new(&Content::Generated { min: 2, max: 2, is_utf8 }, envelope.clone(), 1, 1).body_at
        });
        let words = format!("without the header ({plain} bytes, and {utf8} with `--smtputf8`)");
        assert!(include_str!("../../README.md").contains(&words), "{words}");
    }

    #[test]
    fn a_size_that_cuts_the_body_anywhere_never_ends_the_message_early() {
        for min in 2..200 {
            check(&Content::Generated { min, max: 255 + min, is_utf8: false }, min * 7919);
        }
        assert!(!body_of(500).contains(&b'.'));
    }

    #[test]
    fn a_range_draws_both_small_and_large() {
        let envelope = Envelope::new("a@x".parse().unwrap(), "b@x".parse().unwrap(), 1, 1);
        let mut payload =
            Payload::new(&Content::Generated { min: 10, max: 10_000, is_utf8: false }, envelope, 1, 1);
        let lens: Vec<usize> = (0..500)
            .map(|seq| {
                let (head, tail) = payload.stamped(seq);
                head.len() + tail.len()
            })
            .collect();
        let (min, max) = (lens.iter().min().unwrap(), lens.iter().max().unwrap());
        assert!(max - min > 9_000, "{min}..{max}");
    }
}
