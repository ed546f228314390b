//! Where a connection comes from, and since when it is there.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::records::{Endpoint, Proxied};
use crate::smtp::Protocol;
use crate::smtp::rules::PeerAddress;

/// Where and when a connection was accepted.
#[derive(Clone, Debug)]
pub(in crate::net) struct Origin {
    pub(in crate::net) session_id: u64,
    pub(in crate::net) peer_addr: Endpoint,
    /// Where the client has connected to, or a proxy says that it has; that of the listener until somebody asks.
    pub(in crate::net) local_addr: Endpoint,
    /// Where the listener is bound: this does not change.
    pub(in crate::net) listener: Endpoint,
    /// The peer of the connection, where it has named another client; `None` where it has not.
    pub(in crate::net) proxied: Option<Arc<Proxied>>,
    pub(in crate::net) connected_at: SystemTime,
    /// The same moment, as time since the server started.
    pub(in crate::net) connected: Duration,
    /// What its listener speaks.
    pub(in crate::net) protocol: Protocol,
    /// TLS begins with the connection.
    pub(in crate::net) is_encrypted: bool,
    /// That of its listener.
    pub(in crate::net) inbox: Option<Arc<str>>,
}

impl Origin {
    /// The client's address, as rules and limits know it.
    pub(in crate::net) fn peer(&self) -> PeerAddress {
        self.peer_addr.ip().map_or(PeerAddress::Unix, PeerAddress::Ip)
    }

    /// Both ends, as Go's errors name them where go-smtp-mock logs them: `tcp 127.0.0.1:25->127.0.0.1:43210`.
    pub(in crate::net) fn route(&self) -> String {
        let Self { local_addr, peer_addr, .. } = self;
        let network = if peer_addr.ip().is_some() { "tcp " } else { "" };
        format!("{network}{local_addr}->{peer_addr}")
    }
}
