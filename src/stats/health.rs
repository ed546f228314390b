//! The health of the server: whether its measurements are reliable.

use std::time::Duration;

use super::catalogue::figures;
use super::{Additive, Durations, Stats};
use crate::text::units::duration;

/// A longer turn of the event loop noticeably delays all sessions of its shard.
const LONG_TURN: Duration = Duration::from_millis(20);
/// A delay that exceeds the requested one by more is late; see [`MOST_LATE`].
const LATE: Duration = Duration::from_millis(2);
/// The maximum share of late delays in a healthy run.
const MOST_LATE: f64 = 0.01;
/// The number of replies due in one turn, at about ten microseconds each, that makes the last of them late.
const CROWD: u64 = 200;

figures! {
    /// The health of the server.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct Health {
        /// Turns of the event loops: from waking up to waiting again.
        pub turns: Durations = ["loop.turns", Microseconds, "turns of the server's event loops"],
        /// Connections that the system dropped because an accept queue was full, counted for all programs in the same
        /// network namespace; `None` if the system does not report it.
        pub accept_queue_overflows: Option<u64> =
            ["loop.accept_queue_overflows", Number, "connections dropped by a full accept queue"],
        /// How often a listener paused because of a lack of descriptors or memory for another connection. Clients
        /// waited to be accepted meanwhile.
        pub accept_rests: u64 = ["loop.accept_rests", Number, "pauses of accepting for lack of descriptors"],
        /// Records evicted because [`Config::max_records`](crate::Config::max_records) or
        /// [`Config::max_record_memory`](crate::Config::max_record_memory) was reached.
        pub records_evicted: u64 = ["records.evicted", Number, "records evicted at a limit"],
        /// Log entries dropped because the logger was too slow.
        pub log_entries_dropped: u64 = ["log.dropped", Number, "log entries dropped"],
    }
}

impl Additive for Option<u64> {
    fn merge(&mut self, other: &Self) {
        *self = match (*self, *other) {
            (Some(own), Some(other)) => Some(own.saturating_add(other)),
            (own, other) => own.or(other),
        };
    }

    fn subtract(&mut self, earlier: &Self) {
        if let (Some(own), Some(earlier)) = (self.as_mut(), earlier) {
            own.subtract(earlier);
        }
    }
}

impl Stats {
    /// Why the run is degraded: the problems of the server that affect its measurements, with figures. Empty for a
    /// healthy run.
    pub fn degraded(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let Health { turns, accept_queue_overflows, accept_rests, records_evicted, log_entries_dropped } =
            &self.health;
        if turns.max() > LONG_TURN {
            reasons.push(format!("the event loop was busy for {} without a break", duration(turns.max())));
        }
        let late = 1.0 - self.delays.lateness.share_within(LATE);
        if late > MOST_LATE {
            let (percent, limit) = (late * 100.0, duration(LATE));
            let at_once = Some(self.delays.at_once.get()).filter(|count| *count >= CROWD);
            let cause =
                at_once.map(|count| format!(": {count} replies were due in one turn of an event loop"));
            let cause = cause.unwrap_or_default();
            reasons.push(format!("{percent:.1} % of the delays were more than {limit} late{cause}"));
        }
        if self.delays.early > 0 {
            reasons.push(format!("{} delays were short", self.delays.early));
        }
        if let Some(overflows) = accept_queue_overflows.filter(|overflows| *overflows > 0) {
            reasons.push(format!("the system dropped {overflows} connections: an accept queue was full"));
        }
        if *accept_rests > 0 {
            reasons.push(format!(
                "clients waited to be accepted: there was no descriptor for them at {accept_rests} tries (ulimit -n)"
            ));
        }
        let failures = self.tls.own_failures;
        if failures > 0 {
            reasons.push(format!("{failures} handshakes of TLS failed for the server's own reasons"));
        }
        if *records_evicted > 0 {
            reasons.push(format!("{records_evicted} records were evicted"));
        }
        if *log_entries_dropped > 0 {
            reasons.push(format!("{log_entries_dropped} log entries were dropped"));
        }
        reasons
    }
}
