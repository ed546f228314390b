//! Counts over time, in a bounded number of intervals however long a server runs.

use std::time::Duration;

use super::Additive;
use super::catalogue::figures;
#[cfg(feature = "report")]
use super::catalogue::{Figures as _, Metric, Slot};

/// The maximum number of intervals; beyond it, adjacent intervals are merged.
const INTERVALS: usize = 512;
/// The initial length of an interval.
const SHORTEST: Duration = Duration::from_secs(1);

figures! {
    /// Counts of one interval.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Interval {
        /// Sessions accepted.
        pub opened: u64 = ["opened", Number, "sessions accepted"],
        /// Sessions that ended.
        pub closed: u64 = ["closed", Number, "sessions that ended"],
        /// Messages accepted.
        pub messages: u64 = ["messages", Number, "messages accepted"],
        /// Commands and messages answered with a 4yz or 5yz reply.
        pub refused: u64 = ["refused", Number, "commands and messages answered with a 4yz or 5yz reply"],
    }
}

impl Interval {
    /// The counts with their names.
    #[cfg(feature = "report")]
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::lines().filter_map(|line| match (line.metric)(self)? {
            Metric::Count(count) => Some((line.name, count)),
            Metric::Durations(_) | Metric::Numbers(_) => None,
        })
    }

    /// Creates an interval from the counts that `read` returns for each name.
    ///
    /// # Errors
    /// Those of `read`.
    #[cfg(feature = "report")]
    pub(crate) fn from_counts<E>(mut read: impl FnMut(&'static str) -> Result<u64, E>) -> Result<Self, E> {
        let mut interval = Self::default();
        for line in Self::lines() {
            if let Slot::Count(count) = (line.slot)(&mut interval) {
                *count = read(line.name)?;
            }
        }
        Ok(interval)
    }
}

/// Counts over time since the server's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The length of an interval in units of [`SHORTEST`]: a power of two.
    scale: u32,
    /// The index of the first interval; earlier ones are empty.
    first: usize,
    intervals: Vec<Interval>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { scale: 1, first: 0, intervals: Vec::new() }
    }
}

impl Timeline {
    /// The length of an interval: a second, or more in a long run.
    pub fn interval(&self) -> Duration {
        SHORTEST * self.scale
    }

    /// The intervals from the first to the last that is not empty, with their starts since the server's start.
    pub fn intervals(&self) -> impl Iterator<Item = (Duration, &Interval)> {
        let length = self.interval();
        let starts =
            (self.first..).map(move |index| length.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX)));
        starts.zip(&self.intervals)
    }

    /// Creates a timeline with intervals of this length, for a file; `None` for an invalid length.
    #[cfg(feature = "report")]
    pub(crate) fn with_interval(length: Duration) -> Option<Self> {
        let scale = u32::try_from(length.as_secs() / SHORTEST.as_secs()).ok()?;
        let exists = scale.is_power_of_two() && SHORTEST * scale == length;
        exists.then_some(Self { scale, ..Self::default() })
    }

    /// The timeline on a clock that started earlier by this time, to the precision of an interval.
    #[cfg(feature = "report")]
    pub(crate) fn shifted(&self, by: Duration) -> Self {
        let mut shifted = Self { scale: self.scale, ..Self::default() };
        for (start, interval) in self.intervals() {
            shifted.at(start.saturating_add(by)).merge(interval);
        }
        shifted
    }

    /// The interval of a moment, which is counted from the server's start.
    pub(crate) fn at(&mut self, moment: Duration) -> &mut Interval {
        let mut index = self.index_of(moment);
        if self.intervals.is_empty() {
            self.first = index;
        }
        while index.max(self.end().saturating_sub(1)) >= self.first.min(index) + INTERVALS {
            self.coarsen();
            index = self.index_of(moment);
        }
        if index < self.first {
            let missing = self.first - index;
            self.intervals.splice(0..0, std::iter::repeat_n(Interval::default(), missing));
            self.first = index;
        }
        if index >= self.end() {
            self.intervals.resize(index + 1 - self.first, Interval::default());
        }
        &mut self.intervals[index - self.first]
    }

    fn end(&self) -> usize {
        self.first + self.intervals.len()
    }

    fn index_of(&self, moment: Duration) -> usize {
        let index = moment.as_secs() / (SHORTEST.as_secs() * u64::from(self.scale));
        usize::try_from(index).unwrap_or(usize::MAX)
    }

    /// Merges each pair of adjacent intervals.
    fn coarsen(&mut self) {
        let mut merged = Vec::new();
        for (index, interval) in (self.first..).zip(&self.intervals) {
            let place = index / 2 - self.first / 2;
            merged.resize(place + 1, Interval::default());
            merged[place].merge(interval);
        }
        self.first /= 2;
        self.intervals = merged;
        self.scale = self.scale.saturating_mul(2);
    }

    fn coarsened_to(&self, scale: u32) -> Self {
        let mut coarse = self.clone();
        while coarse.scale < scale {
            coarse.coarsen();
        }
        coarse
    }
}

impl Additive for Timeline {
    fn merge(&mut self, other: &Self) {
        while self.scale < other.scale {
            self.coarsen();
        }
        for (start, interval) in other.coarsened_to(self.scale).intervals() {
            self.at(start).merge(interval);
        }
    }

    fn subtract(&mut self, earlier: &Self) {
        let earlier = earlier.coarsened_to(self.scale);
        for (index, interval) in (earlier.first..).zip(&earlier.intervals) {
            let place = index.checked_sub(self.first);
            if let Some(own) = place.and_then(|place| self.intervals.get_mut(place)) {
                own.subtract(interval);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost_and_it_stays_bounded(moments in prop::collection::vec(0u64..40_000, 1..200), split in 0usize..200) {
            let mut whole = Timeline::default();
            let mut parts = [Timeline::default(), Timeline::default()];
            for (index, moment) in moments.iter().map(|&seconds| Duration::from_secs(seconds)).enumerate() {
                whole.at(moment).messages += 1;
                parts[usize::from(index >= split)].at(moment).messages += 1;
            }
            let [mut merged, second] = parts;
            merged.merge(&second);
            prop_assert!(whole.intervals.len() <= INTERVALS);
            prop_assert_eq!(whole.intervals().map(|(_, interval)| interval.messages).sum::<u64>(), moments.len() as u64);
            prop_assert_eq!(&merged, &whole);
            merged.subtract(&second);
            let left = merged.intervals().map(|(_, interval)| interval.messages).sum::<u64>();
            prop_assert_eq!(left, moments.len().min(split) as u64);
        }
    }
}
