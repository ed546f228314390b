//! Conclusions for whoever wrote the sender: what it did that it should not, with figures and the RFC section.

use super::Stats;

/// A conclusion about the clients that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// A short name that stays the same: `gave-up-early`.
    pub name: &'static str,
    /// What was seen, as a sentence with its figures.
    pub text: String,
    /// Where it is written what would be right: `RFC 5321 section 4.5.3.2.6`.
    pub reference: &'static str,
}

impl Stats {
    /// What the clients did that a sender's engineer would want to know, the most costly first.
    pub fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}
