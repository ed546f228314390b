//! `smtpload serve` and `smtpload agent`: a run of several machines.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser as _};
use hyper::header::HeaderValue;
use smtpmock::escape::escape;
use smtpmock::output::{PATIENCE, Streams, Writer};
use smtpmock::units::duration;

use crate::fleet::agent::Outcome;
use crate::fleet::coordinator::{Coordinator, Ending, Event, Settings};
use crate::fleet::protocol::{AGENTS_LIMIT, Cause, NAME_LIMIT, Order};
use crate::fleet::serve::{Gathered, Place, PlaceError, serve as coordinate};
use crate::fleet::sinks::{self, SinkError};
use crate::fleet::work::{self, Note, work};
use crate::fleet::{parse_url, report_of};
use crate::load::part::Part;
use crate::load::plan::Plan;
use crate::load::start::StartAt;
use crate::program::cli::{Cli, OutputArgs, RunArgs};
use crate::program::command::{baseline_file, baseline_of, conclude, draw, make_room};
use crate::program::exit::Exit;
use crate::program::interrupt;
use crate::program::outputs::Outputs;
use crate::program::plan_error::PlanError;
use crate::program::stop::Stop;
use crate::program::values;
use crate::report::json;
use crate::run::digest::digest;
use crate::run::live::Live;

/// The variable with the token.
const TOKEN_VARIABLE: &str = "SMTPLOAD_TOKEN";

/// The variable with the token of the servers' reports.
const SINK_TOKEN_VARIABLE: &str = "SMTPLOAD_SINK_TOKEN";

/// The flags of the coordinator.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Listen for agents there; without an address on this machine only, 127.0.0.1
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = listen)]
    listen: SocketAddr,
    /// The number of agents, and of the parts of the run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=AGENTS_LIMIT))]
    agents: u64,
    /// Wait this long for all agents
    #[arg(long, value_name = "TIME", value_parser = values::positive_duration, default_value = "5m")]
    agents_timeout: Duration,
    /// What the other agents do when one is lost, or ends its part early by itself
    #[arg(long, value_name = "WHAT", value_enum, default_value = "continue")]
    on_lost: OnLost,
    /// Agents must have this token, or that of the variable SMTPLOAD_TOKEN. Needed unless only this machine can connect.
    /// Other users of this machine can read it among the arguments
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Compare what the agents have delivered with the reports of `smtpmock --http` at these URLs, http://HOST:PORT or
    /// with a path; repeatable. A name with several addresses is several servers
    #[arg(long, value_name = "URL")]
    sink_report: Vec<String>,
    /// The token of these servers, `smtpmock --http-token`, or the variable SMTPLOAD_SINK_TOKEN
    #[arg(long, value_name = "TOKEN", requires = "sink_report")]
    sink_token: Option<String>,
    /// The flags of the run as they were given.
    #[arg(skip)]
    pub(crate) flags: Vec<String>,
}

/// The flags of an agent.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// The coordinator: http://HOST:PORT
    #[arg(value_name = "URL")]
    url: String,
    /// The name in the report (default: that of the machine)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The token of the coordinator, or that of the variable SMTPLOAD_TOKEN
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Try to reach the coordinator, and to get a place in its run, for this long
    #[arg(long, value_name = "TIME", value_parser = values::positive_duration, default_value = "5m")]
    coordinator_timeout: Duration,
    /// Write the report of this agent's part there, always; without this flag it is written only if the coordinator does
    /// not have it, to smtpload-RUN-PART.json
    #[arg(long = "report-json", visible_alias = "json", value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnLost {
    /// Go on with their parts
    Continue,
    /// Stop
    Stop,
}

/// `7000`, `192.0.2.1:7000`, `[::]:7000`.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse::<u16>().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    port.or_else(|_| text.parse()).map_err(|_| {
        "expected a port, like 7000, or an address and a port, like 0.0.0.0:7000 or [::]:7000".to_owned()
    })
}

/// Why there is no run of several machines; displays as the reason.
#[derive(Debug)]
pub(crate) enum FleetError {
    Place(PlaceError),
    /// A server has no report.
    Sinks(SinkError),
    Token,
    Name,
    Url(String),
    /// A flag of the run that a coordinator does not have: what to use instead.
    Flag(&'static str, &'static str),
    /// The coordination ended before the start.
    NotStarted(Ending, u64, Duration),
    /// An agent ended without a delivered report.
    Agent(Outcome, String),
}

impl FleetError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            FleetError::Place(PlaceError::NoToken(_))
            | FleetError::Token
            | FleetError::Name
            | FleetError::Url(_)
            | FleetError::Flag(..) => Exit::Usage,
            FleetError::Agent(Outcome::Refused(refusal), _)
                if matches!(refusal.cause, Cause::Token | Cause::Version) =>
            {
                Exit::Usage
            }
            FleetError::Sinks(_)
            | FleetError::Place(PlaceError::Listen(..))
            | FleetError::NotStarted(..)
            | FleetError::Agent(..) => Exit::Failed,
        }
    }
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FleetError::Place(error) => error.fmt(f),
            FleetError::Sinks(error) => error.fmt(f),
            FleetError::Token => write!(f, "--token, {TOKEN_VARIABLE}: expected visible characters of ASCII"),
            FleetError::Name => {
                write!(f, "--name: expected 1 to {NAME_LIMIT} octets without control characters")
            }
            FleetError::Url(error) => write!(f, "URL {error}"),
            FleetError::Flag(flag, instead) => write!(f, "{flag} is no flag of `smtpload serve`: {instead}"),
            FleetError::NotStarted(ending, agents, patience) => match ending {
                Ending::Missing(names) if names.is_empty() => {
                    write!(f, "none of the {agents} agents came within {}", duration(*patience))
                }
                Ending::Missing(names) => write!(
                    f,
                    "only {} of {agents} agents were ready within {}: {}; --agents-timeout sets the time",
                    names.len(),
                    duration(*patience),
                    names.join(", ")
                ),
                Ending::Unable(name, why) => {
                    write!(f, "the run did not start: agent {name} can't run: {why}")
                }
                Ending::Lost(name, why) => {
                    write!(f, "the run did not start: agent {name} was lost before it: {why}")
                }
                Ending::Interrupted | Ending::Complete => {
                    f.write_str("the run did not start: it was ended by a signal")
                }
            },
            FleetError::Agent(outcome, coordinator) => match outcome {
                Outcome::Delivered => f.write_str("the report was delivered"),
                Outcome::Stopped(why) => write!(f, "the coordinator has stopped this agent: {why}"),
                Outcome::Interrupted(signal) => {
                    write!(f, "this agent received {signal} before its run began; nothing was sent")
                }
                Outcome::Unable(why) => write!(f, "this agent can't run: {why}"),
                Outcome::Refused(refusal) => {
                    write!(f, "the coordinator at {coordinator} refuses this agent: {refusal}")
                }
                Outcome::Unreached => {
                    write!(
                        f,
                        "there is no coordinator at {coordinator}; --coordinator-timeout sets how long to try"
                    )
                }
                Outcome::Orphaned => {
                    write!(
                        f,
                        "the coordinator at {coordinator} went away before the run began; nothing was sent"
                    )
                }
                Outcome::Undelivered => {
                    write!(
                        f,
                        "the coordinator at {coordinator} went away and does not have the report of this part"
                    )
                }
            },
        }
    }
}

impl std::error::Error for FleetError {}

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

/// Coordinates a run. All errors of flags and files are found before agents are waited for.
pub(crate) fn serve(
    args: &ServeArgs,
    run: &RunArgs,
    output: &OutputArgs,
    streams: &Streams,
) -> Result<Exit, Stop> {
    for (is_given, flag, instead) in [
        (run.part.is_some(), "--part", "the coordinator gives each agent its part"),
        (run.start_at.is_some(), "--start-at", "the run starts when all agents are there"),
        (
            !run.verify.is_empty(),
            "--verify",
            "captures are compared by hand-started parts, `smtpload --part K/N`",
        ),
    ] {
        if is_given {
            return Err(Stop::Fleet(FleetError::Flag(flag, instead)));
        }
    }
    let before = baseline_of(output)?;
    let id = (draw() >> 32) as u32;
    let mut flags = args.flags.clone();
    if !run.has_seed() {
        flags.insert(0, format!("--seed={}", run.seed_or(draw)));
    }
    // Source addresses are those of the agents' machines.
    let mine: Vec<String> = flags.iter().filter(|flag| !flag.starts_with("--bind=")).cloned().collect();
    let mut whole = plan_of(&mine, 0, args.agents, id)?;
    whole.part = Part::WHOLE;
    let agents_token = token(args.token.as_ref(), TOKEN_VARIABLE)?;
    let place = Place::listen(args.listen, agents_token).map_err(FleetError::Place)?;
    let interrupt = interrupt::listen().map_err(Stop::Signals)?;
    let sink_token = token(args.sink_token.as_ref(), SINK_TOKEN_VARIABLE)?;
    let sink_token = sink_token.map(|token| bearer(&token)).transpose()?;
    let sinks = sinks::before(&args.sink_report, sink_token).map_err(FleetError::Sinks)?;
    let inputs = run.files().chain(baseline_file(output));
    let outputs = Outputs::open(output, inputs, streams, &interrupt)?;
    let mut view =
        View { live: Live::new(&whole, output.quiet, &streams.err), to: &streams.err, args, output };
    view.say(&format!("waits for {} agents at http://{}", args.agents, place.address()));
    let settings = Settings {
        agents: args.agents,
        patience: args.agents_timeout,
        stops_on_loss: args.on_lost == OnLost::Stop,
        flags,
        run: id,
        digest: digest(&whole),
        warmup: whole.warmup,
    };
    let gathered = coordinate(place, settings, || interrupt.signal(), |event, state| view.show(event, state));
    view.live.end();
    let Gathered { ending, start, members } = gathered.map_err(Stop::Run)?;
    let Some(start) = start else {
        return Err(Stop::Fleet(FleetError::NotStarted(ending, args.agents, args.agents_timeout)));
    };
    let mut report =
        report_of(members, start, |part| plan_of(&mine, part, args.agents, id).map_err(Stop::from))?;
    if let Some(delivered) = report.delivered.filter(|_| !args.sink_report.is_empty()) {
        match sinks.compare(delivered) {
            Ok(found) => report.sinks = Some(found),
            // The report is worth more than its comparison.
            Err(error) => {
                let exit = conclude(report, before.as_ref(), output, &outputs, streams, PATIENCE);
                streams.err.put(format!("smtpload: {}\n", escape(&error.to_string())));
                return Ok(exit.with_loss());
            }
        }
    }
    Ok(conclude(report, before.as_ref(), output, &outputs, streams, PATIENCE))
}

/// The view of a coordinated run.
struct View<'a> {
    live: Live,
    to: &'a Writer,
    args: &'a ServeArgs,
    output: &'a OutputArgs,
}

impl View<'_> {
    fn say(&self, line: &str) {
        if !self.output.quiet {
            self.live.end();
            self.to.put(format!("{}\n", escape(line)));
        }
    }

    fn show(&mut self, event: Event, state: &Coordinator) {
        match event {
            Event::Joined(name, present) => {
                self.say(&format!("agent {name} is there, {present} of {}", self.args.agents));
            }
            Event::Dropped(name) => self.say(&format!("agent {name} is gone; another may take its place")),
            Event::Left(name, why) => self.say(&format!("agent {name} has signed off: {why}")),
            Event::Starts(at) => {
                let clocks = state.members().iter().filter_map(|member| {
                    let clock = member.clock?;
                    let (offset, error) = (clock.offset_ns as f64 / 1e6, clock.uncertainty_ns as f64 / 1e6);
                    Some(format!("{} {offset:+.3} ms (± {error:.3} ms)", member.name))
                });
                let clocks: Vec<String> = clocks.collect();
                self.say(&format!("starts at {}; clocks: {}", StartAt::from(at), clocks.join(", ")));
            }
            Event::Late(name) => self.say(&format!("agent {name} is late: nothing from it for some seconds")),
            Event::Lost(name) => self.say(&format!("agent {name} is lost")),
            Event::Back(name) => self.say(&format!("agent {name} is back")),
            Event::Stopped(name, why) => self.say(&format!("agent {name} has stopped early: {why}")),
            Event::Second(interval) => {
                let members = state.members();
                let working = members.iter().filter(|member| member.is_working()).count();
                self.live.show_with(&interval, &format!("  {working} of {} agents", members.len()));
            }
        }
    }
}

/// Works for a coordinator.
pub(crate) fn agent(args: &AgentArgs, streams: &Streams) -> Result<Exit, Stop> {
    let (coordinator, path) = parse_url(&args.url).map_err(FleetError::Url)?;
    if !matches!(path.as_str(), "" | "/") {
        let error = format!("`{}`: expected http://HOST:PORT without a path", args.url);
        return Err(Stop::Fleet(FleetError::Url(error)));
    }
    let token = token(args.token.as_ref(), TOKEN_VARIABLE)?;
    let name = args.name.clone().unwrap_or_else(host_name);
    if name.is_empty() || name.len() > NAME_LIMIT || name.chars().any(char::is_control) {
        return Err(Stop::Fleet(FleetError::Name));
    }
    let settings = work::Settings {
        coordinator: coordinator.clone(),
        token: token.map(|token| bearer(&token)).transpose()?,
        name,
        nonce: draw(),
        patience: args.coordinator_timeout,
    };
    let interrupt = interrupt::listen().map_err(Stop::Signals)?;
    let arm = |order: &Order| {
        let plan =
            plan_of(&order.flags, order.part, order.parts, order.run).map_err(|error| error.to_string())?;
        make_room(&plan).map_err(|error| error.to_string())?;
        Ok(plan)
    };
    let mut said = None;
    let note = |note: Note| {
        if args.quiet || said.as_ref() == Some(&note) {
            return;
        }
        let line = match &note {
            Note::Unreachable(why) => {
                format!("no reply from the coordinator at {coordinator}: {why}; trying again")
            }
            Note::Full(why) => format!("waits for a place in the run: {why}"),
            Note::Joined(name) => format!("agent {name} of the coordinator at {coordinator}"),
            Note::Armed(order) => {
                format!(
                    "part {}/{} of run {:08x}: {}",
                    order.part,
                    order.parts,
                    order.run,
                    without_secrets(&order.flags)
                )
            }
            Note::Stops(why) => format!("starts no more messages: {why}"),
        };
        streams.err.put(format!("{}\n", escape(&line)));
        said = Some(note);
    };
    let done = work(settings, || interrupt.signal(), arm, note).map_err(Stop::Run)?;
    let has_delivered = done.outcome == Outcome::Delivered;
    if let Some(report) = done.report.filter(|_| !has_delivered || args.json.is_some()) {
        let (run, part) = done.order.map_or((0, 0), |order| (order.run, order.part));
        let path = args.json.clone().unwrap_or_else(|| format!("smtpload-{run:08x}-{part}.json").into());
        let text = json::render(&report).map_err(std::io::Error::other);
        let written = text.and_then(|text| std::fs::write(&path, text));
        let shown = path.display();
        written.map_err(|error| {
            Stop::Run(std::io::Error::new(error.kind(), format!("writing the report to {shown}: {error}")))
        })?;
        if !has_delivered {
            let line = format!(
                "smtpload: the report of this part is in {shown}: `smtpload merge` adds it to the others"
            );
            streams.err.put(format!("{}\n", escape(&line)));
        }
    }
    match done.outcome {
        Outcome::Delivered => Ok(Exit::Fine),
        outcome => Err(Stop::Fleet(FleetError::Agent(outcome, coordinator))),
    }
}

/// Flags as logs may show them.
fn without_secrets(flags: &[String]) -> String {
    let shown = flags.iter().map(|flag| match flag.split_once('=') {
        Some((name @ "--auth", _)) => format!("{name}=<redacted>"),
        _ => flag.clone(),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The name of this machine.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "agent".to_owned() } else { name }
}
