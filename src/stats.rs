//! Counters of what the server did: one set per shard, added up when read.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::smtp::Policy;
use crate::smtp::behaviour::{MAX_DURATION, State};

/// Digits kept of every duration: 1 in 1000.
const PRECISION: u8 = 3;

/// A number that one thread counts up and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`. Only the thread that owns the counter may call this: a load and a store cost a
    /// fraction of an atomic addition.
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one shard counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sessions_opened: Counter,
    pub(crate) sessions_closed: Counter,
    pub(crate) messages_accepted: Counter,
    pub(crate) messages_refused: Counter,
    pub(crate) message_bytes: Counter,
    pub(crate) timeouts: Counter,
    /// Locked by its shard only when a delay is over, and by readers.
    delays: Mutex<Delays>,
}

impl Counters {
    /// A reply was told to be held back, and was.
    pub(crate) fn note_delay(&self, told: Duration, achieved: Duration) {
        let mut delays = self.delays();
        delays.told.add(told);
        delays.achieved.add(achieved);
        delays.lateness.add(achieved.saturating_sub(told));
        delays.early += u64::from(achieved < told);
    }

    fn delays(&self) -> MutexGuard<'_, Delays> {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Durations that were measured, as a histogram: to the microsecond, and to 3 digits.
#[derive(Clone)]
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Self {
        Self(Histogram::new(PRECISION).expect("a precision that exists"))
    }
}

impl Durations {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The shortest that this share of them (0 to 1) does not exceed. Zero where there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    /// The share of them (0 to 1) that is not longer than this. 1 where there are none.
    pub fn share_within(&self, limit: Duration) -> f64 {
        let within = self.0.count_between(0, microseconds(limit));
        if self.0.is_empty() { 1.0 } else { within as f64 / self.0.len() as f64 }
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    fn add(&mut self, duration: Duration) {
        // It grows as needed; what is longer than any delay can be counts as that.
        let _ = self.0.record(microseconds(duration.min(MAX_DURATION)));
    }

    fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that grows takes any other");
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl PartialEq for Durations {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Durations {}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantiles = [0.5, 0.9, 0.99].map(|share| self.quantile(share));
        f.debug_struct("Durations")
            .field("count", &self.count())
            .field("p50_p90_p99", &quantiles)
            .field("max", &self.max())
            .finish()
    }
}

/// The delays that are over: what was told and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delays {
    /// As configured, and drawn where that leaves it to chance.
    pub told: Durations,
    /// From the moment the command was read to the moment its reply was written.
    pub achieved: Durations,
    /// The difference.
    pub lateness: Durations,
    /// How many were shorter than told: none, unless there is a bug.
    pub early: u64,
}

/// A rule and how often it came into play.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleStats {
    /// The rule as text; of a list, a limit or `fail_fast`, the setting's name.
    pub rule: String,
    /// How often its stage was reached, and all its conditions held that do not count or draw.
    pub reached: u64,
    /// How often it fired.
    pub fired: u64,
}

/// What the server did since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted.
    pub sessions_opened: u64,
    /// Sessions that are over.
    pub sessions_closed: u64,
    /// Sessions that each shard has accepted, by shard. The kernel spreads connections over the shards by a
    /// hash of the addresses, so with few connections these differ widely.
    pub sessions_by_shard: Vec<u64>,
    /// Messages answered with an acceptance of the final dot.
    pub messages_accepted: u64,
    /// Messages received to the final dot and refused.
    pub messages_refused: u64,
    /// Octets of accepted message texts.
    pub message_bytes: u64,
    /// Sessions ended because the client was silent too long.
    pub timeouts: u64,
    /// Records no longer kept because [`Config::max_records`](crate::Config::max_records) or
    /// [`Config::max_record_memory`](crate::Config::max_record_memory) was reached.
    pub records_evicted: u64,
    /// What all chance followed from: with it, and one shard, the same run can be had again.
    pub seed: u64,
    /// Every rule: those that were told in their order, then lists, limits and `fail_fast` where they are set.
    pub rules: Vec<RuleStats>,
    /// The delays that are over.
    pub delays: Delays,
}

/// What rules are, and what they remember.
#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) policy: Arc<Policy>,
    pub(crate) state: Option<Arc<Mutex<State>>>,
}

impl Behaviour {
    fn rules(&self) -> Vec<RuleStats> {
        let Some(state) = &self.state else { return Vec::new() };
        let tallies = self.policy.tallies(&state.lock().unwrap_or_else(PoisonError::into_inner));
        let stats = |(rule, tally): (String, crate::smtp::behaviour::Tally)| RuleStats {
            rule,
            reached: tally.reached,
            fired: tally.fired,
        };
        tallies.into_iter().map(stats).collect()
    }
}

impl Stats {
    /// Adds up what the shards have counted so far.
    pub(crate) fn sum(shards: &[Arc<Counters>], records_evicted: u64, behaviour: &Behaviour) -> Self {
        let sum = |of: fn(&Counters) -> &Counter| shards.iter().map(|shard| of(shard).get()).sum();
        Self {
            sessions_opened: sum(|shard| &shard.sessions_opened),
            sessions_closed: sum(|shard| &shard.sessions_closed),
            sessions_by_shard: shards.iter().map(|shard| shard.sessions_opened.get()).collect(),
            messages_accepted: sum(|shard| &shard.messages_accepted),
            messages_refused: sum(|shard| &shard.messages_refused),
            message_bytes: sum(|shard| &shard.message_bytes),
            timeouts: sum(|shard| &shard.timeouts),
            records_evicted,
            seed: behaviour.policy.seed,
            rules: behaviour.rules(),
            delays: sum_delays(shards),
        }
    }
}

fn sum_delays(shards: &[Arc<Counters>]) -> Delays {
    let mut sum = Delays::default();
    for shard in shards {
        let delays = shard.delays();
        sum.told.merge(&delays.told);
        sum.achieved.merge(&delays.achieved);
        sum.lateness.merge(&delays.lateness);
        sum.early += delays.early;
    }
    sum
}
