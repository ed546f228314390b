//! An endpoint of a connection: an address and port, or a Unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::text::escape::escape_octets;

/// An endpoint of a connection, or the address of a listener.
///
/// Displays as `127.0.0.1:2525`, `[::1]:2525`, `unix:/run/mock.sock`, or `unix` for a socket without a name. Control
/// characters of a path are escaped, and invalid UTF-8 is shown as replacement characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An IP address and TCP port.
    Inet(SocketAddr),
    /// A Unix socket, with its path if it has one: a client's socket usually has none.
    Unix(Option<Arc<Path>>),
}

impl Endpoint {
    /// The IP address; `None` for a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.inet().map(|address| address.ip())
    }

    /// The address and port; `None` for a Unix socket.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The path of a Unix socket that has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Inet(_) => None,
            Self::Unix(path) => path.as_deref(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(None) => f.write_str("unix"),
            Self::Unix(Some(path)) => {
                write!(f, "unix:{}", escape_octets(path.as_os_str().as_encoded_bytes()))
            }
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_on_one_line() {
        let unix = |path: &str| Endpoint::Unix(Some(Arc::from(Path::new(path)))).to_string();
        let inet = |text: &str| Endpoint::Inet(text.parse().expect("an address")).to_string();
        assert_eq!(inet("[::1]:25"), "[::1]:25");
        assert_eq!(unix("/run/mock.sock"), "unix:/run/mock.sock");
        assert_eq!(unix("/tmp/a\r\nb"), "unix:/tmp/a\\r\\nb");
        assert_eq!(Endpoint::Unix(None).to_string(), "unix");
    }

    #[test]
    fn a_connection_holds_no_more_for_an_endpoint_than_for_an_address() {
        assert_eq!(size_of::<Endpoint>(), size_of::<SocketAddr>());
    }
}
