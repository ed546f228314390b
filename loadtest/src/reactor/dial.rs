//! Opens connections, and classifies their errors.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpStream, UnixStream};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::account::accounting::Abort;
use crate::load::plan::Plan;
use crate::load::target::Endpoint;
use crate::reactor::stream::Stream;
use crate::reactor::tls::abort_of;

/// Opens connections to the addresses of a target, from several source addresses in rotation.
#[derive(Debug)]
pub(crate) struct Dialer {
    addresses: Vec<Endpoint>,
    /// Their indexes in the plan.
    indexes: Vec<usize>,
    sources: Vec<SocketAddr>,
    turn: usize,
    /// The address that new connections try first: the one after the last that failed.
    first: usize,
}

impl Dialer {
    /// Of target `target`; `turn` is the index of the first source, which differs between threads.
    pub(crate) fn new(plan: &Plan, target: usize, turn: usize) -> Dialer {
        let indexes = plan.targets[target].addresses.clone();
        let addresses = indexes.iter().map(|index| plan.addresses[*index].clone()).collect();
        Dialer { addresses, indexes, sources: plan.sources.clone(), turn, first: 0 }
    }

    /// The index in the plan of the address at `place`.
    pub(crate) fn index(&self, place: usize) -> usize {
        self.indexes[place]
    }

    /// The index of the address to try first.
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// The address to try after `place` failed, when `tried` have been tried for the message; `None` after all of
    /// them. New connections no longer begin with `place`.
    pub(crate) fn next(&mut self, place: usize, tried: usize) -> Option<usize> {
        let next = (place + 1) % self.addresses.len();
        if self.first == place {
            self.first = next;
        }
        (tried < self.addresses.len()).then_some(next)
    }

    /// The IP address at `place`, if it is one.
    pub(crate) fn inet(&self, place: usize) -> Option<SocketAddr> {
        self.addresses[place].inet()
    }

    /// Starts a connection to the address at `place`; it is complete, or has failed, when the socket becomes
    /// writable. A Unix socket with a full queue is an error of the kind `WouldBlock`.
    pub(crate) fn dial(&mut self, place: usize) -> io::Result<Stream> {
        let address = match &self.addresses[place] {
            Endpoint::Inet(address) => *address,
            Endpoint::Unix(path) => {
                let socket = nonblocking(Domain::UNIX, None)?;
                socket.connect(&SockAddr::unix(path)?)?;
                return Ok(Stream::Unix(UnixStream::from_std(socket.into())));
            }
        };
        let socket = nonblocking(Domain::for_address(address), Some(Protocol::TCP))?;
        // The last segment of a message must not wait for an acknowledgement.
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = self.source(address) {
            socket.bind(&source.into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if !is_in_progress(&error) => Err(error),
            _ => Ok(Stream::Tcp(TcpStream::from_std(socket.into()))),
        }
    }

    /// The next source of the address's family.
    fn source(&mut self, address: SocketAddr) -> Option<SocketAddr> {
        let count = self.sources.len();
        let mut places = (0..count).map(|step| self.turn.wrapping_add(step) % count);
        let place = places.find(|place| self.sources[*place].is_ipv4() == address.is_ipv4())?;
        self.turn = place + 1;
        Some(self.sources[place])
    }
}

/// A stream socket that does not block and that no other program inherits.
fn nonblocking(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    // A system call fewer for each connection.
    #[cfg(target_os = "linux")]
    return Socket::new(domain, Type::STREAM.nonblocking(), protocol);
    #[cfg(not(target_os = "linux"))]
    {
        let socket = Socket::new(domain, Type::STREAM, protocol)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || Errno::from_io_error(error) == Some(Errno::INPROGRESS)
}

/// The reason in reports for an error.
pub(crate) fn reason_of(error: &io::Error) -> Abort {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return abort_of(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Abort::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Abort::Reset,
        io::ErrorKind::NotFound => Abort::NoSocket,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Abort::PortExhausted,
        _ => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Abort::DescriptorsExhausted,
            _ => Abort::Network,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(typed: &[&str]) -> Vec<SocketAddr> {
        typed.iter().map(|one| one.parse().unwrap()).collect()
    }

    fn dialer(addresses: Vec<SocketAddr>, sources: Vec<SocketAddr>, turn: usize) -> Dialer {
        let indexes = (0..addresses.len()).collect();
        let addresses = addresses.into_iter().map(Endpoint::Inet).collect();
        Dialer { addresses, indexes, sources, turn, first: 0 }
    }

    #[test]
    fn each_address_is_tried_in_turn_and_the_one_that_answers_comes_first_then() {
        let addresses = all(&["[::1]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        let mut dialer = dialer(addresses, Vec::new(), 0);
        assert_eq!(dialer.first(), 0);
        assert_eq!(dialer.next(0, 1), Some(1));
        assert_eq!(dialer.first(), 1);
        // A connection that began with the first when others had moved on.
        assert_eq!((dialer.next(0, 1), dialer.first()), (Some(1), 1));
        assert_eq!(dialer.next(1, 2), Some(2));
        assert_eq!((dialer.next(2, 3), dialer.first()), (None, 0));
    }

    #[test]
    fn sources_are_taken_in_turn_by_family() {
        let sources = all(&["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"]);
        let mut dialer = dialer(all(&["127.0.0.1:1"]), sources, 1);
        let mut of = |address: &str| dialer.source(address.parse().unwrap()).unwrap().to_string();
        let taken = ["127.0.0.1:1", "127.0.0.1:1", "[::1]:1", "[::1]:1", "127.0.0.1:1"].map(&mut of);
        assert_eq!(taken, ["127.0.0.2:0", "127.0.0.1:0", "[::1]:0", "[::1]:0", "127.0.0.2:0"]);
    }
}
