//! Counts of the messages of each step of a changing rate. Pure.
//!
//! A message belongs to the step in which it was due, whenever it was started or ended. A step's achieved rate is
//! that of the messages accepted during the step, whenever they were due.

use std::time::Duration;

use crate::account::accounting::Accounting;
use crate::load::plan::{Load, Plan};
use crate::load::schedule::Step;
use crate::measure::metrics::Pair;
use crate::time::clock::Moment;

/// The counts of one step.
#[derive(Clone, Debug)]
pub(crate) struct StepCounts {
    pub(crate) step: Step,
    /// Of the messages that were due in the step.
    pub(crate) account: Accounting,
    /// From the intended start to the end, of the same messages.
    pub(crate) message: Pair,
    /// Messages accepted during the step.
    pub(crate) achieved: u64,
}

/// The steps of a run; none for a closed loop or a constant rate.
#[derive(Clone, Debug)]
pub(crate) struct Steps(Vec<StepCounts>);

impl Steps {
    pub(crate) fn new(plan: &Plan) -> Steps {
        let steps = match &plan.load {
            Load::Closed => Vec::new(),
            Load::Open { profile, .. } => profile.steps(plan.limit.duration.unwrap_or(Duration::MAX)),
        };
        let empty =
            |step| StepCounts { step, account: Accounting::default(), message: Pair::new(), achieved: 0 };
        Steps(steps.into_iter().map(empty).collect())
    }

    /// The step of a moment.
    pub(crate) fn at(&mut self, moment: Moment) -> Option<&mut StepCounts> {
        let place = self.0.partition_point(|counts| counts.step.until <= moment.elapsed());
        self.0.get_mut(place)
    }

    /// Counts the acceptance of a measured message.
    pub(crate) fn achieve(&mut self, now: Moment) {
        if let Some(counts) = self.at(now) {
            counts.achieved += 1;
        }
    }

    /// Adds another thread's counts of the same plan.
    pub(crate) fn merge(&mut self, other: &Steps) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.account.merge(&theirs.account);
            mine.message.merge(&theirs.message);
            mine.achieved += theirs.achieved;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &StepCounts> {
        self.0.iter()
    }
}
