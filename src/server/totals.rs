//! Reading what the shards have measured, and completing it with what only the server knows.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::measure::Retries;
use crate::net::overflow::accept_queue_overflows;
use crate::net::shard::Control;
use crate::process::lock;
use crate::smtp::Policy;
use crate::smtp::rules::{State, Tally};
use crate::stats::{Additive, RetryStats, RuleStats, Stats};
use crate::time::{Clock, wall_time};

/// Rules, what they remember, and what they put off.
#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) policy: Arc<Policy>,
    pub(crate) state: Option<Arc<Mutex<State>>>,
    /// `None` where nothing can be put off.
    pub(crate) retries: Option<Arc<Mutex<Retries>>>,
}

impl Behaviour {
    fn rules(&self) -> Vec<RuleStats> {
        let Some(state) = &self.state else { return Vec::new() };
        // Sessions wait for what is locked.
        let totals = lock(state).totals();
        let stats =
            |(rule, tally): (String, Tally)| RuleStats { rule, reached: tally.reached, fired: tally.fired };
        self.policy.tallies(&totals).into_iter().map(stats).collect()
    }

    /// What was tried again so far.
    fn retries(&self) -> Option<RetryStats> {
        // Sessions wait for what is locked.
        let (mut stats, tentative) = lock(self.retries.as_deref()?).figures();
        tentative.add_to(&mut stats);
        Some(stats)
    }
}

/// What was read so far.
#[derive(Debug)]
pub(crate) struct Totals {
    clock: Clock,
    started_at: SystemTime,
    /// At the start: the system counts from its own.
    overflows: Option<u64>,
    /// What each shard has measured. Locked by readers only.
    by_shard: Mutex<Vec<Stats>>,
}

impl Totals {
    /// Of a server that starts now.
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::start(),
            started_at: wall_time(),
            overflows: accept_queue_overflows(),
            by_shard: Mutex::default(),
        }
    }

    /// The clock of the server and all its shards.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Everything up to now.
    pub(crate) fn read(&self, shards: &[Arc<Control>], behaviour: &Behaviour) -> Stats {
        let mut by_shard = lock(&self.by_shard);
        by_shard.resize_with(shards.len(), Stats::default);
        let mut stats = Stats::default();
        for (total, shard) in by_shard.iter_mut().zip(shards) {
            if let Some(news) = shard.take_stats() {
                total.merge(&news);
            }
            stats.merge(total);
            stats.sessions_by_shard.push(total.sessions.opened);
        }
        stats.started_at = Some(self.started_at);
        stats.ends = self.clock.now().since_start();
        stats.seed = behaviour.policy.seed;
        stats.rules = behaviour.rules();
        stats.retries = behaviour.retries().unwrap_or_default();
        stats.pipelining.offered = behaviour.policy.may_offer("PIPELINING");
        stats.health.accept_queue_overflows =
            self.overflows.and_then(|before| Some(accept_queue_overflows()?.saturating_sub(before)));
        stats
    }
}
