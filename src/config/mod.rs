//! The settings of a server: chained setters, validated when the server starts or is reconfigured. Imports `log`,
//! `records`, `smtp`, `text` and `tls`; runs on the caller's thread.

mod error;
mod listen;
pub(crate) mod milestone;
mod settings;
mod validation;

use std::path::PathBuf;
use std::time::Duration;

use crate::log::{HeaderHook, Logger, SharedLogger};
use crate::records::{CaptureContent, CaptureFormat, Display};
use crate::smtp::rules::ByteRate;
use crate::smtp::{Keep, Policy, RecordMode};
use crate::tls::Tls;
use milestone::Goal;

pub(crate) use error::SocketFileError;
pub use error::{ConfigError, StartError};
#[cfg(feature = "http")]
pub(crate) use listen::http_listener;
pub(crate) use listen::{Listen, ListenAt, ProxyHeaders};
pub use milestone::Milestone;
pub use settings::{OverLimit, Settings};

/// All settings of a server. Every setting has a default.
///
/// ```
/// use std::time::Duration;
/// use smtpmock::{Config, smtp::{DelayPoint, ReplyKind}};
///
/// let config = Config::default()
///     .session_timeout(Duration::from_secs(5))
///     .blacklisted_rcptto_emails(["full@example.com"])
///     .reply(ReplyKind::RcptBlacklisted, "452 4.2.2 Mailbox full")
///     .delay(DelayPoint::Message, Duration::from_millis(250));
/// assert!(config.validate().is_ok());
/// ```
///
/// Settings with a setter in [`Settings`] can [change](crate::Server::reconfigure) while the server runs. The others
/// are fixed at the start.
#[derive(Clone, Debug)]
pub struct Config<F = StartSettings> {
    /// The settings that are fixed at the start; `()` in the [`Settings`] of a running server.
    pub(crate) fixed: F,
    /// Its record mode, the content of its records and its seed are fixed too.
    pub(crate) policy: Policy,
    pub(crate) session_timeout: Duration,
    pub(crate) data_timeout: Duration,
    pub(crate) drip: Option<ByteRate>,
    pub(crate) read_rate: Option<ByteRate>,
    pub(crate) over_limit: OverLimit,
}

/// The part of a [`Config`] that is fixed when its server starts: the settings of the process, not of a connection.
#[derive(Clone, Debug)]
pub struct StartSettings {
    /// `None`: the default, which does not apply if URLs are set.
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) port: Option<u16>,
    /// URLs.
    pub(crate) listen: Vec<String>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) shards: usize,
    pub(crate) backlog: u32,
    pub(crate) max_message_memory: usize,
    pub(crate) max_records: usize,
    pub(crate) max_record_memory: usize,
    pub(crate) keep_records: bool,
    pub(crate) logger: Option<SharedLogger>,
    pub(crate) header_hook: Option<HeaderHook>,
    pub(crate) capture: Option<PathBuf>,
    pub(crate) capture_content: CaptureContent,
    pub(crate) capture_format: CaptureFormat,
    pub(crate) display: Option<Display>,
    pub(crate) seed: Option<u64>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        let fixed = StartSettings {
            hosts: None,
            port: None,
            listen: Vec::new(),
            shutdown_timeout: Duration::from_secs(1),
            shards: 1,
            backlog: 4096,
            max_message_memory: 1 << 30,
            max_records: 1_000_000,
            max_record_memory: 1 << 30,
            keep_records: true,
            logger: None,
            header_hook: None,
            capture: None,
            capture_content: CaptureContent::default(),
            capture_format: CaptureFormat::default(),
            display: None,
            seed: None,
            goals: Vec::new(),
            tls: None,
        };
        Self::with_defaults(fixed, Policy::default())
    }
}

/// Settings that are fixed when a server starts.
impl Config {
    /// The maximum number of reactor threads of a server: more than the cores of any target machine.
    pub const MAX_SHARDS: usize = 256;

    /// The defaults: a free port on 127.0.0.1, every valid message accepted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on these addresses instead of 127.0.0.1: IPv4, IPv6 (brackets optional), `localhost` (127.0.0.1), or
    /// `ADDRESS:PORT` for a separate port (0: any free one). Names are never resolved. `[::]` also accepts IPv4 if the
    /// system allows it, unless `0.0.0.0` is listed too.
    #[must_use]
    pub fn hosts<T: Into<String>>(mut self, hosts: impl IntoIterator<Item = T>) -> Self {
        self.fixed.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Port of every address without its own; 0 (default): any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.fixed.port = Some(port);
        self
    }

    /// Listens at this URL too; may be called several times. The default listener on 127.0.0.1 exists only without
    /// URLs, or if [`hosts`](Self::hosts) or [`port`](Self::port) is set.
    ///
    /// `smtp://ADDRESS:PORT` is TCP; the address is as in `hosts`, IPv6 in brackets, and without a port any free one is
    /// taken. `smtp+unix:///PATH` is a Unix socket; `?mode=0666` sets its permissions (default: by the umask). `%`, `?`
    /// and `#` in a path are percent-encoded; it has at most 107 octets (103 except on Linux). A stale socket is
    /// replaced; the file is removed when the server stops. With `lmtp` in place of `smtp` both speak
    /// [LMTP](crate::Protocol::Lmtp). With `smtps` and `lmtps` TLS begins with each connection (RFC 8314 section 3.3);
    /// these need `Config::tls`.
    ///
    /// Either takes `?proxy=require`: each connection must begin with a header of the PROXY protocol, version 1 or 2,
    /// from a [trusted](Self::trust) peer, which names the client; others are closed. `?proxy=accept`: connections of
    /// trusted peers may, and are greeted after half a second without one; other connections are served as usual.
    ///
    /// Either takes `?inbox=NAME`: its mails belong to this [inbox](crate::Message::inboxes), of at most 64 letters,
    /// digits, `-`, `_` and `.`.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use smtpmock::{Config, Server};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().display();
    /// let server = Server::start(Config::default().listen(format!("smtp+unix://{folder}/mock.sock?mode=0600")))?;
    /// let path = server.listeners()[0].endpoint.path().expect("a Unix socket");
    /// let client = UnixStream::connect(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn listen(mut self, url: impl Into<String>) -> Self {
        self.fixed.listen.push(url.into());
        self
    }

    /// How long a [stop](crate::Server::stop) waits for sessions to finish their current mails before it sends 421
    /// and closes them. Default 1 s.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.fixed.shutdown_timeout = timeout;
        self
    }

    /// Number of reactor threads. Each has its own listening socket on the shared port (`SO_REUSEPORT`). Default 1,
    /// at most [`MAX_SHARDS`](Self::MAX_SHARDS).
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.fixed.shards = shards;
        self
    }

    /// Number of connections that may wait in the kernel until they are accepted. Default 4096; the kernel limits it
    /// to `net.core.somaxconn`.
    #[must_use]
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.fixed.backlog = backlog;
        self
    }

    /// Memory, in bytes, for the pending data of all sessions together: messages and recipients in progress, input
    /// during a delay, unsent replies, and records that wait for their replies or to be captured. The first 4 KiB of
    /// each session are not counted. Beyond it RCPT, DATA and messages get
    /// [`ReplyKind::InsufficientStorage`](crate::smtp::ReplyKind::InsufficientStorage). Default 1 GiB.
    #[must_use]
    pub fn max_message_memory(mut self, bytes: usize) -> Self {
        self.fixed.max_message_memory = bytes;
        self
    }

    /// Maximum number of records retained for [`Server::messages`](crate::Server::messages). Beyond it the oldest is
    /// evicted and counted. Default 1,000,000.
    #[must_use]
    pub fn max_records(mut self, records: usize) -> Self {
        self.fixed.max_records = records;
        self
    }

    /// Memory for retained records in bytes, including overhead. Beyond it the oldest is evicted and counted. Default 1
    /// GiB.
    #[must_use]
    pub fn max_record_memory(mut self, bytes: usize) -> Self {
        self.fixed.max_record_memory = bytes;
        self
    }

    /// Whether records are retained for [`Server::messages`](crate::Server::messages) (default). Without it and
    /// without a capture, nothing of a dialogue is recorded.
    #[must_use]
    pub fn keep_records(mut self, keep: bool) -> Self {
        self.fixed.keep_records = keep;
        self
    }

    /// Passes each log line to `logger`, on a separate thread. Default: nothing is logged or formatted.
    /// [`StdLogger`](crate::StdLogger) writes go-smtp-mock's lines to standard output.
    #[must_use]
    pub fn logger(mut self, logger: impl Logger + 'static) -> Self {
        self.fixed.logger = Some(SharedLogger::new(logger));
        self
    }

    /// Calls `hook` with the reason when a connection is closed because of its PROXY header, once for each kind of
    /// fault. It runs on a shard's thread, and must not block. For the program.
    #[doc(hidden)]
    #[must_use]
    pub fn on_refused_header(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.fixed.header_hook = Some(HeaderHook::new(hook));
        self
    }

    /// Writes every finished record to this file as a JSON line, or mails in [another format](Self::capture_format);
    /// `-` is standard output. The file is emptied and locked against other servers. Opening a FIFO waits for a reader.
    /// A file that another program truncates, removes or replaces, and that is not [opened
    /// again](crate::Server::reopen_capture), is a [failure](crate::Server::failure).
    #[must_use]
    pub fn capture(mut self, path: impl Into<PathBuf>) -> Self {
        self.fixed.capture = Some(path.into());
        self
    }

    /// The format of the capture. Default: a line of JSON for each record. The other formats contain whole mails and
    /// can't be combined with [`CaptureContent::Envelope`] or [`RecordMode::Session`]; folders can't be written to
    /// standard output.
    #[must_use]
    pub fn capture_format(mut self, format: CaptureFormat) -> Self {
        self.fixed.capture_format = format;
        self
    }

    /// Which part of a record is captured. Default: the whole record.
    #[must_use]
    pub fn capture_content(mut self, content: CaptureContent) -> Self {
        self.fixed.capture_content = content;
        self
    }

    /// Prints each mail readably when its reply has been written. For the program.
    #[doc(hidden)]
    #[must_use]
    pub fn show(mut self, display: Display) -> Self {
        self.fixed.display = Some(display);
        self
    }

    /// The seed of all random choices. Default: a random one below 2^53, which every JSON parser reads exactly; see
    /// [`Server::seed`](crate::Server::seed).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.fixed.seed = Some(seed);
        self
    }

    /// With [`RecordMode::Session`]: retains every RCPT of a transaction; without it (default) each RCPT replaces the
    /// previous one. [`RecordMode::Message`] always retains them.
    #[must_use]
    pub fn multiple_rcptto(mut self, on: bool) -> Self {
        self.policy.multiple_rcptto = on;
        self
    }

    /// With [`RecordMode::Session`]: starts a new record at a MAIL that follows a completed message and RSET. Default
    /// off. With [`RecordMode::Message`] every mail has a record.
    #[must_use]
    pub fn multiple_message_receiving(mut self, on: bool) -> Self {
        self.policy.multiple_message_receiving = on;
        self
    }

    /// The unit of a record. Default [`RecordMode::Message`]: one mail with all its recipients.
    #[must_use]
    pub fn records(mut self, mode: RecordMode) -> Self {
        self.policy.records = mode;
        self
    }

    /// Encrypts sessions: STARTTLS (RFC 3207) is offered, which turns [`esmtp`](Self::esmtp) on, and listeners for TLS
    /// from the first octet are possible: see [`listen`](Self::listen). PLAIN, LOGIN and tokens are refused before TLS
    /// then, unless [`auth_in_clear`](Self::auth_in_clear) allows them. See [`Tls`], and
    /// [`Message::tls`](crate::Message::tls) for the result of a handshake.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.policy.set_external(tls.asks_clients());
        self.fixed.tls = Some(tls);
        self.policy.set_tls(true);
        self.esmtp()
    }

    /// Calls `hook` once when the server reaches the milestone. The hook runs on a shard's thread, so it must not
    /// wait, nor stop or [reconfigure](crate::Server::reconfigure) the server or read its
    /// [`stats`](crate::Server::stats), which wait for that thread: they panic, and
    /// `reconfigure` is an error. May be set several times. A panic of the hook
    /// ends the server like a bug.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use smtpmock::{Config, Milestone, Server};
    ///
    /// let (sender, reached) = mpsc::channel();
    /// let server = Server::start(Config::default().on_reaching(Milestone::Sessions(1), move || {
    ///     let _ = sender.send(());
    /// }))?;
    /// # drop(std::net::TcpStream::connect(server.local_addr())?);
    /// // … send, and when all is done:
    /// reached.recv()?;
    /// server.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_reaching(mut self, milestone: Milestone, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.fixed.goals.push(Goal::new(milestone, hook));
        self
    }

    /// The changeable settings, with this seed. Their policy records only what the store, capture and display need.
    pub(crate) fn settings(&self, seed: u64) -> Settings {
        let StartSettings { keep_records, capture, capture_content, display, .. } = &self.fixed;
        let captured = match (capture, capture_content) {
            (None, _) => Keep::Nothing,
            (Some(_), CaptureContent::Envelope) => Keep::Envelope,
            (Some(_), CaptureContent::Message) => Keep::Message,
        };
        let mut policy = self.policy.clone();
        policy.keep = if *keep_records || display.is_some() { Keep::Message } else { captured };
        policy.seed = seed;
        let &Self { session_timeout, data_timeout, drip, read_rate, over_limit, .. } = self;
        Settings { fixed: (), policy, session_timeout, data_timeout, drip, read_rate, over_limit }
    }
}
