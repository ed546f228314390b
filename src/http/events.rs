//! Events as they happen, for the clients that listen: server-sent events. Without a client nothing is done.
//!
//! Tasks of the plane's thread make the events for all clients at once: of messages and sessions, of removals, and of the figures
//! each second. A client has a bounded queue of them. Events that do not fit are dropped, the oldest first, and counted.

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
use crate::records::store::Store;
use arrivals::message;
use queue::Queue;

pub(super) use arrivals::arrivals;
pub(super) use figures::{figures, removed};

/// Largest number of clients.
const MOST_CLIENTS: usize = 64;
/// Seconds after which a client that reads nothing is dropped.
const PATIENCE: u32 = 60;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Session,
    Figures,
    Rule,
    Evicted,
    Deleted,
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

/// The kinds that a client requests.
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
    /// Notified when a client is added.
    changed: Notify,
    /// Where shards report sessions, while a client listens to them.
    passages: Arc<Passages>,
}

#[derive(Debug, Default)]
struct Clients {
    /// By a number that is never reused.
    by_key: BTreeMap<u64, Client>,
    last: u64,
}

#[derive(Debug)]
struct Client {
    kinds: Kinds,
    queue: Arc<Mutex<Queue>>,
    /// Messages with lower numbers are not its events, or were queued already.
    seen: u64,
    /// The same for sessions. Earlier ones are not its events: they could follow later messages.
    passed: u64,
    /// Seconds for which it has read none of its pending events.
    waiting: u32,
}

/// Older messages, which a client that has reconnected is sent first.
#[derive(Debug)]
pub(super) struct Backlog {
    /// The oldest first.
    frames: Vec<Bytes>,
    /// Number of messages that are older still, and are not sent.
    missed: u64,
}

impl Backlog {
    /// The last `most` messages with these numbers. For the desk.
    pub(super) fn read(store: &Store, numbers: Range<u64>, most: usize) -> Self {
        let mut records = store.snapshot_from(numbers.start).records;
        records.retain(|shown| shown.number < numbers.end);
        let missed = records.len().saturating_sub(most);
        Self { frames: records[missed..].iter().map(message).collect(), missed: missed as u64 }
    }
}

/// Messages and sessions in one order.
#[derive(Debug, Default)]
struct Arrivals {
    /// The numbers of messages that are left out, all of them older than the others.
    missed_messages: Vec<u64>,
    /// The same for sessions.
    missed_sessions: Vec<Range<u64>>,
    events: Vec<Event>,
    /// Messages that come later have this number or a higher one.
    end: u64,
}

/// A message, or the begin or end of a session.
#[derive(Debug)]
struct Event {
    kind: Kind,
    /// Its position in the order of its kind.
    number: u64,
    frame: Bytes,
}

impl Event {
    fn new(kind: Kind, number: u64, frame: Bytes) -> Self {
        Self { kind, number, frame }
    }
}

fn frame(kind: Kind, id: Option<&str>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("all its maps have texts for keys");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {}\n{id}data: {data}\n\n", kind.name()))
}

impl Client {
    /// Whether a message or a session with this number is an event for it, and was not queued yet.
    fn awaits(&self, kind: Kind, number: u64) -> bool {
        self.kinds.has(kind) && number >= if kind == Kind::Message { self.seen } else { self.passed }
    }

    /// The number of its events among those that are left out.
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
    /// Messages with this number or a higher one are its events.
    start: u64,
    _place: OwnedSemaphorePermit,
}

impl Hub {
    /// Adds a client, which holds this place; `None` if there are too many. Its events are the messages that arrive, and the
    /// sessions that begin or end, from now on.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        kinds: Kinds,
        place: OwnedSemaphorePermit,
        store: &Store,
    ) -> Option<Subscription> {
        let mut clients = lock(&self.clients);
        if clients.by_key.len() >= MOST_CLIENTS {
            return None;
        }
        let mut queue = Queue::default();
        // The head of the reply leaves with it, before the first event.
        queue.comment(Bytes::from_static(b"retry: 1000\n\n"));
        let queue = Arc::new(Mutex::new(queue));
        clients.last += 1;
        let key = clients.last;
        // With the clients locked: nobody has been sent a later message, and the next look at the store begins here or before.
        let start = store.end();
        let client = Client {
            kinds,
            queue: Arc::clone(&queue),
            seen: start,
            passed: self.passages.count(),
            waiting: 0,
        };
        clients.by_key.insert(key, client);
        drop(clients);
        self.changed.notify_waiters();
        Some(Subscription { hub: Arc::clone(self), key, queue, start, _place: place })
    }

    /// Whether a client listens to any of these.
    fn has(&self, kinds: &[Kind]) -> bool {
        lock(&self.clients).by_key.values().any(|client| kinds.iter().any(|kind| client.kinds.has(*kind)))
    }

    /// Waits for a client that listens to any of these; without kinds, for any client.
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

    /// The lowest number of a message that is an event for a client, and was not queued yet.
    fn first_unseen(&self) -> Option<u64> {
        let clients = lock(&self.clients);
        let listening = clients.by_key.values().filter(|client| client.kinds.has(Kind::Message));
        listening.map(|client| client.seen).min()
    }

    /// Queues messages and sessions for the clients that were not sent them, after the number of those that are left out.
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

    /// Counts events of this kind that were dropped, and are older than those published from now on.
    fn miss(&self, kind: Kind, count: u64) {
        for client in lock(&self.clients).by_key.values().filter(|client| client.kinds.has(kind)) {
            lock(&client.queue).miss(count);
        }
    }

    /// Called each second: drops the clients that read nothing, and sends a heartbeat to the others, if one is due.
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
    /// Messages with this number or a higher one are its events.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Sends these before all events. Call it before the first event is taken.
    pub(super) fn begin_with(&mut self, Backlog { frames, missed }: Backlog) {
        lock(&self.queue).prepend(missed, frames);
    }

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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::records::Message;
    use crate::records::message::sample;

    /// Files a message, and returns the event of all clients that have not been sent it.
    fn arrive(store: &Store, session_id: u64) -> Arrivals {
        let mail = Message { session_id, ..sample::mail("ann@example.com", &[], "\r\n") };
        let number = store.finish(0, None, mail, true).expect("a number");
        let frames = Backlog::read(store, number..number + 1, 1).frames.into_iter();
        let events = frames.map(|frame| Event::new(Kind::Message, number, frame)).collect();
        Arrivals { events, end: number + 1, ..Arrivals::default() }
    }

    /// The sessions of the messages that a client is sent next.
    fn sent(subscription: &mut Subscription) -> Vec<u64> {
        let mut text = String::new();
        while let Poll::Ready(taken) = subscription.poll_next(&Context::from_waker(Waker::noop())) {
            text.push_str(&String::from_utf8_lossy(&taken.expect("an open stream")));
        }
        let sessions = text.split("\"session\":").skip(1);
        sessions.map(|rest| rest.split(',').next().expect("a number").parse().expect("a number")).collect()
    }

    #[test]
    fn messages_that_arrive_while_a_backlog_is_read_are_sent_after_it() {
        let (hub, store) = (Arc::new(Hub::default()), Store::new(1, 100, 1 << 20));
        let places = Arc::new(Semaphore::new(2));
        let subscribe = || {
            let place = Arc::clone(&places).try_acquire_owned().expect("a place");
            hub.subscribe(Kinds::EVERY, place, &store).expect("room for a client")
        };
        arrive(&store, 1);
        let mut other = subscribe();
        hub.publish_arrivals(&arrive(&store, 2));
        let mut resuming = subscribe();
        let backlog = Backlog::read(&store, 0..resuming.start(), 100);
        // The backlog has been read, and is on its way.
        hub.publish_arrivals(&arrive(&store, 3));
        assert_eq!(hub.first_unseen(), Some(store.end()), "the next look begins after it");
        resuming.begin_with(backlog);
        hub.publish_arrivals(&arrive(&store, 4));
        assert_eq!(sent(&mut resuming), [1, 2, 3, 4]);
        assert_eq!(sent(&mut other), [2, 3, 4]);
    }

    #[test]
    fn a_message_that_arrives_between_the_subscription_and_the_look_at_the_backlog_is_sent_once() {
        let (hub, store) = (Arc::new(Hub::default()), Store::new(1, 100, 1 << 20));
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
        arrive(&store, 1);
        let mut client = hub.subscribe(Kinds::EVERY, place, &store).expect("room for a client");
        let arrivals = arrive(&store, 2);
        client.begin_with(Backlog::read(&store, 0..client.start(), 100));
        hub.publish_arrivals(&arrivals);
        assert_eq!(sent(&mut client), [1, 2]);
    }
}
