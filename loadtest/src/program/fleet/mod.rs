//! `smtpload serve` and `smtpload agent`: a run of several machines.

mod agent;
mod serve;

use std::fmt;
use std::time::Duration;

use clap::Parser as _;
use hyper::header::HeaderValue;
use smtpmock::units::duration;

pub(crate) use self::agent::{AgentArgs, agent};
pub(crate) use self::serve::{ServeArgs, serve};
use crate::fleet::agent::Failure;
use crate::fleet::agents as agents_text;
use crate::fleet::coordinator::Unstarted;
use crate::fleet::protocol::{Cause, NAME_LIMIT};
use crate::fleet::serve::ListenError;
use crate::fleet::sinks::SinkError;
use crate::load::part::Part;
use crate::load::plan::Plan;
use crate::load::schedule::RATE_LIMIT;
use crate::program::cli::Cli;
use crate::program::command::draw;
use crate::program::exit::Exit;
use crate::program::plan_error::PlanError;
use crate::program::stop::Stop;

/// The variable with the token.
const TOKEN_VARIABLE: &str = "SMTPLOAD_TOKEN";

/// Why there is no run of several machines; displays as the reason.
#[derive(Debug)]
pub(crate) enum FleetError {
    Listen(ListenError),
    /// A server has no report.
    Sinks(SinkError),
    Token,
    Name,
    Url(String),
    /// A flag of the run that a coordinator does not have: what to use instead.
    Flag(&'static str, &'static str),
    /// The coordination ended before the start.
    NotStarted(Unstarted, u64, Duration),
    /// The run can't be cut into parts for so many agents.
    Plan(PlanError, u64),
    /// All agents ended before their first message: those that were lost, or ended by themselves, with their reasons.
    Unstarted(Vec<String>),
    /// An agent ended without a delivered report.
    Agent(Failure, String),
}

impl FleetError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            FleetError::Listen(ListenError::NoToken(_))
            | FleetError::Token
            | FleetError::Name
            | FleetError::Url(_)
            | FleetError::Plan(..)
            | FleetError::Flag(..) => Exit::Usage,
            FleetError::Agent(Failure::Refused(refusal), _)
                if matches!(refusal.cause, Cause::Token | Cause::Version) =>
            {
                Exit::Usage
            }
            FleetError::Sinks(_)
            | FleetError::Listen(ListenError::Bind(..))
            | FleetError::NotStarted(..)
            | FleetError::Unstarted(_)
            | FleetError::Agent(..) => Exit::Failed,
        }
    }
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FleetError::Listen(error) => error.fmt(f),
            FleetError::Sinks(error) => error.fmt(f),
            FleetError::Token => write!(f, "--token, {TOKEN_VARIABLE}: expected visible characters of ASCII"),
            FleetError::Name => {
                write!(f, "--name: expected 1 to {NAME_LIMIT} octets without control characters")
            }
            FleetError::Url(error) => write!(f, "URL {error}"),
            FleetError::Flag(flag, instead) => write!(f, "{flag} is no flag of `smtpload serve`: {instead}"),
            FleetError::NotStarted(why, agents, patience) => not_started(f, why, *agents, *patience),
            FleetError::Plan(error, agents) => no_plan(f, error, *agents),
            FleetError::Unstarted(missing) => {
                write!(
                    f,
                    "the run did not start: nothing was sent; agents ended before: {}",
                    missing.join(", ")
                )
            }
            FleetError::Agent(failure, coordinator) => undelivered(f, failure, coordinator),
        }
    }
}

impl std::error::Error for FleetError {}

/// Why the coordination ended before the start.
fn not_started(f: &mut fmt::Formatter<'_>, why: &Unstarted, agents: u64, patience: Duration) -> fmt::Result {
    match why {
        Unstarted::Missing(present) => {
            let names: Vec<&str> = present.iter().map(|one| one.name.as_str()).collect();
            let lacks =
                present.iter().filter_map(|one| Some(format!("{} ({})", one.name, one.lacks.as_ref()?)));
            let lacks: Vec<String> = lacks.collect();
            let (expected, names) = (agents_text(agents), names.join(", "));
            let patience = duration(patience);
            match present.len() as u64 {
                0 if agents == 1 => write!(f, "no agent came within {patience}"),
                0 => write!(f, "none of the {expected} came within {patience}"),
                all if all == agents && lacks.is_empty() => {
                    write!(f, "not ready at the same time within {patience}: {names}")
                }
                all if all == agents => write!(f, "not ready within {patience}: {}", lacks.join(", ")),
                some => write!(f, "only {some} of {expected} came within {patience}: {names}"),
            }?;
            f.write_str("; --agents-timeout sets the time")
        }
        Unstarted::Unable(name, why) => {
            write!(f, "the run did not start: agent {name} can't run: {why}")
        }
        Unstarted::Lost(name, why) => {
            write!(f, "the run did not start: agent {name} was lost before it: {why}")
        }
        Unstarted::Interrupted(signal) => {
            write!(f, "the run did not start: it was ended by {signal}; nothing was sent")
        }
    }
}

/// Why a run with these flags can't be cut into parts for so many agents.
fn no_plan(f: &mut fmt::Formatter<'_>, error: &PlanError, agents: u64) -> fmt::Result {
    match error {
        PlanError::IdleParts { flag, count, .. } => write!(
            f,
            "{flag} {count} with --agents {agents}: it is divided over all agents, and one would have none; give at \
             least {agents}"
        ),
        PlanError::FewArrivals(_) => write!(
            f,
            "--agents {agents}: fewer than {agents} messages are due in the whole run, and an agent would have \
             none; use fewer agents, or a higher rate or a longer --duration"
        ),
        PlanError::IdleThreads { threads, connections } => write!(
            f,
            "--threads {threads} with --agents {agents}: {connections} of the --connections would be those of one \
             agent, and a thread of it would have none; give more connections, or at most {connections} threads"
        ),
        PlanError::Rate(highest) => write!(
            f,
            "--rate, --ramp, --steps: {highest}/s for each agent is too much: at most {RATE_LIMIT}/s; use more \
             --agents"
        ),
        error => write!(f, "{error}"),
    }
}

/// How an agent ended without a delivered report.
fn undelivered(f: &mut fmt::Formatter<'_>, failure: &Failure, coordinator: &str) -> fmt::Result {
    match failure {
        Failure::Stopped(why) => write!(f, "the coordinator has stopped this agent: {why}"),
        Failure::Broken(why) => write!(f, "the run of this agent failed: {why}"),
        Failure::Interrupted(signal) => {
            write!(f, "this agent received {signal} before its run began; nothing was sent")
        }
        Failure::Unable(why) => write!(f, "this agent can't run: {why}"),
        Failure::Refused(refusal) => {
            write!(f, "the coordinator at {coordinator} refuses this agent: {refusal}")
        }
        Failure::Unreached => {
            write!(f, "there is no coordinator at {coordinator}; --coordinator-timeout sets how long to try")
        }
        Failure::Orphaned => {
            write!(
                f,
                "the coordinator at {coordinator} went away before the run began; nothing was sent; \
                 --coordinator-timeout sets how long to try"
            )
        }
        Failure::Undelivered(None) => {
            write!(
                f,
                "the coordinator at {coordinator} went away before it had confirmed that a report with this part is \
                 written"
            )
        }
        Failure::Left(signal) => write!(
            f,
            "this agent received {signal} before the coordinator at {coordinator} had confirmed that a report with this \
             part is written"
        ),
        Failure::Undelivered(Some(refusal)) => {
            write!(f, "the coordinator at {coordinator} refuses the report of this part: {refusal}")
        }
        Failure::Dropped(why) => {
            write!(f, "the coordinator at {coordinator} has no report with this part: {why}")
        }
    }
}

/// The token of the flag, or of the variable.
fn token(flag: Option<&String>, variable: &str) -> Result<Option<String>, FleetError> {
    let token = flag.cloned().or_else(|| std::env::var(variable).ok()).filter(|token| !token.is_empty());
    match token {
        Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err(FleetError::Token),
        token => Ok(token),
    }
}

/// The value of `Authorization`.
fn bearer(token: &str) -> Result<HeaderValue, FleetError> {
    HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| FleetError::Token)
}

/// The plan of one part of the run with these flags.
fn plan_of(flags: &[String], part: u64, parts: u64, run: u32) -> Result<Plan, PlanOfError> {
    let typed = std::iter::once("smtpload").chain(flags.iter().map(String::as_str));
    let mut cli = Cli::try_parse_from(typed).map_err(|error| PlanOfError::Flags(error.to_string()))?;
    cli.run.part = Some(Part::new(part, parts).map_err(|error| PlanOfError::Flags(error.to_string()))?);
    cli.run.run_id = Some(run);
    cli.run.plan(draw).map_err(PlanOfError::Plan)
}

/// Why a part has no plan.
enum PlanOfError {
    Flags(String),
    Plan(PlanError),
}

impl fmt::Display for PlanOfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanOfError::Flags(error) => f.write_str(error.trim_end()),
            PlanOfError::Plan(error) => error.fmt(f),
        }
    }
}

impl From<PlanOfError> for Stop {
    fn from(error: PlanOfError) -> Stop {
        match error {
            PlanOfError::Plan(error) => Stop::Plan(error),
            PlanOfError::Flags(error) => Stop::Run(std::io::Error::other(error)),
        }
    }
}
