//! Findings about unnecessary, unknown or premature commands.

use super::{Finding, words};
use crate::smtp::Stage;
use crate::stats::Stats;

/// Fewer unknown commands may come from manual tests or a probe.
const UNKNOWN: u64 = 5;
/// The share of all commands from which unknown ones are a finding.
const UNKNOWN_SHARE: f64 = 0.01;
/// Fewer NOOPs or RSETs have no noticeable cost.
const NEEDLESS: u64 = 100;
/// A careful client may send one before and one after each mail transaction, including refused ones.
const PER_TRANSACTION: u64 = 3;

pub(super) fn early_talkers(stats: &Stats) -> Option<Finding> {
    let sessions = stats.sessions.early_talkers;
    (sessions > 0).then(|| Finding {
        name: "talked-before-greeting",
        text: format!("sent commands before the greeting in {}", words::count(sessions, "session")),
        reference: "RFC 5321 section 4.3.1",
    })
}

pub(super) fn data_and_bdat(stats: &Stats) -> Option<Finding> {
    let transactions = stats.messages.with_data_and_bdat;
    (transactions > 0).then(|| Finding {
        name: "data-and-bdat",
        text: format!("sent both DATA and BDAT in {}", words::count(transactions, "mail transaction")),
        reference: "RFC 3030 section 2",
    })
}

pub(super) fn unknown_commands(stats: &Stats) -> Option<Finding> {
    let is_command = |stage: &Stage| !matches!(stage, Stage::Greeting | Stage::Message);
    let commands = stats.stages.iter().filter(|(stage, _)| is_command(stage));
    let all = commands.fold(0_u64, |sum, (_, stage)| sum.saturating_add(stage.count));
    let unknown = stats.stages[Stage::Unknown].count;
    if unknown < UNKNOWN || (unknown as f64) < all as f64 * UNKNOWN_SHARE {
        return None;
    }
    let text = format!("sent {unknown} lines of {all} that are no command that this server has or offers");
    Some(Finding { name: "unknown-commands", text, reference: "RFC 5321 section 4.2.4" })
}

pub(super) fn needless_noop(stats: &Stats) -> Option<Finding> {
    needless(stats, Stage::Noop, "needless-noop", "RFC 5321 section 4.1.1.9")
}

pub(super) fn needless_rset(stats: &Stats) -> Option<Finding> {
    needless(stats, Stage::Rset, "needless-rset", "RFC 5321 section 4.1.1.5")
}

fn needless(stats: &Stats, stage: Stage, name: &'static str, reference: &'static str) -> Option<Finding> {
    // Each MAIL starts a transaction.
    let (count, transactions) = (stats.stages[stage].count, stats.stages[Stage::Mail].count);
    let text = || {
        let command = stage.name().to_uppercase();
        format!("sent {command} {count} times for {}", words::count(transactions, "mail transaction"))
    };
    let is_needless = count >= NEEDLESS && count > transactions.saturating_mul(PER_TRANSACTION);
    is_needless.then(|| Finding { name, text: text(), reference })
}
