//! Connections: how many there may be, and what each may cost.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::task::AbortHandle;

use crate::http::Plane;
use crate::http::call::Over;
use crate::http::listener::Acceptor;
use crate::http::router;
use crate::http::stream::{Io, Stream};
use crate::process::lock;

/// Concurrent connections. Beyond it a new one replaces the connection that has been idle longest, or the one whose reply has
/// been unread longest.
const MOST_CONNECTIONS: usize = 512;
/// Concurrent requests that wait for events, and streams of events. They hold their connections, so this leaves room for others.
pub(super) const MOST_WAITING: usize = 448;
/// Octets of the head of a request; also of the buffer that is read into, which bounds what is pipelined.
const HEAD_OCTETS: usize = 32 << 10;
/// Fields of a head.
const MOST_FIELDS: usize = 100;
/// How long accepting pauses when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// Serves connections.
pub(super) struct Connections {
    plane: Arc<Plane>,
    request_timeout: Duration,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    /// By a number that is never reused.
    entries: HashMap<u64, Entry>,
    /// Counts connections, and the moments at which their states change.
    moment: u64,
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// `None` until its task has started.
    task: Option<AbortHandle>,
}

/// In the order in which connections make room for others; within a state, the one that has been in it longest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// All replies are written.
    Idle { since: u64 },
    /// A reply is made, which its client may not read.
    Sending { since: u64 },
    /// A request is answered, or events are streamed. Such a connection makes room for none.
    Answering,
}

impl Open {
    fn set(&mut self, key: u64, state: fn(u64) -> State) {
        self.moment += 1;
        let moment = self.moment;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = state(moment);
        }
    }

    /// The connection that makes room for another.
    fn dispensable(&self) -> Option<u64> {
        self.dispensable_of(|state| state != State::Answering)
    }

    /// That of the connections in such a state.
    fn dispensable_of(&self, is_one: impl Fn(State) -> bool) -> Option<u64> {
        let candidates = self.entries.iter().filter(|(_, entry)| is_one(entry.state));
        candidates.min_by_key(|(_, entry)| entry.state).map(|(key, _)| *key)
    }

    /// Ends a connection.
    fn end(&mut self, key: u64) {
        let entry = self.entries.remove(&key);
        entry.and_then(|entry| entry.task).into_iter().for_each(|task| task.abort());
    }
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    open: Arc<Mutex<Open>>,
    key: u64,
    /// The connection has taken all of the last reply, and idles once that is flushed.
    is_taken: AtomicBool,
}

impl Place {
    fn set(&self, state: fn(u64) -> State) {
        lock(&self.open).set(self.key, state);
    }

    /// All that was taken of replies is written.
    pub(super) fn flushed(&self) {
        if self.is_taken.swap(false, Ordering::Relaxed) {
            self.set(|since| State::Idle { since });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).entries.remove(&self.key);
    }
}

/// A reply that its connection has not taken all of, until it is dropped.
#[derive(Debug)]
pub(super) struct Sending(Arc<Place>);

impl Sending {
    /// A reply with an end lets the connection make room for others, if need be; a stream of events does not.
    fn start(place: &Arc<Place>, is_stream: bool) -> Self {
        if !is_stream {
            place.set(|since| State::Sending { since });
        }
        Self(Arc::clone(place))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.is_taken.store(true, Ordering::Relaxed);
    }
}

impl Connections {
    pub(super) fn new(plane: Arc<Plane>, request_timeout: Duration) -> Self {
        let open = Arc::<Mutex<Open>>::default();
        let weak = Arc::downgrade(&open);
        let relief = move || {
            if let Some(open) = weak.upgrade() {
                let mut open = lock(&open);
                let unread = open.dispensable_of(|state| matches!(state, State::Sending { .. }));
                unread.into_iter().for_each(|key| open.end(key));
            }
        };
        plane.budget.relieve_by(Box::new(relief));
        Self { plane, request_timeout, open }
    }

    /// Accepts connections until it is dropped.
    pub(super) async fn accept_from(self, acceptor: Acceptor) {
        loop {
            match acceptor.accept().await {
                Ok(stream) => self.admit(stream),
                Err(_) => {
                    self.make_room();
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Without a descriptor left, the client that waits is served in the place of an idle one.
    fn make_room(&self) {
        let mut open = lock(&self.open);
        open.dispensable().into_iter().for_each(|key| open.end(key));
    }

    /// Serves a connection, in the place of an idle one if there are many. Without such a place it is closed.
    fn admit(&self, stream: Stream) {
        let place = {
            let mut open = lock(&self.open);
            if open.entries.len() >= MOST_CONNECTIONS {
                let Some(key) = open.dispensable() else { return };
                open.end(key);
            }
            open.moment += 1;
            let key = open.moment;
            open.entries.insert(key, Entry { state: State::Idle { since: key }, task: None });
            Arc::new(Place { open: Arc::clone(&self.open), key, is_taken: AtomicBool::new(false) })
        };
        let key = place.key;
        let task = tokio::spawn(serve(Arc::clone(&self.plane), stream, place, self.request_timeout));
        if let Some(entry) = lock(&self.open).entries.get_mut(&key) {
            entry.task = Some(task.abort_handle());
        }
    }
}

async fn serve(plane: Arc<Plane>, stream: Stream, place: Arc<Place>, request_timeout: Duration) {
    let over = match stream {
        Stream::Tcp(_) => Over::Tcp,
        Stream::Unix(_) => Over::Unix,
    };
    let io = Io::new(stream, Arc::clone(&place));
    let service = service_fn(move |request| {
        let (plane, place) = (Arc::clone(&plane), Arc::clone(&place));
        async move {
            place.is_taken.store(false, Ordering::Relaxed);
            place.set(|_| State::Answering);
            let budget = Arc::clone(&plane.budget);
            let reply = router::answer(plane, request, over, request_timeout).await;
            if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
                // The stream holds its place until the connection ends.
                return Ok::<_, Infallible>(reply);
            }
            Ok(reply.map(|body| {
                let sending = Sending::start(&place, body.is_stream());
                body.accounted(&budget, sending)
            }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(request_timeout)
        .max_buf_size(HEAD_OCTETS)
        .max_headers(MOST_FIELDS)
        .max_header_size(HEAD_OCTETS);
    // An error of a connection is its client's.
    let _ = http.serve_connection(io, service).with_upgrades().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(open: &Arc<Mutex<Open>>) -> Arc<Place> {
        let key = {
            let mut open = lock(open);
            open.moment += 1;
            let key = open.moment;
            open.entries.insert(key, Entry { state: State::Idle { since: key }, task: None });
            key
        };
        Arc::new(Place { open: Arc::clone(open), key, is_taken: AtomicBool::new(false) })
    }

    #[test]
    fn idle_connections_make_room_first_then_those_with_unread_replies_and_others_never() {
        let open = Arc::default();
        let places: Vec<_> = (0..4).map(|_| place(&open)).collect();
        let dispensable = || lock(&open).dispensable();
        assert_eq!(dispensable(), Some(places[0].key));
        let first = Sending::start(&places[0], false);
        assert_eq!(dispensable(), Some(places[1].key));
        places[1].set(|_| State::Answering);
        let _third = Sending::start(&places[2], false);
        assert_eq!(dispensable(), Some(places[3].key));
        places[3].set(|_| State::Answering);
        assert_eq!(dispensable(), Some(places[0].key), "the reply that is unread the longest");
        // Taken is not written yet.
        drop(first);
        assert_eq!(lock(&open).entries[&places[0].key].state, State::Sending { since: 5 });
        places[0].flushed();
        assert!(matches!(lock(&open).entries[&places[0].key].state, State::Idle { .. }));
        places[0].set(|_| State::Answering);
        places[0].flushed();
        places[2].set(|_| State::Answering);
        let stream = Sending::start(&places[2], true);
        assert_eq!(dispensable(), None);
        // It has ended.
        drop(stream);
        places[2].flushed();
        assert_eq!(dispensable(), Some(places[2].key));
    }
}
