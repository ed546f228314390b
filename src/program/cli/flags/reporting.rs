//! The flags that report what the sender did, and those that end the run by themselves.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use smtpmock::Milestone;
use smtpmock::stats::Expectation;

use super::Options;
use crate::program::cli::flag::{Arity, Flag, Read, reading};
use crate::program::cli::values::{self, Expected, Span};

const A_LIMIT: &str =
    "a number of messages or sessions, or a duration, like 10000messages, 500sessions or 60s";

/// What is reported of a run, and what is expected of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporting {
    /// The report for people, on standard output.
    pub(crate) text: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
    /// One line a second, on standard error.
    pub(crate) progress: bool,
    /// Nothing goes to standard error but errors and checks that failed.
    pub(crate) is_quiet: bool,
    pub(crate) interval_log: Option<PathBuf>,
    pub(crate) expectations: Vec<Expectation>,
}

/// Where a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Milestone(Milestone),
    /// Since it listens.
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
        Flag::switch("report", "Print tables and findings to standard output in the end", |options, on| {
            options.reporting(|reporting| reporting.text = on)
        }),
        file("reportJson", "Write the report to this file as JSON; - is standard output; also --json", {
            |reporting, path| reporting.json = Some(path)
        }),
        file("reportHtml", "Write the report to this file as a page with plots; also --html", {
            |reporting, path| reporting.html = Some(path)
        }),
        Flag::switch("progress", "Show a line a second on standard error", |options, on| {
            options.reporting(|reporting| reporting.progress = on)
        }),
        file("hlog", "Write the distributions of every second to this file, as an HdrHistogram log", {
            |reporting, path| reporting.interval_log = Some(path)
        }),
        Flag {
            refuses_empty: true,
            ..repeated(
                "exitAfter",
                "AMOUNT",
                "Stop after so many messages or sessions, or so long; may be repeated: the first counts",
                reading(limits, |mut options: Options, limits| {
                    options.exit_after.extend(limits);
                    options
                }),
            )
        },
        check(
            "expect",
            "What must be true of the figures in the end, or the exit code is 10; may be repeated",
            |line| Ok(line.parse()?),
        ),
        check("failIf", "What must not be true of them, or the exit code is 10; may be repeated", |line| {
            Ok(Expectation::fail_if(line)?)
        }),
        Flag {
            variable: None,
            refuses_empty: true,
            ..repeated(
                "mergeReports",
                "PATH",
                "Start no server: write the sum of these JSON reports, and exit; may be repeated",
                reading(values::path, |mut options: Options, path| {
                    options.merged.push(path);
                    options
                }),
            )
        },
    ]
}

/// A flag of checks: those of the command line, of its variable and of a file all count.
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
                Ok(Span::Positive(time)) => Some(Limit::Time(time)),
                _ => None,
            };
        }
    };
    let count = values::count(&OsString::from(number.trim())).ok().filter(|&count| count > 0)?;
    Some(Limit::Milestone(milestone(count as u64)))
}
