//! The plan of a run: validated once, then immutable and shared by all threads.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::client::dialect::Dialect;
use crate::client::phase::Phase;
use crate::load::clients::Clients;
use crate::load::part::Part;
use crate::load::payload::Content;
use crate::load::schedule::{Arrivals, Profile};
use crate::load::security::Security;
use crate::load::start::StartAt;
use crate::load::target::Endpoint;
use crate::load::template::Template;

/// The most connections of a process: a source address and a target share about 64,000 ports, and there may be
/// several source addresses.
pub(crate) const CONNECTIONS_LIMIT: usize = 500_000;

/// The most recipients per message: RFC 5321 section 4.5.3.1.8 requires servers to accept 100; ten times that is a
/// sensible test.
pub(crate) const RECIPIENTS_LIMIT: u16 = 1000;

/// The most targets of a run.
pub(crate) const TARGETS_LIMIT: usize = 256;

/// The most threads of a process.
pub(crate) const THREADS_LIMIT: usize = 256;

/// What starts the next message.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// A session that has ended its message.
    Closed,
    /// A schedule, independent of the target.
    Open { profile: Profile, arrivals: Arrivals },
}

/// When the whole run ends; at least one is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) count: Option<u64>,
    pub(crate) duration: Option<Duration>,
}

/// The timeout of each phase, by [`Phase::index`].
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

/// A server, or several behind one name.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As it was given.
    pub(crate) name: String,
    /// Its addresses, by index in those of the plan; at least one. The next one is tried for a message where no session
    /// comes about at the one before (RFC 5321 section 5.1).
    pub(crate) addresses: Vec<usize>,
    /// Set if sessions may be encrypted.
    pub(crate) security: Option<Security>,
}

/// All settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// At least one; the messages go to each in turn.
    pub(crate) targets: Vec<Target>,
    /// The addresses of all targets.
    pub(crate) addresses: Vec<Endpoint>,
    /// Local addresses to connect from, in rotation; if empty, the system chooses. For every address of the target
    /// there is one of its family.
    pub(crate) sources: Vec<SocketAddr>,
    /// Clients to show in PROXY headers, each session another one.
    pub(crate) clients: Option<Clients>,
    /// Of the whole run.
    pub(crate) load: Load,
    pub(crate) limit: Limit,
    /// The part of the run that this process sends.
    pub(crate) part: Part,
    /// Whether the run is one of parts, also if it is the only one.
    pub(crate) is_cut: bool,
    /// When the run starts; at once if `None`.
    pub(crate) start_at: Option<StartAt>,
    pub(crate) warmup: Duration,
    /// Connections of the whole run: what was asked for, or the default, without those that more threads and targets need.
    pub(crate) asked_connections: usize,
    /// Connections of all threads of this part; at least one for each thread and target.
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    /// Messages after which a session ends; `None` is never.
    pub(crate) messages_per_session: Option<NonZeroU64>,
    /// With 1 to [`RECIPIENTS_LIMIT`] recipients of each message.
    pub(crate) dialect: Dialect,
    pub(crate) helo: String,
    pub(crate) from: Template,
    pub(crate) to: Template,
    pub(crate) content: Content,
    pub(crate) timeouts: Timeouts,
    /// How long to wait for messages in flight after the last one was due.
    pub(crate) grace: Duration,
    /// The run is given up after this time without a success; `Duration::MAX` is never.
    pub(crate) give_up_after: Duration,
    /// A message that the generator itself delays by more than this is late.
    pub(crate) late_after: Duration,
    pub(crate) seed: u64,
    /// The run's id in its tokens.
    pub(crate) run: u32,
    /// Whether the fate of every single message is recorded (two bits each).
    pub(crate) has_ledger: bool,
}

/// The connections of a part: its share of those of the whole run, and at least one for each of its threads and targets.
pub(crate) fn connections(whole: usize, threads: usize, targets: usize, part: Part) -> usize {
    let needed = threads.saturating_mul(targets) as u64;
    let share = part.share((whole as u64).max(needed.saturating_mul(part.of())));
    usize::try_from(share).unwrap_or(usize::MAX)
}

impl Plan {
    /// Makes it the plan of another part of the run.
    #[cfg(feature = "fleet")]
    pub(crate) fn become_part(&mut self, part: Part) {
        self.part = part;
        self.connections = connections(self.asked_connections, self.threads, self.targets.len(), part);
    }

    /// The messages of this part, in a run with a count.
    pub(crate) fn count(&self) -> Option<u64> {
        self.limit.count.map(|count| self.part.share(count))
    }

    /// The names of the targets, for reports.
    pub(crate) fn target_names(&self) -> String {
        self.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The number of connections of thread `index`.
    pub(crate) fn connections_of(&self, index: usize) -> usize {
        let even = self.connections / self.threads;
        even + usize::from(index < self.connections % self.threads)
    }
}

#[cfg(test)]
#[cfg(feature = "fleet")]
mod tests {
    use clap::Parser as _;

    #[test]
    fn a_plan_that_becomes_another_part_has_the_connections_of_a_plan_for_that_part() {
        let plan = |args: &str, part: &str| {
            let typed = ["smtpload", "t:1", "--seed", "3", "--part", part].into_iter().chain(args.split(' '));
            let cli = crate::program::cli::Cli::try_parse_from(typed).unwrap();
            cli.run.plan_with(|| 1, |_| Ok(vec!["127.0.0.1:1".parse().unwrap()])).unwrap()
        };
        for args in ["-c 11", "-c 11 --threads 3", "--threads 7", "--threads 7 --target u:1 --rate 9/s"] {
            for (part, text) in ["0/3", "1/3", "2/3", "0/1"].iter().map(|text| (text.parse().unwrap(), *text))
            {
                let mut other = plan(args, "2/3");
                other.become_part(part);
                assert_eq!(other.connections, plan(args, text).connections, "{args} {text}");
            }
        }
    }
}
