//! What a run is to do: validated once, then immutable and shared by all threads.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::client::phase::Phase;
use crate::load::payload::Content;
use crate::load::schedule::{Arrivals, Profile};
use crate::load::template::Template;

/// The most connections of one process: a source address and a target share about 64,000
/// ports, and several source addresses may be given.
pub(crate) const CONNECTIONS_LIMIT: usize = 500_000;

/// The most recipients per message: RFC 5321 section 4.5.3.1.8 has servers take 100, and
/// ten times that is still sensible to try.
pub(crate) const RECIPIENTS_LIMIT: u16 = 1000;

/// The most threads of one process.
pub(crate) const THREADS_LIMIT: usize = 256;

/// Who decides when the next message starts.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// Each session sends one message after another.
    Closed,
    /// Messages start by a schedule, whatever the target does.
    Open { profile: Profile, arrivals: Arrivals },
}

/// When the run ends; at least one is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) count: Option<u64>,
    pub(crate) duration: Option<Duration>,
}

/// How long each phase may take, by [`Phase::index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts(pub(crate) [Duration; Phase::COUNT]);

impl Timeouts {
    pub(crate) fn of(&self, phase: Phase) -> Duration {
        self.0[phase.index()]
    }

    pub(crate) fn shortest(&self) -> Duration {
        self.0.iter().copied().min().unwrap_or_default()
    }
}

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The target as it was typed.
    pub(crate) target: String,
    /// Its addresses, at least one: each is tried in turn where the one before cannot be reached
    /// (RFC 5321 section 5.1).
    pub(crate) addresses: Vec<SocketAddr>,
    /// Local addresses to connect from, in turn; empty lets the system choose. Every address of
    /// the target has one of its family.
    pub(crate) sources: Vec<SocketAddr>,
    pub(crate) load: Load,
    pub(crate) limit: Limit,
    pub(crate) warmup: Duration,
    /// Connections of all threads together; at least as many as threads.
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    /// After this many messages a session ends; `None` is never.
    pub(crate) messages_per_session: Option<NonZeroU64>,
    /// Recipients of each message, 1 to [`RECIPIENTS_LIMIT`].
    pub(crate) recipients: u16,
    pub(crate) pipelining: bool,
    pub(crate) helo: String,
    pub(crate) from: Template,
    pub(crate) to: Template,
    pub(crate) content: Content,
    pub(crate) timeouts: Timeouts,
    /// How long messages in flight are awaited after the last one was to start.
    pub(crate) grace: Duration,
    /// The run is given up when nothing has succeeded for this long; `Duration::MAX` is never.
    pub(crate) give_up_after: Duration,
    /// Starting a message later than this by its own doing, the generator is late.
    pub(crate) late_after: Duration,
    pub(crate) seed: u64,
    /// Names this run in its tokens.
    pub(crate) run: u32,
    /// Whether the outcome of every single message is kept (two bits each).
    pub(crate) keep_ledger: bool,
}

impl Plan {
    /// How many of the connections thread `index` holds.
    pub(crate) fn connections_of(&self, index: usize) -> usize {
        let even = self.connections / self.threads;
        even + usize::from(index < self.connections % self.threads)
    }
}
