//! What a connection needs of a socket: the real one, or one that a simulation makes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use crate::net::listener::canonical;

/// The byte stream under a session; reading and writing never block.
pub(in crate::net) trait Transport: Read + Write {
    /// Tells the peer that nothing more will be written.
    fn end_output(&mut self) -> io::Result<()>;

    /// Makes the end of this stream a reset, whatever was not read or written.
    fn reset_at_end(&mut self) -> io::Result<()>;

    /// The address the peer connected to.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

impl Transport for TcpStream {
    fn end_output(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        SockRef::from(&*self).set_linger(Some(Duration::ZERO))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpStream::local_addr(self).map(canonical)
    }
}
