//! Listening sockets: bound before any thread starts, so that a failure is the caller's to see.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpListener;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Listen;
use crate::config::StartError;

/// How often a free port is looked for anew when it is taken on the other addresses.
const PORT_ATTEMPTS: usize = 16;

/// Binds every address once per shard. The outer list is by shard.
///
/// Port 0 means one free port for all addresses that take the common port, and any free one for an
/// address that names it itself.
pub(crate) fn bind(
    addresses: &[Listen],
    shards: usize,
    backlog: u32,
) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), StartError> {
    let plan = Plan { backlog, is_shared: shards > 1, has_ipv4_wildcard: has_ipv4_wildcard(addresses) };
    let wants_any = addresses.iter().any(|listen| listen.takes_common_port && listen.address.port() == 0);
    let mut attempt = 1;
    let first = loop {
        match bind_first_shard(addresses, &plan) {
            Err(StartError::AddressInUse(_)) if wants_any && attempt < PORT_ATTEMPTS => attempt += 1,
            result => break result?,
        }
    };
    let bound = first.iter().map(local_address).collect::<Result<Vec<_>, _>>()?;
    let mut by_shard = vec![first];
    for _ in 1..shards {
        let listeners = bound.iter().map(|&address| listen(address, &plan, Sharing::Shared));
        by_shard.push(listeners.collect::<Result<_, _>>()?);
    }
    Ok((bound, by_shard))
}

/// What all listening sockets of a server have in common.
#[derive(Clone, Copy, Debug)]
struct Plan {
    backlog: u32,
    is_shared: bool,
    has_ipv4_wildcard: bool,
}

fn has_ipv4_wildcard(addresses: &[Listen]) -> bool {
    addresses.iter().any(|listen| listen.address.ip() == IpAddr::from(Ipv4Addr::UNSPECIFIED))
}

fn bind_first_shard(addresses: &[Listen], plan: &Plan) -> Result<Vec<TcpListener>, StartError> {
    let mut common_port = None;
    let mut listeners = Vec::new();
    for &Listen { mut address, takes_common_port } in addresses {
        if takes_common_port {
            address.set_port(common_port.unwrap_or(address.port()));
        }
        let listener = match plan.is_shared {
            false => listen(address, plan, Sharing::Exclusive)?,
            true => listen_shared(address, plan)?,
        };
        if takes_common_port {
            common_port = Some(local_address(&listener)?.port());
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A shared port would be shared with any other server of this user too: one that is taken must be
/// found out first.
fn listen_shared(address: SocketAddr, plan: &Plan) -> Result<TcpListener, StartError> {
    let probe = listen(address, plan, Sharing::Exclusive)?;
    let bound = local_address(&probe)?;
    drop(probe);
    listen(bound, plan, Sharing::Shared)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    Shared,
}

/// Options are set on the listening socket where accepted ones inherit them: a system call saved per
/// connection.
fn listen(address: SocketAddr, plan: &Plan, sharing: Sharing) -> Result<TcpListener, StartError> {
    let open = || {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(sharing == Sharing::Shared)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified() || plan.has_ipv4_wildcard)?;
        }
        socket.set_tcp_nodelay(true)?;
        choose_congestion_control(&socket);
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(plan.backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener::from_std(socket.into()))
    };
    open().map_err(|error| start_error(address, error))
}

/// Replies are far smaller than any window: what paces and models the path, like BBR, costs time at every segment and
/// can't change when one leaves. Reno is the least there is, and in every Linux kernel; where it can't be chosen the
/// system's own does.
fn choose_congestion_control(socket: &Socket) {
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let _ = socket.set_tcp_congestion(b"reno");
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let _ = socket;
}

fn start_error(address: SocketAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse(address),
        _ if is_out_of_descriptors(&error) => StartError::OutOfDescriptors(error),
        _ => StartError::BadAddress(address, error),
    }
}

/// The same address as its own family has it: a socket of both families gives IPv4 addresses mapped into IPv6 (RFC
/// 4291 section 2.5.5.2), and whatever compares or shows addresses would take them for others.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::System("asking for the bound address", error))
}

/// What is logged when connections can't be accepted for now.
pub(super) fn why_it_rests(error: &io::Error) -> String {
    let limit = getrlimit(Resource::Nofile).current.filter(|_| is_out_of_descriptors(error));
    let limit = limit.map_or_else(String::new, |limit| {
        format!("; this process may have {limit} descriptors, expected more than it has clients (ulimit -n)")
    });
    format!("connections wait to be accepted: {error}{limit}")
}

/// EMFILE (the process) or ENFILE (the system). The numbers are the same on every Unix.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
