//! Cases from aiosmtpd's tests of the PROXY protocol, rewritten, and headers built from their addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A header of version 2.
fn v2(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("short");
    [v2::SIGNATURE, &[version_and_command, family], &length.to_be_bytes(), block].concat()
}

fn inet(source: &str, destination: &str, ports: (u16, u16)) -> Client<'static> {
    let ip = |text: &str| text.parse().expect("an address");
    Client::Inet { source: (ip(source), ports.0), destination: (ip(destination), ports.1) }
}

#[test]
fn lines_that_are_headers() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(longest.len(), v1::MAX_LINE);
    let dead = inet("2020:dead::1", "2021:cafe::2", (8000, 65535));
    for (line, client) in [
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n", inet("1.2.3.4", "5.6.7.8", (0, 65535))),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            inet("255.255.255.255", "255.255.255.255", (65535, 65535)),
        ),
        ("PROXY TCP6 2020:dead::0001 2021:cafe::0002 8000 65535\r\n", dead),
        ("PROXY TCP6 2020:DEAD:0:0:0:0:0:1 2021:cafe:0000:0000:0000:0000:0000:0002 8000 65535\r\n", dead),
        ("PROXY UNKNOWN\r\n", Client::Unnamed),
        ("PROXY UNKNOWN whatever\r\n", Client::Unnamed),
        ("PROXY UNKNOWN  \0 \r\r\n", Client::Unnamed),
        (&longest, Client::Unnamed),
    ] {
        let behind = format!("{line}EHLO a.example\r\n");
        assert_eq!(scan(behind.as_bytes()), Ok(Scan::Whole { length: line.len(), client }), "{line}");
    }
}

#[test]
fn lines_that_are_none() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
    let endless = "PROXY ".repeat(20);
    for (line, error) in [
        (&*too_long, HeaderError::LineTooLong),
        (&endless, HeaderError::LineTooLong),
        ("PROXY UNKNOWN\n", HeaderError::LineEnd),
        ("PROXY\r\n", HeaderError::Words),
        ("PROXY \r\n", HeaderError::Words),
        ("PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n", HeaderError::Words),
        ("PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", HeaderError::Words),
        ("PROXY TCP4\r\n", HeaderError::Words),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", HeaderError::Words),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", HeaderError::Words),
        ("PROXY TCP6  2020:dead::1 2021:cafe::2 1 2\r\n", HeaderError::Words),
        ("PROXY TCP6 2020:dead::1  2021:cafe::2 1 2\r\n", HeaderError::Words),
        ("PROXY TCP6 2020:dead::1 2021:cafe::2  1 2\r\n", HeaderError::Words),
        ("PROXY TCP6 2020:dead::1 2021:cafe::2 1  2\r\n", HeaderError::Words),
        ("PROXY TCP6 2020:dead::1 2021:cafe::2 1 2 \r\n", HeaderError::Words),
        ("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", HeaderError::Protocol),
        ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", HeaderError::Protocol),
        ("PROXY UNKNOWNS\r\n", HeaderError::Protocol),
        ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", HeaderError::Address),
        ("PROXY TCP6 1.2.3.4 2021:cafe::2 1 2\r\n", HeaderError::Address),
        ("PROXY TCP4 2020:dead::1 2021:cafe::2 1 2\r\n", HeaderError::Address),
        ("PROXY TCP6 2020:dead::g 2021:cafe::2 1 2\r\n", HeaderError::Address),
        ("PROXY TCP6 2020:dead::1 2021:cafe::h 1 2\r\n", HeaderError::Address),
        ("PROXY TCP6 [2020:dead::1] 2021:cafe::2 1 2\r\n", HeaderError::Address),
        ("PROXY TCP6 fe80::1%eth0 2021:cafe::2 1 2\r\n", HeaderError::Address),
        ("PROXY TCP4 1.2.3.a 5.6.7.8 1 2\r\n", HeaderError::Address),
        ("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", HeaderError::Address),
        ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", HeaderError::Address),
        ("PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", HeaderError::Address),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", HeaderError::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", HeaderError::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 02501 2\r\n", HeaderError::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", HeaderError::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", HeaderError::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 99999999999999999999\r\n", HeaderError::Port),
    ] {
        assert_eq!(scan(line.as_bytes()), Err(error), "{line:?}");
    }
}

#[test]
fn binary_headers_that_are_some() {
    let (v4, v6) = ([10, 212, 4, 33, 10, 11, 12, 13, 0, 0, 255, 255], [7; 36]);
    let path = |path: &str| [path.as_bytes(), &vec![0; 108 - path.len()]].concat();
    let paths = [path("/proc/source"), path("/proc/dest")].concat();
    let abstract_name = [path("\0name"), vec![b'x'; 108]].concat();
    let ip = IpAddr::from([7; 16]);
    let named = inet("10.212.4.33", "10.11.12.13", (0, 65535));
    for (command, family, block, client) in [
        (0x21, 0x11, &v4[..], named),
        (0x21, 0x11, &[&v4[..], b"\x04\0\0", b"\xff\0\x04yeah"].concat(), named),
        (0x21, 0x21, &v6, Client::Inet { source: (ip, 0x0707), destination: (ip, 0x0707) }),
        (0x21, 0x31, &paths, Client::Unix { source: b"/proc/source", destination: b"/proc/dest" }),
        (0x21, 0x31, &abstract_name, Client::Unix { source: b"", destination: &[b'x'; 108] }),
        // Datagrams.
        (0x21, 0x12, &v4, Client::Unnamed),
        (0x21, 0x22, &v6, Client::Unnamed),
        (0x21, 0x32, &paths, Client::Unnamed),
        (0x21, 0x00, b"", Client::Unnamed),
        (0x21, 0x00, b"asdfghjkl", Client::Unnamed),
        // Nothing else of LOCAL is checked.
        (0x20, 0x00, b"", Client::Unnamed),
        (0x20, 0x00, b"asdfghjkl", Client::Unnamed),
        (0x20, 0x11, b"fake_tlv", Client::Unnamed),
        (0x20, 0x10, b"whatever", Client::Unnamed),
        (0x20, 0x43, b"", Client::Unnamed),
        (0x20, 0x11, &[0; MAX_HEADER - 16], Client::Unnamed),
    ] {
        let header = v2(command, family, block);
        let behind = [&header[..], b"NOOP\r\n"].concat();
        assert_eq!(
            scan(&behind),
            Ok(Scan::Whole { length: header.len(), client }),
            "{command:#x} {family:#x}"
        );
    }
}

#[test]
fn binary_headers_that_are_none() {
    let v4 = [10, 212, 4, 33, 10, 11, 12, 13, 0, 0, 255, 255];
    let tlvs = |tlvs: &[u8]| [&v4, tlvs].concat();
    for (command, family, block, error) in [
        (0x11, 0x11, &v4[..], HeaderError::Version(1)),
        (0x31, 0x11, &v4, HeaderError::Version(3)),
        (0x22, 0x11, &v4, HeaderError::Command(2)),
        (0x2f, 0x11, &v4, HeaderError::Command(15)),
        (0x21, 0x01, &v4, HeaderError::Family(0x01)),
        (0x21, 0x10, &v4, HeaderError::Family(0x10)),
        (0x21, 0x13, &v4, HeaderError::Family(0x13)),
        (0x21, 0x41, &v4, HeaderError::Family(0x41)),
        (0x21, 0x11, &v4[..11], HeaderError::AddressesCut),
        (0x21, 0x21, &v4, HeaderError::AddressesCut),
        (0x21, 0x31, &[0; 215], HeaderError::AddressesCut),
        (0x21, 0x12, b"", HeaderError::AddressesCut),
        (0x21, 0x11, &tlvs(b"fake_tlv"), HeaderError::TlvCut),
        (0x21, 0x11, &tlvs(b"\x04"), HeaderError::TlvCut),
        (0x21, 0x11, &tlvs(b"\x04\0"), HeaderError::TlvCut),
        (0x21, 0x11, &tlvs(b"\x04\0\x01"), HeaderError::TlvCut),
        (0x21, 0x11, &tlvs(b"\x03\0\x04abcd"), HeaderError::Checksum),
        (0x21, 0x11, &tlvs(b"\x03\0\x03abc"), HeaderError::Checksum),
        (0x20, 0x11, &[0; MAX_HEADER - 15], HeaderError::TooLong(MAX_HEADER + 1)),
    ] {
        assert_eq!(scan(&v2(command, family, block)), Err(error), "{command:#x} {family:#x} {block:?}");
    }
}

#[test]
fn what_begins_otherwise_is_smtp() {
    for input in [
        "HELO example.org\r\n",
        "NOTPROX TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROX\r\n",
        "\r\n\r\n\0\r\nQUIP\n",
        "\n",
    ] {
        assert_eq!(scan(input.as_bytes()), Ok(Scan::Absent), "{input:?}");
    }
    for input in ["", "P", "PROXY", "\r", "\r\n\r\n\0\r\nQUIT", "\r\n\r\n\0\r\nQUIT\n"] {
        assert_eq!(scan(input.as_bytes()), Ok(Scan::Incomplete), "{input:?}");
    }
}

#[test]
fn a_checksum_is_that_of_the_header_with_zeros_in_its_place() {
    assert_eq!(v2::crc32c(b"123456789".iter().copied()), 0xe306_9283, "the check value of CRC-32C");
    let v4 = [10, 212, 4, 33, 10, 11, 12, 13, 0, 0, 255, 255];
    let mut header = v2(0x21, 0x11, &[&v4[..], b"\x03\0\x04\0\0\0\0", b"\x02\0\x01a"].concat());
    let sum = v2::crc32c(header.iter().copied()).to_be_bytes();
    header[31..35].copy_from_slice(&sum);
    assert!(matches!(scan(&header), Ok(Scan::Whole { .. })));
    // Octet 28 is the type: without it no TLV is a checksum.
    for at in (16..header.len()).filter(|at| *at != 28) {
        let mut other = header.clone();
        other[at] ^= 1;
        assert!(scan(&other).is_err(), "octet {at}");
    }
}

/// The header at the start, parsed word by word; `None` without a whole one.
fn naive(input: &[u8]) -> Option<(usize, Client<'_>)> {
    if input.starts_with(b"PROXY") { naive_line(input) } else { naive_binary(input) }
}

fn naive_line(input: &[u8]) -> Option<(usize, Client<'static>)> {
    let text: String = input.iter().take(v1::MAX_LINE).map(|octet| char::from(*octet)).collect();
    let line = text.split_once('\n')?.0.strip_suffix('\r')?;
    let length = line.chars().count() + 2;
    let v4 = |word: &str| word.parse::<Ipv4Addr>().ok().filter(|ip| ip.to_string() == word).map(IpAddr::V4);
    let v6 = |word: &str| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let port = |word: &str| word.parse::<u16>().ok().filter(|port| port.to_string() == word);
    let ends = |source, destination, from, to| {
        Some(Client::Inet { source: (source?, port(from)?), destination: (destination?, port(to)?) })
    };
    let client = match line.split(' ').collect::<Vec<_>>()[..] {
        ["PROXY", "UNKNOWN", ..] => Client::Unnamed,
        ["PROXY", "TCP4", source, destination, from, to] => ends(v4(source), v4(destination), from, to)?,
        ["PROXY", "TCP6", source, destination, from, to] => ends(v6(source), v6(destination), from, to)?,
        _ => return None,
    };
    Some((length, client))
}

/// Without checksums.
fn naive_binary(input: &[u8]) -> Option<(usize, Client<'_>)> {
    let rest = input.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
    let (command, family) = (*rest.first()?, *rest.get(1)?);
    let size = usize::from(*rest.get(2)?) * 256 + usize::from(*rest.get(3)?);
    let block = rest.get(4..4 + size).filter(|_| 16 + size <= MAX_HEADER)?;
    let number = |at: usize| u16::from(block[at]) * 256 + u16::from(block[at + 1]);
    let path = |at: usize| block[at..at + 108].split(|octet| *octet == 0).next().unwrap_or_default();
    let v4 = |at: usize| IpAddr::from([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let v6 = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&block[at..at + 16]).expect("16"));
    let addresses = match (command, family) {
        (0x20, _) | (0x21, 0x00) => return Some((16 + size, Client::Unnamed)),
        (0x21, 0x11 | 0x12) => 12,
        (0x21, 0x21 | 0x22) => 36,
        (0x21, 0x31 | 0x32) => 216,
        _ => return None,
    };
    let mut tlvs = block.get(addresses..)?;
    while !tlvs.is_empty() {
        let value = usize::from(*tlvs.get(1)?) * 256 + usize::from(*tlvs.get(2)?);
        tlvs = tlvs.get(3 + value..)?;
    }
    let client = match family {
        0x11 => Client::Inet { source: (v4(0), number(8)), destination: (v4(4), number(10)) },
        0x21 => Client::Inet { source: (v6(0), number(32)), destination: (v6(16), number(34)) },
        0x31 => Client::Unix { source: path(0), destination: path(108) },
        _ => Client::Unnamed,
    };
    Some((16 + size, client))
}

/// Lines of words from headers and others, with or without a single space between them.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(
        &[
            "TCP4",
            "TCP6",
            "UNKNOWN",
            "1.2.3.4",
            "01.2.3.4",
            "::1",
            "2001:DB8::1",
            "::ffff:1.2.3.4",
            "0",
            "1",
            "65535",
            "65536",
            "007",
            "+1",
            "",
            "x",
            "\r",
            "PROXY",
            "1.2.3.4 5.6.7.8 1 2",
            "TCP6 ::1 ::2 1 2",
            "TCP4 1.2.3.4 5.6.7.8 1 2",
        ][..],
    );
    let end = prop::sample::select(&["\r\n", "\n", "\r", " \r\n", ""][..]);
    (vec(word, 0..7), end).prop_map(|(words, end)| format!("PROXY {}{end}", words.join(" ")).into_bytes())
}

/// The endpoints in a header.
#[derive(Clone, Debug)]
enum Named {
    V4(Ipv4Addr, Ipv4Addr, u16, u16),
    V6(Ipv6Addr, Ipv6Addr, u16, u16),
    Nothing,
}

impl Named {
    fn client(&self) -> Client<'static> {
        match *self {
            Self::V4(source, destination, from, to) => {
                Client::Inet { source: (source.into(), from), destination: (destination.into(), to) }
            }
            Self::V6(source, destination, from, to) => {
                Client::Inet { source: (source.into(), from), destination: (destination.into(), to) }
            }
            Self::Nothing => Client::Unnamed,
        }
    }

    fn line(&self) -> Vec<u8> {
        let text = match self {
            Self::V4(source, destination, from, to) => format!("TCP4 {source} {destination} {from} {to}"),
            Self::V6(source, destination, from, to) => format!("TCP6 {source} {destination} {from} {to}"),
            Self::Nothing => "UNKNOWN".to_owned(),
        };
        format!("PROXY {text}\r\n").into_bytes()
    }

    fn binary(&self, tlvs: &[u8]) -> Vec<u8> {
        match self {
            Self::V4(source, destination, from, to) => {
                let addresses = [source.octets(), destination.octets()].concat();
                let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
                v2(0x21, 0x11, &[&addresses, &ports, tlvs].concat())
            }
            Self::V6(source, destination, from, to) => {
                let addresses = [source.octets(), destination.octets()].concat();
                let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
                v2(0x21, 0x21, &[&addresses, &ports, tlvs].concat())
            }
            Self::Nothing => v2(0x20, 0, tlvs),
        }
    }
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![
        any::<([u8; 4], [u8; 4], u16, u16)>().prop_map(|(a, b, from, to)| Named::V4(
            a.into(),
            b.into(),
            from,
            to
        )),
        any::<([u8; 16], [u8; 16], u16, u16)>().prop_map(|(a, b, from, to)| Named::V6(
            a.into(),
            b.into(),
            from,
            to
        )),
        Just(Named::Nothing),
    ]
}

/// TLVs of all types except the checksum.
fn tlvs() -> impl Strategy<Value = Vec<u8>> {
    let tlv = (4_u8.., vec(any::<u8>(), 0..40)).prop_map(|(kind, value)| {
        let length = u16::try_from(value.len()).expect("short").to_be_bytes();
        [&[kind], &length[..], &value].concat()
    });
    vec(tlv, 0..6).prop_map(|tlvs| tlvs.concat())
}

proptest! {
    #[test]
    fn a_header_is_read_as_it_was_written_wherever_it_is_cut(
        named in named(),
        tlvs in tlvs(),
        is_binary: bool,
        behind in vec(any::<u8>(), 0..20),
    ) {
        let header = if is_binary { named.binary(&tlvs) } else { named.line() };
        let input = [&header[..], &behind].concat();
        for end in 0..header.len() {
            prop_assert_eq!(scan(&input[..end]), Ok(Scan::Incomplete), "after {} octets", end);
        }
        let whole = Ok(Scan::Whole { length: header.len(), client: named.client() });
        for end in header.len()..=input.len() {
            prop_assert_eq!(scan(&input[..end]), whole, "after {} octets", end);
        }
    }

    #[test]
    fn headers_are_read_as_by_a_simple_reading(
        named in named(),
        tlvs in tlvs(),
        paths in vec(any::<u8>(), 216),
        words in words(),
        kind in 0..4,
        changes in vec((any::<Index>(), any::<u8>()), 0..3),
        behind in vec(any::<u8>(), 0..20),
    ) {
        let mut input = match kind {
            0 => named.line(),
            1 => named.binary(&tlvs),
            2 => v2(0x21, 0x31, &[&paths[..], &tlvs].concat()),
            _ => words,
        };
        for (at, octet) in changes {
            let at = at.index(input.len());
            input[at] = octet;
        }
        input.extend(behind);
        let outcome = scan(&input);
        // Checksums are tested separately.
        prop_assume!(outcome != Err(HeaderError::Checksum));
        let found = match outcome {
            Ok(Scan::Whole { length, client }) => Some((length, client)),
            _ => None,
        };
        prop_assert_eq!(found, naive(&input), "{:?}: {:?}", outcome, input.escape_ascii().to_string());
    }

    #[test]
    fn more_octets_never_change_an_outcome(
        named in named(),
        is_binary: bool,
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        behind in vec(any::<u8>(), 0..300),
    ) {
        let mut input = if is_binary { named.binary(b"") } else { named.line() };
        for (at, octet) in changes {
            let at = at.index(input.len());
            input[at] = octet;
        }
        input.extend(behind);
        let mut outcome = Ok(Scan::Incomplete);
        for end in 0..=input.len() {
            let next = scan(&input[..end]);
            if outcome != Ok(Scan::Incomplete) {
                prop_assert_eq!(next, outcome, "after {} octets", end);
            }
            if let Ok(Scan::Whole { length, .. }) = next {
                prop_assert!(length <= end && length <= MAX_HEADER);
            }
            outcome = next;
        }
        input.resize(input.len().max(MAX_HEADER), b'x');
        prop_assert!(scan(&input) != Ok(Scan::Incomplete));
    }
}
