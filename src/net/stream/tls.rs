//! TLS over any socket: rustls without its own buffers, which needs least memory on an idle connection.
//!
//! Replies are encrypted in records, each written before the next is made: at most the unsent part of one record is
//! retained. Input is decrypted in a buffer of the thread, and copied once to its destination; only incomplete records,
//! and plain text that was not read yet, are retained.

mod hello;
mod outcome;
mod output;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use mio::event::Source;
use rustls::ServerConfig;
use rustls::server::{Acceptor, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic};

use super::{Handshake, HandshakeFault, Input, Stream, Transport};
use crate::records::Endpoint;
use crate::smtp::rules::{HandshakeEnd, HandshakePlan};
use crate::tls::{ServerTls, TlsSession};
use hello::may_be_complete;
use outcome::{agreed, fault_of};

/// Octets of plain text in a record (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;
/// Most octets of a record in addition to its plain text: header, nonce and tag (RFC 5246 section 6.2.3, RFC 8446
/// section 5.2).
const OVERHEAD: usize = 5 + 256;
/// Octets read from a socket at once.
const READ: usize = 64 * 1024;
/// Most reads in one turn of a handshake.
const READS: usize = 8;
/// Approximate memory that rustls allocates for a session: a key of more than 600 octets for each direction, positions
/// of handshake messages, and secrets for the next keys.
const SECRETS: usize = 2400;

/// A record with the fatal alert unexpected_message (RFC 8446 section 6), where rustls has none.
const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];
/// A rule's answer to a hello that is no TLS record: the reply of an SMTP server that expects a command.
const GARBAGE: &[u8] = b"500 5.5.2 Syntax error\r\n";
/// A record with the fatal alert internal_error (RFC 8446 section 6).
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
/// The alert certificate_required, which rustls sends in clear also in TLS 1.2, where it is not defined.
const CERTIFICATE_REQUIRED: [u8; 7] = [21, 3, 3, 0, 2, 2, 116];
/// handshake_failure, its equivalent in TLS 1.2 (RFC 5246 section 7.4.6).
const HANDSHAKE_FAILURE: u8 = 40;

const BELOW: &str = "a connection below TLS";

thread_local! {
    /// The buffer for decryption.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The result of the thread's last handshake.
    static LAST: RefCell<Option<Arc<TlsSession>>> = const { RefCell::new(None) };
}

/// TLS over another transport.
pub(in crate::net) struct Tls<S> {
    /// The transport below; `None` only during construction.
    below: Option<S>,
    layer: Layer,
}

/// TLS without its transport.
struct Layer {
    stage: Stage,
    /// Octets from the socket that are not decrypted: an incomplete record or hello.
    incoming: Vec<u8>,
    /// Plain text that was not read, and how much of it was.
    plain: Vec<u8>,
    given: usize,
    /// Octets for the socket.
    outgoing: Vec<u8>,
    /// Octets of replies in `outgoing`: those of its last record without close_notify.
    pending: usize,
    /// Octets of close_notify in `outgoing`.
    closing: usize,
    /// Octets that were read before the handshake was done.
    handshake_octets: u32,
    /// The peer's close_notify has arrived.
    peer_closed: bool,
    /// The server's close_notify is in `outgoing`, or has left.
    has_closed: bool,
    /// The server name in the client's hello, until the handshake is done.
    server_name: Option<Box<str>>,
    /// `None` until the handshake is done.
    session: Option<Arc<TlsSession>>,
}

enum Stage {
    /// The client's hello is incomplete. `None`: a plan decides the configuration.
    Hello(Option<Arc<ServerConfig>>),
    /// The hello is complete, in `incoming`, and waits for a plan.
    Undecided,
    Connected(Box<UnbufferedServerConnection>),
    Failed(HandshakeFault),
}

impl<S: std::fmt::Debug> std::fmt::Debug for Tls<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { below, layer } = self;
        f.debug_struct("Tls").field("below", below).field("session", &layer.session).finish_non_exhaustive()
    }
}

impl<S> Tls<S> {
    /// Before the client's hello, of which `received` was read already. Without `config` the handshake waits for a
    /// plan.
    pub(in crate::net) fn new(config: Option<Arc<ServerConfig>>, received: &[u8]) -> Box<Self> {
        let mut layer = Layer {
            stage: Stage::Hello(config),
            incoming: Vec::new(),
            plain: Vec::new(),
            given: 0,
            outgoing: Vec::new(),
            pending: 0,
            closing: 0,
            handshake_octets: u32::try_from(received.len()).unwrap_or(u32::MAX),
            peer_closed: false,
            has_closed: false,
            server_name: None,
            session: None,
        };
        if !received.is_empty() {
            layer.take(&mut received.to_vec(), &mut Room::default());
        }
        Box::new(Self { below: None, layer })
    }

    pub(in crate::net) fn lay_over(&mut self, below: S) {
        self.below = Some(below);
    }

    fn below(&self) -> &S {
        self.below.as_ref().expect(BELOW)
    }

    fn parts(&mut self) -> (&mut S, &mut Layer) {
        (self.below.as_mut().expect(BELOW), &mut self.layer)
    }
}

impl Tls<Stream> {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        self.parts().0.source()
    }

    pub(super) fn departure(&self) -> Option<bool> {
        self.below().departure()
    }

    pub(super) fn limit_receive_buffer(&self, octets: usize) {
        self.below().limit_receive_buffer(octets);
    }
}

impl<S: Transport> Transport for Tls<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        let (below, layer) = self.parts();
        layer.read(below, buffer)
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let (below, layer) = self.parts();
        layer.write(below, octets, false)
    }

    fn write_last(&mut self, octets: &[u8]) -> io::Result<usize> {
        let (below, layer) = self.parts();
        layer.write(below, octets, true)
    }

    fn unsent(&self) -> usize {
        self.layer.pending
    }

    fn drive(&mut self) -> io::Result<bool> {
        let (below, layer) = self.parts();
        layer.drive(below)
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.layer.memory()
    }

    fn wants_room(&self) -> bool {
        !self.layer.outgoing.is_empty()
    }

    fn owes_input(&self) -> bool {
        !self.layer.incoming.is_empty()
    }

    fn finish(&mut self) -> io::Result<bool> {
        let (below, layer) = self.parts();
        layer.finish(below)
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        self.parts().0.shut_down_output()
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        self.parts().0.reset_at_end()
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        self.below().local_addr()
    }

    fn is_end_orderly(&self) -> bool {
        self.layer.peer_closed
    }

    fn server_name(&self) -> Option<&str> {
        self.layer.server_name.as_deref()
    }

    fn follow_plan(&mut self, tls: &ServerTls, plan: &HandshakePlan) {
        self.layer.follow_plan(tls, plan);
    }

    fn handshake(&self) -> Handshake {
        self.layer.handshake()
    }

    fn handshake_octets(&self) -> u32 {
        self.layer.handshake_octets
    }

    fn tls_session(&self) -> Option<&Arc<TlsSession>> {
        self.layer.session.as_ref()
    }
}

impl Layer {
    fn handshake(&self) -> Handshake {
        match (&self.stage, &self.session) {
            (Stage::Failed(fault), _) => Handshake::Failed(*fault),
            (Stage::Undecided, _) => Handshake::Undecided,
            (_, None) => Handshake::Running,
            (_, Some(_)) => Handshake::Done,
        }
    }

    fn read(&mut self, socket: &mut impl Transport, buffer: &mut [u8]) -> io::Result<Input> {
        // Input left by an earlier read does not show whether the socket has more.
        let mut may_socket_have_more = true;
        loop {
            self.flush(socket)?;
            let left = &self.plain[self.given..];
            if !left.is_empty() {
                let count = left.len().min(buffer.len());
                buffer[..count].copy_from_slice(&left[..count]);
                self.given += count;
                let has_left = self.given < self.plain.len();
                if !has_left {
                    (self.plain, self.given) = (Vec::new(), 0);
                }
                // After close_notify the end follows, without an event.
                let may_have_more = has_left || may_socket_have_more || self.peer_closed;
                return Ok(Input::Octets { count, may_have_more });
            }
            match &self.stage {
                // The caller drops it, like all further input.
                Stage::Failed(_) => return socket.read(buffer),
                _ if self.has_closed && self.session.is_none() => return socket.read(buffer),
                _ if self.peer_closed => return Ok(Input::End),
                Stage::Undecided => return Ok(Input::Nothing),
                Stage::Hello(_) | Stage::Connected(_) => {}
            }
            let mut room = Room { octets: &mut *buffer, filled: 0 };
            match self.receive(socket, room.octets.len(), &mut room)? {
                Received::Nothing => return Ok(Input::Nothing),
                Received::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                Received::Octets { may_have_more } => may_socket_have_more = may_have_more,
            }
            if let Stage::Failed(fault) = self.stage
                && self.session.is_some()
            {
                // The alert leaves if there is room.
                let _ = self.flush(socket);
                // A client that sends an alert has left: no protocol error.
                let kind = match fault {
                    HandshakeFault::Alert(_) => io::ErrorKind::ConnectionAborted,
                    _ => io::ErrorKind::InvalidData,
                };
                return Err(io::Error::new(kind, fault.reason()));
            }
            let count = room.filled;
            if count > 0 {
                self.flush(socket)?;
                let may_have_more = !self.plain.is_empty() || may_socket_have_more || self.peer_closed;
                return Ok(Input::Octets { count, may_have_more });
            }
        }
    }

    /// Runs the handshake as far as input allows, within a bounded number of reads.
    fn drive(&mut self, socket: &mut impl Transport) -> io::Result<bool> {
        self.flush(socket)?;
        if self.handshake() != Handshake::Running {
            return Ok(false);
        }
        for _ in 0..READS {
            let may_socket_have_more = match self.receive(socket, READ, &mut Room::default())? {
                Received::Octets { may_have_more } => may_have_more,
                Received::Nothing => return Ok(false),
                Received::End => {
                    self.stage = Stage::Failed(HandshakeFault::BrokenOff);
                    true
                }
            };
            match self.handshake() {
                Handshake::Running => self.flush(socket)?,
                // Tickets, or the Finished of TLS 1.2, leave with a reply if one follows at once.
                Handshake::Done => {
                    return Ok(may_socket_have_more || !self.plain.is_empty() || self.peer_closed);
                }
                Handshake::Undecided | Handshake::Failed(_) => {
                    self.flush(socket)?;
                    break;
                }
            }
        }
        Ok(true)
    }

    fn memory(&self) -> usize {
        let stage = match &self.stage {
            Stage::Connected(connection) => {
                let certificates = connection.peer_certificates().unwrap_or_default();
                let certificates = certificates.iter().map(|certificate| certificate.len()).sum::<usize>();
                size_of_val(&**connection) + SECRETS + certificates
            }
            Stage::Hello(_) | Stage::Undecided | Stage::Failed(_) => 0,
        };
        let buffers = self.incoming.capacity() + self.plain.capacity() + self.outgoing.capacity();
        stage + buffers
    }

    /// Reads once, at most `most` octets, and decrypts.
    fn receive(
        &mut self,
        socket: &mut impl Transport,
        most: usize,
        room: &mut Room<'_>,
    ) -> io::Result<Received> {
        SCRATCH.with_borrow_mut(|scratch| {
            let (front, most) = (self.incoming.len(), most.min(READ));
            scratch.resize((front + most).max(scratch.len()), 0);
            scratch[..front].copy_from_slice(&self.incoming);
            match socket.read(&mut scratch[front..front + most])? {
                Input::Nothing => Ok(Received::Nothing),
                Input::End => Ok(Received::End),
                Input::Octets { count, may_have_more } => {
                    if self.session.is_none() {
                        let count = u32::try_from(count).unwrap_or(u32::MAX);
                        self.handshake_octets = self.handshake_octets.saturating_add(count);
                    }
                    self.incoming = Vec::new();
                    self.take(&mut scratch[..front + count], room);
                    Ok(Received::Octets { may_have_more })
                }
            }
        })
    }

    /// Takes all octets that were not decrypted so far, and retains an incomplete rest.
    fn take(&mut self, octets: &mut [u8], room: &mut Room<'_>) {
        let is_complete = match &self.stage {
            Stage::Hello(_) => self.take_hello(octets),
            Stage::Undecided | Stage::Connected(_) | Stage::Failed(_) => true,
        };
        let is_decided = !matches!(self.stage, Stage::Undecided);
        let used = if is_complete && is_decided { self.advance(octets, room, |_| {}) } else { 0 };
        self.incoming = octets[used..].to_vec();
    }

    /// Looks at the hello so far. Returns whether it is complete, or invalid.
    fn take_hello(&mut self, mut octets: &[u8]) -> bool {
        let Stage::Hello(config) = &self.stage else { return true };
        if !may_be_complete(octets) {
            return false;
        }
        let mut acceptor = Acceptor::default();
        let accepted = loop {
            // It takes a bounded number of octets at once.
            let has_read = acceptor.read_tls(&mut octets).is_ok_and(|count| count > 0);
            match acceptor.accept() {
                Ok(None) if has_read => {}
                accepted => break accepted,
            }
        };
        self.stage = match accepted {
            Ok(None) => Stage::Failed(HandshakeFault::Malformed),
            Ok(Some(accepted)) => {
                self.server_name = accepted.client_hello().server_name().map(Box::from);
                config.as_ref().map_or(Stage::Undecided, connected)
            }
            Err((error, mut alert)) => {
                // Writing to a vector can't fail.
                let _ = alert.write_all(&mut self.outgoing);
                Stage::Failed(fault_of(&error))
            }
        };
        if matches!(self.stage, Stage::Failed(_)) && self.outgoing.is_empty() {
            self.outgoing.extend(UNEXPECTED_MESSAGE);
        }
        true
    }

    /// Applies the plan to a complete hello.
    fn follow_plan(&mut self, tls: &ServerTls, plan: &HandshakePlan) {
        debug_assert!(matches!(self.stage, Stage::Undecided), "a handshake has one plan");
        let mut end = |octets: &[u8]| {
            self.outgoing.extend(octets);
            Stage::Failed(HandshakeFault::Ruled)
        };
        self.stage = match (plan.end, tls.config_for(plan.certificate, plan.version)) {
            (Some(HandshakeEnd::Alert(alert)), _) => end(&alert.record()),
            (Some(HandshakeEnd::Garbage), _) => end(GARBAGE),
            (Some(HandshakeEnd::Silent | HandshakeEnd::Drop(_)), _) => end(&[]),
            (None, Ok(config)) => connected(&config),
            // Its configuration was built when the rules were set.
            (None, Err(_)) => end(&INTERNAL_ERROR),
        };
        let mut octets = std::mem::take(&mut self.incoming);
        self.take(&mut octets, &mut Room::default());
    }

    /// Processes octets until more are needed; then calls `write` with the means to encrypt, if the handshake is done.
    /// Returns how many octets are used up.
    fn advance(
        &mut self,
        octets: &mut [u8],
        room: &mut Room<'_>,
        write: impl FnOnce(&mut Traffic<'_>),
    ) -> usize {
        let Self { stage, plain, outgoing, peer_closed, session, server_name, .. } = self;
        let Stage::Connected(connection) = stage else { return octets.len() };
        let mut used = 0;
        let mut fault = None;
        let mut write = Some(write);
        loop {
            let UnbufferedStatus { mut discard, state } = connection.process_tls_records(&mut octets[used..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        let taken = if plain.is_empty() { room.fill(record.payload) } else { 0 };
                        plain.extend_from_slice(&record.payload[taken..]);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    *peer_closed = true;
                    true
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    if let Some(write) = write.take() {
                        write(&mut traffic);
                    }
                    false
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => false,
                // Early data is disabled.
                Ok(_) => {
                    fault = Some(HandshakeFault::Other);
                    false
                }
                Err(error) => {
                    fault = Some(fault_of(&error));
                    false
                }
            };
            used += discard;
            if !goes_on {
                break;
            }
        }
        if let Some(fault) = fault {
            refuse(connection, outgoing);
            *stage = Stage::Failed(fault);
            return octets.len();
        }
        if session.is_none() && !connection.is_handshaking() {
            *session = agreed(connection, server_name.take()).map(shared);
        }
        used
    }
}

/// Shares the previous session's value if equal, as most are: sessions and messages retain it.
fn shared(agreed: TlsSession) -> Arc<TlsSession> {
    LAST.with_borrow_mut(|last| match last {
        Some(last) if **last == agreed => Arc::clone(last),
        _ => Arc::clone(last.insert(Arc::new(agreed))),
    })
}

/// A buffer for plain text: empty by default.
#[derive(Default)]
struct Room<'b> {
    octets: &'b mut [u8],
    filled: usize,
}

impl Room<'_> {
    /// Copies as many octets as fit. Returns their number.
    fn fill(&mut self, plain: &[u8]) -> usize {
        let free = &mut self.octets[self.filled..];
        let count = plain.len().min(free.len());
        free[..count].copy_from_slice(&plain[..count]);
        self.filled += count;
        count
    }
}

/// The result of a read of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Octets {
        may_have_more: bool,
    },
    Nothing,
    /// The end of its input, without close_notify.
    End,
}

type Traffic<'c> = WriteTraffic<'c, ServerConnectionData>;

/// Queues the alert, if any. Afterwards rustls must not be asked for anything: its pending messages are in octets that
/// it does not get again.
fn refuse(connection: &mut UnbufferedServerConnection, outgoing: &mut Vec<u8>) {
    while connection.wants_write()
        && let Ok(ConnectionState::EncodeTlsData(mut data)) = connection.process_tls_records(&mut []).state
    {
        encode(&mut data, outgoing);
    }
    if outgoing.ends_with(&CERTIFICATE_REQUIRED) {
        outgoing.truncate(outgoing.len() - 1);
        outgoing.push(HANDSHAKE_FAILURE);
    }
}

/// Always true: there is more to do.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) -> bool {
    let front = outgoing.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        outgoing.resize(front + size.required_size, 0);
        let encoded = data.encode(&mut outgoing[front..]);
        debug_assert!(encoded.is_ok(), "there is room: {encoded:?}");
    }
    true
}

/// A handshake with a complete hello.
fn connected(config: &Arc<ServerConfig>) -> Stage {
    match UnbufferedServerConnection::new(Arc::clone(config)) {
        Ok(connection) => Stage::Connected(Box::new(connection)),
        Err(error) => Stage::Failed(fault_of(&error)),
    }
}

#[cfg(test)]
mod tests;
