//! Findings about the content of messages.

use super::{Finding, words};
use crate::stats::Stats;

/// The number of recipients that every server must accept (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS: u64 = 100;

pub(super) fn bare_lf(stats: &Stats) -> Option<Finding> {
    let reference = "RFC 5321 section 2.3.8";
    inspected(stats, stats.messages.with_bare_lf, "bare-lf", "LF without CR", reference)
}

pub(super) fn long_lines(stats: &Stats) -> Option<Finding> {
    let what = "lines of more than 998 octets (RFC 5322 section 2.1.1)";
    let reference = "RFC 5321 section 4.5.3.1.6";
    inspected(stats, stats.messages.with_long_lines, "long-lines", what, reference)
}

fn inspected(
    stats: &Stats,
    count: u64,
    name: &'static str,
    what: &str,
    reference: &'static str,
) -> Option<Finding> {
    let text = || {
        let inspected = words::count(stats.messages.inspected, "inspected message");
        format!("sent {what} in {count} of {inspected}")
    };
    (count > 0).then(|| Finding { name, text: text(), reference })
}

pub(super) fn many_recipients(stats: &Stats) -> Option<Finding> {
    let recipients = &stats.messages.recipients;
    let many = recipients.count() - recipients.count_within(RECIPIENTS);
    let text = || {
        let messages = words::count(many, "message");
        let most = recipients.max();
        format!(
            "named more than {RECIPIENTS} recipients in {messages}, up to {most}; no server need take so many"
        )
    };
    (many > 0).then(|| Finding {
        name: "many-recipients",
        text: text(),
        reference: "RFC 5321 section 4.5.3.1.8",
    })
}
