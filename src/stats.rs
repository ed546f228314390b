//! Counters of what the server did: one set per shard, added up when read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
}

impl Stats {
    /// Adds up what the shards have counted so far.
    pub(crate) fn sum(shards: &[Arc<Counters>], records_evicted: u64) -> Self {
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
        }
    }
}
