//! Errors of PROXY headers.

use std::fmt;

use super::{MAX_HEADER, v1};

/// Why input that begins like a header of the PROXY protocol is invalid. Displays what was found and what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// Version 1: no line feed within 107 octets.
    LineTooLong,
    /// Version 1: the line ends with only a line feed.
    LineEnd,
    /// Version 1: the words are not six, or not separated by single spaces.
    Words,
    /// Version 1: a protocol other than `TCP4`, `TCP6` and `UNKNOWN`.
    Protocol,
    /// Version 1: an address of another family than the protocol's.
    Address,
    /// Version 1: a port that is not a decimal number up to 65535 without leading zeros.
    Port,
    /// A version other than 2 after the signature of version 2.
    Version(u8),
    /// Version 2: a command other than LOCAL and PROXY.
    Command(u8),
    /// Version 2: an octet of address family and transport that is not in the specification.
    Family(u8),
    /// Version 2: longer than [`MAX_HEADER`].
    TooLong(usize),
    /// Version 2: too short for its addresses.
    AddressesCut,
    /// Version 2: a TLV exceeds the end of the header.
    TlvCut,
    /// Version 2: the checksum is wrong, or not the only one.
    Checksum,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "a line of more than {} octets, CRLF included", v1::MAX_LINE),
            Self::LineEnd => f.write_str("a line that ends with LF, expected CRLF"),
            Self::Words => f.write_str(
                "expected six words with one space between them, PROXY TCP4 SOURCE DESTINATION PORT PORT, or PROXY \
                 UNKNOWN",
            ),
            Self::Protocol => f.write_str("an unknown protocol, expected TCP4, TCP6 or UNKNOWN"),
            Self::Address => f.write_str("an address that is none of the named family"),
            Self::Port => f.write_str("a port that is no number from 0 to 65535 without leading zeros"),
            Self::Version(version) => write!(f, "version {version}, expected 2"),
            Self::Command(command) => write!(f, "command {command}, expected 0 (LOCAL) or 1 (PROXY)"),
            Self::Family(octet) => {
                write!(f, "address family and transport {octet:#04x}, expected 0x00, 0x11, 0x12, 0x21, 0x22, 0x31 or 0x32")
            }
            Self::TooLong(length) => write!(f, "{length} octets, expected at most {MAX_HEADER}"),
            Self::AddressesCut => f.write_str("fewer octets than the addresses of its family take"),
            Self::TlvCut => f.write_str("a TLV that goes beyond the end of the header"),
            Self::Checksum => f.write_str("a CRC32c that is not that of the header, or a second one"),
        }
    }
}

impl std::error::Error for HeaderError {}
