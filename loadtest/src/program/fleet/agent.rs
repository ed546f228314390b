//! `smtpload agent`: sends a part of a run.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use smtpmock::escape::escape;
use smtpmock::output::{self, PATIENCE, Streams};
use smtpmock::units::duration;

use super::{FleetError, TOKEN_VARIABLE, bearer, plan_of, token};
use crate::fleet::agent::{Outcome, WAITS_AFTER_SIGNAL};
use crate::fleet::protocol::Order;
use crate::fleet::work::{self, Note, work};
use crate::fleet::{is_name, parse_url};
use crate::load::plan::Plan;
use crate::program::cli::OutputArgs;
use crate::program::command::{draw, make_room};
use crate::program::exit::Exit;
use crate::program::outputs::Outputs;
use crate::program::stop::Stop;
use crate::program::{interrupt, values};
use crate::report::{Report, agents, json};

/// The most reasons that are remembered as shown.
const NOTES_LIMIT: usize = 16;

/// The most files of one part in a folder.
const NUMBERED_LIMIT: u32 = 99;

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
    /// Try to reach the coordinator, and to get a place in its run, for this long; as long, but 10 s at least, if it does
    /// not reply any more before the run
    #[arg(long, value_name = "TIME", value_parser = values::positive_duration, default_value = "5m")]
    coordinator_timeout: Duration,
    /// Write the report of this agent's part there, always; - is standard output. Without this flag it is written only if
    /// the coordinator has no report with this part: to the new file smtpload-RUN-PART.json, or if that is not possible to
    /// standard output, in one line
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
    if !is_name(&name) {
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
    let outputs = Outputs::open(&OutputArgs::json_alone(args.json.clone()), [], streams, &interrupt)?;
    // The notes since the last that was not about an unreachable coordinator, of which each has one reason or more.
    let mut shown: Vec<Note> = Vec::new();
    let note = |note: Note| {
        if !args.quiet && !shown.contains(&note) {
            streams.err.put(format!("{}\n", escape(&describe(&note, &coordinator))));
            if !matches!(note, Note::Unreachable(_)) || shown.len() >= NOTES_LIMIT {
                shown.clear();
            }
            shown.push(note);
        }
    };
    let done = work(settings, || interrupt.signal(), arm, note).map_err(Stop::Run)?;
    let lost = match (&done.report, &args.json) {
        (Some(report), Some(_)) => outputs.write(report, PATIENCE),
        _ => Vec::new(),
    };
    for why in &lost {
        streams.err.put(format!("smtpload: {}\n", escape(why)));
    }
    let has_delivered = done.outcome == Outcome::Delivered;
    if let (Some(report), Some(order), false) = (&done.report, &done.order, has_delivered)
        && agents::has_begun(report)
    {
        let safe = args.json.as_ref().filter(|_| lost.is_empty()).map(|path| Ok(named(path)));
        let line = match safe.unwrap_or_else(|| save(report, order, streams)) {
            // Whether that has it may be unknown: the reply was lost, or only another output was.
            Ok(place) => format!(
                "the report of this part is {place}: `smtpload merge` adds it to the others, if it is not in the \
                 coordinator's"
            ),
            Err(why) => format!("the report of this part is lost: {why}"),
        };
        streams.err.put(format!("smtpload: {}\n", escape(&line)));
    }
    match done.outcome {
        Outcome::Delivered if lost.is_empty() => Ok(Exit::Fine),
        Outcome::Delivered => {
            // It is not lost.
            let line = format!(
                "smtpload: the report of the coordinator has this part (exit {})\n",
                Exit::Failed.code()
            );
            streams.err.put(line);
            Ok(Exit::Failed)
        }
        Outcome::Failed(why) => Err(Stop::Fleet(FleetError::Agent(why, coordinator))),
    }
}

/// The plan of an order, and room for it.
fn arm(order: &Order) -> Result<Plan, String> {
    let plan =
        plan_of(&order.flags, order.part, order.parts, order.run).map_err(|error| error.to_string())?;
    make_room(&plan).map_err(|error| error.to_string())?;
    Ok(plan)
}

/// A note for people.
fn describe(note: &Note, coordinator: &str) -> String {
    match note {
        Note::Unreachable(why) => {
            format!("can't reach the coordinator at {coordinator}: {why}; trying again")
        }
        Note::Full(why) => format!("waits for a place in the run: {why}"),
        Note::Joined(name) => format!("agent {name} of the coordinator at {coordinator}"),
        Note::Armed(order) => {
            let Order { part, parts, run, flags } = order;
            format!("part {part}/{parts} of run {run:08x}: {}", without_secrets(flags))
        }
        Note::Stops(why) => format!("starts no more messages: {why}"),
        Note::Signalled(signal) => format!(
            "received {signal}: waits for messages in flight, and then for the coordinator, {} at most; if that has no report \
             with this part by then, it is written here. A second signal ends this agent without its report",
            duration(WAITS_AFTER_SIGNAL)
        ),
        Note::HandedIn => {
            "the coordinator has received the report of this part, and has not written the run's yet: waits for that".to_owned()
        }
    }
}

fn named(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "on standard output".to_owned(),
        false => format!("in {}", path.display()),
    }
}

/// Writes the report of a part to a new file in the working directory, or if that is not possible (a read-only root) to
/// standard output, in one line of JSON. Returns where it is.
fn save(report: &Report, order: &Order, streams: &Streams) -> Result<String, String> {
    let error = match save_in_file(report, order) {
        Ok(path) => return Ok(named(&path)),
        Err(error) => error,
    };
    streams.err.put(format!("smtpload: {}\n", escape(&error)));
    streams.out.put(json::line(report).map_err(|error| error.to_string())?);
    match output::finish([&streams.out], PATIENCE).join("; ") {
        lost if lost.is_empty() => Ok("on standard output, in one line of JSON".to_owned()),
        lost => Err(lost),
    }
}

/// The same, only to a file: smtpload-RUN-PART.json, or with the first free number behind that.
fn save_in_file(report: &Report, order: &Order) -> Result<PathBuf, String> {
    let text = json::render(report).map_err(|error| error.to_string())?;
    let name = format!("smtpload-{:08x}-{}", order.run, order.part);
    let numbered = (2..=NUMBERED_LIMIT).map(|number| format!("{name}-{number}.json"));
    for path in std::iter::once(format!("{name}.json")).chain(numbered).map(PathBuf::from) {
        let failed = |error: io::Error| format!("can't write {}: {error}", path.display());
        let mut file = match File::create_new(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(failed(error)),
        };
        return match file.write_all(&text).and_then(|()| file.sync_all()) {
            Ok(()) => Ok(path),
            Err(error) => {
                // Part of a report is none.
                let _ = std::fs::remove_file(&path);
                Err(failed(error))
            }
        };
    }
    Err(format!("{name}.json, and all {NUMBERED_LIMIT} names with a number, exist"))
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
