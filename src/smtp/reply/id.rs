//! Ids of records: a sender that logs the reply to its message can find its record.

use std::fmt;
use std::str::FromStr;

use crate::smtp::reply::wire::Wire;

/// Letters of a tag, five bits each: digits and lower-case letters without `i`, `l`, `o` and `u`, which are easily
/// misread.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const LENGTH: usize = 8;

/// Distinguishes the records of one run of a server from those of all others, drawn at random when the server starts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerTag([u8; LENGTH]);

impl ServerTag {
    /// The tag of the lower 40 bits of this number. Among a thousand random tags a collision has a probability of one
    /// in two million.
    pub const fn new(number: u64) -> Self {
        let (mut tag, mut place) = ([0; LENGTH], 0);
        while place < LENGTH {
            tag[LENGTH - 1 - place] = LETTERS[(number >> (5 * place)) as usize % LETTERS.len()];
            place += 1;
        }
        Self(tag)
    }
}

impl Default for ServerTag {
    /// The tag of zero.
    fn default() -> Self {
        const { Self::new(0) }
    }
}

impl fmt::Debug for ServerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ServerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

/// The id of a record: the server's tag, the number of the session, and that of the mail transaction in it. It is
/// unique across servers. It is an atom (RFC 5321 section 4.1.2).
///
/// ```
/// use smtpmock::smtp::{RecordId, ServerTag};
///
/// let id = RecordId { server: ServerTag::new(0x12_3456_789a), session: 12, transaction: 3 };
/// assert_eq!(id.to_string(), "28t5cy4t-12-3");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    /// The server.
    pub server: ServerTag,
    /// Number of the session; the first is 1.
    pub session: u64,
    /// Number of the mail transaction in its session: counts each MAIL, accepted or not, from 1. Zero before the first:
    /// the id then has two parts.
    pub transaction: u32,
}

impl RecordId {
    pub(super) fn append_to(self, wire: &mut Wire) {
        self.append_with(b'-', wire);
    }

    /// With `x` instead of dashes: only letters and digits. It is unambiguous: the tag has a fixed length, and only
    /// numbers follow it.
    pub(super) fn append_plain_to(self, wire: &mut Wire) {
        self.append_with(b'x', wire);
    }

    fn append_with(self, separator: u8, wire: &mut Wire) {
        let Self { server, session, transaction } = self;
        // Built backwards, so that it is appended at once.
        let mut octets = [separator; LONGEST];
        let mut start = octets.len();
        if transaction > 0 {
            start = put_number(&mut octets, start, transaction.into()) - 1;
        }
        start = put_number(&mut octets, start, session) - 1 - LENGTH;
        octets[start..start + LENGTH].copy_from_slice(&server.0);
        wire.append(&octets[start..]);
    }
}

/// Octets of the longest id.
const LONGEST: usize = LENGTH + 1 + DIGITS + 1 + 10;

/// Digits of the longest number.
const DIGITS: usize = 20;

pub(super) fn append_number(wire: &mut Wire, number: u64) {
    let mut digits = [b'0'; DIGITS];
    let start = put_number(&mut digits, DIGITS, number);
    wire.append(&digits[start..]);
}

/// Writes a decimal number that ends before `end`. Returns its start.
fn put_number(octets: &mut [u8], end: usize, mut number: u64) -> usize {
    let mut start = end;
    loop {
        start -= 1;
        octets[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return start;
        }
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, session, transaction } = self;
        write!(f, "{server}-{session}")?;
        match transaction {
            0 => Ok(()),
            transaction => write!(f, "-{transaction}"),
        }
    }
}

impl FromStr for RecordId {
    type Err = NoRecordId;

    fn from_str(text: &str) -> Result<Self, NoRecordId> {
        let mut parts = text.split('-');
        let mut number = || parts.next().map(|digits| digits.parse::<u64>().map_err(|_| NoRecordId));
        let tag = text.as_bytes().get(..LENGTH).and_then(|tag| tag.try_into().ok()).ok_or(NoRecordId)?;
        number();
        let session = number().ok_or(NoRecordId)??;
        let transaction = number().unwrap_or(Ok(0))?;
        let transaction = u32::try_from(transaction).map_err(|_| NoRecordId)?;
        let id = Self { server: ServerTag(tag), session, transaction };
        // Only the canonical spelling of the numbers, and only letters of a tag.
        let is_it = tag.iter().all(|letter| LETTERS.contains(letter)) && id.to_string() == text;
        is_it.then_some(id).ok_or(NoRecordId)
    }
}

/// The text is not a [`RecordId`]. Its display is the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRecordId;

impl fmt::Display for NoRecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a message, like 28t5cy4t-12-3")
    }
}

impl std::error::Error for NoRecordId {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_in_a_reply_is_the_id_as_text_and_an_atom(number: u64, session: u64, transaction: u32) {
            let id = RecordId { server: ServerTag::new(number), session, transaction };
            let mut octets = Wire::default();
            id.append_to(&mut octets);
            let text = id.to_string();
            prop_assert_eq!(&*octets, text.as_bytes());
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert!(octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-'));
            prop_assert_eq!(ServerTag::new(number ^ 1 << 39) == id.server, false, "each of 40 bits counts");
        }

        #[test]
        fn what_reads_as_an_id_is_displayed_as_it_was(text in "[0-9a-z]{7,9}-[+0-9]{1,3}(-[0-9]{0,3}){0,2}|\\PC*") {
            let read = text.parse::<RecordId>();
            prop_assert!(read.is_err() || read.is_ok_and(|id| id.to_string() == text));
        }
    }
}
