//! Where reports go in the end, and the verdict on them.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use smtpmock::report::Report;
use smtpmock::stats::{Expectation, Verdict};

use crate::cli::{Failure, Reporting};
use crate::output::Output;

/// What was expected is not kept.
const NOT_KEPT: u8 = 10;

/// Whether all was kept that was expected, or why not all could be told.
pub(crate) type Told = Result<bool, String>;

/// The outputs that are asked for, and what is expected.
pub(crate) struct Reports {
    prints_text: bool,
    json: Option<Output>,
    html: Option<Output>,
    expectations: Vec<Expectation>,
}

impl Reports {
    /// Creates the files.
    ///
    /// # Errors
    /// One can't be created.
    pub(crate) fn create(reporting: &Reporting) -> Result<Self, String> {
        let Reporting { text, json, html, expectations, .. } = reporting;
        let create =
            |what, path: &Option<_>| path.as_deref().map(|path| Output::create(what, path)).transpose();
        Ok(Self {
            prints_text: *text,
            json: create("the JSON report", json)?,
            html: create("the HTML report", html)?,
            expectations: expectations.clone(),
        })
    }

    /// As much as can be told, whatever of it can not.
    pub(crate) fn tell(mut self, report: Report<'_>) -> Told {
        let judge = |expectation: &Expectation| expectation.judge(report.stats());
        let verdicts: Vec<_> = self.expectations.iter().map(judge).collect();
        let is_kept = verdicts.iter().all(|verdict| verdict.kept);
        let report = report.verdicts(verdicts.iter().cloned());
        let printed = if self.prints_text { print_report(&report) } else { Ok(()) };
        let json = put(self.json.as_mut(), || report.json());
        let html = put(self.html.as_mut(), || report.html());
        show(&verdicts);
        printed.and(json).and(html).map(|()| is_kept)
    }
}

/// Tells of a report that is there already.
///
/// # Errors
/// An output can't be written.
pub(crate) fn tell(report: &Report<'_>, reporting: &Reporting) -> Result<ExitCode, Failure> {
    let told = Reports::create(reporting).and_then(|reports| reports.tell(report.clone()));
    told.map(exit_code).map_err(Failure::Server)
}

/// That of the program when nothing failed.
pub(crate) fn exit_code(is_kept: bool) -> ExitCode {
    if is_kept { ExitCode::SUCCESS } else { ExitCode::from(NOT_KEPT) }
}

fn put(output: Option<&mut Output>, render: impl FnOnce() -> String) -> Result<(), String> {
    output.map_or(Ok(()), |output| output.put(&render()))
}

pub(crate) fn print_report(report: &Report<'_>) -> Result<(), String> {
    Output::create("the report", Path::new("-"))?.put(&report.text())
}

/// Each verdict on a line. Without a standard error there is nobody to tell but the exit code.
fn show(verdicts: &[Verdict]) {
    let lines: String = verdicts.iter().map(|verdict| format!("smtpmock: {verdict}\n")).collect();
    let _ = io::stderr().write_all(lines.as_bytes());
}
