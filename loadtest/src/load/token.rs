//! The token of every message, with the digest that proves its bytes.
//!
//! The first line of every message is `X-Smtpload-Token: <run>-<seq>-<digest>` and CRLF: eight hexadecimal digits
//! naming the run, twelve decimal digits counting its messages, sixteen hexadecimal digits of XXH3 (64 bits, seed 0)
//! over these 28 octets, numbers with the highest octet first:
//!
//! ```text
//! run (4)  seq (8)  XXH3 of the content (8)  XXH3 of the envelope (8)
//! ```
//!
//! The content is every octet after the token's line, without dot-stuffing, including the last line end. The envelope
//! is the reverse-path and every forward-path in the order in which they are sent, without angle brackets, each
//! followed by LF. A capture alone proves that a message and its envelope are unaltered.

use xxhash_rust::xxh3::xxh3_64;

use crate::load::start::StartAt;

/// The header field of the token.
pub(crate) const HEADER: &str = "X-Smtpload-Token: ";

/// Digits of the sequence number; they limit the count of a run.
pub(crate) const SEQ_DIGITS: usize = 12;

/// The largest number of messages in a run.
pub(crate) const SEQ_LIMIT: u64 = 1_000_000_000_000;

const RUN_DIGITS: usize = 8;
const DIGEST_DIGITS: usize = 16;

/// The token's length in bytes: run, seq and digest with their two hyphens.
pub(crate) const LEN: usize = RUN_DIGITS + 1 + SEQ_DIGITS + 1 + DIGEST_DIGITS;

/// The id of a run that is cut into parts, the same for all of them: by its seed and the instant of its start, if that
/// is set.
pub(crate) fn run_of(seed: u64, start_at: Option<StartAt>) -> u32 {
    let start = start_at.map_or(0, |start| start.elapsed().as_nanos());
    (xxh3_64(&[&seed.to_be_bytes()[..], &start.to_be_bytes()].concat()) >> 32) as u32
}

/// The digest of content, or of the paths of an envelope.
pub(crate) fn digest_of(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// What a token covers of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Covered {
    /// The digest of what follows the token's line.
    pub(crate) content: u64,
    /// The digest of the paths.
    pub(crate) envelope: u64,
}

/// The digest of one message of one run.
fn bind(run: u32, seq: u64, covered: Covered) -> u64 {
    let mut bytes = [0; 28];
    bytes[..4].copy_from_slice(&run.to_be_bytes());
    bytes[4..12].copy_from_slice(&seq.to_be_bytes());
    bytes[12..20].copy_from_slice(&covered.content.to_be_bytes());
    bytes[20..].copy_from_slice(&covered.envelope.to_be_bytes());
    xxh3_64(&bytes)
}

/// Writes the token of message `seq` into `place`, which is [`LEN`] bytes long.
pub(crate) fn stamp(place: &mut [u8], run: u32, seq: u64, covered: Covered) {
    debug_assert_eq!(place.len(), LEN);
    place.fill(b'-');
    let (run_at, rest) = place.split_at_mut(RUN_DIGITS + 1);
    let (seq_at, digest_at) = rest.split_at_mut(SEQ_DIGITS + 1);
    write_hex(&mut run_at[..RUN_DIGITS], u64::from(run));
    let mut left = seq;
    for digit in seq_at[..SEQ_DIGITS].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    write_hex(digest_at, bind(run, seq, covered));
}

fn write_hex(place: &mut [u8], value: u64) {
    let mut left = value;
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
    }
}

/// A token read from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) run: u32,
    pub(crate) seq: u64,
    digest: u64,
}

impl Token {
    /// Reads a token; `None` if `text` is not exactly a token.
    pub(crate) fn parse(text: &str) -> Option<Token> {
        if text.len() != LEN || !text.is_ascii() {
            return None;
        }
        let mut fields = text.split('-');
        let (run, seq, digest) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() || run.len() != RUN_DIGITS || seq.len() != SEQ_DIGITS {
            return None;
        }
        Some(Token {
            run: u32::from_str_radix(run, 16).ok()?,
            seq: seq.parse().ok()?,
            digest: u64::from_str_radix(digest, 16).ok()?,
        })
    }

    /// Whether this is the token of a message with this content and envelope.
    pub(crate) fn proves(&self, covered: Covered) -> bool {
        bind(self.run, self.seq, covered) == self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stamped_token_reads_back_and_proves_what_it_covers(
            run: u32, seq in 0..SEQ_LIMIT, content: u64, envelope: u64, other: u64,
        ) {
            let covered = Covered { content, envelope };
            let mut place = [0; LEN];
            stamp(&mut place, run, seq, covered);
            let token = Token::parse(std::str::from_utf8(&place).unwrap()).unwrap();
            prop_assert_eq!((token.run, token.seq), (run, seq));
            prop_assert!(token.proves(covered));
            prop_assert_eq!(token.proves(Covered { content: other, ..covered }), other == content);
            prop_assert_eq!(token.proves(Covered { envelope: other, ..covered }), other == envelope);
        }

        #[test]
        fn parsing_any_text_does_not_panic(text: String) {
            let _ = Token::parse(&text);
        }
    }
}
