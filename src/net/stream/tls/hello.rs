//! When a client's hello may be complete.

use super::RECORD;

/// The type of records of a handshake.
const HANDSHAKE: u8 = 22;
/// Most octets of a client's hello, one handshake message: the limit of rustls.
const MOST_HELLO: usize = 64 * 1024;
/// Most records of a client's hello, which usually needs one.
const MOST_RECORDS: usize = 1024;

/// Whether these octets may be a whole hello, or can't become one: handshake records whose first message is whole (RFC
/// 8446 sections 4 and 5.1). Until then they are only retained: a client that stops within its hello costs nothing
/// else.
pub(super) fn may_be_complete(octets: &[u8]) -> bool {
    let (mut rest, mut length) = (octets, 0);
    // The message header: type and length.
    let mut header = Vec::<u8>::with_capacity(4);
    for _ in 0..MOST_RECORDS {
        let Some((&[kind, major, _, high, low], behind)) = rest.split_first_chunk() else {
            // An incomplete record header.
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
