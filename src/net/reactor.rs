//! The event loop of one shard: accepts, dispatches events and timers, and stops when asked to. Everything
//! here runs on the shard's thread.

mod accepting;
mod sessions;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::connection::{Connection, Fate, Readiness, SCRATCH};
use super::context::{Context, Service};
use super::control::{Control, Mailbox, Message, StopOrder};
use super::listener::ListeningSocket;
use super::resources::{Resources, Stop};
use super::shard::StopOutcome;
use super::stream::Stream;
use super::verifier::Verifier;
use crate::log::EventLog;
use crate::time::{Clock, Timestamp};
use accepting::Accepting;

/// Most events taken from the kernel at once.
const EVENTS: usize = 1024;

/// Receive buffer of a throttled connection: small, so that back pressure reaches the sender soon.
const THROTTLED_RECV_BUFFER: usize = 4096;

/// The token of the waker of [`Control`]. It and the listeners have generation 0; connections start at 1.
const WAKER: Token = Token(u32::MAX as usize);

/// The event loop of one shard, with its sockets.
pub(super) struct Reactor {
    poll: Poll,
    listeners: Vec<Accepting>,
    connections: Slab<Connection<Stream>>,
    /// Generation of the next connection: distinguishes it from earlier users of its slot. Never 0.
    next_generation: u32,
    /// Connections whose turn ended before their work was done.
    again: Vec<Token>,
    resources: Resources,
    context: Context,
    mailbox: Arc<Mailbox>,
    is_paused: bool,
    /// The end of the shutdown timeout; `None` without a stop, and once it has passed.
    stop_at: Option<Timestamp>,
}

impl Reactor {
    /// Registers the listeners; connections that arrive from now on wait in their backlog.
    pub(super) fn new(
        sockets: Vec<ListeningSocket>,
        context: Context,
        clock: Clock,
        event_log: Option<&EventLog>,
    ) -> io::Result<(Self, Arc<Control>)> {
        let poll = Poll::new()?;
        let mailbox = Arc::<Mailbox>::default();
        let control = Arc::new(Control::new(Arc::clone(&mailbox), Waker::new(poll.registry(), WAKER)?));
        let mut listeners = Vec::new();
        for (index, mut socket) in sockets.into_iter().enumerate() {
            poll.registry().register(socket.socket.source(), Token(index), Interest::READABLE)?;
            listeners.push(Accepting::new(socket)?);
        }
        let notes = event_log.map(EventLog::notes);
        let verifier = Verifier::new(Arc::clone(&context.checks), Some(Arc::clone(&control)));
        let resources = Resources::new(clock, SCRATCH, Arc::clone(&mailbox), verifier, notes);
        let reactor = Self {
            poll,
            listeners,
            connections: Slab::new(),
            next_generation: 1,
            again: Vec::new(),
            resources,
            context,
            mailbox,
            is_paused: false,
            stop_at: None,
        };
        Ok((reactor, control))
    }

    /// Serves until a stop is requested, and then until the last session or the shutdown timeout ends.
    pub(super) fn run(mut self) -> io::Result<StopOutcome> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.turn(&events),
            }
            if self.stop_at.is_some_and(|at| at <= self.resources.now) && !self.connections.is_empty() {
                self.dismiss_all();
            }
            if self.resources.stop > Stop::None && self.connections.is_empty() {
                self.post_notes();
                self.resources.gathering.end_as_asked();
                return Ok(match self.resources.stop {
                    Stop::Forced => StopOutcome::Forced,
                    _ => StopOutcome::Graceful,
                });
            }
        }
    }

    /// The timeout of the next poll; `None`: unlimited.
    fn timeout(&self) -> Option<Duration> {
        let may_accept = || !self.is_paused && self.listeners.iter().any(|listening| listening.is_ready);
        if !self.again.is_empty() || may_accept() {
            return Some(Duration::ZERO);
        }
        let retries =
            self.listeners.iter().filter_map(|listening| listening.retry_at.filter(|_| !self.is_paused));
        let next = self.resources.wheel.next_deadline().into_iter().chain(self.stop_at).chain(retries).min();
        next.map(|at| at.since(self.resources.turn_ended))
    }

    fn turn(&mut self, events: &Events) {
        self.resources.begin_turn();
        let mut unfinished = std::mem::take(&mut self.again);
        // A connection that also had an event is listed twice, and gets one turn.
        unfinished.sort_unstable();
        unfinished.dedup();
        for event in events {
            self.dispatch(event);
        }
        for &token in &unfinished {
            self.drive(token, Connection::run);
        }
        while let Some(token) = self.resources.wheel.pop(self.resources.now) {
            self.drive(token, Connection::on_timer);
        }
        self.accept_all();
        self.post_notes();
        self.resources.end_turn();
    }

    fn dispatch(&mut self, event: &Event) {
        match event.token() {
            WAKER => self.obey(),
            Token(index) if index < self.listeners.len() => self.listeners[index].is_ready = true,
            token => {
                let readiness = Readiness {
                    readable: event.is_readable(),
                    peer_closed: event.is_read_closed(),
                    is_reset: event.is_error(),
                };
                self.drive(token, |connection, context, resources| {
                    connection.on_event(readiness, context, resources)
                });
            }
        }
    }

    /// Gives a connection its turn. An event may name a connection that is already closed.
    fn drive(
        &mut self,
        token: Token,
        turn: impl FnOnce(&mut Connection<Stream>, &Context, &mut Resources) -> Fate,
    ) {
        let slot = slot_of(token);
        let Some(connection) = self.connections.get_mut(slot).filter(|found| found.token() == token) else {
            return;
        };
        match turn(connection, &self.context, &mut self.resources) {
            Fate::Waits => {}
            Fate::Blocked => self.watch_for_room(slot),
            Fate::Again => self.again.push(token),
            Fate::Over => self.close(slot),
        }
        if let Some(connection) = self.connections.get(slot).filter(|found| found.token() == token) {
            connection.assert_consistent();
        }
        debug_assert!(
            self.resources.has_no_leftovers(),
            "replies and records belong to one connection's turn"
        );
    }

    fn watch_for_room(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let token = connection.token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Some(stream) = connection.stream_to_watch()
            && self.poll.registry().reregister(stream.source(), token, interest).is_err()
        {
            self.close(slot);
        }
    }

    fn close(&mut self, slot: usize) {
        self.connections.remove(slot).close(&self.context, &mut self.resources);
        // A descriptor is free now: a listener that paused for lack of one may retry.
        for listening in &mut self.listeners {
            listening.is_ready |= listening.retry_at.take().is_some();
        }
    }

    fn token_for(&mut self, slot: usize) -> Token {
        let generation = self.next_generation;
        self.next_generation = generation.checked_add(1).unwrap_or(1);
        debug_assert!(
            generation > 0 && slot <= u32::MAX as usize,
            "generation 0 is that of listeners and the waker"
        );
        Token((generation as usize) << 32 | slot)
    }

    /// Executes the messages in the mailbox.
    fn obey(&mut self) {
        while let Some(message) = self.mailbox.next() {
            match message {
                Message::Stop(order) => self.stop(order),
                Message::Figures(reader) => self.resources.gathering.give(&reader),
                Message::Replace(service, caller) => {
                    self.serve_by(service);
                    // A caller that is gone needs no confirmation.
                    let _ = caller.send(());
                }
                Message::Pause(is_paused, caller) => {
                    self.pause(is_paused);
                    let _ = caller.send(());
                }
                Message::Sessions(range, reader) => drop(reader.send(self.glance(range))),
                Message::End(order, caller) => {
                    let _ = caller.send(self.end_sessions(order));
                }
                #[cfg(feature = "http")]
                Message::Announce(to) => self.resources.announcer.to = to,
                Message::Checked(token, checked) => self.drive(token, |connection, context, resources| {
                    connection.on_checked(checked, context, resources)
                }),
            }
        }
    }

    /// Applies a new service from each session's next line. Delayed and dripping replies leave as they were decided.
    fn serve_by(&mut self, service: Arc<Service>) {
        let before = std::mem::replace(&mut self.context.service, service);
        for (_, connection) in &mut self.connections {
            connection.count_place(&self.context);
        }
        // The limit on sessions may have risen.
        for listening in &mut self.listeners {
            listening.is_ready |= listening.retry_at.take().is_some();
        }
        let (old, new) = (before.rates(), self.context.service.rates());
        if old.read.is_none() && new.read.is_some() {
            // As for connections accepted from now on. This can't be undone: the kernel adjusts the size only of
            // sockets for which it was never set.
            for (_, connection) in &self.connections {
                connection.stream().limit_receive_buffer(THROTTLED_RECV_BUFFER);
            }
        }
        // Some wait for a pace that no longer applies.
        if old != new {
            self.drive_all(Connection::run);
        }
    }

    fn stop(&mut self, StopOrder { timeout, spares_idle }: StopOrder) {
        if self.resources.stop == Stop::Forced {
            return;
        }
        // Connections in the backlog are open for their clients, also during a pause.
        self.is_paused = false;
        self.accept_waiting();
        for mut listening in self.listeners.drain(..) {
            // A socket that other shards still share would continue to wake this one.
            let _ = self.poll.registry().deregister(listening.socket.source());
        }
        let stop_at = self.resources.clock.now().after(timeout);
        self.stop_at = Some(self.stop_at.map_or(stop_at, |earlier| earlier.min(stop_at)));
        let stop = if spares_idle { Stop::SparesIdle } else { Stop::ClosesIdle };
        self.resources.stop = self.resources.stop.max(stop);
        self.drive_all(Connection::on_stop);
    }

    /// The shutdown timeout is over.
    fn dismiss_all(&mut self) {
        self.stop_at = None;
        self.resources.stop = Stop::Forced;
        self.drive_all(Connection::dismiss);
    }

    fn drive_all(&mut self, turn: impl Fn(&mut Connection<Stream>, &Context, &mut Resources) -> Fate + Copy) {
        let tokens: Vec<Token> = self.connections.iter().map(|(_, connection)| connection.token()).collect();
        tokens.into_iter().for_each(|token| self.drive(token, turn));
    }

    fn post_notes(&mut self) {
        if let Some(notes) = &mut self.resources.notes {
            notes.post();
        }
    }
}

fn slot_of(token: Token) -> usize {
    token.0 & u32::MAX as usize
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpStream};

    use super::*;
    use crate::config::Config;
    use crate::net::bind;
    #[cfg(feature = "tls")]
    use crate::net::stream::{Handshake, Transport as _};
    use crate::records::Records;
    use crate::records::budget::Budget;
    use crate::smtp::Stage;
    use crate::smtp::rules::Rule;

    const TURNS: usize = 100;

    fn reactor(rules: impl IntoIterator<Item = Rule>) -> (Reactor, SocketAddr) {
        reactor_of(&rules.into_iter().fold(Config::default(), Config::rule))
    }

    fn reactor_of(config: &Config) -> (Reactor, SocketAddr) {
        reactor_at(config, Clock::start())
    }

    fn reactor_at(config: &Config, clock: Clock) -> (Reactor, SocketAddr) {
        let config = config.clone().keep_records(false);
        let (addresses, mut sockets) = bind(&config.listeners().expect("valid"), 1, 16).expect("a listener");
        let records = Records { shard: 0, store: None, capture: None, show: None };
        let service = Arc::new(Service::new(config.settings(0), None));
        let budget = Budget::new(usize::MAX);
        let context = Context::new(service, records, &budget, Arc::default(), Arc::default(), Arc::default());
        let context = context.with_tls(config.prepare_tls().expect("valid"));
        let (reactor, _) = Reactor::new(sockets.remove(0), context, clock, None).expect("a reactor");
        (reactor, addresses[0].endpoint.inet().expect("TCP"))
    }

    #[test]
    fn connections_that_are_to_be_read_slowly_from_now_on_get_small_receive_buffers_too() {
        let (mut reactor, address) = reactor([]);
        let _client = TcpStream::connect(address).expect("a connection");
        let mut events = Events::with_capacity(EVENTS);
        while reactor.connections.is_empty() {
            reactor.poll.poll(&mut events, reactor.timeout()).expect("a poll");
            reactor.turn(&events);
        }
        // Linux doubles the requested size.
        let is_small = |reactor: &Reactor| {
            let mut connections = reactor.connections.iter();
            connections.all(|(_, found)| found.stream().receive_buffer() <= 2 * THROTTLED_RECV_BUFFER)
        };
        assert!(!is_small(&reactor), "it is read as fast as it can be");
        let slow = Config::default().read_rate("1KiB/s".parse().expect("a rate"));
        reactor.serve_by(Arc::new(Service::new(slow.settings(0), None)));
        assert!(is_small(&reactor));
        reactor.serve_by(Arc::new(Service::new(Config::default().settings(0), None)));
        assert!(is_small(&reactor), "this can't be undone");
    }

    /// A regression: a listener with connections that may not be accepted made polls return at once.
    #[test]
    fn a_pause_waits_for_events_and_its_end_accepts_what_has_come() {
        let (mut reactor, address) = reactor([]);
        let (mut events, mut clients) = (Events::with_capacity(EVENTS), Vec::new());
        for _ in 0..2 {
            reactor.pause(true);
            let before = reactor.connections.len();
            clients.push(TcpStream::connect(address).expect("the backlog takes it"));
            reactor.poll.poll(&mut events, Some(std::time::Duration::from_secs(60))).expect("a poll");
            assert!(!events.is_empty(), "the listener has a connection");
            reactor.turn(&events);
            assert_ne!(reactor.timeout(), Some(std::time::Duration::ZERO));
            assert_eq!(reactor.connections.len(), before);
            reactor.pause(false);
            assert_eq!(reactor.timeout(), Some(std::time::Duration::ZERO), "there is no other event");
            events.clear();
            reactor.turn(&events);
            assert_eq!(reactor.connections.len(), before + 1);
        }
    }

    /// Sends message data until the connection is closed.
    fn flood(mut stream: TcpStream) {
        let opening = b"EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n";
        let chunk = vec![b'x'; 1 << 20];
        let mut result = stream.write_all(opening);
        while result.is_ok() {
            result = stream.write_all(&chunk);
        }
    }

    #[test]
    fn a_client_that_sends_without_pause_had_ever_more_turns() {
        let (mut reactor, address) = reactor([]);
        let stream = TcpStream::connect(address).expect("a connection");
        let flooding = std::thread::spawn(move || flood(stream));
        let mut events = Events::with_capacity(EVENTS);
        let mut most = 0;
        for _ in 0..TURNS {
            reactor.poll.poll(&mut events, reactor.timeout()).expect("a poll");
            reactor.turn(&events);
            most = most.max(reactor.again.len());
        }
        drop(reactor);
        flooding.join().expect("the flood ends");
        assert!((1..=2).contains(&most), "{most} turns at once");
    }

    #[test]
    fn a_client_with_lines_that_many_rules_are_asked_about_had_all_of_them_answered_in_one_turn() {
        // A pattern shape without an index: each name is compared with all of them.
        let rule = |number| Rule::anywhere().helo(format!("*a{number}*b").as_str()).close();
        let (mut reactor, address) = reactor((0..500).map(rule));
        let mut stream = TcpStream::connect(address).expect("a connection");
        let lines = format!("HELO {}.example\r\n{}", "a".repeat(60), "NOOP\r\n".repeat(100));
        stream.write_all(lines.as_bytes()).expect("room in the socket");
        let mut events = Events::with_capacity(EVENTS);
        let mut gave_way = 0;
        while reactor.resources.gathering.stats.stages[Stage::Noop].count < 100 {
            reactor.poll.poll(&mut events, reactor.timeout()).expect("a poll");
            reactor.turn(&events);
            gave_way += reactor.again.len();
        }
        assert!(gave_way > 0, "others had no turn between");
    }

    /// A hundred handshakes at once would delay all other connections by a hundred signatures.
    #[cfg(feature = "tls")]
    #[test]
    fn a_turn_takes_few_steps_of_handshakes_and_the_next_ones_take_the_others() {
        const CLIENTS: usize = 14;
        let tls = crate::tls::Tls::self_signed();
        let (mut reactor, address) = reactor_of(&Config::default().tls(tls).listen("smtps://127.0.0.1"));
        // Incomplete hellos: each takes a step, and none is done.
        let connect = |_| {
            let mut client = TcpStream::connect(address).expect("a connection");
            client.write_all(&[22, 3, 1]).expect("room in the socket");
            client
        };
        let _clients: Vec<_> = (0..CLIENTS).map(connect).collect();
        let mut events = Events::with_capacity(EVENTS);
        let mut waiting = Vec::new();
        while reactor.connections.len() < CLIENTS || !reactor.again.is_empty() {
            reactor.poll.poll(&mut events, reactor.timeout()).expect("a poll");
            reactor.turn(&events);
            let mut tokens = reactor.again.clone();
            tokens.dedup();
            waiting.push(tokens.len());
        }
        assert!(waiting[0] >= CLIENTS - 8 || waiting.len() > 2, "all in one turn: {waiting:?}");
        let is_running =
            |connection: &Connection<Stream>| connection.stream().handshake() == Handshake::Running;
        assert!(reactor.connections.iter().all(|(_, connection)| is_running(connection)));
    }

    /// A client whose complete hello waits for a turn is not slow; its wait is the server's share until it is answered.
    #[cfg(feature = "tls")]
    #[test]
    fn the_time_of_a_handshake_that_was_put_off_is_the_servers_share() {
        use std::sync::atomic::{AtomicU64, Ordering};
        use std::time::Duration;

        use rustls::pki_types::pem::PemObject as _;

        const CLIENTS: usize = 9;
        let tls = crate::tls::Tls::self_signed();
        let moment = Arc::new(AtomicU64::new(0));
        let clock = Clock::Virtual(Arc::clone(&moment));
        let (mut reactor, address) =
            reactor_at(&Config::default().tls(tls).listen("smtps://127.0.0.1"), clock);
        let ca = reactor.context.tls.as_ref().and_then(|tls| tls.ca_pem.clone()).expect("made at the start");
        let ca = rustls::pki_types::CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth());
        let connect = |_| {
            let name = "localhost".try_into().expect("a name");
            let mut tls = rustls::ClientConnection::new(Arc::clone(&config), name).expect("a connection");
            let mut stream = TcpStream::connect(address).expect("a connection");
            tls.write_tls(&mut stream).expect("room in the socket");
            (tls, stream)
        };
        let mut clients: Vec<_> = (0..CLIENTS).map(connect).collect();
        let mut events = Events::with_capacity(EVENTS);
        // One of them is postponed.
        while reactor.again.is_empty() {
            reactor.poll.poll(&mut events, reactor.timeout()).expect("a poll");
            reactor.turn(&events);
        }
        moment.store(1_000_000_000, Ordering::Relaxed);
        let finishing = std::thread::spawn(move || {
            for (tls, stream) in &mut clients {
                while tls.is_handshaking() || tls.wants_write() {
                    tls.complete_io(stream).expect("a handshake");
                }
            }
            clients
        });
        while reactor.resources.gathering.stats.tls.handshakes < CLIENTS as u64 {
            reactor.poll.poll(&mut events, reactor.timeout()).expect("a poll");
            reactor.turn(&events);
        }
        drop(finishing.join().expect("all are done"));
        let tls = &reactor.resources.gathering.stats.tls;
        let second = Duration::from_secs(1);
        for whole in [tls.duration.min(), tls.duration.max(), tls.think.max(), tls.service.max()] {
            assert_eq!(whole, second);
        }
        let most = |durations: &crate::stats::Durations| durations.share_within(Duration::ZERO);
        assert_eq!((most(&tls.think), most(&tls.service)), (1.0 / 9.0, 8.0 / 9.0));
    }
}
