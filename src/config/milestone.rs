//! Milestones: numbers of messages or sessions, with hooks that are called on reaching them.
//!
//! All shards share lock-free counters; the shard that reaches a milestone calls its hook. Without milestones nothing
//! is counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::ConfigError;

/// A point in a server's life, for [`Config::on_reaching`](crate::Config::on_reaching), which has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Milestone {
    /// This number of messages was accepted, over all sessions. A message counts when its positive reply has been
    /// written completely, not while that is delayed or if it is lost.
    Messages(u64),
    /// This number of sessions has ended.
    Sessions(u64),
}

type Hook = Arc<dyn Fn() + Send + Sync>;

/// A milestone and its hook.
#[derive(Clone)]
pub(crate) struct Goal {
    milestone: Milestone,
    hook: Hook,
}

impl Goal {
    pub(crate) fn new(milestone: Milestone, hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self { milestone, hook: Arc::new(hook) }
    }

    /// Refuses a milestone of zero, which can't be reached.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self.milestone {
            Milestone::Messages(0) | Milestone::Sessions(0) => {
                Err(ConfigError::new("on_reaching", 0, "a number of at least 1"))
            }
            Milestone::Messages(_) | Milestone::Sessions(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Goal").field(&self.milestone).finish()
    }
}

/// The counts of a server that has milestones.
#[derive(Debug, Default)]
pub(crate) struct Milestones {
    messages: Count,
    sessions: Count,
}

impl Milestones {
    /// `None` without milestones.
    pub(crate) fn new(goals: &[Goal]) -> Option<Box<Self>> {
        let mut milestones = Box::<Self>::default();
        for Goal { milestone, hook } in goals {
            let (count, target) = match *milestone {
                Milestone::Messages(target) => (&mut milestones.messages, target),
                Milestone::Sessions(target) => (&mut milestones.sessions, target),
            };
            count.goals.push((target, Arc::clone(hook)));
        }
        (!goals.is_empty()).then_some(milestones)
    }

    pub(crate) fn note_messages(&self, count: u64) {
        self.messages.advance(count);
    }

    pub(crate) fn note_session(&self) {
        self.sessions.advance(1);
    }
}

/// A counter and its milestones.
#[derive(Default)]
struct Count {
    count: AtomicU64,
    goals: Vec<(u64, Hook)>,
}

impl Count {
    /// Ranges of calls do not overlap, so every goal is reached in exactly one call.
    fn advance(&self, by: u64) {
        let before = self.count.fetch_add(by, Ordering::Relaxed);
        let range = before + 1..=before + by;
        for (_, hook) in self.goals.iter().filter(|(target, _)| range.contains(target)) {
            hook();
        }
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Count").field(&self.count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    proptest! {
        #[test]
        fn every_hook_is_called_once_whichever_thread_counts(
            steps in prop::collection::vec(0u64..5, 1..40), targets in prop::collection::vec(1u64..120, 1..6),
        ) {
            let called: Vec<_> = targets.iter().map(|_| Arc::<AtomicU64>::default()).collect();
            let goals: Vec<_> = targets.iter().zip(&called).map(|(&target, called)| {
                let called = Arc::clone(called);
                Goal::new(Milestone::Messages(target), move || {
                    called.fetch_add(1, Ordering::Relaxed);
                })
            }).collect();
            let milestones = Milestones::new(&goals).expect("goals");
            thread::scope(|scope| {
                for part in steps.chunks(steps.len().div_ceil(2)) {
                    scope.spawn(|| part.iter().for_each(|&step| milestones.note_messages(step)));
                }
            });
            let total: u64 = steps.iter().sum();
            for (target, called) in targets.iter().zip(&called) {
                prop_assert_eq!(called.load(Ordering::Relaxed), u64::from(*target <= total), "{}", target);
            }
        }
    }
}
