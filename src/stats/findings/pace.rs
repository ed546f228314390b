//! Findings about clients that are slower than necessary or retry too fast.

use std::time::Duration;

use super::Finding;
use crate::smtp::Stage;
use crate::stats::{RetryStats, SessionStats, Stats};
use crate::text::units::duration;

/// Fewer connections with one message each may be different senders.
const CONNECTIONS: u64 = 50;
/// Fewer messages do not benefit from pipelining.
const UNPIPELINED: u64 = 10;
/// The delay of an acknowledgement: 40 ms on Linux, plus network and scheduling.
const DELAYED_ACK: (Duration, Duration) = (Duration::from_millis(35), Duration::from_millis(60));
/// Fewer gaps of that length may be coincidence.
const GAPS: u64 = 5;
/// A retry within this time is too early to succeed.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Fewer such retries may belong to other messages.
const RETRIES: u64 = 5;
/// The share of immediate retries from which they are a finding.
const RETRIES_AS_A_RULE: f64 = 0.9;

pub(super) fn connections_not_reused(stats: &Stats) -> Option<Finding> {
    let SessionStats { reused, not_reused, .. } = stats.sessions;
    (not_reused >= CONNECTIONS && reused == 0).then(|| Finding {
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

/// An immediate retry of a message known to be the same always counts. If identity is only assumed, because no other
/// message of the sender and recipient was seen, many such retries are needed.
pub(super) fn retried_at_once(stats: &Stats) -> Option<Finding> {
    let RetryStats { deferred, retried, after, identified, .. } = &stats.retries;
    let (soon, all) = (after.count_within(AT_ONCE), after.count());
    let left_alone = deferred.saturating_sub(*retried);
    let is_habit =
        soon >= RETRIES && soon as f64 >= all.saturating_add(left_alone) as f64 * RETRIES_AS_A_RULE;
    let known = identified.count_within(AT_ONCE);
    let what = match known {
        0 if !is_habit => return None,
        0 => format!("{soon} of {all} times, the soonest after {}", duration(after.min())),
        _ => {
            let (all, soonest) = (identified.count(), duration(identified.min()));
            format!("with the same message {known} of {all} times, the soonest after {soonest}")
        }
    };
    let reference = "RFC 5321 section 4.5.4.1";
    let text =
        format!("tried again within 1 s of a 4yz reply {what}; {reference} asks for 30 minutes in general");
    Some(Finding { name: "retried-at-once", text, reference })
}
