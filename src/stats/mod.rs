//! The figures of a server: the behaviour of its clients, its replies, and its own health.
//!
//! Each shard fills its own [`Stats`] without a lock. A reader collects them and adds them up (`net::control`).

mod additive;
mod auth;
mod catalogue;
/// Hidden: the grammar of the expectations of `smtpmock` and `smtpload`; use [`Expectation`].
#[doc(hidden)]
pub mod comparison;
mod expectation;
mod extensions;
mod findings;
mod health;
mod numbers;
mod proxy;
mod sessions;
mod tally;
mod timeline;
mod tls;

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::time::{Duration, SystemTime};

use crate::smtp::{Received, Stage};

pub(crate) use additive::Additive;
pub use additive::Peak;
use additive::by_fields;
pub use auth::AuthStats;
#[cfg(feature = "report")]
pub(crate) use catalogue::Slot;
use catalogue::figures;
pub use catalogue::{Figure, Metric, Unit};
pub use comparison::{Check, Verdict};
pub use expectation::Expectation;
pub use extensions::ExtensionStats;
pub use findings::Finding;
pub use health::Health;
pub use numbers::{Durations, Numbers};
pub use proxy::ProxyStats;
pub(crate) use sessions::Ending;
pub use sessions::SessionStats;
pub use tally::Tally;
pub use timeline::{Interval, Timeline};
pub(crate) use tls::HandshakeTimes;
pub use tls::TlsStats;

/// The figures of a server since its start, or between two readings.
///
/// Times are measured by the server. A client's think time is from the start of the system call that sent the end of
/// our reply to the wake-up for its next command, so it includes the time in the network.
///
/// A session begins when its connection is accepted, or when its PROXY header is complete. The time in the system's
/// accept queue is in no figure: neither in the service time of the greeting nor in the durations of sessions. Clients
/// observe it in the time to the greeting; [`Health::accept_queue_overflows`] counts how often the queue was full.
///
/// ```
/// use std::time::Duration;
/// use smtpmock::{Config, Server, smtp::Stage};
///
/// let server = Server::start(Config::default())?;
/// let before = server.stats();
/// // … let the code under test send to server.local_addr()
/// let phase = server.stats().since(&before);
/// assert_eq!((phase.sessions.opened, phase.messages.accepted), (0, 0));
/// assert!(phase.stages[Stage::Mail].think.quantile(0.99) < Duration::from_millis(50));
/// assert_eq!(phase.findings(), []);
/// # Ok::<(), smtpmock::StartError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// When the server started; `None` in the figures of a single shard.
    pub started_at: Option<SystemTime>,
    /// The beginning of the figures, counted from the start: zero, or for [`since`](Self::since) the time of the
    /// earlier reading.
    pub begins: Duration,
    /// The time of the reading, counted from the start.
    pub ends: Duration,
    /// The part of the time from `begins` to `ends` that was not measured: in merged reports, the time in which none
    /// of the servers ran.
    pub(crate) unmeasured: Duration,
    /// Sessions open at the beginning.
    pub open_before: u64,
    /// Mail transactions open at the beginning.
    pub transactions_before: u64,
    /// The seed of all random choices. With it and one shard, a run can be repeated.
    pub seed: u64,
    /// Every rule of the present settings: configured rules in order, then lists, limits and `fail_fast` if they are
    /// set. Counts of rules that a [reconfiguration](crate::Server::reconfigure) removed are dropped.
    pub rules: Vec<RuleStats>,
    /// Sessions accepted by each shard. The kernel spreads connections over the shards by a hash of the addresses, so
    /// with few connections these differ widely.
    pub sessions_by_shard: Vec<u64>,
    /// Connections, from accept to close.
    pub sessions: SessionStats,
    /// Connections by proxies.
    pub proxy: ProxyStats,
    /// Mail transactions and message data.
    pub messages: MessageStats,
    /// Figures of each stage of a session.
    pub stages: Stages,
    /// Commands sent before the reply to the previous one (RFC 2920).
    pub pipelining: PipelineStats,
    /// Authentication.
    pub auth: AuthStats,
    /// Clients' use of the extensions that they were offered.
    pub extensions: ExtensionStats,
    /// TLS.
    pub tls: TlsStats,
    /// Retries after a 4yz reply.
    pub retries: RetryStats,
    /// Delays that have ended.
    pub delays: Delays,
    /// The health of the server itself.
    pub health: Health,
    /// Sessions and messages over time.
    pub timeline: Timeline,
}

figures! {
    /// Mail transactions and message data.
    ///
    /// Each MAIL starts a mail transaction (RFC 5321 section 3.3), and each ends in exactly one way: `accepted`,
    /// `refused` or `aborted`. Unfinished ones are [open](Stats::transactions_open).
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct MessageStats {
        /// Messages whose end was answered with an acceptance, counted when all of that reply was written.
        pub accepted: u64 = ["messages", Number, "messages accepted, by a completely written reply"],
        /// Mail transactions that ended with a refusal of MAIL, of RCPT without a later accepted DATA or BDAT, of DATA,
        /// of BDAT, or of the end of the message. [`StageStats::transactions_refused`] has the last such reply of each.
        pub refused: u64 = ["messages.refused", Number, "mail transactions that ended with a refusal"],
        /// Mail transactions that ended neither accepted nor refused: without a refusal, RSET, another MAIL or EHLO, or
        /// the end of the session came before the end of the message or before the positive reply to it was completely
        /// written.
        pub aborted: u64 = ["messages.aborted", Number, "mail transactions neither accepted nor refused"],
        /// Aborted ones in which the client closed in the middle of the data, without QUIT and with no reply pending.
        pub broken_off: u64 = ["messages.broken_off", Number, "closed by the client in the middle of the data"],
        /// Octets of accepted message texts.
        pub bytes: u64 = ["messages.bytes", Octets, "octets of accepted message texts"],
        /// Messages whose lines were inspected: the first 16 of each session, and then every 16th.
        pub inspected: u64 = ["messages.inspected", Number, "messages whose lines were inspected"],
        /// Inspected messages with a LF without CR (RFC 5321 section 2.3.8 forbids it), except messages in chunks.
        pub with_bare_lf: u64 = ["messages.with_bare_lf", Number, "inspected messages with a LF without CR"],
        /// Inspected messages with a line of more than 998 octets (RFC 5322 section 2.1.1).
        pub with_long_lines: u64 = ["messages.with_long_lines", Number, "inspected messages with a line over 998 octets"],
        /// Inspected messages in chunks. Those with `BODY=BINARYMIME` are not inspected.
        pub inspected_in_chunks: u64 =
            ["messages.inspected_in_chunks", Number, "inspected messages that came by BDAT"],
        /// Inspected messages in chunks with a CR or LF without the other (RFC 5321 section 2.3.8 forbids it).
        pub in_chunks_with_bare_cr_or_lf: u64 =
            ["messages.in_chunks_with_bare_cr_or_lf", Number, "those of them with a CR or LF without the other"],
        /// Mail transactions in which the client sent DATA and BDAT (RFC 3030 section 2 forbids it).
        pub with_data_and_bdat: u64 =
            ["messages.with_data_and_bdat", Number, "mail transactions with both DATA and BDAT"],
        /// Inspected messages with octets beyond US-ASCII, although MAIL had no `BODY=8BITMIME` and 8BITMIME was
        /// offered (RFC 6152), under Extended SMTP and in LMTP. Those with SMTPUTF8 do not count.
        pub with_undeclared_eight_bit: u64 =
            ["messages.with_undeclared_8bit", Number, "inspected messages in 8 bits without BODY=8BITMIME"],
        /// Messages received to their end whose MAIL declared their size by SIZE (RFC 1870), under Extended SMTP and in
        /// LMTP.
        pub declared: u64 = ["messages.declared", Number, "messages whose size was declared by SIZE"],
        /// Messages larger than their declared size (RFC 1870 section 6.3).
        pub larger_than_declared: u64 =
            ["messages.larger_than_declared", Number, "those of them that were larger"],
        /// The difference between the declared and the real size of each such message.
        pub declared_difference: Numbers =
            ["message.declared_difference", Octets, "difference between the declared and the real size"],
        /// RCPTs accepted, per message.
        pub recipients: Numbers = ["message.recipients", Number, "RCPTs accepted for a message"],
        /// From the 354, or the first octet of the first chunk, to the end of the message. Without messages sent before
        /// the 354, and without chunks that were read at once.
        pub data_time: Durations =
            ["data.time", Microseconds, "from the 354, or the first chunk, to the end of the message"],
        /// Octets per second in that time, as read by the server. A message that the system has completely received
        /// before the server reads it takes almost no time, so for short messages the rate may far exceed that of the
        /// network.
        pub data_rate: Numbers = ["data.rate", OctetsPerSecond, "octets per second in that time"],
        /// The longest time between two reads of a message, or of one chunk of it, for each message of more than one
        /// read. Not measured while reads are throttled ([`Config::read_rate`](crate::Config::read_rate)), because the
        /// server causes the gaps then.
        pub longest_gap: Durations =
            ["data.longest_gap", Microseconds, "longest time between two reads of a message"],
    }
}

impl MessageStats {
    /// Counts a completed message, with its lines if they were inspected.
    pub(crate) fn note_received(&mut self, message: Received) {
        if let Some(declared) = message.declared {
            let size = message.size as u64;
            self.declared += 1;
            self.larger_than_declared += u64::from(size > declared);
            self.declared_difference.add(size.abs_diff(declared));
        }
        let Some(lines) = message.lines else { return };
        self.inspected += 1;
        self.with_undeclared_eight_bit += u64::from(message.is_undeclared_eight_bit);
        self.with_long_lines += u64::from(lines.has_long_line);
        if message.is_chunked {
            self.inspected_in_chunks += 1;
            self.in_chunks_with_bare_cr_or_lf += u64::from(lines.has_bare_cr || lines.has_bare_lf);
        } else {
            self.with_bare_lf += u64::from(lines.has_bare_lf);
        }
    }
}

figures! {
    /// Figures of one stage.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct StageStats {
        /// Commands, greetings or messages.
        pub count: u64 = ["count", Number, "commands, greetings or messages"],
        /// Commands, greetings or messages answered with a 4yz or 5yz reply, by its code.
        pub refused: BTreeMap<u16, u64> = ["refused", Number, "answered with a 4yz or 5yz reply"],
        /// Mail transactions that ended with a refusal at this stage, by its code.
        pub transactions_refused: BTreeMap<u16, u64> =
            ["messages.refused", Number, "mail transactions that ended with a refusal at this stage"],
        /// From the sending of our previous reply to the arrival of this command; at [`Stage::Message`] from the 354
        /// to the first octets. Without commands sent before that reply.
        pub think: Durations = ["think", Microseconds, "from our previous reply to this command"],
        /// From when the command is readable to when the end of its reply is about to be written, without the
        /// configured delay.
        pub service: Durations =
            ["service", Microseconds, "from this command to our reply, without injected delay"],
        /// How long clients waited for our reply before they closed the connection, which shows their timeout.
        pub gave_up: Durations =
            ["gave_up", Microseconds, "waited for the reply to this, then closed the connection"],
        /// From our reply at this stage until the client closed without QUIT; at [`Stage::Message`] also in the middle
        /// of the data.
        pub left: Durations = ["left", Microseconds, "from the reply to this until the client closed without QUIT"],
    }
}

/// Figures by stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages([StageStats; Stage::ALL.len()]);

impl Stages {
    /// All stages, in the order of [`Stage::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Stage, &StageStats)> {
        Stage::ALL.iter().copied().zip(&self.0)
    }
}

impl Index<Stage> for Stages {
    type Output = StageStats;

    fn index(&self, stage: Stage) -> &StageStats {
        &self.0[stage as usize]
    }
}

impl IndexMut<Stage> for Stages {
    fn index_mut(&mut self, stage: Stage) -> &mut StageStats {
        &mut self.0[stage as usize]
    }
}

impl Additive for Stages {
    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| own.merge(other));
    }

    fn subtract(&mut self, earlier: &Self) {
        self.0.iter_mut().zip(&earlier.0).for_each(|(own, earlier)| own.subtract(earlier));
    }
}

figures! {
    /// Commands sent before the reply to the previous one.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct PipelineStats {
        /// Sizes of groups of two or more commands sent together. A final dot counts as a command, and BDAT with its
        /// octets.
        pub groups: Numbers = ["pipelining.groups", Number, "commands sent together, two or more"],
        /// How often clients waited for replies: after each group, including groups of one command.
        pub round_trips: u64 = ["pipelining.round_trips", Number, "times that clients waited for replies"],
        /// The commands of all these groups. Divided by the number of round trips: commands per round trip.
        pub commands: u64 = ["pipelining.commands", Number, "commands for which they waited"],
        /// PIPELINING (RFC 2920) is offered in the reply to EHLO, or was before a reconfiguration, or was offered to a
        /// session in the reply to LHLO.
        pub offered: bool = [no figure],
    }
}

figures! {
    /// Retries after a 4yz reply to RCPT, DATA, BDAT or the end of the message: later mail transactions with the same
    /// reverse-path and forward-path, on any connection. They are counted when the transaction has ended. Only the
    /// first 100 recipients of a transaction are tracked.
    ///
    /// A message is identified by its ENVID (RFC 3461) or Message-ID, or by the transaction; another SIZE (RFC 1870)
    /// means another message. Otherwise messages are assumed to be the same until a second message with the same
    /// reverse-path and forward-path is seen. At MAIL there is no recipient, and only an ENVID identifies the message.
    ///
    /// Nothing is counted if no setting can give such a reply: no rule, list, limit or reply text.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct RetryStats {
        /// Recipients deferred with a 4yz reply to RCPT, DATA, BDAT or the end of the message. Each counts once until
        /// it gets another reply. Messages from the same sender to the same recipient count as one unless their
        /// Message-IDs are known to differ.
        pub deferred: u64 = ["retries.deferred", Number, "recipients deferred with a 4yz reply"],
        /// Deferred recipients that were retried, once each.
        pub retried: u64 = ["retries.retried", Number, "deferred recipients that were retried"],
        /// Attempts after a 4yz reply that may belong to the same or another message: each MAIL of a sender whose MAIL
        /// was deferred, and attempts for a pair of sender and recipient that several messages share. They are in no
        /// other figure.
        pub ambiguous: u64 = ["retries.ambiguous", Number, "tries that may belong to another message"],
        /// Deferred recipients that are no longer tracked, because 65,536 others were deferred since. Their retries
        /// are not counted.
        pub forgotten: u64 = ["retries.forgotten", Number, "deferred recipients no longer tracked (limit)"],
        /// From each 4yz reply to the next attempt.
        pub after: Durations = ["retries.after", Microseconds, "from the 4yz reply to the next try"],
        /// Those with a message identified as the same.
        pub identified: Durations = ["retries.identified", Microseconds, "the same, if known to be the same message"],
    }
}

figures! {
    /// Delays that have ended: requested and actual ones.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Delays {
        /// The requested delay: as configured, or drawn from a distribution.
        pub told: Durations = ["delay.told", Microseconds, "requested delays of replies"],
        /// The actual delay: from reading the command to writing its reply.
        pub achieved: Durations = ["delay.achieved", Microseconds, "actual delays of replies"],
        /// The difference.
        pub lateness: Durations = ["delay.lateness", Microseconds, "actual minus requested delay"],
        /// The maximum number that ended in one turn of an event loop, which writes their replies one after the other.
        pub at_once: Peak = ["delay.at_once", Number, "most delays that ended in one event loop turn"],
        /// The number of delays shorter than requested: zero, unless there is a bug.
        pub early: u64 = ["delay.early", Number, "delays shorter than requested"],
    }
}

impl Delays {
    /// Counts a delayed reply.
    pub(crate) fn note(&mut self, told: Duration, achieved: Duration) {
        self.told.add(told);
        self.achieved.add(achieved);
        self.lateness.add(achieved.saturating_sub(told));
        self.early += u64::from(achieved < told);
    }
}

/// A rule and its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleStats {
    /// The name from its `id=`.
    pub id: Option<String>,
    /// The rule as text; for a list, a limit or `fail_fast`, the setting's name.
    pub rule: String,
    /// How often its stage was reached and all its conditions were true, apart from counts and probabilities.
    pub reached: u64,
    /// How often it fired.
    pub fired: u64,
}

by_fields!(RuleStats: reached, fired; id, rule);

impl RuleStats {
    /// The identity of each rule: its name, or its text without one, and its position among equal ones.
    pub(crate) fn identities(rules: &[Self]) -> impl Iterator<Item = (&str, bool, usize)> {
        let mut places: BTreeMap<(&str, bool), usize> = BTreeMap::new();
        rules.iter().map(move |own| {
            let (words, is_id) = own.id.as_deref().map_or((&*own.rule, false), |id| (id, true));
            let next = places.entry((words, is_id)).or_default();
            *next += 1;
            (words, is_id, *next)
        })
    }

    fn by_identity(rules: &[Self]) -> BTreeMap<(&str, bool, usize), &Self> {
        Self::identities(rules).zip(rules).collect()
    }
}

// The fields that shards fill; the server sets the others when it reads the figures.
by_fields!(Stats: sessions, proxy, messages, stages, pipelining, auth, extensions, tls, retries, delays, health,
    timeline;
    started_at, begins, ends, unmeasured, open_before, transactions_before, seed, rules, sessions_by_shard);

impl Stats {
    /// The figures measured after `earlier`, a reading of the same server. Peaks, seed and settings are those of the
    /// later reading.
    ///
    /// ```
    /// # use smtpmock::{Config, Server};
    /// let server = Server::start(Config::default())?;
    /// let before = server.stats();
    /// // … send
    /// let phase = server.stats().since(&before);
    /// assert_eq!(phase.messages.accepted, 0);
    /// # Ok::<(), smtpmock::StartError>(())
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        difference.subtract(earlier);
        difference.begins = earlier.ends;
        difference.open_before = earlier.sessions_open();
        difference.transactions_before = earlier.transactions_open();
        for (own, earlier) in difference.sessions_by_shard.iter_mut().zip(&earlier.sessions_by_shard) {
            own.subtract(earlier);
        }
        let earlier = RuleStats::by_identity(&earlier.rules);
        for (identity, own) in RuleStats::identities(&self.rules).zip(&mut difference.rules) {
            if let Some(earlier) = earlier.get(&identity) {
                own.subtract(earlier);
            }
        }
        difference
    }

    /// The length of the measured time. In merged reports it is the time in which at least one of the servers ran:
    /// the time of concurrent runs counts once, and the time between runs does not count.
    pub fn length(&self) -> Duration {
        self.ends.saturating_sub(self.begins).saturating_sub(self.unmeasured)
    }

    /// Sessions open at the end.
    pub fn sessions_open(&self) -> u64 {
        self.open_before.saturating_add(self.sessions.opened).saturating_sub(self.sessions.closed)
    }

    /// Mail transactions started: one by each MAIL, accepted or not.
    pub fn transactions(&self) -> u64 {
        self.stages[Stage::Mail].count
    }

    /// Mail transactions open at the end.
    pub fn transactions_open(&self) -> u64 {
        let MessageStats { accepted, refused, aborted, .. } = &self.messages;
        let ended = accepted.saturating_add(*refused).saturating_add(*aborted);
        self.transactions_before.saturating_add(self.transactions()).saturating_sub(ended)
    }
}

#[cfg(test)]
mod tests;
