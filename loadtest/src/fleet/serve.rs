//! The coordinator's sockets: serves its agents until the run is over. Runs on the calling thread.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};

use crate::fleet::coordinator::{Coordinator, Ending, Event, Member, Settings};
use crate::fleet::protocol::{AGENTS, AGENTS_LIMIT, BODY_LIMIT, Cause, Hello, Refusal, Update};
use crate::fleet::wire::{ExecutorTimer, Io, Whole, read};
use crate::time::clock::Timeline;

/// How often the state is looked at when nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The most connections: one for each agent, and those of agents that connect anew.
const CONNECTIONS_LIMIT: usize = 2 * AGENTS_LIMIT as usize;

/// The time for a request, with its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets of the head of a request.
const HEAD_LIMIT: usize = 16 << 10;

/// After the end, agents still have this long to learn of it.
const LINGER: Duration = Duration::from_secs(2);

/// How long accepting pauses when it fails, as the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// Where the coordinator listens, and who may be an agent.
#[derive(Debug)]
pub(crate) struct Place {
    listener: std::net::TcpListener,
    address: SocketAddr,
    token: Option<String>,
}

/// Why a coordinator can't listen; displays as the reason.
#[derive(Debug)]
pub(crate) enum PlaceError {
    /// Agents of other machines need a token.
    NoToken(SocketAddr),
    Listen(SocketAddr, io::Error),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaceError::NoToken(address) => write!(
                f,
                "--listen {address}: other machines can connect there, so --token or SMTPLOAD_TOKEN is needed, the same \
                 on all of them"
            ),
            PlaceError::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "--listen {address}: another program listens there, maybe another coordinator: each run needs a port of \
                 its own"
            ),
            PlaceError::Listen(address, error) => write!(f, "--listen {address}: {error}"),
        }
    }
}

impl std::error::Error for PlaceError {}

impl Place {
    /// Listens.
    ///
    /// # Errors
    /// Other machines could connect without a token, or the address can't be listened on.
    pub(crate) fn listen(at: SocketAddr, token: Option<String>) -> Result<Place, PlaceError> {
        if token.is_none() && !at.ip().is_loopback() {
            return Err(PlaceError::NoToken(at));
        }
        let failed = |error| PlaceError::Listen(at, error);
        let listener = std::net::TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Place { listener, address, token })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What requests are answered from.
struct Desk {
    coordinator: Mutex<Coordinator>,
    clock: Timeline,
    token: Option<String>,
    connections: AtomicUsize,
}

impl Desk {
    fn coordinator(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a coordination.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) ending: Ending,
    /// The start of the run; `None` if it did not start.
    pub(crate) start: Option<Duration>,
    pub(crate) members: Vec<Member>,
}

/// Coordinates a run until it is over or ends after a signal, which `signal` returns; calls `on_event` for all that happens.
/// Then `conclude` reports, while agents are still answered on a thread: they wait until their reports are in one that is
/// written. It returns its result, and why nothing was written, if so.
///
/// # Errors
/// The executor can't be started.
pub(crate) fn serve<R>(
    place: Place,
    settings: Settings,
    signal: impl Fn() -> Option<&'static str>,
    mut on_event: impl FnMut(Event, &Coordinator),
    conclude: impl FnOnce(Gathered) -> (R, Result<(), String>),
) -> io::Result<R> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let clock = Timeline::start();
    let desk = Arc::new(Desk {
        coordinator: Mutex::new(Coordinator::new(settings, clock.now())),
        clock,
        token: place.token,
        connections: AtomicUsize::new(0),
    });
    let gathered = runtime.block_on(async {
        let listener = TcpListener::from_std(place.listener)?;
        drop(tokio::spawn(accept(listener, Arc::clone(&desk))));
        Ok::<_, io::Error>(gather(&desk, signal, &mut on_event).await)
    })?;
    let result = std::thread::scope(|scope| {
        let concluding = Concluding(&desk);
        let linger = || runtime.block_on(linger(&desk));
        let answering =
            std::thread::Builder::new().name("smtpload-agents".into()).spawn_scoped(scope, linger)?;
        let (result, written) = conclude(gathered);
        desk.coordinator().conclude(written);
        drop(concluding);
        let _ = answering.join();
        Ok::<_, io::Error>(result)
    })?;
    Ok(result)
}

/// Ends the wait of agents, even for a report that panics.
struct Concluding<'d>(&'d Desk);

impl Drop for Concluding<'_> {
    fn drop(&mut self) {
        self.0.coordinator().conclude(Err("the coordinator failed".to_owned()));
    }
}

/// Until the run is over.
async fn gather(
    desk: &Desk,
    signal: impl Fn() -> Option<&'static str>,
    on_event: &mut impl FnMut(Event, &Coordinator),
) -> Gathered {
    let mut start = None;
    let mut over_since = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let mut coordinator = desk.coordinator();
        if let Some(signal) = signal() {
            coordinator.interrupt(signal);
        }
        let now = desk.clock.now();
        coordinator.tick(now);
        while let Some(event) = coordinator.event() {
            if let Event::Starts(at) = event {
                start = Some(at);
            }
            on_event(event, &coordinator);
        }
        let Some(ending) = coordinator.ending().cloned() else { continue };
        let is_told =
            coordinator.members().is_empty() || now.saturating_sub(*over_since.get_or_insert(now)) > LINGER;
        if ending == Ending::Complete || is_told {
            let start = start.filter(|_| ending == Ending::Complete);
            return Gathered { ending, start, members: coordinator.take_members() };
        }
    }
}

/// Until the report is written, and all whose parts it has know that.
async fn linger(desk: &Desk) {
    let mut concluded_since = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let coordinator = desk.coordinator();
        if !coordinator.is_concluded() {
            continue;
        }
        let now = desk.clock.now();
        let since = *concluded_since.get_or_insert(now);
        if coordinator.has_informed_all() || now.saturating_sub(since) > LINGER {
            break;
        }
    }
    // Replies that are made leave.
    tokio::time::sleep(LOOK_EVERY).await;
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        if desk.connections.load(Ordering::Relaxed) >= CONNECTIONS_LIMIT {
            continue;
        }
        desk.connections.fetch_add(1, Ordering::Relaxed);
        let desk = Arc::clone(&desk);
        drop(tokio::spawn(async move {
            converse(stream, Arc::clone(&desk)).await;
            desk.connections.fetch_sub(1, Ordering::Relaxed);
        }));
    }
}

async fn converse(stream: TcpStream, desk: Arc<Desk>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(answer(&desk, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(ExecutorTimer).header_read_timeout(REQUEST_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // An error of a connection is its agent's.
    let _ = http.serve_connection(Io(stream), service).await;
}

async fn answer(desk: &Desk, request: Request<Incoming>) -> Response<Whole> {
    let received = desk.clock.now();
    match decide(desk, request, received).await {
        Ok(reply) => reply,
        Err(refusal) => {
            let status = match refusal.cause {
                Cause::Token => StatusCode::UNAUTHORIZED,
                Cause::Version | Cause::Full | Cause::Begun => StatusCode::CONFLICT,
                Cause::Unknown => StatusCode::NOT_FOUND,
                Cause::Request => StatusCode::BAD_REQUEST,
            };
            json(status, &refusal)
        }
    }
}

async fn decide(
    desk: &Desk,
    request: Request<Incoming>,
    received: Duration,
) -> Result<Response<Whole>, Refusal> {
    let (head, body) = request.into_parts();
    if let Some(token) = &desk.token {
        let given = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let given = given.strip_prefix("Bearer ").unwrap_or_default();
        // Compared in constant time: how long it takes says nothing about the right one.
        if !bool::from(token.as_bytes().ct_eq(given.as_bytes())) {
            let hint = "the token is not the coordinator's: give --token or SMTPLOAD_TOKEN the same value on all machines";
            return Err(Refusal::new(Cause::Token, hint));
        }
    }
    if head.method != Method::POST {
        return Err(Refusal::new(
            Cause::Request,
            "this is a coordinator of smtpload: expected a POST of an agent",
        ));
    }
    let octets = tokio::time::timeout(REQUEST_TIMEOUT, read(body, BODY_LIMIT)).await;
    let octets = octets
        .map_err(|_| Refusal::new(Cause::Request, "the request was not complete in time"))?
        .map_err(|error| Refusal::new(Cause::Request, format!("the request can't be read: {error}")))?;
    let path = head.uri.path();
    if path == AGENTS {
        let hello: Hello = parse(&octets)?;
        return Ok(json(StatusCode::OK, &desk.coordinator().register(received, &hello)?));
    }
    let id = path.strip_prefix(AGENTS).and_then(|rest| rest.strip_prefix('/'));
    let Some(id) = id else {
        return Err(Refusal::new(
            Cause::Request,
            format!("there is nothing at this path; agents are at {AGENTS}"),
        ));
    };
    let update: Update = parse(&octets)?;
    let mut answer = desk.coordinator().update(received, id, update)?;
    answer.replied_ns = u64::try_from(desk.clock.now().as_nanos()).unwrap_or(u64::MAX);
    Ok(json(StatusCode::OK, &answer))
}

fn parse<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(octets)
        .map_err(|error| Refusal::new(Cause::Request, format!("not valid: {error}")))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Whole> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut reply = Response::new(Whole::from(body));
    *reply.status_mut() = status;
    reply
}
