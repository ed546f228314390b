//! Opening connections, and naming what goes wrong with them.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::accounting::Abort;

/// Opens connections to one target, from several source addresses in turn.
#[derive(Debug)]
pub(crate) struct Dialer {
    target: SocketAddr,
    sources: Vec<SocketAddr>,
    turn: usize,
}

impl Dialer {
    /// `turn` is the source to begin with, so that threads do not all begin with the same.
    pub(crate) fn new(target: SocketAddr, sources: Vec<SocketAddr>, turn: usize) -> Dialer {
        Dialer { target, sources, turn }
    }

    /// Starts a connection; whether it succeeds shows when the socket becomes writable.
    pub(crate) fn dial(&mut self) -> io::Result<TcpStream> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(self.target), kind, Some(Protocol::TCP))?;
        // A message's last segment must not wait for the acknowledgement of the one before.
        socket.set_tcp_nodelay(true)?;
        if !self.sources.is_empty() {
            let source = self.sources[self.turn % self.sources.len()];
            self.turn = self.turn.wrapping_add(1);
            socket.bind(&source.into())?;
        }
        match socket.connect(&self.target.into()) {
            Err(error) if !is_in_progress(&error) => Err(error),
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || Errno::from_io_error(error) == Some(Errno::INPROGRESS)
}

/// Which of the reports' reasons an error is.
pub(crate) fn reason_of(error: &io::Error) -> Abort {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Abort::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Abort::Reset,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Abort::PortExhausted,
        _ => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Abort::DescriptorsExhausted,
            _ => Abort::Network,
        },
    }
}
