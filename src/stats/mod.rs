//! What a server measured: how its clients behaved, what it answered, and how well it did itself.
//!
//! Each shard fills a [`Stats`] of its own, without a lock; a reader takes what has gathered and adds
//! it up (`net::control`).

mod catalogue;
pub mod comparison;
mod expectation;
mod findings;
mod health;
mod numbers;
mod sessions;
mod timeline;

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::time::{Duration, SystemTime};

use crate::smtp::{Lines, Stage};

#[cfg(feature = "report")]
pub(crate) use catalogue::Slot;
use catalogue::figures;
pub use catalogue::{Figure, Metric, Unit};
pub use comparison::{Check, Verdict};
pub use expectation::Expectation;
pub use findings::Finding;
pub use health::Health;
pub use numbers::{Durations, Numbers};
pub(crate) use sessions::Ending;
pub use sessions::SessionStats;
pub use timeline::{Interval, Timeline};

/// What adds up: over shards, and over time.
pub(crate) trait Additive {
    /// Adds what another one measured.
    fn merge(&mut self, other: &Self);

    /// Leaves what was measured after an earlier reading of the same.
    fn subtract(&mut self, earlier: &Self);
}

impl Additive for u64 {
    /// What is beyond 64 bits stays at their end; a report refuses counts that large.
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }

    fn subtract(&mut self, earlier: &Self) {
        *self = self.saturating_sub(*earlier);
    }
}

/// Adds up a struct by its fields: those in front of the semicolon; those behind it are set by the server. All of
/// them are named, or it is not compiled.
macro_rules! by_fields {
    ($type:ty: $($field:ident),+ $(; $($other:ident),+)?) => {
        impl $crate::stats::Additive for $type {
            fn merge(&mut self, other: &Self) {
                let Self { $($field,)+ $($($other: _,)+)? } = self;
                $($crate::stats::Additive::merge($field, &other.$field);)+
            }

            fn subtract(&mut self, earlier: &Self) {
                let Self { $($field,)+ $($($other: _,)+)? } = self;
                $($crate::stats::Additive::subtract($field, &earlier.$field);)+
            }
        }
    };
}
pub(crate) use by_fields;

/// True in a sum if it is of a part.
impl Additive for bool {
    fn merge(&mut self, other: &Self) {
        *self |= *other;
    }

    fn subtract(&mut self, _earlier: &Self) {}
}

/// The highest value seen. Differences keep it: when it was seen is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak(u64);

impl Peak {
    /// The highest value.
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn see(&mut self, value: u64) {
        self.0 = self.0.max(value);
    }
}

impl Additive for Peak {
    fn merge(&mut self, other: &Self) {
        self.see(other.0);
    }

    fn subtract(&mut self, _earlier: &Self) {}
}

impl Additive for BTreeMap<u16, u64> {
    fn merge(&mut self, other: &Self) {
        for (code, count) in other {
            self.entry(*code).or_default().merge(count);
        }
    }

    fn subtract(&mut self, earlier: &Self) {
        for (code, count) in earlier {
            if let Some(own) = self.get_mut(code) {
                own.subtract(count);
            }
        }
        self.retain(|_, count| *count > 0);
    }
}

/// What a server did and saw since it started, or between two readings.
///
/// Times are the server's: a client's think time runs from the beginning of the system call that sent the last of our
/// reply to the wake-up that brought its next command, so it has the way through the network in it.
///
/// A session begins when its connection is accepted. How long it waited for that in the system's accept queue is in no
/// figure: neither in the service time of the greeting nor in the durations of sessions. Clients see it in the time to
/// the greeting; [`Health::accept_queue_overflows`] counts how often the queue was full.
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
    /// When the server started; `None` in a part that no server has completed.
    pub started_at: Option<SystemTime>,
    /// How long after the start this begins: zero, or for [`since`](Self::since) when the earlier was read.
    pub begins: Duration,
    /// How long after the start this was read.
    pub ends: Duration,
    /// How much of the time from `begins` to `ends` was not measured: in a sum of reports, the time in which none of
    /// the servers ran.
    pub(crate) unmeasured: Duration,
    /// Sessions that were open when this begins.
    pub open_before: u64,
    /// Mail transactions that were open when this begins.
    pub transactions_before: u64,
    /// What all chance followed from: with it, and one shard, the same run can be had again.
    pub seed: u64,
    /// Every rule of the present settings: those that were added in their order, then lists, limits and `fail_fast` where
    /// they are set. Counts of rules that a [reconfiguration](crate::Server::reconfigure) removed are dropped.
    pub rules: Vec<RuleStats>,
    /// Sessions that each shard has accepted, by shard. The kernel spreads connections over the shards by a
    /// hash of the addresses, so with few connections these differ widely.
    pub sessions_by_shard: Vec<u64>,
    /// Connections, from accept to close.
    pub sessions: SessionStats,
    /// Mail transactions and message data.
    pub messages: MessageStats,
    /// What happened at each stage of a session.
    pub stages: Stages,
    /// Commands that did not wait for the reply to the one before (RFC 2920).
    pub pipelining: PipelineStats,
    /// What was tried again after a 4yz reply.
    pub retries: RetryStats,
    /// The delays that are over.
    pub delays: Delays,
    /// How well the server itself did.
    pub health: Health,
    /// Sessions and messages over time.
    pub timeline: Timeline,
}

figures! {
    /// Mail transactions and message data.
    ///
    /// Each MAIL starts a mail transaction (RFC 5321 section 3.3), and each ends in exactly one way: `accepted`, `refused`
    /// or `aborted`. Those of which it is not known yet are [open](Stats::transactions_open).
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct MessageStats {
        /// Messages whose final dot was answered with an acceptance, counted when all of that reply was written.
        pub accepted: u64 = ["messages", Number, "messages accepted, by a reply that was written whole"],
        /// Mail transactions that ended with a refusal: of MAIL, of RCPT with nobody accepted behind it in DATA, of DATA, or
        /// of the final dot. [`StageStats::transactions_refused`] has the last such reply of each.
        pub refused: u64 = ["messages.refused", Number, "mail transactions that ended with a refusal"],
        /// Mail transactions that ended undecided: nothing in them was refused, and RSET, another MAIL or EHLO, or the end
        /// of the session came before the final dot, or before all of the reply that accepts the message was written.
        pub aborted: u64 = ["messages.aborted", Number, "mail transactions that ended undecided"],
        /// Those of them that the client broke off: it closed in the middle of the data, without QUIT and owed no reply.
        pub broken_off: u64 = ["messages.broken_off", Number, "closed by the client in the middle of the data"],
        /// Octets of accepted message texts.
        pub bytes: u64 = ["messages.bytes", Octets, "octets of accepted message texts"],
        /// Messages whose lines were looked at: the first of each session, and then every 16th.
        pub inspected: u64 = ["messages.inspected", Number, "messages whose lines were looked at"],
        /// Those of them with a LF that follows no CR (RFC 5321 section 2.3.8 forbids it).
        pub with_bare_lf: u64 = ["messages.with_bare_lf", Number, "those with a LF that follows no CR"],
        /// Those of them with a line of more than 998 octets (RFC 5322 section 2.1.1).
        pub with_long_lines: u64 = ["messages.with_long_lines", Number, "those with a line over 998 octets"],
        /// RCPTs accepted, per message.
        pub recipients: Numbers = ["message.recipients", Number, "RCPTs accepted for a message"],
        /// From the 354 to the final dot. Not of messages that did not wait for the 354.
        pub data_time: Durations = ["data.time", Microseconds, "from the 354 to the final dot"],
        /// Octets a second in that time. It is how fast the server read them: a message that the system holds whole when the
        /// server looks has taken no time, so of short messages it may be far above the rate of the network.
        pub data_rate: Numbers = ["data.rate", OctetsPerSecond, "octets a second in that time"],
        /// Of each message that came in more than one read, the longest time between two. Not where reads are
        /// throttled ([`Config::read_rate`](crate::Config::read_rate)): it would be the server's doing.
        pub longest_gap: Durations =
            ["data.longest_gap", Microseconds, "longest time between two reads of a message"],
    }
}

impl MessageStats {
    /// A message has come to its end, with these lines if they were looked at.
    pub(crate) fn note_lines(&mut self, lines: Option<Lines>) {
        if let Some(lines) = lines {
            self.inspected += 1;
            self.with_bare_lf += u64::from(lines.has_bare_lf);
            self.with_long_lines += u64::from(lines.has_long_line);
        }
    }
}

figures! {
    /// What happened at one stage.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct StageStats {
        /// Commands, greetings or messages.
        pub count: u64 = ["count", Number, "commands, greetings or messages"],
        /// Those answered with a 4yz or 5yz reply, by its code.
        pub refused: BTreeMap<u16, u64> = ["refused", Number, "answered with a 4yz or 5yz reply"],
        /// Mail transactions that ended with a refusal at this stage, by its code.
        pub transactions_refused: BTreeMap<u16, u64> =
            ["messages.refused", Number, "mail transactions that ended with a refusal at this stage"],
        /// From our reply leaving to this command arriving; at [`Stage::Message`] from the 354 to the first octets.
        /// Not of commands that did not wait for the reply before.
        pub think: Durations = ["think", Microseconds, "from our reply to this command of the client"],
        /// From the command being readable to the last of its reply about to be written, without its configured delay.
        pub service: Durations =
            ["service", Microseconds, "from this command to our reply, injected delay taken off"],
        /// How long clients waited for our reply that then closed the connection: their own timeout, measured.
        pub gave_up: Durations =
            ["gave_up", Microseconds, "waited for the reply to this, then closed the connection"],
        /// How long after our reply to this clients closed without QUIT; at [`Stage::Message`] in the middle of
        /// the data too.
        pub left: Durations = ["left", Microseconds, "closed without QUIT so long after the reply to this"],
    }
}

/// What happened, by stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages([StageStats; Stage::ALL.len()]);

impl Stages {
    /// All of them, in the order of [`Stage::ALL`].
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
    /// Commands that did not wait for the reply to the one before.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct PipelineStats {
        /// Commands sent together, two or more, by their number. A final dot counts as a command.
        pub groups: Numbers = ["pipelining.groups", Number, "commands sent together, two or more"],
        /// The reply to EHLO offers PIPELINING (RFC 2920), or did before the server was reconfigured. Set by configuration
        /// only: without it, none is offered.
        pub offered: bool = [no figure],
    }
}

figures! {
    /// What was tried again after a 4yz reply to RCPT, DATA or the final dot: the same reverse-path and forward-path, on
    /// whatever connection, seen when the mail transaction is over. Only the first 100 recipients of a transaction are
    /// followed.
    ///
    /// That it is the same message is known from its ENVID (RFC 3461) or Message-ID, or within one transaction; one of
    /// another SIZE (RFC 1870) is another message. Without any of these it is assumed as long as no second message of the same
    /// reverse-path and forward-path has been seen. MAIL names no recipient, and a message by its ENVID alone.
    ///
    /// Nothing is counted where such replies follow from no setting: neither from rules, lists and limits nor from the
    /// text of a reply.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct RetryStats {
        /// Recipients that were put off with a 4yz reply to RCPT, DATA or the final dot, once each until something else is
        /// replied to them. Messages from the same sender to the same recipient count as one unless their Message-IDs are
        /// known to differ.
        pub deferred: u64 = ["retries.deferred", Number, "recipients put off with a 4yz reply"],
        /// Those that were tried again, however often.
        pub retried: u64 = ["retries.retried", Number, "those that were tried again"],
        /// Tries after a 4yz reply that may have been of the same message or of another one: each MAIL of a sender whose
        /// MAIL was put off before, and tries of a pair of sender and recipient that several messages share. They are in none of
        /// the other figures.
        pub ambiguous: u64 = ["retries.ambiguous", Number, "tries that may have been of another message"],
        /// Recipients that were put off and then forgotten, because 65,536 others were followed since: their retries are
        /// not counted.
        pub forgotten: u64 = ["retries.forgotten", Number, "those forgotten for want of room"],
        /// From each 4yz reply to the next try.
        pub after: Durations = ["retries.after", Microseconds, "from the 4yz reply to the next try"],
        /// Those of them where the message is known to be the same.
        pub identified: Durations = ["retries.identified", Microseconds, "those known to be of the same message"],
    }
}

figures! {
    /// The delays that are over: requested and actual ones.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Delays {
        /// As configured, and drawn where that leaves it to chance.
        pub told: Durations = ["delay.told", Microseconds, "delays of replies, as configured"],
        /// From the moment the command was read to the moment its reply was due and about to be written.
        pub achieved: Durations = ["delay.achieved", Microseconds, "what came of them"],
        /// The difference.
        pub lateness: Durations = ["delay.lateness", Microseconds, "the difference"],
        /// Most that were over in one turn of an event loop, which writes their replies one after the other.
        pub at_once: Peak = ["delay.at_once", Number, "most delays that were over in one turn of an event loop"],
        /// How many were shorter than requested: none, unless there is a bug.
        pub early: u64 = ["delay.early", Number, "delays that were shorter than told"],
    }
}

impl Delays {
    /// A reply was held back.
    pub(crate) fn note(&mut self, told: Duration, achieved: Duration) {
        self.told.add(told);
        self.achieved.add(achieved);
        self.lateness.add(achieved.saturating_sub(told));
        self.early += u64::from(achieved < told);
    }
}

/// A rule and how often it came into play.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleStats {
    /// The name that its `id=` gives it.
    pub id: Option<String>,
    /// The rule as text; of a list, a limit or `fail_fast`, the setting's name.
    pub rule: String,
    /// How often its stage was reached, and all its conditions held that do not count or draw.
    pub reached: u64,
    /// How often it fired.
    pub fired: u64,
}

by_fields!(RuleStats: reached, fired; id, rule);

impl RuleStats {
    /// Which rules these are, whatever stands before them: the name of each, or its text, and its place among those of
    /// the same one.
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

// What a shard fills. The rest is the server's, and is set when it is read.
by_fields!(Stats: sessions, messages, stages, pipelining, retries, delays, health, timeline;
    started_at, begins, ends, unmeasured, open_before, transactions_before, seed, rules, sessions_by_shard);

impl Stats {
    /// What was measured after `earlier`, a reading of the same server. Peaks, and what there is only one of (the
    /// seed, settings), are those of the later reading.
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

    /// How long it was measured. Of a sum of reports it is the time in which at least one of the servers ran: of runs
    /// at the same time the time counts once, and the time between runs does not count.
    pub fn length(&self) -> Duration {
        self.ends.saturating_sub(self.begins).saturating_sub(self.unmeasured)
    }

    /// Sessions that are open in the end.
    pub fn sessions_open(&self) -> u64 {
        self.open_before.saturating_add(self.sessions.opened).saturating_sub(self.sessions.closed)
    }

    /// Mail transactions that were started: each MAIL starts one, accepted or not.
    pub fn transactions(&self) -> u64 {
        self.stages[Stage::Mail].count
    }

    /// Mail transactions that are open in the end.
    pub fn transactions_open(&self) -> u64 {
        let MessageStats { accepted, refused, aborted, .. } = &self.messages;
        let ended = accepted.saturating_add(*refused).saturating_add(*aborted);
        self.transactions_before.saturating_add(self.transactions()).saturating_sub(ended)
    }
}

#[cfg(test)]
mod tests;
