//! A seeded simulation: many clients with random dialogues, paces and manners against real connections,
//! on a virtual clock. What must hold is said in [`World::check`].
//!
//! `SMTPMOCK_SEED=n` runs one seed only.

mod client;
mod jump;
mod script;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use mio::Token;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use self::client::{Client, Leaving, Reading};
use self::script::Model;
use self::wire::{Mailroom, ServerEnd, Wire};
use super::buffer::Pool;
use super::clock::{Clock, TICK, Tick};
use super::connection::{Connection, Fate, Origin, Resources};
use super::readings::Gathering;
use super::shard::Context;
use super::wheel::Wheel;
use crate::config::Config;
use crate::measure::Stamp;
use crate::memory::Budget;
use crate::records::Records;
use crate::smtp::{Policy, ReplyKind};
use crate::store::Store;

/// Seeds of one test run.
const SEEDS: u64 = 300;
/// Turns of one world, far more than any needs.
const MAX_TURNS: usize = 1_000_000;
/// A deadline is met within the tick after the one it falls into.
const ROUNDING: Duration = Duration::from_nanos(2 * TICK.as_nanos() as u64);

#[test]
fn many_clients_under_a_virtual_clock() {
    let seeds = match std::env::var("SMTPMOCK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SMTPMOCK_SEED is a number");
            seed..=seed
        }
        Err(_) => 1..=SEEDS,
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed);
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
    println!("simulated: {seen:?}");
    let is_whole = seeds.count() as u64 == SEEDS;
    assert!(!is_whole || seen.has_everything(), "the simulation no longer reaches everything: {seen:?}");
}

/// How often something was seen: a check that never applies checks nothing.
#[derive(Debug, Default)]
struct Seen {
    clients: u64,
    replies: u64,
    delayed: u64,
    messages: u64,
    told_to_go: u64,
    unread: u64,
    reset: u64,
    dismissed: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.replies += other.replies;
        self.delayed += other.delayed;
        self.messages += other.messages;
        self.told_to_go += other.told_to_go;
        self.unread += other.unread;
        self.reset += other.reset;
        self.dismissed += other.dismissed;
    }

    fn has_everything(&self) -> bool {
        let Self { clients, replies, delayed, messages, told_to_go, unread, reset, dismissed } = *self;
        [clients, replies, delayed, messages, told_to_go, unread, reset, dismissed]
            .into_iter()
            .all(|count| count > 30)
    }
}

/// A client and what belongs to it. Its index is its token, and its session's number less one.
struct Peer {
    client: Client,
    model: Model,
    wire: Rc<RefCell<Wire>>,
    /// Until it is opened, and then until it is over.
    connection: Option<Connection<ServerEnd>>,
    is_open: bool,
}

struct World {
    rng: TestRng,
    clock: Arc<AtomicU64>,
    session_timeout: Duration,
    data_timeout: Duration,
    /// The reactor may wake so much later than it asked for.
    lateness: Duration,
    /// When the server stops at once.
    stops_at: Option<Duration>,
    context: Context,
    resources: Resources,
    peers: Vec<Peer>,
    again: Vec<Token>,
    mailroom: Rc<RefCell<Mailroom>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let clock = Arc::new(AtomicU64::new(rng.random_range(0..1 << 40)));
        let policy = script::policy(&mut rng);
        let store = Arc::new(Store::new(1, usize::MAX, usize::MAX));
        let session_timeout = Duration::from_nanos(rng.random_range(1_000_000_000..30_000_000_000));
        // Most messages are in time; where this is short, slow ones are not.
        let data_timeout = if rng.random_bool(0.2) { session_timeout / 2 } else { 600 * session_timeout };
        let mut world = Self {
            context: context(policy, session_timeout, data_timeout, &store),
            resources: resources(&clock, rng.random_range(1..3000)),
            session_timeout,
            data_timeout,
            lateness: Duration::from_nanos([0, 0, 50_000, 20_000_000][rng.random_range(0..4)]),
            stops_at: None,
            peers: Vec::new(),
            again: Vec::new(),
            mailroom: Rc::new(RefCell::new(Mailroom { store, filed: Vec::new() })),
            clock,
            rng,
        };
        let count = world.rng.random_range(1..12);
        (0..count).for_each(|_| world.add_client());
        // Sessions are numbered in the order in which they connect.
        world.peers.sort_by_key(|peer| peer.client.starts_at);
        let reach = 2.0 * world.session_timeout.as_secs_f64();
        world.stops_at = world
            .rng
            .random_bool(0.2)
            .then(|| world.now() + Duration::from_secs_f64(world.rng.random_range(0.0..reach)));
        world.connect_wires();
        world
    }

    fn add_client(&mut self) {
        let input = script::input(&mut self.rng);
        let patience = self.session_timeout.min(self.data_timeout);
        let mut client = Client::new(&mut self.rng, input, patience);
        client.shift(self.now());
        let model = Model::new(&self.context.policy, &client.input);
        let mailroom = &self.mailroom;
        let wire = Rc::new(RefCell::new(Wire::new(&self.clock, 1, Vec::new(), 0, mailroom)));
        self.peers.push(Peer { client, model, wire, connection: None, is_open: false });
    }

    fn connect_wires(&mut self) {
        for (session, peer) in self.peers.iter_mut().enumerate() {
            let capacity = [11, 200, 5000, 100_000][self.rng.random_range(0..4)];
            let acceptances = peer.model.acceptances.clone();
            let wire = Wire::new(&self.clock, capacity, acceptances, session, &self.mailroom);
            peer.wire = Rc::new(RefCell::new(wire));
            self.mailroom.borrow_mut().filed.push(Vec::new());
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// Runs until nothing will ever happen again.
    fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            let acted = self.open_due() | self.act();
            if acted | self.turn() {
                continue;
            }
            if self.stops_at.is_some_and(|at| at <= self.now()) {
                return self.stop();
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
        let clients = self.peers.iter().filter_map(|peer| match peer.is_open {
            true => peer.client.next_time(now, &peer.wire),
            false => Some(peer.client.starts_at),
        });
        let clients = clients.chain(self.stops_at).min();
        let lateness = self.lateness.mul_f64(self.rng.random_range(0.0..=1.0));
        let wheel = self.resources.wheel.next_deadline();
        let wheel = wheel.map(|tick| now + self.resources.clock.until(tick) + lateness);
        clients.into_iter().chain(wheel).min()
    }

    fn open_due(&mut self) -> bool {
        let mut opened = false;
        for index in 0..self.peers.len() {
            let now = self.now();
            let peer = &mut self.peers[index];
            if !peer.is_open && peer.client.starts_at <= now {
                peer.is_open = true;
                self.resources.begin_turn();
                let session_id = self.resources.note_arrival(&self.context.census);
                let origin = Origin {
                    session_id,
                    peer_addr: ([127, 0, 0, 1], 1).into(),
                    local_addr: ([127, 0, 0, 1], 25).into(),
                    connected_at: SystemTime::UNIX_EPOCH,
                };
                let stream = ServerEnd(Rc::clone(&peer.wire));
                peer.connection = Some(Connection::new(stream, Token(index), origin, self.resources.woken));
                self.drive(index, Connection::open);
                opened = true;
            }
        }
        opened
    }

    fn act(&mut self) -> bool {
        let now = self.now();
        let mut acted = false;
        for peer in self.peers.iter_mut().filter(|peer| peer.is_open) {
            acted |= peer.client.act(now, &peer.wire, &peer.model);
        }
        acted
    }

    /// One turn of the reactor. False when there was nothing to do.
    fn turn(&mut self) -> bool {
        self.resources.begin_turn();
        let unfinished = std::mem::take(&mut self.again);
        let mut did = !unfinished.is_empty();
        let first = self.rng.random_range(0..self.peers.len());
        for nth in 0..self.peers.len() {
            let index = (first + nth) % self.peers.len();
            let event = self.peers[index].wire.borrow_mut().event();
            did |= event.is_some();
            // The kernel may report what is known already.
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
        did
    }

    fn drive(
        &mut self,
        index: usize,
        turn: impl FnOnce(&mut Connection<ServerEnd>, &Context, &mut Resources) -> Fate,
    ) {
        let Some(connection) = &mut self.peers[index].connection else { return };
        match turn(connection, &self.context, &mut self.resources) {
            Fate::Waits => {}
            Fate::Blocked => {
                if let Some(stream) = connection.stream_to_watch() {
                    stream.0.borrow_mut().watch_for_room();
                }
            }
            Fate::Again => self.again.push(Token(index)),
            Fate::Over => self.close(index),
        }
        assert!(self.resources.replies.is_empty(), "replies belong to one connection's turn");
    }

    fn close(&mut self, index: usize) {
        let connection = self.peers[index].connection.take();
        connection.expect("an open connection").close(&self.context, &mut self.resources);
    }

    /// Stops without waiting for sessions.
    fn stop(&mut self) {
        for index in 0..self.peers.len() {
            if let Some(connection) = &mut self.peers[index].connection {
                connection.dismiss(&self.context, &mut self.resources);
                self.close(index);
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stops_at.is_some_and(|at| at <= self.now())
    }

    /// Nothing is left behind, and each client had its due.
    fn check(mut self) -> Seen {
        assert_eq!(self.resources.wheel.next_deadline(), None, "a timer is left");
        self.mailroom.borrow_mut().collect();
        let mut seen = Seen::default();
        for peer in std::mem::take(&mut self.peers) {
            if peer.is_open {
                self.check_peer(&peer, &mut seen);
            }
        }
        seen
    }

    fn check_peer(&self, peer: &Peer, seen: &mut Seen) {
        let Peer { client, model, wire, .. } = peer;
        assert!(peer.connection.is_none(), "{client:?} is never ended");
        let wire = wire.borrow();
        seen.clients += 1;
        assert!(wire.written.starts_with(&client.received));
        let told = told(&wire.written, model, &self.context.policy);
        let filed = &self.mailroom.borrow().filed[wire.session];
        assert!(model.messages.starts_with(filed), "messages of {client:?}");
        seen.messages += filed.len() as u64;
        self.check_times(peer, told, seen);
        let is_reset = matches!(client.leaving, Leaving::Resets { .. });
        if is_reset || self.is_stopped() {
            seen.reset += u64::from(is_reset && told.answers < model.answers.len());
            seen.dismissed += u64::from(self.is_stopped() && told.goodbye);
            return;
        }
        if client.reading == Reading::Never && told.answers < model.answers.len() {
            seen.unread += 1;
            return self.check_unread(peer);
        }
        assert_eq!(client.received.len(), told.reads_all(client, &wire), "not everything was read");
        let in_time = told.answers == model.answers.len();
        assert!(in_time || self.data_timeout < self.session_timeout, "{client:?} lost replies: {told:?}");
        assert!(!in_time || filed.len() == model.messages.len(), "{client:?} lost messages");
        assert!(!wire.closed_on_unread, "{client:?} would have been reset");
    }

    /// A peer that does not read is ended a timeout after the last thing that went either way.
    fn check_unread(&self, peer: &Peer) {
        let wire = peer.wire.borrow();
        let last = wire.writes.last().max(wire.arrivals.last()).expect("a greeting");
        let delays = peer.model.answers.iter().map(|answer| answer.delay).max().expect("a greeting");
        let latest = last + delays + self.session_timeout + 3 * (ROUNDING + self.lateness);
        assert!(wire.closed_at.expect("an end") <= latest, "{:?} was kept too long", peer.client);
    }

    /// Each reply came when its delay was over, and not much later where the client reads.
    fn check_times(&self, peer: &Peer, told: Told, seen: &mut Seen) {
        let Peer { client, model, wire, .. } = peer;
        let wire = wire.borrow();
        let mut before = client.starts_at;
        let mut opened_data = None;
        for answer in &model.answers[..told.answers] {
            let at = wire.writes.time_of(answer.output_end).expect("a written reply");
            let came = match answer.input_end {
                0 => client.starts_at,
                end => wire.arrivals.time_of(end).expect("a command that was answered"),
            };
            let due = before.max(came) + answer.delay;
            assert!(at >= due, "{client:?}: early by {:?}: {answer:?}", due - at);
            let grace = if answer.delay.is_zero() { Duration::ZERO } else { ROUNDING + self.lateness };
            let is_prompt = client.reading == Reading::Eager;
            assert!(!is_prompt || at <= due + grace, "{client:?}: late by {:?}: {answer:?}", at - due);
            seen.replies += 1;
            seen.delayed += u64::from(!answer.delay.is_zero());
            // Of one that reads late it is not known when its last reply was ready to be read.
            before = if is_prompt { at } else { due };
            opened_data = answer.opens_data.then_some(before);
        }
        if told.goodbye && !self.is_stopped() {
            seen.told_to_go += 1;
            let last = &model.answers[told.answers - 1];
            let last = wire.writes.time_of(last.output_end).expect("a written reply");
            self.check_goodbye(peer, last, opened_data);
        }
    }

    /// 421 comes when the client was silent for the session timeout, or took longer than the data timeout.
    fn check_goodbye(&self, peer: &Peer, last_reply: Duration, opened_data: Option<Duration>) {
        let wire = peer.wire.borrow();
        let idle_since = match opened_data {
            Some(_) => wire.arrivals.last().expect("a DATA command").max(last_reply),
            None => last_reply,
        };
        let mut due = idle_since + self.session_timeout;
        if let Some(opened) = opened_data {
            due = due.min(opened + self.data_timeout);
        }
        let at = wire.writes.last().expect("a 421");
        assert!(at >= due, "{:?}: 421 early by {:?}", peer.client, due - at);
        let is_prompt = peer.client.reading == Reading::Eager;
        let latest = due + ROUNDING + self.lateness;
        assert!(!is_prompt || at <= latest, "{:?}: 421 late by {:?}", peer.client, at - due);
    }
}

/// What a client was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// How many whole answers of the model.
    answers: usize,
    /// 421 came after them.
    goodbye: bool,
    length: usize,
}

impl Told {
    /// What a client that reads has read in the end.
    fn reads_all(self, client: &Client, wire: &Wire) -> usize {
        if client.reading == Reading::Never { 0 } else { wire.written.len().max(self.length) }
    }
}

/// Compares what was written with the model: it is a part of its answers from the front on, in order, with
/// a 421 after the last one where the server ended the session.
fn told(written: &[u8], model: &Model, policy: &Policy) -> Told {
    let answers = model.answers.partition_point(|answer| {
        written.len() >= answer.output_end && written.starts_with(&model.output[..answer.output_end])
    });
    let whole = model.answers[..answers].last().map_or(0, |answer| answer.output_end);
    let rest = &written[whole..];
    let goodbye = policy.reply(ReplyKind::ServiceClosing).wire();
    let is_goodbye = !rest.is_empty() && rest == goodbye;
    let show = String::from_utf8_lossy(rest);
    assert!(
        is_goodbye || goodbye.starts_with(rest) || model.output[whole..].starts_with(rest),
        "unexpected after {answers} answers: {show:?}"
    );
    Told { answers, goodbye: is_goodbye, length: written.len() }
}

fn context(policy: Policy, session_timeout: Duration, data_timeout: Duration, store: &Arc<Store>) -> Context {
    let config = Config::default().session_timeout(session_timeout).data_timeout(data_timeout);
    let records = Records { shard: 0, store: Some(Arc::clone(store)), capture: None };
    Context::new(&config, Arc::new(policy), records, &Budget::new(usize::MAX), Arc::default(), None, None)
}

fn resources(clock: &Arc<AtomicU64>, scratch: usize) -> Resources {
    let clock = Clock::Virtual(Arc::clone(clock));
    let since_start = clock.elapsed();
    Resources {
        now: Tick::at(since_start),
        woken: Stamp::at(since_start),
        clock,
        wheel: Wheel::new(),
        pool: Pool::default(),
        scratch: vec![0; scratch],
        replies: Vec::new(),
        asked: Vec::new(),
        gathering: Gathering::new(Arc::default()),
        notes: None,
    }
}
