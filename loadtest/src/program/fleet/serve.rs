//! `smtpload serve`: coordinates a run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use hyper::header::HeaderValue;
use smtpmock::escape::escape;
use smtpmock::output::{PATIENCE, Streams, Writer};

use super::{FleetError, PlanOfError, TOKEN_VARIABLE, bearer, plan_of, token};
use crate::fleet::agents as agents_text;
use crate::fleet::coordinator::{Coordinator, Event, Settings, Unstarted};
use crate::fleet::protocol::AGENTS_LIMIT;
use crate::fleet::serve::{Bound, Gathered, serve as coordinate};
use crate::fleet::sinks::{self, Before, SinkError, Wanted};
use crate::fleet::{parse_url, report_of};
use crate::load::part::Part;
use crate::load::plan::Plan;
use crate::load::start::StartAt;
use crate::program::cli::{OutputArgs, RunArgs};
use crate::program::command::{Conclusion, baseline_file, baseline_of, conclude, draw};
use crate::program::exit::Exit;
use crate::program::interrupt::Interrupt;
use crate::program::outputs::Outputs;
use crate::program::stop::Stop;
use crate::program::{interrupt, values};
use crate::report::Report;
use crate::report::agents::{self, AgentRow};
use crate::run::digest::digest;
use crate::run::live::Live;

/// The variable with the token of the servers' reports.
const SINK_TOKEN_VARIABLE: &str = "SMTPLOAD_SINK_TOKEN";

/// The flags of the coordinator.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Listen for agents at this address; a port alone listens on 127.0.0.1 only
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = listen)]
    listen: SocketAddr,
    /// The number of agents, and of the parts of the run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=AGENTS_LIMIT))]
    agents: u64,
    /// Wait this long for the reports of --sink-report, and then for all agents
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
    #[arg(long, value_name = "URL", value_parser = url)]
    sink_report: Vec<String>,
    /// Wait until the names of --sink-report have so many addresses together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "sink_report")]
    sinks: Option<u64>,
    /// The token of these servers, `smtpmock --http-token`, or the variable SMTPLOAD_SINK_TOKEN
    #[arg(long, value_name = "TOKEN", requires = "sink_report")]
    sink_token: Option<String>,
    /// The flags of the run as they were given.
    #[arg(skip)]
    pub(crate) flags: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnLost {
    /// Go on with their parts
    Continue,
    /// Stop
    Stop,
}

/// A URL as it was typed.
fn url(text: &str) -> Result<String, String> {
    parse_url(text).map(|_| text.to_owned())
}

/// `7000`, `192.0.2.1:7000`, `[::]:7000`.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse::<u16>().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    port.or_else(|_| text.parse()).map_err(|_| {
        "expected a port, like 7000, or an address and a port, like 0.0.0.0:7000 or [::]:7000".to_owned()
    })
}

/// Coordinates a run. All errors of flags and files are found before agents are waited for.
pub(crate) fn serve(
    args: &ServeArgs,
    run: &RunArgs,
    output: &OutputArgs,
    streams: &Streams,
) -> Result<Exit, Stop> {
    check_flags(run)?;
    let before = baseline_of(output)?;
    let id = (draw() >> 32) as u32;
    let mut flags = args.flags.clone();
    if !run.has_seed() {
        flags.insert(0, format!("--seed={}", run.seed_or(draw)));
    }
    // Source addresses are those of the agents' machines.
    let mine: Vec<String> = flags.iter().filter(|flag| !flag.starts_with("--bind=")).cloned().collect();
    // The last part has the fewest connections: what it can send, all can.
    let plan = plan_of(&mine, args.agents - 1, args.agents, id).map_err(|error| match error {
        PlanOfError::Plan(error) => FleetError::Plan(error, args.agents).into(),
        error => Stop::from(error),
    })?;
    let mut whole = plan.clone();
    whole.become_part(Part::WHOLE);
    let agents_token = token(args.token.as_ref(), TOKEN_VARIABLE)?;
    let bound = Bound::listen(args.listen, agents_token).map_err(FleetError::Listen)?;
    let interrupt = interrupt::listen().map_err(Stop::Signals)?;
    let sink_token = token(args.sink_token.as_ref(), SINK_TOKEN_VARIABLE)?;
    let sink_token = sink_token.map(|token| bearer(&token)).transpose()?;
    let inputs = run.files().chain(baseline_file(output));
    let outputs = Outputs::open(output, inputs, streams, &interrupt)?;
    let view = View { live: Live::new(&whole, output.quiet, &streams.err), to: &streams.err, args, output };
    let sinks = servers_before(args, sink_token, &interrupt, &view)?;
    view.say(&format!("waits for {} at http://{}", agents_text(args.agents), bound.address()));
    let settings = Settings {
        agents: args.agents,
        patience: args.agents_timeout,
        stops_on_loss: args.on_lost == OnLost::Stop,
        flags,
        run: id,
        digest: digest(&whole),
        warmup: whole.warmup,
    };
    let reporting = Reporting { args, plan, before, output, outputs, sinks, streams };
    let view = RefCell::new(view);
    let show = |event, state: &Coordinator| {
        if matches!(event, Event::Second(_)) {
            reporting.outputs.begin();
        }
        view.borrow_mut().show(event, state);
    };
    let conclude = |gathered| {
        view.borrow_mut().live.end();
        let concluded = reporting.conclude(gathered);
        let written = match &concluded {
            Ok((Conclusion { is_written: true, .. }, without)) => Ok(without.clone()),
            Ok(_) => Err("the coordinator could not write its report".to_owned()),
            Err(stop) => Err(stop.to_string()),
        };
        (concluded, written)
    };
    let concluded = coordinate(bound, settings, || interrupt.signal(), show, conclude).map_err(Stop::Run)?;
    concluded.map(|(concluded, _)| concluded.exit)
}

/// The servers before the run, once all of them have reports.
fn servers_before(
    args: &ServeArgs,
    token: Option<HeaderValue>,
    interrupt: &Interrupt,
    view: &View<'_>,
) -> Result<Before, FleetError> {
    let is_ended = || interrupt.signal().is_some();
    let waits = |why: &SinkError| view.say(&format!("waits for the servers: {why}"));
    let wanted = Wanted { urls: &args.sink_report, least: args.sinks.unwrap_or(0), token };
    let found = sinks::before(&wanted, args.agents_timeout, is_ended, waits);
    let ended = || {
        let signal = interrupt.signal().unwrap_or("a signal").to_owned();
        FleetError::NotStarted(Unstarted::Interrupted(signal), args.agents, args.agents_timeout)
    };
    found.map_err(FleetError::Sinks)?.ok_or_else(ended)
}

/// Flags of a run that a coordinator does not have.
fn check_flags(run: &RunArgs) -> Result<(), FleetError> {
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
            return Err(FleetError::Flag(flag, instead));
        }
    }
    Ok(())
}

/// Whether all agents ended before their parts began: nothing was sent. A part that has begun is one, whatever was due.
fn is_unstarted(report: &Report) -> bool {
    let is_nothing_sent = report.delivered.is_some_and(|delivered| delivered.at_most == Some(0));
    is_nothing_sent && !report.agents.iter().any(AgentRow::has_begun)
}

/// What the report of a run needs.
struct Reporting<'a> {
    args: &'a ServeArgs,
    /// That of any part.
    plan: Plan,
    before: Option<Report>,
    output: &'a OutputArgs,
    outputs: Outputs,
    sinks: Before,
    streams: &'a Streams,
}

impl Reporting<'_> {
    /// Reports what was gathered. Returns the parts whose reports are missing in it as well, with the reasons.
    fn conclude(&self, gathered: Gathered) -> Result<(Conclusion, BTreeMap<u64, String>), Stop> {
        let Reporting { args, plan, before, output, outputs, sinks, streams } = self;
        let unstarted = |why| FleetError::NotStarted(why, args.agents, args.agents_timeout);
        let (start, signal, members) = match gathered {
            Gathered::Run { start, signal, members } => (start, signal, members),
            Gathered::NotStarted(why) => return Err(unstarted(why).into()),
        };
        let mut report = report_of(members, start, plan.clone())?;
        // Outputs are empty once seconds of it were shown.
        if is_unstarted(&report) && !outputs.has_begun() {
            if let Some(signal) = signal {
                return Err(unstarted(Unstarted::Interrupted(signal)).into());
            }
            let missing = [agents::lost(&report), agents::stopped_early(&report)].concat();
            return Err(FleetError::Unstarted(missing).into());
        }
        let lost = report.agents.iter().filter_map(|row| Some((row.part, row.lost.as_ref()?.why.clone())));
        let without = lost.collect();
        report.sinks = sinks.compare(&report);
        Ok((conclude(report, before.as_ref(), output, outputs, streams, PATIENCE), without))
    }
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
            Event::Signalled(signal) => self.say(&format!(
                "received {signal}: stops the agents, and waits for their messages in flight and reports; a second signal ends \
                 this program without a report"
            )),
            Event::Late(name) => self.say(&format!("agent {name} is late: nothing from it for some seconds")),
            Event::Lost(name) => self.say(&format!("agent {name} is lost")),
            Event::Back(name) => self.say(&format!("agent {name} is back")),
            Event::Stopped(name, why) => self.say(&format!("agent {name} has stopped early: {why}")),
            Event::Second(interval) => {
                let members = state.members();
                let working = members.iter().filter(|member| member.is_working()).count();
                self.live
                    .show_with(&interval, &format!("  {working} of {}", agents_text(members.len() as u64)));
            }
        }
    }
}
