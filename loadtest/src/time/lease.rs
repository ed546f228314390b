//! How long a run may go on unless this is extended: its event loops look before they start a message.

use std::sync::Arc;
use std::time::Duration;

use crate::time::clock::{Clock, Latest, Moment};

/// The permission to run until an instant, which others make later. Event loops compare it with a reading of their clock: however
/// long a process stood still, they see that first.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// By `clock`.
    until: Arc<Latest>,
    clock: Clock,
    /// Messages in flight at its end have at most this long.
    drain: Duration,
}

impl Lease {
    /// One that ends at `until`, by `clock`.
    #[cfg(feature = "fleet")]
    pub(crate) fn new(clock: Clock, until: Moment, drain: Duration) -> Lease {
        let lease = Lease { until: Arc::default(), clock, drain };
        lease.extend(until);
        lease
    }

    /// Makes its end later; an earlier one changes nothing.
    #[cfg(feature = "fleet")]
    pub(crate) fn extend(&self, until: Moment) {
        self.until.raise(until);
    }

    /// As the event loops of a run with this clock see it.
    pub(crate) fn of_run(&self, clock: &Clock) -> Term {
        let start = Moment::ZERO.after(clock.ahead_of(&self.clock));
        Term { until: Arc::clone(&self.until), start, drain: self.drain }
    }
}

/// A lease by the clock of a run.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    until: Arc<Latest>,
    /// The start of the run by the clock of the lease.
    start: Moment,
    drain: Duration,
}

impl Term {
    /// After this moment no message is started.
    #[inline]
    pub(crate) fn end(&self) -> Moment {
        Moment::ZERO.after(self.until.get().since(self.start))
    }

    /// From this moment on nothing of a message is sent, where a run has so long for messages in flight.
    pub(crate) fn silent_from(&self, grace: Duration) -> Moment {
        self.end().after(grace.min(self.drain))
    }
}

#[cfg(all(test, feature = "fleet"))]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_the_same_instant_by_each_clock_and_never_ends_earlier() {
        let at = |seconds| Moment::ZERO.after(Duration::from_secs(seconds));
        let clock = Clock::start();
        let lease = Lease::new(clock, at(100), Duration::from_secs(3));
        let run = Clock::starting_at(crate::time::clock::since_1970() + Duration::from_secs(60));
        let (own, term) = (lease.of_run(&clock), lease.of_run(&run));
        let ahead = run.ahead_of(&clock);
        for (extended, end) in [(90, 100), (110, 110)] {
            lease.extend(at(extended));
            assert_eq!(own.end(), at(end));
            assert_eq!(term.end().after(ahead), at(end));
        }
        assert_eq!(own.silent_from(Duration::from_secs(60)), at(113));
        assert_eq!(own.silent_from(Duration::from_secs(1)), at(111));
        // It ended before the run began.
        let over = Lease::new(clock, at(1), Duration::ZERO);
        assert_eq!(over.of_run(&run).end(), Moment::ZERO);
    }
}
