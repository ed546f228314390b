//! Connections: their number, and the limits of each.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;

use crate::http::Plane;
use crate::http::call::Over;
use crate::http::listener::Acceptor;
use crate::http::places::{Open, Place, Sending};
use crate::http::router;
use crate::http::stream::{Io, Stream};
use crate::process::lock;

/// Concurrent connections. Beyond it a new one replaces the connection that has been idle longest, or the one whose reply has
/// been unread longest.
const MOST_CONNECTIONS: usize = 512;
/// Concurrent requests that wait for events, and streams of events. They hold their connections, so this leaves room for others.
pub(super) const MOST_WAITING: usize = 448;
/// Octets of the head of a request; also of the read buffer, which bounds pipelined requests.
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

impl Connections {
    pub(super) fn new(plane: Arc<Plane>, request_timeout: Duration) -> Self {
        let open = Arc::<Mutex<Open>>::default();
        let weak = Arc::downgrade(&open);
        let relief = move || {
            if let Some(open) = weak.upgrade() {
                lock(&open).drop_unread();
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
                    // No descriptor is left: an idle connection makes room for the client that waits.
                    lock(&self.open).make_room();
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Serves a connection. At the limit it replaces another that makes room; if none does, it is closed.
    fn admit(&self, stream: Stream) {
        let Some(place) = Place::take(&self.open, MOST_CONNECTIONS) else { return };
        let serving = serve(Arc::clone(&self.plane), stream, Arc::clone(&place), self.request_timeout);
        place.is_served_by(tokio::spawn(serving).abort_handle());
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
            place.answering();
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
    // Errors of a connection concern its client only.
    let _ = http.serve_connection(io, service).with_upgrades().await;
}
