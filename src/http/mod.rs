//! The control plane: messages, rules, settings and figures of a server over HTTP, on its own thread. No other
//! module of the library imports it.
//!
//! One thread runs an executor with all connections: hyper parses, [`guard`] admits requests, [`router`] finds the handler, and
//! `api` has one file for each resource. `mailpit` and `mailhog` offer the interfaces of those programs on the same messages
//! and rules, and `page` is the page at `/`. Slow work, such as parsing, runs on worker threads ([`desk`]) and does not delay
//! other requests. Reactors are not involved: requests copy pointers out of the store, and shards report opened and closed
//! sessions only while a client subscribes to them.
//!
//! It makes no requests, and serves only compiled-in files and received messages.

mod api;
mod body;
mod budget;
mod call;
mod changes;
mod connections;
mod desk;
mod document;
mod download;
mod events;
mod expiry;
mod exposition;
mod facade;
mod guard;
mod indexes;
mod listener;
mod mailhog;
mod mailpit;
mod marks;
mod markup;
mod metrics;
mod page;
mod parameters;
mod places;
mod received;
mod removals;
mod reply;
mod route;
mod router;
mod settings;
mod stream;
mod websocket;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::config::StartError;
use crate::http::budget::Budget;
use crate::http::connections::Connections;
use crate::http::desk::{Desk, Workers};
use crate::http::events::Hub;
use crate::http::guard::Guard;
use crate::http::indexes::Indexes;
use crate::http::listener::Acceptor;
use crate::http::marks::Marks;
use crate::http::reply::{Refusal, error};
use crate::records::Endpoint;
use crate::records::store::Store;
use crate::server::Server;

pub use settings::HttpSettings;
use settings::StopHook;

/// The control plane of a running server. Dropping it stops the control plane, not the server; rules with a `ttl` then no
/// longer expire.
///
/// ```
/// use std::io::{Read as _, Write as _};
/// use std::net::TcpStream;
/// use std::sync::Arc;
/// use smtpmock::{Config, ControlPlane, HttpSettings, Server};
///
/// let server = Arc::new(Server::start(Config::default())?);
/// let plane = ControlPlane::start(&server, &HttpSettings::at("127.0.0.1:0"))?;
/// let address = plane.local_addr();
///
/// let mut client = TcpStream::connect(address)?;
/// write!(client, "GET /v1/messages HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
/// let mut reply = String::new();
/// client.read_to_string(&mut reply)?;
/// assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
/// assert!(reply.contains("\"messages\":[]"), "{reply}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ControlPlane {
    endpoint: Endpoint,
    /// Dropped to stop the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Dropped after the thread, for whose requests they work.
    _workers: Workers,
}

/// The state from which requests are answered.
struct Plane {
    server: Arc<Server>,
    store: Arc<Store>,
    guard: Guard,
    indexes: Arc<Indexes>,
    desk: Desk,
    /// For the replies of all connections.
    budget: Arc<Budget>,
    /// For the bodies of all requests.
    bodies: Arc<Budget>,
    /// Permits of requests that wait for events.
    waiting: Arc<Semaphore>,
    mailpit: mailpit::State,
    view_keys: api::ViewKeys,
    marks: Marks,
    events: Arc<Hub>,
    /// Notified when the control plane ends.
    ending: Notify,
    /// Called when a request stops the server.
    on_stop: Option<StopHook>,
    /// For reports.
    effective: Vec<(String, String)>,
}

impl Plane {
    /// A permit of a request that waits for events, until it is dropped.
    ///
    /// # Errors
    /// 503 if too many wait.
    fn wait_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            let hint =
                format!("at most {} concurrent waits; retry when one has ended", connections::MOST_WAITING);
            error(StatusCode::SERVICE_UNAVAILABLE, "too_many_waits", "", hint)
        })
    }
}

impl Plane {
    /// The answer of a request that waits, or 503 when the control plane ends.
    async fn unless_ending<T>(&self, answer: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let (mut answer, mut ending) = (std::pin::pin!(answer), std::pin::pin!(self.ending.notified()));
        ending.as_mut().enable();
        std::future::poll_fn(|context| {
            let answer = answer.as_mut().poll(context);
            if answer.is_ready() {
                return answer;
            }
            ending.as_mut().poll(context).map(|()| {
                let hint = "another server: this one stops";
                Err(error(StatusCode::SERVICE_UNAVAILABLE, "stopping", "server", hint))
            })
        })
        .await
    }

    /// Answers the requests that wait, at the end.
    async fn end(&self) {
        if self.waiting.available_permits() < connections::MOST_WAITING {
            self.ending.notify_waiters();
            tokio::time::sleep(LAST_REPLIES).await;
        }
    }
}

/// How long the last replies to requests that wait may take to be written.
const LAST_REPLIES: Duration = Duration::from_millis(100);

impl ControlPlane {
    /// Starts the control plane. It is listening when this returns.
    ///
    /// # Errors
    /// A setting has an invalid value, the server retains no records ([`Config::keep_records`](crate::Config::keep_records)),
    /// the address can't be listened on, or a thread can't be created.
    pub fn start(server: &Arc<Server>, settings: &HttpSettings) -> Result<Self, StartError> {
        let at = settings.checked()?;
        let store = server.store().ok_or_else(settings::no_records)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| failed("starting the executor of the control plane", error))?;
        let (endpoint, listener) = crate::net::bind_plain(&at, settings::BACKLOG)?;
        let acceptor = {
            let _context = runtime.enter();
            Acceptor::new(listener)
                .map_err(|error| failed("registering the listener of the control plane", error))?
        };
        let budget = Arc::new(Budget::of_replies());
        let (desk, workers) = Desk::start(Arc::clone(&budget))
            .map_err(|error| failed("starting a thread of the control plane", error))?;
        let plane = Arc::new(Plane {
            server: Arc::clone(server),
            store: Arc::clone(store),
            guard: Guard::new(settings),
            indexes: Arc::default(),
            desk,
            budget,
            bodies: Arc::new(Budget::of_bodies()),
            waiting: Arc::new(Semaphore::new(connections::MOST_WAITING)),
            mailpit: mailpit::State::new(store)?,
            view_keys: api::ViewKeys::new()?,
            marks: Marks::default(),
            events: Arc::default(),
            ending: Notify::new(),
            on_stop: settings.on_stop.clone(),
            effective: settings.effective.clone(),
        });
        let expiring = expiry::expire(Arc::clone(&plane));
        let (arrivals, figures) = (events::arrivals(Arc::clone(&plane)), events::figures(Arc::clone(&plane)));
        let removals = removals::follow(Arc::clone(&plane));
        let connections = Connections::new(Arc::clone(&plane), settings.request_timeout);
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            // Tasks that still run when the sender is dropped end with the executor.
            runtime.block_on(async {
                let _accepting = tokio::spawn(connections.accept_from(acceptor));
                let _expiring = tokio::spawn(expiring);
                let _arrivals = tokio::spawn(arrivals);
                let _figures = tokio::spawn(figures);
                let _removals = tokio::spawn(removals);
                let _ = stopped.await;
                plane.end().await;
            });
        };
        let thread = std::thread::Builder::new().name("smtpmock-http".into()).spawn(serve);
        let thread = thread.map_err(|error| failed("starting the thread of the control plane", error))?;
        Ok(Self { endpoint, stop: Some(stop), thread: Some(thread), _workers: workers })
    }

    /// The TCP address where it listens, with its port.
    ///
    /// # Panics
    /// It listens at a Unix socket: see [`endpoint`](Self::endpoint).
    pub fn local_addr(&self) -> SocketAddr {
        self.endpoint.inet().expect("a TCP listener: the control plane is at a Unix socket")
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where it listens, as a URL: `http://127.0.0.1:8025`; `unix:/run/mock-http.sock` for a Unix socket.
    pub fn url(&self) -> String {
        match self.endpoint.inet() {
            Some(address) => format!("http://{address}"),
            None => self.endpoint.to_string(),
        }
    }
}

fn failed(doing: &'static str, error: io::Error) -> StartError {
    StartError::System(doing, error)
}

impl Drop for ControlPlane {
    /// Waits until its threads have ended: nothing listens any more, and no change that a request has begun is applied later.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
