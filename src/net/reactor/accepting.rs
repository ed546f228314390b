//! Accepting: the listeners of a shard, when each may accept, and how connections are opened.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;

use super::{Reactor, THROTTLED_RECV_BUFFER};
use crate::config::ProxyHeaders;
use crate::log::HeaderFault;
use crate::net::connection::{Connection, Origin};
use crate::net::context::SessionPermit;
use crate::net::listener::ListeningSocket;
use crate::net::passages::Passage;
use crate::net::stream::{Listener, Stream};
use crate::process::is_out_of_descriptors;
use crate::records::Endpoint;
use crate::smtp::Protocol;
use crate::smtp::rules::PeerAddress;
use crate::time::{Timestamp, wall_time};

/// Most connections accepted before the sessions get their turn.
const ACCEPTS_PER_TURN: usize = 256;
/// Most connections accepted when the server stops: more than a default backlog. Bounded because new ones may arrive
/// faster than they are accepted.
const ACCEPTS_AT_STOP: usize = 8192;
/// How long accepting pauses when descriptors, or places for sessions, have run out. The end of a session of this shard
/// shortens it; that of another shard's can't.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A listener, and when it may accept.
pub(super) struct Accepting {
    pub(super) socket: Listener,
    protocol: Protocol,
    /// TLS begins with the connection.
    is_encrypted: bool,
    inbox: Option<Arc<str>>,
    address: Endpoint,
    proxy: ProxyHeaders,
    /// The kernel may hold connections that were not accepted.
    pub(super) is_ready: bool,
    /// When to accept again after a pause.
    pub(super) retry_at: Option<Timestamp>,
    /// It has paused, and was not found empty since: connections in its queue may have waited.
    has_rested: bool,
}

impl Accepting {
    /// A listener that has accepted nothing.
    pub(super) fn new(socket: ListeningSocket) -> io::Result<Self> {
        let ListeningSocket { socket, protocol, is_encrypted, proxy, inbox } = socket;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            protocol,
            is_encrypted,
            inbox,
            address,
            proxy,
            is_ready: false,
            retry_at: None,
            has_rested: false,
        })
    }

    /// Accepts nothing until a session ends, but for [`ACCEPT_RETRY`] at most.
    fn pause(&mut self, now: Timestamp) {
        self.is_ready = false;
        self.retry_at = Some(now.after(ACCEPT_RETRY));
        self.has_rested = true;
    }
}

impl Reactor {
    pub(super) fn accept_all(&mut self) {
        if self.is_paused {
            return;
        }
        for index in 0..self.listeners.len() {
            let listening = &mut self.listeners[index];
            if listening.retry_at.is_some_and(|at| at <= self.resources.now) {
                listening.retry_at = None;
                listening.is_ready = true;
            }
            self.accept_some(index);
        }
    }

    fn accept_some(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let listening = &mut self.listeners[index];
            if !listening.is_ready {
                return;
            }
            let Some(place) = self.context.take_place(listening.proxy) else {
                listening.pause(self.resources.now);
                return;
            };
            match listening.socket.accept() {
                Ok((stream, peer_addr)) => {
                    self.open(index, stream, peer_addr, place);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    (listening.is_ready, listening.has_rested) = (false, false);
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    listening.pause(self.resources.now);
                    self.resources.note_rest(&error);
                }
            }
        }
    }

    /// Opens an accepted connection.
    fn open(&mut self, listener: usize, mut stream: Stream, peer_addr: Endpoint, place: SessionPermit) {
        let Accepting { address, protocol, is_encrypted, proxy, inbox, has_rested, .. } =
            &self.listeners[listener];
        let (local_addr, has_waited) = (address.clone(), *has_rested);
        let connected_at = wall_time();
        let (protocol, is_encrypted) = (*protocol, *is_encrypted);
        let mut origin = Origin {
            session_id: 0,
            peer_addr,
            local_addr,
            listener: address.clone(),
            proxied: None,
            connected_at,
            connected: self.resources.now.since_start(),
            protocol,
            is_encrypted,
            inbox: inbox.clone(),
        };
        let is_trusted = || self.context.policy().trusts(origin.peer());
        let header = match proxy {
            ProxyHeaders::None => None,
            ProxyHeaders::Accepted => is_trusted().then_some(*proxy),
            ProxyHeaders::Required if is_trusted() => Some(*proxy),
            ProxyHeaders::Required => {
                let (hook, peer) = (self.context.header_hook.as_ref(), origin.peer());
                let why = || untrusted(peer);
                return self.resources.note_header(hook, HeaderFault::Untrusted, &origin, why);
            }
        };
        let slot = self.connections.vacant_key();
        let token = self.token_for(slot);
        if self.poll.registry().register(stream.source(), token, Interest::READABLE).is_err() {
            // Out of memory or watches: this connection can't be served, but others can.
            return;
        }
        if self.context.settings().read_rate.is_some() {
            // Otherwise the kernel would receive megabytes at full speed.
            stream.limit_receive_buffer(THROTTLED_RECV_BUFFER);
        }
        let departure = if has_waited { stream.departure() } else { None };
        let mut place = place;
        if header.is_none() {
            origin.session_id = self.resources.note_arrival(&self.context.counters);
            self.context.assign_place(&mut place, origin.peer());
            self.resources.announcer.announce(|| Passage::of(&origin, None));
        }
        let mut connection = Connection::new(stream, token, origin, place, self.resources.now);
        if let Some(has_sent) = departure.filter(|_| header.is_none()) {
            connection.note_leaving_before_greeting(has_sent);
        }
        let inserted = self.connections.insert(connection);
        debug_assert_eq!(inserted, slot, "the token names the slot");
        match header {
            None => self.drive(token, Connection::open),
            Some(header) => self.drive(token, |connection, context, resources| {
                let is_required = header == ProxyHeaders::Required;
                connection.await_header(context, resources, is_required, departure.is_some())
            }),
        }
    }

    /// Stops accepting, or resumes it, beginning with the connections that wait. Events during a pause are noted as
    /// usual.
    pub(super) fn pause(&mut self, is_paused: bool) {
        if self.is_paused != is_paused {
            self.is_paused = is_paused;
            for listening in &mut self.listeners {
                (listening.is_ready, listening.retry_at, listening.has_rested) = (true, None, true);
            }
        }
    }

    /// Accepts the connections that the kernel has completed, even without an event so far: they are open for their
    /// clients.
    pub(super) fn accept_waiting(&mut self) {
        for listening in &mut self.listeners {
            listening.is_ready = true;
        }
        for _ in 0..ACCEPTS_AT_STOP / ACCEPTS_PER_TURN {
            self.accept_all();
        }
    }
}

/// Why a connection that needs a header is closed at once.
fn untrusted(peer: PeerAddress) -> String {
    let peer = match peer {
        PeerAddress::Ip(ip) => ip.to_string(),
        PeerAddress::Unix => "unix".to_owned(),
    };
    format!("the peer is not trusted to send one, expected a peer of --trust, as with --trust {peer}")
}

/// The error concerns only the connection to be accepted: the next one may succeed (`accept(2)`).
fn is_about_one_connection(error: &io::Error) -> bool {
    !is_out_of_descriptors(error)
        && matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::TimedOut
                | io::ErrorKind::PermissionDenied
        )
}
