//! Listening sockets: bound before any thread starts, so that a failure is returned to the caller of the start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::stream::{ListenOptions, Listener};
use crate::config::{Listen, StartError};

/// How many free ports are tried when each is taken on another of the addresses.
const PORT_ATTEMPTS: usize = 16;

/// Binds every address once per shard. The outer list is by shard.
///
/// Port 0 means one free port for all addresses that take the common port, and any free one for an
/// address that names it itself.
pub(crate) fn bind(
    addresses: &[Listen],
    shards: usize,
    backlog: u32,
) -> Result<(Vec<SocketAddr>, Vec<Vec<Listener>>), StartError> {
    let options =
        ListenOptions { backlog, is_shared: shards > 1, has_ipv4_wildcard: has_ipv4_wildcard(addresses) };
    let wants_any = addresses.iter().any(|listen| listen.takes_common_port && listen.address.port() == 0);
    let mut attempt = 1;
    let first = loop {
        match bind_first_shard(addresses, options) {
            Err(StartError::AddressInUse(_)) if wants_any && attempt < PORT_ATTEMPTS => attempt += 1,
            result => break result?,
        }
    };
    let bound = first.iter().map(local_address).collect::<Result<Vec<_>, _>>()?;
    let mut by_shard = vec![first];
    for _ in 1..shards {
        let listens = addresses.iter().zip(&bound);
        let listens = listens.map(|(listen, &address)| Listen { address, ..listen.clone() });
        let listeners = listens.map(|listen| open(&listen, options));
        by_shard.push(listeners.collect::<Result<_, _>>()?);
    }
    Ok((bound, by_shard))
}

fn has_ipv4_wildcard(addresses: &[Listen]) -> bool {
    addresses.iter().any(|listen| listen.address.ip() == IpAddr::from(Ipv4Addr::UNSPECIFIED))
}

fn bind_first_shard(addresses: &[Listen], options: ListenOptions) -> Result<Vec<Listener>, StartError> {
    let mut common_port = None;
    let mut listeners = Vec::new();
    for listen in addresses {
        let mut listen = listen.clone();
        if listen.takes_common_port {
            listen.address.set_port(common_port.unwrap_or(listen.address.port()));
        }
        let listener = match options.is_shared {
            false => open(&listen, options)?,
            true => open_shared(&listen, options)?,
        };
        if listen.takes_common_port {
            common_port = Some(local_address(&listener)?.port());
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A shared port would be shared with any other server of this user too, so an exclusive socket finds out first whether
/// it is taken.
fn open_shared(listen: &Listen, options: ListenOptions) -> Result<Listener, StartError> {
    let probe = open(listen, ListenOptions { is_shared: false, ..options })?;
    let bound = local_address(&probe)?;
    drop(probe);
    open(&Listen { address: bound, ..listen.clone() }, options)
}

fn open(listen: &Listen, options: ListenOptions) -> Result<Listener, StartError> {
    Listener::open(listen, options).map_err(|error| start_error(listen.address, error))
}

fn start_error(address: SocketAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse(address),
        _ if is_out_of_descriptors(&error) => StartError::OutOfDescriptors(error),
        _ => StartError::BadAddress(address, error),
    }
}

fn local_address(listener: &Listener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::System("asking for the bound address", error))
}

/// The log line of a pause in accepting.
pub(super) fn why_it_rests(error: &io::Error) -> String {
    let limit = getrlimit(Resource::Nofile).current.filter(|_| is_out_of_descriptors(error));
    let limit = limit.map_or_else(String::new, |limit| {
        format!("; this process may have {limit} descriptors, expected more than it has clients (ulimit -n)")
    });
    format!("connections wait to be accepted: {error}{limit}")
}

/// EMFILE (the process) or ENFILE (the system).
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
