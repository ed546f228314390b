//! Listening sockets: bound before any thread starts, so that a failure is the caller's to see.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::StartError;

/// How often a free port is looked for anew when it is taken on the other addresses.
const PORT_ATTEMPTS: usize = 16;

/// Binds every address once per shard. The outer list is by shard.
///
/// Port 0 means one free port for all addresses that ask for it.
pub(crate) fn bind(
    addresses: &[SocketAddr],
    shards: usize,
    backlog: u32,
) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), StartError> {
    let mut attempt = 1;
    let first = loop {
        match bind_first_shard(addresses, shards, backlog) {
            Err(StartError::AddressInUse(taken))
                if attempt < PORT_ATTEMPTS && asks_for_any(addresses, taken) =>
            {
                attempt += 1;
            }
            result => break result?,
        }
    };
    let bound = local_addresses(&first)?;
    let mut by_shard = vec![first];
    for _ in 1..shards {
        let listeners = bound.iter().map(|&address| listen(address, backlog, Sharing::Shared));
        by_shard.push(listeners.collect::<Result<_, _>>()?);
    }
    Ok((bound, by_shard))
}

fn asks_for_any(addresses: &[SocketAddr], taken: SocketAddr) -> bool {
    addresses.iter().any(|address| address.ip() == taken.ip() && address.port() == 0)
}

fn bind_first_shard(
    addresses: &[SocketAddr],
    shards: usize,
    backlog: u32,
) -> Result<Vec<TcpListener>, StartError> {
    let mut free_port = None;
    let mut listeners = Vec::new();
    for &(mut address) in addresses {
        if address.port() == 0 {
            address.set_port(free_port.unwrap_or(0));
        }
        let listener = match shards {
            1 => listen(address, backlog, Sharing::Exclusive)?,
            _ => listen_shared(address, backlog)?,
        };
        let port = local_address(&listener)?.port();
        free_port = free_port.or(Some(port));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A shared port would be shared with any other server of this user too: one that is taken must be
/// found out first.
fn listen_shared(address: SocketAddr, backlog: u32) -> Result<TcpListener, StartError> {
    let probe = listen(address, backlog, Sharing::Exclusive)?;
    let bound = local_address(&probe)?;
    drop(probe);
    listen(bound, backlog, Sharing::Shared)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    Shared,
}

/// Options are set on the listening socket where accepted ones inherit them: a system call saved per
/// connection.
fn listen(address: SocketAddr, backlog: u32, sharing: Sharing) -> Result<TcpListener, StartError> {
    let open = || {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(sharing == Sharing::Shared)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener::from_std(socket.into()))
    };
    open().map_err(|error| start_error(address, error))
}

fn start_error(address: SocketAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse(address),
        _ if is_out_of_descriptors(&error) => StartError::OutOfDescriptors(error),
        _ => StartError::BadAddress(address, error),
    }
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::System("asking for the bound address", error))
}

fn local_addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, StartError> {
    listeners.iter().map(local_address).collect()
}

/// EMFILE (the process) or ENFILE (the system). The numbers are the same on every Unix.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
