//! What a run measured, told: for people as text and as a page, for programs as JSON.

use crate::stats::Stats;

pub mod hlog;

/// One line for whoever watches.
pub fn progress(difference: &Stats, total: &Stats) -> String {
    format!("{:?} {} of {}", total.ends, difference.messages.accepted, total.messages.accepted)
}

/// A run to be told about.
#[derive(Clone, Debug)]
pub struct Report<'s> {
    stats: &'s Stats,
    /// Names and values, as the run was configured.
    settings: Vec<(String, String)>,
    verdicts: Vec<crate::stats::Verdict>,
}

impl<'s> Report<'s> {
    /// Of these figures.
    pub fn new(stats: &'s Stats) -> Self {
        Self { stats, settings: Vec::new(), verdicts: Vec::new() }
    }

    /// Says how the run was configured, too.
    #[must_use]
    pub fn settings(mut self, settings: impl IntoIterator<Item = (String, String)>) -> Self {
        self.settings = settings.into_iter().collect();
        self
    }

    /// Says what became of what was expected, too.
    #[must_use]
    pub fn verdicts(mut self, verdicts: impl IntoIterator<Item = crate::stats::Verdict>) -> Self {
        self.verdicts = verdicts.into_iter().collect();
        self
    }

    /// For people: tables and findings.
    pub fn text(&self) -> String {
        format!("{:?} {:?}\n", self.stats, self.settings)
    }

    /// For programs.
    pub fn json(&self) -> String {
        String::new()
    }

    /// For people: one page with plots.
    pub fn html(&self) -> String {
        String::new()
    }
}
