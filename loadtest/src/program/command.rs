//! The program, from its arguments to the exit code.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smtpmock::escape::escape;
use smtpmock::output::{self, PATIENCE, Streams};
use smtpmock::units::duration;

use crate::judge::baseline::{self, Incomparable};
use crate::judge::gate::Gate;
use crate::judge::steps;
use crate::load::plan::Plan;
use crate::program::cli::{Cli, Instead, OutputArgs};
use crate::program::exit::Exit;
#[cfg(feature = "fleet")]
use crate::program::fleet;
use crate::program::outputs::Outputs;
use crate::program::stop::Stop;
use crate::program::{help, input, interrupt};
use crate::report::steps::{StepRow, knee, mark};
use crate::report::targets::TargetRow;
use crate::report::verdicts::Assessment;
use crate::report::{Report, agents, failure, merge, parts};
use crate::run::engine::Permit;
use crate::run::live::Live;
use crate::run::{build, engine};
use crate::verify;

/// Descriptors besides the connections: standard streams, polls, wakers, timers, files.
const DESCRIPTORS_SPARE: u64 = 64;

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let cli = match help::parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
            return print(&help::text(&error), exit);
        }
    };
    match &cli.command {
        Some(Instead::Man) => return print(&help::manual_page(), Exit::Fine),
        Some(Instead::Completions { shell }) => return print(&help::completions(shell), Exit::Fine),
        #[cfg(feature = "fleet")]
        Some(Instead::Serve { .. } | Instead::Agent { .. }) => {}
        Some(Instead::Merge { .. }) | None => {}
    }
    let streams = interrupt::ignore()
        .map_err(|error| format!("signals: {error}"))
        .and_then(|()| Streams::start(|_| {}).map_err(|error| error.to_string()));
    let streams = match streams {
        Ok(streams) => streams,
        Err(why) => return say(&format!("error: {why}\n"), Exit::Failed),
    };
    let (exit, patience) = match &cli.command {
        // No run waits for a reader of this report: it may take its time.
        Some(Instead::Merge { reports, output }) => (merge(reports, output, &streams), Duration::MAX),
        #[cfg(feature = "fleet")]
        Some(Instead::Serve { fleet: args, run, output }) => {
            (fleet::serve(args, run, output, &streams), PATIENCE)
        }
        #[cfg(feature = "fleet")]
        Some(Instead::Agent { agent }) => (fleet::agent(agent, &streams), PATIENCE),
        None if !cli.merge_reports.is_empty() => {
            (merge(&cli.merge_reports, &cli.output, &streams), Duration::MAX)
        }
        _ => (measure(&cli, &streams), PATIENCE),
    };
    let exit = exit.unwrap_or_else(|stop| {
        streams.err.put(format!("error: {}\n", escape(&stop.to_string())));
        stop.exit()
    });
    let is_lost = !output::finish([&streams.err], patience).is_empty();
    let exit = if is_lost && !is_log(&cli) { exit.with_loss() } else { exit };
    ExitCode::from(exit.code())
}

/// Whether standard error has no results: an agent's are those of its coordinator.
#[cfg(feature = "fleet")]
fn is_log(cli: &Cli) -> bool {
    matches!(cli.command, Some(Instead::Agent { .. }))
}

#[cfg(not(feature = "fleet"))]
fn is_log(_: &Cli) -> bool {
    false
}

/// Prints a text instead of running: an error of the arguments to standard error, any other to standard output.
fn print(text: &str, exit: Exit) -> ExitCode {
    if exit == Exit::Usage {
        return say(text, exit);
    }
    match output::print(text) {
        Ok(()) => ExitCode::from(exit.code()),
        Err(why) => say(&format!("error: {why}\n"), Exit::Failed),
    }
}

/// Writes to standard error before it has a thread. If that fails, only the exit code remains.
fn say(text: &str, exit: Exit) -> ExitCode {
    output::print_error(text);
    ExitCode::from(exit.code())
}

fn merge(reports: &[PathBuf], args: &OutputArgs, streams: &Streams) -> Result<Exit, Stop> {
    let read = reports.iter().map(|path| input::report(path)).collect::<Result<_, _>>();
    let whole = merge::merge(read.map_err(Stop::Report)?)?;
    let before = baseline_of(args)?;
    let inputs = reports.iter().map(|path| ("merge", path.as_path()));
    let outputs = Outputs::open(args, inputs.chain(baseline_file(args)), streams, &AtomicBool::new(false))?;
    Ok(conclude(whole, before.as_ref(), args, &outputs, streams, Duration::MAX).exit)
}

/// Runs a load. All errors of files are found before it starts.
fn measure(cli: &Cli, streams: &Streams) -> Result<Exit, Stop> {
    let Cli { run: args, output, .. } = cli;
    let before = baseline_of(output)?;
    let plan = Arc::new(args.plan(draw)?);
    let ahead =
        plan.start_at.map(|start| engine::until(start).map_err(|ago| Stop::Past(start, ago))).transpose()?;
    make_room(&plan)?;
    verify::check(&args.verify)?;
    let interrupt = interrupt::listen().map_err(Stop::Signals)?;
    let inputs = args.files().chain(baseline_file(output));
    let outputs = Outputs::open(output, inputs, streams, &interrupt)?;
    let mut live = Live::new(&plan, output.quiet, &streams.err);
    if let (Some(start), Some(ahead), false) = (plan.start_at, ahead, output.quiet) {
        streams.err.put(format!("starts at {start}, in {}\n", duration(ahead)));
    }
    let run =
        engine::run(&plan, Permit::until(&interrupt), || outputs.begin(), |interval| live.show(interval));
    live.end();
    let mut run = run.map_err(Stop::Run)?.ok_or(Stop::Unstarted)?;
    let ledger = run.tally.ledger.take();
    let mut report = build::report(&plan, run);
    if let Some(ledger) = ledger {
        report.verification = Some(verify::verify(&args.verify, &plan, &ledger)?);
    }
    Ok(conclude(report, before.as_ref(), output, &outputs, streams, PATIENCE).exit)
}

/// A random number; the standard library's hasher is seeded by the system.
pub(crate) fn draw() -> u64 {
    RandomState::new().hash_one(())
}

/// Raises the limit of open files to what the connections need.
pub(crate) fn make_room(plan: &Plan) -> Result<(), Stop> {
    let needed = plan.connections as u64 + DESCRIPTORS_SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| {
        let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS_SPARE);
        Stop::Descriptors { connections: plan.connections, most }
    })
}

/// The end of a run with its report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conclusion {
    pub(crate) exit: Exit,
    /// Whether all outputs are complete.
    #[cfg(feature = "fleet")]
    pub(crate) is_written: bool,
}

/// Judges a report, writes all outputs, and prints the reason for the exit code.
pub(crate) fn conclude(
    mut report: Report,
    before: Option<&Report>,
    args: &OutputArgs,
    outputs: &Outputs,
    streams: &Streams,
    patience: Duration,
) -> Conclusion {
    let gates: Vec<Gate> = args.expect.iter().chain(&args.fail_if).cloned().collect();
    report.gates = gates.iter().map(|gate| gate.judge(&report)).collect();
    mark(&mut report);
    steps::judge(&mut report.steps, &gates, report.settings.shape.connections);
    report.knee = knee(&report.steps).map(StepRow::rate);
    let refusal = before.and_then(|before| compare(&mut report, before, args.max_regression));
    let lost = outputs.write(&report, patience);
    let judged = judge(&report, refusal.is_some());
    let is_written = lost.is_empty();
    let exit = if is_written { judged } else { judged.with_loss() };
    for why in lost {
        streams.err.put(format!("smtpload: {} (exit {})\n", escape(&why), exit.code()));
    }
    if let Some(reason) = reason(&report, judged, refusal) {
        streams.err.put(format!("smtpload: {} (exit {})\n", escape(&reason), exit.code()));
    }
    Conclusion {
        exit,
        #[cfg(feature = "fleet")]
        is_written,
    }
}

pub(crate) fn baseline_file(args: &OutputArgs) -> impl Iterator<Item = (&'static str, &Path)> {
    args.baseline.iter().map(|path| ("--baseline", path.as_path()))
}

pub(crate) fn baseline_of(output: &OutputArgs) -> Result<Option<Report>, Stop> {
    let read = output.baseline.as_ref().map(|path| input::report(path)).transpose();
    read.map_err(Stop::Baseline)
}

/// Compares with the baseline; returns why that is impossible.
fn compare(report: &mut Report, before: &Report, max_percent: f64) -> Option<Incomparable> {
    match baseline::compare(before, report, max_percent) {
        Ok(moves) => {
            report.baseline = moves;
            None
        }
        Err(reason) => Some(reason),
    }
}

fn judge(report: &Report, refused: bool) -> Exit {
    let unclean = report.verification.as_ref().is_some_and(|found| !found.is_clean())
        || report.sinks.as_ref().is_some_and(|sinks| !sinks.agree());
    let is_unknown = report.sinks.as_ref().is_some_and(|sinks| !sinks.failed.is_empty());
    let regressed = report.baseline.iter().any(|one| one.verdict == Assessment::Regressed);
    if has_failed(report) || is_unknown {
        Exit::Failed
    } else if report.generator.saturated {
        Exit::Saturated
    } else if unclean || report.gates.iter().any(|gate| gate.failed) {
        Exit::Gate
    } else if regressed || refused {
        Exit::Regression
    } else {
        Exit::Fine
    }
}

/// Whether a run failed as a whole.
fn has_failed(report: &Report) -> bool {
    let is_whole = report.missing.is_empty()
        && agents::lost(report).is_empty()
        && agents::stopped_early(report).is_empty();
    let is_empty = report.gave_up.is_some() || report.accounting.measured.accepted == 0;
    is_empty || !is_whole || report.targets.iter().any(TargetRow::is_dead)
}

/// Why a run, or its comparison with the servers, failed as a whole.
fn failure(report: &Report) -> String {
    let run = has_failed(report).then(|| run_failure(report));
    let sinks = report.sinks.as_ref().filter(|sinks| !sinks.failed.is_empty() || !sinks.agree());
    let sinks = sinks.map(|sinks| {
        let what = if sinks.failed.is_empty() { "differ from the agents'" } else { "can't be compared" };
        format!("the servers' reports {what}: {}", sinks.text())
    });
    run.into_iter().chain(sinks).collect::<Vec<_>>().join("; ")
}

/// Why a run failed as a whole.
fn run_failure(report: &Report) -> String {
    if !report.missing.is_empty() {
        let missing: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
        let hint = match parts::are_of_one(&report.missing) {
            true => "; all parts are there once, as of one run: give each the same --seed and --start-at",
            false => "",
        };
        return format!("the run is not whole: parts are missing: {}{hint}", missing.join("; "));
    }
    let unfinished =
        [("lost agents", agents::lost(report)), ("agents that stopped early", agents::stopped_early(report))];
    let unfinished = unfinished.iter().filter(|(_, names)| !names.is_empty());
    let unfinished: Vec<String> =
        unfinished.map(|(how, names)| format!("{how}: {}", names.join(", "))).collect();
    if !unfinished.is_empty() {
        let delivered = report.delivered.map_or_else(String::new, |delivered| {
            format!("; the servers have received {} messages", delivered.text())
        });
        return format!("the run is not whole: {}{delivered}", unfinished.join("; "));
    }
    let dialed = report.dialed();
    let dialed = if dialed.is_empty() { String::new() } else { format!(" ({})", dialed.join("; ")) };
    let waited = report.latency.waited();
    let waited = if waited.is_empty() { waited } else { format!("; messages that waited: {waited}") };
    let unmet = failure::unmet(report);
    let most =
        failure::most_frequent(report).map_or_else(String::new, |most| format!("; most frequent: {most}"));
    if let Some(why) = &report.gave_up {
        return format!("gave up: {why}{dialed}{most}{unmet}; --give-up-after sets the time");
    }
    if report.interrupted && report.accounting.measured.owed() + report.accounting.warmup.owed() == 0 {
        return "the run was ended by a signal before its first message".to_owned();
    }
    if report.sessions.established == 0 {
        let target = &report.settings.target;
        return format!(
            "the run failed: no session with {target} was established{dialed}{waited}{most}{unmet}"
        );
    }
    let dead: Vec<String> = report
        .targets
        .iter()
        .filter(|row| row.is_dead())
        .map(|row| format!("{} ({})", row.target, row.failures()))
        .collect();
    if report.accounting.measured.accepted > 0 && !dead.is_empty() {
        return format!("the run failed: no measured message was accepted by {}", dead.join("; "));
    }
    format!("the run failed: no measured message was accepted{waited}{most}")
}

/// The gates that failed, and what differs from what was sent; `None` if there are none.
fn unclean(report: &Report) -> Option<String> {
    let failed = report.gates.iter().filter(|gate| gate.failed);
    let gates = failed.map(|gate| format!("{} `{}` (found {})", gate.words(), gate.gate, gate.found));
    let capture = report.verification.iter().filter(|found| !found.is_clean());
    let capture = capture.map(|found| format!("the capture differs from what was sent: {}", found.summary()));
    let sinks = report.sinks.iter().filter(|sinks| !sinks.agree());
    let sinks = sinks.map(|sinks| format!("the servers' reports differ from the agents': {}", sinks.text()));
    let all: Vec<String> = gates.chain(capture).chain(sinks).collect();
    (!all.is_empty()).then(|| format!("gate failed: {}", all.join("; ")))
}

fn reason(report: &Report, exit: Exit, refusal: Option<Incomparable>) -> Option<String> {
    match exit {
        Exit::Fine => None,
        Exit::Failed => Some(failure(report)),
        Exit::Usage => None,
        Exit::Saturated => report.generator.saturation().map(|how| {
            let saturated = format!(
                "the generator was saturated: {how}; lower the rate, or use more --threads or more machines"
            );
            std::iter::once(saturated).chain(unclean(report)).collect::<Vec<_>>().join("; ")
        }),
        Exit::Gate => unclean(report),
        Exit::Regression => {
            Some(refusal.map(|reason| format!("--baseline: {reason}")).unwrap_or_else(|| {
                let worse = report.baseline.iter().filter(|one| one.verdict == Assessment::Regressed);
                let all: Vec<String> = worse
                    .map(|one| {
                        let by = [one.worse_by_percent, one.worse_by_at_least_percent]
                            .map(Option::unwrap_or_default);
                        format!("{} worse by {:.1}%, at least by {:.1}%", one.metric, by[0], by[1])
                    })
                    .collect();
                format!("regression: {}", all.join("; "))
            }))
        }
    }
}
