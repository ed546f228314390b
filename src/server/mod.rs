//! The public server: start, addresses, messages, waits, reconfiguration, stop. Runs on its users' threads; hooks run
//! on those of reactors and writers. Of the library's modules only `http` imports it.

mod failure;
mod messages;
mod pause;
mod reconfigure;
#[cfg(feature = "http")]
mod rule_totals;
mod sessions;
mod totals;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::config::{Config, StartError, StartSettings};
use crate::log::{Event, EventLog, SharedLogger};
use crate::net::context::Service;
use crate::net::control::{Control, StopOrder};
use crate::net::counters::Counters;
use crate::net::shard::Shard;
pub use crate::net::shard::{ShardFailure, StopOutcome};
use crate::net::{Listening, ListeningSocket};
use crate::output::Output;
use crate::process::lock;
use crate::records::budget::Budget;
use crate::records::store::Store;
use crate::records::{Capture, Records, Show, Target};
use crate::smtp::ServerTag;
use crate::stats::Stats;
use crate::text::units::EXACT_IN_JSON;
use crate::time::wall_time;
use crate::tls::ServerTls;

pub use crate::records::CaptureFailure;
use failure::FailureReport;
pub use failure::ServerFailure;
pub use reconfigure::ReconfigureError;
use reconfigure::Serving;
#[cfg(feature = "http")]
pub(crate) use reconfigure::{ExpiringRule, Reconfigured};
use totals::Totals;

/// The end of the sentence whose subject is a method.
const WAITS_FOR_ITSELF: &str = "was called by a hook on a reactor thread of the same server, and would wait for that \
                                thread for ever: let the hook send a message to a thread that makes the call";

/// A running mock SMTP server. Dropping it stops it.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use smtpmock::{Config, Server};
///
/// let server = Server::start(Config::default())?;
///
/// let mut client = TcpStream::connect(server.local_addr())?;
/// client.write_all(
///     b"HELO client.example\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n\
///       DATA\r\nSubject: hi\r\n\r\nHello\r\n.\r\n",
/// )?;
///
/// let messages = server.wait_for_messages(1, Duration::from_secs(5))?;
/// assert_eq!(messages[0].reverse_path().unwrap(), "ann@example.com");
/// assert_eq!(messages[0].forward_paths(), ["bob@example.com"]);
/// assert_eq!(messages[0].body(), b"Subject: hi\r\n\r\nHello\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    listeners: Vec<Listening>,
    addresses: Vec<SocketAddr>,
    shutdown_timeout: Duration,
    store: Option<Arc<Store>>,
    event_log: Option<EventLog>,
    capture: Option<Capture>,
    show: Option<Show>,
    failure: Arc<FailureReport>,
    controls: Vec<Arc<Control>>,
    /// A stop is logged once, however often it is requested.
    stopping: Once,
    life: Mutex<Life>,
    serving: Serving,
    /// The control planes that are notified of the beginning and end of sessions.
    #[cfg(feature = "http")]
    listeners_to_sessions: Mutex<Vec<Arc<crate::net::passages::Passages>>>,
    totals: Totals,
    tls: Option<ServerTls>,
    /// Part of the ids of all its records.
    tag: ServerTag,
}

enum Life {
    Running(Threads),
    Stopped(StopOutcome),
}

/// The threads of a server that has not been stopped.
#[derive(Default)]
struct Threads {
    shards: Vec<Shard>,
    log: Option<LogThread>,
    display: Option<JoinHandle<()>>,
}

struct LogThread {
    logger: SharedLogger,
    handle: JoinHandle<()>,
}

impl Server {
    /// Starts a server. It is listening when this returns.
    ///
    /// # Errors
    /// A setting has an invalid value, the server can't listen on an address, or a socket, thread or the capture file
    /// can't be created. No listener remains then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, None)
    }

    /// As [`start`](Self::start), with an open capture file.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[doc(hidden)]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "settings are made for one server: start(Config::default())"
    )]
    pub fn start_with(config: Config, capture: Option<Output>) -> Result<Self, StartError> {
        config.validate()?;
        let tls = config.prepare_tls()?;
        let (listeners, sockets) =
            crate::net::bind(&config.listeners()?, config.fixed.shards, config.fixed.backlog)?;
        let failure = Arc::<FailureReport>::default();
        let capture = start_capture(&config, capture, &failure)?;
        let (event_log, log) = start_event_log(&config)?.unzip();
        let (show, display) = start_show(&config)?.unzip();
        let StartSettings { keep_records, shards, max_records, max_record_memory, .. } = config.fixed;
        let store = keep_records.then(|| Arc::new(Store::new(shards, max_records, max_record_memory)));
        let serving = Serving::new(Service::new(config.settings(seed(&config)?), None));
        let addresses = listeners.iter().filter_map(|listening| listening.endpoint.inet()).collect();
        let mut server = Self {
            listeners,
            addresses,
            shutdown_timeout: config.fixed.shutdown_timeout,
            store,
            event_log,
            capture,
            show,
            failure,
            controls: Vec::new(),
            stopping: Once::new(),
            life: Mutex::new(Life::Running(Threads { shards: Vec::new(), log, display })),
            serving,
            #[cfg(feature = "http")]
            listeners_to_sessions: Mutex::default(),
            totals: Totals::new(),
            tls,
            tag: ServerTag::new(random("asking for a random tag")?),
        };
        server.start_shards(&config, sockets)?;
        let first = &server.listeners[0].endpoint;
        let place =
            first.inet().map_or_else(|| first.to_string(), |address| format!("port: {}", address.port()));
        server.log(Event::Started(place));
        Ok(server)
    }

    /// Starts the shards. If one can't be started, dropping the server stops the others.
    fn start_shards(
        &mut self,
        config: &Config,
        sockets: Vec<Vec<ListeningSocket>>,
    ) -> Result<(), StartError> {
        let StartSettings { max_message_memory, capture_content, goals, header_hook, .. } = &config.fixed;
        let budget = Budget::new(*max_message_memory);
        let counters = Arc::new(Counters::new(self.tag, goals));
        for (index, sockets) in sockets.into_iter().enumerate() {
            let records = Records {
                shard: index,
                store: self.store.clone(),
                capture: self.capture.clone().map(|capture| (capture, *capture_content)),
                show: self.show.clone(),
            };
            let context = self.serving.context(records, &budget, &counters).with_tls(self.tls.clone());
            let context = context.with_header_hook(header_hook.clone());
            let failure = Arc::clone(&self.failure);
            let clock = self.totals.clock();
            let shard = Shard::start(index, sockets, context, clock, self.event_log.as_ref(), move |why| {
                failure.report(ServerFailure::Shard(why));
            })
            .map_err(|error| StartError::System("starting a reactor thread", error))?;
            self.failure.watch(&shard.control);
            self.controls.push(Arc::clone(&shard.control));
            if let Life::Running(threads) = &mut *lock(&self.life) {
                threads.shards.push(shard);
            }
        }
        Ok(())
    }

    /// The first TCP address of a listener, with its port.
    ///
    /// # Panics
    /// All listeners are Unix sockets: see [`listeners`](Self::listeners).
    pub fn local_addr(&self) -> SocketAddr {
        *self.addresses.first().expect("a TCP listener: Config::listen has Unix sockets only")
    }

    /// All TCP addresses of listeners, in the order of [`Config::hosts`] and then [`Config::listen`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All listeners, in the order of [`Config::hosts`] and then [`Config::listen`].
    pub fn listeners(&self) -> &[Listening] {
        &self.listeners
    }

    /// The certificate, in PEM, of the CA that has issued the server's: clients that trust it can verify the server.
    /// `None` without [TLS](Config::tls), and with configured certificates.
    #[cfg(feature = "tls")]
    pub fn ca_pem(&self) -> Option<&str> {
        self.tls.as_ref()?.ca_pem.as_deref()
    }

    /// The port of [`local_addr`](Self::local_addr).
    ///
    /// # Panics
    /// If all listeners are Unix sockets.
    pub fn port(&self) -> u16 {
        self.local_addr().port()
    }

    /// The figures measured so far. Each shard is woken to report its figures; a shard that is waiting for a slow
    /// capture reports when it continues.
    ///
    /// # Panics
    /// If called by a hook on a reactor thread of this server ([`Config::on_reaching`]), which could not report while
    /// it waits.
    pub fn stats(&self) -> Stats {
        let would_wait = self.controls.iter().any(|control| control.would_wait_for_itself());
        assert!(!would_wait, "Server::stats {WAITS_FOR_ITSELF}");
        let mut stats = self.totals.read(&self.controls, &self.serving);
        stats.health.records_evicted = self.store.as_ref().map_or(0, |store| store.evicted());
        stats.health.log_entries_dropped = self.event_log.as_ref().map_or(0, EventLog::dropped);
        stats
    }

    /// The seed of all random choices of this server: [`Config::seed`], or a random one below 2^53. The same seed,
    /// rules and dialogues give the same results with one shard.
    pub fn seed(&self) -> u64 {
        self.serving.service().policy().seed
    }

    /// Why the server failed, if it did: a bug in one of its threads, or a capture that can't be written.
    pub fn failure(&self) -> Option<ServerFailure> {
        self.failure.get()
    }

    /// The records, if any are retained.
    #[cfg(feature = "http")]
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// It accepts connections: it has neither failed nor been asked to stop.
    #[cfg(feature = "http")]
    pub(crate) fn is_serving(&self) -> bool {
        !self.stopping.is_completed() && self.failure().is_none()
    }

    /// Calls `hook` on the failing thread when the server fails, or at once if it has failed. The hook must not stop
    /// the server: a stop waits for that thread, and panics if it is a reactor's.
    pub fn on_failure(&self, hook: impl FnOnce(&ServerFailure) + Send + 'static) {
        self.failure.set_hook(Box::new(hook));
    }

    /// Stops the server. Idle sessions, without a command or mail in progress, are sent 421 and closed at once. The
    /// others may continue until they are idle, for up to [`Config::shutdown_timeout`]. The remaining ones are then
    /// sent 421 and closed: a client that is sending has up to two seconds to read it, and a message whose reply is
    /// still delayed is refused. Returns when all threads have ended and the capture is written (or has
    /// [failed](Self::failure)). The messages remain readable.
    ///
    /// # Panics
    /// If called by a hook on a reactor thread of this server ([`Config::on_reaching`],
    /// [`on_failure`](Self::on_failure)), which would wait for its own end. It may drop the server, which then stops in
    /// the background.
    pub fn stop(&self) -> StopOutcome {
        self.stop_as("stop", StopOrder { timeout: self.shutdown_timeout, spares_idle: false })
    }

    /// As [`stop`](Self::stop), with another timeout. A second stop waits for the first one, and shortens it if its own
    /// timeout is shorter.
    ///
    /// # Panics
    /// As [`stop`](Self::stop).
    pub fn stop_within(&self, timeout: Duration) -> StopOutcome {
        self.stop_as("stop_within", StopOrder { timeout, spares_idle: false })
    }

    /// As [`stop`](Self::stop), but idle sessions may continue too, for up to [`Config::shutdown_timeout`], so that
    /// surplus messages of clients are seen. A [`stop`](Self::stop) meanwhile ends idle sessions.
    ///
    /// # Panics
    /// As [`stop`](Self::stop).
    pub fn drain(&self) -> StopOutcome {
        self.stop_as("drain", StopOrder { timeout: self.shutdown_timeout, spares_idle: true })
    }

    /// A hook on a reactor thread of this server makes this call, and can't wait for that thread.
    fn is_on_shard_thread(&self) -> bool {
        self.controls.iter().any(|control| control.is_on_this_thread())
    }

    fn stop_as(&self, method: &str, order: StopOrder) -> StopOutcome {
        assert!(!self.is_on_shard_thread(), "Server::{method} {WAITS_FOR_ITSELF}");
        self.order_stop(order);
        let mut life = lock(&self.life);
        let threads = match &mut *life {
            Life::Stopped(outcome) => return *outcome,
            Life::Running(threads) => std::mem::take(threads),
        };
        let outcome = self.join(threads);
        *life = Life::Stopped(outcome);
        outcome
    }

    fn order_stop(&self, order: StopOrder) {
        // Logged first, before the stop's effects on sessions.
        self.stopping.call_once(|| self.log(Event::Stopping));
        self.controls.iter().for_each(|control| control.stop(order));
    }

    /// Makes a present or later [`drain`](Self::drain) end idle sessions like a [`stop`](Self::stop). Does not wait.
    #[doc(hidden)]
    pub fn stop_draining(&self) {
        self.order_stop(StopOrder { timeout: self.shutdown_timeout, spares_idle: false });
    }

    /// Begins a [`stop`](Self::stop), with this timeout if given. Does not wait for its end.
    #[cfg(feature = "http")]
    pub(crate) fn begin_stop(&self, timeout: Option<Duration>) {
        let timeout = timeout.unwrap_or(self.shutdown_timeout);
        self.order_stop(StopOrder { timeout, spares_idle: false });
    }

    /// Makes a present stop end at once. Does not wait.
    #[doc(hidden)]
    pub fn hasten_stop(&self) {
        self.order_stop(StopOrder::AT_ONCE);
    }

    /// Reopens the file of [`Config::capture`] by its name, for appending. If the file was renamed before, it is
    /// complete, and later records go to a new file. Has no effect on standard output, pipes and devices. A file that
    /// can't be opened is a [failure](Self::failure).
    pub fn reopen_capture(&self) {
        if let Some(capture) = &self.capture {
            capture.reopen();
        }
    }

    fn join(&self, threads: Threads) -> StopOutcome {
        let mut outcome = StopOutcome::Graceful;
        for shard in threads.shards {
            // A failure has been reported by the shard itself.
            if shard.join().is_ok_and(|outcome| outcome == StopOutcome::Forced) {
                outcome = StopOutcome::Forced;
            }
        }
        self.log(match outcome {
            StopOutcome::Graceful => Event::Stopped,
            StopOutcome::Forced => Event::ForceStopped,
        });
        if let Some(capture) = &self.capture {
            capture.finish();
        }
        if let (Some(show), Some(display)) = (&self.show, threads.display)
            && show.finish()
        {
            let _ = display.join();
        }
        if let Some(failure) = self.failure.get() {
            self.log(Event::Failed(failure.to_string()));
        }
        if let (Some(event_log), Some(LogThread { logger, handle })) = (&self.event_log, threads.log) {
            logger.closing();
            event_log.close();
            if event_log.finish() {
                let _ = handle.join();
            }
        }
        outcome
    }

    fn log(&self, event: Event) {
        if let Some(event_log) = &self.event_log {
            event_log.post(wall_time(), event);
        }
    }
}

impl Drop for Server {
    /// Stops the server and waits, except in a hook on one of its own reactor threads.
    fn drop(&mut self) {
        let order = StopOrder { timeout: self.shutdown_timeout, spares_idle: false };
        if self.is_on_shard_thread() {
            self.order_stop(order);
        } else {
            self.stop_as("stop", order);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// The configured seed, or a random one.
fn seed(config: &Config) -> Result<u64, StartError> {
    if let Some(seed) = config.fixed.seed {
        return Ok(seed);
    }
    // JSON parsers read numbers below 2^53 exactly.
    Ok(random("asking for a random seed")? % EXACT_IN_JSON)
}

/// A random number, unique among servers.
pub(crate) fn random(doing: &'static str) -> Result<u64, StartError> {
    SysRng.try_next_u64().map_err(|error| StartError::System(doing, io::Error::other(error)))
}

fn start_capture(
    config: &Config,
    open: Option<Output>,
    failure: &Arc<FailureReport>,
) -> Result<Option<Capture>, StartError> {
    let StartSettings { capture, capture_format, .. } = &config.fixed;
    let Some(path) = capture else { return Ok(None) };
    let failure = Arc::clone(failure);
    let failing = path.clone();
    let on_failure = Arc::new(move |why| failure.report(ServerFailure::Capture(failing.clone(), why)));
    let target = Target::open(path, *capture_format, open);
    let started = target.and_then(|target| Capture::start(target, on_failure));
    started.map(Some).map_err(|error| StartError::Capture(path.clone(), error))
}

fn start_show(config: &Config) -> Result<Option<(Show, JoinHandle<()>)>, StartError> {
    let started = config.fixed.display.as_ref().map(Show::start).transpose();
    started.map_err(|error| StartError::System("starting the thread that shows mails", error))
}

fn start_event_log(config: &Config) -> Result<Option<(EventLog, LogThread)>, StartError> {
    let Some(logger) = &config.fixed.logger else {
        return Ok(None);
    };
    let started = EventLog::start(logger.clone());
    started
        .map(|(event_log, handle)| Some((event_log, LogThread { logger: logger.clone(), handle })))
        .map_err(|error| StartError::System("starting the log thread", error))
}
