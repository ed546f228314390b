//! The series of a run: the counts of each interval.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::account::accounting::{Accounting, add as add_count};
use crate::measure::metrics::{add, histogram};

/// The length of an interval.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The counts of one interval of one thread.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Numbered from the start of the run.
    pub(crate) index: u64,
    /// [`INTERVAL`], but for the last.
    pub(crate) length: Duration,
    /// Whether it is the thread's last.
    pub(crate) is_last: bool,
    pub(crate) started: u64,
    pub(crate) accepted: u64,
    pub(crate) errors: u64,
    /// Messages in flight at its end.
    pub(crate) in_flight: u64,
    /// Of messages accepted in the interval, including the warm-up.
    pub(crate) latency: Histogram<u64>,
    /// Whether the thread had no processor time left.
    pub(crate) starved: bool,
    /// What the accounts of measured messages and of the warm-up gained. Messages in flight are counted in the last
    /// interval only.
    pub(crate) measured: Accounting,
    pub(crate) warmup: Accounting,
}

impl Interval {
    pub(crate) fn new(index: u64) -> Interval {
        Interval {
            index,
            length: Duration::ZERO,
            is_last: false,
            started: 0,
            accepted: 0,
            errors: 0,
            in_flight: 0,
            latency: histogram(),
            starved: false,
            measured: Accounting::default(),
            warmup: Accounting::default(),
        }
    }

    /// Adds another thread's part of the same interval.
    pub(crate) fn merge(&mut self, other: &Interval) {
        self.length = self.length.max(other.length);
        add_count(&mut self.started, other.started);
        add_count(&mut self.accepted, other.accepted);
        add_count(&mut self.errors, other.errors);
        add_count(&mut self.in_flight, other.in_flight);
        self.starved |= other.starved;
        add(&mut self.latency, &other.latency);
        self.measured.merge(&other.measured);
        self.warmup.merge(&other.warmup);
    }
}
