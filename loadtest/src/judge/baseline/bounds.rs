//! Bounds of figures that were estimated from samples. Pure.
//!
//! A percentile of `n` independent samples lies between two of them, in order: the number of samples beyond it is
//! binomially distributed for any distribution of the values. The share beyond is bounded with the arcsine
//! transformation, whose deviation is the same everywhere: `sin²(asin √p ± z / 2√n)`.
//!
//! Samples of a run are not independent: what delays one message delays others with it. So they count as fewer. In a
//! run that is long enough the factor is measured from second to second: the number of messages beyond the percentile
//! varies more than that of independent ones, by this factor (the design effect of cluster sampling). Otherwise as
//! many samples count as one as there are connections, and more of them the longer the generator was ready without a
//! processor. Of what happens once per session, as many count as one as there are connections.
//!
//! For a share of the time the generator may have been ready without a processor. Messages in flight then waited for
//! the generator and not for the target, so latencies may be lower by at most this share, and a rate higher.

use crate::report::Report;
use crate::report::distribution::Distribution;

/// Deviations of a normal distribution that include 99.9 %: a comparison has about thirty figures, and none of a
/// hundred comparisons of a run with itself should fail.
const DEVIATIONS: f64 = 3.29;

/// Intervals required to measure how samples depend on each other.
const INTERVALS_NEEDED: usize = 10;

/// Bounds of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The share of the run, over all threads, in which the generator had no processor though it needed one.
fn starved(report: &Report) -> f64 {
    let length = report.spans.iter().map(|span| span.ends_s - span.begins_s).sum::<f64>();
    let threads = report.settings.threads.max(1) as f64 / report.spans.len().max(1) as f64;
    let share = report.generator.cpu_wait_s.unwrap_or(0.0) / (length * threads);
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

/// How the samples of a run count.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    /// The number of connections.
    connections: f64,
    /// The latencies of the intervals, if there are enough.
    intervals: Option<Vec<Distribution>>,
    /// Their sum.
    whole: Distribution,
    /// See [`starved`].
    starved: f64,
}

impl Samples {
    pub(super) fn of(report: &Report) -> Samples {
        let rows = report.intervals.iter().filter(|row| row.latency.count() > 0);
        let intervals: Vec<Distribution> = rows.map(|row| row.latency.unpack()).collect();
        let mut whole = Distribution::empty();
        intervals.iter().for_each(|interval| whole.merge(interval));
        let connections = report.settings.shape.connections.max(1) as f64;
        let intervals = (intervals.len() >= INTERVALS_NEEDED).then_some(intervals);
        Samples { connections, intervals, whole, starved: starved(report) }
    }

    /// Samples that count as one, for what happens once per session: sessions begin together.
    pub(super) fn of_sessions(&self) -> f64 {
        self.connections
    }

    /// Samples that count as one, for messages, where it can't be measured. Messages sent before a stall of the loop
    /// wait together for its end.
    fn unseen(&self) -> f64 {
        self.connections / (1.0 - self.starved).max(0.1).powi(2)
    }

    /// Samples that count as one, for messages at this quantile.
    pub(super) fn of_messages(&self, quantile: f64) -> f64 {
        let (Some(intervals), Some(value)) = (&self.intervals, self.whole.at(quantile)) else {
            return self.unseen();
        };
        let beyond = |of: &Distribution| of.count() as f64 - of.0.count_between(0, value) as f64;
        let share = beyond(&self.whole) / self.whole.count() as f64;
        let deviations = intervals.iter().map(|of| (beyond(of) - of.count() as f64 * share).powi(2));
        let count = intervals.len() as f64;
        let seen = deviations.sum::<f64>() * count / (count - 1.0);
        let independent = self.whole.count() as f64 * share * (1.0 - share);
        if independent > 0.0 { (seen / independent).max(1.0) } else { self.unseen() }
    }
}

/// Bounds of a share of this number of independent samples.
pub(super) fn share(share: f64, samples: f64) -> Bounds {
    let angle = share.clamp(0.0, 1.0).sqrt().asin();
    let reach = DEVIATIONS / (2.0 * samples.sqrt());
    let bound = |angle: f64| angle.clamp(0.0, std::f64::consts::FRAC_PI_2).sin().powi(2);
    Bounds { low: bound(angle - reach), high: bound(angle + reach) }
}

impl Samples {
    /// Bounds of a quantile, in nanoseconds, when `cluster` samples count as one; `None` without a sample.
    pub(super) fn quantile(&self, of: &Distribution, quantile: f64, cluster: f64) -> Option<Bounds> {
        let beyond = share(1.0 - quantile, of.count() as f64 / cluster);
        let (low, high) = (of.at(1.0 - beyond.high)? as f64, of.at(1.0 - beyond.low)? as f64);
        Some(Bounds { low: low * (1.0 - self.starved), high })
    }
}

/// Bounds of a closed loop's rate, from the variance of its intervals' rates. With too few of them, it is as exact as
/// the mean latency that it follows from.
pub(super) fn rate(report: &Report, samples: &Samples) -> Bounds {
    let warmup = report.settings.warmup_s;
    let length = report.intervals.first().map_or(0.0, |row| row.length_s);
    let whole = report.intervals.iter().filter(|row| row.at_s >= warmup && row.length_s == length);
    let rates: Vec<f64> = whole.map(|row| row.accepted as f64 / row.length_s).collect();
    let relative = if rates.len() >= INTERVALS_NEEDED {
        let count = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / count;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (variance / count).sqrt() / mean
    } else {
        let latency = &report.latency.message.ok.0;
        let count = latency.len() as f64 / samples.unseen();
        latency.stdev() / latency.mean() / count.sqrt()
    };
    let relative = if relative.is_finite() { relative * DEVIATIONS } else { 1.0 };
    let high = report.rate * (1.0 + relative) / (1.0 - samples.starved).max(f64::EPSILON);
    Bounds { low: report.rate * (1.0 - relative).max(0.0), high }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of numbers from 0 to 1.
    fn draws(seed: u64) -> impl FnMut() -> f64 {
        let mut generator = oorandom::Rand64::new(seed.into());
        move || generator.rand_float()
    }

    fn clusters(intervals: Vec<Distribution>) -> Samples {
        let mut whole = Distribution::empty();
        intervals.iter().for_each(|interval| whole.merge(interval));
        Samples { connections: 16.0, intervals: Some(intervals), whole, starved: 0.0 }
    }

    /// Latencies with a long tail, in nanoseconds.
    fn sample(draw: &mut impl FnMut() -> f64) -> u64 {
        (1e6 / (1.0 - draw()).powf(0.7)) as u64
    }

    #[test]
    fn the_bounds_of_independent_samples_hold_the_percentile() {
        for (quantile, count) in [(0.5, 200), (0.99, 2_000), (0.999, 20_000)] {
            let truth = 1e6 / (1.0_f64 - quantile).powf(0.7);
            let mut misses = 0;
            for seed in 0..200 {
                let mut draw = draws(seed);
                let mut of = Distribution::empty();
                (0..count).for_each(|_| of.0.record(sample(&mut draw)).unwrap());
                let bounds = clusters(Vec::new()).quantile(&of, quantile, 1.0).unwrap();
                // Wider by a bucket of the histogram: three digits.
                misses += u32::from(!(bounds.low * 0.998..=bounds.high * 1.002).contains(&truth));
            }
            assert!(misses <= 2, "{misses} of 200 at {quantile}");
        }
    }

    #[test]
    fn shares_are_bounded_where_nothing_was_seen_too() {
        let none = share(0.0, 1000.0);
        assert!(none.low == 0.0 && (0.001..0.01).contains(&none.high), "{none:?}");
        let half = share(0.5, 10_000.0);
        assert!((0.48..0.49).contains(&half.low) && (0.51..0.52).contains(&half.high), "{half:?}");
        assert_eq!(share(0.5, 1.0), Bounds { low: 0.0, high: 1.0 });
    }

    #[test]
    fn bursts_count_as_the_fewer_samples_that_they_are() {
        let cluster = |in_bursts: bool| {
            let mut draw = draws(7);
            let mut intervals = Vec::new();
            for interval in 0..50 {
                let mut of = Distribution::empty();
                for index in 0..1000 {
                    // One in a hundred is slow: ten in each interval, or a hundred in every tenth.
                    let is_slow = if in_bursts { interval % 10 == 3 && index < 100 } else { draw() < 0.01 };
                    of.0.record(if is_slow { 50_000_000 } else { 1_000_000 }).unwrap();
                }
                intervals.push(of);
            }
            clusters(intervals).of_messages(0.98)
        };
        assert!(cluster(false) < 2.0);
        assert!(cluster(true) > 50.0);
    }
}
