//! The header of the PROXY protocol: the first octets of a connection, by which a proxy names its client (versions 1
//! and 2 of the specification of HAProxy, `doc/proxy-protocol.txt`). Imports nothing; pure.

mod error;
mod v1;
mod v2;

use std::net::IpAddr;

pub use error::HeaderError;

/// The longest accepted header, in octets. Version 2 allows 65,551; those of real proxies have less than a hundred, or
/// some hundreds with TLVs.
pub const MAX_HEADER: usize = 4096;

/// The result of scanning the start of a connection's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scan<'i> {
    /// Part of a header, or empty: more octets are needed.
    Incomplete,
    /// No header: the input belongs to SMTP.
    Absent,
    /// A whole header. Input after it belongs to SMTP.
    Whole {
        /// Its length in octets.
        length: usize,
        /// The client that it names.
        client: Client<'i>,
    },
}

/// The client that a header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Client<'i> {
    /// None: the connection is the proxy's own (`LOCAL`), or the client's address is of an unknown kind (`UNKNOWN`).
    /// The addresses of the connection are unchanged.
    Unnamed,
    /// A client of TCP.
    Inet {
        /// The address that it connected from.
        source: (IpAddr, u16),
        /// The address that it connected to.
        destination: (IpAddr, u16),
    },
    /// A client of a Unix socket. An empty path is an unnamed socket.
    Unix {
        /// The path of its own socket.
        source: &'i [u8],
        /// The path that it connected to.
        destination: &'i [u8],
    },
}

/// Scans the first octets of a connection. More octets do not change the result unless it is [`Scan::Incomplete`],
/// which it never is for [`MAX_HEADER`] octets.
///
/// ```
/// use smtpmock::smtp::proxy::{self, Client, HeaderError, Scan};
///
/// let input = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\nEHLO c.example\r\n";
/// let client = Client::Inet {
///     source: ("192.0.2.1".parse()?, 4711),
///     destination: ("198.51.100.1".parse()?, 25),
/// };
/// assert_eq!(proxy::scan(input), Ok(Scan::Whole { length: 43, client }));
/// assert_eq!(proxy::scan(&input[..42]), Ok(Scan::Incomplete));
/// assert_eq!(proxy::scan(b"EHLO c.example\r\n"), Ok(Scan::Absent));
/// assert_eq!(proxy::scan(b"PROXY TCP5 a b 1 2\r\n"), Err(HeaderError::Protocol));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// # Errors
/// An invalid header: the connection must be closed.
pub fn scan(input: &[u8]) -> Result<Scan<'_>, HeaderError> {
    if begins_like(input, v1::SIGNATURE) {
        v1::scan(input)
    } else if begins_like(input, v2::SIGNATURE) {
        v2::scan(input)
    } else {
        Ok(Scan::Absent)
    }
}

/// Whether the input begins with a whole signature, as only a proxy's does. A client may send the beginning of one,
/// such as `P` or a line end.
pub(crate) fn has_signature(input: &[u8]) -> bool {
    [v1::SIGNATURE, v2::SIGNATURE].iter().any(|signature| input.starts_with(signature))
}

/// The input begins with the signature, or is the beginning of it.
fn begins_like(input: &[u8], signature: &[u8]) -> bool {
    let common = input.len().min(signature.len());
    input[..common] == signature[..common]
}

#[cfg(test)]
mod tests;
