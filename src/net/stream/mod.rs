//! The streams of octets that sessions run over: what a connection may rely on ([`Transport`]), the transports that a
//! server serves ([`Stream`]), and the listeners that make them ([`Listener`]). A new transport is a file in this
//! folder, and a variant of both enums.

mod tcp;
#[cfg(feature = "tls")]
pub(super) mod tls;
mod unix;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use mio::event::Source;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::ListenAt;
use crate::records::Endpoint;
use crate::smtp::rules::HandshakePlan;
use crate::tls::{ServerTls, TlsSession};
use tcp::{Tcp, TcpAcceptor};
#[cfg(feature = "tls")]
use tls::Tls;
#[cfg(feature = "http")]
pub(crate) use unix::SocketFile;
use unix::{Unix, UnixAcceptor};

/// A stream of octets in both directions, over a socket that never blocks.
///
/// The reactor registers the socket for input once, edge-triggered. After an event a connection calls
/// [`drive`](Self::drive), and then reads until the transport says that there is nothing. It registers for writability
/// while the transport [wants room](Self::wants_room). Octets read and written are those of the SMTP dialogue; their
/// form on the wire (records, a handshake) is internal to the transport.
///
/// An error from any method is final: the connection is dropped, with its unsent octets. Interrupted system calls are
/// repeated, and a socket that would block is no error.
pub(super) trait Transport {
    /// Reads octets of the peer into the start of `buffer`, which is not empty.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): the peer's output ended, and not in the way that the transport
    /// prescribes (a TLS stream without close_notify). Earlier input is valid, replies can still be written, and
    /// nothing more can be read. [`InvalidData`](io::ErrorKind::InvalidData): the peer has broken the rules of the
    /// transport; nothing can be written, [`finish`](Self::finish) sends the reason, and further input must be dropped.
    /// Any other error: the connection is lost.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input>;

    /// Takes octets from the start of `octets`, which is not empty, after all that were taken before, and sends as many
    /// as the socket accepts. Returns how many were taken; 0 if none can be taken now. Octets taken have left only if
    /// [`unsent`](Self::unsent) does not count them. A transport retains a bounded number of octets, and takes no more
    /// until some have left. If it takes fewer than given it [wants room](Self::wants_room), or waits for the peer: an
    /// event follows, and the rest is written then.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize>;

    /// As [`write`](Self::write), for the last octets. Once all of them are taken, the end that
    /// [`finish`](Self::finish) sends may leave with them, in one system call.
    fn write_last(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write(octets)
    }

    /// How many of the octets taken by [`write`](Self::write) have not left this process, or have left in a form that
    /// the peer can't use yet (an incomplete record). Octets leave in order. A reply counts as sent, and its message as
    /// accepted, when all of it has left.
    fn unsent(&self) -> usize;

    /// Continues the transport's own work: sends retained octets, and reads and writes for its handshake. Plain
    /// transports do nothing. Only this and [`read`](Self::read) read from the socket. The last octets of a handshake
    /// that this call completes leave with the next call of any method that writes.
    ///
    /// Returns whether more can be read without an event: octets of the dialogue after a handshake that is now done, or
    /// more of the handshake than is read at once.
    fn drive(&mut self) -> io::Result<bool>;

    /// Bytes of memory that the transport uses in addition to its own value: retained octets in both directions, and
    /// buffers.
    fn memory(&self) -> usize;

    /// The socket took less than there was to send: [`drive`](Self::drive) or [`write`](Self::write) continues when it
    /// has room. False while the transport waits for the peer, whatever it retains.
    fn wants_room(&self) -> bool;

    /// The peer has sent an incomplete unit (the beginning of a record), which can't be read yet.
    fn owes_input(&self) -> bool;

    /// Ends the output as the transport prescribes (TLS: close_notify); the socket's output stays open. Called when
    /// nothing is unsent, and again until it returns true: the end has left the process. Nothing may be written
    /// afterwards.
    fn finish(&mut self) -> io::Result<bool>;

    /// Ends the output of the socket (TCP: FIN), after [`finish`](Self::finish); the peer may continue to send. Not
    /// needed if the stream is dropped next, which ends it in both directions.
    fn shut_down_output(&mut self) -> io::Result<()>;

    /// Makes a later drop reset the connection, even if octets are unread or unsent.
    fn reset_at_end(&mut self) -> io::Result<()>;

    /// The address the peer connected to.
    fn local_addr(&self) -> io::Result<Endpoint>;

    /// Encrypts everything from now on; all earlier output has left. `received`: octets of the peer that were read
    /// already. [`drive`](Self::drive) runs the handshake and [`handshake`](Self::handshake) gives its state; before it
    /// is done nothing may be read or written. `asks`: the handshake waits for a [plan](Self::follow_plan) after the
    /// client's hello.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported): not with this transport.
    fn encrypt(&mut self, _tls: &ServerTls, _received: &[u8], _asks: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The server name in the client's hello, while the handshake waits for a plan.
    fn server_name(&self) -> Option<&str> {
        None
    }

    /// Continues a handshake that waits for a plan, or answers the hello as `plan` requires, which
    /// [fails](HandshakeFault::Ruled) it. The caller does delays, drops and silence.
    fn follow_plan(&mut self, _tls: &ServerTls, _plan: &HandshakePlan) {}

    /// Whether the peer has ended its output as the transport prescribes, provided that no input is left.
    fn is_end_orderly(&self) -> bool {
        true
    }

    /// The state of the handshake. After a failure, input must be dropped, and [`finish`](Self::finish) sends the
    /// alert.
    fn handshake(&self) -> Handshake {
        Handshake::Done
    }

    /// Octets that the handshake has read so far.
    fn handshake_octets(&self) -> u32 {
        0
    }

    /// The result of the handshake; `None` in clear.
    fn tls_session(&self) -> Option<&Arc<TlsSession>> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nothing is encrypted"))]
pub(super) enum Handshake {
    Running,
    /// The client's hello is complete, and waits for a plan.
    Undecided,
    /// Done, or not needed.
    Done,
    Failed(HandshakeFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nothing is encrypted"))]
pub(super) enum HandshakeFault {
    /// The client has sent this alert.
    Alert(&'static str),
    /// The client's input is not TLS.
    Malformed,
    /// No common version, suite or group.
    Incompatible,
    /// The client has no certificate, but one is required.
    NoCertificate,
    /// The client's certificate is invalid, for this reason.
    BadCertificate(&'static str),
    /// The client has closed the connection.
    BrokenOff,
    TimedOut,
    /// Decided by a rule.
    Ruled,
    /// The client has broken the protocol in another way.
    Other,
    /// A failure of the server.
    Own,
}

impl HandshakeFault {
    /// The reason, for the log.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Alert(alert) => format!("the client sent the alert {alert}"),
            Self::Malformed => "the client sent something else than TLS".to_owned(),
            Self::Incompatible => {
                "the server ended it: no version, cipher suite or group in common".to_owned()
            }
            Self::NoCertificate => "the client sent no certificate".to_owned(),
            Self::BadCertificate(what) => format!("the client's certificate {what}"),
            Self::BrokenOff => "the client closed the connection".to_owned(),
            Self::TimedOut => "i/o timeout".to_owned(),
            Self::Ruled => "a rule ended it".to_owned(),
            Self::Other => "the client broke the protocol".to_owned(),
            Self::Own => "the server failed, or had no time for it".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// At least one octet.
    Octets {
        count: usize,
        /// Another read may give more. If false, all input up to the last event was read: the next event reports more.
        /// If that event reported the end of the peer's output, this was the last input, and
        /// [`is_end_orderly`](Transport::is_end_orderly) describes the end.
        may_have_more: bool,
    },
    /// Nothing now: an event reports more.
    Nothing,
    /// The peer has ended its output as the transport prescribes.
    End,
}

/// One read of a socket. `may_have_more` gets the number of octets read.
#[inline]
fn read_once(
    socket: &mut impl Read,
    buffer: &mut [u8],
    may_have_more: impl FnOnce(usize) -> bool,
) -> io::Result<Input> {
    loop {
        match socket.read(buffer) {
            Ok(0) => return Ok(Input::End),
            Ok(count) => return Ok(Input::Octets { count, may_have_more: may_have_more(count) }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Input::Nothing),
            Err(error) => return Err(error),
        }
    }
}

/// One write to a socket: the number of octets taken, 0 if it has no room.
#[inline]
fn write_once(socket: &mut impl Write, octets: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(octets) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            result => return result,
        }
    }
}

/// The poll flags of a peer that has closed the connection or its half, set even with unread octets if the system can
/// tell.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const PEER_CLOSED: PollFlags = PollFlags::RDHUP.union(PollFlags::HUP);
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const PEER_CLOSED: PollFlags = PollFlags::HUP;

/// See [`Stream::departure`].
fn departure(socket: &impl AsFd, peek: impl FnOnce() -> io::Result<usize>) -> Option<bool> {
    match peek() {
        Ok(0) => Some(false),
        Ok(_) => {
            let mut polled = [PollFd::new(socket, PEER_CLOSED)];
            let has_closed = poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0);
            has_closed.then_some(true)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
        Err(_) => Some(false),
    }
}

/// The stream of an accepted connection. Rare state is boxed: it makes the other connections no larger.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(Tcp),
    Unix(Unix),
    #[cfg(feature = "tls")]
    Tls(Box<Tls<Stream>>),
}

/// A listening socket with its transport.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpAcceptor),
    Unix(UnixAcceptor),
}

/// Evaluates an expression for the value of whichever variant. A new transport is added here and in the types.
macro_rules! each {
    (Stream, $of:expr, $value:ident => $result:expr) => {
        match $of {
            Self::Tcp($value) => $result,
            Self::Unix($value) => $result,
            #[cfg(feature = "tls")]
            Self::Tls($value) => $result,
        }
    };
    (Listener, $of:expr, $value:ident => $result:expr) => {
        match $of {
            Listener::Tcp($value) => $result,
            Listener::Unix($value) => $result,
        }
    };
}

impl Stream {
    /// The source to register with the poll.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        each!(Stream, self, stream => stream.source())
    }

    /// Whether the peer has closed the connection or its half, and if so, whether unread octets are left. `None`: it
    /// has not closed.
    pub(super) fn departure(&self) -> Option<bool> {
        each!(Stream, self, stream => stream.departure())
    }

    /// Asks the system to buffer at most this many unread octets, if the transport can.
    pub(super) fn limit_receive_buffer(&self, octets: usize) {
        each!(Stream, self, stream => stream.limit_receive_buffer(octets));
    }

    /// Size of the receive buffer in octets (TCP only).
    #[cfg(test)]
    pub(super) fn receive_buffer(&self) -> usize {
        match self {
            Self::Tcp(stream) => stream.receive_buffer(),
            _ => panic!("not of TCP"),
        }
    }
}

impl Transport for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        each!(Stream, self, stream => stream.read(buffer))
    }

    #[inline]
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        each!(Stream, self, stream => stream.write(octets))
    }

    fn write_last(&mut self, octets: &[u8]) -> io::Result<usize> {
        each!(Stream, self, stream => stream.write_last(octets))
    }

    #[inline]
    fn unsent(&self) -> usize {
        each!(Stream, self, stream => stream.unsent())
    }

    #[inline]
    fn drive(&mut self) -> io::Result<bool> {
        each!(Stream, self, stream => stream.drive())
    }

    #[inline]
    fn memory(&self) -> usize {
        each!(Stream, self, stream => stream.memory())
    }

    #[inline]
    fn wants_room(&self) -> bool {
        each!(Stream, self, stream => stream.wants_room())
    }

    fn owes_input(&self) -> bool {
        each!(Stream, self, stream => stream.owes_input())
    }

    fn finish(&mut self) -> io::Result<bool> {
        each!(Stream, self, stream => stream.finish())
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        each!(Stream, self, stream => stream.shut_down_output())
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        each!(Stream, self, stream => stream.reset_at_end())
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        each!(Stream, self, stream => stream.local_addr())
    }

    fn is_end_orderly(&self) -> bool {
        each!(Stream, self, stream => stream.is_end_orderly())
    }

    #[cfg(feature = "tls")]
    fn encrypt(&mut self, tls: &ServerTls, received: &[u8], asks: bool) -> io::Result<()> {
        debug_assert!(!matches!(self, Self::Tls(_)), "a stream is encrypted once");
        let config = (!asks).then(|| Arc::clone(tls.config()));
        let plain = std::mem::replace(self, Self::Tls(Tls::new(config, received)));
        if let Self::Tls(layer) = self {
            layer.lay_over(plain);
        }
        Ok(())
    }

    fn server_name(&self) -> Option<&str> {
        each!(Stream, self, stream => stream.server_name())
    }

    fn follow_plan(&mut self, tls: &ServerTls, plan: &HandshakePlan) {
        each!(Stream, self, stream => stream.follow_plan(tls, plan));
    }

    fn handshake(&self) -> Handshake {
        each!(Stream, self, stream => stream.handshake())
    }

    fn handshake_octets(&self) -> u32 {
        each!(Stream, self, stream => stream.handshake_octets())
    }

    fn tls_session(&self) -> Option<&Arc<TlsSession>> {
        each!(Stream, self, stream => stream.tls_session())
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ListenOptions {
    /// Largest number of connections that wait to be accepted.
    pub(super) backlog: u32,
    /// Several shards listen there: each with its own socket over TCP.
    pub(super) is_shared: bool,
    /// Another socket has the wildcard address of IPv4: that of IPv6 must exclude IPv4.
    pub(super) has_ipv4_wildcard: bool,
}

/// A non-blocking listening socket that no reactor serves.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) enum PlainListener {
    Tcp(std::net::TcpListener),
    /// Dropped in this order: the file before the socket.
    Unix(Arc<SocketFile>, std::os::unix::net::UnixListener),
}

impl Listener {
    /// The socket, for a thread that is not a reactor's.
    #[cfg(feature = "http")]
    pub(super) fn into_plain(self) -> PlainListener {
        match self {
            Self::Tcp(TcpAcceptor(socket)) => PlainListener::Tcp(socket.into()),
            Self::Unix(UnixAcceptor { file, socket }) => PlainListener::Unix(file, socket.into()),
        }
    }

    /// Binds an address and listens, over the address's transport.
    ///
    /// # Errors
    /// Errors of the system.
    pub(super) fn open(at: &ListenAt, options: ListenOptions) -> io::Result<Self> {
        match at {
            ListenAt::Inet { address, .. } => TcpAcceptor::open(*address, options).map(Self::Tcp),
            ListenAt::Unix { path, mode } => UnixAcceptor::open(path, *mode, options).map(Self::Unix),
        }
    }

    /// As [`open`](Self::open), for another shard.
    ///
    /// # Errors
    /// Errors of the system.
    pub(super) fn for_another_shard(&self, options: ListenOptions) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.share(options).map(Self::Tcp),
            Self::Unix(listener) => listener.share().map(Self::Unix),
        }
    }

    /// The source to register with the poll.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        each!(Listener, self, listener => listener.source())
    }

    /// Accepts one waiting connection. Returns it with the peer's address.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock): none waits. Otherwise an error of `accept(2)`.
    pub(super) fn accept(&self) -> io::Result<(Stream, Endpoint)> {
        each!(Listener, self, listener => listener.accept())
    }

    /// The bound address.
    pub(super) fn local_addr(&self) -> io::Result<Endpoint> {
        each!(Listener, self, listener => listener.local_addr())
    }
}
