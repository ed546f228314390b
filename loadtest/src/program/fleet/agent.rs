//! `smtpload agent`: sends a part of a run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use smtpmock::escape::escape;
use smtpmock::output::Streams;

use super::{FleetError, TOKEN_VARIABLE, bearer, plan_of, token};
use crate::fleet::agent::Outcome;
use crate::fleet::parse_url;
use crate::fleet::protocol::{NAME_LIMIT, Order};
use crate::fleet::work::{self, Note, work};
use crate::program::command::{draw, make_room};
use crate::program::exit::Exit;
use crate::program::stop::Stop;
use crate::program::{interrupt, values};
use crate::report::json;

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

/// Works for a coordinator.
pub(crate) fn agent(args: &AgentArgs, streams: &Streams) -> Result<Exit, Stop> {
    let (coordinator, path) = parse_url(&args.url).map_err(FleetError::Url)?;
    if path != "/" {
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
            Note::HandedIn => {
                "the coordinator has the report of this part; waiting until it has written its own".to_owned()
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
