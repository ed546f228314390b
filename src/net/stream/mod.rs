//! The streams of octets that sessions run over: what a connection may rely on ([`Transport`]), the transports that a
//! server serves ([`Stream`]), and the listeners that make them ([`Listener`]). A new transport is a file beside
//! `tcp.rs`, and a variant of these two.

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
/// [`drive`](Self::drive), and then reads until the transport says that there is nothing. It asks to be registered for
/// room while the transport [wants room](Self::wants_room). Octets given out and taken are those of the SMTP dialogue;
/// what a transport makes of them on the wire (records, a handshake) is its own affair.
///
/// An error from any method is final: the connection is dropped, and nothing that is unsent leaves. A system call that
/// was interrupted is repeated here and is no error, nor is a socket that has nothing or takes nothing now.
pub(super) trait Transport {
    /// Reads octets that the peer sent into the front of `buffer`, which is not empty.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): the peer's output ended, and not in the way that the transport
    /// prescribes (a TLS stream without close_notify). What was read before is valid, replies can still be written, and
    /// there is nothing more to read. [`InvalidData`](io::ErrorKind::InvalidData): the peer has broken the rules of the
    /// transport; nothing can be written, [`finish`](Self::finish) sends why, and what is read is to be dropped. Any other
    /// error: the connection is lost.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input>;

    /// Takes octets from the front of `octets`, which is not empty, behind all that were taken before, and sends as
    /// many as the socket accepts. Returns how many were taken; 0 if none can be taken now. What is taken has not left
    /// unless [`unsent`](Self::unsent) says so. A transport retains a bounded number of octets, and takes no more until
    /// some have left. If it takes fewer than it was given it [wants room](Self::wants_room), or waits for the peer: an
    /// event follows, and the rest is written then.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize>;

    /// The same for octets behind which nothing is written. Once all of them are taken, the end that
    /// [`finish`](Self::finish) sends may leave with them, in one system call.
    fn write_last(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write(octets)
    }

    /// How many of the octets taken by [`write`](Self::write) have not left this process, or have left in a form that
    /// the peer can't use yet (the front of a record). Octets leave in order. A reply counts as sent, and its message
    /// as accepted, when all of it has left.
    fn unsent(&self) -> usize;

    /// Goes on with what the transport does of its own accord: sends what it retains, and reads and writes what its
    /// handshake needs. Does nothing where there is no such thing. Beside [`read`](Self::read) it is the only method
    /// that reads from the socket. The last octets of a handshake that is done by this call leave with the next call of
    /// any method that writes.
    ///
    /// Returns whether there may be more of which no event will tell: octets of the dialogue behind those of a handshake
    /// that is done now, or more of the handshake than is taken at once.
    fn drive(&mut self) -> io::Result<bool>;

    /// Bytes of memory that the transport uses beside its own value: retained octets in both directions, and buffers.
    fn memory(&self) -> usize;

    /// The socket took less than there was to send: [`drive`](Self::drive) or [`write`](Self::write) goes on when it
    /// has room. False while the transport waits for the peer to send, whatever it retains.
    fn wants_room(&self) -> bool;

    /// The peer is in the middle of sending something of which nothing can be given out yet (the front of a record).
    fn owes_input(&self) -> bool;

    /// Ends the output as the transport prescribes (TLS: close_notify); the socket's output stays open. Called when
    /// nothing is unsent, and again until it returns true: the end has left the process. Nothing is written afterwards.
    fn finish(&mut self) -> io::Result<bool>;

    /// Ends the output of the socket (TCP: FIN), after [`finish`](Self::finish); the peer may go on sending. Not needed
    /// where the stream is dropped next, which ends it in both directions.
    fn shut_down_output(&mut self) -> io::Result<()>;

    /// Makes dropping the stream a reset, whatever is unread or unsent.
    fn reset_at_end(&mut self) -> io::Result<()>;

    /// The address the peer connected to.
    fn local_addr(&self) -> io::Result<Endpoint>;

    /// Encrypts everything from now on, when all that was written has left. The peer has sent `received`, which is read
    /// already. The handshake runs in [`drive`](Self::drive), as far as [`handshake`](Self::handshake) says; nothing is read
    /// or written before it is done. `asks`: it waits for a [plan](Self::follow_plan) once the client's hello has come.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported): the transport can't.
    fn encrypt(&mut self, _tls: &ServerTls, _received: &[u8], _asks: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The name in the client's hello, while the handshake waits for a plan.
    fn server_name(&self) -> Option<&str> {
        None
    }

    /// Goes on with a handshake that waits for a plan, or answers it as `plan` says, and has [failed](HandshakeFault::Ruled)
    /// then. Delays, drops and silence are the caller's.
    fn follow_plan(&mut self, _tls: &ServerTls, _plan: &HandshakePlan) {}

    /// Whether the peer has ended its output as the transport prescribes, if what was read is the last of it.
    fn is_end_orderly(&self) -> bool {
        true
    }

    /// How far the handshake is. Once it has failed, what is read is to be dropped, and [`finish`](Self::finish) sends the
    /// alert.
    fn handshake(&self) -> Handshake {
        Handshake::Done
    }

    /// Octets that the handshake has read so far.
    fn handshake_octets(&self) -> u32 {
        0
    }

    /// What the handshake has agreed on; `None` where nothing is encrypted.
    fn tls_session(&self) -> Option<&Arc<TlsSession>> {
        None
    }
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nothing is encrypted"))]
pub(super) enum Handshake {
    Running,
    /// The client's hello has come, and waits for a plan.
    Undecided,
    /// Also where there is none.
    Done,
    Failed(HandshakeFault),
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nothing is encrypted"))]
pub(super) enum HandshakeFault {
    /// The client has sent this alert.
    Alert(&'static str),
    /// What the client has sent is no message of TLS.
    Malformed,
    /// There is no version, suite or group that both have.
    Incompatible,
    /// The client has no certificate, which is required.
    NoCertificate,
    /// What is wrong with the client's certificate.
    BadCertificate(&'static str),
    /// The client has closed the connection.
    BrokenOff,
    /// It was not done in time.
    TimedOut,
    /// A rule has decided it.
    Ruled,
    /// The client has broken the protocol in another way.
    Other,
    /// The server has failed.
    Own,
}

impl HandshakeFault {
    /// For the log.
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

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// So many octets, at least one.
    Octets {
        count: usize,
        /// Another read may give more. If false, all was read that had arrived by the last event: the next one says
        /// when there is more, and if that event reported that the peer has ended its output, this was the last of it, and
        /// [`is_end_orderly`](Transport::is_end_orderly) says how it ended.
        may_have_more: bool,
    },
    /// Nothing now: an event says when there is more.
    Nothing,
    /// The peer has ended its output, as the transport prescribes.
    End,
}

/// One read of a socket. `may_have_more` is asked about the number of octets that it gave.
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

/// One write to a socket: how many octets it took, 0 if it has no room.
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

/// What a poll reports of a peer that has closed the connection, or its half of it, also behind unread octets where the
/// system can tell.
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

/// The stream of an accepted connection. What few have is behind a pointer: it is no larger for the others.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(Tcp),
    Unix(Unix),
    #[cfg(feature = "tls")]
    Tls(Box<Tls<Stream>>),
}

/// A listening socket, and which transport its connections have.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpAcceptor),
    Unix(UnixAcceptor),
}

/// Evaluates an expression for the value in whichever variant: a new one is added here and in the types.
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
    /// What is registered with the poll.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        each!(Stream, self, stream => stream.source())
    }

    /// Whether the peer has closed the connection, or its half of it, and if so, whether it had sent something that is
    /// unread. `None`: it has not.
    pub(super) fn departure(&self) -> Option<bool> {
        each!(Stream, self, stream => stream.departure())
    }

    /// Asks the system to buffer no more than so many octets that were not read, where it can.
    pub(super) fn limit_receive_buffer(&self, octets: usize) {
        each!(Stream, self, stream => stream.limit_receive_buffer(octets));
    }

    /// How many octets that were not read the system buffers. Of TCP.
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

/// What a listening socket is opened with, beside its address.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListenOptions {
    /// Connections that may wait to be accepted.
    pub(super) backlog: u32,
    /// Several shards have a listener there: over TCP a socket of its own each.
    pub(super) is_shared: bool,
    /// Another socket has the wildcard address of IPv4: that of IPv6 leaves IPv4 to it.
    pub(super) has_ipv4_wildcard: bool,
}

/// A listening socket that no reactor serves. It does not block.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) enum PlainListener {
    Tcp(std::net::TcpListener),
    /// The file is in front of the socket, to be dropped first.
    Unix(Arc<SocketFile>, std::os::unix::net::UnixListener),
}

impl Listener {
    /// The socket, for another thread than a reactor's.
    #[cfg(feature = "http")]
    pub(super) fn into_plain(self) -> PlainListener {
        match self {
            Self::Tcp(TcpAcceptor(socket)) => PlainListener::Tcp(socket.into()),
            Self::Unix(UnixAcceptor { file, socket }) => PlainListener::Unix(file, socket.into()),
        }
    }

    /// Binds an address and listens, over the transport that the address stands for.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn open(at: &ListenAt, options: ListenOptions) -> io::Result<Self> {
        match at {
            ListenAt::Inet { address, .. } => TcpAcceptor::open(*address, options).map(Self::Tcp),
            ListenAt::Unix { path, mode } => UnixAcceptor::open(path, *mode, options).map(Self::Unix),
        }
    }

    /// The same for another shard.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn for_another_shard(&self, options: ListenOptions) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.share(options).map(Self::Tcp),
            Self::Unix(listener) => listener.share().map(Self::Unix),
        }
    }

    /// What is registered with the poll.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        each!(Listener, self, listener => listener.source())
    }

    /// Takes one connection that is waiting, and the peer's address.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock): none is. Others are of `accept(2)`.
    pub(super) fn accept(&self) -> io::Result<(Stream, Endpoint)> {
        each!(Listener, self, listener => listener.accept())
    }

    /// The address it is bound to.
    pub(super) fn local_addr(&self) -> io::Result<Endpoint> {
        each!(Listener, self, listener => listener.local_addr())
    }
}
