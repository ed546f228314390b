//! The token that every message carries, and the digest that proves its bytes.
//!
//! `X-Smtpload-Token: <run>-<seq>-<digest>`: eight hexadecimal digits naming the run,
//! twelve decimal digits counting its messages, sixteen hexadecimal digits of XXH3 over
//! the run, the sequence number and every byte after the token's line. A capture alone is
//! enough to prove a message unaltered.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The header field that carries the token.
pub(crate) const HEADER: &str = "X-Smtpload-Token: ";

/// Digits of the sequence number; a run's count is limited to what they hold.
pub(crate) const SEQ_DIGITS: usize = 12;

/// The largest number of messages in a run.
pub(crate) const SEQ_LIMIT: u64 = 1_000_000_000_000;

const RUN_DIGITS: usize = 8;
const DIGEST_DIGITS: usize = 16;

/// The token's length in bytes: run, seq and digest with their two hyphens.
pub(crate) const LEN: usize = RUN_DIGITS + 1 + SEQ_DIGITS + 1 + DIGEST_DIGITS;

/// The digest of what follows the token's line, dots not stuffed, line ends CRLF.
pub(crate) fn content_digest(content: &[u8]) -> u64 {
    xxh3_64(content)
}

/// Binds a content digest to one message of one run.
fn bind(run: u32, seq: u64, content: u64) -> u64 {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&run.to_be_bytes());
    bytes[4..12].copy_from_slice(&seq.to_be_bytes());
    bytes[12..].copy_from_slice(&content.to_be_bytes());
    xxh3_64_with_seed(&bytes, 0)
}

/// Writes the token of message `seq` into `place`, which is [`LEN`] bytes long.
pub(crate) fn stamp(place: &mut [u8], run: u32, seq: u64, content: u64) {
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
    write_hex(digest_at, bind(run, seq, content));
}

fn write_hex(place: &mut [u8], value: u64) {
    let mut left = value;
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
    }
}

/// A token read back from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) run: u32,
    pub(crate) seq: u64,
    digest: u64,
}

impl Token {
    /// Reads a token; `None` when `text` is not exactly one.
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

    /// Whether `content` is what was sent after the token's line.
    pub(crate) fn matches(&self, content: &[u8]) -> bool {
        bind(self.run, self.seq, content_digest(content)) == self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stamped_token_reads_back_and_knows_its_content(
            run: u32, seq in 0..SEQ_LIMIT, content: Vec<u8>, other: Vec<u8>,
        ) {
            let mut place = [0; LEN];
            stamp(&mut place, run, seq, content_digest(&content));
            let token = Token::parse(std::str::from_utf8(&place).unwrap()).unwrap();
            prop_assert_eq!((token.run, token.seq), (run, seq));
            prop_assert!(token.matches(&content));
            prop_assert_eq!(token.matches(&other), other == content);
        }

        #[test]
        fn parsing_any_text_does_not_panic(text: String) {
            let _ = Token::parse(&text);
        }
    }
}
