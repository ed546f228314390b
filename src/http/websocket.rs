//! WebSockets (RFC 6455), as far as an event server needs them: the handshake, text frames to the client, and frames from the
//! client, of which only close and ping matter. Pure.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};

/// Appended to the client's key to compute `Sec-WebSocket-Accept` (section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Octets of the payload of a client's frame: clients have no reason to send more.
const LONGEST: usize = 4096;

/// A frame of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Anything that is not answered.
    Ignored,
    Ping(Vec<u8>),
    Close,
}

/// Why a connection is closed (section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    Protocol = 1002,
    TooLarge = 1009,
}

/// The value of `Sec-WebSocket-Accept`, if these fields request a WebSocket.
pub(super) fn accepts(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?.trim();
    let is_key = BASE64.decode(key).is_ok_and(|octets| octets.len() == 16);
    if !is_key
        || !has(CONNECTION, "upgrade")
        || !has(UPGRADE, "websocket")
        || !has(SEC_WEBSOCKET_VERSION, "13")
    {
        return None;
    }
    HeaderValue::try_from(accept_of(key)).ok()
}

/// The header field of the value that [`accepts`] returns.
pub(super) const ACCEPT: HeaderName = SEC_WEBSOCKET_ACCEPT;

fn accept_of(key: &str) -> String {
    use sha1::Digest as _;
    BASE64.encode(sha1::Sha1::digest(format!("{key}{GUID}")))
}

/// A frame with this text.
pub(super) fn text(text: &str) -> Vec<u8> {
    frame(0x1, text.as_bytes())
}

pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(0xA, payload)
}

pub(super) fn ping() -> Vec<u8> {
    frame(0x9, b"")
}

/// A close frame; status 1000 (normal closure) without a breach.
pub(super) fn close(breach: Option<Breach>) -> Vec<u8> {
    let code = breach.map_or(1000, |breach| breach as u16);
    frame(0x8, &code.to_be_bytes())
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(length as u8),
        length => match u16::try_from(length) {
            Ok(length) => {
                frame.push(126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        },
    }
    frame.extend_from_slice(payload);
    frame
}

/// Removes and returns the first frame of `arrived`; `None` while it is incomplete.
///
/// # Errors
/// The client breaks the protocol, or sends more than it may.
pub(super) fn next(arrived: &mut Vec<u8>) -> Result<Option<Incoming>, Breach> {
    let [first, second, rest @ ..] = &arrived[..] else { return Ok(None) };
    // Frames of clients are masked (section 5.1), and no extension has been agreed on.
    if second & 0x80 == 0 || first & 0x70 != 0 {
        return Err(Breach::Protocol);
    }
    let (length, rest) = match second & 0x7f {
        126 => match rest {
            [high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            _ => return Ok(None),
        },
        127 => return Err(Breach::TooLarge),
        length => (usize::from(length), rest),
    };
    if length > LONGEST {
        return Err(Breach::TooLarge);
    }
    let opcode = first & 0x0f;
    // Control frames are short and whole (section 5.5).
    if opcode & 0x8 != 0 && (length > 125 || first & 0x80 == 0) {
        return Err(Breach::Protocol);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some(masked) = rest.get(..length) else { return Ok(None) };
    let payload = || masked.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask).collect();
    let incoming = match opcode {
        0x0..=0x2 | 0xA => Incoming::Ignored,
        0x8 => Incoming::Close,
        0x9 => Incoming::Ping(payload()),
        _ => return Err(Breach::Protocol),
    };
    let taken = arrived.len() - rest.len() + length;
    arrived.drain(..taken);
    Ok(Some(incoming))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let plain = frame(opcode, payload);
        let (head, payload) = plain.split_at(plain.len() - payload.len());
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask);
        let mut octets = head.to_vec();
        octets[1] |= 0x80;
        octets.into_iter().chain(mask).chain(payload).collect()
    }

    #[test]
    fn the_handshake_is_that_of_the_standard() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            assert_eq!(accepts(&headers), None);
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(accepts(&headers).expect("a WebSocket"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("c2hvcnQ="));
        assert_eq!(accepts(&headers), None);
    }

    #[test]
    fn what_breaks_the_protocol_is_a_breach() {
        for (octets, breach) in [
            (frame(0x9, b"not masked"), Breach::Protocol),
            (masked(0x3, b""), Breach::Protocol),
            (masked(0x9, &[0; 126]), Breach::Protocol),
            (masked(0x1, &[0; LONGEST + 1]), Breach::TooLarge),
            (vec![0x81, 0xff], Breach::TooLarge),
            (vec![0xc1, 0x80], Breach::Protocol),
            (vec![0x09, 0x80], Breach::Protocol),
        ] {
            assert_eq!(next(&mut octets.clone()), Err(breach), "{octets:?}");
        }
    }

    proptest! {
        #[test]
        fn frames_are_read_however_they_arrive(payload in prop::collection::vec(any::<u8>(), 0..125), text in "\\PC{0,300}") {
            let all = [masked(0x1, text.as_bytes()), masked(0x9, &payload), masked(0x8, b"")].concat();
            let (mut arrived, mut found) = (Vec::new(), Vec::new());
            for octet in all {
                arrived.push(octet);
                found.extend(next(&mut arrived).expect("no breach"));
            }
            prop_assert_eq!(found, [Incoming::Ignored, Incoming::Ping(payload), Incoming::Close]);
            prop_assert!(arrived.is_empty());
        }

        #[test]
        fn whatever_arrives_is_read_within_a_bound(octets: Vec<u8>) {
            let mut arrived = octets;
            let before = arrived.len();
            if let Ok(Some(_)) = next(&mut arrived) {
                prop_assert!(arrived.len() < before);
            }
        }
    }
}
