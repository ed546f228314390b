//! A seeded simulation of many clients and the real connections that serve them, on a virtual clock. Dialogues, pauses,
//! ends and rules are random. It runs over a transport like TCP, over one that retains octets, and over TLS.
//! [`World::check`] asserts what must be true at the end; the invariants of the parts are checked after each turn.
//!
//! `SMTPMOCK_SEED=n` runs only this seed.

mod cipher;
mod client;
#[cfg(feature = "tls")]
mod encrypted;
#[cfg(feature = "tls")]
mod handshakes;
mod headers;
mod moments;
mod outcome;
mod script;
mod sealed;
mod wire;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use mio::Token;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use self::client::Client;
use self::headers::Header;
use self::outcome::Seen;
use self::script::{Model, Voice};
use self::sealed::SealedEnd;
use self::wire::{End, Mailroom, ServerEnd, Wire};
use super::connection::{Connection, Fate, Origin};
use super::context::{Context, Service, SessionPermit};
use super::resources::{Resources, Stop};
use super::verifier::Verifier;
use super::wheel::TICK;
use crate::config::Config;
use crate::records::budget::Budget;
use crate::records::store::Store;
use crate::records::{Endpoint, Records};
use crate::smtp::rules::ByteRate;
use crate::smtp::{Policy, Protocol};
use crate::time::Clock;

/// Largest number of turns in one world, far more than any needs.
const MAX_TURNS: usize = 1_000_000;
/// A timer fires when the next tick after its deadline begins.
const ROUNDING: Duration = TICK;

#[test]
fn many_clients_under_a_virtual_clock() {
    simulate::<ServerEnd>();
}

#[test]
fn many_clients_over_a_transport_that_holds_octets_back() {
    simulate::<SealedEnd>();
}

#[cfg(feature = "tls")]
#[test]
fn many_clients_within_tls() {
    simulate::<encrypted::EncryptedEnd>();
}

/// Keys are random, but must not affect the result.
#[cfg(feature = "tls")]
#[test]
fn a_seed_gives_the_same_world_within_tls_each_time() {
    let run = |seed| {
        let mut world = World::<encrypted::EncryptedEnd>::new(seed);
        world.run();
        (world.now(), format!("{:?}", world.check()))
    };
    for seed in 1..4 {
        assert_eq!(run(seed), run(seed));
    }
}

fn simulate<E: End>() {
    let seeds = match std::env::var("SMTPMOCK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SMTPMOCK_SEED is a number");
            seed..=seed
        }
        Err(_) => 1..=E::SEEDS,
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut world = World::<E>::new(seed);
            world.run();
            world.check()
        }));
        match result {
            Ok(world) => seen.add(&world),
            Err(panic) => {
                eprintln!("failed with SMTPMOCK_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("simulated seeds {seeds:?}: {seen:?}");
    let is_whole = seeds.count() as u64 == E::SEEDS;
    assert!(!is_whole || seen.has_everything::<E>(), "the simulation no longer reaches every case: {seen:?}");
}

/// A client with its connection and its model. Its index is its token; its session's number is one greater.
struct Peer<E> {
    client: Client,
    protocol: Protocol,
    /// TLS begins with its connection.
    is_encrypted: bool,
    model: Model,
    wire: Rc<RefCell<Wire>>,
    /// Input before its session; `None` if the session begins with the connection.
    header: Option<Header>,
    has_connected: bool,
    /// `None` before it is accepted, and after its end.
    connection: Option<Connection<E>>,
    /// It has, or had, a session.
    is_open: bool,
    /// Its session was counted as left with no reply pending.
    is_left: bool,
}

struct World<E> {
    rng: TestRng,
    clock: Arc<AtomicU64>,
    session_timeout: Duration,
    data_timeout: Duration,
    /// How late the reactor may wake.
    lateness: Duration,
    /// Replies are sent in pieces, at a limited rate.
    drips: bool,
    /// When the server stops.
    stops_at: Option<Duration>,
    /// The shutdown timeout.
    stop_timeout: Duration,
    /// Times of reconfiguration. Each alternates between two services that differ in the texts of their replies.
    replaced_at: VecDeque<Duration>,
    /// The services used so far, each with the time of its first use.
    served: Vec<(Duration, Voice)>,
    context: Context,
    resources: Resources,
    peers: Vec<Peer<E>>,
    again: Vec<Token>,
    mailroom: Rc<RefCell<Mailroom>>,
}

impl<E: End> World<E> {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let clock = Arc::new(AtomicU64::new(rng.random_range(0..1 << 40)));
        let mut policy = script::policy(&mut rng);
        if E::IS_ENCRYPTED {
            policy = script::encrypting(policy);
        }
        let store = Arc::new(Store::new(1, usize::MAX, usize::MAX));
        let session_timeout = Duration::from_nanos(rng.random_range(1_000_000_000..30_000_000_000));
        // Most messages arrive in time; with the short timeout, slow ones do not.
        let data_timeout = if rng.random_bool(0.2) { session_timeout / 2 } else { 600 * session_timeout };
        let drips = rng.random_bool(0.15);
        let drip = drips.then(|| script::drip(&mut rng));
        let mut world = Self {
            drips,
            context: context(policy, session_timeout, data_timeout, drip, &store).with_tls(E::tls()),
            resources: resources(&clock, rng.random_range(1..3000)),
            session_timeout,
            data_timeout,
            lateness: Duration::from_nanos([0, 0, 50_000, 20_000_000][rng.random_range(0..4)]),
            stops_at: None,
            stop_timeout: Duration::ZERO,
            replaced_at: VecDeque::new(),
            served: Vec::new(),
            peers: Vec::new(),
            again: Vec::new(),
            mailroom: Rc::new(RefCell::new(Mailroom { store, records: Vec::new() })),
            clock,
            rng,
        };
        let count = world.rng.random_range(1..12);
        // Not drawn, so that the other parameters of a world are unchanged.
        let protocol =
            |index: u64| if (seed + index).is_multiple_of(2) { Protocol::Lmtp } else { Protocol::Smtp };
        (0..count).for_each(|index| world.add_client(protocol(index)));
        // Sessions are numbered in the order in which they connect.
        world.peers.sort_by_key(|peer| peer.client.starts_at);
        let reach = 2.0 * world.session_timeout.as_secs_f64();
        world.stops_at = world
            .rng
            .random_bool(0.2)
            .then(|| world.now() + Duration::from_secs_f64(world.rng.random_range(0.0..reach)));
        let longest = [0.0, 2.0, reach][world.rng.random_range(0..3)];
        world.stop_timeout = Duration::from_secs_f64(world.rng.random_range(0.0..=longest));
        if E::IS_ENCRYPTED {
            world.add_ciphers(seed);
        }
        world.connect_wires();
        if !(E::IS_SEALED || E::IS_ENCRYPTED) {
            world.add_headers(seed);
        }
        world.served.push((world.now(), Voice::Usual));
        world.replaced_at = world.times_of_replacement(seed, reach);
        world
    }

    /// Some clients use a proxy, and strangers send no header where one is required. Drawn from a separate stream.
    fn add_headers(&mut self, seed: u64) {
        let mut bytes = *b"headers come before the session.";
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        for peer in &mut self.peers {
            if rng.random_bool(0.4) {
                peer.header = Some(Header::new(&mut rng, peer.client.starts_at, self.session_timeout));
            }
        }
        for _ in 0..rng.random_range(0..4) {
            let connects_at = self.now() + Duration::from_nanos(rng.random_range(0..2_000_000_000));
            self.add_client(Protocol::Smtp);
            let index = self.peers.len() - 1;
            let capacity = [11, 200, 5000][rng.random_range(0..3)];
            let wire = Wire::new::<E>(&self.clock, capacity, Vec::new(), index, &self.mailroom);
            let stranger = &mut self.peers[index];
            stranger.wire = Rc::new(RefCell::new(wire));
            stranger.header = Some(Header::of_stranger(&mut rng, connects_at, self.session_timeout));
        }
    }

    /// A third of the clients begin with TLS, a third use STARTTLS, and the others send in clear. Not drawn.
    fn add_ciphers(&mut self, seed: u64) {
        let ciphers = E::ciphers();
        for (index, peer) in self.peers.iter_mut().enumerate() {
            let choice = seed as usize + index;
            if !choice.is_multiple_of(3) {
                peer.is_encrypted = choice % 3 == 1;
                if !peer.is_encrypted {
                    peer.client.start_tls();
                }
                peer.client.cipher = Some(ciphers(choice));
                peer.client.is_orderly = !choice.is_multiple_of(4);
            }
        }
    }

    /// Drawn from a separate stream, so that the other parameters of a world are unchanged.
    fn times_of_replacement(&self, seed: u64, reach: f64) -> VecDeque<Duration> {
        let mut bytes = *b"the services are replaced.......";
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let count = [0, 1, 3, 12][rng.random_range(0..4)];
        let moment = |_| self.now() + Duration::from_secs_f64(rng.random_range(0.0..reach));
        let mut times: Vec<_> = (0..count).map(moment).collect();
        times.sort_unstable();
        times.into()
    }

    /// Replaces the service between two turns if that is due. Returns whether it was.
    fn replace(&mut self) -> bool {
        let now = self.now();
        let is_due = self.replaced_at.pop_front_if(|at| *at <= now).is_some();
        if is_due {
            let (_, voice) = self.served[self.served.len() - 1];
            let other = voice.other();
            let mut settings = self.context.settings().clone();
            settings.policy = script::in_voice(&settings.policy, other);
            self.context.service = Arc::new(Service::new(settings, Some(&self.context.service)));
            self.served.push((now, other));
        }
        is_due
    }

    /// The possible voices of replies decided between these two times.
    fn voices(&self, from: Duration, to: Duration) -> Vec<Voice> {
        let ends = self.served[1..].iter().map(|(at, _)| *at).chain([Duration::MAX]);
        let served = self.served.iter().zip(ends).filter(|((since, _), end)| *since <= to && *end >= from);
        served.map(|((_, voice), _)| *voice).collect()
    }

    fn add_client(&mut self, protocol: Protocol) {
        let mut input = script::input(&mut self.rng);
        if protocol == Protocol::Lmtp {
            input = script::in_lmtp(input);
        }
        let patience = self.session_timeout.min(self.data_timeout);
        let mut client = Client::new(&mut self.rng, input, patience);
        client.shift(self.now());
        let mailroom = &self.mailroom;
        let wire = Rc::new(RefCell::new(Wire::new::<E>(&self.clock, 1, Vec::new(), 0, mailroom)));
        self.peers.push(Peer {
            client,
            protocol,
            is_encrypted: false,
            model: Model::default(),
            wire,
            header: None,
            has_connected: false,
            connection: None,
            is_open: false,
            is_left: false,
        });
    }

    fn connect_wires(&mut self) {
        for (session, peer) in self.peers.iter_mut().enumerate() {
            let number = session as u64 + 1;
            peer.model = Model::new(
                (peer.protocol, peer.is_encrypted),
                self.context.policy(),
                number,
                &peer.client.input,
            );
            let capacity = [11, 200, 5000, 100_000][self.rng.random_range(0..4)];
            let acceptances = peer.model.acceptances.clone();
            let wire = Wire::new::<E>(&self.clock, capacity, acceptances, session, &self.mailroom);
            peer.wire = Rc::new(RefCell::new(wire));
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// Runs until no event is left.
    fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            let acted = self.replace() | self.open_due() | self.act();
            if acted | self.turn() {
                continue;
            }
            if self.stop() {
                continue;
            }
            match self.next_time() {
                Some(at) => self.clock.store(at.as_nanos() as u64, Ordering::Relaxed),
                None => return,
            }
        }
        panic!("the simulation does not end");
    }

    fn next_time(&mut self) -> Option<Duration> {
        let now = self.now();
        let clients = self.peers.iter().filter_map(|peer| match &peer.header {
            _ if peer.is_open => peer.client.next_time(now, &peer.wire),
            Some(header) if peer.has_connected => header.next_time(now).filter(|_| peer.connection.is_some()),
            _ if self.is_stopped() => None,
            _ => Some(peer.connects_at()),
        });
        let clients = clients.chain(self.next_stop()).chain(self.replaced_at.front().copied()).min();
        let lateness = self.lateness.mul_f64(self.rng.random_range(0.0..=1.0));
        let wheel = self.resources.wheel.next_deadline();
        let wheel = wheel.map(|at| now.max(at.since_start()) + lateness);
        clients.into_iter().chain(wheel).min()
    }

    fn open_due(&mut self) -> bool {
        let mut opened = false;
        for index in 0..self.peers.len() {
            let now = self.now();
            let peer = &mut self.peers[index];
            if !peer.has_connected && peer.connects_at() <= now && self.resources.stop == Stop::None {
                let awaits_header = peer.header.is_some();
                (peer.has_connected, peer.is_open) = (true, !awaits_header);
                self.resources.begin_turn();
                let (session_id, ip) = match awaits_header {
                    false => (self.resources.note_arrival(&self.context.counters), script::PEER),
                    true => (0, [10, 0, 0, 1].into()),
                };
                let origin = Origin {
                    session_id,
                    peer_addr: Endpoint::Inet((ip, 1).into()),
                    local_addr: Endpoint::Inet(([127, 0, 0, 1], 25).into()),
                    listener: Endpoint::Inet(([127, 0, 0, 1], 25).into()),
                    proxied: None,
                    connected_at: SystemTime::UNIX_EPOCH,
                    connected: Duration::ZERO,
                    protocol: peer.protocol,
                    is_encrypted: peer.is_encrypted,
                    inbox: None,
                };
                if let Some(cipher) = peer.client.cipher.take_if(|_| peer.is_encrypted) {
                    peer.wire.borrow_mut().encrypt(cipher, peer.client.is_orderly);
                }
                let stream = E::new(Rc::clone(&peer.wire));
                peer.connection = Some(Connection::new(
                    stream,
                    Token(index),
                    origin,
                    SessionPermit::default(),
                    self.resources.now,
                ));
                match awaits_header {
                    false => self.drive(index, Connection::open),
                    true => self.drive(index, |connection, context, resources| {
                        connection.await_header(context, resources, true, false)
                    }),
                }
                opened = true;
            }
        }
        opened
    }

    fn act(&mut self) -> bool {
        let now = self.now();
        let (mut acted, is_stopped) = (false, self.is_stopped());
        for peer in self.peers.iter_mut().filter(|peer| !peer.is_open && peer.connection.is_some()) {
            let Some(header) = &mut peer.header else { continue };
            let mut wire = peer.wire.borrow_mut();
            if is_stopped {
                // It gives up: sessions are numbered in the order of the clients.
                wire.finish();
                continue;
            }
            acted |= header.act(now, &mut wire);
            peer.is_open = header.begins_session();
        }
        for peer in self.peers.iter_mut().filter(|peer| peer.is_open) {
            acted |= peer.client.act(now, &peer.wire, &peer.model);
        }
        acted
    }

    /// Runs one turn of the reactor. Returns whether there was work.
    fn turn(&mut self) -> bool {
        self.resources.begin_turn();
        let unfinished = std::mem::take(&mut self.again);
        let mut did = !unfinished.is_empty();
        let first = self.rng.random_range(0..self.peers.len());
        for nth in 0..self.peers.len() {
            let index = (first + nth) % self.peers.len();
            // A change of rates or a timer may cause a turn after octets arrived and before their event.
            let has_event = self.peers[index].wire.borrow().has_event();
            if has_event && self.rng.random_bool(0.2) {
                self.drive(index, Connection::run);
            }
            let event = self.peers[index].wire.borrow_mut().event();
            did |= event.is_some();
            // The kernel may report an event twice.
            let repeated =
                (did && self.rng.random_bool(0.05)).then(|| self.peers[index].wire.borrow().readiness());
            if let Some(readiness) = event.or(repeated) {
                self.drive(index, |connection, context, resources| {
                    connection.on_event(readiness, context, resources)
                });
            }
        }
        for Token(index) in unfinished {
            self.drive(index, Connection::run);
        }
        while let Some(Token(index)) = self.resources.wheel.pop(self.resources.now) {
            did = true;
            self.drive(index, Connection::on_timer);
        }
        did |= self.run_checks();
        self.mailroom.borrow().store.check();
        did
    }

    /// Runs some pending checks. Turns pass meanwhile, but no time. Returns whether there are any.
    fn run_checks(&mut self) -> bool {
        let has_any = !self.resources.verifier.is_empty();
        while self.rng.random_bool(0.5)
            && let Some((Token(index), check)) = self.resources.verifier.next()
        {
            self.drive(index, |connection, context, resources| {
                connection.on_checked(check.run(), context, resources)
            });
        }
        has_any
    }

    fn drive(
        &mut self,
        index: usize,
        turn: impl FnOnce(&mut Connection<E>, &Context, &mut Resources) -> Fate,
    ) {
        let Some(connection) = &mut self.peers[index].connection else { return };
        match turn(connection, &self.context, &mut self.resources) {
            Fate::Waits => {}
            Fate::Blocked => {
                if connection.stream_to_watch().is_some() {
                    self.peers[index].wire.borrow_mut().watch_for_room();
                }
            }
            Fate::Again => self.again.push(Token(index)),
            Fate::Over => self.close(index),
        }
        self.peers[index].connection.iter().for_each(Connection::check);
        self.resources.wheel.check();
        assert!(
            self.resources.has_no_leftovers(),
            "replies and records do not outlive one connection's turn"
        );
    }

    fn close(&mut self, index: usize) {
        let before = self.resources.gathering.stats.sessions.left;
        let connection = self.peers[index].connection.take();
        connection.expect("an open connection").close(&self.context, &mut self.resources);
        self.peers[index].is_left = self.resources.gathering.stats.sessions.left > before;
    }

    /// When the stop begins, or when the shutdown timeout ends.
    fn next_stop(&self) -> Option<Duration> {
        match self.resources.stop {
            Stop::None => self.stops_at,
            Stop::SparesIdle | Stop::ClosesIdle => self.stops_at.map(|at| at + self.stop_timeout),
            Stop::Forced => None,
        }
    }

    /// Stops if that is due. Returns whether it was.
    fn stop(&mut self) -> bool {
        if self.next_stop().is_none_or(|at| at > self.now()) {
            return false;
        }
        self.resources.begin_turn();
        let is_first = self.resources.stop == Stop::None;
        self.resources.stop = match self.resources.stop {
            Stop::None if self.rng.random_bool(0.2) => Stop::SparesIdle,
            Stop::None => Stop::ClosesIdle,
            _ => Stop::Forced,
        };
        for index in 0..self.peers.len() {
            match is_first {
                true => self.drive(index, Connection::on_stop),
                false => self.drive(index, Connection::dismiss),
            }
        }
        true
    }

    fn is_stopped(&self) -> bool {
        self.resources.stop > Stop::None
    }
}

impl<E> Peer<E> {
    fn connects_at(&self) -> Duration {
        self.header.as_ref().map_or(self.client.starts_at, |header| header.connects_at)
    }
}

fn context(
    policy: Policy,
    session_timeout: Duration,
    data_timeout: Duration,
    drip: Option<ByteRate>,
    store: &Arc<Store>,
) -> Context {
    let config = Config::default().session_timeout(session_timeout).data_timeout(data_timeout);
    let mut config = drip.into_iter().fold(config, Config::drip);
    let seed = policy.seed;
    config.policy = policy;
    let service = Arc::new(Service::new(config.settings(seed), None));
    let records = Records { shard: 0, store: Some(Arc::clone(store)), capture: None, show: None };
    let budget = Budget::new(usize::MAX);
    Context::new(service, records, &budget, Arc::default(), Arc::default(), Arc::default())
}

fn resources(clock: &Arc<AtomicU64>, scratch: usize) -> Resources {
    let verifier = Verifier::new(Arc::default(), None);
    Resources::new(Clock::Virtual(Arc::clone(clock)), scratch, Arc::default(), verifier, None)
}
