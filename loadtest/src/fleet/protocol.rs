//! What coordinators and agents write to each other, as JSON. Pure.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use smtpmock::report::encoding::{DecodeError, decode, encode};

use crate::account::accounting::Accounting;
use crate::fleet::offset::Offset;
use crate::measure::interval::Interval;
use crate::measure::metrics::histogram;
use crate::report::Report;
use crate::report::plans::Digest;
use crate::report::stopped::Stopped;
use crate::time::clock::nanos;

/// The version of the protocol; raised by each change of it.
pub(crate) const PROTOCOL: u32 = 3;

/// The version of the program. Parts of one run are made by one version: another may draw other arrivals.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The most agents of a run.
pub(crate) const AGENTS_LIMIT: u64 = 1000;

/// Octets of a body: that of a report, as in files.
pub(crate) const BODY_LIMIT: usize = 64 << 20;

/// Octets of the body of an [`Update`] without the report of a part, or with a usual one: seconds have less.
pub(crate) const UPDATE_LIMIT: usize = 2 << 20;

/// Octets of the body of a [`Hello`].
pub(crate) const HELLO_LIMIT: usize = 4 << 10;

/// The most seconds in one update.
pub(crate) const SECONDS_AT_ONCE: usize = 60;

/// Octets of histograms after which further seconds wait for the next update: so it passes a slow link in time.
pub(crate) const HISTOGRAMS_AT_ONCE: usize = 32 << 10;

/// Octets of the name of an agent.
pub(crate) const NAME_LIMIT: usize = 64;

/// Octets of the version of an agent.
pub(crate) const VERSION_LIMIT: usize = 64;

/// Octets of a reason that an agent reports.
pub(crate) const REASON_LIMIT: usize = 1024;

/// A reason as it may be sent: one line, cut off at the limit.
pub(crate) fn reason(why: &str) -> String {
    let mut line = why.replace(char::is_control, " ");
    line.truncate((0..=REASON_LIMIT).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0));
    line
}

/// The path of agents.
pub(crate) const AGENTS: &str = "/v1/agents";

/// An agent introduces itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) version: String,
    pub(crate) name: String,
    /// The same in repeated requests of one agent, and different for each agent.
    pub(crate) nonce: u64,
}

/// The reply to a [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// The id of the agent, part of the path of its further requests.
    pub(crate) agent: String,
    /// Its name, which is unique in the run.
    pub(crate) name: String,
}

/// The state of an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// It has no order.
    Waiting,
    /// It has built the plan of its order, with this digest, and waits for the start.
    Armed(Digest),
    /// It has the start.
    Started,
    /// Its run has ended: the report of its part, until the coordinator has it.
    Ended(Option<Box<Report>>),
    /// It has signed off before its run, and has sent nothing: why.
    Left(String),
    /// It can't run, and has sent nothing: why.
    Failed(String),
    /// Its run failed, and has no report: why.
    Broken(String),
}

/// What an agent reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) state: State,
    /// Why its run starts no more messages before its part is complete; in the last update only if its report agrees.
    #[serde(default)]
    pub(crate) stopped: Option<Stopped>,
    /// The offset of its clock, once it is measured.
    pub(crate) clock: Option<Offset>,
    /// Seconds of its run, in order; those that the coordinator has are ignored.
    #[serde(default)]
    pub(crate) seconds: Vec<Second>,
}

/// The reply to an [`Update`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// When the request was received and the reply made: nanoseconds since 1970 by the coordinator's clock.
    pub(crate) received_ns: u64,
    pub(crate) replied_ns: u64,
    /// The time until the next update.
    pub(crate) next_ms: u64,
    pub(crate) order: Option<Order>,
    /// The start of the run, by the coordinator's clock.
    pub(crate) start_ns: Option<u64>,
    /// How many seconds of the agent's run the coordinator has.
    pub(crate) seconds: u64,
    /// The agent must stop.
    pub(crate) stop: Option<Halt>,
    /// Whether the coordinator has the report of the agent's part.
    pub(crate) has_report: bool,
    /// What has become of that report, once it is certain.
    pub(crate) fate: Option<Fate>,
}

/// What has become of the report of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// The coordinator has written its own, which has it.
    Written,
    /// It is in no report of the coordinator: why.
    Dropped(String),
}

/// Why an agent must stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Halt {
    /// The run does not start.
    Unstarted(String),
    /// The run ends early.
    Early(Stopped),
}

/// What an agent is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The flags of the whole run.
    pub(crate) flags: Vec<String>,
    /// The part of the run, and the number of parts.
    pub(crate) part: u64,
    pub(crate) parts: u64,
    /// The id of the run, in its tokens.
    pub(crate) run: u32,
}

/// One second of an agent's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Second {
    pub(crate) index: u64,
    pub(crate) length_ns: u64,
    pub(crate) is_last: bool,
    pub(crate) started: u64,
    pub(crate) accepted: u64,
    pub(crate) errors: u64,
    pub(crate) in_flight: u64,
    pub(crate) starved: bool,
    /// All that the agent has counted by the end of this second. Messages without an end are in flight.
    pub(crate) measured: Accounting,
    pub(crate) warmup: Accounting,
    /// HdrHistogram's compressed V2 form in base64; empty without a sample.
    pub(crate) latency: String,
}

impl Second {
    /// A second of a run that has counted this by its end.
    pub(crate) fn new(of: &Interval, [measured, warmup]: [Accounting; 2]) -> Second {
        Second {
            index: of.index,
            length_ns: nanos(of.length),
            is_last: of.is_last,
            started: of.started,
            accepted: of.accepted,
            errors: of.errors,
            in_flight: of.in_flight,
            starved: of.starved,
            measured,
            warmup,
            latency: if of.latency.is_empty() { String::new() } else { encode(&of.latency) },
        }
    }

    /// As it was measured, without the accounts.
    ///
    /// # Errors
    /// The histogram is not valid.
    pub(crate) fn interval(&self) -> Result<Interval, DecodeError> {
        let latency: Histogram<u64> =
            if self.latency.is_empty() { histogram() } else { decode(&self.latency)? };
        Ok(Interval {
            index: self.index,
            length: Duration::from_nanos(self.length_ns),
            is_last: self.is_last,
            started: self.started,
            accepted: self.accepted,
            errors: self.errors,
            in_flight: self.in_flight,
            latency,
            starved: self.starved,
            ..Interval::new(self.index)
        })
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    Token,
    /// It may come from a web page.
    Source,
    Version,
    /// All agents of the run are there. A place may become free.
    Full,
    /// This coordinator has no such agent.
    Unknown,
    /// The run has begun, or has ended.
    Begun,
    /// No such path, or not a valid message.
    Request,
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) cause: Cause,
    /// For people.
    pub(crate) hint: String,
}

impl Refusal {
    pub(crate) fn new(cause: Cause, hint: impl Into<String>) -> Refusal {
        Refusal { cause, hint: hint.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hint)
    }
}
