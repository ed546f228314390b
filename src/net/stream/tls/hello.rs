//! When the hello of a client is worth reading.

use super::RECORD;

/// The type of records of a handshake.
const HANDSHAKE: u8 = 22;
/// Octets of a client's hello, which is one message of a handshake: as many as rustls takes.
const MOST_HELLO: usize = 64 * 1024;
/// Records of a client's hello, which fits into one as a rule.
const MOST_RECORDS: usize = 1024;

/// Whether these octets may be all of a hello, or can't become one: records of a handshake whose first message is whole (RFC
/// 8446 sections 4 and 5.1). Until then they are only retained: a client that stops within its hello costs nothing else.
pub(super) fn may_be_complete(octets: &[u8]) -> bool {
    let (mut rest, mut length) = (octets, 0);
    // The header of the message: its type, and how long it is.
    let mut header = Vec::<u8>::with_capacity(4);
    for _ in 0..MOST_RECORDS {
        let Some((&[kind, major, _, high, low], behind)) = rest.split_first_chunk() else {
            // What is there of the header of a record.
            return rest.first().is_some_and(|kind| *kind != HANDSHAKE);
        };
        let size = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || size == 0 || size > RECORD {
            return true;
        }
        let Some((fragment, behind)) = behind.split_at_checked(size) else { return false };
        header.extend(fragment.iter().take(4 - header.len()));
        (rest, length) = (behind, length + size);
        if let [_, high, middle, low] = header[..] {
            let message = 4 + (usize::from(high) << 16) + (usize::from(middle) << 8) + usize::from(low);
            if length >= message || message > MOST_HELLO {
                return true;
            }
        }
    }
    true
}
