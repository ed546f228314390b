//! The series of a run: rows of equal length, in a bounded number for any length of the run.

use std::collections::BTreeMap;

use crate::account::accounting::add as add_count;
use crate::report::IntervalRow;

/// The most rows; beyond it, pairs are merged.
const ROWS: usize = 512;

/// The longest row, in seconds: no run is as long.
const LONGEST: u64 = 1 << 38;

/// The rows of a run, or of several on one clock.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Seconds of a row: a power of two.
    scale: u64,
    /// By index: a row begins at its index times the scale.
    rows: BTreeMap<u64, IntervalRow>,
}

impl Series {
    pub(crate) fn new() -> Series {
        Series { scale: 1, rows: BTreeMap::new() }
    }

    /// Builds a series from the rows of a report, which are in order.
    pub(crate) fn of(rows: Vec<IntervalRow>) -> Series {
        let longest = rows.iter().map(|row| row.length_s).fold(1.0, f64::max);
        let mut series = Series::new();
        while (series.scale as f64) < longest && series.scale < LONGEST {
            series.scale *= 2;
        }
        rows.into_iter().for_each(|row| series.push(row));
        series
    }

    /// Appends a row, later than all others.
    pub(crate) fn push(&mut self, row: IntervalRow) {
        self.put(row);
        while self.rows.len() > ROWS {
            self.coarsen();
        }
    }

    /// The rows in order.
    pub(crate) fn into_rows(self) -> Vec<IntervalRow> {
        self.rows.into_values().collect()
    }

    /// Merges two series on one clock, on which they begin later by these times, which are whole seconds. Simultaneous rows
    /// are added.
    pub(crate) fn merged(self, my_shift_s: f64, other: Series, other_shift_s: f64) -> Series {
        let scale = self.scale.max(other.scale);
        let mut whole = self.shifted(my_shift_s, scale);
        for (place, row) in other.shifted(other_shift_s, scale).rows {
            match whole.rows.get_mut(&place) {
                Some(mine) => mine.add_beside(&row),
                None => drop(whole.rows.insert(place, row)),
            }
        }
        while whole.rows.len() > ROWS {
            whole.coarsen();
        }
        whole
    }

    /// The series later by `by_s`, in rows of `scale` seconds, which is not smaller than now.
    fn shifted(self, by_s: f64, scale: u64) -> Series {
        let mut shifted = Series { scale, rows: BTreeMap::new() };
        for mut row in self.rows.into_values() {
            row.at_s += by_s.round();
            shifted.put(row);
        }
        shifted
    }

    /// Merges pairs of rows.
    fn coarsen(&mut self) {
        let mut coarse = Series { scale: self.scale.saturating_mul(2), rows: BTreeMap::new() };
        for row in std::mem::take(&mut self.rows).into_values() {
            coarse.put(row);
        }
        *self = coarse;
    }

    /// Inserts a row at its place, after what is there.
    fn put(&mut self, mut row: IntervalRow) {
        let place = row.at_s.max(0.0) as u64 / self.scale;
        row.at_s = (place * self.scale) as f64;
        match self.rows.get_mut(&place) {
            Some(earlier) => earlier.add_after(&row),
            None => drop(self.rows.insert(place, row)),
        }
    }
}

impl IntervalRow {
    /// Adds a later row.
    fn add_after(&mut self, later: &IntervalRow) {
        let length_s = self.length_s + later.length_s;
        self.in_flight = 0;
        self.add_beside(later);
        self.length_s = length_s.min(LONGEST as f64);
    }

    /// Adds a simultaneous row.
    fn add_beside(&mut self, other: &IntervalRow) {
        self.length_s = self.length_s.max(other.length_s);
        add_count(&mut self.started, other.started);
        add_count(&mut self.accepted, other.accepted);
        add_count(&mut self.errors, other.errors);
        add_count(&mut self.in_flight, other.in_flight);
        self.starved |= other.starved;
        self.latency.merge(&other.latency);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::metrics::record;
    use crate::report::distribution::Distribution;
    use proptest::prelude::*;

    /// Every so many seconds have a sample: packing takes time.
    const SAMPLE_EVERY: u64 = 50;

    /// A second with one message accepted, one failed, and `in_flight` left.
    fn second(at: u64, in_flight: u64) -> IntervalRow {
        let mut latency = Distribution::empty();
        if at.is_multiple_of(SAMPLE_EVERY) {
            record(&mut latency.0, Duration::from_nanos(1));
        }
        IntervalRow {
            at_s: at as f64,
            length_s: 1.0,
            started: 3,
            accepted: 1,
            errors: 1,
            in_flight,
            starved: at == 7,
            latency: latency.into(),
        }
    }

    fn run(seconds: u64) -> Series {
        let mut series = Series::new();
        (0..seconds).for_each(|at| series.push(second(at, at)));
        series
    }

    /// Started, accepted, errors, and samples of all rows.
    fn sums(rows: &[IntervalRow]) -> [u64; 4] {
        let sum = |of: fn(&IntervalRow) -> u64| rows.iter().map(of).sum();
        [
            sum(|row| row.started),
            sum(|row| row.accepted),
            sum(|row| row.errors),
            sum(|row| row.latency.count()),
        ]
    }

    #[test]
    fn a_run_of_a_day_has_no_more_rows_than_a_short_one_and_loses_nothing() {
        let seconds = 86_400;
        let rows = run(seconds).into_rows();
        assert!(rows.len() <= ROWS, "{}", rows.len());
        assert_eq!(sums(&rows), [3 * seconds, seconds, seconds, seconds / SAMPLE_EVERY]);
        let length = rows[0].length_s;
        assert_eq!(length, 256.0, "the shortest power of two of which {ROWS} are a day");
        for pair in rows.windows(2) {
            assert_eq!(pair[1].at_s - pair[0].at_s, length);
        }
        assert_eq!(rows[1].in_flight, 511, "what is in flight is what its last second left");
        let starved = rows.iter().filter(|row| row.starved).count();
        assert_eq!(starved, 1);
        assert_eq!(rows.last().map(|row| row.at_s + row.length_s), Some(seconds as f64));
    }

    #[test]
    fn rows_are_never_more_than_allowed_while_a_run_goes_on() {
        let mut series = Series::new();
        for at in 0..3000 {
            series.push(second(at, 0));
            assert!(series.rows.len() <= ROWS);
            assert!(at < 512 || series.rows.len() > ROWS / 2, "no coarser than need be");
        }
    }

    #[test]
    fn runs_side_by_side_add_up_and_runs_one_after_the_other_follow() {
        let rows = run(3).merged(0.0, run(2), 1.4).into_rows();
        assert_eq!(
            rows.iter().map(|row| (row.started, row.in_flight)).collect::<Vec<_>>(),
            [(3, 0), (6, 1), (6, 3)]
        );
        let rows = run(2).merged(10.0, run(2), 0.0).into_rows();
        assert_eq!(rows.iter().map(|row| row.at_s).collect::<Vec<_>>(), [0.0, 1.0, 10.0, 11.0]);
    }

    #[test]
    fn what_a_report_may_hold_is_taken_and_bounded() {
        let odd = |at_s, length_s| IntervalRow { at_s, length_s, ..second(0, 0) };
        let rows = vec![odd(-5.0, -1.0), odd(f64::NAN, f64::NAN), odd(1e300, f64::INFINITY)];
        let series = Series::of(rows).merged(-1e300, Series::new(), 0.0);
        assert_eq!(sums(&series.into_rows())[0], 9);
    }

    proptest! {
        // Many seconds each.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn merging_loses_nothing_and_stays_bounded(mine in 0u64..1100, other in 0u64..1100, shift in 0u16..5000) {
            let whole = run(mine).merged(0.0, run(other), f64::from(shift));
            let rows = Series::of(whole.into_rows()).into_rows();
            prop_assert!(rows.len() <= ROWS);
            let seconds = mine + other;
            let samples = mine.div_ceil(SAMPLE_EVERY) + other.div_ceil(SAMPLE_EVERY);
            prop_assert_eq!(sums(&rows), [3 * seconds, seconds, seconds, samples]);
        }
    }
}
