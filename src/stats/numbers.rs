//! Distributions of measured values: HdrHistograms that use no memory until a value is recorded.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Additive;

/// Significant digits of every value: 1 in 1000.
const DIGITS: u8 = 3;
/// Longer durations count as this, in microseconds: a day.
const LONGEST: u64 = 24 * 3600 * 1_000_000;
/// Larger numbers count as this. It limits the memory of one distribution to about 300 KiB.
const LARGEST: u64 = 1 << 40;

/// A distribution of numbers to 3 digits; its minimum and maximum are exact.
#[derive(Clone)]
pub struct Numbers {
    histogram: Option<Box<Histogram<u64>>>,
    /// `u64::MAX` while empty.
    min: u64,
    /// Zero while empty.
    max: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { histogram: None, min: u64::MAX, max: 0 }
    }
}

impl Numbers {
    /// The number of values.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The smallest number that this share (0 to 1) does not exceed. Zero while empty.
    pub fn quantile(&self, share: f64) -> u64 {
        self.histogram().map_or(0, |histogram| histogram.value_at_quantile(share).clamp(self.min, self.max))
    }

    /// The share of numbers (0 to 1) that are at most `limit`. 1 while empty.
    pub fn share_within(&self, limit: u64) -> f64 {
        match self.count() {
            0 => 1.0,
            count => self.count_within(limit) as f64 / count as f64,
        }
    }

    /// The number of values that are at most `limit`.
    pub(super) fn count_within(&self, limit: u64) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.count_between(0, limit))
    }

    /// The minimum; zero while empty. Exact, except in a [difference](super::Stats::since) without a new minimum,
    /// where it has 3 digits.
    pub fn min(&self) -> u64 {
        self.histogram().map_or(0, |_| self.min)
    }

    /// The maximum; as exact as [`min`](Self::min).
    pub fn max(&self) -> u64 {
        self.histogram().map_or(0, |_| self.max)
    }

    /// The mean; zero while empty.
    pub fn mean(&self) -> f64 {
        self.histogram().map_or(0.0, |histogram| histogram.mean().clamp(self.min as f64, self.max as f64))
    }

    /// The histogram; `None` while empty.
    pub fn histogram(&self) -> Option<&Histogram<u64>> {
        self.histogram.as_deref().filter(|histogram| !histogram.is_empty())
    }

    /// Creates it from a histogram and exact extremes of a file. `None` if the extremes do not match the histogram.
    #[cfg(feature = "report")]
    pub(crate) fn from_histogram(histogram: &Histogram<u64>, min: u64, max: u64) -> Option<Self> {
        let (lowest, highest) = (histogram.min(), histogram.max());
        let is_it = min <= max && histogram.equivalent(min, lowest) && histogram.equivalent(max, highest);
        let mut numbers = Self::default();
        if !histogram.is_empty() {
            numbers.widen(min, max);
            numbers.filled().add(histogram).expect("a histogram that grows takes any other");
        }
        is_it.then_some(numbers)
    }

    pub(crate) fn add(&mut self, number: u64) {
        let number = number.min(LARGEST);
        self.widen(number, number);
        // It resizes itself and accepts every number.
        let _ = self.filled().record(number);
    }

    fn add_times(&mut self, number: u64, times: u64) {
        let number = number.min(LARGEST);
        if times > 0 {
            self.widen(number, number);
            let _ = self.filled().record_n(number, times);
        }
    }

    /// Extends the extremes to these.
    fn widen(&mut self, min: u64, max: u64) {
        self.min = self.min.min(min);
        self.max = self.max.max(max);
    }

    /// The histogram, created at the first value.
    #[inline]
    fn filled(&mut self) -> &mut Histogram<u64> {
        self.histogram.get_or_insert_with(new_histogram)
    }
}

/// Not inlined, so that the frequent path stays small.
#[cold]
fn new_histogram() -> Box<Histogram<u64>> {
    Box::new(Histogram::new(DIGITS).expect("a precision that exists"))
}

impl Additive for Numbers {
    fn merge(&mut self, other: &Self) {
        if let Some(histogram) = other.histogram() {
            self.widen(other.min, other.max);
            self.filled().add(histogram).expect("a histogram that grows takes any other");
        }
    }

    fn subtract(&mut self, earlier: &Self) {
        let Some(taken) = earlier.histogram() else { return };
        let Some(own) = self.histogram.as_deref() else { return };
        let taken_at = |value| if value <= taken.max() { taken.count_at(value) } else { 0 };
        let mut left = Self::default();
        for value in own.iter_recorded() {
            let (value, count) = (value.value_iterated_to(), value.count_at_value());
            // `earlier` may have more if it is of another server, or if values were withdrawn since.
            let rest = count.saturating_sub(taken_at(value));
            if rest > 0 {
                let _ = left.filled().record_n(value, rest);
            }
        }
        if let Some(histogram) = left.histogram() {
            // Only a new extreme is known to belong to the difference.
            let (min, max) = (histogram.min(), histogram.max());
            left.min = if self.min < earlier.min { self.min } else { min };
            left.max = if self.max > earlier.max { self.max } else { max };
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
        debug(self, "Numbers", |value| value, f)
    }
}

/// Formats the usual figures, each value by `show`.
fn debug<V: fmt::Debug>(
    numbers: &Numbers,
    name: &str,
    show: impl Fn(u64) -> V,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.debug_struct(name)
        .field("count", &numbers.count())
        .field("p50_p90_p99", &[0.5, 0.9, 0.99].map(|share| show(numbers.quantile(share))))
        .field("max", &show(numbers.max()))
        .finish()
}

/// A distribution of durations, in microseconds to 3 digits.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Durations(Numbers);

impl Durations {
    /// The number of values.
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// The shortest duration that this share (0 to 1) does not exceed. Zero while empty.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.quantile(share))
    }

    /// The share of durations (0 to 1) that are at most `limit`. 1 while empty.
    pub fn share_within(&self, limit: Duration) -> f64 {
        self.0.share_within(microseconds(limit))
    }

    /// The number of durations that are at most `limit`.
    pub(super) fn count_within(&self, limit: Duration) -> u64 {
        self.0.count_within(microseconds(limit))
    }

    /// The minimum; zero while empty.
    pub fn min(&self) -> Duration {
        Duration::from_micros(self.0.min())
    }

    /// The maximum; zero while empty.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The mean; zero while empty.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// The distribution in microseconds.
    pub fn as_numbers(&self) -> &Numbers {
        &self.0
    }

    /// Creates it from a distribution in microseconds.
    #[cfg(feature = "report")]
    pub(crate) fn from_numbers(microseconds: Numbers) -> Self {
        Self(microseconds)
    }

    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.add(microseconds(duration).min(LONGEST));
    }

    /// Adds it this many times.
    pub(crate) fn add_times(&mut self, duration: Duration, times: u64) {
        self.0.add_times(microseconds(duration).min(LONGEST), times);
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
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros().into())
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.0, "Durations", Duration::from_micros, f)
    }
}
