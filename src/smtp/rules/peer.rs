//! The address of a client, as rules and limits know it.

use std::net::IpAddr;

/// The address of a client, as rules and limits tell clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// It connected over IP.
    Ip(IpAddr),
    /// It connected over a Unix socket: it is in no network, and all such clients have this address together.
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
