//! Distributions of what was measured: HdrHistograms that take no memory until something is recorded.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Additive;

/// Digits kept of every value: 1 in 1000.
const DIGITS: u8 = 3;
/// What is longer counts as this: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What is larger counts as this: it bounds the memory of one distribution to some 300 KiB.
const LARGEST: u64 = 1 << 40;

/// Numbers that were measured, to 3 digits.
#[derive(Clone, Default)]
pub struct Numbers(Option<Box<Histogram<u64>>>);

impl Numbers {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The smallest that this share of them (0 to 1) does not exceed. Zero where there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.value_at_quantile(share))
    }

    /// The share of them (0 to 1) that is not above this. 1 where there are none.
    pub fn share_within(&self, limit: u64) -> f64 {
        match self.count() {
            0 => 1.0,
            count => self.count_within(limit) as f64 / count as f64,
        }
    }

    /// How many of them are not above this.
    pub(super) fn count_within(&self, limit: u64) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.count_between(0, limit))
    }

    /// The smallest; zero where there are none.
    pub fn min(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.min())
    }

    /// The largest.
    pub fn max(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.max())
    }

    /// The mean; zero where there are none.
    pub fn mean(&self) -> f64 {
        self.0.as_deref().filter(|histogram| !histogram.is_empty()).map_or(0.0, Histogram::mean)
    }

    /// The whole of it; `None` where nothing was measured.
    pub fn histogram(&self) -> Option<&Histogram<u64>> {
        self.0.as_deref().filter(|histogram| !histogram.is_empty())
    }

    /// Of what was read from a file; it grows as if it had been measured here.
    #[cfg(feature = "report")]
    pub(crate) fn from_histogram(histogram: &Histogram<u64>) -> Self {
        let mut numbers = Self::default();
        numbers.filled().add(histogram).expect("a histogram that grows takes any other");
        numbers
    }

    pub(crate) fn add(&mut self, number: u64) {
        // It grows as needed, and no number is too large for it.
        let _ = self.filled().record(number.min(LARGEST));
    }

    /// What is measured first makes the histogram.
    fn filled(&mut self) -> &mut Histogram<u64> {
        self.0.get_or_insert_with(|| Box::new(Histogram::new(DIGITS).expect("a precision that exists")))
    }
}

impl Additive for Numbers {
    fn merge(&mut self, other: &Self) {
        if let Some(other) = other.histogram() {
            self.filled().add(other).expect("a histogram that grows takes any other");
        }
    }

    fn subtract(&mut self, earlier: &Self) {
        let Some(earlier) = earlier.histogram() else { return };
        let Some(own) = self.0.as_deref_mut() else { return };
        // Of another server, or not earlier: there is no difference to be had, so nothing is taken off.
        if own.subtract(earlier).is_err() {
            return;
        }
        // A histogram remembers its extremes from before the subtraction.
        let mut left = Self::default();
        for value in self.histogram().into_iter().flat_map(Histogram::iter_recorded) {
            let _ = left.filled().record_n(value.value_iterated_to(), value.count_at_value());
        }
        *self = left;
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.histogram() == other.histogram()
    }
}

impl Eq for Numbers {}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantiles = [0.5, 0.9, 0.99].map(|share| self.quantile(share));
        f.debug_struct("Numbers")
            .field("count", &self.count())
            .field("p50_p90_p99", &quantiles)
            .field("max", &self.max())
            .finish()
    }
}

/// Durations that were measured: to the microsecond, and to 3 digits.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Durations(Numbers);

impl Durations {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// The shortest that this share of them (0 to 1) does not exceed. Zero where there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.quantile(share))
    }

    /// The share of them (0 to 1) that is not longer than this. 1 where there are none.
    pub fn share_within(&self, limit: Duration) -> f64 {
        self.0.share_within(microseconds(limit))
    }

    /// How many of them are not longer than this.
    pub(super) fn count_within(&self, limit: Duration) -> u64 {
        self.0.count_within(microseconds(limit))
    }

    /// The shortest; zero where there are none.
    pub fn min(&self) -> Duration {
        Duration::from_micros(self.0.min())
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The mean; zero where there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// In microseconds.
    pub fn as_numbers(&self) -> &Numbers {
        &self.0
    }

    /// Of microseconds.
    #[cfg(feature = "report")]
    pub(crate) fn from_numbers(microseconds: Numbers) -> Self {
        Self(microseconds)
    }

    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.add(microseconds(duration.min(LONGEST)));
    }
}

impl Additive for Durations {
    fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    fn subtract(&mut self, earlier: &Self) {
        self.0.subtract(&earlier.0);
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

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
