//! What a server does, as settings: chained setters, validated once when it starts. Imports `smtp`, `log` and `records`;
//! the caller's thread.

mod error;
mod listen;
pub(crate) mod milestone;
mod validation;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::log::{Logger, SharedLogger};
use crate::records::Display;
use crate::records::{CaptureContent, CaptureFormat};
use crate::smtp::rules::{ByteRate, Delay, RateLimit, Rule};
use crate::smtp::{AddressRules, DelayPoint, Keep, Policy, RecordMode, ReplyKind};
use milestone::Goal;

pub use error::{ConfigError, StartError};
pub(crate) use listen::Listen;
pub use milestone::Milestone;

/// All settings of a server. Set only what is needed; the rest has defaults.
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
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) hosts: Vec<String>,
    pub(crate) port: u16,
    pub(crate) session_timeout: Duration,
    pub(crate) data_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) shards: usize,
    pub(crate) backlog: u32,
    pub(crate) max_message_memory: usize,
    pub(crate) max_records: usize,
    pub(crate) max_record_memory: usize,
    pub(crate) keep_records: bool,
    pub(crate) logger: Option<SharedLogger>,
    pub(crate) capture: Option<PathBuf>,
    pub(crate) capture_content: CaptureContent,
    pub(crate) capture_format: CaptureFormat,
    pub(crate) display: Option<Display>,
    pub(crate) policy: Policy,
    pub(crate) seed: Option<u64>,
    pub(crate) drip: Option<ByteRate>,
    pub(crate) read_rate: Option<ByteRate>,
    pub(crate) over_limit: OverLimit,
    pub(crate) goals: Vec<Goal>,
}

/// What becomes of connections beyond [`Config::max_sessions`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverLimit {
    /// They are told [`ReplyKind::TooManySessions`] and closed.
    #[default]
    Refuse,
    /// They stay unaccepted in the kernel's backlog until a session has ended.
    Backlog,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: vec![Ipv4Addr::LOCALHOST.to_string()],
            port: 0,
            session_timeout: Duration::from_secs(30),
            data_timeout: Duration::from_secs(600),
            shutdown_timeout: Duration::from_secs(1),
            shards: 1,
            backlog: 4096,
            max_message_memory: 1 << 30,
            max_records: 1_000_000,
            max_record_memory: 1 << 30,
            keep_records: true,
            logger: None,
            capture: None,
            capture_content: CaptureContent::default(),
            capture_format: CaptureFormat::default(),
            display: None,
            policy: Policy::default(),
            seed: None,
            drip: None,
            read_rate: None,
            over_limit: OverLimit::default(),
            goals: Vec::new(),
        }
    }
}

impl Config {
    /// Most reactor threads of a server: more than any machine this was made for has cores.
    pub const MAX_SHARDS: usize = 256;

    /// The defaults: a free port on 127.0.0.1, every valid message accepted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on these addresses instead of 127.0.0.1: IPv4, IPv6 (brackets optional), `localhost`
    /// (127.0.0.1), or `ADDRESS:PORT` for one with a port of its own (0: any free one). Names are never
    /// looked up. `[::]` takes IPv4 as well where the system allows it, unless `0.0.0.0` is listed too.
    #[must_use]
    pub fn hosts<T: Into<String>>(mut self, hosts: impl IntoIterator<Item = T>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Port for every address that names none of its own; 0 (default): any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// How long the server waits for the client's next command line, or within message data for the
    /// next bytes, before it says 421 and closes. Default 30 s. Zero closes every session right after
    /// the greeting and without a word, as a negative timeout of go-smtp-mock does.
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long one message may take from the 354 to the final dot. Default 10 min
    /// (RFC 5321 section 4.5.3.2.6).
    #[must_use]
    pub fn data_timeout(mut self, timeout: Duration) -> Self {
        self.data_timeout = timeout;
        self
    }

    /// How long a [stop](crate::Server::stop) lets sessions finish the mails that were begun, before they are sent 421
    /// and closed. Default 1 s.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Reactor threads, each with a listening socket of its own on the shared port
    /// (`SO_REUSEPORT`). Default 1, at most [`MAX_SHARDS`](Self::MAX_SHARDS).
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Connections the kernel holds until they are accepted. Default 4096; the kernel cuts it at
    /// `net.core.somaxconn`.
    #[must_use]
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// Bytes that all sessions together may have in memory of what clients sent and do not take: messages and
    /// recipients in progress, input that waits behind a reply, replies that wait, records that wait for their replies or
    /// to be captured. 4 KiB of each session are free. Over it RCPT, DATA and messages get
    /// [`ReplyKind::InsufficientStorage`]. Default 1 GiB.
    #[must_use]
    pub fn max_message_memory(mut self, bytes: usize) -> Self {
        self.max_message_memory = bytes;
        self
    }

    /// Records kept for [`Server::messages`](crate::Server::messages); beyond it the oldest is
    /// evicted, and counted. Default 1,000,000.
    #[must_use]
    pub fn max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// Bytes of the records kept, texts and bookkeeping together; beyond it the oldest is evicted,
    /// and counted. Default 1 GiB.
    #[must_use]
    pub fn max_record_memory(mut self, bytes: usize) -> Self {
        self.max_record_memory = bytes;
        self
    }

    /// Whether records are kept for [`Server::messages`](crate::Server::messages) (default). Without
    /// it, and without a capture, nothing of a dialogue is written down.
    #[must_use]
    pub fn keep_records(mut self, keep: bool) -> Self {
        self.keep_records = keep;
        self
    }

    /// Gives each log line to `logger`, on a thread of its own. Default: nothing is logged, or even
    /// formatted. [`StdLogger`](crate::StdLogger) writes go-smtp-mock's lines to standard output.
    #[must_use]
    pub fn logger(mut self, logger: impl Logger + 'static) -> Self {
        self.logger = Some(SharedLogger::new(logger));
        self
    }

    /// Writes every finished record to this file as a JSON line, or mails in [another form](Self::capture_format); `-`
    /// is standard output. The file begins empty, and is
    /// locked: no other server can have it. A FIFO is waited for until it has a reader. A file that is truncated,
    /// removed or replaced meanwhile, and not [opened again](crate::Server::reopen_capture), is a
    /// [failure](crate::Server::failure).
    #[must_use]
    pub fn capture(mut self, path: impl Into<PathBuf>) -> Self {
        self.capture = Some(path.into());
        self
    }

    /// The form of the capture. Default: a line of JSON for each record. The others hold whole mails, so that they can't
    /// be had with [`CaptureContent::Envelope`] or [`RecordMode::Session`], and those that are folders not on standard
    /// output.
    #[must_use]
    pub fn capture_format(mut self, format: CaptureFormat) -> Self {
        self.capture_format = format;
        self
    }

    /// How much of a record the capture holds. Default: all of it.
    #[must_use]
    pub fn capture_content(mut self, content: CaptureContent) -> Self {
        self.capture_content = content;
        self
    }

    /// Shows each mail to people, once its reply has left. For the program.
    #[doc(hidden)]
    #[must_use]
    pub fn show(mut self, display: Display) -> Self {
        self.display = Some(display);
        self
    }

    /// Text of a reply, code and words, of one line or more; see [`Reply`](crate::smtp::Reply) for what it may be.
    #[must_use]
    pub fn reply(mut self, kind: ReplyKind, text: impl AsRef<[u8]>) -> Self {
        self.policy.set_reply(kind, text);
        self
    }

    /// Holds back every reply at this point, refusals too. Default: none. A [`Duration`] is always the same;
    /// a [`Delay`] may be drawn anew each time.
    #[must_use]
    pub fn delay(mut self, point: DelayPoint, delay: impl Into<Delay>) -> Self {
        self.policy.set_delay(point, delay);
        self
    }

    /// Adds a rule behind those that are there; at each stage the first that fires decides. Rules are asked
    /// before the lists below. See [`behaviour`](crate::smtp::rules).
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.policy.add_rule(rule);
        self
    }

    /// What all chance follows from. Default: a random one below 2^53, which every reader of JSON reads exactly; see
    /// [`Server::seed`](crate::Server::seed).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Writes every reply in pieces, at this rate per connection. Default: at once.
    #[must_use]
    pub fn drip(mut self, rate: ByteRate) -> Self {
        self.drip = Some(rate);
        self
    }

    /// Reads from every connection at this rate, so that the sender feels back pressure. Default: at once.
    #[must_use]
    pub fn read_rate(mut self, rate: ByteRate) -> Self {
        self.read_rate = Some(rate);
        self
    }

    /// Sessions at a time, of all shards together. Default: any number.
    #[must_use]
    pub fn max_sessions(mut self, sessions: u64) -> Self {
        self.policy.change_limits(|limits| limits.max_sessions = Some(sessions));
        self
    }

    /// What becomes of connections beyond [`max_sessions`](Self::max_sessions). Default: they are refused.
    #[must_use]
    pub fn over_limit(mut self, what: OverLimit) -> Self {
        self.over_limit = what;
        self
    }

    /// Sessions at a time from one client address; one more is told [`ReplyKind::TooManySessions`] and
    /// closed. Default: any number.
    #[must_use]
    pub fn max_sessions_per_ip(mut self, sessions: u64) -> Self {
        self.policy.change_limits(|limits| limits.max_sessions_per_ip = Some(sessions));
        self
    }

    /// Messages accepted in one session; MAIL for one more is told [`ReplyKind::TooManyMessages`], and the
    /// session is closed. Default: any number.
    #[must_use]
    pub fn max_messages_per_session(mut self, messages: u64) -> Self {
        self.policy.change_limits(|limits| limits.max_messages_per_session = Some(messages));
        self
    }

    /// RCPTs that one mail transaction may have; the next is told [`ReplyKind::TooManyRecipients`]. Default
    /// and at most 10,000.
    #[must_use]
    pub fn max_rcpts(mut self, recipients: usize) -> Self {
        self.policy.max_recipients = recipients;
        self
    }

    /// How many connections or mail transactions there may be in a time. Default: any number.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.policy.change_limits(|limits| limits.rate = Some(limit));
        self
    }

    /// Closes the session after the first refused command. Default off.
    #[must_use]
    pub fn fail_fast(mut self, on: bool) -> Self {
        self.policy.fail_fast = on;
        self
    }

    /// With [`RecordMode::Session`]: retains every RCPT of a transaction; without it (default) each RCPT replaces the
    /// one before. [`RecordMode::Message`] always retains them.
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

    /// Refuses these HELO/EHLO domains; see [`Lists`](crate::smtp::Lists) for how they are compared.
    #[must_use]
    pub fn blacklisted_helo_domains<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.blacklisted_helo_domains = bytes_set(list));
        self
    }

    /// Refuses these reverse-paths; see [`Lists`](crate::smtp::Lists) for how they are compared.
    #[must_use]
    pub fn blacklisted_mailfrom_emails<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.blacklisted_mailfrom_emails = bytes_set(list));
        self
    }

    /// Refuses these forward-paths; see [`Lists`](crate::smtp::Lists) for how they are compared.
    #[must_use]
    pub fn blacklisted_rcptto_emails<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.blacklisted_rcptto_emails = bytes_set(list));
        self
    }

    /// Answers these forward-paths with [`ReplyKind::RcptNotRegistered`]; see [`Lists`](crate::smtp::Lists) for how they
    /// are compared.
    #[must_use]
    pub fn not_registered_emails<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.not_registered_emails = bytes_set(list));
        self
    }

    /// Largest message, in octets. Default 10,485,760; zero refuses all that has any. Sets the default text of
    /// [`ReplyKind::MessageTooBig`] as well, so set a text of your own after it.
    #[must_use]
    pub fn message_size_limit(mut self, octets: usize) -> Self {
        self.policy.set_message_size_limit(octets);
        self
    }

    /// What counts as a HELO name and as an address. Default [`AddressRules::Lenient`].
    #[must_use]
    pub fn addresses(mut self, rules: AddressRules) -> Self {
        self.policy.addresses = rules;
        self
    }

    /// What makes one record. Default [`RecordMode::Message`]: each mail, with all its recipients.
    #[must_use]
    pub fn records(mut self, mode: RecordMode) -> Self {
        self.policy.records = mode;
        self
    }

    /// Calls `hook` once when the server has come so far, on a shard's thread: it must neither wait nor stop the
    /// server or read its [`stats`](crate::Server::stats) itself, which wait for that thread. May be told
    /// several times.
    /// A hook that panics takes the server down, as a bug of its own would.
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
        self.goals.push(Goal::new(milestone, hook));
        self
    }

    /// The policy, told to write down only what somebody will read.
    pub(crate) fn policy_for_records(&self) -> Policy {
        let captured = match (&self.capture, self.capture_content) {
            (None, _) => Keep::Nothing,
            (Some(_), CaptureContent::Envelope) => Keep::Envelope,
            (Some(_), CaptureContent::Message) => Keep::Message,
        };
        let keep = if self.keep_records || self.display.is_some() { Keep::Message } else { captured };
        let mut policy = self.policy.clone();
        policy.keep = keep;
        policy
    }
}

fn bytes_set<T: Into<String>>(list: impl IntoIterator<Item = T>) -> std::collections::HashSet<Vec<u8>> {
    list.into_iter().map(|item| item.into().into_bytes()).collect()
}
