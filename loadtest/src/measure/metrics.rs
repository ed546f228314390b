//! Histograms of latency. Each thread has a set; they are merged after the run.
//!
//! Values are nanoseconds with three significant digits. Successes and failures have separate histograms.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::client::phase::Phase;
use crate::time::clock::nanos;

/// Significant decimal digits of every histogram.
const DIGITS: u8 = 3;

/// An empty histogram that resizes itself.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("three digits are allowed"))
}

/// Records a duration of at least one nanosecond.
#[inline]
pub(crate) fn record(into: &mut Histogram<u64>, latency: Duration) {
    into.record(nanos(latency).max(1)).unwrap_or_else(|_| unreachable!("histograms resize"));
}

/// Adds `other` to `into`.
pub(crate) fn add(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    into.add(other).unwrap_or_else(|_| unreachable!("histograms resize"));
}

/// How a measured phase or message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Failed,
    /// The generator stopped waiting, at a timeout or at the end of the run: the latency is a lower bound (a
    /// right-censored sample).
    CutOff,
}

/// Latencies of one kind, separately for successes and failures.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) ok: Histogram<u64>,
    pub(crate) failed: Histogram<u64>,
    /// The number of right-censored samples in `failed`.
    pub(crate) censored: u64,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        Pair { ok: histogram(), failed: histogram(), censored: 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, end: End, latency: Duration) {
        record(if end == End::Ok { &mut self.ok } else { &mut self.failed }, latency);
        self.censored += u64::from(end == End::CutOff);
    }

    pub(crate) fn merge(&mut self, other: &Pair) {
        add(&mut self.ok, &other.ok);
        add(&mut self.failed, &other.failed);
        self.censored += other.censored;
    }
}

/// All histograms of a thread or of a run.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// By [`Phase::index`].
    pub(crate) phases: [Pair; Phase::COUNT],
    /// From the intended start of the message to its end.
    pub(crate) message: Pair,
    /// From the actual start to the end; empty in a closed loop, where both are the same.
    pub(crate) uncorrected: Pair,
    /// Delays of starts by the generator itself (open loop).
    pub(crate) lag: Histogram<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            phases: std::array::from_fn(|_| Pair::new()),
            message: Pair::new(),
            uncorrected: Pair::new(),
            lag: histogram(),
        }
    }

    pub(crate) fn phase(&mut self, phase: Phase, end: End, latency: Duration) {
        self.phases[phase.index()].record(end, latency);
    }

    pub(crate) fn merge(&mut self, other: &Metrics) {
        for (mine, theirs) in self.phases.iter_mut().zip(&other.phases) {
            mine.merge(theirs);
        }
        self.message.merge(&other.message);
        self.uncorrected.merge(&other.uncorrected);
        add(&mut self.lag, &other.lag);
    }
}
