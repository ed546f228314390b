//! Events as they happen, for the clients that listen: server-sent events. Nothing is done while nobody does.
//!
//! Tasks of the plane's thread make the events for all clients at once: of messages and sessions, of removals, and of the
//! figures each second. A client has a bounded queue of them. What does not fit is dropped, the oldest first, and counted.

mod arrivals;
mod figures;
mod queue;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::net::passages::Passages;
use crate::process::lock;
use queue::Queue;

pub(super) use arrivals::{arrivals, message};
pub(super) use figures::{figures, removed};

/// Clients at once.
const MOST_CLIENTS: usize = 64;
/// Seconds after which a client that takes nothing is no longer served.
const PATIENCE: u32 = 60;

/// What kind of event something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Session,
    Figures,
    Rule,
    Evicted,
    Deleted,
}

impl Event {
    fn new(kind: Kind, number: u64, frame: Bytes) -> Self {
        Self { kind, number, frame }
    }
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Message, Self::Session, Self::Figures, Self::Rule, Self::Evicted, Self::Deleted];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Session => "session",
            Self::Figures => "figures",
            Self::Rule => "rule",
            Self::Evicted => "evicted",
            Self::Deleted => "deleted",
        }
    }
}

/// The kinds that a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds([bool; Kind::ALL.len()]);

impl Kinds {
    pub(super) const EVERY: Self = Self([true; Kind::ALL.len()]);

    /// Kinds by their names, with commas between them; `None` if one is unknown.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut kinds = Self([false; Kind::ALL.len()]);
        for name in text.split(',') {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim())?;
            kinds.0[kind as usize] = true;
        }
        Some(kinds)
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }
}

/// All clients that listen.
#[derive(Debug, Default)]
pub(super) struct Hub {
    clients: Mutex<Clients>,
    /// Notified when there is another client.
    changed: Notify,
    /// Where shards hand sessions over, while a client listens to them.
    passages: Arc<Passages>,
}

#[derive(Debug, Default)]
struct Clients {
    /// By a number that no other has had.
    by_key: BTreeMap<u64, Client>,
    last: u64,
}

#[derive(Debug)]
struct Client {
    kinds: Kinds,
    queue: Arc<Mutex<Queue>>,
    /// Messages with lower numbers are none of its events, or have been.
    seen: u64,
    /// The same of sessions: earlier ones could follow messages that came first.
    passed: u64,
    /// Seconds for which it has taken nothing of what is there.
    waiting: u32,
}

/// The messages that a client is sent first.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) frames: Vec<Bytes>,
    /// Older ones that are left out.
    pub(super) missed: u64,
    /// Messages that came later have this number or a higher one.
    pub(super) end: u64,
}

/// Messages and sessions in one order.
#[derive(Debug, Default)]
struct Arrivals {
    /// The numbers of messages that are left out. They are older than all that are not.
    missed_messages: Vec<u64>,
    /// Those of sessions.
    missed_sessions: Vec<Range<u64>>,
    events: Vec<Event>,
    /// Messages that come later have this number or a higher one.
    end: u64,
}

/// A message, or the begin or end of a session.
#[derive(Debug)]
struct Event {
    kind: Kind,
    /// In the order of its kind.
    number: u64,
    frame: Bytes,
}

fn frame(kind: Kind, id: Option<&str>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("all its maps have texts for keys");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {}\n{id}data: {data}\n\n", kind.name()))
}

impl Client {
    /// Whether a message or a session with this number is an event for it, and has not been.
    fn awaits(&self, kind: Kind, number: u64) -> bool {
        self.kinds.has(kind) && number >= if kind == Kind::Message { self.seen } else { self.passed }
    }

    /// How many of those that are left out would have been its events.
    fn missed(&self, arrivals: &Arrivals) -> u64 {
        let messages = arrivals.missed_messages.iter();
        let messages = messages.filter(|number| self.awaits(Kind::Message, **number)).count() as u64;
        let sessions = arrivals.missed_sessions.iter().filter(|_| self.kinds.has(Kind::Session));
        messages
            + sessions.map(|missed| missed.end.saturating_sub(missed.start.max(self.passed))).sum::<u64>()
    }
}

/// The events of a client, as the body of a reply. Dropping it ends the subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: Arc<Hub>,
    key: u64,
    queue: Arc<Mutex<Queue>>,
    _place: OwnedSemaphorePermit,
}

impl Hub {
    /// Adds a client, which holds this place; `None` if there are too many. Messages that have arrived since the backlog was read
    /// are its events, and sessions that begin or end from now on.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        kinds: Kinds,
        place: OwnedSemaphorePermit,
        backlog: Backlog,
    ) -> Option<Subscription> {
        let mut clients = lock(&self.clients);
        if clients.by_key.len() >= MOST_CLIENTS {
            return None;
        }
        let Backlog { frames, missed, end: seen } = backlog;
        let mut queue = Queue::default();
        // The head of the reply leaves with it, before there is an event.
        queue.comment(Bytes::from_static(b"retry: 1000\n\n"));
        queue.miss(missed);
        frames.into_iter().for_each(|frame| queue.push(frame));
        let queue = Arc::new(Mutex::new(queue));
        clients.last += 1;
        let key = clients.last;
        let passed = self.passages.count();
        clients.by_key.insert(key, Client { kinds, queue: Arc::clone(&queue), seen, passed, waiting: 0 });
        drop(clients);
        self.changed.notify_waiters();
        Some(Subscription { hub: Arc::clone(self), key, queue, _place: place })
    }

    /// Whether a client listens to any of these.
    fn has(&self, kinds: &[Kind]) -> bool {
        lock(&self.clients).by_key.values().any(|client| kinds.iter().any(|kind| client.kinds.has(*kind)))
    }

    /// Waits for a client that listens to any of these; to anything if there are none.
    async fn wait_for(&self, kinds: &[Kind]) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.has(kinds) || kinds.is_empty() && !lock(&self.clients).by_key.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// The lowest number of a message that is an event for a client, and has not been.
    fn first_unseen(&self) -> Option<u64> {
        let clients = lock(&self.clients);
        let listening = clients.by_key.values().filter(|client| client.kinds.has(Kind::Message));
        listening.map(|client| client.seen).min()
    }

    /// Hands messages and sessions to the clients that have not seen them, after how many are left out.
    fn publish_arrivals(&self, arrivals: &Arrivals) {
        let mut clients = lock(&self.clients);
        for client in clients.by_key.values_mut() {
            let mut queue = lock(&client.queue);
            queue.miss(client.missed(arrivals));
            for event in arrivals.events.iter().filter(|event| client.awaits(event.kind, event.number)) {
                queue.push(event.frame.clone());
            }
            drop(queue);
            client.seen = client.seen.max(arrivals.end);
        }
    }

    fn publish(&self, kind: Kind, frame: &Bytes) {
        for client in lock(&self.clients).by_key.values().filter(|client| client.kinds.has(kind)) {
            lock(&client.queue).push(frame.clone());
        }
    }

    /// Events of this kind were dropped that are older than what is published now.
    fn miss(&self, kind: Kind, count: u64) {
        for client in lock(&self.clients).by_key.values().filter(|client| client.kinds.has(kind)) {
            lock(&client.queue).miss(count);
        }
    }

    /// A second has passed: clients that take nothing are no longer served, and the others hear a comment now and then.
    fn tick(&self, heartbeat: Option<&Bytes>) {
        lock(&self.clients).by_key.retain(|_, client| {
            let mut queue = lock(&client.queue);
            client.waiting = if queue.is_untaken() { client.waiting + 1 } else { 0 };
            let stays = client.waiting < PATIENCE;
            match (stays, heartbeat) {
                (true, Some(comment)) => queue.comment(comment.clone()),
                (true, None) => {}
                (false, _) => queue.close(),
            }
            stays
        });
    }
}

impl Subscription {
    /// The next events; ready with `None` when it has ended.
    pub(super) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        lock(&self.queue).poll_take(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.hub.clients).by_key.remove(&self.key);
    }
}
