//! What a run measured, rendered: for people as [text](Report::text) and as a [page](Report::html), for programs as
//! [JSON](Report::json), which is read back and added up.
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
//! Everything here is pure: it takes no time and opens no file. The parts that draw and encode are public, as the
//! load generator's reports are made of them too.

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

/// A run that is reported, or the sum of several.
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
    /// How long after its start this begins.
    pub begins: Duration,
    /// How long after its start this ends.
    pub ends: Duration,
    /// Sessions that were open when this begins.
    pub open_before: u64,
    /// Mail transactions that were open when this begins.
    pub transactions_before: u64,
    /// What all chance followed from.
    pub seed: u64,
    /// Names and values, as it was configured.
    pub settings: Vec<(String, String)>,
}

impl<'s> Report<'s> {
    /// Of these figures.
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

    /// Adds how the run was configured.
    #[must_use]
    pub fn settings(mut self, settings: impl IntoIterator<Item = (String, String)>) -> Self {
        self.runs[0].settings = settings.into_iter().collect();
        self
    }

    /// Adds what was expected.
    #[must_use]
    pub fn verdicts(mut self, verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        self.verdicts = verdicts.into_iter().collect();
        self
    }

    /// From its JSON.
    ///
    /// # Errors
    ///
    /// A field is wrong: the error names it, and what would be right.
    pub fn read(json: &str) -> Result<Report<'static>, ReadError> {
        read::read(json)
    }

    /// The sum with another: counts and distributions add up, of peaks the higher is taken, and findings are those
    /// of the sum. Times are those of one clock that starts with the earliest server, to the second. Verdicts are
    /// left out.
    ///
    /// # Errors
    ///
    /// When both have figures of the same run and the same time.
    pub fn merge(self, other: &Report<'_>) -> Result<Report<'static>, ReadError> {
        merge::add(self, other)
    }

    /// The figures.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whose figures they are.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// For people: tables and findings, at most 80 columns wide.
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// For programs: `SCHEMA.md` beside this module documents its fields.
    pub fn json(&self) -> String {
        json::render(self)
    }

    /// For people: one page with plots.
    pub fn html(&self) -> String {
        html::render(self)
    }
}

/// The [sum](Report::merge) of reports in JSON, as JSON.
///
/// # Errors
///
/// A report is wrong: the error names which, counted from 1, which field of it, and what would be right.
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

/// One line to show while a run goes on: the time, messages a second and in all, sessions open, replies of refusal,
/// the think time of clients and the service time of the server over all stages, and whether the run is degraded.
pub fn progress(difference: &Stats, total: &Stats) -> String {
    progress::line(difference, total)
}

/// The same distribution of all stages.
fn over_stages(stats: &Stats, of: impl Fn(&StageStats) -> &Durations) -> Durations {
    let mut all = Durations::default();
    stats.stages.iter().for_each(|(_, stage)| all.merge(of(stage)));
    all
}

#[cfg(test)]
mod tests;
