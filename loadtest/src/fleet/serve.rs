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
///
/// # Errors
/// The executor can't be started.
pub(crate) fn serve(
    place: Place,
    settings: Settings,
    signal: impl Fn() -> Option<&'static str>,
    mut on_event: impl FnMut(Event, &Coordinator),
) -> io::Result<Gathered> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let clock = Timeline::start();
    let desk = Arc::new(Desk {
        coordinator: Mutex::new(Coordinator::new(settings, clock.now())),
        clock,
        token: place.token,
        connections: AtomicUsize::new(0),
    });
    let mut start = None;
    runtime.block_on(async {
        let listener = TcpListener::from_std(place.listener)?;
        drop(tokio::spawn(accept(listener, Arc::clone(&desk))));
        let mut over_since = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let mut coordinator = desk.coordinator();
            if let Some(signal) = signal() {
                coordinator.interrupt(signal);
            }
            let now = clock.now();
            coordinator.tick(now);
            while let Some(event) = coordinator.event() {
                if let Event::Starts(at) = event {
                    start = Some(at);
                }
                on_event(event, &coordinator);
            }
            match coordinator.ending() {
                // Every agent that is there has its last reply.
                Some(Ending::Complete) => break,
                Some(_) if coordinator.members().is_empty() => break,
                Some(_) if now.saturating_sub(*over_since.get_or_insert(now)) > LINGER => break,
                Some(_) | None => {}
            }
        }
        // Replies that are made leave.
        tokio::time::sleep(LOOK_EVERY).await;
        Ok::<(), io::Error>(())
    })?;
    drop(runtime);
    let desk = Arc::into_inner(desk).unwrap_or_else(|| unreachable!("its tasks ended with the executor"));
    let coordinator = desk.coordinator.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ending = coordinator.ending().cloned().unwrap_or(Ending::Complete);
    let start = start.filter(|_| ending == Ending::Complete);
    Ok(Gathered { ending, start, members: coordinator.into_members() })
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
