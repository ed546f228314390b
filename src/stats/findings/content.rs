//! Findings about the content of messages.

use super::{Finding, words};
use crate::stats::Stats;

/// The number of recipients that every server must accept (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS: u64 = 100;

pub(super) fn bare_lf(stats: &Stats) -> Option<Finding> {
    let reference = "RFC 5321 section 2.3.8";
    let messages = inspected(stats.messages.inspected);
    sent(stats.messages.with_bare_lf, &messages, "bare-lf", "LF without CR", reference)
}

pub(super) fn long_lines(stats: &Stats) -> Option<Finding> {
    let what = "lines of more than 998 octets (RFC 5322 section 2.1.1)";
    let reference = "RFC 5321 section 4.5.3.1.6";
    let messages = inspected(stats.messages.inspected);
    sent(stats.messages.with_long_lines, &messages, "long-lines", what, reference)
}

pub(super) fn bare_cr_or_lf_in_chunks(stats: &Stats) -> Option<Finding> {
    let (what, reference) = ("CR or LF without the other", "RFC 5321 section 2.3.8");
    let messages = inspected(stats.messages.inspected_in_chunks) + " in chunks";
    let count = stats.messages.in_chunks_with_bare_cr_or_lf;
    sent(count, &messages, "bare-cr-or-lf-in-chunks", what, reference)
}

fn inspected(messages: u64) -> String {
    words::count(messages, "inspected message")
}

fn sent(
    count: u64,
    messages: &str,
    name: &'static str,
    what: &str,
    reference: &'static str,
) -> Option<Finding> {
    let text = format!("sent {what} in {count} of {messages}");
    (count > 0).then_some(Finding { name, text, reference })
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
