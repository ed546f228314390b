//! The coordinator's sockets: serves its agents until the run is over. Runs on the calling thread.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use smtpmock::hosts;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::fleet::bodies::{Bodies, Coming, Room};
use crate::fleet::connections::{Connections, Key};
use crate::fleet::coordinator::{Coordinator, Ending, Event, Member, Settings, Unstarted, Written};
use crate::fleet::protocol::{AGENTS, Cause, HELLO_LIMIT, Hello, Refusal, Update};
use crate::fleet::wire::{Whole, read};
use crate::time::clock::{Timeline, nanos};

/// How often the state is looked at when nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The time for the head of a request, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// An agent whose request takes longer is heard while octets of it arrive.
const LONG: Duration = Duration::from_secs(1);

/// Octets of a body that takes milliseconds to read: larger than most reports.
const LARGE: usize = 256 << 10;

/// Octets of the head of a request.
const HEAD_LIMIT: usize = 16 << 10;

/// After the end, agents still have this long to learn of it.
const LINGER: Duration = Duration::from_secs(2);

/// After the report is written, agents that have handed in theirs have this long to learn of it: without that they write it to a
/// file, which nobody needs.
const INFORMED_WITHIN: Duration = Duration::from_secs(10);

/// How long accepting pauses when it fails, as the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// The socket at which agents connect, and the token that they need.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    token: Option<String>,
}

/// Why a coordinator can't listen; displays as the reason.
#[derive(Debug)]
pub(crate) enum ListenError {
    /// Agents of other machines need a token.
    NoToken(SocketAddr),
    Bind(SocketAddr, io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::NoToken(address) => write!(
                f,
                "--listen {address}: other machines can connect there, so --token or SMTPLOAD_TOKEN is needed, the same \
                 on all of them"
            ),
            ListenError::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "--listen {address}: another program listens there, maybe another coordinator: each run needs a port of \
                 its own"
            ),
            ListenError::Bind(address, error) => write!(f, "--listen {address}: {error}"),
        }
    }
}

impl std::error::Error for ListenError {}

impl Bound {
    /// Listens.
    ///
    /// # Errors
    /// Other machines could connect without a token, or the address can't be listened on.
    pub(crate) fn listen(at: SocketAddr, token: Option<String>) -> Result<Bound, ListenError> {
        if token.is_none() && !at.ip().is_loopback() {
            return Err(ListenError::NoToken(at));
        }
        let failed = |error| ListenError::Bind(at, error);
        let listener = std::net::TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Bound { listener, address, token })
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
    connections: Mutex<Connections>,
    bodies: Bodies,
    /// The connections on which agents were informed of the fate of their reports.
    informed: Mutex<HashMap<Key, String>>,
    /// The tasks of connections.
    tasks: Mutex<HashMap<Key, AbortHandle>>,
}

impl Desk {
    fn coordinator(&self) -> MutexGuard<'_, Coordinator> {
        locked(&self.coordinator)
    }

    /// The body of an agent comes on this connection, and not on another any more.
    fn comes<'d>(&'d self, id: &'d str, key: Key) -> Coming<'d> {
        let (coming, given_up) = self.bodies.comes(id, key);
        given_up.into_iter().for_each(|key| self.cut(key));
        coming
    }

    /// Ends a connection for another, or because it has sent nothing.
    fn cut(&self, key: Key) {
        locked(&self.connections).end(key);
        let task = locked(&self.tasks).remove(&key);
        task.into_iter().for_each(|task| task.abort());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result of a coordination.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// What its agents have reported.
    Run {
        start: Duration,
        /// The signal that has ended it.
        signal: Option<String>,
        members: Vec<Member>,
    },
    NotStarted(Unstarted),
}

/// Coordinates a run until it is over or ends after a signal, which `signal` returns; calls `on_event` for all that happens.
/// Then `conclude` reports, while agents are still answered on a thread: they wait until their reports are in one that is
/// written. It returns its result, and what was written.
///
/// # Errors
/// The executor or that thread can't be started.
pub(crate) fn serve<R>(
    bound: Bound,
    settings: Settings,
    signal: impl Fn() -> Option<&'static str>,
    mut on_event: impl FnMut(Event, &Coordinator),
    conclude: impl FnOnce(Gathered) -> (R, Written),
) -> io::Result<R> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let clock = Timeline::start();
    let desk = Arc::new(Desk {
        coordinator: Mutex::new(Coordinator::new(settings, clock.now())),
        clock,
        token: bound.token,
        connections: Mutex::default(),
        bodies: Bodies::new(),
        informed: Mutex::default(),
        tasks: Mutex::default(),
    });
    std::thread::scope(|scope| {
        // Started before the run: a system that is short of threads after it does not cost the report.
        let (is_over, over) = channel::<()>();
        let (runtime, desk) = (&runtime, &desk);
        let linger = move || over.recv().map(|()| runtime.block_on(linger(desk)));
        let answering =
            std::thread::Builder::new().name("smtpload-agents".into()).spawn_scoped(scope, linger)?;
        let gathered = runtime.block_on(async {
            let listener = TcpListener::from_std(bound.listener)?;
            drop(tokio::spawn(accept(listener, Arc::clone(desk))));
            Ok::<_, io::Error>(gather(desk, signal, &mut on_event).await)
        })?;
        let concluding = Concluding(desk);
        let _ = is_over.send(());
        let (result, written) = conclude(gathered);
        desk.coordinator().conclude(written);
        drop(concluding);
        let _ = answering.join();
        Ok(result)
    })
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
    let mut over_since = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let overdue = locked(&desk.connections).overdue(desk.clock.now());
        overdue.into_iter().for_each(|key| desk.cut(key));
        let mut coordinator = desk.coordinator();
        if let Some(signal) = signal() {
            coordinator.interrupt(signal);
        }
        let now = desk.clock.now();
        coordinator.tick(now);
        while let Some(event) = coordinator.event() {
            on_event(event, &coordinator);
        }
        match coordinator.ending().cloned() {
            None => {}
            Some(Ending::Complete { start }) => {
                let signal = coordinator.signal().map(ToOwned::to_owned);
                return Gathered::Run { start, signal, members: coordinator.take_members() };
            }
            Some(Ending::Unstarted(why)) => {
                let since = *over_since.get_or_insert(now);
                // Until then agents learn of it.
                if coordinator.members().is_empty() || now.saturating_sub(since) > LINGER {
                    return Gathered::NotStarted(why);
                }
            }
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
        if coordinator.has_informed_all(now) || now.saturating_sub(since) > INFORMED_WITHIN {
            break;
        }
    }
    // Replies that are made leave.
    tokio::time::sleep(LOOK_EVERY).await;
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        // A server for both families has clients of IPv4 by another form of their addresses.
        let from: IpAddr = from.ip().to_canonical();
        let (key, ends) = locked(&desk.connections).admit(from, desk.clock.now());
        ends.into_iter().for_each(|key| desk.cut(key));
        let of = Arc::clone(&desk);
        let task = tokio::spawn(async move {
            converse(stream, key, Arc::clone(&of)).await;
            let informed = locked(&of.informed).remove(&key);
            informed.into_iter().for_each(|id| of.coordinator().closed(&id, of.clock.now()));
            locked(&of.connections).end(key);
            locked(&of.tasks).remove(&key);
        });
        locked(&desk.tasks).insert(key, task.abort_handle());
    }
}

async fn converse(stream: TcpStream, key: Key, desk: Arc<Desk>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(answer(&desk, key, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // An error of a connection is its agent's.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(desk: &Desk, key: Key, request: Request<Incoming>) -> Response<Whole> {
    let received = desk.clock.now();
    match decide(desk, key, request, received).await {
        Ok(reply) => reply,
        Err(refusal) => {
            let status = match refusal.cause {
                Cause::Token => StatusCode::UNAUTHORIZED,
                Cause::Version | Cause::Full | Cause::Begun => StatusCode::CONFLICT,
                Cause::Unknown => StatusCode::NOT_FOUND,
                Cause::Source => StatusCode::FORBIDDEN,
                Cause::Request => StatusCode::BAD_REQUEST,
            };
            json(status, &refusal)
        }
    }
}

async fn decide(
    desk: &Desk,
    key: Key,
    request: Request<Incoming>,
    received: Duration,
) -> Result<Response<Whole>, Refusal> {
    let refused = |hint: &str| Refusal::new(Cause::Request, hint);
    let (head, body) = request.into_parts();
    check_sender(&head.headers, desk.token.as_deref())?;
    if head.method != Method::POST {
        return Err(refused("this is a coordinator of smtpload: expected a POST of an agent"));
    }
    if head.headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Err(refused("expected Content-Type: application/json"));
    }
    let path = head.uri.path();
    let is_hello = path == AGENTS;
    let id = path.strip_prefix(AGENTS).and_then(|rest| rest.strip_prefix('/'));
    if !is_hello && id.is_none() {
        return Err(refused(&format!("there is nothing at this path; agents are at {AGENTS}")));
    }
    let id = id.unwrap_or_default();
    let most = if is_hello { HELLO_LIMIT } else { desk.coordinator().body_limit(id)? };
    // An id is known only to its agent; whether this is an introduction is seen when it is read.
    let know = |now| locked(&desk.connections).know(key, now);
    if !is_hello {
        know(received);
    }
    let mut on_progress = || {
        let now = desk.clock.now();
        if !is_hello && now.saturating_sub(received) > LONG {
            know(now);
            desk.coordinator().receives(id, now);
        }
    };
    let _coming = (!is_hello).then(|| desk.comes(id, key));
    let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let room = desk.bodies.room(length.map_or(most, |length| length.min(most)), &mut on_progress).await;
    let octets = read(body, most, on_progress).await;
    let octets = octets.map_err(|error| refused(&format!("the request can't be read: {error}")))?;
    if is_hello {
        let hello: Hello = parse(&octets)?;
        know(received);
        return Ok(json(StatusCode::OK, &desk.coordinator().register(received, &hello)?));
    }
    let update: Update = parse_update(octets, room).await?;
    let mut answer = desk.coordinator().update(received, id, update)?;
    if answer.fate.is_some() {
        locked(&desk.informed).insert(key, id.to_owned());
    }
    answer.replied_ns = nanos(desk.clock.now());
    Ok(json(StatusCode::OK, &answer))
}

/// Whether a request may be that of an agent: it has the token; without one, it is not that of a web page.
fn check_sender(fields: &HeaderMap, token: Option<&str>) -> Result<(), Refusal> {
    let text = |name| fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(token) = token {
        let given = text(AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
        // Compared in constant time: how long it takes says nothing about the right one.
        if bool::from(token.as_bytes().ct_eq(given.as_bytes())) {
            return Ok(());
        }
        let hint = "the token is not the coordinator's: give --token or SMTPLOAD_TOKEN the same value on all machines";
        return Err(Refusal::new(Cause::Token, hint));
    }
    let host = text(HOST);
    if fields.contains_key(ORIGIN) || !hosts::name(host).is_some_and(hosts::is_of_no_site) {
        let hint = "without a token, agents are on this machine, at an IP address or localhost, and no web pages: give --token \
                    or SMTPLOAD_TOKEN the same value on all machines";
        return Err(Refusal::new(Cause::Source, hint));
    }
    Ok(())
}

/// Reads an update. A large one does not delay the replies to others.
async fn parse_update(octets: Vec<u8>, room: Option<Room>) -> Result<Update, Refusal> {
    if octets.len() <= LARGE {
        return parse(&octets);
    }
    let read = move || {
        let parsed = parse(&octets);
        // Should the agent give it up, its octets are there until now.
        drop((octets, room));
        parsed
    };
    let parsed = tokio::task::spawn_blocking(read).await;
    parsed.unwrap_or_else(|error| Err(Refusal::new(Cause::Request, format!("not valid: {error}"))))
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
