//! What makes clients slower than they could be, or faster than they should be.

use std::time::Duration;

use super::Finding;
use crate::smtp::Stage;
use crate::stats::Stats;
use crate::units::duration;

/// Fewer connections with a message each may be as many senders, each with one mail.
const CONNECTIONS: u64 = 50;
/// Fewer messages are too few to gain from pipelining.
const UNPIPELINED: u64 = 10;
/// A delayed acknowledgement takes 40 ms with Linux, and the way and the machines add to it.
const DELAYED_ACK: (Duration, Duration) = (Duration::from_millis(35), Duration::from_millis(60));
/// Fewer gaps of that length may be chance.
const GAPS: u64 = 5;
/// A try so soon finds what the one before found.
const AT_ONCE: Duration = Duration::from_secs(1);

pub(super) fn connections_not_reused(stats: &Stats) -> Option<Finding> {
    let not_reused = stats.sessions.not_reused;
    (not_reused >= CONNECTIONS && stats.sessions.messages.max() == 1).then(|| Finding {
        name: "connections-not-reused",
        text: format!("opened {not_reused} connections for a message each and reused none"),
        reference: "RFC 5321 section 2.1",
    })
}

pub(super) fn never_pipelined(stats: &Stats) -> Option<Finding> {
    let messages = stats.stages[Stage::Message].count;
    let pipelining = &stats.pipelining;
    let is_never = pipelining.offered && pipelining.groups.count() == 0 && messages >= UNPIPELINED;
    is_never.then(|| Finding {
        name: "never-pipelined",
        text: format!("never pipelined in {messages} messages, although it was offered"),
        reference: "RFC 2920 section 3.1",
    })
}

pub(super) fn nagle_delay(stats: &Stats) -> Option<Finding> {
    let gaps = &stats.messages.longest_gap;
    let all = gaps.count();
    let delayed = gaps.count_within(DELAYED_ACK.1) - gaps.count_within(DELAYED_ACK.0);
    let text = || {
        format!(
            "waited about 40 ms in the data of {delayed} of {all} messages that came in pieces, as Nagle's \
             algorithm does for a delayed acknowledgement; TCP_NODELAY or larger writes avoid it"
        )
    };
    let is_usual = delayed >= GAPS && delayed.saturating_mul(2) >= all;
    is_usual.then(|| Finding { name: "nagle-delay", text: text(), reference: "RFC 9293 section 3.7.4" })
}

pub(super) fn retried_at_once(stats: &Stats) -> Option<Finding> {
    let after = &stats.retries.after;
    let (soon, all) = (after.count_within(AT_ONCE), after.count());
    let text = || {
        let soonest = duration(after.min());
        format!(
            "tried again within 1 s of a 4yz reply {soon} of {all} times, the soonest after {soonest}; RFC 5321 \
             section 4.5.4.1 asks for 30 minutes in general (the same reverse-path, \
             and forward-path where one was named; where no Message-ID was known it may have been another message)"
        )
    };
    (soon > 0).then(|| Finding {
        name: "retried-at-once",
        text: text(),
        reference: "RFC 5321 section 4.5.4.1",
    })
}
