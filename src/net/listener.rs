//! Listening sockets: bound before any thread starts, so that a failure is returned to the caller of the start.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

#[cfg(feature = "http")]
use super::stream::PlainListener;
use super::stream::{ListenOptions, Listener};
use crate::config::{Listen, ListenAt, ProxyHeaders, SocketFileError, StartError};
use crate::process::is_out_of_descriptors;
use crate::records::Endpoint;
use crate::smtp::Protocol;

/// How many free ports are tried if each is taken on another of the addresses.
const PORT_ATTEMPTS: usize = 16;

/// A listener of a running server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listening {
    /// The protocol.
    pub protocol: Protocol,
    /// TLS begins with each connection (RFC 8314 section 3.3).
    pub is_encrypted: bool,
    /// The bound address, with the actual port if any free one was requested.
    pub endpoint: Endpoint,
    /// The inbox of its mails, in lower case; `None` if it has none.
    pub inbox: Option<Arc<str>>,
}

/// A listening socket of one shard.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    pub(super) socket: Listener,
    pub(super) protocol: Protocol,
    pub(super) is_encrypted: bool,
    pub(super) proxy: ProxyHeaders,
    pub(super) inbox: Option<Arc<str>>,
}

/// Opens every listener once per shard. The outer list is by shard.
///
/// Port 0 means one free port for all addresses that take the common port, and any free port for an address with an
/// explicit port 0.
pub(crate) fn bind(
    listens: &[Listen],
    shards: usize,
    backlog: u32,
) -> Result<(Vec<Listening>, Vec<Vec<ListeningSocket>>), StartError> {
    let options =
        ListenOptions { backlog, is_shared: shards > 1, has_ipv4_wildcard: has_ipv4_wildcard(listens) };
    let takes_any = |listen: &Listen| matches!(listen.at, ListenAt::Inet { address, takes_common_port: true } if address.port() == 0);
    let wants_any = listens.iter().any(takes_any);
    let mut attempt = 1;
    let first = loop {
        match bind_first_shard(listens, options) {
            Err(StartError::AddressInUse(_)) if wants_any && attempt < PORT_ATTEMPTS => attempt += 1,
            result => break result?,
        }
    };
    let bound = listens.iter().zip(&first).map(|(listen, listener)| {
        let &Listen { protocol, is_encrypted, ref inbox, .. } = listen;
        Ok(Listening { protocol, is_encrypted, endpoint: local_address(listener)?, inbox: inbox.clone() })
    });
    let bound = bound.collect::<Result<Vec<_>, StartError>>()?;
    let mut by_shard = vec![first];
    for _ in 1..shards {
        let listeners = listens.iter().zip(&by_shard[0]).map(|(listen, first)| {
            first.for_another_shard(options).map_err(|error| start_error(&listen.at, error))
        });
        let listeners = listeners.collect::<Result<_, _>>()?;
        by_shard.push(listeners);
    }
    let of_shard = |listeners: Vec<Listener>| {
        let sockets = listeners.into_iter().zip(listens);
        let socket = |(socket, listen): (_, &Listen)| {
            let &Listen { protocol, is_encrypted, proxy, ref inbox, .. } = listen;
            ListeningSocket { socket, protocol, is_encrypted, proxy, inbox: inbox.clone() }
        };
        sockets.map(socket).collect()
    };
    let by_shard = by_shard.into_iter().map(of_shard).collect();
    Ok((bound, by_shard))
}

/// Opens a listener that no reactor serves. Returns its address too.
#[cfg(feature = "http")]
pub(crate) fn bind_plain(at: &ListenAt, backlog: u32) -> Result<(Endpoint, PlainListener), StartError> {
    let listener = open(at, ListenOptions { backlog, is_shared: false, has_ipv4_wildcard: false })?;
    Ok((local_address(&listener)?, listener.into_plain()))
}

fn has_ipv4_wildcard(listens: &[Listen]) -> bool {
    let is_it =
        |at: &ListenAt| matches!(at, ListenAt::Inet { address, .. } if address.ip() == Ipv4Addr::UNSPECIFIED);
    listens.iter().any(|listen| is_it(&listen.at))
}

fn bind_first_shard(listens: &[Listen], options: ListenOptions) -> Result<Vec<Listener>, StartError> {
    let mut common_port = None;
    let mut listeners = Vec::new();
    for listen in listens {
        let mut at = listen.at.clone();
        let mut takes_common = false;
        if let ListenAt::Inet { address, takes_common_port: true } = &mut at {
            takes_common = true;
            address.set_port(common_port.unwrap_or(address.port()));
        }
        let listener = match options.is_shared {
            false => open(&at, options)?,
            true => open_shared(at, options)?,
        };
        if takes_common {
            common_port = local_address(&listener)?.inet().map(|address| address.port());
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A shared port could also be shared with another server of this user, so an exclusive socket checks first that it is
/// free.
fn open_shared(mut at: ListenAt, options: ListenOptions) -> Result<Listener, StartError> {
    if let ListenAt::Inet { address, .. } = &mut at {
        let probe = ListenAt::Inet { address: *address, takes_common_port: false };
        let probe = open(&probe, ListenOptions { is_shared: false, ..options })?;
        *address = local_address(&probe)?.inet().unwrap_or(*address);
    }
    open(&at, options)
}

fn open(at: &ListenAt, options: ListenOptions) -> Result<Listener, StartError> {
    Listener::open(at, options).map_err(|error| start_error(at, error))
}

fn start_error(at: &ListenAt, error: io::Error) -> StartError {
    if is_out_of_descriptors(&error) {
        return StartError::OutOfDescriptors(error);
    }
    let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<SocketFileError>()).copied();
    match (at, reason) {
        (ListenAt::Inet { address, .. }, _) => match error.kind() {
            io::ErrorKind::AddrInUse => StartError::AddressInUse(*address),
            _ => StartError::BadAddress(*address, error),
        },
        (ListenAt::Unix { path, .. }, Some(SocketFileError::InUse { process })) => {
            StartError::SocketInUse(path.to_path_buf(), process)
        }
        (ListenAt::Unix { path, .. }, Some(SocketFileError::NotASocket)) => {
            StartError::NotASocket(path.to_path_buf())
        }
        (ListenAt::Unix { path, .. }, None) => StartError::BadSocket(path.to_path_buf(), error),
    }
}

fn local_address(listener: &Listener) -> Result<Endpoint, StartError> {
    listener.local_addr().map_err(|error| StartError::System("asking for the bound address", error))
}

/// The log line for a pause in accepting.
pub(super) fn why_it_rests(error: &io::Error) -> String {
    let limit = getrlimit(Resource::Nofile).current.filter(|_| is_out_of_descriptors(error));
    let limit = limit.map_or_else(String::new, |limit| {
        format!("; this process may have {limit} descriptors, expected more than it has clients (ulimit -n)")
    });
    format!("connections wait to be accepted: {error}{limit}")
}
