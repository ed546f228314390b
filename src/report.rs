//! What a run measured, told: for people as text and as a page, for programs as JSON.

use crate::stats::Stats;

/// A run to be told about.
#[derive(Clone, Debug)]
pub struct Report<'s> {
    stats: &'s Stats,
    /// Names and values, as the run was configured.
    settings: Vec<(String, String)>,
}

impl<'s> Report<'s> {
    /// Of these figures.
    pub fn new(stats: &'s Stats) -> Self {
        Self { stats, settings: Vec::new() }
    }

    /// Says how the run was configured, too.
    #[must_use]
    pub fn settings(mut self, settings: impl IntoIterator<Item = (String, String)>) -> Self {
        self.settings = settings.into_iter().collect();
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
