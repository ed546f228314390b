//! Networks in CIDR notation (RFC 4632, RFC 4291 section 2.3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::grammar::GrammarError;

const A_NETWORK: &str = "an IP address or network, like 127.0.0.1, 10.0.0.0/8 or fd00::/8";

/// A network: all addresses with the same first bits.
///
/// IPv4 addresses mapped into IPv6 (RFC 4291 section 2.5.5.2) are treated as IPv4 addresses, also in networks:
/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// Never a mapped address with enough bits to be recognized as one.
    network: IpAddr,
    /// At most 32 for IPv4, 128 for IPv6.
    bits: u8,
}

/// Number of bits that all mapped addresses have in common.
const MAPPED_BITS: u8 = 96;

impl Cidr {
    /// The addresses that have the same first `bits` as `network`. `None` if an address has fewer bits.
    pub fn new(network: IpAddr, bits: u8) -> Option<Self> {
        if bits > width(network) {
            return None;
        }
        let canonical = network.to_canonical();
        match bits.checked_sub(MAPPED_BITS).filter(|_| network.is_ipv6() && canonical.is_ipv4()) {
            Some(bits) => Some(Self { network: canonical, bits }),
            None => Some(Self { network, bits }),
        }
    }

    /// Number of bits that the addresses have in common.
    pub(super) fn bits(self) -> u8 {
        self.bits
    }

    /// The same network with all other bits zero.
    pub(super) fn masked(self) -> Self {
        let shift = u32::from(width(self.network) - self.bits);
        let network = match self.network {
            IpAddr::V4(ip) => IpAddr::from(
                u32::MAX.checked_shl(shift).map_or([0; 4], |mask| (u32::from(ip) & mask).to_be_bytes()),
            ),
            IpAddr::V6(ip) => IpAddr::from(
                u128::MAX.checked_shl(shift).map_or([0; 16], |mask| (u128::from(ip) & mask).to_be_bytes()),
            ),
        };
        Self { network, ..self }
    }

    /// Whether `ip` belongs to the network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        Self::new(ip.to_canonical(), self.bits).is_some_and(|network| network.masked() == self.masked())
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

impl From<IpAddr> for Cidr {
    fn from(ip: IpAddr) -> Self {
        let network = ip.to_canonical();
        Self { network, bits: width(network) }
    }
}

impl FromStr for Cidr {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || GrammarError::expected(text, 0..text.len(), A_NETWORK);
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        match bits {
            None => Ok(ip.into()),
            Some(bits) => bits.parse().ok().and_then(|bits| Self::new(ip, bits)).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.network) {
            true => self.network.fmt(f),
            false => write!(f, "{}/{}", self.network, self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_first_bits() {
        let cases = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("::/0", "fd00::1", true),
            ("::/0", "10.0.0.1", false),
            ("fd00::/8", "fdff::1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
            ("::ffff:127.0.0.1", "127.0.0.2", false),
            ("::ffff:10.0.0.0/104", "10.255.1.2", true),
            ("::ffff:10.0.0.0/104", "11.0.0.0", false),
            ("::ffff:0:0/96", "203.0.113.9", true),
            ("::ffff:0:0/90", "::ffff:0:0:1", false),
        ];
        for (network, ip, is_in) in cases {
            let network: Cidr = network.parse().unwrap();
            assert_eq!(network.contains(ip.parse().unwrap()), is_in, "{network} {ip}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        assert_eq!("::ffff:10.0.0.0/104".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
        for wrong in ["10.0.0.0/33", "::/129", "::ffff:10.0.0.0/129", "10.0.0", "", "10.0.0.0/", "localhost"]
        {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
