//! Counters shared by all shards: connections, open sessions, and progress towards milestones.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::milestone::{Goal, Milestones};
use crate::measure::ClearSenders;
use crate::smtp::ServerTag;
use crate::time::Timestamp;

/// Counters shared by all shards.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    tag: ServerTag,
    sessions: AtomicU64,
    /// Sessions with a positive greeting that have not ended.
    served: AtomicU64,
    /// When the last connection was accepted, in nanoseconds since the start.
    last_arrival: AtomicU64,
    milestones: Option<Box<Milestones>>,
    /// TLS has failed to begin in at least one session.
    has_failed_tls: AtomicBool,
    /// Clients that send mail in clear although they could encrypt.
    clear_senders: ClearSenders,
}

/// An accepted connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// The session's number; the first is 1.
    pub(super) session_id: u64,
    /// Time since the previous arrival; `None` for the first.
    pub(super) after: Option<Duration>,
}

impl Counters {
    /// Counters of a server, with these milestones.
    pub(crate) fn new(tag: ServerTag, goals: &[Goal]) -> Self {
        Self { tag, milestones: Milestones::new(goals), ..Self::default() }
    }

    /// Identifies the server whose sessions are counted here.
    pub(super) fn tag(&self) -> ServerTag {
        self.tag
    }

    /// Counts a connection that is accepted at `now`, the beginning of its shard's turn.
    pub(super) fn note_arrival(&self, now: Timestamp) -> Arrival {
        let session_id = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let nanoseconds = now.since_start().as_nanos() as u64;
        let before = self.last_arrival.swap(nanoseconds, Ordering::Relaxed);
        let before = Timestamp::at(Duration::from_nanos(before));
        // Another shard may have accepted earlier in a turn that began later: then no time has passed.
        Arrival { session_id, after: (session_id > 1).then(|| now.since(before)) }
    }

    /// TLS has failed to begin: from now on sessions are checked for what clients do afterwards.
    pub(super) fn note_failed_tls(&self) {
        self.has_failed_tls.store(true, Ordering::Relaxed);
    }

    pub(super) fn clear_senders(&self) -> &ClearSenders {
        &self.clear_senders
    }

    pub(super) fn has_failed_tls(&self) -> bool {
        self.has_failed_tls.load(Ordering::Relaxed)
    }

    /// Counts a session with a positive greeting. Returns the number of such sessions, including this one.
    pub(super) fn note_welcome(&self) -> u64 {
        self.served.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts the end of such a session.
    pub(super) fn note_farewell(&self) {
        let before = self.served.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "only a session that was served ends");
    }

    /// Counts the end of a connection towards milestones.
    pub(super) fn note_end(&self) {
        if let Some(milestones) = &self.milestones {
            milestones.note_session();
        }
    }

    /// Counts accepted messages, whose replies have left, towards milestones.
    pub(super) fn note_messages(&self, count: u64) {
        if let Some(milestones) = &self.milestones
            && count > 0
        {
            milestones.note_messages(count);
        }
    }
}
