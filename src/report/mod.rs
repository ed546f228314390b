//! Reports of a run: [text](Report::text) and an [HTML page](Report::html) for people, [JSON](Report::json) for
//! programs. JSON reports can be read and merged.
//!
//! ```
//! use smtpmock::{Config, Server, report::Report};
//!
//! let server = Server::start(Config::default())?;
//! // … send
//! let stats = server.stats();
//! println!("{}", Report::new(&stats).text());
//! # Ok::<(), smtpmock::StartError>(())
//! ```
//!
//! Everything here is pure: no clock is read and no file is opened. The modules that draw and encode are public
//! because the load generator's reports use them.

pub mod encoding;
pub mod hlog;
mod html;
mod json;
pub mod lines;
mod merge;
pub mod page;
pub mod plot;
mod progress;
mod read;
mod tables;
mod text;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use crate::stats::{Additive, Durations, StageStats, Stats, Verdict};

pub use read::ReadError;

/// The report of a run, or the merged report of several.
///
/// ```
/// use smtpmock::{Config, Server, report::Report};
///
/// let server = Server::start(Config::default())?;
/// // … let the code under test send, then:
/// server.stop();
/// let stats = server.stats();
/// println!("{}", Report::new(&stats).text());
/// # Ok::<(), smtpmock::StartError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report<'s> {
    stats: Cow<'s, Stats>,
    runs: Vec<Run>,
    verdicts: Vec<Verdict>,
}

/// One run of a server, or a part of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The version of the program.
    pub version: String,
    /// When the server started.
    pub started_at: Option<SystemTime>,
    /// The beginning of this part, counted from the server's start.
    pub begins: Duration,
    /// The end of this part, counted from the server's start.
    pub ends: Duration,
    /// Sessions open at the beginning.
    pub open_before: u64,
    /// Mail transactions open at the beginning.
    pub transactions_before: u64,
    /// The seed of all random choices.
    pub seed: u64,
    /// Names and values of the settings.
    pub settings: Vec<(String, String)>,
}

impl<'s> Report<'s> {
    /// Creates the report of these figures.
    pub fn new(stats: &'s Stats) -> Self {
        let run = Run {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: stats.started_at,
            begins: stats.begins,
            ends: stats.ends,
            open_before: stats.open_before,
            transactions_before: stats.transactions_before,
            seed: stats.seed,
            settings: Vec::new(),
        };
        Self { stats: Cow::Borrowed(stats), runs: vec![run], verdicts: Vec::new() }
    }

    /// Adds the settings of the run.
    #[must_use]
    pub fn settings(mut self, settings: impl IntoIterator<Item = (String, String)>) -> Self {
        self.runs[0].settings = settings.into_iter().collect();
        self
    }

    /// Adds the verdicts of checks.
    #[must_use]
    pub fn verdicts(mut self, verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        self.verdicts = verdicts.into_iter().collect();
        self
    }

    /// Parses a report from JSON.
    ///
    /// # Errors
    ///
    /// A field is invalid: the error names it and the expected form.
    pub fn read(json: &str) -> Result<Report<'static>, ReadError> {
        read::read(json)
    }

    /// Merges two reports: counts and distributions are added, peaks are the higher ones, and findings are those of
    /// the merged figures. Times are converted to one clock that starts with the earliest server, to the second.
    /// Verdicts are omitted.
    ///
    /// # Errors
    ///
    /// Both reports contain the same time of the same run.
    pub fn merge(self, other: &Report<'_>) -> Result<Report<'static>, ReadError> {
        merge::add(self, other)
    }

    /// The figures.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The runs of the report.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Tables and findings as text, at most 80 columns wide.
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// The report as JSON; `SCHEMA.md` in this module's folder documents its fields.
    pub fn json(&self) -> String {
        json::render(self)
    }

    /// An HTML page with plots.
    pub fn html(&self) -> String {
        html::render(self)
    }
}

/// [Merges](Report::merge) JSON reports into one.
///
/// # Errors
///
/// A report is invalid: the error gives its number from 1, the field, and the expected form.
pub fn merge(reports: &[&str]) -> Result<String, ReadError> {
    let mut whole: Option<Report<'static>> = None;
    for (index, text) in reports.iter().enumerate() {
        let sum = Report::read(text).and_then(|report| match whole.take() {
            None => Ok(report),
            Some(whole) => whole.merge(&report),
        });
        whole = Some(sum.map_err(|error| error.of_report(index))?);
    }
    whole.map(|whole| whole.json()).ok_or_else(|| ReadError::new("", "there is no report to merge"))
}

/// The progress line of a run: the time, messages per second and in total, open sessions, refusals, clients' think time
/// and the server's service time over all stages, and whether the run is degraded.
pub fn progress(difference: &Stats, total: &Stats) -> String {
    progress::line(difference, total)
}

/// Merges a distribution of all stages.
pub(crate) fn over_stages(stats: &Stats, of: impl Fn(&StageStats) -> &Durations) -> Durations {
    let mut all = Durations::default();
    stats.stages.iter().for_each(|(_, stage)| all.merge(of(stage)));
    all
}

#[cfg(test)]
mod tests;
