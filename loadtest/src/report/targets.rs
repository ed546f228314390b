//! The accounts of several targets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::accounting::{Accounting, add as add_count};
use crate::report::{Report, Split};

/// The account of one of several targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetRow {
    /// As it was given.
    pub(crate) target: String,
    /// Sessions established with it.
    pub(crate) established: u64,
    /// Of the measured messages that were due at it, without recipients.
    pub(crate) accounting: Accounting,
    /// Their latency, from the intended start.
    pub(crate) message: Split,
}

impl TargetRow {
    /// Why messages failed, each with its number: `mail: reply 451 x3`. Empty if none did.
    pub(crate) fn failures(&self) -> String {
        let account = &self.accounting;
        let refused = account
            .refused_by_reply()
            .map(|(phase, reply, count)| format!("{phase}: reply {reply} x{count}"));
        let aborted =
            account.aborted.iter().map(|((phase, reason), count)| format!("{phase}: {reason} x{count}"));
        let late = account.timed_out.iter().map(|(phase, count)| format!("{phase}: timed out x{count}"));
        let left = [(account.in_flight, "in flight at the end"), (account.unsent, "never started")];
        let left =
            left.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what} x{count}"));
        refused.chain(aborted).chain(late).chain(left).collect::<Vec<_>>().join(", ")
    }

    /// Whether messages were due at it, and none was accepted.
    pub(crate) fn is_dead(&self) -> bool {
        self.accounting.accepted == 0 && self.accounting.owed() > 0
    }
}

/// The accounts by target; that of a report with one target is its own.
fn rows(report: &Report) -> Vec<TargetRow> {
    if !report.targets.is_empty() {
        return report.targets.clone();
    }
    vec![TargetRow {
        target: report.settings.target.clone(),
        established: report.sessions.established,
        accounting: Accounting {
            recipients_accepted: 0,
            recipients_refused: BTreeMap::new(),
            recipients_refused_enhanced: BTreeMap::new(),
            ..report.accounting.measured.clone()
        },
        message: report.latency.message.clone(),
    }]
}

/// The sum by target; none if there is one only.
pub(crate) fn merge(mine: &Report, theirs: &Report) -> Vec<TargetRow> {
    let mut all = rows(mine);
    for other in rows(theirs) {
        match all.iter_mut().find(|one| one.target == other.target) {
            None => all.push(other),
            Some(one) => {
                add_count(&mut one.established, other.established);
                one.accounting.merge(&other.accounting);
                one.message.merge(&other.message);
            }
        }
    }
    if all.len() > 1 { all } else { Vec::new() }
}
