//! The final report, its verdicts, and the exit code.

use std::process::ExitCode;
use std::time::Duration;

use smtpmock::escape::escape_lines;
use smtpmock::output::{self, Claims, Opening, OutputError, PATIENCE, Refusal, Streams, Writer};
use smtpmock::report::Report;
use smtpmock::stats::Expectation;

use crate::program::cli::outputs::{HTML_REPORT, JSON_REPORT};
use crate::program::cli::{Failure, Reporting};

const CHECK_FAILED: u8 = 10;

/// The requested reports and the expectations.
pub(crate) struct Reports {
    streams: Streams,
    prints_text: bool,
    json: Option<Writer>,
    html: Option<Writer>,
    expectations: Vec<Expectation>,
    /// Whether only failed checks are printed.
    is_quiet: bool,
}

impl Reports {
    /// Starts the threads that write the reports.
    ///
    /// # Errors
    /// A thread can't be started, or an output can't be emptied.
    pub(crate) fn start(
        reporting: &Reporting,
        opening: &mut Opening,
        streams: &Streams,
    ) -> Result<Self, OutputError> {
        let mut start = |what| opening.take(what).map(|output| Writer::start(output, |_| {})).transpose();
        Ok(Self {
            streams: streams.clone(),
            prints_text: reporting.text,
            json: start(JSON_REPORT)?,
            html: start(HTML_REPORT)?,
            expectations: reporting.expectations.clone(),
            is_quiet: reporting.is_quiet,
        })
    }

    /// Queues the reports and verdicts. True if all checks passed.
    pub(crate) fn write(&self, report: Report<'_>) -> bool {
        let judge = |expectation: &Expectation| expectation.judge(report.stats());
        let verdicts: Vec<_> = self.expectations.iter().map(judge).collect();
        let report = report.verdicts(verdicts.iter().cloned());
        if self.prints_text {
            self.streams.out.put(report.text());
        }
        if let Some(json) = &self.json {
            json.put(report.json());
        }
        if let Some(html) = &self.html {
            html.put(report.html());
        }
        let named = verdicts.iter().filter(|verdict| !(self.is_quiet && verdict.kept));
        let lines: String = named.map(|verdict| format!("smtpmock: {verdict}\n")).collect();
        self.streams.err.put(escape_lines(&lines).into_owned());
        verdicts.iter().all(|verdict| verdict.kept)
    }

    /// The outputs that only the reports are written to.
    pub(crate) fn writers(&self) -> impl Iterator<Item = &Writer> {
        [&self.json, &self.html].into_iter().flatten()
    }
}

/// Writes a merged report.
///
/// # Errors
/// Two outputs are the same file, or one can't be opened.
pub(crate) fn report(
    report: &Report<'_>,
    reporting: &Reporting,
    claims: &Claims,
) -> Result<ExitCode, Failure> {
    let mut opening = claims.open().map_err(refused)?;
    let streams = Streams::start(|_| {})?;
    opening.wait()?;
    let reports = Reports::start(reporting, &mut opening, &streams)?;
    let passed = reports.write(report.clone());
    // No run is waiting, so readers of the outputs may take any time.
    let lost = output::finish(reports.writers().chain(streams.out_alone()), Duration::MAX);
    Ok(conclude(&streams, lost, passed, Duration::MAX))
}

/// Converts the refusal of outputs to a failure of the program.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Collision(text) => Failure::Usage(text),
        Refusal::Failed(error) => error.into(),
    }
}

/// Prints the help, the version or the settings.
///
/// # Errors
/// The text can't be written to standard output.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    output::print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a failure that occurred before any thread was started.
pub(crate) fn show(failure: &Failure) -> ExitCode {
    output::print_error(&format!("{failure}\n"));
    failure.exit_code()
}

/// Prints a failure to standard error, waiting for a bounded time.
pub(crate) fn fail(streams: &Streams, failure: &Failure) -> ExitCode {
    streams.err.put(format!("{failure}\n"));
    output::finish([&streams.err], PATIENCE);
    failure.exit_code()
}

/// Prints the lost outputs, waits for standard error for at most `patience`, and returns the exit code.
pub(crate) fn conclude(streams: &Streams, lost: Vec<String>, passed: bool, patience: Duration) -> ExitCode {
    let is_whole = lost.is_empty();
    let lines: String = lost.into_iter().map(|why| format!("{}\n", Failure::Server(why))).collect();
    streams.err.put(lines);
    // If standard error can't be written, only the exit code reports it.
    match output::finish([&streams.err], patience).is_empty() && is_whole {
        true if passed => ExitCode::SUCCESS,
        true => ExitCode::from(CHECK_FAILED),
        false => ExitCode::FAILURE,
    }
}
