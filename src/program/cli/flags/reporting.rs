//! The flags for reports, checks and limits of a run.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use smtpmock::Milestone;
use smtpmock::stats::Expectation;

use super::Options;
use crate::program::cli::flag::{Arity, Flag, Read, reading};
use crate::program::cli::values::{self, Expected, SignedSpan};

const A_LIMIT: &str =
    "a number of messages or sessions, or a duration, like 10000messages, 500sessions or 60s";

/// The reports and the expectations of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporting {
    /// Whether the text report goes to standard output.
    pub(crate) text: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
    /// Whether a progress line is shown every second, on standard error.
    pub(crate) progress: bool,
    /// Whether only errors and failed checks go to standard error.
    pub(crate) is_quiet: bool,
    pub(crate) interval_log: Option<PathBuf>,
    pub(crate) expectations: Vec<Expectation>,
}

/// A limit at which a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Milestone(Milestone),
    /// Time since the server began to listen.
    Time(Duration),
}

pub(super) fn reporting() -> Vec<Flag> {
    let file = |name, help, set: fn(&mut Reporting, PathBuf)| {
        let read = reading(values::path, move |options: Options, path| {
            options.reporting(|reporting| set(reporting, path))
        });
        Flag::new(name, "PATH", help, read)
    };
    vec![
        Flag::switch("report", "Print tables and findings to standard output at the end", |options, on| {
            options.reporting(|reporting| reporting.text = on)
        }),
        file("reportJson", "Write the report to this file as JSON; - is standard output; also --json", {
            |reporting, path| reporting.json = Some(path)
        }),
        file("reportHtml", "Write the report to this file as a page with plots; also --html", {
            |reporting, path| reporting.html = Some(path)
        }),
        Flag::switch("progress", "Show one line per second on standard error", |options, on| {
            options.reporting(|reporting| reporting.progress = on)
        }),
        file(
            "hlog",
            "Write the distributions of each second to this file as an HdrHistogram interval log; also --report-hlog",
            |reporting, path| reporting.interval_log = Some(path),
        ),
        Flag {
            refuses_empty: true,
            ..repeated(
                "exitAfter",
                "AMOUNT",
                "Stop after this number of messages or sessions, or this time; may be repeated: the first one reached counts",
                reading(limits, |mut options: Options, limits| {
                    options.exit_after.extend(limits);
                    options
                }),
            )
        },
        check(
            "expect",
            "A condition on the figures that must be true at the end; otherwise the exit code is 10; may be repeated",
            |line| Ok(line.parse()?),
        ),
        check(
            "failIf",
            "A condition that must be false at the end; otherwise the exit code is 10; may be repeated",
            |line| Ok(Expectation::fail_if(line)?),
        ),
        Flag {
            variable: None,
            refuses_empty: true,
            ..repeated(
                "mergeReports",
                "PATH",
                "Merge these JSON reports instead of starting a server, write the result, and exit: files, or http://HOST:PORT of running servers with --http; may be repeated",
                reading(values::path, |mut options: Options, path| {
                    options.merged.push(path);
                    options
                }),
            )
        },
    ]
}

/// A flag for checks. Those of the command line, the variable and the settings file accumulate.
fn check(name: &str, help: &str, read: fn(&str) -> Result<Expectation, Expected>) -> Flag {
    let read_all = move |raw: &OsStr| values::checks(raw, read);
    let read_all = reading(read_all, |options: Options, expectations| {
        options.reporting(|reporting| reporting.expectations.extend(expectations))
    });
    Flag { refuses_empty: true, adds_up: true, ..repeated(name, "EXPECTATION", help, read_all) }
}

fn repeated(name: &str, placeholder: &'static str, help: &str, read: Read) -> Flag {
    Flag { arity: Arity::Repeated, ..Flag::new(name, placeholder, help, read) }
}

impl Options {
    pub(super) fn reporting(mut self, change: impl FnOnce(&mut Reporting)) -> Self {
        change(&mut self.reporting);
        self
    }
}

fn limits(raw: &OsStr) -> Result<Vec<Limit>, Expected> {
    values::checks(raw, |line| limit(line).ok_or(Expected::new(A_LIMIT)))
}

fn limit(text: &str) -> Option<Limit> {
    let (number, unit) = text.split_at(text.find(char::is_alphabetic)?);
    let milestone: fn(u64) -> Milestone = match unit {
        "message" | "messages" => Milestone::Messages,
        "session" | "sessions" => Milestone::Sessions,
        _ => {
            return match values::span(OsStr::new(text)) {
                Ok(SignedSpan::Positive(time)) => Some(Limit::Time(time)),
                _ => None,
            };
        }
    };
    let count = values::count(&OsString::from(number.trim())).ok().filter(|&count| count > 0)?;
    Some(Limit::Milestone(milestone(count as u64)))
}
