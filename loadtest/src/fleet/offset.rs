//! The offset of an agent's clock from the coordinator's, from the time stamps of their exchanges. Pure.
//!
//! As in NTP (RFC 5905 section 8): of the last exchanges the one with the shortest round trip determines the offset. If
//! one direction took all of that round trip, the offset would be wrong by half of it: that is the bound of the error.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smtpmock::units::EXACT_IN_JSON;

/// The exchanges that are considered: the last ones, as clocks drift.
const WINDOW: usize = 32;

/// The time stamps of an exchange, each since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// By the agent's clock.
    pub(crate) sent: Duration,
    /// By the coordinator's clock.
    pub(crate) received: Duration,
    pub(crate) replied: Duration,
    /// By the agent's clock.
    pub(crate) returned: Duration,
}

/// A measured offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offset {
    /// The agent's clock minus the coordinator's, in nanoseconds.
    pub(crate) offset_ns: i64,
    /// The offset is wrong by at most this.
    pub(crate) uncertainty_ns: u64,
    /// The exchanges so far.
    pub(crate) exchanges: u64,
}

/// The largest offset: a century. A machine without a clock begins in 1970; arithmetic survives it.
const OFFSET_LIMIT: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The largest uncertainty: no request takes two minutes.
const UNCERTAINTY_LIMIT: Duration = Duration::from_secs(60);

impl Offset {
    /// Whether a [`Meter`] can have measured it.
    pub(crate) fn is_sound(self) -> bool {
        Duration::from_nanos(self.offset_ns.unsigned_abs()) <= OFFSET_LIMIT
            && Duration::from_nanos(self.uncertainty_ns) <= UNCERTAINTY_LIMIT
            && self.exchanges <= EXACT_IN_JSON
    }

    /// An instant of the coordinator's clock by the agent's clock.
    pub(crate) fn to_agent(self, instant: Duration) -> Duration {
        shifted(instant, self.offset_ns)
    }
}

/// An instant later by `by_ns`, from 1970 on.
pub(crate) fn shifted(instant: Duration, by_ns: i64) -> Duration {
    let by = Duration::from_nanos(by_ns.unsigned_abs());
    if by_ns < 0 { instant.saturating_sub(by) } else { instant.saturating_add(by) }
}

/// Measures an offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    /// Offset and uncertainty of the last exchanges.
    recent: VecDeque<(i64, u64)>,
    exchanges: u64,
}

impl Meter {
    /// Notes an exchange. One whose time stamps are impossible, as a clock was set meanwhile, is ignored, and so is one that
    /// took minutes.
    pub(crate) fn note(&mut self, stamps: Stamps) {
        let nanos = |instant: Duration| i64::try_from(instant.as_nanos()).ok();
        let all = [stamps.sent, stamps.received, stamps.replied, stamps.returned].map(nanos);
        let [Some(sent), Some(received), Some(replied), Some(returned)] = all else { return };
        let (away, there) = (returned - sent, replied - received);
        if away < 0 || there < 0 || there > away {
            return;
        }
        let offset = ((sent - received) + (returned - replied)) / 2;
        // One more for what the division loses.
        let uncertainty = ((away - there) as u64) / 2 + 1;
        let measured = Offset { offset_ns: offset, uncertainty_ns: uncertainty, exchanges: self.exchanges };
        if !measured.is_sound() {
            return;
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back((offset, uncertainty));
        self.exchanges += 1;
    }

    /// The offset, once there was an exchange.
    pub(crate) fn offset(&self) -> Option<Offset> {
        let best = self.recent.iter().min_by_key(|(_, uncertainty)| *uncertainty)?;
        Some(Offset { offset_ns: best.0, uncertainty_ns: best.1, exchanges: self.exchanges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An exchange with a clock that is ahead by `offset`, of which each direction took so long.
    fn exchange(at: u64, offset: i64, there: u64, work: u64, back: u64) -> Stamps {
        let local = |nanos: u64| shifted(Duration::from_nanos(nanos), offset);
        let received = at + there;
        Stamps {
            sent: local(at),
            received: Duration::from_nanos(received),
            replied: Duration::from_nanos(received + work),
            returned: local(received + work + back),
        }
    }

    proptest! {
        #[test]
        fn the_error_is_within_its_bound_and_bounded_by_the_fastest_exchange(
            offset in -3_600_000_000_000i64..3_600_000_000_000,
            trips in prop::collection::vec((0u64..1_000_000_000, 0u64..1_000_000, 0u64..1_000_000_000), 1..40),
        ) {
            let mut meter = Meter::default();
            let base = 1_800_000_000_000_000_000u64;
            for (index, (there, work, back)) in (0..).zip(&trips) {
                meter.note(exchange(base + index * 3_000_000_000, offset, *there, *work, *back));
            }
            let found = meter.offset().unwrap();
            prop_assert!(found.offset_ns.abs_diff(offset) <= found.uncertainty_ns);
            let last = &trips[trips.len().saturating_sub(WINDOW)..];
            let fastest = last.iter().map(|(there, _, back)| there + back).min().unwrap();
            prop_assert_eq!(found.uncertainty_ns, fastest / 2 + 1);
            let there = Duration::from_nanos(base);
            prop_assert_eq!(shifted(found.to_agent(there), -found.offset_ns), there);
        }
    }

    #[test]
    fn exchanges_while_a_clock_was_set_are_ignored() {
        let mut meter = Meter::default();
        let mut stamps = exchange(1_000_000_000, 0, 5, 5, 5);
        stamps.returned = Duration::ZERO;
        meter.note(stamps);
        assert_eq!(meter.offset(), None);
    }
}
