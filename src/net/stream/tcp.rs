//! Plain TCP: octets leave the process when the socket takes them.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Input, ListenOptions, Stream, Transport, departure, read_once, write_once};
use crate::records::Endpoint;

#[derive(Debug)]
pub(in crate::net) struct Tcp {
    socket: TcpStream,
    /// The last write found less room than it needed.
    is_full: bool,
}

impl Tcp {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.socket
    }

    pub(super) fn departure(&self) -> Option<bool> {
        departure(&self.socket, || self.socket.peek(&mut [0]))
    }

    pub(super) fn limit_receive_buffer(&self, octets: usize) {
        // After a failure the peer only notices a slow reader later.
        let _ = SockRef::from(&self.socket).set_recv_buffer_size(octets);
    }

    #[cfg(test)]
    pub(super) fn receive_buffer(&self) -> usize {
        SockRef::from(&self.socket).recv_buffer_size().expect("a socket")
    }
}

impl Transport for Tcp {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        let size = buffer.len();
        // A short read has emptied the socket: asking again would only cost a system call.
        read_once(&mut self.socket, buffer, |count| count == size)
    }

    #[inline]
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = write_once(&mut self.socket, octets)?;
        self.is_full = count < octets.len();
        Ok(count)
    }

    /// The kernel delivers what the socket took.
    #[inline]
    fn unsent(&self) -> usize {
        0
    }

    #[inline]
    fn drive(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    #[inline]
    fn memory(&self) -> usize {
        0
    }

    #[inline]
    fn wants_room(&self) -> bool {
        self.is_full
    }

    fn owes_input(&self) -> bool {
        false
    }

    /// TCP has no end other than FIN.
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        self.socket.local_addr().map(canonical)
    }
}

/// Whether `SO_REUSEPORT` spreads connections over the sockets of one port. On other systems one socket gets all.
const SPREADS_OVER_SOCKETS: bool = cfg!(target_os = "linux");

#[derive(Debug)]
pub(crate) struct TcpAcceptor(pub(super) TcpListener);

impl TcpAcceptor {
    /// Options are set on the listener and inherited by accepted sockets: one system call less per connection.
    pub(super) fn open(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(options.is_shared && SPREADS_OVER_SOCKETS)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified() || options.has_ipv4_wildcard)?;
        }
        socket.set_tcp_nodelay(true)?;
        choose_congestion_control(&socket);
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(Self(TcpListener::from_std(socket.into())))
    }

    /// For another shard: another socket on the same port if the system spreads connections over them, otherwise the
    /// same socket.
    pub(super) fn share(&self, options: ListenOptions) -> io::Result<Self> {
        if SPREADS_OVER_SOCKETS { Self::open(self.0.local_addr()?, options) } else { self.duplicate() }
    }

    /// The same socket: each connection is accepted by one of its owners.
    fn duplicate(&self) -> io::Result<Self> {
        let socket = self.0.as_fd().try_clone_to_owned()?;
        Ok(Self(TcpListener::from_std(socket.into())))
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.0
    }

    pub(super) fn accept(&self) -> io::Result<(Stream, Endpoint)> {
        let (socket, peer) = self.0.accept()?;
        Ok((Stream::Tcp(Tcp { socket, is_full: false }), canonical(peer)))
    }

    pub(super) fn local_addr(&self) -> io::Result<Endpoint> {
        self.0.local_addr().map(Endpoint::Inet)
    }
}

/// Replies are far smaller than any window: an algorithm that paces and models the path, like BBR, costs time at every
/// segment and can't send one earlier. Reno is the cheapest, and in every Linux kernel; if it can't be chosen the
/// system's default applies.
fn choose_congestion_control(socket: &Socket) {
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let _ = socket.set_tcp_congestion(b"reno");
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let _ = socket;
}

/// The address in its own family: a dual-stack socket gives IPv4 addresses mapped into IPv6 (RFC 4291 section 2.5.5.2),
/// which would compare and print differently.
fn canonical(address: SocketAddr) -> Endpoint {
    Endpoint::Inet(match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use super::*;
    use crate::config::ListenAt;
    use crate::net::stream::Listener;

    fn pair() -> (Stream, std::net::TcpStream) {
        let address = ([127, 0, 0, 1], 0).into();
        let options = ListenOptions { backlog: 1, is_shared: false, has_ipv4_wildcard: false };
        let listener = Listener::open(&ListenAt::Inet { address, takes_common_port: false }, options)
            .expect("a listener");
        let bound = listener.local_addr().expect("bound").inet().expect("TCP");
        let client = std::net::TcpStream::connect(bound).expect("a connection");
        (until_there(|| listener.accept().ok()).0, client)
    }

    /// Delivery by the kernel may take a moment.
    fn until_there<T>(mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            match look() {
                Some(there) => return there,
                None => thread::yield_now(),
            }
        }
    }

    fn read(stream: &mut Stream, buffer: &mut [u8]) -> Input {
        until_there(|| Some(stream.read(buffer).expect("a stream")).filter(|input| *input != Input::Nothing))
    }

    #[test]
    fn a_duplicate_accepts_what_the_first_has_not() {
        let address = ([127, 0, 0, 1], 0).into();
        let options = ListenOptions { backlog: 2, is_shared: true, has_ipv4_wildcard: false };
        let first = TcpAcceptor::open(address, options).expect("a free port");
        let second = first.duplicate().expect("a descriptor");
        let bound = first.local_addr().expect("bound").inet().expect("TCP");
        for [taking, other] in [[&first, &second], [&second, &first]] {
            let client = std::net::TcpStream::connect(bound).expect("room");
            let (_, peer) = until_there(|| taking.accept().ok());
            assert_eq!(peer.inet(), client.local_addr().ok());
            let error = other.accept().expect_err("it is taken");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_short_read_is_the_last_until_an_event() {
        let (mut stream, mut client) = pair();
        assert_eq!(stream.read(&mut [0; 4]).expect("open"), Input::Nothing);
        client.write_all(b"NOOP\r\n").expect("room");
        let mut buffer = [0; 4];
        assert_eq!(read(&mut stream, &mut buffer), Input::Octets { count: 4, may_have_more: true });
        assert_eq!(read(&mut stream, &mut buffer), Input::Octets { count: 2, may_have_more: false });
        assert_eq!(&buffer, b"\r\nOP");
        assert_eq!(stream.read(&mut buffer).expect("open"), Input::Nothing);
        client.shutdown(Shutdown::Write).expect("open");
        assert_eq!(read(&mut stream, &mut buffer), Input::End);
    }

    #[test]
    fn what_the_socket_took_has_left_and_room_is_wanted_for_the_rest() {
        let (mut stream, _client) = pair();
        let octets = vec![b'x'; 1 << 20];
        assert_eq!(stream.write(b"220 Welcome\r\n").expect("room"), 13);
        assert!(!stream.wants_room());
        while stream.write(&octets).expect("open") == octets.len() {}
        assert!(stream.wants_room());
        assert_eq!(stream.unsent(), 0);
        assert_eq!(until_there(|| stream.write(b"x").ok().filter(|count| *count == 0)), 0, "it is full");
        assert!(stream.finish().expect("nothing to send"));
    }
}
