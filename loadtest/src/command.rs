//! The program: from what was typed to the exit code.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::TERM_SIGNALS;

use crate::baseline::{self, Comparison};
use crate::cli::{Cli, Merge, OutputArgs, RunArgs};
use crate::engine;
use crate::exit::Exit;
use crate::live::Live;
use crate::merge;
use crate::plan::Plan;
use crate::report::{Report, build, hlog, html, json, text};
use crate::verify;

/// Descriptors beside the connections: standard streams, polls, wakers, timers, files.
const DESCRIPTORS_SPARE: u64 = 64;

/// The exit code of a run cut off by a second signal (128 + SIGINT, as shells do).
const CUT_OFF: i32 = 130;

/// What ends the program early: the code, and what to say.
type Stop = (Exit, String);

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let exit = execute(&cli).unwrap_or_else(|(exit, message)| {
        drop(writeln!(std::io::stderr().lock(), "error: {message}"));
        exit
    });
    ExitCode::from(exit.code())
}

fn execute(cli: &Cli) -> Result<Exit, Stop> {
    match &cli.command {
        Some(Merge::Merge { reports, output }) => {
            let read = reports.iter().map(|path| json::read(path)).collect::<Result<_, _>>();
            let whole = read.and_then(merge::merge).map_err(|message| (Exit::Usage, message))?;
            conclude(whole, baseline_of(output)?.as_ref(), output)
        }
        None => {
            // Read first: a missing file should not be found out after the run.
            let before = baseline_of(&cli.output)?;
            let report = measure(&cli.run, cli.output.quiet)?;
            conclude(report, before.as_ref(), &cli.output)
        }
    }
}

fn measure(args: &RunArgs, quiet: bool) -> Result<Report, Stop> {
    let plan = Arc::new(args.plan(draw).map_err(|message| (Exit::Usage, message))?);
    make_room(&plan).map_err(|message| (Exit::Usage, message))?;
    let interrupt = Arc::new(AtomicBool::new(false));
    listen(&interrupt).map_err(|error| (Exit::Failed, format!("signals: {error}")))?;
    let mut live = Live::new(&plan, quiet);
    let run = engine::run(&plan, &interrupt, |interval| live.show(interval));
    live.end();
    let mut run = run.map_err(|error| (Exit::Failed, format!("the run broke off: {error}")))?;
    let ledger = run.tally.ledger.take();
    let mut report = build::report(&plan, run);
    if let (Some(path), Some(ledger)) = (&args.verify, ledger) {
        let found = verify::verify(path, &plan, &ledger).map_err(|message| (Exit::Failed, message))?;
        report.verification = Some(found);
    }
    Ok(report)
}

/// A number nobody chose; the standard library's hasher is seeded by the system.
fn draw() -> u64 {
    RandomState::new().hash_one(())
}

/// The first signal ends the run with its report, the second ends the program.
fn listen(interrupt: &Arc<AtomicBool>) -> std::io::Result<()> {
    for signal in TERM_SIGNALS {
        signal_hook::flag::register_conditional_shutdown(*signal, CUT_OFF, Arc::clone(interrupt))?;
        signal_hook::flag::register(*signal, Arc::clone(interrupt))?;
    }
    Ok(())
}

/// Raises the limit of open files as far as the connections need.
fn make_room(plan: &Plan) -> Result<(), String> {
    let needed = plan.connections as u64 + DESCRIPTORS_SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| {
        let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS_SPARE);
        format!(
            "--connections {}: the limit of open files allows {most}; raise it (`ulimit -Hn`) or ask for fewer",
            plan.connections
        )
    })
}

/// Judges a report, writes it everywhere it is wanted, and says how the program ends.
fn conclude(mut report: Report, before: Option<&Report>, output: &OutputArgs) -> Result<Exit, Stop> {
    report.gates = output.fail_if.iter().map(|gate| gate.judge(&report)).collect();
    let refusal = before.and_then(|before| compare(&mut report, before, output.max_regression));
    if !output.quiet && output.json.as_deref() != Some("-".as_ref()) {
        drop(write!(std::io::stdout().lock(), "{}", text::render(&report)));
    }
    write_files(&report, output).map_err(|message| (Exit::Failed, message))?;
    let exit = judge(&report, refusal.is_some());
    if let Some(reason) = reason(&report, exit, refusal) {
        drop(writeln!(std::io::stderr().lock(), "smtpload: {reason} (exit {})", exit.code()));
    }
    Ok(exit)
}

fn baseline_of(output: &OutputArgs) -> Result<Option<Report>, Stop> {
    let read = output.baseline.as_ref().map(|path| json::read(path)).transpose();
    read.map_err(|message| (Exit::Usage, format!("--baseline {message}")))
}

/// Compares with the baseline; the result says why that could not be done.
fn compare(report: &mut Report, before: &Report, max_percent: f64) -> Option<String> {
    match baseline::compare(before, report, max_percent) {
        Ok(moves) => {
            report.baseline = moves;
            None
        }
        Err(reason) => Some(format!("--baseline: {reason}")),
    }
}

fn write_files(report: &Report, output: &OutputArgs) -> Result<(), String> {
    if let Some(path) = &output.json {
        json::write(report, path)?;
    }
    if let Some(path) = &output.hlog {
        hlog::write(report, path)?;
    }
    if let Some(path) = &output.html {
        html::write(report, path)?;
    }
    Ok(())
}

fn judge(report: &Report, refused: bool) -> Exit {
    let unclean = report.verification.as_ref().is_some_and(|found| !found.is_clean());
    let regressed = report.baseline.iter().any(|one| one.verdict == Comparison::Regressed);
    if report.accounting.measured.accepted == 0 {
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

fn reason(report: &Report, exit: Exit, refusal: Option<String>) -> Option<String> {
    match exit {
        Exit::Fine => None,
        Exit::Failed if report.sessions.established == 0 => {
            Some(format!("the run failed: no session with {} was established", report.settings.target))
        }
        Exit::Failed => Some("the run failed: no measured message was accepted".to_owned()),
        Exit::Usage => None,
        Exit::Saturated => report.generator.saturation().map(|how| {
            format!(
                "the generator was saturated: {how}; take fewer messages per second, more --threads or more machines"
            )
        }),
        Exit::Gate => {
            let failed = report.gates.iter().filter(|gate| gate.failed);
            let mut all: Vec<String> =
                failed.map(|gate| format!("`{}` (found {})", gate.gate, gate.found)).collect();
            if let Some(found) = report.verification.as_ref().filter(|found| !found.is_clean()) {
                all.push(format!("the capture does not agree with what was sent: {}", found.summary()));
            }
            Some(format!("gate failed: {}", all.join("; ")))
        }
        Exit::Regression => Some(refusal.unwrap_or_else(|| {
            let worse = report.baseline.iter().filter(|one| one.verdict == Comparison::Regressed);
            let all: Vec<String> = worse
                .map(|one| {
                    format!("{} worse by {:.1}%", one.metric, one.worse_by_percent.unwrap_or_default())
                })
                .collect();
            format!("regression: {}", all.join("; "))
        })),
    }
}
