//! What makes clients slower than they could be, or faster than they should be.

use std::time::Duration;

use super::Finding;
use crate::smtp::Stage;
use crate::stats::{RetryStats, Stats};
use crate::text::units::duration;

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
/// Fewer such tries may be of other messages than those that were put off.
const RETRIES: u64 = 5;
/// The share of what was put off from which trying again at once is the rule.
const RETRIES_AS_A_RULE: f64 = 0.9;

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

/// What is known to be the same message counts from the first. Where it is only assumed, as no other message of its
/// sender and recipient was seen, one may be on its way: then it takes a habit.
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
