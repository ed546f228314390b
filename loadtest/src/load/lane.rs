//! The lanes of a thread: the messages of one target, with connections of their own. Pure.
//!
//! Message `seq` of a run goes to target `seq` modulo the number of targets, in every part and thread. A session is one
//! with a target, so each target has its own share of the connections, and a slow one delays no message of another.

use crate::load::part::Part;
use crate::load::plan::{Load, Plan};

/// Messages of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    /// The index of the target in the plan.
    pub(crate) target: usize,
    /// The messages: in an open loop those of the thread, in a closed loop those that all threads take in turn.
    pub(crate) part: Part,
    /// The index of the lane among those of the part, or of the thread in an open loop.
    pub(crate) number: usize,
    /// Connections of the thread; at least one.
    pub(crate) connections: usize,
}

/// The messages of a part by target, in the order of the first of each: all targets, or fewer if the number of parts
/// and that of targets have a common divisor.
pub(crate) fn by_target(part: Part, targets: usize) -> Vec<(usize, Part)> {
    let targets = targets as u64;
    let period = targets / divisor(part.of(), targets);
    let one = |number| {
        let part = part.cut(number, period);
        ((part.index() % targets) as usize, part)
    };
    (0..period).map(one).collect()
}

/// The greatest common divisor.
fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// The lanes of thread `thread`.
pub(crate) fn lanes(plan: &Plan, thread: usize) -> Vec<Lane> {
    let (all, first) = match plan.load {
        Load::Open { .. } => (plan.part.cut(thread as u64, plan.threads as u64), 0),
        // All threads have the same lanes: their connections are dealt out in turn.
        Load::Closed => (plan.part, (0..thread).map(|thread| plan.connections_of(thread)).sum()),
    };
    let all = by_target(all, plan.targets.len());
    let period = all.len();
    let dealt = |until: usize, number: usize| until / period + usize::from(number < until % period);
    let until = first + plan.connections_of(thread);
    let lane = |(number, (target, part))| {
        let connections = dealt(until, number) - dealt(first, number);
        Lane { target, part, number, connections }
    };
    all.into_iter().enumerate().map(lane).filter(|lane| lane.connections > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_message_is_in_the_lane_of_its_target(of in 1u64..12, index in 0u64..12, targets in 1usize..12) {
            let part = Part::new(index % of, of).unwrap();
            let lanes = by_target(part, targets);
            for nth in 0..200 {
                let seq = part.seq(nth);
                let found: Vec<usize> =
                    lanes.iter().filter(|(_, part)| part.nth(seq).is_some()).map(|(target, _)| *target).collect();
                prop_assert_eq!(found, vec![(seq % targets as u64) as usize]);
            }
        }
    }
}
