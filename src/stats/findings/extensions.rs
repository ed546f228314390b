//! Findings about the use of extensions. None if extensions are off: go-smtp-mock's clients can't know.

use super::{Finding, words};
use crate::stats::Stats;

pub(super) fn parameters_not_offered(stats: &Stats) -> Option<Finding> {
    let what = "sent parameters of MAIL or RCPT that were not offered";
    in_sessions(
        stats.extensions.parameters_not_offered,
        "parameters-not-offered",
        what,
        "RFC 5321 section 4.1.1.11",
    )
}

pub(super) fn undeclared_eight_bit(stats: &Stats) -> Option<Finding> {
    let count = stats.messages.with_undeclared_eight_bit;
    let text = || {
        let messages = words::count(stats.messages.inspected, "inspected message");
        format!(
            "sent octets beyond US-ASCII in {count} of {messages} without BODY=8BITMIME, which was offered"
        )
    };
    (count > 0).then(|| Finding { name: "8bit-undeclared", text: text(), reference: "RFC 6152 section 3" })
}

pub(super) fn larger_than_declared(stats: &Stats) -> Option<Finding> {
    let count = stats.messages.larger_than_declared;
    let text = || {
        let messages = words::count(stats.messages.declared, "message");
        format!(
            "declared a SIZE smaller than the message in {count} of {messages}: that MAIL was accepted then promises \
             nothing"
        )
    };
    (count > 0).then(|| Finding {
        name: "larger-than-declared",
        text: text(),
        reference: "RFC 1870 section 6.3",
    })
}

pub(super) fn pipelining_not_offered(stats: &Stats) -> Option<Finding> {
    let what = "pipelined, although the reply to EHLO did not offer it,";
    in_sessions(
        stats.extensions.pipelining_not_offered,
        "pipelining-not-offered",
        what,
        "RFC 2920 section 3.1",
    )
}

pub(super) fn group_not_ended(stats: &Stats) -> Option<Finding> {
    let what = "did not wait for the reply to a command that must end a group, like DATA,";
    in_sessions(stats.extensions.group_not_ended, "group-not-ended", what, "RFC 2920 section 3.1")
}

pub(super) fn probed_addresses(stats: &Stats) -> Option<Finding> {
    let what = "sent VRFY or EXPN three times or more";
    in_sessions(stats.extensions.inquiries, "probed-addresses", what, "RFC 5321 section 7.3")
}

pub(super) fn in_sessions(
    count: u64,
    name: &'static str,
    what: &str,
    reference: &'static str,
) -> Option<Finding> {
    let text = || format!("{what} in {}", words::count(count, "session"));
    (count > 0).then(|| Finding { name, text: text(), reference })
}
