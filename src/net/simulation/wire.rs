//! A byte stream of small capacity between a client and its connection, and a log of when each byte passed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::cipher::{Begin, Encryption};
use super::script::Acceptance;
use crate::net::connection::Readiness;
use crate::net::stream::{Input, Transport};
use crate::records::store::Store;
use crate::records::{Endpoint, Message};
use crate::tls::ServerTls;

/// A client's hello: sent before its records, and before the server can send.
pub(super) const HELLO: &[u8] = b"hello";

/// The lengths of a stream over time.
#[derive(Debug, Default)]
pub(super) struct Log(Vec<(usize, Duration)>);

impl Log {
    fn note(&mut self, length: usize, at: Duration) {
        self.0.push((length, at));
    }

    /// When the byte before `offset` passed; `None` if it has not. Undefined for offset 0.
    pub(super) fn time_of(&self, offset: usize) -> Option<Duration> {
        let found = self.0.partition_point(|&(length, _)| length < offset);
        self.0.get(found).map(|&(_, at)| at)
    }

    pub(super) fn last(&self) -> Option<Duration> {
        self.0.last().map(|&(_, at)| at)
    }
}

/// The records of all sessions, as of the last check.
#[derive(Debug)]
pub(super) struct Mailroom {
    pub(super) store: Arc<Store>,
    pub(super) records: Vec<Message>,
}

impl Mailroom {
    pub(super) fn collect(&mut self) {
        self.records = self.store.messages();
    }

    /// The records of a session.
    pub(super) fn of(&self, session: usize) -> impl Iterator<Item = &Message> {
        self.records.iter().filter(move |message| message.session_id() == session as u64 + 1)
    }

    /// The texts of its accepted messages.
    pub(super) fn accepted(&self, session: usize) -> Vec<&[u8]> {
        self.of(session).filter(|message| message.msg()).map(Message::body).collect()
    }
}

/// The server's side of a [`Wire`], as a transport.
pub(super) trait End: Transport {
    /// Both directions consist of records.
    const IS_SEALED: bool;
    /// Some sessions are encrypted, from the first octet or after STARTTLS.
    const IS_ENCRYPTED: bool = false;
    /// Number of seeds in one test run.
    const SEEDS: u64 = 400;
    /// Least occurrences of each case in one test run.
    const LEAST: u64 = 20;

    /// The server's TLS settings.
    fn tls() -> Option<ServerTls> {
        None
    }

    /// The clients' TLS, by number. Clients reconnect.
    fn ciphers() -> Box<dyn Fn(usize) -> Begin> {
        Box::new(|_| unreachable!("nothing is encrypted"))
    }

    fn new(wire: Rc<RefCell<Wire>>) -> Self;
}

#[derive(Debug)]
pub(super) struct Wire {
    clock: Arc<AtomicU64>,
    capacity: usize,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// Octets that the client has received, and how many replies it has read with them.
    received: (usize, usize),
    is_sealed: bool,
    /// The ends of records in the client's output that the server has not read.
    seals: VecDeque<usize>,
    /// The last such end.
    sealed: usize,
    /// The client has sent its hello. Unused without records.
    has_hello: bool,
    /// The record that ends the server's output has been written.
    pub(super) has_last_record: bool,
    /// The client's side of TLS; `None` while it sends in clear.
    encryption: Option<Encryption>,
    /// Octets outside the dialogue have moved since the last check.
    has_moved: bool,
    /// All octets available to the client, read or not.
    pub(super) written: Vec<u8>,
    pub(super) writes: Log,
    /// Total number of bytes that the client has sent.
    pub(super) sent: usize,
    pub(super) arrivals: Log,
    acceptances: Vec<Acceptance>,
    pub(super) session: usize,
    mailroom: Rc<RefCell<Mailroom>>,
    pub(super) client_finished: bool,
    /// The client sent more after the server had closed.
    pub(super) has_lost_input: bool,
    is_reset: bool,
    pub(super) server_finished: bool,
    /// The server ends the connection with a reset.
    pub(super) ends_by_reset: bool,
    /// When the server closed it.
    pub(super) closed_at: Option<Duration>,
    /// It closed while input was unread: a real socket would have been reset.
    pub(super) closed_on_unread: bool,
    news: bool,
    /// A write found no room: the server gets an event when there is room.
    wants_room: bool,
    watches_for_room: bool,
    room: bool,
    /// Time until a write returns; the client can read its octets before.
    pub(super) write_takes: Duration,
    /// How long a read takes.
    pub(super) read_takes: Duration,
    /// A short read proves nothing, as with Unix sockets.
    pub(super) is_vague: bool,
}

impl Wire {
    pub(super) fn new<E: End>(
        clock: &Arc<AtomicU64>,
        capacity: usize,
        acceptances: Vec<Acceptance>,
        session: usize,
        mailroom: &Rc<RefCell<Mailroom>>,
    ) -> Self {
        Self {
            clock: Arc::clone(clock),
            capacity,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            received: (0, 0),
            is_sealed: E::IS_SEALED,
            seals: VecDeque::new(),
            sealed: 0,
            has_hello: !E::IS_SEALED,
            has_last_record: false,
            encryption: None,
            has_moved: false,
            written: Vec::new(),
            writes: Log::default(),
            sent: 0,
            arrivals: Log::default(),
            acceptances,
            session,
            mailroom: Rc::clone(mailroom),
            client_finished: false,
            has_lost_input: false,
            is_reset: false,
            server_finished: false,
            ends_by_reset: false,
            closed_at: None,
            closed_on_unread: false,
            news: false,
            wants_room: false,
            watches_for_room: false,
            room: false,
            write_takes: Duration::ZERO,
            read_takes: Duration::ZERO,
            is_vague: false,
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// The client sends `bytes`, as far as there is room.
    pub(super) fn send(&mut self, bytes: &[u8]) -> usize {
        let ends = self.client_finished || self.encryption.as_ref().is_some_and(Encryption::ends);
        if self.closed_at.is_some() || ends {
            self.has_lost_input |= !bytes.is_empty() && !ends;
            return bytes.len(); // discarded
        }
        if let Some(encryption) = &mut self.encryption {
            if !encryption.is_ready() {
                return 0;
            }
            encryption.seal(bytes, self.sent);
            self.sent += bytes.len();
            self.send_encrypted();
            return bytes.len();
        }
        let count = bytes.len().min(self.capacity - self.to_server.len());
        if count > 0 {
            self.to_server.extend(&bytes[..count]);
            self.sent += count;
            self.news = true;
            if !self.is_sealed {
                self.arrivals.note(self.sent, self.now());
            }
        }
        count
    }

    /// The client encrypts all further output, and decrypts all further input.
    pub(super) fn encrypt(&mut self, begin: Begin, is_orderly: bool) {
        assert!(self.to_client.is_empty(), "the server sends nothing before the client's hello");
        self.encryption = Some(Encryption::new(begin(), is_orderly));
        self.send_encrypted();
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    /// Sends the client's encrypted octets, as far as there is room.
    pub(super) fn send_encrypted(&mut self) {
        let (room, is_over) = (self.capacity - self.to_server.len(), self.closed_at.is_some());
        let Some(encryption) = &mut self.encryption else { return };
        let octets = encryption.next(if is_over { usize::MAX } else { room });
        if octets.is_empty() || is_over || self.client_finished {
            return;
        }
        let arrived = encryption.arrived();
        self.to_server.extend(octets);
        (self.news, self.has_moved) = (true, true);
        if let Some(sent) = arrived {
            self.arrivals.note(sent, self.now());
        }
    }

    /// Whether octets outside the dialogue have moved since the last call.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Sends octets that no session counts: the header of a proxy. Returns how many there was room for, or all of them
    /// if nobody reads.
    pub(super) fn send_before_session(&mut self, bytes: &[u8]) -> usize {
        if self.closed_at.is_some() || self.client_finished {
            return bytes.len();
        }
        let count = bytes.len().min(self.capacity - self.to_server.len());
        self.to_server.extend(&bytes[..count]);
        self.news |= count > 0;
        count
    }

    /// The client sends its hello. Returns false if already sent or not needed.
    pub(super) fn send_hello(&mut self) -> bool {
        let is_first = !std::mem::replace(&mut self.has_hello, true);
        if is_first {
            debug_assert!(HELLO.len() <= self.capacity, "it is on the wire whole");
            self.to_server.extend(HELLO);
            self.news = true;
        }
        is_first
    }

    /// Ends the client's current record: only now can the server use its octets.
    pub(super) fn seal(&mut self) {
        if self.is_sealed && self.closed_at.is_none() {
            self.seals.push_back(self.sent);
            self.sealed = self.sent;
            self.arrivals.note(self.sent, self.now());
        }
    }

    /// The client has sent an incomplete record, which cannot be answered.
    pub(super) fn is_amid_record(&self) -> bool {
        self.is_sealed && self.sent > self.sealed
    }

    /// Where the last whole record ends among this many octets from the client.
    pub(super) fn sealed_before(&mut self, length: usize) -> usize {
        while self.seals.get(1).is_some_and(|&end| end <= length) {
            self.seals.pop_front();
        }
        self.seals.front().copied().filter(|&end| end <= length).unwrap_or(0)
    }

    /// The end of the server's output has reached the client, or can.
    pub(super) fn is_output_ended(&self) -> bool {
        self.has_last_record || !(self.is_sealed || self.encryption.is_some())
    }

    pub(super) fn wants_room(&self) -> bool {
        self.wants_room
    }

    /// The server closes the connection.
    pub(super) fn close(&mut self) {
        self.closed_at = Some(self.now());
        self.closed_on_unread = !self.to_server.is_empty();
    }

    pub(super) fn receive(&mut self, most: usize) -> Vec<u8> {
        if self.encryption.is_some() {
            return self.receive_encrypted(most);
        }
        let count = most.min(self.to_client.len());
        self.take_output(count);
        let (taken, read) = self.received;
        self.received = (taken + count, (taken + count).min(self.written.len()));
        self.written[read..self.received.1].to_vec()
    }

    /// Takes octets off the wire.
    fn take_output(&mut self, count: usize) -> Vec<u8> {
        if count > 0 && std::mem::take(&mut self.wants_room) {
            self.room |= self.watches_for_room;
        }
        self.to_client.drain(..count).collect()
    }

    /// A client that reads slowly, or nothing, still reads what a handshake needs.
    fn receive_encrypted(&mut self, most: usize) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut most = most.min(self.to_client.len());
        while let Some(encryption) = &self.encryption {
            let count = encryption.wanted(most).min(self.to_client.len());
            if count == 0 {
                break;
            }
            let octets = self.take_output(count);
            most = most.saturating_sub(count);
            self.has_moved = true;
            plain.extend(self.encryption.iter_mut().flat_map(|encryption| encryption.open(&octets)));
            self.send_encrypted();
        }
        let (taken, read) = self.received;
        self.received = (taken, read + plain.len());
        let known = self.written.get(read..self.received.1);
        assert!(known == Some(&plain[..]), "what the client can read has left the server");
        let is_closed = self.encryption.as_ref().is_some_and(Encryption::is_closed);
        let state = (self.received.1, is_closed);
        assert!(!self.to_client.is_empty() || state == (self.written.len(), self.has_last_record));
        plain
    }

    pub(super) fn has_output(&self) -> bool {
        !self.to_client.is_empty()
    }

    /// The client has read everything, and nothing will follow.
    pub(super) fn is_at_end(&self) -> bool {
        self.to_client.is_empty() && (self.server_finished || self.closed_at.is_some())
    }

    /// The client closes its output.
    pub(super) fn finish(&mut self) {
        if let Some(encryption) = &mut self.encryption
            && self.closed_at.is_none()
        {
            encryption.end();
            self.send_encrypted();
            if !self.encryption.as_ref().is_some_and(Encryption::has_ended) {
                return;
            }
        }
        self.news |= !self.client_finished;
        self.client_finished = true;
    }

    pub(super) fn reset(&mut self) {
        self.news |= !self.is_reset;
        self.is_reset = true;
    }

    /// The server requests an event when there is room. As with the kernel, it gets one at once if there is room now.
    pub(super) fn watch_for_room(&mut self) {
        self.watches_for_room = true;
        self.room = self.to_client.len() < self.capacity;
    }

    /// The kernel has something to report.
    pub(super) fn has_event(&self) -> bool {
        self.news || self.room
    }

    /// The event to report since the last call.
    pub(super) fn event(&mut self) -> Option<Readiness> {
        let happened = std::mem::take(&mut self.news) | std::mem::take(&mut self.room);
        happened.then(|| self.readiness())
    }

    pub(super) fn readiness(&self) -> Readiness {
        let peer_closed = self.client_finished || self.is_reset;
        let readable = !self.to_server.is_empty() || peer_closed;
        Readiness { readable, peer_closed, is_reset: self.is_reset }
    }

    /// The server reads octets; 0 if there are none.
    pub(super) fn take_input(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let count = buffer.len().min(self.to_server.len());
        for (place, octet) in buffer.iter_mut().zip(self.to_server.drain(..count)) {
            *place = octet;
        }
        Ok(count)
    }

    /// The server writes as many octets as there is room for.
    pub(super) fn put_output(&mut self, octets: &[u8]) -> io::Result<usize> {
        assert!(!self.server_finished, "written after the end of output");
        if self.is_reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = octets.len().min(self.capacity - self.to_client.len());
        self.wants_room = count < octets.len();
        self.to_client.extend(&octets[..count]);
        Ok(count)
    }

    /// The octets written so far are replies that the client can read.
    pub(super) fn show(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        self.written.extend(octets);
        self.check_filed();
        let now = self.now();
        self.writes.note(self.written.len(), now);
        self.clock.fetch_add(self.write_takes.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Asserts that a message is filed before the client can read that it was accepted.
    fn check_filed(&self) {
        let mut mailroom = self.mailroom.borrow_mut();
        // A session that timed out has 421 in the place of the accepting reply.
        let is_shown = |Acceptance { reply, filed }: &Acceptance| {
            self.written.get(reply.start) == Some(&b'2') && self.written.len() > *filed
        };
        let shown = self.acceptances.partition_point(is_shown);
        if mailroom.accepted(self.session).len() < shown {
            mailroom.collect();
        }
        let filed = mailroom.accepted(self.session).len();
        assert!(filed >= shown, "session {}: shown {shown} acceptances, filed {filed}", self.session);
    }
}

/// The server's side without records, which behaves like plain TCP.
#[derive(Debug)]
pub(super) struct ServerEnd(Rc<RefCell<Wire>>);

impl End for ServerEnd {
    const IS_SEALED: bool = false;

    fn new(wire: Rc<RefCell<Wire>>) -> Self {
        Self(wire)
    }
}

impl Transport for ServerEnd {
    /// A short read means that nothing more has arrived, as with plain TCP.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        let mut wire = self.0.borrow_mut();
        let count = wire.take_input(buffer)?;
        wire.clock.fetch_add(wire.read_takes.as_nanos() as u64, Ordering::Relaxed);
        let may_have_more = count == buffer.len() || wire.is_vague;
        Ok(match count {
            0 if wire.client_finished => Input::End,
            0 => Input::Nothing,
            count => Input::Octets { count, may_have_more },
        })
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let count = wire.put_output(octets)?;
        wire.show(&octets[..count]);
        Ok(count)
    }

    fn unsent(&self) -> usize {
        0
    }

    fn drive(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn memory(&self) -> usize {
        0
    }

    fn wants_room(&self) -> bool {
        self.0.borrow().wants_room
    }

    fn owes_input(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn shut_down_output(&mut self) -> io::Result<()> {
        self.0.borrow_mut().server_finished = true;
        Ok(())
    }

    fn reset_at_end(&mut self) -> io::Result<()> {
        self.0.borrow_mut().ends_by_reset = true;
        Ok(())
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        Ok(Endpoint::Inet(([127, 0, 0, 1], 25).into()))
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.borrow_mut().close();
    }
}
