//! Collects the figures of all shards and adds those of the server.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::reconfigure::Serving;
use crate::net::control::Control;
use crate::net::overflow::accept_queue_overflows;
use crate::process::lock;
use crate::stats::{Additive, Stats};
use crate::time::{Clock, wall_time};

#[derive(Debug)]
pub(crate) struct Totals {
    clock: Clock,
    started_at: SystemTime,
    /// The system's counter at the start of the server: it counts from boot.
    overflows: Option<u64>,
    /// The total of each shard. Only readers lock it.
    by_shard: Mutex<Vec<Stats>>,
}

impl Totals {
    /// Totals of a server that starts now.
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

    /// Reads all figures up to now.
    pub(crate) fn read(&self, shards: &[Arc<Control>], serving: &Serving) -> Stats {
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
        let service = serving.service();
        stats.seed = service.policy().seed;
        stats.rules = serving.rules(service.policy());
        stats.retries = serving.retries();
        stats.pipelining.offered |= service.offers_pipelining();
        stats.health.accept_queue_overflows =
            self.overflows.and_then(|before| Some(accept_queue_overflows()?.saturating_sub(before)));
        stats
    }
}
