//! Connections: how many there may be, and what each may cost.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::task::AbortHandle;

use crate::http::Plane;
use crate::http::call::Over;
use crate::http::listener::Acceptor;
use crate::http::router;
use crate::http::stream::{ExecutorTimer, Io, Stream};
use crate::process::lock;

/// Connections at once. Beyond it the one that is idle the longest is closed for a new one.
const MOST: usize = 512;
/// Octets of the head of a request; also of the buffer that is read into, which bounds what is pipelined.
const HEAD: usize = 32 << 10;
/// Fields of a head.
const FIELDS: usize = 100;
/// How long accepting rests when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// Serves connections.
pub(super) struct Connections {
    plane: Arc<Plane>,
    request_timeout: Duration,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// By a number that no other has had.
    entries: HashMap<u64, Entry>,
    /// Counts connections, and the moments at which they become idle.
    moment: u64,
}

struct Entry {
    /// When it became idle; `None` while a request is answered.
    idle_since: Option<u64>,
    /// `None` until its task has started.
    task: Option<AbortHandle>,
}

impl Open {
    fn idle(&mut self, key: u64) {
        self.moment += 1;
        let moment = self.moment;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.idle_since = Some(moment);
        }
    }

    /// The connection that is idle the longest.
    fn oldest(&self) -> Option<u64> {
        let idle = self.entries.iter().filter_map(|(key, entry)| Some((entry.idle_since?, *key)));
        idle.min().map(|(_, key)| key)
    }
}

/// A connection that is counted, until it is dropped.
struct Place {
    open: Arc<Mutex<Open>>,
    key: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).entries.remove(&self.key);
    }
}

impl Connections {
    pub(super) fn new(plane: Arc<Plane>, request_timeout: Duration) -> Self {
        Self { plane, request_timeout, open: Arc::default() }
    }

    /// Accepts connections until it is dropped.
    pub(super) async fn accept_from(self, acceptor: Acceptor) {
        loop {
            match acceptor.accept().await {
                Ok(stream) => self.admit(stream),
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }

    /// Serves a connection, in the place of an idle one if there are many. Without such a place it is closed.
    fn admit(&self, stream: Stream) {
        let place = {
            let mut open = lock(&self.open);
            if open.entries.len() >= MOST {
                let Some(oldest) = open.oldest().and_then(|key| open.entries.remove(&key)) else { return };
                oldest.task.into_iter().for_each(|task| task.abort());
            }
            open.moment += 1;
            let key = open.moment;
            open.entries.insert(key, Entry { idle_since: Some(key), task: None });
            Place { open: Arc::clone(&self.open), key }
        };
        let key = place.key;
        let task = tokio::spawn(serve(Arc::clone(&self.plane), stream, place, self.request_timeout));
        if let Some(entry) = lock(&self.open).entries.get_mut(&key) {
            entry.task = Some(task.abort_handle());
        }
    }
}

async fn serve(plane: Arc<Plane>, stream: Stream, place: Place, request_timeout: Duration) {
    let over = match stream {
        Stream::Tcp(_) => Over::Tcp,
        Stream::Unix(_) => Over::Unix,
    };
    let place = &place;
    let service = service_fn(move |request| {
        let plane = Arc::clone(&plane);
        async move {
            if let Some(entry) = lock(&place.open).entries.get_mut(&place.key) {
                entry.idle_since = None;
            }
            let reply = router::answer(plane, request, over, request_timeout).await;
            lock(&place.open).idle(place.key);
            Ok::<_, Infallible>(reply)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(ExecutorTimer)
        .header_read_timeout(request_timeout)
        .max_buf_size(HEAD)
        .max_headers(FIELDS)
        .max_header_size(HEAD);
    // An error of a connection is its client's.
    let _ = http.serve_connection(Io::from(stream), service).with_upgrades().await;
}
