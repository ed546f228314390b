//! Conclusions for whoever wrote the sender: what it did that it should not, with figures and the RFC section.
//!
//! Pure: they follow from the figures of [`Stats`] alone. Readiness probes, sessions in which nothing was sent, are
//! no senders. None is drawn from one mail that is sent as it should be, however often it is repeated in a session.

mod content;
mod dialogue;
mod endings;
mod pace;
mod patience;
#[cfg(test)]
mod tests;
mod words;

use super::Stats;

/// A conclusion about the clients that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// A short name that stays the same: `gave-up-early`. There may be one such finding for each stage.
    pub name: &'static str,
    /// What the clients did, with its figures: `gave up on the reply to the final dot after 30.0 s in 12 sessions;
    /// RFC 5321 section 4.5.3.2.6 asks for 10 minutes`.
    pub text: String,
    /// Where it is written what would be right: `RFC 5321 section 4.5.3.2.6`.
    pub reference: &'static str,
}

/// Looks for one thing.
type Check = fn(&Stats) -> Option<Finding>;

/// What costs mail first, then what makes others refuse it, then what costs time and connections.
const CHECKS: &[Check] = &[
    endings::broken_off,
    endings::went_on_after_421,
    pace::retried_at_once,
    content::bare_lf,
    content::long_lines,
    content::many_recipients,
    dialogue::early_talkers,
    dialogue::unknown_commands,
    endings::left_without_quit,
    endings::left_to_time_out,
    pace::connections_not_reused,
    pace::nagle_delay,
    pace::never_pipelined,
    dialogue::needless_noop,
    dialogue::needless_rset,
];

impl Stats {
    /// What the clients did that a sender's engineer would want to know, the most costly first.
    pub fn findings(&self) -> Vec<Finding> {
        let others = CHECKS.iter().filter_map(|check| check(self));
        patience::gave_up_early(self).chain(others).collect()
    }
}
