//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Client, HeaderError, Scan};

pub(super) const SIGNATURE: &[u8] = b"PROXY";

/// The longest line, including CRLF: two IPv6 addresses of full length after `UNKNOWN` (section 2.1).
pub(super) const MAX_LINE: usize = 107;

/// Scans input that begins with the signature, or is the beginning of it.
pub(super) fn scan(input: &[u8]) -> Result<Scan<'_>, HeaderError> {
    let front = &input[..input.len().min(MAX_LINE)];
    let Some(end) = memchr::memchr(b'\n', front) else {
        return if front.len() < MAX_LINE { Ok(Scan::Incomplete) } else { Err(HeaderError::LineTooLong) };
    };
    let line = front[..end].strip_suffix(b"\r").ok_or(HeaderError::LineEnd)?;
    Ok(Scan::Whole { length: end + 1, client: client(&line[SIGNATURE.len().min(line.len())..])? })
}

/// Parses the text after `PROXY` up to the end of the line.
fn client(rest: &[u8]) -> Result<Client<'static>, HeaderError> {
    let mut words = rest.split(|octet| *octet == b' ');
    let (Some(b""), Some(protocol)) = (words.next(), words.next()) else {
        return Err(HeaderError::Words);
    };
    match protocol {
        // The rest must be ignored.
        b"UNKNOWN" => Ok(Client::Unnamed),
        b"TCP4" => ends::<Ipv4Addr>(words),
        b"TCP6" => ends::<Ipv6Addr>(words),
        b"" => Err(HeaderError::Words),
        _ => Err(HeaderError::Protocol),
    }
}

fn ends<'l, A: FromStr + Into<IpAddr>>(
    words: impl Iterator<Item = &'l [u8]>,
) -> Result<Client<'static>, HeaderError> {
    let words: Vec<&[u8]> = words.collect();
    let &[source, destination, source_port, destination_port] = words.as_slice() else {
        return Err(HeaderError::Words);
    };
    if words.contains(&&b""[..]) {
        return Err(HeaderError::Words);
    }
    Ok(Client::Inet {
        source: (address::<A>(source)?, port(source_port)?),
        destination: (address::<A>(destination)?, port(destination_port)?),
    })
}

fn address<A: FromStr + Into<IpAddr>>(word: &[u8]) -> Result<IpAddr, HeaderError> {
    let word = str::from_utf8(word).map_err(|_| HeaderError::Address)?;
    word.parse::<A>().map(Into::into).map_err(|_| HeaderError::Address)
}

fn port(word: &[u8]) -> Result<u16, HeaderError> {
    let is_decimal = word.iter().all(u8::is_ascii_digit) && (word[0] != b'0' || word.len() == 1);
    let port = str::from_utf8(word).ok().filter(|_| is_decimal);
    port.and_then(|port| port.parse().ok()).ok_or(HeaderError::Port)
}
