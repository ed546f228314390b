//! Where and when a connection was accepted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::records::{Endpoint, Proxied};
use crate::smtp::Protocol;
use crate::smtp::rules::PeerAddress;

/// The addresses, listener and accept time of a connection.
#[derive(Clone, Debug)]
pub(in crate::net) struct Origin {
    pub(in crate::net) session_id: u64,
    pub(in crate::net) peer_addr: Endpoint,
    /// The address that the client connected to, or that its proxy names; the listener's until it is first needed.
    pub(in crate::net) local_addr: Endpoint,
    /// The bound address of the listener; never changes.
    pub(in crate::net) listener: Endpoint,
    /// The real peer of the connection, if it has named another client; otherwise `None`.
    pub(in crate::net) proxied: Option<Arc<Proxied>>,
    pub(in crate::net) connected_at: SystemTime,
    /// The accept time, since the server's start.
    pub(in crate::net) connected: Duration,
    pub(in crate::net) protocol: Protocol,
    /// TLS begins with the connection.
    pub(in crate::net) is_encrypted: bool,
    /// The listener's inbox.
    pub(in crate::net) inbox: Option<Arc<str>>,
}

impl Origin {
    /// The client's address, as rules and limits know it.
    pub(in crate::net) fn peer(&self) -> PeerAddress {
        self.peer_addr.ip().map_or(PeerAddress::Unix, PeerAddress::Ip)
    }

    /// Both ends, in the format of Go's errors, which go-smtp-mock logs: `tcp 127.0.0.1:25->127.0.0.1:43210`.
    pub(in crate::net) fn route(&self) -> String {
        let Self { local_addr, peer_addr, .. } = self;
        let network = if peer_addr.ip().is_some() { "tcp " } else { "" };
        format!("{network}{local_addr}->{peer_addr}")
    }
}
