//! Client addresses as seen by rules and limits, and peers that are trusted to name another client.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::cidr::Cidr;
use super::grammar::GrammarError;

/// A client's address, as seen by rules and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// Connected over IP.
    Ip(IpAddr),
    /// Connected over a Unix socket: in no network, and the same address for all such clients.
    Unix,
}

impl PeerAddress {
    /// The IP address; `None` over a Unix socket.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(ip),
            Self::Unix => None,
        }
    }
}

impl From<IpAddr> for PeerAddress {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

/// Peers that may name another client: by a PROXY header, or by XCLIENT.
///
/// As text: a network in CIDR notation, an address, or `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trusted {
    /// Peers that connect from a network.
    Network(Cidr),
    /// Peers that connect over a Unix socket: every process that the permissions of its file allow.
    Unix,
}

impl Trusted {
    /// Whether it includes this peer.
    pub fn includes(self, peer: PeerAddress) -> bool {
        match (self, peer) {
            (Self::Network(network), PeerAddress::Ip(ip)) => network.contains(ip),
            (Self::Unix, PeerAddress::Unix) => true,
            _ => false,
        }
    }
}

impl From<Cidr> for Trusted {
    fn from(network: Cidr) -> Self {
        Self::Network(network)
    }
}

impl From<IpAddr> for Trusted {
    fn from(ip: IpAddr) -> Self {
        Self::Network(ip.into())
    }
}

impl FromStr for Trusted {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == UNIX {
            return Ok(Self::Unix);
        }
        let wrong = |_| GrammarError::expected(text, 0..text.len(), A_TRUSTED_PEER);
        text.parse().map(Self::Network).map_err(wrong)
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str(UNIX),
        }
    }
}

const UNIX: &str = "unix";
const A_TRUSTED_PEER: &str =
    "an IP address or network, like 127.0.0.1, 10.0.0.0/8 or fd00::/8, or unix for all peers of Unix sockets";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_trusted_by_network_or_by_their_kind_of_socket() {
        let local = PeerAddress::Ip([127, 0, 0, 1].into());
        for (text, peer, is_trusted) in [
            ("127.0.0.0/8", local, true),
            ("127.0.0.1", local, true),
            ("10.0.0.0/8", local, false),
            ("0.0.0.0/0", PeerAddress::Unix, false),
            ("unix", PeerAddress::Unix, true),
            ("unix", local, false),
        ] {
            let trusted: Trusted = text.parse().expect("valid");
            assert_eq!(trusted.includes(peer), is_trusted, "{text} {peer:?}");
            assert_eq!(trusted.to_string(), text);
        }
        for wrong in ["", "localhost", "unix:", "10.0.0.0/33"] {
            let error = wrong.parse::<Trusted>().expect_err(wrong);
            assert!(error.to_string().contains("or unix"), "{error}");
        }
    }
}
