//! The times of the runs of a report, from which the rate and the number of open sessions are computed.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// The latest moment in a report, in seconds after its start: no run is as long.
pub(crate) const LATEST_S: f64 = (1u64 << 38) as f64;

/// One run. Times are in seconds after the start of the report's earliest run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) begins_s: f64,
    /// The end of the warm-up.
    pub(crate) measured_from_s: f64,
    /// The end of the offered load.
    pub(crate) ends_s: f64,
    /// The most sessions that were open at once in this run.
    pub(crate) most_open: u64,
}

impl Span {
    /// A run that begins at zero.
    pub(crate) fn new(warmup_s: f64, measured_s: f64, most_open: u64) -> Span {
        Span { begins_s: 0.0, measured_from_s: warmup_s, ends_s: warmup_s + measured_s, most_open }
    }

    /// Whether the times can be those of a run.
    pub(crate) fn is_sound(&self) -> bool {
        [0.0, self.begins_s, self.measured_from_s, self.ends_s, LATEST_S].is_sorted()
    }

    /// Their order by time.
    pub(crate) fn in_order(&self, other: &Span) -> Ordering {
        let times = |span: &Span| [span.begins_s, span.measured_from_s, span.ends_s];
        let mut pairs = times(self).into_iter().zip(times(other));
        let by_time =
            pairs.find_map(|(one, another)| Some(one.total_cmp(&another)).filter(|order| order.is_ne()));
        by_time.unwrap_or_else(|| self.most_open.cmp(&other.most_open))
    }

    /// The same on a clock that started earlier by `seconds`.
    pub(crate) fn later_by(self, seconds: f64) -> Span {
        Span {
            begins_s: self.begins_s + seconds,
            measured_from_s: self.measured_from_s + seconds,
            ends_s: self.ends_s + seconds,
            ..self
        }
    }
}

/// Seconds in which at least one run was measured: overlaps count once, and gaps do not count.
pub(crate) fn measured_s(spans: &[Span]) -> f64 {
    let mut measured: Vec<_> = spans.iter().map(|span| (span.measured_from_s, span.ends_s)).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut until) = (0.0, 0.0_f64);
    for (from, to) in measured {
        sum += (to - from.max(until)).max(0.0);
        until = until.max(to);
    }
    sum
}

/// Messages per second; zero in less than a nanosecond, the shortest time that is measured.
pub(crate) fn per_second(messages: u64, seconds: f64) -> f64 {
    if seconds < 1e-9 { 0.0 } else { messages as f64 / seconds }
}

/// Messages per second of the measured time.
pub(crate) fn rate(messages: u64, spans: &[Span]) -> f64 {
    per_second(messages, measured_s(spans))
}

/// The most sessions that can have been open at once: the highest sum over simultaneous runs.
pub(crate) fn most_open(spans: &[Span]) -> u64 {
    let begun = spans.iter().map(|span| (span.begins_s, span.most_open, true));
    let ended = spans.iter().map(|span| (span.ends_s, span.most_open, false));
    let mut changes: Vec<_> = begun.chain(ended).collect();
    // At the same moment, ends come first: consecutive runs are not simultaneous.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    // A run of length zero ends before it begins here.
    let mut open = 0_i128;
    let mut most = spans.iter().map(|span| span.most_open).max().unwrap_or(0);
    for (_, sessions, has_begun) in changes {
        open += if has_begun { i128::from(sessions) } else { -i128::from(sessions) };
        most = most.max(u64::try_from(open).unwrap_or(0));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_time_counts_once_and_the_time_between_does_not() {
        let span = |(begins_s, warmup_s, ends_s, most_open): (f64, f64, f64, u64)| Span {
            begins_s,
            measured_from_s: begins_s + warmup_s,
            ends_s,
            most_open,
        };
        for (spans, seconds, open) in [
            (&[][..], 0.0, 0),
            (&[(0.0, 1.0, 4.0, 3)], 3.0, 3),
            (&[(0.0, 0.0, 3.0, 5), (3.0, 0.0, 6.0, 4)], 6.0, 5),
            (&[(10.0, 0.0, 13.0, 5), (0.0, 0.0, 3.0, 4)], 6.0, 5),
            (&[(0.0, 0.0, 3.0, 5), (1.0, 0.0, 5.0, 4)], 5.0, 9),
            (&[(0.0, 0.0, 9.0, 1), (1.0, 0.0, 2.0, 2), (3.0, 0.0, 4.0, 2)], 9.0, 3),
            (&[(0.0, 0.0, 2.0, 1), (1.0, 1.0, 4.0, 1)], 4.0, 2),
            (&[(2.0, 0.0, 2.0, 7), (2.0, 0.0, 2.0, 6), (3.0, 0.0, 4.0, 5)], 1.0, 7),
        ] {
            let mut spans: Vec<Span> = spans.iter().copied().map(span).collect();
            for _ in 0..2 {
                assert_eq!((measured_s(&spans), most_open(&spans)), (seconds, open), "{spans:?}");
                spans.reverse();
            }
        }
    }

    #[test]
    fn times_of_no_run_are_not_sound() {
        assert!(Span::new(1.0, 2.0, 3).is_sound());
        for (begins_s, measured_from_s, ends_s) in
            [(-1.0, 0.0, 1.0), (0.0, 2.0, 1.0), (2.0, 1.0, 3.0), (0.0, 0.0, 1e12), (0.0, f64::NAN, 1.0)]
        {
            let span = Span { begins_s, measured_from_s, ends_s, most_open: 0 };
            assert!(!span.is_sound(), "{span:?}");
        }
    }
}
