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
///
/// | name | what they did |
/// |---|---|
/// | `gave-up-early` | closed while they waited for a reply, sooner than RFC 5321 asks for; one for each stage |
/// | `data-broken-off` | closed in the middle of message data |
/// | `went-on-after-421` | sent anything but QUIT after a 421 |
/// | `went-on-after-refusal` | sent anything but QUIT after a greeting that refused the session |
/// | `retried-at-once` | tried the same message again within a second of a 4yz reply |
/// | `bare-lf`, `long-lines` | sent a LF without CR, a line of more than 998 octets |
/// | `many-recipients` | named more than 100 recipients in a message |
/// | `talked-before-greeting` | did not wait for the greeting |
/// | `unknown-commands` | made a habit of commands that the server has not |
/// | `left-without-quit`, `left-to-time-out` | ended many sessions without QUIT, or not at all |
/// | `connections-not-reused` | opened a connection for each of many messages |
/// | `nagle-delay` | waited about 40 ms in most messages that came in pieces |
/// | `never-pipelined` | waited for each reply, though PIPELINING was offered |
/// | `needless-noop`, `needless-rset` | sent far more of them than mail transactions |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// A short name that stays the same.
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
    endings::went_on_after_refusal,
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
