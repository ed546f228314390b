//! Why there is no plan for the flags of a run.

use std::net::IpAddr;
use std::{fmt, io};

use crate::client::sasl::LoginError;
use crate::load::part::Part;
use crate::load::payload::{BODY_MAX, BODY_MIN};
use crate::load::plan::{CONNECTIONS_LIMIT, TARGETS_LIMIT, THREADS_LIMIT};
use crate::load::schedule::RATE_LIMIT;
use crate::load::target::TargetError;
use crate::program::tls::TlsError;

/// Why flags that are valid one by one make no plan; displays as the flag and the
/// remedy.
#[derive(Debug)]
pub(crate) enum PlanError {
    NoTarget,
    Target(TargetError),
    /// The value is not shown: it may have a password.
    Login(LoginError),
    Tls(TlsError),
    /// The warm-up is as long as the run.
    AllWarmup,
    Threads(usize),
    Connections(usize),
    /// A part without a seed, which all parts share.
    Seedless(Part),
    /// Fewer connections or messages than parts.
    IdleParts {
        flag: &'static str,
        count: u64,
        part: Part,
    },
    /// Fewer arrivals than parts.
    FewArrivals(Part),
    /// More than a part can send.
    Rate(f64),
    /// More threads than connections.
    IdleThreads {
        threads: usize,
        connections: usize,
    },
    Targets(usize),
    TargetTwice(String),
    /// One is encrypted from the start, and another is not.
    Mixed(String, String),
    /// More targets than connections of a thread.
    IdleTargets {
        targets: usize,
        threads: usize,
        connections: usize,
    },
    /// Not an address of this machine.
    Source {
        ip: IpAddr,
        error: io::Error,
    },
    Size,
    Message {
        name: String,
        error: io::Error,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::NoTarget => f.write_str("the target HOST:PORT is missing"),
            PlanError::Target(error) => error.fmt(f),
            PlanError::Login(error) => write!(f, "--auth: {error}"),
            PlanError::Tls(error) => error.fmt(f),
            PlanError::AllWarmup => f.write_str(
                "--warmup is as long as the run: nothing would be measured; make it shorter or --duration longer",
            ),
            PlanError::Threads(threads) => write!(f, "--threads {threads}: must be 1 to {THREADS_LIMIT}"),
            PlanError::Connections(connections) => {
                write!(f, "--connections {connections}: must be 1 to {CONNECTIONS_LIMIT}")
            }
            PlanError::Seedless(part) => {
                write!(f, "--part {part}: --seed is missing; give all parts of a run the same one")
            }
            PlanError::IdleParts { flag, count, part } => write!(
                f,
                "{flag} {count} with --part {part}: it is divided over all parts, and one would have none; give at \
                 least {}",
                part.of()
            ),
            PlanError::FewArrivals(part) => write!(
                f,
                "--part {part}: fewer than {} messages are due in the whole run, and a part would have none; use fewer \
                 parts, or a higher rate or a longer --duration",
                part.of()
            ),
            PlanError::Rate(highest) => write!(
                f,
                "--rate, --ramp, --steps: {highest}/s for each part is too much: at most {RATE_LIMIT}/s; use more parts"
            ),
            PlanError::IdleThreads { threads, connections } => write!(
                f,
                "--threads {threads} with --connections {connections}: a thread would have no connection; \
                 give at most {connections} threads"
            ),
            PlanError::Targets(count) => {
                write!(f, "{count} targets: a run has at most {TARGETS_LIMIT}")
            }
            PlanError::TargetTwice(target) => {
                write!(f, "--target {target}: this target is given twice; the messages go to each target in turn")
            }
            PlanError::Mixed(one, other) => write!(
                f,
                "`{one}` and `{other}`: with smtps:// a target is encrypted from the start, and all targets are of one kind"
            ),
            PlanError::IdleTargets { targets, threads, connections } => write!(
                f,
                "--connections: {connections} for this part, and {targets} targets with {threads} threads: each thread \
                 has connections of its own with each target; at least {} are needed",
                targets * threads
            ),
            PlanError::Source { ip, error } => {
                write!(f, "--bind {ip}: {error}; give an address of this machine")
            }
            PlanError::Size => write!(f, "--size: must be {BODY_MIN} bytes to {} MiB", BODY_MAX >> 20),
            PlanError::Message { name, error } => write!(f, "--message {name}: {error}"),
        }
    }
}

impl std::error::Error for PlanError {}

impl From<TlsError> for PlanError {
    fn from(error: TlsError) -> PlanError {
        PlanError::Tls(error)
    }
}

impl From<TargetError> for PlanError {
    fn from(error: TargetError) -> PlanError {
        PlanError::Target(error)
    }
}
