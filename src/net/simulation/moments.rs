//! Single connections in chosen situations: a clock that jumps, a slow write, a reply that its transport retains.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use mio::Token;

use super::sealed::SealedEnd;
use super::wire::{End, Mailroom, ServerEnd, Wire};
use super::{ROUNDING, context, resources};
use crate::net::connection::{Connection, Fate, Origin};
use crate::net::context::{Context, Service, SessionPermit};
use crate::net::resources::{Resources, Stop};
use crate::records::Endpoint;
use crate::records::store::Store;
use crate::smtp::{DelayPoint, Policy, Protocol, Stage};

const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// A server without a reactor: the test decides the time of each event.
pub(super) struct Bench {
    clock: Arc<AtomicU64>,
    pub(super) context: Context,
    pub(super) resources: Resources,
    pub(super) mailroom: Rc<RefCell<Mailroom>>,
}

impl Bench {
    fn new(policy: Policy) -> Self {
        Self::with_timeout(policy, SESSION_TIMEOUT)
    }

    pub(super) fn with_timeout(policy: Policy, timeout: Duration) -> Self {
        let clock = Arc::new(AtomicU64::new(1));
        let store = Arc::new(Store::new(1, usize::MAX, usize::MAX));
        Self {
            context: context(policy, timeout, SESSION_TIMEOUT, None, &store),
            resources: resources(&clock, 100),
            mailroom: Rc::new(RefCell::new(Mailroom { store, records: Vec::new() })),
            clock,
        }
    }

    /// A connection whose wire to the client has room for `capacity` octets.
    fn connection(&self, index: usize, capacity: usize) -> (Rc<RefCell<Wire>>, Connection<ServerEnd>) {
        self.connection_over(index, capacity)
    }

    fn connection_over<E: End>(&self, index: usize, capacity: usize) -> (Rc<RefCell<Wire>>, Connection<E>) {
        self.connection_of(index, capacity, false)
    }

    #[cfg(feature = "tls")]
    pub(super) fn encrypting(mut self, tls: Option<crate::tls::ServerTls>) -> Self {
        self.context = self.context.with_tls(tls);
        self
    }

    /// A connection that may begin with TLS.
    pub(super) fn connection_of<E: End>(
        &self,
        index: usize,
        capacity: usize,
        is_encrypted: bool,
    ) -> (Rc<RefCell<Wire>>, Connection<E>) {
        let wire = Wire::new::<E>(&self.clock, capacity, Vec::new(), index, &self.mailroom);
        let wire = Rc::new(RefCell::new(wire));
        let origin = Origin {
            session_id: 1,
            peer_addr: Endpoint::Inet(([127, 0, 0, 1], 1).into()),
            local_addr: Endpoint::Inet(([127, 0, 0, 1], 25).into()),
            listener: Endpoint::Inet(([127, 0, 0, 1], 25).into()),
            proxied: None,
            connected_at: SystemTime::UNIX_EPOCH,
            connected: Duration::ZERO,
            protocol: Protocol::Smtp,
            is_encrypted,
            inbox: None,
        };
        let stream = E::new(Rc::clone(&wire));
        let now = self.resources.clock.now();
        (wire, Connection::new(stream, Token(index), origin, SessionPermit::default(), now))
    }

    /// Advances the clock and begins the next turn.
    pub(super) fn pass(&mut self, time: Duration) {
        self.clock.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        self.resources.begin_turn();
    }

    /// Gives the connection a turn for its events since the last one.
    pub(super) fn turn<E: End>(&mut self, wire: &RefCell<Wire>, connection: &mut Connection<E>) -> Fate {
        let event = wire.borrow_mut().event().expect("an event");
        connection.on_event(event, &self.context, &mut self.resources)
    }
}

/// The machine was suspended: the delayed client gets its reply and continues, the idle one gets 421.
#[test]
fn a_clock_that_jumps_a_year() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let mut policy = Policy::default();
    policy.set_delay(DelayPoint::Noop, Duration::from_secs(1));
    let mut bench = Bench::new(policy);
    let (delayed_wire, mut delayed) = bench.connection(0, 1000);
    let (idle_wire, mut idle) = bench.connection(1, 1000);
    assert_eq!(delayed.open(&bench.context, &mut bench.resources), Fate::Waits);
    assert_eq!(idle.open(&bench.context, &mut bench.resources), Fate::Waits);
    delayed_wire.borrow_mut().send(b"NOOP\r\n");
    assert_eq!(bench.turn(&delayed_wire, &mut delayed), Fate::Waits);

    bench.pass(YEAR);
    let mut fates = Vec::new();
    while let Some(Token(index)) = bench.resources.wheel.pop(bench.resources.now) {
        let connection = if index == 0 { &mut delayed } else { &mut idle };
        fates.push((index, connection.on_timer(&bench.context, &mut bench.resources)));
    }
    assert_eq!(fates, [(0, Fate::Waits), (1, Fate::Over)]);
    assert!(delayed_wire.borrow().written.ends_with(b"250 Ok\r\n"));
    assert!(idle_wire.borrow().written.ends_with(b"421 Service closing transmission channel\r\n"));
    let next = bench.resources.wheel.next_deadline().expect("the session's timeout");
    assert!(next.since(bench.resources.clock.now()) <= SESSION_TIMEOUT + ROUNDING);
}

/// A client whose greeting closes the connection may have sent input already: closing at once would destroy the
/// greeting.
#[test]
fn a_client_that_sends_too_early_can_read_why_it_is_closed() {
    let refusing = || {
        let mut policy = Policy::default();
        policy.add_rule("connect reply=\"554 no\" close".parse().expect("a rule"));
        Bench::new(policy)
    };
    let closing_at_once = || Bench::with_timeout(Policy::default(), Duration::ZERO);
    for mut bench in [refusing(), closing_at_once()] {
        let (wire, mut connection) = bench.connection(0, 1000);
        assert_eq!(
            connection.open(&bench.context, &mut bench.resources),
            Fate::Over,
            "the client has sent nothing"
        );
        connection.close(&bench.context, &mut bench.resources);
        assert!(!wire.borrow().closed_on_unread);

        let (wire, mut early) = bench.connection(1, 1000);
        wire.borrow_mut().send(&b"EHLO early.example\r\n".repeat(20));
        assert_eq!(early.open(&bench.context, &mut bench.resources), Fate::Again);
        while early.run(&bench.context, &mut bench.resources) == Fate::Again {}
        wire.borrow_mut().send(b"QUIT\r\n");
        assert_eq!(bench.turn(&wire, &mut early), Fate::Waits, "the client may still send");
        wire.borrow_mut().finish();
        assert_eq!(bench.turn(&wire, &mut early), Fate::Over);
        early.close(&bench.context, &mut bench.resources);
        assert!(!wire.borrow().closed_on_unread, "a real socket would have been reset");
        assert!(wire.borrow_mut().receive(100).ends_with(b"\r\n"));
    }
}

#[test]
fn delays_that_end_in_the_same_turn_are_counted_together() {
    let mut policy = Policy::default();
    policy.set_delay(DelayPoint::Noop, Duration::from_secs(1));
    let mut bench = Bench::new(policy);
    let mut clients: Vec<_> = (0..3).map(|index| bench.connection(index, 1000)).collect();
    for (wire, connection) in &mut clients {
        connection.open(&bench.context, &mut bench.resources);
        wire.borrow_mut().send(b"NOOP\r\n");
        bench.turn(wire, connection);
        // The last delay ends a turn later.
        bench.pass(if wire.borrow().session == 1 { Duration::from_millis(50) } else { Duration::ZERO });
    }
    for (wait, over) in [(Duration::from_millis(960), 2), (Duration::from_millis(50), 3)] {
        bench.pass(wait);
        while let Some(Token(index)) = bench.resources.wheel.pop(bench.resources.now) {
            clients[index].1.on_timer(&bench.context, &mut bench.resources);
        }
        bench.resources.end_turn();
        let delays = &bench.resources.gathering.stats.delays;
        assert_eq!((delays.told.count(), delays.at_once.get()), (over, 2));
    }
}

/// A client may read and answer a reply before the write that sends it returns. The test is named after the bug: the
/// client's think time was zero.
#[test]
fn a_client_that_ran_first_had_no_think_time() {
    const WRITE: Duration = Duration::from_millis(5);
    const REST: Duration = Duration::from_millis(1);
    let mut bench = Bench::new(Policy::default());
    let (wire, mut connection) = bench.connection(0, 1000);
    wire.borrow_mut().write_takes = WRITE;
    connection.open(&bench.context, &mut bench.resources);
    wire.borrow_mut().send(b"NOOP\r\n");
    bench.pass(REST);
    bench.turn(&wire, &mut connection);
    let noop = &bench.resources.gathering.stats.stages[Stage::Noop];
    assert_eq!(noop.think.count(), 1);
    let think = noop.think.min();
    assert!(think >= WRITE && think <= (WRITE + REST).mul_f64(1.01), "{think:?}");
    assert!(
        noop.service.max() < WRITE,
        "{:?}: the time of the write is not the server's",
        noop.service.max()
    );
}

/// A reply has left with its last octet, and the client's think time begins then.
#[test]
fn the_rest_of_a_reply_was_stamped_with_its_front() {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut bench = Bench::new(Policy::default());
    let (wire, mut connection) = bench.connection(0, 5);
    assert_eq!(connection.open(&bench.context, &mut bench.resources), Fate::Blocked);
    wire.borrow_mut().watch_for_room();
    let mut greeting = Vec::new();
    for _ in 0..2 {
        assert_eq!(bench.resources.gathering.stats.stages[Stage::Greeting].service.count(), 0);
        greeting.extend(wire.borrow_mut().receive(5));
        bench.pass(PAUSE);
        bench.turn(&wire, &mut connection);
    }
    greeting.extend(wire.borrow_mut().receive(5));
    assert_eq!(greeting, b"220 Welcome\r\n");
    let service = &bench.resources.gathering.stats.stages[Stage::Greeting].service;
    assert_eq!(service.count(), 1);
    let took = service.min();
    assert!(took >= 2 * PAUSE && took <= (2 * PAUSE).mul_f64(1.01), "{took:?}");
}

/// A changed timeout does not affect a wait that has begun.
#[test]
fn a_changed_timeout_applies_from_the_next_wait_on() {
    const SHORT: Duration = Duration::from_millis(100);
    for timeout in [5, 120].map(Duration::from_secs) {
        let mut bench = Bench::new(Policy::default());
        let (wire, mut connection) = bench.connection(0, 1000);
        connection.open(&bench.context, &mut bench.resources);
        let mut settings = bench.context.settings().clone();
        settings.session_timeout = timeout;
        bench.context.service = Arc::new(Service::new(settings, Some(&bench.context.service)));
        connection.run(&bench.context, &mut bench.resources);
        let mut replies_after = |bench: &mut Bench, time: Duration| {
            bench.pass(time);
            while bench.resources.wheel.pop(bench.resources.now).is_some() {
                connection.on_timer(&bench.context, &mut bench.resources);
            }
            let event = wire.borrow_mut().event();
            if let Some(event) = event {
                connection.on_event(event, &bench.context, &mut bench.resources);
            }
            String::from_utf8_lossy(&wire.borrow().written).lines().count()
        };
        assert_eq!(replies_after(&mut bench, SESSION_TIMEOUT - SHORT), 1, "{timeout:?}");
        wire.borrow_mut().send(b"NOOP\r\n");
        assert_eq!(replies_after(&mut bench, Duration::ZERO), 2);
        assert_eq!(replies_after(&mut bench, timeout - SHORT), 2, "{timeout:?}");
        assert_eq!(replies_after(&mut bench, SHORT + ROUNDING), 3, "421 after {timeout:?}");
    }
}

/// A transport may accept replies long before they leave.
#[test]
fn a_message_is_accepted_when_its_transport_has_sent_the_reply() {
    for is_reset in [false, true] {
        let mut bench = Bench::new(Policy::default());
        let (wire, mut connection) = bench.connection_over::<SealedEnd>(0, 10);
        assert_eq!(
            connection.open(&bench.context, &mut bench.resources),
            Fate::Waits,
            "the client has sent no hello yet"
        );
        assert_eq!(wire.borrow().written, b"");
        wire.borrow_mut().send_hello();
        let mail = b"HELO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n.\r\n";
        let (front, last) = mail.split_at(mail.len() - 5);
        for piece in front.chunks(10) {
            wire.borrow_mut().send(piece);
            let mut fate = bench.turn(&wire, &mut connection);
            while fate == Fate::Blocked {
                wire.borrow_mut().watch_for_room();
                wire.borrow_mut().receive(10);
                fate = bench.turn(&wire, &mut connection);
            }
        }
        assert!(wire.borrow().written.starts_with(b"220 "));
        assert_eq!(
            bench.resources.gathering.stats.stages[Stage::Helo].count,
            0,
            "half a record yields no octets"
        );
        wire.borrow_mut().send(last);
        wire.borrow_mut().seal();
        assert_eq!(bench.turn(&wire, &mut connection), Fate::Blocked);
        assert_eq!(bench.resources.gathering.stats.stages[Stage::Message].count, 1);
        let mut rounds = 0;
        while bench.resources.gathering.stats.messages.accepted == 0 && !is_reset {
            assert!(
                !wire.borrow().written.ends_with(b"250 Received\r\n"),
                "the reply was sent, but the message is not accepted"
            );
            assert!(!wire.borrow_mut().receive(10).is_empty() || rounds < 100);
            bench.turn(&wire, &mut connection);
            rounds += 1;
        }
        assert!(is_reset || rounds > 4, "the reply was held back");
        connection.close(&bench.context, &mut bench.resources);
        let messages = &bench.resources.gathering.stats.messages;
        assert_eq!((messages.accepted, messages.aborted), if is_reset { (0, 1) } else { (1, 0) });
        bench.mailroom.borrow_mut().collect();
        assert_eq!(bench.mailroom.borrow().accepted(0).len(), usize::from(!is_reset));
    }
}

/// The end of a transport's output needs room on the wire, like a reply.
#[test]
fn a_connection_is_closed_when_the_end_of_its_output_has_left() {
    for is_forced in [false, true] {
        let mut bench = Bench::new(Policy::default());
        // Each of the two pieces of the last reply fills the wire.
        let (wire, mut connection) = bench.connection_over::<SealedEnd>(0, 12);
        connection.open(&bench.context, &mut bench.resources);
        wire.borrow_mut().send_hello();
        let mut fate = bench.turn(&wire, &mut connection);
        wire.borrow_mut().watch_for_room();
        for (command, reply) in [("", "220 Welcome\r\n"), ("QUIT\r\n", "221 Closing connection\r\n")] {
            wire.borrow_mut().send(command.as_bytes());
            wire.borrow_mut().seal();
            while !wire.borrow().written.ends_with(reply.as_bytes()) {
                wire.borrow_mut().receive(12);
                fate = bench.turn(&wire, &mut connection);
            }
            wire.borrow_mut().receive(if command.is_empty() { 12 } else { 0 });
        }
        assert_eq!(fate, Fate::Blocked, "the end has not left yet");
        if is_forced {
            bench.resources.stop = Stop::Forced;
            assert_eq!(connection.dismiss(&bench.context, &mut bench.resources), Fate::Over);
        } else {
            wire.borrow_mut().receive(14);
            assert_eq!(bench.turn(&wire, &mut connection), Fate::Over);
            assert!(wire.borrow().has_last_record);
        }
    }
}

/// Input of a truncated stream is answered, and the session ends as if the client had half-closed.
#[test]
fn a_truncated_stream_is_answered_and_ended() {
    let mut bench = Bench::new(Policy::default());
    let (wire, mut connection) = bench.connection_over::<SealedEnd>(0, 1000);
    connection.open(&bench.context, &mut bench.resources);
    wire.borrow_mut().send_hello();
    wire.borrow_mut().send(b"NOOP\r\n");
    wire.borrow_mut().seal();
    wire.borrow_mut().send(b"NOOP\r\n");
    wire.borrow_mut().finish();
    assert_eq!(bench.turn(&wire, &mut connection), Fate::Over);
    assert!(wire.borrow().written.ends_with(b"250 Ok\r\n"));
    assert_eq!(bench.resources.gathering.stats.stages[Stage::Noop].count, 1);
    assert!(wire.borrow().has_last_record);
}

/// A client that need not send a header waits for its greeting, but a header that has begun is awaited.
#[test]
fn the_first_octet_of_a_header_decides_how_long_it_is_waited_for() {
    let wait = Duration::from_millis(500);
    let mut bench = Bench::new(Policy::default());
    let (silent_wire, mut silent) = bench.connection(0, 1000);
    let (slow_wire, mut slow) = bench.connection(1, 1000);
    for connection in [&mut silent, &mut slow] {
        let fate = connection.await_header(&bench.context, &mut bench.resources, false, false);
        assert_eq!(fate, Fate::Waits);
    }
    bench.pass(wait - ROUNDING);
    slow_wire.borrow_mut().send_before_session(b"PROXY ");
    assert_eq!(bench.turn(&slow_wire, &mut slow), Fate::Waits);
    assert!(bench.resources.wheel.pop(bench.resources.now).is_none(), "nobody has waited for so long");
    bench.pass(2 * ROUNDING);
    let mut fates = Vec::new();
    while let Some(Token(index)) = bench.resources.wheel.pop(bench.resources.now) {
        let connection = if index == 0 { &mut silent } else { &mut slow };
        fates.push((index, connection.on_timer(&bench.context, &mut bench.resources)));
    }
    fates.sort_unstable_by_key(|(index, _)| *index);
    assert_eq!(fates, [(0, Fate::Waits), (1, Fate::Waits)]);
    assert_eq!(silent_wire.borrow().written, b"220 Welcome\r\n");
    bench.pass(SESSION_TIMEOUT);
    assert_eq!(bench.resources.wheel.pop(bench.resources.now), Some(Token(1)));
    assert_eq!(slow.on_timer(&bench.context, &mut bench.resources), Fate::Over);
    slow.close(&bench.context, &mut bench.resources);
    assert!(slow_wire.borrow().written.is_empty());
    let stats = &bench.resources.gathering.stats;
    assert_eq!((stats.proxy.late, stats.proxy.headers, stats.sessions.opened), (1, 0, 1));
}

/// A header may begin like a command or an empty line.
#[test]
fn a_client_that_has_sent_the_front_of_a_signature_is_greeted() {
    let wait = Duration::from_secs(3);
    for (front, reply) in [("P", ""), ("\r\n", "502 ")] {
        let mut bench = Bench::new(Policy::default());
        let [(wire, mut connection), (left_wire, mut left)] = [0, 1].map(|slot| bench.connection(slot, 1000));
        for (wire, connection) in [(&wire, &mut connection), (&left_wire, &mut left)] {
            let fate = connection.await_header(&bench.context, &mut bench.resources, false, false);
            assert_eq!(fate, Fate::Waits);
            wire.borrow_mut().send(front.as_bytes());
            assert_eq!(bench.turn(wire, connection), Fate::Waits);
        }
        // A client that ends its output sends no header.
        left_wire.borrow_mut().finish();
        bench.turn(&left_wire, &mut left);
        assert!(left_wire.borrow().written.starts_with(b"220 Welcome\r\n"), "{front:?}");
        bench.pass(wait - ROUNDING);
        while let Some(Token(slot)) = bench.resources.wheel.pop(bench.resources.now) {
            if slot == 0 {
                connection.on_timer(&bench.context, &mut bench.resources);
            }
        }
        assert_eq!(wire.borrow().written, b"", "{front:?}");
        bench.pass(2 * ROUNDING);
        assert_eq!(bench.resources.wheel.pop(bench.resources.now), Some(Token(0)));
        connection.on_timer(&bench.context, &mut bench.resources);
        let greeted = format!("220 Welcome\r\n{reply}");
        assert!(wire.borrow().written.starts_with(greeted.as_bytes()), "{front:?}");
        let proxy = &bench.resources.gathering.stats.proxy;
        assert_eq!((proxy.late, proxy.broken_off), (0, 0), "{front:?}");
        // The octets were part of a header after all, unless they were an empty line.
        wire.borrow_mut().send(b"ROXY UNKNOWN\r\n");
        bench.turn(&wire, &mut connection);
        let is_header = front == "P";
        assert_eq!(bench.resources.gathering.stats.proxy.late, u64::from(is_header));
    }
}

/// The test is named after the bug.
#[test]
fn a_header_that_came_while_the_process_was_stopped_was_late() {
    for is_required in [false, true] {
        let mut bench = Bench::new(Policy::default());
        let (wire, mut connection) = bench.connection(0, 1000);
        connection.await_header(&bench.context, &mut bench.resources, is_required, false);
        wire.borrow_mut().send_before_session(b"PROXY UNKNOWN\r\n");
        bench.pass(SESSION_TIMEOUT + ROUNDING);
        assert_eq!(bench.resources.wheel.pop(bench.resources.now), Some(Token(0)));
        assert_eq!(connection.on_timer(&bench.context, &mut bench.resources), Fate::Waits);
        wire.borrow_mut().send(b"NOOP\r\n");
        bench.turn(&wire, &mut connection);
        assert_eq!(wire.borrow().written, b"220 Welcome\r\n250 Ok\r\n");
        let stats = &bench.resources.gathering.stats;
        assert_eq!((stats.proxy.headers, stats.proxy.late, stats.sessions.early_talkers), (1, 0, 0));
    }
}

/// A turn may end before the server knows whether there is more to read. A client that answers the reply at once has
/// still waited for it.
#[test]
fn a_client_that_waits_for_each_reply_is_not_accused_where_a_turn_ends_early() {
    const SLOW: Duration = Duration::from_millis(2);
    // Exactly as many octets as one turn may read.
    let mut message = vec![b'a'; 524_300];
    message.splice(524_295.., *b"\r\n.\r\n");
    let lines: [&[u8]; 8] = [
        b"EHLO a.example\r\n",
        b"MAIL FROM:<a@a.example>\r\n",
        b"RCPT TO:<b@b.example>\r\n",
        b"DATA\r\n",
        &message,
        b"VRFY ann\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
    ];
    for (reads_take, is_vague) in
        [(SLOW, true), (SLOW, false), (Duration::ZERO, true), (Duration::ZERO, false)]
    {
        let mut policy = Policy::default();
        policy.add_rule("mail from=nobody@a.example reply=\"451 no\"".parse().expect("a rule"));
        let mut bench = Bench::new(policy);
        let (wire, mut connection) = bench.connection(0, 1 << 20);
        wire.borrow_mut().is_vague = is_vague;
        let fate = connection.await_header(&bench.context, &mut bench.resources, true, false);
        assert_eq!(fate, Fate::Waits);
        wire.borrow_mut().read_takes = reads_take;
        wire.borrow_mut().send_before_session(b"PROXY UNKNOWN\r\n");
        for (index, line) in std::iter::once(&b""[..]).chain(lines).enumerate() {
            wire.borrow_mut().send(line);
            let mut written = bench.turn(&wire, &mut connection);
            let replies =
                |wire: &RefCell<Wire>| wire.borrow().written.iter().filter(|octet| **octet == b'\n').count();
            while replies(&wire) == index && written == Fate::Again {
                bench.pass(Duration::ZERO);
                written = connection.run(&bench.context, &mut bench.resources);
            }
            assert_eq!(replies(&wire), index + 1, "{reads_take:?} {is_vague} {index}");
            bench.pass(Duration::ZERO);
        }
        connection.close(&bench.context, &mut bench.resources);
        let stats = &bench.resources.gathering.stats;
        let accused =
            [stats.sessions.early_talkers, stats.extensions.pipelining, stats.pipelining.groups.count()];
        assert_eq!(accused, [0; 3], "{reads_take:?} {is_vague}");
        assert_eq!(stats.pipelining.round_trips, lines.len() as u64);
    }
}

/// With a session timeout of zero sessions are closed after their greeting, but their headers still have time.
#[test]
fn a_header_has_its_time_where_sessions_have_none() {
    let mut bench = Bench::with_timeout(Policy::default(), Duration::ZERO);
    let (wire, mut connection) = bench.connection(0, 1000);
    let fate = connection.await_header(&bench.context, &mut bench.resources, true, false);
    assert_eq!(fate, Fate::Waits);
    bench.pass(Duration::from_millis(400));
    wire.borrow_mut().send_before_session(b"PROXY UNKNOWN\r\n");
    assert_eq!(bench.turn(&wire, &mut connection), Fate::Over);
    assert_eq!(wire.borrow().written, b"220 Welcome\r\n");
}
