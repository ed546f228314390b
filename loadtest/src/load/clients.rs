//! The addresses of clients that sessions show in a PROXY header, and the header (PROXY protocol, version 2). Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The first octets of a header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, a proxied connection.
const PROXIED: u8 = 0x21;

/// TCP over IPv4 and IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Ports of clients: those of users.
const PORT_FIRST: u64 = 1024;
const PORTS: u64 = 65536 - PORT_FIRST;

/// A range of addresses of one family, which are taken in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clients {
    /// The range as it was given.
    source: String,
    first: IpAddr,
    /// How many follow the first.
    more: u128,
}

impl Clients {
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The client of session `number`.
    fn client(&self, number: u64) -> SocketAddr {
        let offset = match self.more.checked_add(1) {
            Some(count) => u128::from(number) % count,
            None => u128::from(number),
        };
        let ip = match self.first {
            IpAddr::V4(first) => {
                IpAddr::V4((u32::from(first).wrapping_add(u32::try_from(offset).unwrap_or(0))).into())
            }
            IpAddr::V6(first) => IpAddr::V6(u128::from(first).wrapping_add(offset).into()),
        };
        let port = PORT_FIRST + number % PORTS;
        SocketAddr::new(ip, u16::try_from(port).unwrap_or(u16::MAX))
    }

    /// Appends the header of session `number` to `target`, if that has an address.
    pub(crate) fn header(&self, number: u64, target: Option<SocketAddr>, out: &mut Vec<u8>) {
        let client = self.client(number);
        let port = target.map_or(0, |target| target.port());
        out.extend_from_slice(SIGNATURE);
        out.push(PROXIED);
        match client.ip() {
            IpAddr::V4(ip) => {
                let to = match target.map(|target| target.ip()) {
                    Some(IpAddr::V4(to)) => to,
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                out.extend_from_slice(&[TCP4, 0, 12]);
                out.extend_from_slice(&ip.octets());
                out.extend_from_slice(&to.octets());
            }
            IpAddr::V6(ip) => {
                let to = match target.map(|target| target.ip()) {
                    Some(IpAddr::V4(to)) => to.to_ipv6_mapped(),
                    Some(IpAddr::V6(to)) => to,
                    None => Ipv6Addr::UNSPECIFIED,
                };
                out.extend_from_slice(&[TCP6, 0, 36]);
                out.extend_from_slice(&ip.octets());
                out.extend_from_slice(&to.octets());
            }
        }
        out.extend_from_slice(&client.port().to_be_bytes());
        out.extend_from_slice(&port.to_be_bytes());
    }
}

/// Why a text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeError {
    NoAddress,
    /// The addresses of the ends are of different families.
    Families,
    Reversed,
    /// A prefix that is longer than an address.
    Prefix,
    /// An address with bits behind the prefix.
    Bits,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RangeError::NoAddress => {
                "expected addresses of clients, like 10.0.0.0/16, 192.0.2.1-192.0.2.99 or 2001:db8::/64"
            }
            RangeError::Families => "the ends of the range are of different IP families",
            RangeError::Reversed => "the range goes from high to low; put the lower address first",
            RangeError::Prefix => {
                "the prefix is longer than the address: at most 32 with IPv4, 128 with IPv6"
            }
            RangeError::Bits => "the address has bits behind its prefix; set them to zero",
        })
    }
}

impl std::error::Error for RangeError {}

impl FromStr for Clients {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Clients, RangeError> {
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| RangeError::NoAddress);
        let (first, more) = if let Some((first, prefix)) = text.split_once('/') {
            let first = address(first)?;
            let prefix: u32 = prefix.trim().parse().map_err(|_| RangeError::NoAddress)?;
            let free =
                if first.is_ipv4() { 32u32 } else { 128 }.checked_sub(prefix).ok_or(RangeError::Prefix)?;
            let more = u128::MAX.checked_shr(128 - free).unwrap_or(0);
            if bits(first) & more != 0 {
                return Err(RangeError::Bits);
            }
            (first, more)
        } else if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (address(first)?, address(last)?);
            if first.is_ipv4() != last.is_ipv4() {
                return Err(RangeError::Families);
            }
            (first, bits(last).checked_sub(bits(first)).ok_or(RangeError::Reversed)?)
        } else {
            (address(text)?, 0)
        };
        Ok(Clients { source: text.trim().to_owned(), first, more })
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(text: &str) -> Clients {
        text.parse().unwrap()
    }

    #[test]
    fn each_session_is_another_client_until_the_range_is_used_up() {
        let of = |text: &str, numbers: &[u64]| -> Vec<String> {
            numbers.iter().map(|number| clients(text).client(*number).to_string()).collect()
        };
        assert_eq!(
            of("10.0.0.0/30", &[0, 1, 3, 4]),
            ["10.0.0.0:1024", "10.0.0.1:1025", "10.0.0.3:1027", "10.0.0.0:1028"]
        );
        assert_eq!(of("192.0.2.9", &[0, 1]), ["192.0.2.9:1024", "192.0.2.9:1025"]);
        assert_eq!(
            of("192.0.2.255-192.0.3.1", &[1, 2, 3]),
            ["192.0.3.0:1025", "192.0.3.1:1026", "192.0.2.255:1027"]
        );
        assert_eq!(of("0.0.0.0/0", &[u64::from(u32::MAX)]), ["255.255.255.255:17407"]);
        assert_eq!(of("2001:db8::/64", &[10]), ["[2001:db8::a]:1034"]);
        assert_eq!(of("::/0", &[u64::MAX]).len(), 1);
    }

    #[test]
    fn a_header_has_both_ends_in_the_family_of_the_client() {
        let header = |text: &str, target: Option<&str>| {
            let mut out = Vec::new();
            clients(text).header(1, target.map(|target| target.parse().unwrap()), &mut out);
            assert!(out.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21"));
            assert_eq!(usize::from(out[15]), out.len() - 16, "the length of what follows");
            out[13..].to_vec()
        };
        assert_eq!(
            header("10.0.0.0/8", Some("127.0.0.1:2525")),
            [0x11, 0, 12, 10, 0, 0, 1, 127, 0, 0, 1, 4, 1, 9, 221]
        );
        assert_eq!(header("10.0.0.0/8", Some("[::1]:2525"))[7..11], [0; 4]);
        assert_eq!(header("10.0.0.0/8", None)[7..], [0, 0, 0, 0, 4, 1, 0, 0]);
        let mapped = header("2001:db8::/64", Some("127.0.0.1:25"));
        assert_eq!(mapped[..3], [0x21, 0, 36]);
        assert_eq!(mapped[19..35], "::ffff:127.0.0.1".parse::<Ipv6Addr>().unwrap().octets());
    }

    #[test]
    fn what_is_no_range_is_named() {
        for (text, error) in [
            ("", RangeError::NoAddress),
            ("10.0.0.0/", RangeError::NoAddress),
            ("example.com", RangeError::NoAddress),
            ("10.0.0.0/33", RangeError::Prefix),
            ("10.0.0.1/24", RangeError::Bits),
            ("10.0.0.9-10.0.0.1", RangeError::Reversed),
            ("10.0.0.9-::1", RangeError::Families),
        ] {
            assert_eq!(text.parse::<Clients>(), Err(error), "{text}");
        }
    }
}
